/**
 * The body of `POST /api/chat`: one schema that checks it and that `/openapi.json` shows.
 *
 * @module
 */

import { checkDepth, checkSize } from "../../core/depth.ts";
import { EMPTY_TURN, type Message, MODEL_CHARS_MAX, type Turn } from "../../core/turn.ts";
import { faultsOf, Unprocessable } from "../detail/unprocessable.ts";
import type { Fields, Rule } from "../openai/check.ts";
import { type JsonSchema, objectSchema } from "../openai/check_schema.ts";

const NEEDED_TEXT: Rule = { kind: "string", isRequired: true };
const PARTS: Rule = {
  kind: "list",
  of: "objects",
  item: { kind: "object", fields: [["type", NEEDED_TEXT]] },
};
const MESSAGE: Rule = {
  kind: "object",
  fields: [
    ["role", NEEDED_TEXT],
    ["content", {
      kind: "either",
      text: { kind: "string" },
      other: PARTS,
      expected: "text, or parts in OpenAI's shape",
      isRequired: true,
    }],
  ],
};

/** What the body has. Keys that are not here go to the model as they are. */
const FIELDS: Fields = [
  ["messages", { kind: "list", of: "objects", item: MESSAGE, min: 1, isRequired: true }],
  ["model", { kind: "string", lengthMax: MODEL_CHARS_MAX, isNullable: true }],
  ["temperature", { kind: "decimal", min: 0, max: 2, isNullable: true }],
  ["max_tokens", { kind: "integer", min: 1, isNullable: true }],
  ["top_p", { kind: "decimal", min: 0, max: 1, isNullable: true }],
  ["presence_penalty", { kind: "decimal", min: -2, max: 2, isNullable: true }],
  ["frequency_penalty", { kind: "decimal", min: -2, max: 2, isNullable: true }],
  ["stop", {
    kind: "either",
    text: { kind: "string" },
    other: { kind: "list", of: "strings", item: { kind: "string" }, max: 4 },
    expected: "text, or up to four texts: the answer ends before the first of them",
    isNullable: true,
  }],
];

/** The schema, for who reads about it. */
export const API_CHAT_BODY: JsonSchema = described(objectSchema(FIELDS), {
  messages: "the conversation so far, the question last",
  model: "absent: llm.model_id, else gpt-3.5-turbo",
  max_tokens: "the most tokens the answer may have",
  stop: "the answer ends before the first of these",
});

/** `schema` with what is said about its properties. */
function described(schema: JsonSchema, about: Readonly<Record<string, string>>): JsonSchema {
  const properties = { ...schema["properties"] as Readonly<Record<string, object>> };
  for (const [name, description] of Object.entries(about)) {
    properties[name] = { ...properties[name], description };
  }
  return { ...schema, properties };
}

/** A body without faults. */
interface ApiChatBody {
  readonly [key: string]: unknown;
  readonly messages: readonly Message[];
  readonly model?: string | null;
  readonly max_tokens?: number | null;
  readonly stop?: string | readonly string[] | null;
}

/** What has a place of its own in a turn; and the stream, which this surface always is. */
const NOT_PASSED_ON: ReadonlySet<string> = new Set([
  "messages",
  "model",
  "max_tokens",
  "stop",
  "stream",
  "stream_options",
  "n",
]);

/**
 * The turn in `body`, a parsed JSON value. `defaultModel` answers when it names none.
 *
 * @throws {Unprocessable} with what is wrong with it.
 */
export function parseApiChat(body: unknown, defaultModel: string): Turn {
  const faults = faultsOf(body, FIELDS);
  if (faults.length > 0) throw new Unprocessable(faults);
  const given = body as ApiChatBody;
  const params: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(given)) {
    // What is null is as good as absent; upstreams differ in what they think of it.
    if (!NOT_PASSED_ON.has(key) && given[key] !== null) params[key] = given[key];
  }
  return {
    ...EMPTY_TURN,
    ...(given.model ? { model: given.model } : { model: defaultModel, isDefaultModel: true }),
    messages: given.messages,
    isStream: true,
    tokensMax: given.max_tokens ?? undefined,
    stop: stopOf(given.stop),
    params,
  };
}

function stopOf(stop: ApiChatBody["stop"]): readonly string[] {
  if (!stop) return [];
  return typeof stop === "string" ? [stop] : stop.filter((text) => text !== "");
}

/**
 * The turn in `text`, the body of a request. `defaultModel` answers when it names none.
 *
 * @throws {Unprocessable} with what is wrong with it; {AppError} 400 when it nests too deep
 * or has too many fields.
 */
export function readRequest(text: string, defaultModel: string): Turn {
  checkSize(text);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw invalidJson();
  }
  checkDepth(text, body);
  return parseApiChat(body, defaultModel);
}

/** The body is not JSON: 422. */
function invalidJson(): Unprocessable {
  return new Unprocessable([{
    type: "json_invalid",
    loc: ["body", 0],
    msg: "JSON decode error",
    input: {},
    ctx: { error: "Expecting value" },
  }]);
}
