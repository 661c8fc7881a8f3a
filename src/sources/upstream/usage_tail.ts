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

const KEY = Buffer.from('"usage"');
const PROMPT = /"prompt_tokens"\s*:\s*(\d{1,12})\b/;
const COMPLETION = /"completion_tokens"\s*:\s*(\d{1,12})\b/;

/** Keeps the last chunks of one answer. */
export class UsageTail {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  /** Takes the next chunk. */
  feed(chunk: Uint8Array): void {
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

  /** The counts; undefined when the answer does not tell them, or is compressed. */
  read(): Usage | undefined {
    const [only] = this.#chunks;
    const isOne = this.#chunks.length === 1 && Buffer.isBuffer(only);
    const bytes = isOne ? only : Buffer.concat(this.#chunks);
    const at = bytes.lastIndexOf(KEY);
    if (at < 0) return undefined;
    const text = bytes.toString("latin1", at);
    const [prompt, completion] = [PROMPT.exec(text), COMPLETION.exec(text)];
    if (prompt === null || completion === null) return undefined;
    return { promptTokens: Number(prompt[1]), completionTokens: Number(completion[1]) };
  }
}
