/**
 * Which answers are whole and good: only those are kept. One that nobody here can read is not.
 *
 * @module
 */

import type { DialectName } from "../../core/answer.ts";
import type { Fields } from "../../lib/http1/fields.ts";
import { SseCutter } from "../../lib/sse_cutter.ts";
import { SseTail, StreamEnd } from "../../lib/sse_tail.ts";
import { isErrorEvent } from "../beginning.ts";
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
  if (!bytes.includes('"error"') && !bytes.includes("response.failed")) return true;
  return !new SseCutter().feed(bytes).some(({ bytes, isEvent }) => isEvent && isErrorEvent(bytes));
}

function isGoodJson(dialect: DialectName, bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
    const { error, type, status } = value as Readonly<Record<string, unknown>>;
    if ((error !== undefined && error !== null) || type === "error") return false;
    return dialect !== "openai_responses" || status === "completed";
  } catch {
    return false;
  }
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
