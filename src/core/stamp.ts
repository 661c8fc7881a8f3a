/**
 * Stamps: the id and the time that make one answer different from the next.
 *
 * @module
 */

import { CREATED_BYTES, type Stamped, type StampTexts } from "./frames.ts";

/**
 * Characters of an id that change per answer: 29 of [A-Za-z0-9] in OpenAI's chat completions
 * (docs/facts/openai_api.md "Ids").
 */
export const ID_BYTES = 29;

const ALPHABET = new TextEncoder().encode(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
);
/** Bytes above this would favour the first letters of the alphabet, and are skipped: 4 × 62. */
const FAIR_BELOW = 248;
/** Random bytes fetched at a time: one system call for some 500 ids. */
const POOL_BYTES = 16_384;

const decoder = new TextDecoder();

/** Fills `target` with random bytes. `crypto.getRandomValues`, or a seeded one in a test. */
export type RandomBytes = (target: Uint8Array<ArrayBuffer>) => void;

/**
 * Gives the stamps of one answer after the other: its time, and its first `idCount` ids at least.
 * Ids that stand in few answers come last in a layout, and cost nothing in the others.
 */
export interface AnswerStamps {
  /** For an answer that leaves at once: the next call writes over them. */
  shared(idCount: number): Stamped;
  /** For an answer that goes on: they stay. */
  own(idCount: number): Stamped;
}

/** Stamps as texts, for an answer that is written while it comes. */
export function stampTexts([created, ...ids]: Stamped): StampTexts {
  return [decoder.decode(created), ...ids.map((id) => decoder.decode(id))];
}

/** Hexadecimal digits of a response's ids that are random and shared, and those of its time. */
const HEAD_DIGITS = 16;
const TIME_DIGITS = 10;
/** Digits of all its ids behind their head that are shared. */
const TAIL_DIGITS = 14;

/**
 * The ids of the Responses API: how all ids of an answer begin, with the time, and what stands in
 * them further on (docs/facts/openai_api.md "Ids of responses"); then what those of its calls are
 * made of.
 */
export const RESPONSE_ID_LENGTHS: readonly number[] = [HEAD_DIGITS + TIME_DIGITS, TAIL_DIGITS, 22];

const HEX = new TextEncoder().encode("0123456789abcdef");

/** Digits in the ids of kept objects that tell which worker has them (decision 0013). */
const WORKER_DIGITS = 4;
/** The same in ids of [A-Za-z0-9]. */
const WORKER_CHARS = 3;
const WORKERS_MAX = 0x10000;

/** Four hexadecimal digits that tell a worker's number. */
export function workerDigits(worker: number): string {
  return (worker % WORKERS_MAX).toString(16).padStart(WORKER_DIGITS, "0");
}

/** Three characters of [A-Za-z0-9] that tell a worker's number. */
function workerChars(worker: number): Uint8Array {
  const chars = new Uint8Array(WORKER_CHARS);
  let rest = worker % WORKERS_MAX;
  for (let i = WORKER_CHARS - 1; i >= 0; i--) {
    chars[i] = ALPHABET[rest % ALPHABET.length]!;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return chars;
}

/** The worker whose number stands in four digits. NaN = there is none. */
export function workerOfDigits(digits: string): number {
  return /^[0-9a-f]{4}$/.test(digits) ? Number.parseInt(digits, 16) : NaN;
}

/** The worker that has made the chat id `id`. NaN = it is none of a worker. */
export function workerOfChatId(id: string): number {
  let worker = 0;
  for (const char of id.slice(-WORKER_CHARS)) {
    const value = ALPHABET.indexOf(char.charCodeAt(0));
    if (value < 0) return NaN;
    worker = worker * ALPHABET.length + value;
  }
  return worker;
}

/** Makes ids and times. One for the whole process. */
export class Stamps {
  readonly #random: RandomBytes;
  readonly #wallS: () => number;
  /** What tells this worker in ids; none = it is the only one, and these digits are chance. */
  readonly #workerDigits: Uint8Array;
  readonly #workerChars: Uint8Array;
  readonly #pool = Buffer.alloc(POOL_BYTES);
  #at = POOL_BYTES;
  #hex = "";
  #hexAt = 0;
  #second = 0;
  #created = new Uint8Array(CREATED_BYTES);
  /** The same second in hexadecimal digits. */
  #createdHex = new Uint8Array(TIME_DIGITS);

  /** `wallS` gives the seconds since 1970; `worker` is this process's number, 0 = the only one. */
  constructor(wallS: () => number, random: RandomBytes, worker = 0) {
    const isOne = worker === 0;
    this.#workerDigits = new TextEncoder().encode(isOne ? "" : workerDigits(worker));
    this.#workerChars = isOne ? new Uint8Array(0) : workerChars(worker);
    this.#wallS = wallS;
    this.#random = random;
  }

  /** The stamps of answers with ids of [A-Za-z0-9] that have these lengths. */
  withIds(...lengths: readonly number[]): AnswerStamps {
    return this.#filled(lengths, (id) => this.fillId(id));
  }

  /** The same for chat completions: the first id tells which worker has made it. */
  withChatIds(...lengths: readonly number[]): AnswerStamps {
    const mark = this.#workerChars;
    return this.#filled(lengths, (id, index) => {
      this.fillId(id);
      if (index === 0) overwriteEnd(id, mark);
      return id;
    });
  }

  /** The stamps of answers with the ids of `RESPONSE_ID_LENGTHS`. */
  withResponseIds(): AnswerStamps {
    return this.#filled(RESPONSE_ID_LENGTHS, (id, index) => {
      if (index > 1) return this.fillId(id);
      this.#fillHex(id, index === 0 ? HEAD_DIGITS : TAIL_DIGITS);
      if (index === 0) {
        for (let i = 0; i < TIME_DIGITS; i++) id[HEAD_DIGITS + i] = this.#createdHex[i]!;
      } else overwriteEnd(id, this.#workerDigits);
      return id;
    });
  }

  /** Of ids that `fill` makes, each behind the time. */
  #filled(
    lengths: readonly number[],
    fill: (id: Uint8Array<ArrayBuffer>, index: number) => Uint8Array<ArrayBuffer>,
  ): AnswerStamps {
    const ids = lengths.map((length) => new Uint8Array(length));
    const shared: [Uint8Array<ArrayBuffer>, ...Uint8Array<ArrayBuffer>[]] = [this.#created, ...ids];
    return {
      shared: (idCount) => {
        shared[0] = this.created();
        for (let i = 0; i < idCount; i++) fill(ids[i]!, i);
        return shared;
      },
      own: (idCount) => {
        const own: [Uint8Array<ArrayBuffer>, ...Uint8Array<ArrayBuffer>[]] = [this.created()];
        for (let i = 0; i < idCount; i++) own.push(fill(new Uint8Array(lengths[i]!), i));
        return own;
      },
    };
  }

  /** Fills `id` with random characters of [A-Za-z0-9], and gives it. */
  fillId(id: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    for (let i = 0; i < id.length; i++) id[i] = ALPHABET[this.#fairByte() % ALPHABET.length]!;
    return id;
  }

  /**
   * `count` random characters of 0-9a-f: `x-request-id`, fingerprints. Up to 32768 of them. Cut out
   * of one long text: a native call for each would cost 130 ns more.
   */
  hex(count: number): string {
    const end = this.#hexAt + count;
    if (end > this.#hex.length) {
      this.#refill();
      this.#at = POOL_BYTES; // what is told as hex is in no other id
      this.#hex = this.#pool.toString("hex");
      this.#hexAt = 0;
      return this.hex(count);
    }
    const text = this.#hex.slice(this.#hexAt, end);
    this.#hexAt = end;
    return text;
  }

  /** Seconds since 1970. */
  get createdS(): number {
    return this.#wallS();
  }

  /** Seconds since 1970 as digits: one array per second, shared by all answers of that second. */
  created(): Uint8Array<ArrayBuffer> {
    const second = this.createdS;
    if (second !== this.#second) {
      this.#second = second;
      this.#created = new TextEncoder().encode(String(second));
      this.#createdHex = new TextEncoder().encode(second.toString(16).padStart(TIME_DIGITS, "0"));
    }
    return this.#created;
  }

  #fillHex(id: Uint8Array<ArrayBuffer>, digits: number): void {
    for (let i = 0; i < digits; i += 2) {
      const byte = this.#byte();
      id[i] = HEX[byte >> 4]!;
      id[i + 1] = HEX[byte & 15]!;
    }
  }

  #byte(): number {
    if (this.#at >= POOL_BYTES) this.#refill();
    return this.#pool[this.#at++]!;
  }

  #fairByte(): number {
    for (;;) {
      const byte = this.#byte();
      if (byte < FAIR_BELOW) return byte;
    }
  }

  #refill(): void {
    this.#random(this.#pool);
    this.#at = 0;
  }
}

/** Writes `mark` over the end of `id`. */
function overwriteEnd(id: Uint8Array, mark: Uint8Array): void {
  const at = id.length - mark.length;
  for (let i = 0; i < mark.length; i++) id[at + i] = mark[i]!;
}
