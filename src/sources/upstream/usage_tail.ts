/**
 * Finds what an answer cost in the last bytes of it. They pass untouched: this only looks.
 *
 * @module
 */

import type { DialectName, Usage } from "../../core/answer.ts";

/** The usage stands in the last 400 bytes or so of a stream, and of a JSON body. */
const TAIL_BYTES = 2048;
/** A stream cut into crumbs: so many are kept apart. */
const CHUNKS_MAX = 16;
/** The first event of Anthropic's stream is over by then. */
const HEAD_BYTES_MAX = 4096;
const LF = 10;

/** How a dialect spells the counts. */
interface Words {
  /** What is looked for. */
  readonly key: Buffer;
  /** The sum of the first and the next two is the prompt's. */
  readonly prompt: RegExp;
  readonly cacheWrite: RegExp;
  readonly cacheRead: RegExp;
  readonly completion: RegExp;
  /** Of the prompt, where it is a part of its count. */
  readonly cached: RegExp;
  readonly reasoning: RegExp;
  /** True: there may be none of `completion`, which is nothing then. */
  readonly mayOmit: boolean;
}

function words(key: string, prompt: string, completion: string, mayOmit = false): Words {
  const counted = (name: string) => new RegExp(`"(?:${name})"\\s*:\\s*(\\d{1,12})\\b`);
  return {
    key: Buffer.from(`"${key}"`),
    prompt: counted(prompt),
    cacheWrite: counted("cache_creation_input_tokens"),
    cacheRead: counted("cache_read_input_tokens"),
    completion: counted(completion),
    cached: counted("cached_tokens"),
    reasoning: counted("reasoning_tokens|thinking_tokens"),
    mayOmit,
  };
}

const CHAT = words("prompt_tokens", "prompt_tokens", "completion_tokens");
const NEWER = words("output_tokens", "input_tokens", "output_tokens");
/** Embeddings have no completion; pictures count as the newer APIs do. */
const OTHERS = words(
  "total_tokens",
  "prompt_tokens|input_tokens",
  "completion_tokens|output_tokens",
  true,
);

const WORDS: Readonly<Record<DialectName, Words>> = {
  openai_chat: CHAT,
  openai_completions: CHAT,
  openai_responses: NEWER,
  anthropic_messages: NEWER,
  openai: OTHERS,
  chatgpt_web: CHAT,
};

/** The event of Anthropic's stream that tells of the question. */
const FIRST = Buffer.from('"message_start"');
/** The event of Anthropic's stream that tells what its first one could not know. */
const LATER = Buffer.from('"message_delta"');

/** What stands between two events. */
const BLANK_LINES = [Buffer.from("\n\n"), Buffer.from("\n\r\n")] as const;

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
  /** True: a count may be one of a stream that goes on. */
  readonly #isEarly: boolean;
  #isFinal = false;
  /** Of a stream that begins with a count, until that is here; undefined = it is, or there is none. */
  #head: Uint8Array | undefined;
  /** Tokens of the question that came out of no cache, and went into none. */
  #plainTokens: number | undefined = undefined;

  /** Of an answer in `dialect`. */
  constructor(dialect: DialectName) {
    this.#words = WORDS[dialect];
    this.#isEarly = dialect === "anthropic_messages";
    this.#head = this.#isEarly ? new Uint8Array(0) : undefined;
  }

  /** What was told so far. */
  get found(): Usage | undefined {
    return this.#found;
  }

  /** True: what was told is not told of a stream that had only begun. */
  get isFinal(): boolean {
    return this.#isFinal;
  }

  /** Takes the next chunk. */
  feed(chunk: Uint8Array): void {
    if (this.#head !== undefined) this.#lookForFirst(this.#head, chunk);
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
    while (this.#chunks.length > 1 && this.#bytes - this.#chunks[0]!.length >= TAIL_BYTES) {
      this.#bytes -= this.#chunks.shift()!.length;
    }
    if (this.#chunks.length > CHUNKS_MAX) this.#chunks = [Buffer.concat(this.#chunks)];
  }

  /** What the first event tells may be long gone when the last one is here, or too far away from it. */
  #lookForFirst(before: Uint8Array, chunk: Uint8Array): void {
    const head = Buffer.concat([before, chunk.subarray(0, HEAD_BYTES_MAX - before.length)]);
    const at = head.indexOf(FIRST);
    const ends = BLANK_LINES.map((line) => at < 0 ? -1 : head.indexOf(line, at));
    const end = ends.find((end) => end >= 0) ?? -1;
    this.#head = end < 0 && head.length < HEAD_BYTES_MAX ? head : undefined;
    if (end >= 0) this.#look(head.subarray(0, end));
  }

  /** The last counts in `chunk` take the place of those before. */
  #look(chunk: Uint8Array): void {
    const { key, prompt, completion, mayOmit, ...more } = this.#words;
    const at = lastIndexOf.call(chunk, key);
    if (at < 0) return;
    // Another event tells its own.
    const eventAt = this.#isEarly
      ? Math.max(...BLANK_LINES.map((line) => lastIndexOf.call(chunk, line, at)))
      : 0;
    const from = Math.max(0, at - NEAR_BYTES, eventAt);
    const text = latin1Slice.call(chunk, from, Math.min(chunk.length, at + NEAR_BYTES));
    const behind = text.slice(at - from);
    const count = (word: RegExp) => {
      const digits = (word.exec(behind) ?? word.exec(text))?.[1];
      return digits === undefined ? undefined : Number(digits);
    };
    const before = this.#found;
    const completionTokens = later(count(completion), before?.completionTokens) ??
      (mayOmit ? 0 : undefined);
    // Anthropic's last event may leave out what the first one has told.
    const plainTokens = later(count(prompt), this.#plainTokens);
    if (completionTokens === undefined || plainTokens === undefined) return;
    this.#plainTokens = plainTokens;
    const read = later(count(more.cacheRead), this.#isEarly ? before?.cachedTokens : undefined);
    const cacheWriteTokens = later(count(more.cacheWrite), before?.cacheWriteTokens);
    const cachedTokens = later(count(more.cached), read);
    const reasoningTokens = later(count(more.reasoning), before?.reasoningTokens);
    this.#found = {
      promptTokens: plainTokens + (read ?? 0) + (cacheWriteTokens ?? 0),
      completionTokens,
      ...(cachedTokens === undefined ? {} : { cachedTokens }),
      ...(cacheWriteTokens === undefined ? {} : { cacheWriteTokens }),
      ...(reasoningTokens === undefined ? {} : { reasoningTokens }),
    };
    this.#isFinal = !this.#isEarly || lastIndexOf.call(chunk, LATER) >= 0;
  }
}

/** What is told, unless that is nothing and `before` was told. */
function later(told: number | undefined, before: number | undefined): number | undefined {
  return told === undefined || told === 0 ? before ?? told : told;
}

/** Those of `Buffer` take any bytes; a `Buffer` made around them costs more than they do. */
const { lastIndexOf, latin1Slice } = Buffer.prototype as unknown as {
  readonly lastIndexOf: (this: Uint8Array, bytes: Uint8Array, from?: number) => number;
  readonly latin1Slice: (this: Uint8Array, from: number, to: number) => string;
};
