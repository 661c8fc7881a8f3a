/**
 * The answers that the upstream of an audit gives: chat completions whose every event carries
 * `<mark>.<number>`, so that what is lost, doubled or old can be told.
 *
 * @module
 */

import type { Attempt } from "./scripted_upstream.ts";

/** The end mark of OpenAI's streams. */
export const DONE = "data: [DONE]\n\n";
/** What ends a chunked body. */
export const LAST_CHUNK = "0\r\n\r\n";

/** The head of an event stream that comes in chunks. */
export const STREAM_FIELDS: readonly string[] = [
  "content-type: text/event-stream; charset=utf-8",
  "cache-control: no-cache",
];

/** A response's head, with the empty line. */
export function headText(status: number, reason: string, fields: readonly string[]): string {
  return [`HTTP/1.1 ${status} ${reason}`, ...fields, "", ""].join("\r\n");
}

/** The head of a stream. */
export function streamHead(fields: readonly string[] = []): string {
  return headText(200, "OK", [...STREAM_FIELDS, ...fields, "transfer-encoding: chunked"]);
}

/** `bytes` as one chunk. */
export function chunk(bytes: Uint8Array | string): Buffer {
  const body = Buffer.from(bytes as string);
  return Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from("\r\n")]);
}

/** A whole JSON answer. */
export function jsonAnswer(
  status: number,
  reason: string,
  body: string,
  fields: readonly string[] = [],
): string {
  const length = Buffer.byteLength(body);
  const all = ["content-type: application/json", ...fields, `content-length: ${length}`];
  return headText(status, reason, all) + body;
}

/** What varies in a chunk. */
export interface ChunkParts {
  readonly delta?: Readonly<Record<string, unknown>>;
  /** Why it ends. */
  readonly finish?: string;
  /** The number of its choice; 0 unless given. */
  readonly index?: number;
  /** Members of the choice besides. */
  readonly choice?: Readonly<Record<string, unknown>>;
  /** It has no choice, as one with the usage. */
  readonly isWithoutChoice?: boolean;
  /** Members beside `choices`. */
  readonly more?: Readonly<Record<string, unknown>>;
}

/** A chunk of a chat completion as JSON. */
export function chunkJson(
  mark: string,
  { delta = {}, finish, index = 0, choice = {}, isWithoutChoice, more = {} }: ChunkParts,
): string {
  return JSON.stringify({
    id: `chatcmpl-${mark}`,
    object: "chat.completion.chunk",
    created: 1_790_000_000,
    model: "audit",
    choices: isWithoutChoice ? [] : [{ index, delta, ...choice, finish_reason: finish ?? null }],
    ...more,
  });
}

/** `json` as one event. */
export function event(json: string): string {
  return `data: ${json}\n\n`;
}

/** The chunk that says who speaks. */
export function roleEvent(mark: string): string {
  return event(chunkJson(mark, { delta: { role: "assistant", content: "" } }));
}

/** The event with number `sequence`, from 1. */
export function textEvent(mark: string, sequence: number): string {
  return event(chunkJson(mark, { delta: { content: `${mark}.${sequence} ` } }));
}

/** The chunk that says why the answer ends. */
export function finishEvent(mark: string): string {
  return event(chunkJson(mark, { finish: "stop" }));
}

/** The chunk with the usage. */
export function usageEvent(mark: string): string {
  const usage = { prompt_tokens: 8, completion_tokens: 4, total_tokens: 12 };
  return event(chunkJson(mark, { isWithoutChoice: true, more: { usage } }));
}

/** A whole short answer of `count` events: role, texts, finish, end mark. */
export function wholeBody(mark: string, count: number): string {
  const texts = Array.from({ length: count }, (_, i) => textEvent(mark, i + 1));
  return roleEvent(mark) + texts.join("") + finishEvent(mark) + DONE;
}

/** Answers with a whole short stream in one write; the connection stays open. */
export function answerWhole(attempt: Attempt, mark: string, count = 3): void {
  attempt.write(Buffer.concat([
    Buffer.from(streamHead()),
    chunk(wholeBody(mark, count)),
    Buffer.from(LAST_CHUNK),
  ]));
}

/** Ends a chunked answer; the connection stays open. */
export function endBody(attempt: Attempt, last = ""): void {
  attempt.write(
    Buffer.concat([last === "" ? Buffer.alloc(0) : chunk(last), Buffer.from(LAST_CHUNK)]),
  );
}

/** A chat completion that is no stream, of this text. */
export function completionJson(mark: string, text: string): string {
  return JSON.stringify({
    id: `chatcmpl-${mark}`,
    object: "chat.completion",
    created: 1_790_000_000,
    model: "audit",
    choices: [{
      index: 0,
      message: { role: "assistant", content: `${mark}.1 ${text}` },
      finish_reason: "stop",
    }],
    usage: { prompt_tokens: 8, completion_tokens: 4, total_tokens: 12 },
  });
}

/** The number of an event's text; undefined = it has none of this mark. */
export function sequenceOf(data: string, mark: string): number | undefined {
  const found = new RegExp(`${mark}\\.(\\d+)`).exec(data)?.[1];
  return found === undefined ? undefined : Number(found);
}
