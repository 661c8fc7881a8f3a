/**
 * Every parameter of `POST /v1/responses` that is checked (docs/facts/openai_api.md "Responses:
 * request"). Keys that are not here are accepted, as the live API does.
 *
 * @module
 */

import { check, type Fields, type Rule } from "../openai/check.ts";
import { MODERATION_MODEL_RULE } from "../openai/moderations.ts";
import { CHAT_PARAMS, checkMetadata, RETENTION_RULE } from "../openai_chat/params.ts";
import { type Fault, unknownKey } from "../openai/faults.ts";
import { checkInput } from "./input.ts";

const TEXT: Rule = { kind: "string" };
const NEEDED_TEXT: Rule = { kind: "string", isRequired: true };
const NEEDED_NAME: Rule = { kind: "string", isName: true, isRequired: true };
const NULLABLE_TEXT: Rule = { kind: "string", isNullable: true };
const NULLABLE_BOOLEAN: Rule = { kind: "boolean", isNullable: true };
const OBJECT: Rule = { kind: "object", fields: [] };

/** What `include` may name. */
const INCLUDABLE = [
  "file_search_call.results",
  "web_search_call.results",
  "web_search_call.action.sources",
  "message.input_image.image_url",
  "computer_call_output.output.image_url",
  "code_interpreter_call.outputs",
  "reasoning.encrypted_content",
  "message.output_text.logprobs",
] as const;

/** Of a body, and of a query. */
export const INCLUDE_RULE: Rule = {
  kind: "list",
  of: "strings",
  item: { kind: "choice", values: INCLUDABLE },
  isNullable: true,
};

const FUNCTION: Rule = {
  kind: "object",
  fields: [
    ["name", NEEDED_NAME],
    ["description", NULLABLE_TEXT],
    ["parameters", { ...OBJECT, isNullable: true }],
    ["strict", NULLABLE_BOOLEAN],
  ],
};
const NAMED: Rule = { kind: "object", fields: [["name", NEEDED_TEXT]] };
const CUSTOM: Rule = {
  kind: "object",
  fields: [["name", NEEDED_NAME], ["description", NULLABLE_TEXT], ["format", OBJECT]],
};

const TYPED: Rule = { kind: "object", fields: [["type", NEEDED_TEXT]] };

/** An object whose further fields hang on its `type`, where only some types are known. */
function open(types: Readonly<Record<string, Rule>>): Rule {
  return {
    kind: "own",
    check(value, level) {
      const fault = check(value, TYPED, level);
      if (fault !== undefined) return fault;
      const { type } = value as { readonly type: string };
      return Object.hasOwn(types, type) ? check(value, types[type]!, level) : undefined;
    },
  };
}

/** name → rule, in the order of reporting. */
export const RESPONSE_RULES: Fields = [
  ["model", TEXT],
  ["input", { kind: "own", check: checkInput }],
  ["instructions", NULLABLE_TEXT],
  ["tools", {
    kind: "list",
    of: "objects",
    item: open({ function: FUNCTION, custom: CUSTOM }),
    liveMax: 128,
    isNullable: true,
  }],
  ["tool_choice", {
    kind: "either",
    expected: "one of a string or object",
    text: { kind: "choice", values: ["none", "auto", "required"] },
    other: open({
      function: NAMED,
      custom: NAMED,
      allowed_tools: {
        kind: "object",
        fields: [
          ["mode", { kind: "choice", values: ["auto", "required"], isRequired: true }],
          ["tools", { kind: "list", of: "objects", item: OBJECT, isRequired: true }],
        ],
      },
    }),
    isNullable: true,
  }],
  ["parallel_tool_calls", NULLABLE_BOOLEAN],
  // OpenAI's own tests of its schema send 0.
  ["max_output_tokens", { kind: "integer", liveMin: 16, isNullable: true }],
  ["max_tool_calls", { kind: "integer", isNullable: true }],
  ["temperature", { kind: "decimal", min: 0, max: 2, isNullable: true }],
  ["top_p", { kind: "decimal", min: 0, max: 1, isNullable: true }],
  ["top_logprobs", { kind: "integer", min: 0, max: 20, isNullable: true }],
  ["text", {
    kind: "object",
    isNullable: true,
    fields: [
      ["format", {
        kind: "tagged",
        tags: {
          text: [],
          json_schema: [
            ["name", NEEDED_NAME],
            ["schema", { ...OBJECT, isRequired: true }],
            ["description", NULLABLE_TEXT],
            ["strict", NULLABLE_BOOLEAN],
          ],
          json_object: [],
        },
        isNullable: true,
      }],
      ["verbosity", { kind: "choice", values: ["low", "medium", "high"], isNullable: true }],
    ],
  }],
  ["reasoning", {
    kind: "object",
    isNullable: true,
    fields: [
      ["effort", {
        kind: "choice",
        values: ["none", "minimal", "low", "medium", "high", "xhigh", "max"],
        isNullable: true,
      }],
      ["summary", { kind: "choice", values: ["auto", "concise", "detailed"], isNullable: true }],
      ["generate_summary", {
        kind: "choice",
        values: ["auto", "concise", "detailed"],
        isNullable: true,
      }],
      ["context", NULLABLE_TEXT],
      ["mode", NULLABLE_TEXT],
    ],
  }],
  ["include", INCLUDE_RULE],
  ["stream", NULLABLE_BOOLEAN],
  ["stream_options", {
    kind: "object",
    isNullable: true,
    isClosed: true,
    fields: [["include_obfuscation", { kind: "boolean" }]],
  }],
  ["store", NULLABLE_BOOLEAN],
  ["background", NULLABLE_BOOLEAN],
  ["previous_response_id", NULLABLE_TEXT],
  ["conversation", {
    kind: "either",
    expected: "one of a string or object",
    text: TEXT,
    other: { kind: "object", fields: [["id", NEEDED_TEXT]] },
    isNullable: true,
  }],
  ["metadata", { kind: "own", check: checkMetadata, isNullable: true }],
  ["truncation", { kind: "choice", values: ["auto", "disabled"], isNullable: true }],
  ["service_tier", {
    kind: "choice",
    values: ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"],
    isNullable: true,
  }],
  ["user", NULLABLE_TEXT],
  ["safety_identifier", { kind: "string", lengthMax: 64, isNullable: true }],
  ["prompt_cache_key", NULLABLE_TEXT],
  ["prompt_cache_retention", RETENTION_RULE],
  ["prompt_cache_options", { ...OBJECT, isNullable: true }],
  ["prompt", { kind: "object", fields: [["id", NEEDED_TEXT]], isNullable: true }],
  ["context_management", {
    kind: "list",
    of: "objects",
    item: TYPED,
    min: 1,
    isNullable: true,
  }],
  ["moderation", { kind: "object", fields: [["model", MODERATION_MODEL_RULE]], isNullable: true }],
];

/** Where parameters of the chat API stand here. */
const MOVED: Readonly<Record<string, string>> = {
  messages: "input",
  max_tokens: "max_output_tokens",
  max_completion_tokens: "max_output_tokens",
  response_format: "text.format",
  reasoning_effort: "reasoning.effort",
  verbosity: "text.verbosity",
};

/** What is wrong with `key`, which is none of these: one of the chat API is refused, any other not. */
export function chatKeyFault(key: string): Fault | undefined {
  if (!CHAT_PARAMS.has(key)) return undefined;
  const place = Object.hasOwn(MOVED, key) ? MOVED[key] : undefined;
  if (place === undefined) return unknownKey(key, []);
  const say = () =>
    `Unsupported parameter: '${key}'. In the Responses API, this parameter has moved to ` +
    `'${place}'. Try again with the new parameter.`;
  return { code: "param_unsupported", path: "", say };
}

/** Parameters that the chat API spells alike. */
export const SAME_AS_CHAT = [
  "moderation",
  "parallel_tool_calls",
  "temperature",
  "top_p",
  "user",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "prompt_cache_options",
  "service_tier",
] as const;
