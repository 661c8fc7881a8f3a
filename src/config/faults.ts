/**
 * What can go wrong on purpose: every fault with its meaning, its places and its keys, and the words
 * in which faults are written wherever they are: NAME[@event|byte|ms|share=N][;key=value], several by
 * comma.
 *
 * @module
 */

import { nearest } from "../lib/nearest.ts";

/** What a place counts. */
export const PLACE_UNITS = ["event", "byte", "ms", "share"] as const;
type PlaceUnit = (typeof PLACE_UNITS)[number];

/** What may stand behind a key. */
export type FaultKey =
  & { readonly text: string }
  & (
    | {
      readonly kind: "number";
      readonly min: number;
      readonly max: number;
      /** False: parts of one, too. */
      readonly isWhole: boolean;
      /** Absent: nothing is usual. */
      readonly initial?: number;
    }
    | { readonly kind: "word"; readonly words: readonly string[]; readonly initial: string }
    /** Any text, in quotes where it has a comma or a semicolon. */
    | { readonly kind: "text" }
  );

/** What is known of a fault. */
export interface FaultRule {
  /** What happens, for the list of `weir faults`: no full stop. */
  readonly text: string;
  /** The units that its place may be told in; none = it has no place. */
  readonly places: readonly PlaceUnit[];
  /** The first event there may be: behind none, or at the first one. */
  readonly eventMin: 0 | 1;
  /** Where it happens when no place is told; "" = it has none. For people. */
  readonly usual: string;
  readonly keys: Readonly<Record<string, FaultKey>>;
}

/** An hour: longer than any client waits. */
const MS_MAX = 3_600_000;
/** 64 MiB. */
const HUGE_BYTES_MAX = 67_108_864;

function number(text: string, min: number, max: number, initial?: number): FaultKey {
  return {
    kind: "number",
    text,
    min,
    max,
    isWhole: true,
    ...(initial === undefined ? {} : { initial }),
  };
}

function word(text: string, first: string, ...others: readonly string[]): FaultKey {
  return { kind: "word", text, words: [first, ...others], initial: first };
}

function text(text: string): FaultKey {
  return { kind: "text", text };
}

function waits(what: string, initial: number): Readonly<Record<"ms", FaultKey>> {
  return { ms: number(what, 0, MS_MAX, initial) };
}

const NOWHERE = { places: [], eventMin: 0, usual: "" } as const;
/** Behind so much of an answer. */
const BEHIND = {
  places: PLACE_UNITS,
  eventMin: 0,
  usual: "behind the second event, or in the middle of an answer in one piece",
} as const;
/** At one event. */
const AT_EVENT = { places: PLACE_UNITS, eventMin: 1, usual: "the second event" } as const;
/** From so much of an answer on. */
const FROM = { places: PLACE_UNITS, eventMin: 0, usual: "from the first byte on" } as const;

/** Behind one event, which is said before. */
const BEHIND_EVENT = "behind the second event";

const ERROR_WORDS = {
  message: text("the error's sentence"),
  type: text("the error's type"),
  "error-code": text("the error's code"),
};
const ERROR_HEAD = {
  code: number("status of HTTP", 400, 599, 500),
  ...ERROR_WORDS,
  "retry-after": number("seconds in the header of that name", 0, 86_400),
};

/** Every fault, in the order of `weir faults`. */
export const FAULTS = {
  refuse: { text: "the connection is reset before a byte is answered", ...NOWHERE, keys: {} },
  hang: {
    text: "nothing is answered, and nothing ends",
    ...NOWHERE,
    keys: { head: word("whether the head leaves", "held", "sent") },
  },
  status: { text: "an error in the words of the dialect", ...NOWHERE, keys: ERROR_HEAD },
  "fail-first": {
    text: "the first requests get an error, and the later ones their answer",
    ...NOWHERE,
    keys: {
      n: number("how many", 1, 1_000_000, 1),
      per: word("what is counted: equal requests, or all that meet it", "request", "fault"),
      ...ERROR_HEAD,
    },
  },
  "rate-limit": {
    text: "429, with what the limiter says of its bucket",
    ...NOWHERE,
    keys: {
      "retry-after": number("seconds to wait; absent = until one request has refilled", 0, 86_400),
    },
  },
  "slow-head": { text: "the answer begins late", ...NOWHERE, keys: waits("how late", 1000) },
  "slow-first": {
    text: "the head leaves, and the first byte of the body is late",
    ...NOWHERE,
    keys: waits("how late", 1000),
  },
  stall: {
    text: "silence, and then it goes on",
    ...BEHIND,
    keys: waits("how long", 1000),
  },
  trickle: {
    text: "few bytes per write",
    ...FROM,
    keys: {
      bytes: number("of each write", 1, 65_536, 16),
      ...waits("between two writes", 10),
    },
  },
  cut: { text: "the connection closes, and the body is not whole", ...BEHIND, keys: {} },
  "cut-clean": { text: "the body ends as HTTP has it, and is not whole", ...BEHIND, keys: {} },
  reset: { text: "the connection is reset", ...BEHIND, keys: {} },
  "half-open": {
    text: "nothing is written or read any more, and the connection stays",
    ...BEHIND,
    keys: waits("how long it stays", 60_000),
  },
  "error-event": {
    text: "an error in mid-stream, behind status 200",
    ...AT_EVENT,
    usual: BEHIND_EVENT,
    keys: ERROR_WORDS,
  },
  "html-200": { text: "a page of HTML with status 200", ...NOWHERE, keys: {} },
  "json-200": {
    text: "an error's JSON with status 200, also in place of a stream",
    ...NOWHERE,
    keys: ERROR_WORDS,
  },
  malformed: { text: "broken JSON in one event", ...AT_EVENT, keys: {} },
  split: {
    text: "write borders inside characters, inside `data:` and inside line ends",
    ...FROM,
    keys: waits("between two writes", 1),
  },
  glue: {
    text: "many events in one write",
    ...NOWHERE,
    keys: { events: number("of each write; fewer at the end", 2, 65_536, 8) },
  },
  framing: {
    text: "events in another of the spellings that the standard allows",
    ...NOWHERE,
    keys: {
      with: word(
        "which",
        ...["all", "crlf", "cr", "bom", "comment", "event", "id", "retry", "lines"] as const,
        ...["no-space", "no-end"] as const,
      ),
    },
  },
  "no-done": { text: "no end mark", ...NOWHERE, keys: {} },
  "double-done": { text: "the end mark twice", ...NOWHERE, keys: {} },
  "after-done": { text: "an event behind the end mark", ...NOWHERE, keys: {} },
  dup: { text: "an event twice", ...AT_EVENT, keys: {} },
  reorder: { text: "an event behind the one that follows it", ...AT_EVENT, keys: {} },
  "index-gap": {
    text: "an index that is one too large",
    ...AT_EVENT,
    usual: "from the first event on",
    keys: {
      of: word("which: that of a choice, an item or a block, or of calls only", "choice", "tool"),
    },
  },
  "usage-late": { text: "the usage stands with the reason for the end", ...NOWHERE, keys: {} },
  "usage-missing": { text: "no usage", ...NOWHERE, keys: {} },
  "usage-twice": { text: "the usage twice", ...NOWHERE, keys: {} },
  "no-finish": { text: "no reason for the end", ...NOWHERE, keys: {} },
  "no-role": { text: "no role", ...NOWHERE, keys: {} },
  filter: {
    text: "the answer ends in the middle: content_filter",
    ...AT_EVENT,
    usual: BEHIND_EVENT,
    keys: {},
  },
  huge: {
    text: "one event of many bytes: blanks in its JSON",
    ...AT_EVENT,
    keys: { bytes: number("added to it", 1, HUGE_BYTES_MAX, 1_048_576) },
  },
  "length-lie": {
    text: "a wrong content-length, and a close behind the last byte",
    ...NOWHERE,
    keys: {
      by: number(
        "bytes that it is too large; below 0 too small",
        -HUGE_BYTES_MAX,
        HUGE_BYTES_MAX,
        10,
      ),
    },
  },
  "slow-close": {
    text: "the connection stays behind the last byte of an answer that closes it",
    ...NOWHERE,
    keys: {
      ...waits("how long", 1000),
      end: word("whether the end of the body is held back as well", "sent", "held"),
    },
  },
  "close-idle": {
    text: "the kept connection closes when it is used again",
    ...NOWHERE,
    keys: {},
  },
} as const satisfies Readonly<Record<string, FaultRule>>;

/** The name of a fault. */
export type FaultWord = keyof typeof FAULTS;

/** A fault as it was written. */
export interface WrittenFault {
  readonly name: FaultWord;
  readonly place?: { readonly unit: PlaceUnit; readonly at: number };
  /** With what is usual. */
  readonly keys: Readonly<Record<string, number | string>>;
}

/** A text that is no list of faults. The message says what is wrong, and at which character. */
export class FaultTextError extends Error {
  override readonly name = "FaultTextError";

  /** `at`: the character, from 0. */
  constructor(what: string, at: number) {
    super(`${what} (character ${at + 1})`);
  }
}

/** A longer list is a mistake. */
const FAULTS_MAX = 16;
const TEXT_CHARS_MAX = 4096;
const NAMES = Object.keys(FAULTS) as FaultWord[];
const NUMBER = /^-?\d+(?:\.\d+)?$/;

/** A piece of the text, and where it begins. */
interface Piece {
  readonly text: string;
  readonly at: number;
}

/**
 * Reads `text`: "cut@event=3, slow-head;ms=200".
 *
 * @throws {FaultTextError} when it is no such list.
 */
export function parseFaults(text: string): readonly WrittenFault[] {
  if (text.length > TEXT_CHARS_MAX) {
    throw new FaultTextError(`a list of faults has at most ${TEXT_CHARS_MAX} characters`, 0);
  }
  const pieces = apart({ text, at: 0 }, ",");
  if (pieces.length > FAULTS_MAX) {
    throw new FaultTextError(`there may be ${FAULTS_MAX} faults at once`, pieces[FAULTS_MAX]!.at);
  }
  return pieces.map(faultOf);
}

function faultOf(piece: Piece): WrittenFault {
  const [head, ...settings] = apart(piece, ";") as [Piece, ...Piece[]];
  const cut = head.text.indexOf("@");
  const word = (cut < 0 ? head.text : head.text.slice(0, cut)).trim();
  if (word === "") throw new FaultTextError("the name of a fault is missing", head.at);
  const name = NAMES.find((known) => known === word);
  if (name === undefined) {
    throw new FaultTextError(
      `there is no fault ${JSON.stringify(word)}${meant(word, NAMES)}`,
      head.at,
    );
  }
  const place = cut < 0
    ? undefined
    : placeOf(name, { text: head.text.slice(cut + 1), at: head.at + cut + 1 });
  return {
    name,
    ...(place === undefined ? {} : { place }),
    keys: keysOf(name, settings),
  };
}

function placeOf(name: FaultWord, piece: Piece): NonNullable<WrittenFault["place"]> {
  const { places, eventMin }: FaultRule = FAULTS[name];
  const { at } = piece;
  if (places.length === 0) {
    throw new FaultTextError(`${name} has no place${keysSaid(name)}`, at);
  }
  const [unitText, valueText] = pairOf(piece);
  const unit = places.find((one) => one === unitText);
  if (unit === undefined) {
    const known = places.join(", ");
    throw new FaultTextError(
      `the place of ${name} is one of ${known}, as in ${name}@${places[0]}=3${
        meant(unitText, places)
      }`,
      at,
    );
  }
  const isShare = unit === "share";
  const value = NUMBER.test(valueText) ? Number(valueText) : NaN;
  const isFit = isShare
    ? value >= 0 && value <= 1
    : Number.isSafeInteger(value) && value >= (unit === "event" ? eventMin : 0);
  if (!isFit) {
    const must = isShare
      ? "a number from 0 to 1"
      : `a whole number from ${unit === "event" ? eventMin : 0} on`;
    throw new FaultTextError(`${unit} must be ${must}: it is ${JSON.stringify(valueText)}`, at);
  }
  return { unit, at: value };
}

function keysOf(name: FaultWord, pieces: readonly Piece[]): WrittenFault["keys"] {
  const rules: Readonly<Record<string, FaultKey>> = FAULTS[name].keys;
  const values: Record<string, number | string> = {};
  for (const [key, rule] of Object.entries(rules)) {
    if (rule.kind !== "text" && rule.initial !== undefined) values[key] = rule.initial;
  }
  const seen = new Set<string>();
  for (const piece of pieces) {
    const [key, value] = pairOf(piece);
    const rule = Object.hasOwn(rules, key) ? rules[key]! : undefined;
    if (rule === undefined) {
      throw new FaultTextError(
        `${name} has no key ${JSON.stringify(key)}${
          meant(key, Object.keys(rules)) || keysSaid(name)
        }`,
        piece.at,
      );
    }
    if (seen.has(key)) throw new FaultTextError(`${key} stands there twice`, piece.at);
    seen.add(key);
    values[key] = valueOf(key, value, rule, piece.at);
  }
  return values;
}

function valueOf(key: string, text: string, rule: FaultKey, at: number): number | string {
  if (rule.kind === "text") return text;
  if (rule.kind === "word") {
    if (rule.words.includes(text)) return text;
    throw new FaultTextError(
      `${key} must be one of ${rule.words.join(", ")}: it is ${JSON.stringify(text)}${
        meant(text, rule.words)
      }`,
      at,
    );
  }
  const { min, max, isWhole } = rule;
  const value = NUMBER.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
  throw new FaultTextError(
    `${key} must be a ${isWhole ? "whole " : ""}number from ${min} to ${max}: it is ${
      JSON.stringify(text)
    }`,
    at,
  );
}

/** "; did you mean cut?", or "". */
function meant(word: string, known: readonly string[]): string {
  const found = nearest(word, known);
  return found === undefined ? "" : `; did you mean ${found}?`;
}

/** What keys there are in place of a place. */
function keysSaid(name: FaultWord): string {
  const keys = Object.keys(FAULTS[name].keys);
  return keys.length === 0 ? ": it takes no key" : `: its keys are ${keys.join(", ")}`;
}

/** "key=value": both without blanks around them, and the value without its quotes. */
function pairOf({ text, at }: Piece): readonly [key: string, value: string] {
  const sign = text.indexOf("=");
  const key = (sign < 0 ? text : text.slice(0, sign)).trim();
  if (sign < 0) {
    throw new FaultTextError(`${JSON.stringify(key)} has no value: write ${key || "key"}=…`, at);
  }
  const value = text.slice(sign + 1).trim();
  if (!value.startsWith('"')) return [key, value];
  const quoted = /^"((?:[^"\\]|\\.)*)"$/s.exec(value);
  if (quoted === null) throw new FaultTextError(`the quotes of ${key} do not end it`, at);
  return [key, quoted[1]!.replace(/\\(.)/gs, "$1")];
}

/** The parts of `piece` between `mark`s that stand in no quotes, without blanks at their beginnings. */
function apart({ text, at }: Piece, mark: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let start = 0;
  let isQuoted = false;
  const add = (end: number) => {
    const part = text.slice(start, end);
    const blanks = part.length - part.trimStart().length;
    pieces.push({ text: part.trim(), at: at + start + blanks });
  };
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') isQuoted = !isQuoted;
    else if (text[i] === "\\" && isQuoted) i++;
    else if (text[i] === mark && !isQuoted) {
      add(i);
      start = i + 1;
    }
  }
  if (isQuoted) throw new FaultTextError("a quote has no end", at + text.lastIndexOf('"'));
  add(text.length);
  return pieces;
}
