/**
 * What a Messages request consists of, as rules that both check it and describe it
 * (docs/facts/anthropic.md "Request").
 *
 * @module
 */

import { isDeeper } from "../../lib/depth.ts";
import { type Fields, isObject, type Rule } from "../openai/check.ts";
import { refused, wrongType } from "../openai/faults.ts";

/** Objects of a client's own, such as a tool's input, nest no deeper: they are written as JSON. */
const DEPTH_MAX = 200;

const TEXT: Rule = { kind: "string" };
const NEEDED: Rule = { kind: "string", isRequired: true };
const NULLABLE_TEXT: Rule = { kind: "string", isNullable: true };
const FLAG: Rule = { kind: "boolean", isNullable: true };

/** An object with any keys. */
const JSON_OBJECT: Rule = {
  kind: "own",
  check(value) {
    if (!isObject(value)) return wrongType("an object", value);
    if (!isDeeper(value, DEPTH_MAX)) return undefined;
    return refused("", `Input should nest no deeper than ${DEPTH_MAX} levels`);
  },
};
const NEEDED_OBJECT: Rule = { ...JSON_OBJECT, isRequired: true };

const TEXT_FIELDS: Fields = [["text", NEEDED]];

const SOURCE_TAGS: Readonly<Record<string, Fields>> = {
  base64: [["media_type", NEEDED], ["data", NEEDED]],
  url: [["url", NEEDED]],
  file: [["file_id", NEEDED]],
};

const IMAGE_FIELDS: Fields = [["source", {
  kind: "tagged",
  isRequired: true,
  tags: {
    ...SOURCE_TAGS,
    base64: [
      ["media_type", {
        kind: "choice",
        values: ["image/jpeg", "image/png", "image/gif", "image/webp"],
        isRequired: true,
      }],
      ["data", NEEDED],
    ],
  },
}]];

/** A text, or a list of blocks of these kinds. */
function content(tags: Readonly<Record<string, Fields>>, isRequired?: true): Rule {
  return {
    kind: "either",
    text: TEXT,
    other: { kind: "list", of: "objects", item: { kind: "tagged", tags } },
    expected: "a string or an array of blocks",
    ...(isRequired === undefined ? { isNullable: true } : { isRequired }),
  };
}

const DOCUMENT_FIELDS: Fields = [
  ["source", {
    kind: "tagged",
    isRequired: true,
    tags: {
      ...SOURCE_TAGS,
      text: [["data", NEEDED]],
      content: [["content", content({ text: TEXT_FIELDS, image: IMAGE_FIELDS }, true)]],
    },
  }],
  ["title", NULLABLE_TEXT],
  ["context", NULLABLE_TEXT],
];

const SEARCH_RESULT_FIELDS: Fields = [
  ["source", NEEDED],
  ["title", NEEDED],
  ["content", {
    kind: "list",
    of: "objects",
    item: { kind: "tagged", tags: { text: TEXT_FIELDS } },
    isRequired: true,
  }],
];

/**
 * What Anthropic's own tools and betas leave in a conversation. It is for Anthropic's servers: it is
 * taken, and not read.
 */
const OPAQUE = [
  "server_tool_use",
  "web_search_tool_result",
  "web_fetch_tool_result",
  "code_execution_tool_result",
  "bash_code_execution_tool_result",
  "text_editor_code_execution_tool_result",
  "tool_search_tool_result",
  "advisor_tool_result",
  "mcp_tool_use",
  "mcp_tool_result",
  "mcp_tool_listing",
  "container_upload",
  "compaction",
  "tool_addition",
  "tool_removal",
  "tool_reference",
  "fallback",
] as const;

const OPAQUE_TAGS = Object.fromEntries(OPAQUE.map((tag) => [tag, [] as Fields]));

const BLOCK_TAGS: Readonly<Record<string, Fields>> = {
  text: TEXT_FIELDS,
  image: IMAGE_FIELDS,
  document: DOCUMENT_FIELDS,
  search_result: SEARCH_RESULT_FIELDS,
  tool_use: [["id", NEEDED], ["name", NEEDED], ["input", NEEDED_OBJECT]],
  tool_result: [
    ["tool_use_id", NEEDED],
    [
      "content",
      content({
        text: TEXT_FIELDS,
        image: IMAGE_FIELDS,
        document: DOCUMENT_FIELDS,
        search_result: SEARCH_RESULT_FIELDS,
        ...OPAQUE_TAGS,
      }),
    ],
    ["is_error", FLAG],
  ],
  thinking: [["thinking", NEEDED], ["signature", NEEDED]],
  redacted_thinking: [["data", NEEDED]],
  ...OPAQUE_TAGS,
};

const MESSAGE: Rule = {
  kind: "object",
  fields: [
    ["role", { kind: "choice", values: ["user", "assistant", "system"], isRequired: true }],
    ["content", content(BLOCK_TAGS, true)],
  ],
};

const TOOL_NAME: Rule = {
  kind: "own",
  check(value) {
    if (typeof value !== "string") return wrongType("a string", value);
    if (/^[a-zA-Z0-9_-]{1,128}$/.test(value)) return undefined;
    return refused("", "String should match pattern '^[a-zA-Z0-9_-]{1,128}$'");
  },
};

/** The client's own tools have a schema; Anthropic's are told by their `type`. */
const TOOL: Rule = {
  kind: "object",
  fields: [
    ["type", NULLABLE_TEXT],
    ["name", TOOL_NAME],
    ["description", NULLABLE_TEXT],
    ["input_schema", JSON_OBJECT],
    ["strict", FLAG],
  ],
};

const FORMAT: Rule = {
  kind: "tagged",
  tags: { json_schema: [["schema", NEEDED_OBJECT]] },
  isNullable: true,
};

/** How many tools may be called at a time. */
const ONE_CALL: Fields = [["disable_parallel_tool_use", FLAG]];

/** The fields that weir reads; others are accepted, and are Anthropic's business. */
export const MESSAGES_FIELDS: Fields = [
  ["model", NEEDED],
  ["messages", { kind: "list", of: "objects", item: MESSAGE, isRequired: true }],
  ["max_tokens", { kind: "integer", min: 1, isRequired: true }],
  ["system", content({ text: TEXT_FIELDS })],
  ["stream", FLAG],
  ["temperature", { kind: "decimal", min: 0, max: 1, isNullable: true }],
  ["top_p", { kind: "decimal", min: 0, max: 1, isNullable: true }],
  ["top_k", { kind: "integer", min: 0, isNullable: true }],
  ["stop_sequences", { kind: "list", of: "strings", item: TEXT, isNullable: true }],
  ["tools", { kind: "list", of: "objects", item: TOOL, isNullable: true }],
  ["tool_choice", {
    kind: "tagged",
    tags: { auto: ONE_CALL, any: ONE_CALL, tool: [["name", NEEDED], ...ONE_CALL], none: [] },
    isNullable: true,
  }],
  ["thinking", {
    kind: "tagged",
    tags: {
      enabled: [
        ["budget_tokens", { kind: "integer", min: 1024, isRequired: true }],
        ["display", NULLABLE_TEXT],
      ],
      adaptive: [["display", NULLABLE_TEXT]],
      disabled: [],
    },
    isNullable: true,
  }],
  ["output_config", {
    kind: "object",
    fields: [["format", FORMAT], ["effort", NULLABLE_TEXT]],
    isNullable: true,
  }],
  ["output_format", FORMAT],
  ["metadata", { kind: "object", fields: [["user_id", NULLABLE_TEXT]], isNullable: true }],
];

/** Of `POST /v1/messages/count_tokens`: the same, and no answer whose length could be limited. */
export const COUNT_FIELDS: Fields = MESSAGES_FIELDS.filter(([name]) => name !== "max_tokens");
