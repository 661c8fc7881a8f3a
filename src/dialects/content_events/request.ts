/**
 * The body of `POST /api/chat`: one schema that checks it and that `/openapi.json` shows.
 *
 * @module
 */

import { z } from "zod";
import { EMPTY_TURN, type Message, type Turn } from "../../core/turn.ts";
import { Unprocessable, unprocessable } from "../detail/unprocessable.ts";

const PART = z.looseObject({ type: z.string() });

/** The schema. Keys that it does not name go to the model as they are. */
export const API_CHAT_BODY = z.looseObject({
  messages: z.array(z.looseObject({
    role: z.string().describe("system, user or assistant"),
    content: z.union([z.string(), z.array(PART)]).describe("text, or parts in OpenAI's shape"),
  })).min(1).describe("the conversation so far, the question last"),
  model: z.string().nullish().describe("absent: llm.model_id, else gpt-3.5-turbo"),
  temperature: z.number().min(0).max(2).nullish(),
  max_tokens: z.int().min(1).nullish().describe("the most tokens the answer may have"),
  top_p: z.number().min(0).max(1).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish()
    .describe("the answer ends before the first of these"),
});

type ApiChatBody = z.infer<typeof API_CHAT_BODY>;

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
 * @throws {Unprocessable} with everything that is wrong with it.
 */
export function parseApiChat(body: unknown, defaultModel: string): Turn {
  const checked = API_CHAT_BODY.safeParse(body, { reportInput: true });
  if (!checked.success) throw unprocessable(body, checked.error.issues);
  const given = body as ApiChatBody;
  const params: Record<string, unknown> = Object.create(null);
  for (const key of Object.keys(given)) {
    // What is null is as good as absent; upstreams differ in what they think of it.
    if (!NOT_PASSED_ON.has(key) && given[key] !== null) params[key] = given[key];
  }
  return {
    ...EMPTY_TURN,
    ...(given.model ? { model: given.model } : { model: defaultModel, isDefaultModel: true }),
    messages: given.messages as readonly Message[],
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
 * @throws {Unprocessable} with everything that is wrong with it.
 */
export function readRequest(text: string, defaultModel: string): Turn {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw invalidJson();
  }
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
