/**
 * Every parameter of `POST /v1/chat/completions`, in one closed table (docs/facts/openai_api.md
 * "Request parameters").
 *
 * The order is the measured one in which the live API reports the first fault
 * (docs/facts/openai_api.md "Order of faults"); the four it does not name (modalities, audio,
 * web_search_options, and `model`, which comes before all) stand at the end.
 *
 * @module
 */

import { JOINED_RULES, type JoinedRule } from "./joined.ts";
import { checkMessages } from "./messages.ts";
import {
  charCount,
  check,
  checkLength,
  type Fields,
  isObject,
  type Level,
  type Rule,
} from "../openai/check.ts";
import { echo, type Fault, refused, under, wrongType } from "../openai/faults.ts";
import { MODERATION_MODEL_RULE } from "../openai/moderations.ts";

/** Most pairs of `metadata`, and the most characters of its keys and values. */
const METADATA_PAIRS_MAX = 16;
const METADATA_KEY_CHARS_MAX = 64;
const METADATA_VALUE_CHARS_MAX = 512;
/** Most digits of a key of `logit_bias`: a token's number. */
const TOKEN_DIGITS_MAX = 10;

const BOOLEAN: Rule = { kind: "boolean" };
const TEXT: Rule = { kind: "string" };
const NEEDED_TEXT: Rule = { kind: "string", isRequired: true };
const NEEDED_NAME: Rule = { kind: "string", isName: true, isRequired: true };
const ANY: Rule = { kind: "any" };
const NEEDED: Rule = { kind: "any", isRequired: true };
const OBJECT: Rule = { kind: "object", fields: [] };
const NULLABLE_BOOLEAN: Rule = { kind: "boolean", isNullable: true };
const NULLABLE_TEXT: Rule = { kind: "string", isNullable: true };
const LEVELS = ["low", "medium", "high"] as const;

/** `fields` as a required object. */
function needed(fields: Fields): Rule {
  return { kind: "object", fields, isRequired: true };
}

const FUNCTION_FIELDS: Fields = [
  ["name", NEEDED_NAME],
  ["description", TEXT],
  ["parameters", OBJECT],
  ["strict", NULLABLE_BOOLEAN],
];

const TOOL: Rule = {
  kind: "tagged",
  tags: {
    function: [["function", needed(FUNCTION_FIELDS)]],
    custom: [[
      "custom",
      needed([
        ["name", NEEDED_NAME],
        ["description", TEXT],
        ["format", {
          kind: "tagged",
          tags: {
            text: [],
            grammar: [[
              "grammar",
              needed([
                ["definition", NEEDED_TEXT],
                ["syntax", { kind: "choice", values: ["lark", "regex"], isRequired: true }],
              ]),
            ]],
          },
        }],
      ]),
    ]],
  },
};

const TOOL_CHOICE: Rule = {
  kind: "either",
  expected: "one of a string or object",
  text: { kind: "choice", values: ["none", "auto", "required"] },
  other: {
    kind: "tagged",
    tags: {
      allowed_tools: [[
        "allowed_tools",
        needed([
          ["mode", { kind: "choice", values: ["auto", "required"], isRequired: true }],
          ["tools", { kind: "list", of: "objects", item: OBJECT, isRequired: true }],
        ]),
      ]],
      function: [["function", needed([["name", NEEDED_TEXT]])]],
      custom: [["custom", needed([["name", NEEDED_TEXT]])]],
    },
  },
};

const RESPONSE_FORMAT: Rule = {
  kind: "tagged",
  tags: {
    json_object: [],
    json_schema: [[
      "json_schema",
      needed([
        ["name", NEEDED_NAME],
        ["description", TEXT],
        ["schema", OBJECT],
        ["strict", NULLABLE_BOOLEAN],
      ]),
    ]],
    text: [],
  },
};

/** The texts that end an answer. */
export const STOP_RULE: Rule = {
  kind: "either",
  expected: "one of a string or array of strings",
  text: TEXT,
  // The schema wants one text at least; an empty list is common, and means none.
  other: { kind: "list", of: "strings", item: TEXT, max: 4 },
  isNullable: true,
};

/** How long a prompt is cached. */
export const RETENTION_RULE: Rule = {
  kind: "choice",
  values: ["in_memory", "24h"],
  isNullable: true,
};

/** How a stream is told. */
export const STREAM_OPTIONS_RULE: Rule = {
  kind: "object",
  isNullable: true,
  isClosed: true,
  fields: [["include_usage", BOOLEAN], ["include_obfuscation", BOOLEAN]],
};

const PREDICTION: Rule = {
  kind: "object",
  isNullable: true,
  fields: [
    ["type", { kind: "choice", values: ["content"], isRequired: true }],
    ["content", {
      kind: "either",
      expected: "one of a string or array of objects",
      text: TEXT,
      other: { kind: "list", of: "objects", item: OBJECT, min: 1 },
      isRequired: true,
    }],
  ],
};

/**
 * name → rule. `model` has none: `parseChatRequest` checks it before everything else. `n` may be
 * 128, as the schema says: the live limit hangs on the model (8 for gpt-5.6-terra), and the mock
 * plays every model. So may `top_logprobs` be 20.
 */
const RULES: Fields = [
  ["messages", { kind: "own", check: checkMessages }],
  ["functions", {
    kind: "list",
    of: "objects",
    item: { kind: "object", fields: FUNCTION_FIELDS },
    min: 1,
    max: 128,
  }],
  ["function_call", {
    kind: "either",
    expected: "one of a string or object",
    text: { kind: "choice", values: ["none", "auto"] },
    other: { kind: "object", fields: [["name", NEEDED_TEXT]] },
  }],
  // The schema has no limit of its own for tools; the live API has both.
  ["tools", { kind: "list", of: "objects", item: TOOL, liveMin: 1, liveMax: 128 }],
  ["tool_choice", TOOL_CHOICE],
  ["parallel_tool_calls", BOOLEAN],
  ["max_completion_tokens", { kind: "integer", liveMin: 1, isNullable: true }],
  ["n", { kind: "integer", min: 1, max: 128, isNullable: true }],
  ["temperature", { kind: "decimal", min: 0, max: 2, isNullable: true }],
  ["top_p", { kind: "decimal", min: 0, max: 1, isNullable: true }],
  ["presence_penalty", { kind: "decimal", min: -2, max: 2, isNullable: true }],
  ["frequency_penalty", { kind: "decimal", min: -2, max: 2, isNullable: true }],
  ["logprobs", NULLABLE_BOOLEAN],
  ["top_logprobs", { kind: "integer", min: 0, max: 20, isNullable: true }],
  ["user", TEXT],
  ["seed", { kind: "integer", min: -(2 ** 63), max: 2 ** 63, isNullable: true }],
  ["moderation", {
    kind: "object",
    isNullable: true,
    fields: [["model", MODERATION_MODEL_RULE], ["policy", ANY]],
  }],
  ["safety_identifier", { kind: "string", lengthMax: 64, isNullable: true }],
  ["prompt_cache_options", OBJECT],
  ["prompt_cache_key", NULLABLE_TEXT],
  ["prompt_cache_retention", RETENTION_RULE],
  ["response_format", RESPONSE_FORMAT],
  ["service_tier", {
    kind: "choice",
    values: ["auto", "default", "flex", "scale", "priority", "fast"],
    live: ["auto", "default", "fast", "flex", "priority"],
    isNullable: true,
  }],
  ["max_tokens", { kind: "integer", liveMin: 1, isNullable: true }],
  ["reasoning_effort", {
    kind: "choice",
    values: ["none", "minimal", "low", "medium", "high", "xhigh", "max"],
    isNullable: true,
  }],
  ["logit_bias", { kind: "own", check: checkLogitBias, isNullable: true }],
  ["stop", STOP_RULE],
  ["stream", NULLABLE_BOOLEAN],
  ["stream_options", STREAM_OPTIONS_RULE],
  ["store", NULLABLE_BOOLEAN],
  ["metadata", { kind: "own", check: checkMetadata, isNullable: true }],
  ["prediction", PREDICTION],
  ["verbosity", { kind: "choice", values: LEVELS, isNullable: true }],
  ["modalities", {
    kind: "list",
    of: "strings",
    item: { kind: "choice", values: ["text", "audio"] },
    isNullable: true,
  }],
  ["audio", {
    kind: "object",
    isNullable: true,
    fields: [["voice", NEEDED], ["format", NEEDED_TEXT]],
  }],
  ["web_search_options", {
    kind: "object",
    fields: [["user_location", { kind: "object", fields: [], isNullable: true }], [
      "search_context_size",
      { kind: "choice", values: LEVELS },
    ]],
  }],
  ["model", ANY],
];

/** Parameters that a turn carries in fields of its own, so that its `params` leave them out. */
const TURN_KEYS: ReadonlySet<string> = new Set([
  "model",
  "messages",
  "stream",
  "stream_options",
  "n",
  "max_tokens",
  "max_completion_tokens",
  "stop",
]);

/** One parameter. */
export interface Param {
  readonly rule: Rule;
  /** Its place in the order of reporting: the fault of the lowest rank is the one reported. */
  readonly rank: number;
  /** False: a turn carries it in a field of its own. */
  readonly isPassedOn: boolean;
  /** What the live API wants of the other parameters when this one is given. */
  readonly joined: JoinedRule | undefined;
}

/** Every known parameter. */
export const CHAT_PARAMS: ReadonlyMap<string, Param> = new Map(
  RULES.map(([name, rule], rank) => [name, {
    rule,
    rank,
    isPassedOn: !TURN_KEYS.has(name),
    joined: JOINED_RULES.get(name),
  }]),
);

const BIAS: Rule = { kind: "integer" };
const LIVE_BIAS: Rule = { kind: "integer", min: -100, max: 100 };

function checkLogitBias(value: unknown, level: Level): Fault | undefined {
  if (!isObject(value)) return wrongType("an object", value);
  for (const key in value) {
    if (level === "live" && !isTokenNumber(key)) {
      // The wording is not among the measured ones.
      return refused(
        "",
        `Invalid key in 'logit_bias': ${echo(key)}. ` +
          "You should only be submitting non-negative integers.",
      );
    }
    const fault = check(value[key], level === "live" ? LIVE_BIAS : BIAS, level);
    // A key of the `spec` level may be any text: the path names it only when it is short.
    if (fault !== undefined) return isTokenNumber(key) ? under(`.${key}`, fault) : fault;
  }
  return undefined;
}

function isTokenNumber(key: string): boolean {
  if (key.length === 0 || key.length > TOKEN_DIGITS_MAX) return false;
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i);
    if (unit < 48 || unit > 57) return false;
  }
  return true;
}

/** What is wrong with a request's `metadata`. */
export function checkMetadata(value: unknown, level: Level): Fault | undefined {
  if (!isObject(value)) return wrongType("a metadata object", value);
  let count = 0;
  let fault: Fault | undefined;
  for (const key in value) {
    count++;
    fault ??= checkPair(key, value[key], level);
  }
  if (level === "spec" || count <= METADATA_PAIRS_MAX) return fault;
  const say = (path: string) =>
    `Invalid '${path}': too many properties. Expected an object with at most ` +
    `${METADATA_PAIRS_MAX} properties, but got an object with ${count} properties instead.`;
  return { code: "object_too_large", path: "", say };
}

function checkPair(key: string, value: unknown, level: Level): Fault | undefined {
  const length = charCount(key, METADATA_KEY_CHARS_MAX);
  if (length > METADATA_KEY_CHARS_MAX) {
    if (level === "spec") {
      return typeof value === "string" ? undefined : wrongType("a string", value);
    }
    const ends = `${key.slice(0, 3)}...${key.slice(-3)}`.toWellFormed();
    const say = (path: string) =>
      `Invalid property name in '${path}': '${ends}' is too long. Expected a string with maximum ` +
      `length ${METADATA_KEY_CHARS_MAX}, but got a string with length ${length} instead.`;
    return { code: "property_name_too_long", path: "", say };
  }
  const fault = check(value, TEXT, level) ??
    (level === "live" ? checkLength(value as string, METADATA_VALUE_CHARS_MAX) : undefined);
  return fault === undefined ? undefined : under(`.${key}`, fault);
}
