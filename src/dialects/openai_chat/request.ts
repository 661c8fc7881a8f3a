/**
 * The body of `POST /v1/chat/completions`: checked in one pass, worded as the live API words it.
 *
 * The hot path of every request: no error text, path or copy is made while the body is right, so a
 * body of model, messages and stream costs some 0.1 µs.
 *
 * @module
 */

import { type Message, MODEL_CHARS_MAX, type Turn } from "../../core/turn.ts";
import { checkTalk, hasJsonWord } from "./messages.ts";
import { CHAT_PARAMS } from "./params.ts";
import { chatAbilityFault } from "../openai/abilities.ts";
import { check, checkLength, isObject, type JsonObject, type Level } from "../openai/check.ts";
import { errorOf, type Fault, missing, refused, under, unknownKey } from "../openai/faults.ts";
import { brokenJson, modelAbsent } from "../openai/errors.ts";

/**
 * A turn, and what only this dialect knows. `model` is never "", `messages` never empty,
 * `choiceCount` is `n` (1 to 128), `tokensMax` the smaller of `max_tokens` and
 * `max_completion_tokens` (never negative), `stop` holds 0 to 4 texts, none of them empty.
 * `params` has no prototype, so that "__proto__" is a plain key.
 */
export interface ChatRequest extends Turn {
  /** undefined = absent or null: a persona decides what that means. */
  readonly stream: boolean | undefined;
  /** `stream_options.include_obfuscation`: true unless the client says false. */
  readonly wantsObfuscation: boolean;
}

const NO_PARAMS: Readonly<Record<string, unknown>> = Object.freeze(Object.create(null));
const NO_STOP: readonly string[] = Object.freeze([]);

/**
 * The request in `body`, a parsed JSON value.
 *
 * Of several faults the one is reported that the live API reports first (docs/facts/openai_api.md
 * "Order of faults"): presence of the model, then of the messages, unknown keys, parameters in the
 * order of the table, rules that join messages, missing content.
 *
 * `isPlayed`: weir plays the model itself, and what that one does not take is refused on `live`.
 *
 * @throws {AppError} 400 with the text, `param` and code of docs/facts/openai_api.md "Faults and
 * their words".
 */
export function parseChatRequest(body: unknown, level: Level, isPlayed = false): ChatRequest {
  if (!isObject(body)) throw brokenJson();
  const model = modelOf(body["model"]);
  if (body["messages"] === undefined) throw errorOf(missing("messages"));

  let params: Record<string, unknown> | undefined;
  let first: Fault | undefined;
  let firstRank = Infinity;
  for (const key in body) {
    const value = body[key];
    const param = CHAT_PARAMS.get(key);
    if (param === undefined || param.isPassedOn) {
      if (param === undefined && level === "live") {
        throw errorOf(unknownKey(key, CHAT_PARAMS.keys()));
      }
      params ??= Object.create(null) as Record<string, unknown>;
      params[key] = value;
    }
    if (param === undefined || param.rank > firstRank) continue;
    const fault = check(value, param.rule, level) ??
      (level === "live" ? param.joined?.(value, body) : undefined);
    if (fault === undefined) continue;
    first = under(key, fault);
    firstRank = param.rank;
  }
  if (isPlayed && level === "live") first ??= chatAbilityFault(body);
  first ??= checkWhole(body, level);
  if (first !== undefined) throw errorOf(first);
  return requestOf(model, body, params ?? NO_PARAMS);
}

function modelOf(model: unknown): string {
  if (model === undefined || model === null || model === "") throw modelAbsent();
  // Measured: `"model": 7` is answered like broken JSON (docs/facts/openai_api.md "Odd answers").
  if (typeof model !== "string") throw brokenJson();
  const tooLong = checkLength(model, MODEL_CHARS_MAX);
  if (tooLong !== undefined) throw errorOf(under("model", tooLong));
  return model;
}

/** The rules that need the whole body, when nothing else is wrong with it. */
function checkWhole(body: JsonObject, level: Level): Fault | undefined {
  const messages = body["messages"] as readonly JsonObject[];
  if (level === "live") {
    const format = body["response_format"] as JsonObject | undefined;
    if (format?.["type"] === "json_object" && !hasJsonWord(messages)) {
      return refused(
        "messages",
        "'messages' must contain the word 'json' in some form, " +
          "to use 'response_format' of type 'json_object'.",
      );
    }
  }
  return checkTalk(messages, level);
}

/** `body` is right: every cast here has been checked. */
function requestOf(
  model: string,
  body: JsonObject,
  params: Readonly<Record<string, unknown>>,
): ChatRequest {
  const options = body["stream_options"] as JsonObject | null | undefined;
  return {
    model,
    messages: body["messages"] as readonly Message[],
    stream: (body["stream"] as boolean | null | undefined) ?? undefined,
    isStream: body["stream"] === true,
    wantsUsage: options?.["include_usage"] === true,
    wantsObfuscation: options?.["include_obfuscation"] !== false,
    choiceCount: (body["n"] as number | null | undefined) ?? 1,
    tokensMax: tokensMaxOf(
      body["max_tokens"] as number | null | undefined,
      body["max_completion_tokens"] as number | null | undefined,
    ),
    stop: stopOf(body["stop"] as string | readonly string[] | null | undefined),
    params,
  };
}

function tokensMaxOf(
  older: number | null | undefined,
  newer: number | null | undefined,
): number | undefined {
  const tokensMax = Math.min(older ?? Infinity, newer ?? Infinity);
  return tokensMax === Infinity ? undefined : Math.max(0, tokensMax);
}

/** An empty text would end every answer before it begins: it stops nothing. */
function stopOf(stop: string | readonly string[] | null | undefined): readonly string[] {
  if (stop === undefined || stop === null || stop === "") return NO_STOP;
  return typeof stop === "string" ? [stop] : stop.filter((text) => text !== "");
}
