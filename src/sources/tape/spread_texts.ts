/**
 * Texts that a body spreads over several places: a stream says word by word, and the probabilities of
 * tokens name each of them. What nobody sees in any of the places may be a secret in all of them.
 *
 * Only as much of JSON is read as that needs: what is no JSON, or breaks off, is read as far as it goes.
 *
 * @module
 */

import type { Span } from "./spellings.ts";

/** So many places of one body are joined; a read has one, or a few. */
const PIECES_MAX = 1_000_000;
/** What is deeper is not read. */
const DEPTH_MAX = 200;
/** The loop breathes after so many bytes: a millisecond. */
const STEP_BYTES = 65_536;

/** What is the same in each event, or is no text: it is not joined. */
const NO_TEXT: ReadonlySet<string> = new Set([
  ..."id item_id response_id object model type role finish_reason stop_reason status".split(" "),
  ..."system_fingerprint service_tier obfuscation event".split(" "),
]);
const LOGPROBS = "logprobs";
/** The bytes of a token, a number each. */
const BYTES = "bytes";

const LF = 10;
const CR = 13;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST] = [0x7b, 0x7d, 0x5b, 0x5d];
const [COMMA, COLON] = [0x2c, 0x3a];
const DATA = [...Buffer.from("data:")];

/** A text whose pieces stand in several places. */
export class SpreadText {
  readonly bytes: Uint8Array;
  /** True: its bytes are numbers in the body, where no asterisk may stand. */
  readonly isNumbers: boolean;
  readonly #pieces: readonly Span[];
  /** Where in the text each begins. */
  readonly #starts: Uint32Array;

  constructor(body: Uint8Array, pieces: readonly Span[], isNumbers: boolean) {
    this.isNumbers = isNumbers;
    this.#pieces = pieces;
    this.#starts = new Uint32Array(pieces.length);
    let bytes = 0;
    for (const [i, { at, end }] of pieces.entries()) {
      this.#starts[i] = bytes;
      bytes += isNumbers ? 1 : end - at;
    }
    const all = this.bytes = new Uint8Array(bytes);
    for (const [i, { at, end }] of pieces.entries()) {
      if (isNumbers) all[this.#starts[i]!] = numberAt(body, at, end);
      else all.set(body.subarray(at, end), this.#starts[i]!);
    }
  }

  /** Where in the body `at` to before `end` of it stand. */
  *source({ at, end }: Span): Iterable<Span> {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    for (let i = Math.max(0, low - 1); i < starts.length && starts[i]! < end; i++) {
      const { at: from, end: to } = this.#pieces[i]!;
      if (this.isNumbers) {
        yield { at: from, end: to };
        continue;
      }
      const start = starts[i]!;
      const span = { at: from + Math.max(0, at - start), end: Math.min(to, from + end - start) };
      if (span.at < span.end) yield span;
    }
  }
}

/**
 * The texts that `body` spreads; undefined = it has too many pieces to look at. A generator, so that
 * whoever has time lets others work between two of its steps.
 */
export function* spreadTexts(
  body: Uint8Array,
): Generator<void, readonly SpreadText[] | undefined> {
  if (!maySpread(body)) return [];
  const scan = new Scan(body);
  for (let until = STEP_BYTES; scan.run(until); until += STEP_BYTES) yield;
  return scan.texts();
}

function maySpread(body: Uint8Array): boolean {
  const bytes = bufferOf(body);
  const isStream = bytes.indexOf("data:") === 0 || bytes.includes("\ndata:") ||
    bytes.includes("\rdata:");
  return isStream || bytes.includes(LOGPROBS) || /\}\s*[\r\n]\s*[{[]/.test(
    bytes.subarray(0, STEP_BYTES).toString("latin1"),
  );
}

/** An object or a list that is open. */
interface Level {
  readonly parent: Level | undefined;
  readonly isList: boolean;
  /** The key that it stands under, and its place in a list. */
  readonly key: string;
  readonly place: number;
  readonly depth: number;
  /** Its own numbers "index", "output_index", …, wherever they stand in it. */
  indexes: string;
  /** Of what is read next. */
  nextKey: string;
  nextPlace: number;
  wantsKey: boolean;
}

/** A text or a number. */
interface Leaf extends Span {
  readonly level: Level;
  readonly key: string;
  readonly place: number;
  readonly isNumber: boolean;
}

class Scan {
  readonly #body: Buffer;
  #at = 0;
  #level: Level | undefined;
  /** Of the document that is open. */
  #leaves: Leaf[] = [];
  #documents = 0;
  #pieces = 0;
  /** By where they stand, and by their last key alone. */
  readonly #byPath = new Map<string, Leaf[]>();
  readonly #byKey = new Map<string, Leaf[]>();

  constructor(body: Uint8Array) {
    this.#body = bufferOf(body);
  }

  /** Reads on until byte `until`; false = that is all. */
  run(until: number): boolean {
    const end = Math.min(until, this.#body.length);
    while (this.#at < end && this.#pieces <= PIECES_MAX) {
      if (this.#level === undefined) this.#outside();
      else this.#inside(this.#level);
    }
    if (this.#at < this.#body.length && this.#pieces <= PIECES_MAX) return true;
    this.#close();
    return false;
  }

  texts(): readonly SpreadText[] | undefined {
    if (this.#pieces > PIECES_MAX) return undefined;
    // In one document, what has the same key in another place is another text.
    const others = this.#documents < 2
      ? []
      : [...this.#byKey.values()].filter((leaves) =>
        this.#byPath.get(pathOf(leaves[0]!))!.length < leaves.length
      );
    return [...this.#byPath.values(), ...others].filter(({ length }) => length > 1)
      .map((leaves) => new SpreadText(this.#body, leaves, leaves[0]!.isNumber));
  }

  /** At the start of a line: a document begins there, perhaps behind "data:", or none does. */
  #outside(): void {
    const body = this.#body;
    this.#blanks();
    if (DATA.every((byte, i) => body[this.#at + i] === byte)) {
      this.#at += DATA.length;
      this.#blanks();
    }
    const byte = body[this.#at];
    if (byte === OPEN_OBJECT || byte === OPEN_LIST) return this.#open(byte, "", 0);
    this.#line();
  }

  #blanks(): void {
    while (isBlank(this.#body[this.#at])) this.#at++;
  }

  /** Behind the end of the line. */
  #line(): void {
    const body = this.#body;
    while (this.#at < body.length && body[this.#at] !== LF && body[this.#at] !== CR) this.#at++;
    this.#at++;
  }

  #open(byte: number, key: string, place: number): void {
    const parent = this.#level;
    const isList = byte === OPEN_LIST;
    const depth = (parent?.depth ?? 0) + 1;
    this.#at++;
    this.#level = {
      ...{ parent, isList, key, place, depth, indexes: "" },
      ...{ nextKey: "", nextPlace: 0, wantsKey: !isList },
    };
    if (depth > DEPTH_MAX) this.#close();
  }

  #inside(level: Level): void {
    const body = this.#body;
    const byte = body[this.#at]!;
    switch (byte) {
      case QUOTE:
        return this.#text(level);
      case OPEN_OBJECT:
      case OPEN_LIST:
        return this.#open(byte, level.nextKey, level.nextPlace);
      case CLOSE_OBJECT:
      case CLOSE_LIST:
        this.#at++;
        this.#level = level.parent;
        if (this.#level === undefined) this.#close();
        return;
      case COMMA:
        level.nextPlace++;
        level.wantsKey = !level.isList;
        this.#at++;
        return;
      case LF:
      case CR:
        return this.#lineEnd();
    }
    if (byte === COLON || isBlank(byte)) this.#at++;
    else this.#word(level);
  }

  /** An event may have several lines of data, and ends with an empty one. */
  #lineEnd(): void {
    const body = this.#body;
    const wasCr = body[this.#at++] === CR;
    if (wasCr && body[this.#at] === LF) this.#at++;
    if (body[this.#at] === LF || body[this.#at] === CR) return this.#close();
    if (DATA.every((byte, i) => body[this.#at + i] === byte)) this.#at += DATA.length;
  }

  #text(level: Level): void {
    const body = this.#body;
    const from = this.#at + 1;
    let at = from;
    while (at < body.length && body[at] !== QUOTE && body[at] !== LF) {
      at += body[at] === BACKSLASH ? 2 : 1;
    }
    const end = Math.min(at, body.length);
    this.#at = body[end] === QUOTE ? end + 1 : end;
    if (!level.wantsKey) return this.#leaf(level, from, end, false);
    level.nextKey = body.toString("latin1", from, end);
    level.wantsKey = false;
    // The older form: tokens are keys there.
    if (level.parent?.parent?.key !== LOGPROBS || level.parent.key !== "top_logprobs") return;
    this.#leaf({ ...level, nextKey: `#${level.nextPlace}` }, from, end, false);
  }

  /** A number, true, false or null. */
  #word(level: Level): void {
    const body = this.#body;
    const from = this.#at;
    do this.#at++; while (this.#at < body.length && !isEnd(body[this.#at]!));
    const isByte = level.isList && level.key === BYTES;
    if (isByte) return this.#leaf(level, from, this.#at, true);
    if (level.isList || !/^(?:\w+_)?index$/.test(level.nextKey)) return;
    const value = body.toString("latin1", from, this.#at);
    level.indexes += ` ${level.nextKey}=${value}`;
  }

  #leaf(level: Level, at: number, end: number, isNumber: boolean): void {
    const { nextKey: key, nextPlace: place } = level;
    if (at === end || NO_TEXT.has(key)) return;
    this.#pieces++;
    this.#leaves.push({ level, key, place, at, end, isNumber });
  }

  /** The document is whole, or goes no further. */
  #close(): void {
    this.#level = undefined;
    if (this.#leaves.length === 0) return;
    this.#documents++;
    for (const leaf of this.#leaves) {
      const path = pathOf(leaf);
      addTo(this.#byPath, path, leaf);
      // Tokens have their neighbours on their path, and what else might have been said beside them.
      if (!path.includes(LOGPROBS) && !leaf.isNumber) addTo(this.#byKey, leaf.key, leaf);
    }
    this.#leaves = [];
  }
}

/** The same bytes. */
function bufferOf({ buffer, byteOffset, length }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, length);
}

function addTo(map: Map<string, Leaf[]>, key: string, leaf: Leaf): void {
  const leaves = map.get(key);
  if (leaves === undefined) map.set(key, [leaf]);
  else leaves.push(leaf);
}

/** Where a leaf stands, the same for those that are read as one. */
function pathOf({ level, key, place }: Leaf): string {
  let path = level.isList ? placeIn(level, place) : `.${key}`;
  for (let one: Level | undefined = level; one !== undefined; one = one.parent) {
    const { parent } = one;
    const inParent = parent === undefined
      ? ""
      : !parent.isList
      ? `.${one.key}`
      : one.indexes !== ""
      ? "[]" // its own number says which one it is
      : placeIn(parent, one.place);
    path = `${inParent}${one.indexes}${path}`;
  }
  return path;
}

/** Tokens are listed one behind the other. */
function placeIn(list: Level, place: number): string {
  const isTokens = list.key === LOGPROBS || list.key === BYTES || list.parent?.key === LOGPROBS;
  return isTokens ? "[]" : `[${place}]`;
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 9;
}

function isEnd(byte: number): boolean {
  return byte === COMMA || byte === CLOSE_LIST || byte === CLOSE_OBJECT || byte === LF ||
    byte === CR || isBlank(byte) || byte === QUOTE;
}

function numberAt(body: Uint8Array, at: number, end: number): number {
  return Number(Buffer.from(body.subarray(at, end)).toString("latin1"));
}
