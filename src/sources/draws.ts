/**
 * Chance that comes out the same: what is drawn for a request follows from a seed, from the request,
 * and from how many equal ones came before it, in whichever worker. The n-th equal request has the
 * same luck in every run.
 *
 * @module
 */

import type { Ask } from "../core/answer.ts";
import type { Call } from "../core/exchange.ts";
import type { Ordinals } from "../lib/ordinals.ts";

/** The header whose value decides in place of all the rest. */
export const SEED_HEADER = "x-weir-seed";
/** The header that names a test's own things: equal requests are counted within one session. */
const SESSION_HEADER = "x-weir-session";

/** The luck of one request. */
export interface Draw {
  /**
   * 0 < x < 1, evenly spread: the same for the same purpose ("first token") and index, and
   * independent of all others.
   */
  at(purpose: string, index?: number): number;
}

/** Draws for requests. */
export interface Draws {
  /** What is drawn for `call`, which has asked `ask`: whoever comes first counts the request. */
  of(ask: Ask, call: Call): Draw;
}

/** What draws are made of. */
export interface DrawsDeps {
  /** The config's: 0 to 2³² − 1. */
  readonly seed: number;
  readonly ordinals: Ordinals;
}

/** Makes them. */
export function draws({ seed, ordinals }: DrawsDeps): Draws {
  const made = new WeakMap<Call, Draw>();
  /** The hashes of purposes: words of the code, and the places of a list of faults. */
  const purposes = new Map<string, number>();

  function drawOf(ask: Ask, { request }: Call): Draw {
    const fields = request?.head.fields;
    const own = fields?.get(SEED_HEADER) ?? "";
    if (own !== "") return new HashDraw(hash(own, LOW), hash(own, HIGH), purposes);
    const text = request === undefined
      ? JSON.stringify(ask.turn())
      : `${request.head.method} ${request.head.target}\n${request.text}`;
    const low = hash(text, LOW);
    const high = hash(text, HIGH);
    const session = hash(fields?.get(SESSION_HEADER) ?? "", seed);
    const ordinal = ordinals.next(mixed(low ^ session), mixed(high + session));
    const first = mixed(low + Math.imul(ordinal, STEP) ^ seed);
    return new HashDraw(first, mixed(high ^ ordinal + seed), purposes);
  }

  return {
    of(ask, call) {
      const known = made.get(call);
      if (known !== undefined) return known;
      const draw = drawOf(ask, call);
      made.set(call, draw);
      return draw;
    },
  };
}

/** Seeds of the two halves of a hash. */
const LOW = 0x2545f491;
const HIGH = 0x6c62272e;
/** 2³² by the golden ratio: consecutive numbers land far apart (Knuth, TAOCP 6.4). */
const STEP = 0x9e3779b9;
/** 2³². */
const RANGE = 4_294_967_296;

class HashDraw implements Draw {
  readonly #low: number;
  readonly #high: number;
  readonly #purposes: Map<string, number>;

  /** `purposes`: hashes that are known, shared by all. */
  constructor(low: number, high: number, purposes: Map<string, number>) {
    this.#low = low;
    this.#high = high;
    this.#purposes = purposes;
  }

  at(purpose: string, index = 0): number {
    let word = this.#purposes.get(purpose);
    if (word === undefined) this.#purposes.set(purpose, word = hash(purpose, STEP));
    const first = mixed(this.#low + Math.imul(index, STEP) ^ word);
    return ((mixed(first + this.#high ^ word) >>> 0) + 0.5) / RANGE;
  }
}

function hash(text: string, seed: number): number {
  return Bun.hash.xxHash32(text, seed >>> 0);
}

/** Spreads every bit over all (the end of MurmurHash3). */
function mixed(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return word ^ (word >>> 16);
}
