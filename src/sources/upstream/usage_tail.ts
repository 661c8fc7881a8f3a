/**
 * Finds what an answer cost in the last bytes of it. They pass untouched: this only looks.
 *
 * @module
 */

import type { Usage } from "../../core/answer.ts";

/** The usage stands in the last 400 bytes or so of a stream, and of a JSON body. */
const TAIL_BYTES = 2048;
/** A stream cut into crumbs: so many are kept, and the usage is then not found. */
const CHUNKS_MAX = 16;
const LF = 10;

const KEY = Buffer.from('"prompt_tokens"');
const PROMPT = /^"prompt_tokens"\s*:\s*(\d{1,12})\b/;
const COMPLETION = /"completion_tokens"\s*:\s*(\d{1,12})\b/;
/** Both numbers stand so near to each other, whichever comes first. */
const NEAR_BYTES = 1024;

/**
 * Finds what one answer tells of its usage. A chunk that ends with an event is looked at and let go of:
 * kept ones would survive the collector's every look at a stream, and cost more than all else.
 */
export class UsageTail {
  /** What is here of an event, or of a body that is no stream. */
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #found: Usage | undefined = undefined;

  /** Takes the next chunk. */
  feed(chunk: Uint8Array): void {
    const isEventEnd = chunk.at(-1) === LF && chunk.at(-2) === LF;
    if (isEventEnd && this.#bytes === 0) return this.#look(chunk);
    this.#keep(chunk);
    if (!isEventEnd) return;
    this.#look(Buffer.concat(this.#chunks));
    this.#chunks = [];
    this.#bytes = 0;
  }

  /** The counts; undefined when the answer does not tell them, or is compressed. */
  read(): Usage | undefined {
    if (this.#bytes > 0) this.#look(Buffer.concat(this.#chunks));
    return this.#found;
  }

  #keep(chunk: Uint8Array): void {
    // A copy of the end of a large one: kept whole, it would hold its memory for the next.
    const kept = chunk.length > TAIL_BYTES ? new Uint8Array(chunk.subarray(-TAIL_BYTES)) : chunk;
    this.#chunks.push(kept);
    this.#bytes += kept.length;
    while (
      this.#chunks.length > CHUNKS_MAX ||
      (this.#chunks.length > 1 && this.#bytes - this.#chunks[0]!.length >= TAIL_BYTES)
    ) {
      this.#bytes -= this.#chunks.shift()!.length;
    }
  }

  /** The last counts in `chunk` take the place of those before. */
  #look(chunk: Uint8Array): void {
    const at = lastIndexOf.call(chunk, KEY);
    if (at < 0) return;
    const from = Math.max(0, at - NEAR_BYTES);
    const text = latin1Slice.call(chunk, from, Math.min(chunk.length, at + NEAR_BYTES));
    const prompt = PROMPT.exec(text.slice(at - from));
    const completion = COMPLETION.exec(text.slice(at - from)) ?? COMPLETION.exec(text);
    if (prompt === null || completion === null) return;
    this.#found = { promptTokens: Number(prompt[1]), completionTokens: Number(completion[1]) };
  }
}

/** Those of `Buffer` take any bytes; a `Buffer` made around them costs more than they do. */
const { lastIndexOf, latin1Slice } = Buffer.prototype as unknown as {
  readonly lastIndexOf: (this: Uint8Array, bytes: Uint8Array) => number;
  readonly latin1Slice: (this: Uint8Array, from: number, to: number) => string;
};
