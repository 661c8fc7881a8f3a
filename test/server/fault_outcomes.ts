/**
 * What clients make of streams with faults in them, measured, as the words of docs/fault_clients.md.
 *
 * @module
 */

import type { Weir } from "./launch.ts";
// @deno-types="./fault_readers.d.ts"
import type { Read, Reader } from "./fault_readers.js";

/** A weir that answers so says the second piece of its text at these events. */
export const REPLY = "晴 🌊 21°, nice and warm";
const PIECE_AT: Readonly<Record<Reader["dialect"], number>> = {
  openai_chat: 3,
  openai_responses: 6,
  anthropic_messages: 5,
};

/** One row of the table. */
export interface FaultRow {
  /** As it is written; "PIECE" stands for the event of the second piece of text. */
  readonly fault: string;
  /** How often a client may ask again by itself; absent = never. */
  readonly retries?: number;
  /** True: the model calls a tool in place of saying a text. */
  readonly isCalling?: true;
  /** True: clients wait for it longer than a test of every commit may. */
  readonly isSlow?: true;
}

/** Every row, in the order of the table. */
export const FAULT_ROWS: readonly FaultRow[] = [
  { fault: "refuse" },
  { fault: "hang", isSlow: true },
  { fault: "hang;head=sent", isSlow: true },
  { fault: "status" },
  { fault: "rate-limit;retry-after=0" },
  { fault: "fail-first;n=1;retry-after=0", retries: 2 },
  { fault: "slow-head;ms=50" },
  { fault: "slow-first;ms=50" },
  { fault: "html-200" },
  { fault: "json-200" },
  { fault: "stall@event=PIECE;ms=50" },
  { fault: "stall@event=PIECE;ms=3600000", isSlow: true },
  { fault: "half-open@event=PIECE", isSlow: true },
  { fault: "trickle;bytes=200;ms=0" },
  { fault: "split;ms=0" },
  { fault: "glue" },
  { fault: "cut@event=PIECE" },
  { fault: "cut-clean@event=PIECE" },
  { fault: "reset@event=PIECE" },
  { fault: "error-event@event=PIECE" },
  { fault: "malformed@event=PIECE" },
  ...["crlf", "cr", "bom", "comment", "event", "id", "retry", "lines", "no-space", "no-end"].map(
    (way) => ({ fault: `framing;with=${way}` }),
  ),
  { fault: "no-done" },
  { fault: "double-done" },
  { fault: "after-done" },
  { fault: "dup@event=PIECE" },
  { fault: "reorder@event=PIECE" },
  { fault: "index-gap" },
  { fault: "index-gap;of=tool", isCalling: true },
  { fault: "usage-late" },
  { fault: "usage-missing" },
  { fault: "usage-twice" },
  { fault: "no-finish" },
  { fault: "no-role" },
  { fault: "filter@event=PIECE" },
  { fault: "huge@event=PIECE;bytes=8388608" },
  { fault: "slow-close;ms=50" },
];

/** A client that has not ended by then waits for as long as its own limit. */
const HANGS_MS = 4000;

/** The time in which every client but a hanging one ends, on any machine. */
const ENDS_MS = 60_000;

/** The fault of `row` as it is written for clients of `dialect`. */
export function faultAt({ fault }: FaultRow, dialect: Reader["dialect"]): string {
  return fault.replace("PIECE", String(PIECE_AT[dialect]));
}

/** What `reader` makes of an answer with the fault of `row`. `usual`: of the same without one. */
export async function outcomeOf(
  reader: Reader,
  row: FaultRow,
  { url }: Pick<Weir, "url">,
  usual: Read,
): Promise<string> {
  const { promise: hangs, resolve } = Promise.withResolvers<"hangs">();
  const timer = setTimeout(() => resolve("hangs"), row.isSlow ? HANGS_MS : ENDS_MS);
  const { retries = 0, isCalling = false } = row;
  try {
    const headers = { "x-weir-fault": faultAt(row, reader.dialect) };
    const read = reader.read({ url, headers, retries, isCalling, client: reader.name });
    read.catch(() => {}); // it may fail when the weir ends
    const got = await Promise.race([read, hangs]);
    return got === "hangs" ? got : differences(got, usual);
  } catch (error) {
    return `error: ${wordsOf(error)}`;
  } finally {
    clearTimeout(timer);
  }
}

/** "whole", or what differs although the client says nothing. */
function differences(got: Read, usual: Read): string {
  const all = [textWords(got, usual), reasonWords(got, usual), tokenWords(got, usual)]
    .filter((words) => words !== "");
  return all.length === 0 ? "whole" : `ends: ${all.join(", ")}`;
}

function textWords({ text }: Read, usual: Read): string {
  const whole = usual.text!;
  if (text === whole) return "";
  if (!text) return "no text";
  if (whole.startsWith(text)) return "text cut short";
  return text.length > whole.length ? "too much text" : "other text";
}

function reasonWords({ reason }: Read, usual: Read): string {
  if (reason === usual.reason) return "";
  return reason ? `"${reason}"` : "no reason";
}

function tokenWords({ tokens }: Read, usual: Read): string {
  if (tokens === usual.tokens) return "";
  return tokens ? `${tokens} of ${usual.tokens} tokens` : "no usage";
}

/** Names that say nothing: the message does. */
const VAGUE: ReadonlySet<string> = new Set(["Error", "TypeError", "OpenAIError", "AnthropicError"]);
const MESSAGE_CHARS_MAX = 60;

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(JSON.stringify(error)).slice(0, MESSAGE_CHARS_MAX);
  const name = error.name === "Error" ? error.constructor.name : error.name;
  if (!VAGUE.has(name)) return name;
  const [sentence = ""] = error.message.split(/[.:](?:\s|$)/, 1);
  const message = sentence.replaceAll(/[\s|]+/g, " ").slice(0, MESSAGE_CHARS_MAX);
  return `${name} "${message}"`;
}
