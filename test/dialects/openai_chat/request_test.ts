import { describe, expect, test } from "bun:test";
import { AppError, ERRORS } from "../../../src/core/errors.ts";
import { CHAT_PARAMS } from "../../../src/dialects/openai_chat/params.ts";
import { parseChatRequest } from "../../../src/dialects/openai_chat/request.ts";
import type { Level } from "../../../src/dialects/openai/check.ts";
import { errorText } from "../../../src/dialects/openai/errors.ts";
import { UNKNOWN_HELP } from "../../../src/dialects/openai/faults.ts";
import { seeded } from "../../seeded.ts";

type Body = Record<string, unknown>;
type Row = readonly [body: unknown, message: string, param: string | null, code: string | null];

const HELLO = { role: "user", content: "Hello" };
const TOOL = { type: "function", function: { name: "weather" } };
const CALL = { id: "call_1", type: "function", function: { name: "weather", arguments: "{}" } };
const AUDIO = { type: "input_audio", input_audio: { data: "", format: "wav" } };
const IMAGE = { type: "image_url", image_url: { url: "u" } };
const BROKEN_JSON =
  "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)";

/** A right body with `more`. */
function plain(more: Body = {}): Body {
  return { model: "gpt-4o", messages: [HELLO], ...more };
}

/** A body whose messages are `messages`. */
function talk(...messages: unknown[]): Body {
  return { model: "gpt-4o", messages };
}

function parts(role: string, ...content: unknown[]): Body {
  return talk({ role, content, tool_call_id: "c", name: "f" });
}

/** `from` without prototypes in the way: what a server gets is parsed text. */
function parsed(text: string): unknown {
  return JSON.parse(text);
}

/** A short name for a row. */
function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

function failure(body: unknown, level: Level): AppError | undefined {
  try {
    parseChatRequest(body, level);
    return undefined;
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
}

function expectRow([body, message, param, code]: Row, level: Level): void {
  const error = failure(body, level);
  const seen = {
    message: error?.message,
    param: error?.param,
    code: error === undefined ? undefined : ERRORS[error.code].apiCode as string | null,
    status: error?.status,
  };
  expect<unknown>(seen).toEqual({ message, param, code, status: 400 });
}

function typeRow(key: string, value: unknown, expected: string, got: string): Row {
  const message = `Invalid type for '${key}': expected ${expected}, but got ${got} instead.`;
  return [plain({ [key]: value }), message, key, "invalid_type"];
}

function lowRow(key: string, value: number, min: number, kind = "integer"): Row {
  return [
    plain({ [key]: value }),
    `Invalid '${key}': ${kind} below minimum value. Expected a value >= ${min}, but got ${value} instead.`,
    key,
    `${kind}_below_min_value`,
  ];
}

function highRow(key: string, value: number, max: number, kind = "integer"): Row {
  return [
    plain({ [key]: value }),
    `Invalid '${key}': ${kind} above maximum value. Expected a value <= ${max}, but got ${value} instead.`,
    key,
    `${kind}_above_max_value`,
  ];
}

function choiceRow(body: Body, path: string, supported: string): Row {
  const message = `Invalid value: 'bogus'. Supported values are: ${supported}.`;
  return [body, message, path, "invalid_value"];
}

function missingRow(body: unknown, path: string): Row {
  return [
    body,
    `Missing required parameter: '${path}'.`,
    path,
    "missing_required_parameter",
  ];
}

function emptyRow(body: Body, path: string): Row {
  return [
    body,
    `Invalid '${path}': empty array. Expected an array with minimum length 1, but got an empty array instead.`,
    path,
    "empty_array",
  ];
}

function longRow(body: Body, path: string, max: number, count: number): Row {
  return [
    body,
    `Invalid '${path}': array too long. Expected an array with maximum length ${max}, but got an array with length ${count} instead.`,
    path,
    "array_above_max_length",
  ];
}

function textLongRow(body: Body, path: string, max: number, length: number): Row {
  return [
    body,
    `Invalid '${path}': string too long. Expected a string with maximum length ${max}, but got a string with length ${length} instead.`,
    path,
    "string_above_max_length",
  ];
}

const ROLES = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'";
const PARTS = "'text', 'image_url', 'input_audio', 'refusal', 'audio', and 'file'";
const CONTENT_TYPE = "expected one of a string or array of objects";
const NO_MODEL = "you must provide a model parameter";
const NULL_CONTENT = "Invalid value for 'content': expected a string, got null.";

/** Refused on both levels. */
const ALWAYS: readonly Row[] = [
  // Not an object at all.
  [undefined, BROKEN_JSON, null, null],
  [null, BROKEN_JSON, null, null],
  ["text", BROKEN_JSON, null, null],
  [7, BROKEN_JSON, null, null],
  [[plain()], BROKEN_JSON, null, null],
  // model
  [{ messages: [HELLO] }, NO_MODEL, null, null],
  [{}, NO_MODEL, null, null],
  [plain({ model: null }), NO_MODEL, null, null],
  [plain({ model: "" }), NO_MODEL, null, null],
  [plain({ model: 7 }), BROKEN_JSON, null, null],
  [plain({ model: ["gpt-4o"] }), BROKEN_JSON, null, null],
  // messages
  missingRow({ model: "gpt-4o" }, "messages"),
  emptyRow(talk(), "messages"),
  typeRow("messages", "Hello", "an array of objects", "a string"),
  typeRow("messages", null, "an array of objects", "null"),
  typeRow("messages", HELLO, "an array of objects", "an object"),
  [
    talk("Hello"),
    "Invalid type for 'messages[0]': expected an object, but got a string instead.",
    "messages[0]",
    "invalid_type",
  ],
  [
    talk(HELLO, []),
    "Invalid type for 'messages[1]': expected an object, but got an array instead.",
    "messages[1]",
    "invalid_type",
  ],
  // role
  missingRow(talk({ content: "Hello" }), "messages[0].role"),
  choiceRow(talk({ role: "bogus", content: "x" }), "messages[0].role", ROLES),
  [
    talk({ role: "constructor", content: "x" }),
    `Invalid value: 'constructor'. Supported values are: ${ROLES}.`,
    "messages[0].role",
    "invalid_value",
  ],
  [
    talk({ role: 1, content: "x" }),
    "Invalid type for 'messages[0].role': expected a string, but got an integer instead.",
    "messages[0].role",
    "invalid_type",
  ],
  // content
  [talk({ role: "user" }), NULL_CONTENT, "messages.[0].content", null],
  [talk(HELLO, { role: "user", content: null }), NULL_CONTENT, "messages.[1].content", null],
  [talk({ role: "system", content: null }), NULL_CONTENT, "messages.[0].content", null],
  [talk({ role: "function", name: "f" }), NULL_CONTENT, "messages.[0].content", null],
  missingRow(talk({ role: "developer" }), "messages[0].content"),
  [
    talk({ role: "developer", content: null }),
    `Invalid type for 'messages[0].content': ${CONTENT_TYPE}, but got null instead.`,
    "messages[0].content",
    "invalid_type",
  ],
  ...([
    [1, "an integer"],
    [1.5, "a decimal number"],
    [true, "a boolean"],
    [{ a: 1 }, "an object"],
  ] as const).map(([content, got]): Row => [
    talk({ role: "user", content }),
    `Invalid type for 'messages[0].content': ${CONTENT_TYPE}, but got ${got} instead.`,
    "messages[0].content",
    "invalid_type",
  ]),
  emptyRow(parts("user"), "messages[0].content"),
  // parts
  [
    parts("user", "Hello"),
    "Invalid type for 'messages[0].content[0]': expected an object, but got a string instead.",
    "messages[0].content[0]",
    "invalid_type",
  ],
  missingRow(parts("user", { text: "x" }), "messages[0].content[0].type"),
  choiceRow(parts("user", { type: "bogus" }), "messages[0].content[0].type", PARTS),
  [
    parts("user", parsed('{"type":"__proto__"}')),
    `Invalid value: '__proto__'. Supported values are: ${PARTS}.`,
    "messages[0].content[0].type",
    "invalid_value",
  ],
  missingRow(parts("user", { type: "text" }), "messages[0].content[0].text"),
  [
    parts("user", { type: "text", text: "x" }, { type: "image_url", image_url: "http://x" }),
    "Invalid type for 'messages[0].content[1].image_url': expected an object, but got a string instead.",
    "messages[0].content[1].image_url",
    "invalid_type",
  ],
  missingRow(
    parts("user", { type: "image_url", image_url: {} }),
    "messages[0].content[0].image_url.url",
  ),
  choiceRow(
    parts("user", { type: "image_url", image_url: { url: "u", detail: "bogus" } }),
    "messages[0].content[0].image_url.detail",
    "'auto', 'low', and 'high'",
  ),
  choiceRow(
    parts("user", { type: "input_audio", input_audio: { data: "", format: "bogus" } }),
    "messages[0].content[0].input_audio.format",
    "'wav' and 'mp3'",
  ),
  [
    parts("system", { type: "image_url", image_url: { url: "u" } }),
    "Invalid 'messages[0]'. Image URLs are only allowed for messages with role 'user', but this message with role 'system' contains an image URL.",
    "messages[0]",
    "invalid_value",
  ],
  // tool calls
  missingRow(talk({ role: "tool", content: "x" }), "messages[0].tool_call_id"),
  missingRow(
    talk({ role: "assistant", tool_calls: [{ id: "c", function: {} }] }),
    "messages[0].tool_calls[0].type",
  ),
  missingRow(
    talk({ role: "assistant", tool_calls: [{ ...CALL, function: { name: "f" } }] }),
    "messages[0].tool_calls[0].function.arguments",
  ),
  [
    talk({ role: "assistant", content: "x", tool_calls: null }),
    "Invalid type for 'messages[0].tool_calls': expected an array of objects, but got null instead.",
    "messages[0].tool_calls",
    "invalid_type",
  ],
  // Types of every kind.
  typeRow("n", "2", "an integer", "a string"),
  typeRow("n", 1.5, "an integer", "a decimal number"),
  typeRow("seed", [], "an integer", "an array"),
  typeRow("max_tokens", true, "an integer", "a boolean"),
  typeRow("max_completion_tokens", {}, "an integer", "an object"),
  typeRow("temperature", "0.5", "a decimal", "a string"),
  typeRow("stream", "true", "a boolean", "a string"),
  typeRow("stream", 1, "a boolean", "an integer"),
  typeRow("logprobs", 1, "a boolean", "an integer"),
  typeRow("store", "x", "a boolean", "a string"),
  typeRow("user", 1, "a string", "an integer"),
  typeRow("user", null, "a string", "null"),
  typeRow("tools", null, "an array of objects", "null"),
  typeRow("tools", {}, "an array of objects", "an object"),
  typeRow("functions", "f", "an array of objects", "a string"),
  typeRow("tool_choice", 1, "one of a string or object", "an integer"),
  typeRow("tool_choice", ["auto"], "one of a string or object", "an array"),
  typeRow("stop", 1, "one of a string or array of strings", "an integer"),
  typeRow("stop", {}, "one of a string or array of strings", "an object"),
  typeRow("stream_options", true, "an object", "a boolean"),
  typeRow("response_format", "json", "an object", "a string"),
  typeRow("logit_bias", [], "an object", "an array"),
  typeRow("metadata", "x", "a metadata object", "a string"),
  typeRow("reasoning_effort", 1, "a string", "an integer"),
  typeRow("prediction", "x", "an object", "a string"),
  // Limits of the schema.
  lowRow("n", 0, 1),
  highRow("n", 129, 128),
  lowRow("top_logprobs", -1, 0),
  highRow("top_logprobs", 21, 20),
  lowRow("temperature", -0.1, 0, "decimal"),
  highRow("temperature", 2.1, 2, "decimal"),
  lowRow("top_p", -1, 0, "decimal"),
  highRow("top_p", 1.01, 1, "decimal"),
  lowRow("presence_penalty", -2.5, -2, "decimal"),
  highRow("frequency_penalty", 3, 2, "decimal"),
  longRow(plain({ stop: ["a", "b", "c", "d", "e"] }), "stop", 4, 5),
  emptyRow(plain({ functions: [] }), "functions"),
  longRow(plain({ functions: Array(129).fill({ name: "f" }) }), "functions", 128, 129),
  textLongRow(plain({ safety_identifier: "x".repeat(70) }), "safety_identifier", 64, 70),
  [
    plain({ stop: ["a", 1] }),
    "Invalid type for 'stop[1]': expected a string, but got an integer instead.",
    "stop[1]",
    "invalid_type",
  ],
  // Choices.
  choiceRow(plain({ verbosity: "bogus" }), "verbosity", "'low', 'medium', and 'high'"),
  choiceRow(
    plain({ reasoning_effort: "bogus" }),
    "reasoning_effort",
    "'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'",
  ),
  choiceRow(
    plain({ prompt_cache_retention: "bogus" }),
    "prompt_cache_retention",
    "'in_memory' and '24h'",
  ),
  choiceRow(plain({ modalities: ["text", "bogus"] }), "modalities[1]", "'text' and 'audio'"),
  choiceRow(
    plain({ tools: [TOOL], tool_choice: "bogus" }),
    "tool_choice",
    "'none', 'auto', and 'required'",
  ),
  choiceRow(
    plain({ response_format: { type: "bogus" } }),
    "response_format.type",
    "'json_object', 'json_schema', and 'text'",
  ),
  // Inside objects.
  missingRow(plain({ response_format: {} }), "response_format.type"),
  missingRow(
    plain({ response_format: { type: "json_schema" } }),
    "response_format.json_schema",
  ),
  missingRow(
    plain({ response_format: { type: "json_schema", json_schema: {} } }),
    "response_format.json_schema.name",
  ),
  missingRow(plain({ tools: [{ function: { name: "f" } }] }), "tools[0].type"),
  choiceRow(plain({ tools: [{ type: "bogus" }] }), "tools[0].type", "'function' and 'custom'"),
  missingRow(plain({ tools: [TOOL, { type: "function" }] }), "tools[1].function"),
  missingRow(plain({ tools: [{ type: "function", function: {} }] }), "tools[0].function.name"),
  missingRow(plain({ tools: [{ type: "custom", custom: {} }] }), "tools[0].custom.name"),
  missingRow(plain({ prediction: { type: "content" } }), "prediction.content"),
  missingRow(plain({ audio: { voice: "alloy" } }), "audio.format"),
  missingRow(plain({ moderation: {} }), "moderation.model"),
  [
    plain({ stream: true, stream_options: { include_usage: "yes" } }),
    "Invalid type for 'stream_options.include_usage': expected a boolean, but got a string instead.",
    "stream_options.include_usage",
    "invalid_type",
  ],
  [
    plain({ metadata: { k: 1 } }),
    "Invalid type for 'metadata.k': expected a string, but got an integer instead.",
    "metadata.k",
    "invalid_type",
  ],
  [
    plain({ logit_bias: { 50256: "1" } }),
    "Invalid type for 'logit_bias.50256': expected an integer, but got a string instead.",
    "logit_bias.50256",
    "invalid_type",
  ],
];

function unknownRow(key: string, help = ""): Row {
  return [
    plain({ [key]: 1 }),
    `Unknown parameter: '${key}'.${help}${UNKNOWN_HELP}`,
    key,
    "unknown_parameter",
  ];
}

const OPEN_CALL =
  "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ";
const NO_JSON_WORD =
  "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";

/** An object within which is open. */
const OPEN_SCHEMA = {
  schema: {
    type: "object",
    properties: { a: { type: "object", properties: {}, required: [] } },
    required: ["a"],
    additionalProperties: false,
  },
  strict: true,
} as const;

/** Refused on `live`, accepted on `spec`. */
const LIVE_ONLY: readonly Row[] = [
  // What a model does not take.
  ...["gpt-5-mini", "gpt-4o", "o3-mini", "ft:gpt-4o:me::id"].map((model): Row => [
    { ...talk(HELLO, { role: "user", content: [{ type: "text", text: "x" }, AUDIO] }), model },
    "Invalid 'messages[1]'. Content blocks are expected to be either text or image_url type.",
    "messages[1]",
    "invalid_value",
  ]),
  [
    talk(HELLO, { role: "assistant", tool_calls: [CALL] }, {
      role: "tool",
      tool_call_id: CALL.id,
      content: [IMAGE],
    }),
    "Invalid 'messages[2]'. Image URLs are only allowed for messages with role 'user', but this message with role 'tool' contains an image URL.",
    "messages[2]",
    "invalid_value",
  ],
  unknownRow("zzz"),
  unknownRow("stor", " Did you mean 'stop' or 'store'?"),
  unknownRow("top_k", " Did you mean 'top_p'?"),
  unknownRow("temprature", " Did you mean 'temperature'?"),
  unknownRow("stream_option", " Did you mean 'stream_options'?"),
  unknownRow("constructor"),
  [
    parsed('{"model":"m","messages":[{"role":"user","content":"x"}],"__proto__":{"n":2}}'),
    `Unknown parameter: '__proto__'.${UNKNOWN_HELP}`,
    "__proto__",
    "unknown_parameter",
  ],
  [
    plain({ stream: true, stream_options: { usage: true } }),
    `Unknown parameter: 'stream_options.usage'.${UNKNOWN_HELP}`,
    "stream_options.usage",
    "unknown_parameter",
  ],
  ...[{}, { stream: false }, { stream: null }].map((more): Row => [
    plain({ ...more, stream_options: { include_usage: true } }),
    "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    "stream_options",
    null,
  ]),
  [
    plain({ top_logprobs: 2 }),
    "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
    "top_logprobs",
    null,
  ],
  [
    plain({ response_format: { type: "json_schema", json_schema: { ...OPEN_SCHEMA, name: "s" } } }),
    "Invalid schema for response_format 's': In context=('properties', 'a'), 'additionalProperties' is required to be supplied and to be false.",
    "response_format",
    null,
  ],
  [
    plain({
      tools: [TOOL, {
        type: "function",
        function: { name: "f", parameters: OPEN_SCHEMA.schema, strict: true },
      }],
    }),
    "Invalid schema for function 'f': In context=('properties', 'a'), 'additionalProperties' is required to be supplied and to be false.",
    "tools[1].function.parameters",
    "invalid_function_parameters",
  ],
  [
    plain({ moderation: { model: "bogus" } }),
    "Invalid value: 'bogus'. Supported values are: 'omni-moderation-latest' and 'text-moderation-latest'.",
    "moderation.model",
    "invalid_value",
  ],
  ...["string", "bogus"].map((type): Row => [
    plain({ tools: [{ type: "function", function: { name: "f", parameters: { type } } }] }),
    `Invalid schema for function 'f': schema must be a JSON Schema of 'type: "object"', got 'type: "${type}"'.`,
    "tools[0].function.parameters",
    "invalid_function_parameters",
  ]),
  ...["wav", "mp3"].map((format): Row => [
    plain({ stream: true, modalities: ["text", "audio"], audio: { voice: "alloy", format } }),
    `Unsupported value: 'audio.format' does not support '${format}' when stream=true. Supported values are: 'pcm16'.`,
    "audio.format",
    "unsupported_value",
  ]),
  ...["gpt-4o", "gpt-5"].map((model): Row => [
    plain({ model, web_search_options: {} }),
    "Web search options not supported with this model.",
    "web_search_options",
    null,
  ]),
  lowRow("max_tokens", 0, 1),
  lowRow("max_tokens", -1, 1),
  lowRow("max_completion_tokens", 0, 1),
  choiceRow(
    plain({ service_tier: "bogus" }),
    "service_tier",
    "'auto', 'default', 'fast', 'flex', and 'priority'",
  ),
  [plain({ response_format: { type: "json_object" } }), NO_JSON_WORD, "messages", null],
  [
    talk(HELLO, { role: "assistant", content: null, tool_calls: [CALL] }),
    `${OPEN_CALL}call_1`,
    "messages",
    null,
  ],
  [
    talk(
      HELLO,
      { role: "assistant", tool_calls: [CALL, { ...CALL, id: "call_2" }, { ...CALL, id: "c3" }] },
      { role: "tool", tool_call_id: "call_2", content: "x" },
      HELLO,
    ),
    `${OPEN_CALL}call_1, c3`,
    "messages",
    null,
  ],
  [
    talk(HELLO, { role: "tool", tool_call_id: "call_1", content: "x" }),
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
    "messages.[1].role",
    null,
  ],
  emptyRow(
    talk({ role: "assistant", content: "x", tool_calls: [] }),
    "messages[0].tool_calls",
  ),
  [talk(HELLO, { role: "assistant" }), NULL_CONTENT, "messages.[1].content", null],
  [
    plain({ functions: [{ name: "f" }], function_call: { name: "x" } }),
    "Invalid value for 'function_call': no function named 'x' was specified in the 'functions' parameter.",
    "function_call",
    null,
  ],
  [
    plain({ function_call: { name: "x" } }),
    "Invalid value for 'function_call': no function named 'x' was specified in the 'functions' parameter.",
    "function_call",
    null,
  ],
  [
    plain({ tools: [TOOL], tool_choice: { type: "function", function: { name: "x" } } }),
    "Invalid value for 'tool_choice': no function named 'x' was specified in the 'tools' parameter.",
    "tool_choice",
    null,
  ],
  [
    plain({ tool_choice: "auto" }),
    "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.",
    "tool_choice",
    null,
  ],
  [
    plain({ parallel_tool_calls: false }),
    "Invalid value for 'parallel_tool_calls': 'parallel_tool_calls' is only allowed when 'tools' are specified.",
    "parallel_tool_calls",
    null,
  ],
  emptyRow(plain({ tools: [] }), "tools"),
  longRow(plain({ tools: Array(129).fill(TOOL) }), "tools", 128, 129),
  [
    plain({ tools: [{ type: "function", function: { name: "" } }] }),
    "Invalid 'tools[0].function.name': empty string. Expected a string with minimum length 1, but got an empty string instead.",
    "tools[0].function.name",
    "empty_string",
  ],
  [
    plain({ tools: [{ type: "function", function: { name: "a b" } }] }),
    "Invalid 'tools[0].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
    "tools[0].function.name",
    "invalid_value",
  ],
  textLongRow(
    plain({ tools: [{ type: "function", function: { name: "f".repeat(65) } }] }),
    "tools[0].function.name",
    64,
    65,
  ),
  [
    plain({ metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, "v"])) }),
    "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, but got an object with 17 properties instead.",
    "metadata",
    "object_above_max_properties",
  ],
  textLongRow(plain({ metadata: { k: "v".repeat(600) } }), "metadata.k", 512, 600),
  textLongRow(plain({ metadata: { k: "😀".repeat(513) } }), "metadata.k", 512, 513),
  [
    plain({ metadata: { ["k".repeat(70)]: "v" } }),
    "Invalid property name in 'metadata': 'kkk...kkk' is too long. Expected a string with maximum length 64, but got a string with length 70 instead.",
    "metadata",
    "property_name_above_max_length",
  ],
  [
    plain({ logit_bias: { foo: 0 } }),
    "Invalid key in 'logit_bias': foo. You should only be submitting non-negative integers.",
    "logit_bias",
    null,
  ],
  [
    plain({ logit_bias: { 50256: 101 } }),
    "Invalid 'logit_bias.50256': integer above maximum value. Expected a value <= 100, but got 101 instead.",
    "logit_bias.50256",
    "integer_above_max_value",
  ],
];

/** `spec` has the enum of the schema, `live` the list of the live API. */
const TIER: Row = choiceRow(
  plain({ service_tier: "bogus" }),
  "service_tier",
  "'auto', 'default', 'flex', 'scale', 'priority', and 'fast'",
);

/** Accepted on both levels. */
const RIGHT: readonly Body[] = [
  plain(),
  plain({ stream: true, stream_options: { include_usage: true, include_obfuscation: false } }),
  plain({ stop: "" }),
  plain({ stop: [] }),
  plain({ n: 128, top_logprobs: 20, logprobs: true, max_tokens: 1, temperature: 2, top_p: 0 }),
  plain({ seed: Number.MAX_SAFE_INTEGER, logit_bias: { 50256: -100 }, user: "" }),
  plain({ metadata: Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, "v"])) }),
  plain({ metadata: { ["😀".repeat(64)]: "😀".repeat(512) } }),
  plain({ tools: [TOOL], tool_choice: { type: "function", function: { name: "weather" } } }),
  plain({ tools: [{ type: "custom", custom: { name: "c", format: { type: "text" } } }] }),
  plain({ tools: [TOOL], tool_choice: "required", parallel_tool_calls: false }),
  plain({ functions: [{ name: "f", parameters: {} }], function_call: { name: "f" } }),
  plain({ response_format: { type: "json_schema", json_schema: { name: "s", schema: {} } } }),
  plain({ modalities: ["text"], audio: { voice: "alloy", format: "wav" } }),
  plain({ prediction: { type: "content", content: "x" } }),
  plain({ model: "gpt-4o-search-preview", web_search_options: {} }),
  plain({ model: "qwen3", web_search_options: {} }),
  plain({
    stream: true,
    modalities: ["text", "audio"],
    audio: { voice: "alloy", format: "pcm16" },
  }),
  ...[false, undefined].map((strict) =>
    plain({
      response_format: {
        type: "json_schema",
        json_schema: { ...OPEN_SCHEMA, name: "s", strict },
      },
    })
  ),
  plain({ reasoning_effort: "none", verbosity: "low", service_tier: "flex", store: false }),
  {
    ...talk({ role: "user", content: "Answer in JSON." }),
    response_format: { type: "json_object" },
  },
  {
    ...parts("user", { type: "text", text: "as Json" }),
    response_format: { type: "json_object" },
  },
  talk({ role: "developer", content: "你好" }, { role: "user", content: "😀", name: "n", x: 1 }),
  talk(
    HELLO,
    { role: "assistant", content: null, tool_calls: [CALL, { ...CALL, id: "call_2" }] },
    { role: "tool", tool_call_id: "call_2", content: "x" },
    { role: "tool", tool_call_id: "call_1", content: [{ type: "text", text: "y" }] },
    HELLO,
  ),
  talk(HELLO, { role: "assistant", content: null, refusal: "No." }),
  talk(HELLO, { role: "function", name: "f", content: null }),
  parts("user", { type: "image_url", image_url: { url: "u", detail: "low" } }, {
    type: "file",
    file: { file_id: "f" },
  }),
  ...["gpt-4o-audio-preview", "gpt-audio-mini", "gpt-4o-realtime-preview", "qwen3-omni"].map((
    model,
  ) => ({ ...parts("user", AUDIO), model })),
  ...["gpt-5.2", "gpt-6-sol", "qwen3-vl"].map((model) => ({
    ...talk({ role: "assistant", tool_calls: [CALL] }, {
      role: "tool",
      tool_call_id: CALL.id,
      content: [IMAGE],
    }),
    model,
  })),
  // Null where the schema says nullable is as good as absent.
  plain(
    Object.fromEntries(
      [...CHAT_PARAMS].filter(([, { rule }]) => rule.isNullable).map(([name]) => [name, null]),
    ),
  ),
];

describe("parseChatRequest()", () => {
  for (const row of ALWAYS) {
    test(`refuses ${shown(row[0])} on both levels`, () => {
      expectRow(row, "live");
      expectRow(row, "spec");
    });
  }

  for (const row of LIVE_ONLY) {
    test(`refuses ${shown(row[0])} on live only`, () => {
      expectRow(row, "live");
      if (row[2] !== "service_tier") expect(failure(row[0], "spec")).toBeUndefined();
    });
  }

  test("lists the schema's service tiers on spec", () => {
    expectRow(TIER, "spec");
    expect(failure(plain({ service_tier: "scale" }), "spec")).toBeUndefined();
    expect(failure(plain({ service_tier: "scale" }), "live")?.param).toBe("service_tier");
  });

  for (const body of RIGHT) {
    test(`accepts ${shown(body)} on both levels`, () => {
      expect(failure(body, "live")).toBeUndefined();
      expect(failure(body, "spec")).toBeUndefined();
    });
  }

  test("accepts on spec what OpenAI's own SDK tests send", () => {
    const body = {
      messages: [{ content: "string", role: "developer", name: "name" }],
      model: "gpt-6-sol",
      logit_bias: { foo: 0 },
      max_completion_tokens: 0,
      max_tokens: 0,
      metadata: { foo: "string" },
      n: 1,
      stop: "\n",
      stream: false,
      stream_options: { include_obfuscation: true, include_usage: true },
      top_logprobs: 0,
      temperature: 1,
      zzz: 1,
    };
    expect(parseChatRequest(body, "spec").tokensMax).toBe(0);
    expect(failure(body, "live")?.message).toBe(`Unknown parameter: 'zzz'.${UNKNOWN_HELP}`);
  });
});

describe("parseChatRequest() gives", () => {
  const CASES: readonly (readonly [more: Body, expected: Body])[] = [
    [{}, {
      stream: undefined,
      isStream: false,
      wantsUsage: false,
      wantsObfuscation: true,
      choiceCount: 1,
      tokensMax: undefined,
      stop: [],
      params: {},
    }],
    [{ stream: true }, { stream: true, isStream: true }],
    [{ stream: false }, { stream: false, isStream: false }],
    [{ stream: null }, { stream: undefined, isStream: false }],
    [{ stream: true, stream_options: null }, { wantsUsage: false, wantsObfuscation: true }],
    [{ stream: true, stream_options: { include_usage: true } }, {
      wantsUsage: true,
      wantsObfuscation: true,
      params: {},
    }],
    [{ stream: true, stream_options: { include_obfuscation: false } }, {
      wantsUsage: false,
      wantsObfuscation: false,
    }],
    [{ n: 3 }, { choiceCount: 3, params: {} }],
    [{ n: null }, { choiceCount: 1 }],
    [{ max_tokens: 5 }, { tokensMax: 5, params: {} }],
    [{ max_completion_tokens: 7, max_tokens: null }, { tokensMax: 7 }],
    [{ max_completion_tokens: 7, max_tokens: 5 }, { tokensMax: 5 }],
    [{ stop: "\n" }, { stop: ["\n"], params: {} }],
    [{ stop: "" }, { stop: [] }],
    [{ stop: null }, { stop: [] }],
    [{ stop: [] }, { stop: [] }],
    [{ stop: ["a", "", "b"] }, { stop: ["a", "b"] }],
    [{ temperature: 0.5, user: "u", seed: null }, {
      params: { temperature: 0.5, user: "u", seed: null },
    }],
  ];
  for (const [more, expected] of CASES) {
    test(`${shown(expected)} for ${shown(more)}`, () => {
      const request = parseChatRequest(plain(more), "live");
      const { model, messages, ...rest } = request;
      expect(model).toBe("gpt-4o");
      expect(messages).toEqual([HELLO]);
      for (const [key, value] of Object.entries(expected)) {
        expect((rest as Body)[key], key).toEqual(value);
      }
    });
  }

  test("a key __proto__ as a plain key, on spec", () => {
    const body = parsed(
      '{"model":"m","messages":[{"role":"user","content":"x"}],"__proto__":{"n":2}}',
    );
    const { params, choiceCount } = parseChatRequest(body, "spec");
    expect(Object.keys(params)).toEqual(["__proto__"]);
    expect(Object.getPrototypeOf(params)).toBeNull();
    expect(JSON.stringify({ ...params })).toBe('{"__proto__":{"n":2}}');
    expect(choiceCount).toBe(1);
  });

  test("shared constants that nobody can write into", () => {
    const { params, stop } = parseChatRequest(plain(), "live");
    expect(Object.isFrozen(params) && Object.isFrozen(stop)).toBe(true);
  });
});

/** Values that are wrong for themselves, in the order in which the live API reports them. */
const IN_ORDER: readonly (readonly [key: string, value: unknown])[] = [
  ["messages", "x"],
  ["functions", []],
  ["function_call", 1],
  ["tools", 1],
  ["tool_choice", 1],
  ["parallel_tool_calls", 1],
  ["max_completion_tokens", "x"],
  ["n", 0],
  ["temperature", "x"],
  ["top_p", 2],
  ["presence_penalty", 3],
  ["frequency_penalty", 3],
  ["logprobs", 1],
  ["top_logprobs", 99],
  ["user", 1],
  ["seed", 1.5],
  ["moderation", 1],
  ["safety_identifier", 1],
  ["prompt_cache_options", 1],
  ["prompt_cache_key", 1],
  ["prompt_cache_retention", "x"],
  ["response_format", 1],
  ["service_tier", "x"],
  ["max_tokens", 0],
  ["reasoning_effort", "x"],
  ["logit_bias", 1],
  ["stop", 1],
  ["stream", 1],
  ["stream_options", 1],
  ["store", 1],
  ["metadata", 1],
  ["prediction", 1],
  ["verbosity", "x"],
];

describe("of two faults parseChatRequest() reports", () => {
  for (let i = 0; i + 1 < IN_ORDER.length; i++) {
    const [first, second] = [IN_ORDER[i]!, IN_ORDER[i + 1]!];
    test(`${first[0]} before ${second[0]}, whichever stands first`, () => {
      const forward = plain(Object.fromEntries([first, second]));
      const backward = Object.fromEntries([second, first, ...Object.entries(plain())]);
      for (const body of [forward, { ...backward, ...Object.fromEntries([first]) }]) {
        expect(failure(body, "live")?.param).toBe(first[0]);
      }
    });
  }

  const PAIRS: readonly (readonly [name: string, body: Body, message: string])[] = [
    ["the model before the messages", {}, NO_MODEL],
    ["the model before unknown keys", { zzz: 1 }, NO_MODEL],
    [
      "absent messages before unknown keys",
      { zzz: 1, model: "m" },
      "Missing required parameter: 'messages'.",
    ],
    [
      "unknown keys before wrong messages",
      { ...talk(), zzz: 1 },
      `Unknown parameter: 'zzz'.${UNKNOWN_HELP}`,
    ],
    [
      "the first unknown key",
      plain({ yyy: 1, zzz: 1 }),
      `Unknown parameter: 'yyy'.${UNKNOWN_HELP}`,
    ],
    [
      "a wrong parameter before missing content",
      { ...talk({ role: "user" }), verbosity: 1 },
      "Invalid type for 'verbosity': expected a string, but got an integer instead.",
    ],
    [
      "joined parameters before missing content",
      { ...talk({ role: "user" }), top_logprobs: 1 },
      "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
    ],
    [
      "the word json before missing content",
      { ...talk({ role: "user" }), response_format: { type: "json_object" } },
      NO_JSON_WORD,
    ],
    [
      "a missing tool result before missing content",
      talk({ role: "user" }, { role: "assistant", tool_calls: [CALL] }),
      `${OPEN_CALL}call_1`,
    ],
    [
      "a later message's role before an earlier one's missing content",
      talk({ role: "user" }, {}),
      "Missing required parameter: 'messages[1].role'.",
    ],
  ];
  for (const [name, body, message] of PAIRS) {
    test(name, () => expect(failure(body, "live")?.message).toBe(message));
  }
});

describe("parseChatRequest() survives", () => {
  test("100 000 messages", () => {
    const body = talk(...Array.from({ length: 100_000 }, () => HELLO));
    expect(parseChatRequest(body, "live").messages.length).toBe(100_000);
    (body["messages"] as unknown[]).push({ role: "bogus" });
    expect(failure(body, "live")?.param).toBe("messages[100000].role");
  });

  test("100 000 tool calls without results, with a short text", () => {
    const calls = Array.from({ length: 100_000 }, (_, i) => ({ ...CALL, id: `call_${i}` }));
    const error = failure(talk({ role: "assistant", tool_calls: calls }), "live");
    expect(error!.message).toStartWith(`${OPEN_CALL}call_0, call_1`);
    expect(error!.message.length).toBeLessThan(1000);
  });

  for (const level of ["live", "spec"] as const) {
    test(`nesting 100 000 deep anywhere, on ${level}`, () => {
      let deep: unknown = 1;
      for (let i = 0; i < 100_000; i++) deep = i % 2 === 0 ? [deep] : { type: "function", a: deep };
      for (const key of [...CHAT_PARAMS.keys(), "zzz"]) {
        const error = failure(plain({ [key]: deep }), level);
        if (error !== undefined) expect(error.message.length).toBeLessThan(1000);
      }
      failure(talk({ role: "user", content: deep }), level);
      failure(talk({ role: "user", content: [deep] }), level);
      failure(
        plain({ tools: [{ type: "function", function: { name: "f", parameters: deep } }] }),
        level,
      );
    });
  }

  test("huge texts, keys and lists, and repeats little of them", () => {
    const huge = "长".repeat(8_000_000);
    const bodies: readonly Body[] = [
      plain({ [huge]: 1 }),
      plain({ reasoning_effort: huge }),
      plain({ safety_identifier: huge }),
      plain({ metadata: { [huge]: "v" } }),
      plain({ metadata: { k: huge } }),
      plain({ logit_bias: { [huge]: 1 } }),
      plain({ tools: [{ type: "function", function: { name: huge } }] }),
      plain({ tools: [TOOL], tool_choice: { type: "function", function: { name: huge } } }),
      talk({ role: huge, content: "x" }),
      { ...talk({ role: "user", content: huge }), response_format: { type: "json_object" } },
      talk({ role: "assistant", tool_calls: [{ ...CALL, id: huge }] }),
      plain({ stop: Array(1_000_000).fill("x") }),
    ];
    for (const body of bodies) {
      expect(errorText(failure(body, "live")!).length).toBeLessThan(1500);
    }
    expect(failure(talk({ role: "user", content: huge }), "live")).toBeUndefined();
  });

  test("half a character pair, without sending one out", () => {
    const error = failure(plain({ verbosity: "\ud83d" }), "live");
    expect(error!.message.isWellFormed()).toBe(true);
    const cut = failure(plain({ verbosity: `x${"😀".repeat(500)}` }), "live");
    expect(cut!.message.isWellFormed()).toBe(true);
  });
});

const FUZZ_VALUES: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e300,
  "",
  "auto",
  "json_object",
  "function",
  "tool",
  "assistant",
  "__proto__",
  "constructor",
  "😀",
  "\ud83d",
  [],
  [null],
  ["a"],
  [[]],
  {},
  { type: "text" },
  { name: "x" },
  parsed('{"__proto__":{"role":"user"}}'),
];
const FUZZ_KEYS: readonly string[] = [
  ...CHAT_PARAMS.keys(),
  "role",
  "content",
  "type",
  "function",
  "name",
  "id",
  "tool_calls",
  "tool_call_id",
  "__proto__",
  "toString",
  "zzz",
];

/** Changes one place of `body`: sets, adds or deletes. */
function mutate(body: unknown, random: () => number): void {
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;
  let place = body as Body;
  for (;;) {
    const inner = Object.values(place).filter((value) =>
      typeof value === "object" && value !== null
    );
    if (inner.length === 0 || random() < 0.25) break;
    place = pick(inner) as Body;
  }
  const keys = Object.keys(place);
  const key = random() < 0.6 && keys.length > 0 ? pick(keys) : pick(FUZZ_KEYS);
  if (random() < 0.2) delete place[key];
  else {
    const value = structuredClone(pick(FUZZ_VALUES));
    const descriptor = { value, enumerable: true, writable: true, configurable: true };
    if (!(Array.isArray(place) && key === "length")) Object.defineProperty(place, key, descriptor);
  }
}

describe("parseChatRequest() throws nothing but a 400", () => {
  const seedBody = {
    ...RIGHT[1]!,
    messages: RIGHT.find(({ messages }) => (messages as unknown[]).length === 5)!["messages"],
    tools: [TOOL],
    tool_choice: { type: "function", function: { name: "weather" } },
    response_format: { type: "json_schema", json_schema: { name: "s" } },
    metadata: { k: "v" },
    logit_bias: { 1: 1 },
    stop: ["x"],
    n: 2,
    temperature: 1,
  };
  for (let seed = 1; seed <= 8; seed++) {
    test(`on 2 500 bodies changed at random, seed ${seed}`, () => {
      const random = seeded(seed);
      let refusedCount = 0;
      for (let i = 0; i < 2500; i++) {
        const body = structuredClone(seedBody);
        const changes = 1 + Math.floor(random() * 3);
        for (let k = 0; k < changes; k++) mutate(body, random);
        for (const level of ["live", "spec"] as const) {
          const error = failure(body, level);
          if (error === undefined) continue;
          refusedCount++;
          expect(error.status, shown(body)).toBe(400);
          expect(error.message.length).toBeLessThan(1000);
          expect(Object.keys(JSON.parse(errorText(error)).error)).toEqual([
            "message",
            "type",
            "param",
            "code",
          ]);
        }
        // What live accepts, spec accepts.
        if (failure(body, "live") === undefined) {
          expect(failure(body, "spec"), shown(body)).toBeUndefined();
        }
      }
      expect(refusedCount).toBeGreaterThan(1000);
    });
  }
});
