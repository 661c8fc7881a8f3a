/**
 * What is secret as it is compared: whatever stood there, and however long it was, one mark stands for
 * it. So a request fits the tape of another ticket, and of another key.
 *
 * @module
 */

import type { RedactedWhere, Tape } from "./format.ts";
import type { Comparable } from "./request_key.ts";

/** What stands for a secret. */
const MARK = "‹redacted›";
const MARK_BYTES = Buffer.from(MARK);
/** What a key looks like, of which nothing else is known. */
const KEY = /^[\w~.+/=:%-]{4,}$/;

/** A place in bytes. */
interface Marked {
  readonly at: number;
  readonly bytes: number;
}

/** `bytes` with marks in `places`, which are in order and do not overlap. Neighbours are one. */
export function marked(bytes: Uint8Array, places: readonly Marked[]): Uint8Array {
  if (places.length === 0) return bytes;
  const parts: Uint8Array[] = [];
  let behind = 0;
  for (const [i, { at, bytes: length }] of places.entries()) {
    if (i === 0 || at > behind) parts.push(bytes.subarray(behind, at), MARK_BYTES);
    behind = at + length;
  }
  return Buffer.concat([...parts, bytes.subarray(behind)]);
}

/** The same of a text in latin1, such as a path. */
export function markedText(text: string, places: readonly Marked[]): string {
  if (places.length === 0) return text;
  return Buffer.from(marked(Buffer.from(text, "latin1"), places)).toString("latin1");
}

/** The request of a tape. */
export function markedRequest(
  { request, redactions }: Tape,
): Comparable & { readonly body: Uint8Array } {
  const places = (where: RedactedWhere) => redactions.filter((one) => one.where === where);
  return {
    method: request.method,
    path: markedText(request.path, places("request.path")),
    body: marked(request.body, places("request.body")),
  };
}

/** True: a key stood in the request, which whoever replays it need not know. */
export function holdsKey({ redactions }: Tape): boolean {
  return redactions.some(({ where, by }) =>
    by === "key" && (where === "request.path" || where === "request.body")
  );
}

/** Is `text` like `known`, with something that may be a key in place of each mark? */
export function fitsMarks(text: string, known: string): boolean {
  const [first = "", ...rest] = known.split(MARK);
  if (!text.startsWith(first)) return false;
  let at = first.length;
  for (const [i, part] of rest.entries()) {
    const isLast = i === rest.length - 1;
    const next = isLast ? text.length - part.length : text.indexOf(part, at + 1);
    if (next < at || !text.startsWith(part, next)) return false;
    const key = text.slice(at, next);
    if (key !== MARK && !KEY.test(key)) return false;
    at = next + part.length;
  }
  return at === text.length;
}
