/**
 * The workflow of a weir that was given no file: one question to the model, answered as a stream.
 *
 * @module
 */

import type { Definition } from "./definition.ts";
import { loadTree } from "./load.ts";
import { treeOf } from "./tree.ts";

/** Where the built-in workflow would stand in a file. */
const PLACE = { file: "built-in workflow", line: 1, column: 1 };

/**
 * The built-in workflow, as a file would say it. `model` is asked for. It is no YAML, whose parser
 * took some 7 ms of each start.
 */
export function builtinFile(model: string) {
  return {
    workflow: {
      title: "Chat with OpenAI GPT-4o",
      description: "Generate text responses using OpenAI’s GPT-4o",
      input: "${input}",
      output: "${output as text;sse-text}",
    },
    component: {
      type: "http-client",
      base_url: "weir:",
      path: "/chat/completions",
      body: {
        model: model.replaceAll("${", "$"),
        messages: [{ role: "user", content: "${input.prompt as text}" }],
        temperature: "${input.temperature as number | 0.7}",
        stream: true,
      },
      stream_format: "json",
      output: "${response[].choices[0].delta.content}",
    },
  };
}

/** The built-in workflow, loaded. */
export function builtinDefinition(model: string): Definition {
  const { definition, problems } = loadTree(treeOf(builtinFile(model), PLACE));
  if (definition === null) throw new TypeError(`The built-in workflow is wrong: ${problems[0]}`);
  return definition;
}
