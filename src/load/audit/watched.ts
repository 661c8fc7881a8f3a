/**
 * A request that is watched whatever its check, and the reading of its answer by all who look for
 * something in it.
 *
 * @module
 */

import type { ClientExchange } from "./probe_client.ts";
import type { Attempt } from "./scripted_upstream.ts";

/** Of a body that is not kept: what of a piece is read again with the next, longer than any word looked for. */
const OVERLAP_CHARS = 1024;
/** Of a line that is shown, before and behind what was found in it. */
const LINE_CHARS = 1024;

/** Where a request is from, and what tells of it. */
export interface Watched {
  readonly check: string;
  readonly mark: string;
  readonly exchange: ClientExchange;
  /** False: the exchange keeps no bytes. */
  readonly isKept: boolean;
  /** Its body, as the client sent it. */
  readonly sentBody: string;
  /** What has reached the upstream of it until now. */
  readonly attempts: readonly Attempt[];
  /** What happened to it, as lines of evidence. */
  readonly lines: () => readonly string[];
}

/** Something that was found in a request or an answer. */
export interface Sighting {
  /** The check of the request, and its mark. */
  readonly check: string;
  readonly mark: string;
  /** The line in which it stands, Latin-1. */
  readonly shown: string;
}

/** Looks for something in an answer. */
export interface Reader {
  /** A part of head or body, Latin-1. A place may be in several of them. */
  read(text: string): void;
  /** The answer is over. */
  over(): void;
}

/** Gives `readers` the whole of an answer, unless nothing comes. */
export function follow({ exchange, isKept }: Watched, readers: readonly Reader[]): void {
  const read = (text: string) => {
    for (const reader of readers) reader.read(text);
  };
  if (!isKept) {
    let rest = "";
    exchange.onPiece = (body) => {
      const text = rest + body.toString("latin1");
      read(text);
      rest = text.slice(-OVERLAP_CHARS);
    };
  }
  void exchange.ended.then(() => {
    if (exchange.head === undefined) return;
    if (isKept) {
      // As it came, with whatever stands before the head and behind the body; and without the framing.
      read(exchange.wireText);
      read(exchange.body.toString("latin1"));
    } else {
      read([...exchange.head.fields].map(([name, value]) => `${name}: ${value}`).join("\r\n"));
    }
    for (const reader of readers) reader.over();
  });
}

/** True when the client or the upstream has itself said `word` of this request. */
export function isOwnWord({ exchange, sentBody, attempts }: Watched, word: string): boolean {
  return exchange.sentHead.includes(word) || sentBody.includes(word) ||
    attempts.some(({ writes }) => writes.some(({ bytes }) => Buffer.from(bytes).includes(word)));
}

/** The line of `text` around a place, of which no more than is worth showing. */
export function lineAt(text: string, at: number): string {
  const before = text.lastIndexOf("\n", at) + 1;
  const behind = text.indexOf("\n", at);
  return text.slice(
    Math.max(before, at - LINE_CHARS),
    Math.min(behind < 0 ? text.length : behind, at + LINE_CHARS),
  ).trim();
}

/** "first-byte 19, keep-alive 18": of how many requests of each check. */
export function byCheck(found: readonly Pick<Sighting, "check" | "mark">[]): string {
  const all = Map.groupBy(found, ({ check }) => check);
  return [...all].map(([check, its]) => `${check} ${new Set(its.map(({ mark }) => mark)).size}`)
    .join(", ");
}
