/**
 * Fresh ids and times for a tape that is replayed: where they stand in its bytes is found once, and
 * each answer writes its own there, of the same length. Ids of tool calls stay as they are: the next
 * request of the conversation names them, and has to fit its tape.
 *
 * @module
 */

import type { DialectName } from "../../core/answer.ts";

/** Ids of answers and of what is in them, by dialect: what they begin with, and what is renewed. */
const IDS: Readonly<Partial<Record<DialectName, RegExp>>> = {
  openai_chat: /"id"\s*:\s*"(chatcmpl-)?([A-Za-z0-9_-]{8,})"/g,
  openai_completions: /"id"\s*:\s*"(cmpl-)?([A-Za-z0-9_-]{8,})"/g,
  openai_responses: /"id"\s*:\s*"((?:resp|msg|rs)_)([A-Za-z0-9]{8,})"/g,
  anthropic_messages: /"id"\s*:\s*"(msg_)([A-Za-z0-9]{8,})"/g,
};
/** Of chat, only ids on the outermost level are those of answers: calls have these. */
const CALL_ID = /^(?:call_|toolu_|fc_|ctc_)/;

/** Times of answers, in seconds since 1970. */
const TIME = /"(?:created|created_at|completed_at)"\s*:\s*(\d{10})(?!\d|\.)/g;

const LETTERS = new TextEncoder().encode(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
);
const HEX = new TextEncoder().encode("0123456789abcdef");
const DIGITS = 10;

/** What one answer writes: as many texts as there are different ids and times. */
export type FreshStamps = readonly Uint8Array[];

/** A text that stands in a tape, perhaps often. */
interface Renewed {
  /** Where, from the first byte of the body. */
  readonly places: readonly number[];
  readonly make: (random: RandomBytes, nowS: number) => Uint8Array;
}

/** Fills `target` with chance. */
type RandomBytes = (target: Uint8Array<ArrayBuffer>) => void;

/** The slots of one tape. */
export class FreshIds {
  readonly #makes: readonly Renewed["make"][];
  /** Offsets, ascending. */
  readonly #slotAt: Uint32Array;
  /** Which text goes there. */
  readonly #slotText: Uint32Array;
  /** The longest of them, in bytes. */
  readonly #bytesMax: number;

  private constructor(renewed: readonly Renewed[], bytesMax: number) {
    const slots = renewed.flatMap(({ places }, text) => places.map((at) => ({ at, text })))
      .sort((a, b) => a.at - b.at);
    this.#makes = renewed.map(({ make }) => make);
    this.#slotAt = Uint32Array.from(slots, ({ at }) => at);
    this.#slotText = Uint32Array.from(slots, ({ text }) => text);
    this.#bytesMax = bytesMax;
  }

  /** Finds those in `body`, an answer in `dialect`; undefined = there are none. */
  static in(body: Uint8Array, dialect: DialectName): FreshIds | undefined {
    const expression = IDS[dialect];
    if (expression === undefined) return undefined;
    const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString("latin1");
    const known = new Set<string>();
    for (const [, prefix = "", rest] of text.matchAll(expression)) {
      if (prefix !== "" || !CALL_ID.test(rest!)) known.add(prefix + rest);
    }
    const renewed = [...[...known].map((id) => renewedId(text, id)), ...renewedTimes(text)];
    if (renewed.length === 0) return undefined;
    return new FreshIds(renewed, Math.max(DIGITS, ...[...known].map(({ length }) => length)));
  }

  /** What one answer writes. `nowS`: seconds since 1970. */
  draw(random: RandomBytes, nowS: number): FreshStamps {
    return this.#makes.map((make) => make(random, nowS));
  }

  /** Writes `stamps` into `body`, as far as they stand in bytes `from` to before `to`. */
  write(body: Uint8Array, from: number, to: number, stamps: FreshStamps): void {
    const slotAt = this.#slotAt;
    for (let s = this.#firstFrom(from - this.#bytesMax); s < slotAt.length; s++) {
      const at = slotAt[s]!;
      if (at >= to) return;
      const text = stamps[this.#slotText[s]!]!;
      for (let i = 0; i < text.length; i++) body[at + i] = text[i]!;
    }
  }

  /** The first slot at or behind `at`. */
  #firstFrom(at: number): number {
    let low = 0;
    let high = this.#slotAt.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#slotAt[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function renewedId(text: string, id: string): Renewed {
  const from = /^[a-z]+[-_](?=[A-Za-z0-9])/.exec(id)?.[0].length ?? 0;
  const rest = id.slice(from);
  const places: number[] = [];
  for (let at = text.indexOf(id); at >= 0; at = text.indexOf(id, at + id.length)) {
    places.push(at + from);
  }
  const alphabet = /^[0-9a-f]+$/.test(rest) ? HEX : LETTERS;
  const make: Renewed["make"] = (random) => {
    const drawn = new Uint8Array(rest.length);
    random(drawn);
    for (let i = 0; i < drawn.length; i++) drawn[i] = alphabet[drawn[i]! % alphabet.length]!;
    return drawn;
  };
  return { places, make };
}

/** Times are as far behind the first one as they were. */
function renewedTimes(text: string): readonly Renewed[] {
  const places = new Map<number, number[]>();
  let firstS = -1;
  for (const match of text.matchAll(TIME)) {
    const timeS = Number(match[1]);
    if (firstS < 0) firstS = timeS;
    const at = match.index + match[0].length - DIGITS;
    places.set(timeS - firstS, [...(places.get(timeS - firstS) ?? []), at]);
  }
  return [...places].map(([afterS, places]) => ({
    places,
    make: (_random, nowS) => encoder.encode(String(Math.floor(nowS) + afterS)),
  }));
}

const encoder = new TextEncoder();
