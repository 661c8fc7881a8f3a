/**
 * Which answers are whole and good: only those are kept. One that nobody here can read is not.
 *
 * @module
 */

import type { DialectName } from "../../core/answer.ts";
import type { Fields } from "../../lib/http1/fields.ts";
import { SseParser } from "../../lib/sse.ts";
import { SseTail, StreamEnd } from "../../lib/sse_tail.ts";
import { PackedBody } from "../usage/packed_body.ts";
import { directivesOf } from "./wishes.ts";

/** How good streams end: an answer that broke off for a reason of the model's own has another end. */
const ENDS: Readonly<Partial<Record<DialectName, StreamEnd>>> = {
  openai_chat: StreamEnd.DONE,
  openai_completions: StreamEnd.DONE,
  openai_responses: StreamEnd.events("response.completed"),
  anthropic_messages: StreamEnd.events("message_stop"),
};

/** True when the head of an answer lets it be kept. `isForAll`: also for other clients. */
export function mayKeep(status: number, fields: Fields, isForAll: boolean): boolean {
  if (status !== 200 || fields.get("vary")?.includes("*") === true) return false;
  const said = directivesOf(fields.get("cache-control") ?? "");
  return !said.has("no-store") && !(isForAll && said.has("private"));
}

/**
 * True when `bytes`, a body of that head, are all of a good answer. `isUntilClose`: they ended with their
 * connection, which tells nothing.
 */
export function isWholeAnswer(
  dialect: DialectName,
  fields: Fields,
  bytes: Uint8Array,
  isUntilClose: boolean,
): boolean {
  const plain = plainBytes(fields.get("content-encoding"), bytes);
  if (plain === undefined) return false;
  const type = (fields.get("content-type") ?? "").toLowerCase();
  if (type.startsWith("text/event-stream")) return isWholeStream(dialect, plain);
  return !isUntilClose && type.includes("json") && isGoodJson(dialect, plain);
}

/** `bytes` without their compression; undefined = it cannot be undone here. */
function plainBytes(coding: string | null, bytes: Uint8Array): Buffer | undefined {
  if (coding === null || coding.trim().toLowerCase() === "identity") return bufferOf(bytes);
  const packed = PackedBody.of(coding);
  if (packed === undefined) return undefined;
  packed.add(bytes);
  const plain = packed.unpacked();
  return plain.length === 0 ? undefined : bufferOf(plain);
}

function isWholeStream(dialect: DialectName, bytes: Buffer): boolean {
  const end = ENDS[dialect];
  if (end === undefined) return false;
  const tail = new SseTail(end);
  tail.feed(bytes);
  if (tail.isUnfinished || !tail.isBoundary) return false;
  let says = false;
  for (const { event, data } of new SseParser(bytes.length + 1).feed(bytes)) {
    if (event === "error") return false;
    if (data === DONE) continue;
    const value = objectIn(data);
    if (value === undefined || hasFailed(value)) return false;
    says ||= saysSomething(dialect, value);
  }
  return says;
}

/** What an event without a name says last, in OpenAI's dialects. */
const DONE = "[DONE]";

type Said = Readonly<Record<string, unknown>>;

/** Statuses of responses that came to their end. */
const COMPLETED: ReadonlySet<unknown> = new Set([undefined, "completed"]);
const FAILED_TYPES: ReadonlySet<unknown> = new Set(["error", "response.failed"]);

/** True when an event, or a whole answer, tells of a failure, in whichever form servers have for it. */
function hasFailed({ error, object, type, choices, response }: Said): boolean {
  if ((error !== undefined && error !== null) || object === "error") return true;
  if (FAILED_TYPES.has(type)) return true;
  if (type === "response.completed" && !COMPLETED.has((response as Said | null)?.["status"])) {
    return true;
  }
  return Array.isArray(choices) &&
    choices.some((choice: Said | null) =>
      choice?.["finish_reason"] === "error" || (choice?.["error"] ?? null) !== null
    );
}

/** True when `value` is what answers of `dialect` are made of. */
function saysSomething(dialect: DialectName, value: Said): boolean {
  const { choices, type, data, results } = value;
  switch (dialect) {
    case "openai_responses":
      return type === "response.completed" || value["status"] === "completed";
    case "anthropic_messages":
      return type === "message_start" || type === "message";
    case "openai":
      return Array.isArray(data) || Array.isArray(results);
    default:
      return Array.isArray(choices);
  }
}

function isGoodJson(dialect: DialectName, bytes: Buffer): boolean {
  const value = objectIn(bytes.toString());
  return value !== undefined && !hasFailed(value) && saysSomething(dialect, value);
}

/** The object that `json` is; undefined = it is none. */
function objectIn(json: string): Said | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? value as Said
      : undefined;
  } catch {
    return undefined;
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
