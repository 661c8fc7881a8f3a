/**
 * Finds what an answer cost in the last bytes of it. They pass untouched: this only looks.
 *
 * @module
 */

import type { DialectName, Usage } from "../../core/answer.ts";

/** The usage stands in the last 400 bytes or so of a stream, and of a JSON body. */
const TAIL_BYTES = 2048;
/** A stream cut into crumbs: so many are kept, and the usage is then not found. */
const CHUNKS_MAX = 16;
const LF = 10;

/** How a dialect spells the counts. */
interface Words {
  /** What is looked for. */
  readonly key: Buffer;
  /** Their sum is the prompt's. */
  readonly prompt: readonly RegExp[];
  readonly completion: RegExp;
}

function words(key: string, prompt: readonly string[], completion: string): Words {
  const counted = (name: string) => new RegExp(`"${name}"\\s*:\\s*(\\d{1,12})\\b`);
  return {
    key: Buffer.from(`"${key}"`),
    prompt: prompt.map(counted),
    completion: counted(completion),
  };
}

const CHAT = words("prompt_tokens", ["prompt_tokens"], "completion_tokens");
const NEWER = words(
  "output_tokens",
  ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"],
  "output_tokens",
);

/** The numbers stand so near to each other, whichever comes first. */
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
  readonly #words: Words;

  /** Of an answer in `dialect`. */
  constructor(dialect: DialectName) {
    this.#words = dialect === "anthropic_messages" || dialect === "openai_responses" ? NEWER : CHAT;
  }

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
    const { key, prompt, completion } = this.#words;
    const at = lastIndexOf.call(chunk, key);
    if (at < 0) return;
    const from = Math.max(0, at - NEAR_BYTES);
    const text = latin1Slice.call(chunk, from, Math.min(chunk.length, at + NEAR_BYTES));
    const behind = text.slice(at - from);
    const count = (word: RegExp) => (word.exec(behind) ?? word.exec(text))?.[1];
    const completionTokens = count(completion);
    if (completionTokens === undefined) return;
    const counts = prompt.map(count);
    // Anthropic's last event may leave out what the first one has told.
    const promptTokens = counts[0] === undefined
      ? this.#found?.promptTokens
      : counts.reduce((sum, one) => sum + Number(one ?? 0), 0);
    if (promptTokens === undefined) return;
    this.#found = { promptTokens, completionTokens: Number(completionTokens) };
  }
}

/** Those of `Buffer` take any bytes; a `Buffer` made around them costs more than they do. */
const { lastIndexOf, latin1Slice } = Buffer.prototype as unknown as {
  readonly lastIndexOf: (this: Uint8Array, bytes: Uint8Array) => number;
  readonly latin1Slice: (this: Uint8Array, from: number, to: number) => string;
};
