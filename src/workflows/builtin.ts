/**
 * The workflow of a weir that was given no file: one question to the model, answered as a stream.
 *
 * @module
 */

import type { Definition } from "./definition.ts";
import { load, type WorkflowFile } from "./load.ts";

/** What the built-in workflow is called where a file's name would stand. */
const NAME = "built-in workflow";

/** The built-in workflow, as a file would say it. `model` is asked for. */
export function builtinFile(model: string): WorkflowFile {
  return {
    file: NAME,
    text: `
workflow:
  title: Chat with OpenAI GPT-4o
  description: Generate text responses using OpenAI’s GPT-4o
  input: \${input}
  output: \${output as text;sse-text}
component:
  type: http-client
  base_url: "weir:"
  path: /chat/completions
  body:
    model: ${JSON.stringify(model.replaceAll("${", "$"))}
    messages:
      - role: user
        content: \${input.prompt as text}
    temperature: \${input.temperature as number | 0.7}
    stream: true
  stream_format: json
  output: \${response[].choices[0].delta.content}
`,
  };
}

/** The built-in workflow, loaded. */
export function builtinDefinition(model: string): Definition {
  const { definition, problems } = load([builtinFile(model)], {});
  if (definition === null) throw new TypeError(`The built-in workflow is wrong: ${problems[0]}`);
  return definition;
}
