/**
 * Frames: a script as the bytes of one dialect, laid once, shared by every request.
 *
 *   bytes   data: {"id":"chatcmpl-•••…","created":••••…}⏎⏎data: {"id":…        data: [DONE]⏎⏎
 *                           ▲ slotAt[0]    ▲ slotAt[1]     ▲ slotAt[2]         no slots
 *   ends                                                 ▲ ends[0]                          ▲ ends[n]
 *
 * Slots have fixed widths, so a request only copies bytes and writes its stamps over them: the
 * time, and as many ids as the dialect has, each of a length of its own.
 *
 * @module
 */

import type { Labels, Script, Step, Usage } from "./answer.ts";
import type { AnswerWriter } from "./dialect.ts";

/** Digits of the seconds since 1970: ten until the year 2286. */
export const CREATED_BYTES = 10;

/** What goes into the slots of one answer: the digits of its time, then its ids, as ASCII. */
export type Stamped = readonly [created: Uint8Array<ArrayBuffer>, ...Uint8Array<ArrayBuffer>[]];

/** The same as texts. */
export type StampTexts = readonly [created: string, ...string[]];

/** What is known of an answer before it begins, for dialects that tell or need it early. */
export interface Foretold {
  /** All steps that will be told, but for the usage. */
  readonly steps?: readonly Step[];
  readonly usage?: Usage | undefined;
}

/** How a dialect lays scripts: the same layout and script give the same frames. */
export interface Layout {
  /** Everything that the bytes depend on besides the script, its usage and the stamps. */
  readonly key: string;
  /** Characters of each id that changes per answer: 12 at the most. Rare ones come last. */
  readonly idLengths: readonly number[];
  /** Writes one answer with these stamps, each of the length that its slot has. */
  writer(stamps: StampTexts, foretold?: Foretold): AnswerWriter;
  /** The same for an answer with `labels`; absent = the dialect has no words for any. */
  labelled?(labels: Labels): Layout;
}

/** Layouts with labels: one for the same two, so that whatever is remembered by one is found. */
export class Labelled<Of extends Layout> {
  readonly #made = new WeakMap<Labels, WeakMap<Layout, Of>>();

  /** `layout` for an answer with `labels`. */
  of(layout: Of, labels: Labels): Of {
    let made = this.#made.get(labels);
    if (made === undefined) this.#made.set(labels, made = new WeakMap());
    let found = made.get(layout);
    if (found === undefined) {
      // A layout of one kind makes layouts of its own kind.
      made.set(layout, found = (layout.labelled?.(labels) ?? layout) as Of);
    }
    return found;
  }
}

/** What tells a layout with `labels` from one without. */
export function labelsKey(labels: Labels | undefined): string {
  return labels === undefined ? "" : ` ${JSON.stringify(labels)}`;
}

/**
 * A script in one dialect. After it is laid only the slots change: they hold what the last answer
 * wrote.
 */
export interface Frames {
  /** Every event, one behind the other. Copied before it leaves, never handed out. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `ends[i]`: the offset behind frame i. */
  readonly ends: Uint32Array;
  /** When frame i is due, in milliseconds after the answer began. Never decreases. */
  readonly dueMs: Float64Array;
  /** Offsets of all slots, ascending. */
  readonly slotAt: Uint32Array;
  /** Which stamp goes into slot s: 0 = the time, 1 = the first id. */
  readonly slotStamp: Uint8Array;
  /** `slotEnds[i]`: the number of slots up to the end of frame i. */
  readonly slotEnds: Uint32Array;
  /** `stepEnds[i]`: how many steps of the script are said when frame i has left. */
  readonly stepEnds: Uint32Array;
  /** How many ids stand in slots: the first ones of the layout. */
  readonly idCount: number;
  /** The time that stands in the slots of `bytes`; null = a blank. Only `stampWhole` sets it. */
  createdThere: Uint8Array | null;
}

/** One event before it is laid down. */
export interface Frame {
  readonly text: string;
  readonly dueMs: number;
  /** Steps of the script up to here; absent = it belongs to none. */
  readonly stepEnd?: number;
}

const encoder = new TextEncoder();

/**
 * Lays `frames` one behind the other. They have no slots.
 *
 * @throws {RangeError} when due times decrease, which would reorder an answer.
 */
export function layFrames(frames: readonly Frame[]): Frames {
  const encoded = frames.map(({ text }) => encoder.encode(text));
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, 0));
  const ends = new Uint32Array(frames.length);
  const dueMs = new Float64Array(frames.length);
  let at = 0;
  for (const [i, piece] of encoded.entries()) {
    const due = frames[i]!.dueMs;
    if (i > 0 && due < dueMs[i - 1]!) {
      throw new RangeError(
        `Cannot lay frames as due times must not decrease: frame ${i} is due at ${due} ms`,
      );
    }
    bytes.set(piece, at);
    at += piece.length;
    ends[i] = at;
    dueMs[i] = due;
  }
  return {
    bytes,
    ends,
    dueMs,
    slotAt: new Uint32Array(0),
    slotStamp: new Uint8Array(0),
    slotEnds: new Uint32Array(frames.length),
    stepEnds: Uint32Array.from(frames, ({ stepEnd = 0 }) => stepEnd),
    idCount: 0,
    createdThere: null,
  };
}

/** What tells where the slots are. */
type Slotted = Pick<Layout, "key" | "idLengths">;

/**
 * Lays a whole script in a dialect, with `usage` told behind its steps when there is any.
 *
 * @throws {TypeError} when the writer does not write the same twice.
 */
export function layScript(script: Script, layout: Layout, usage?: Usage): Frames {
  const foretold = { steps: script.steps, usage };
  return laySlotted(
    layout,
    (stamps) => framesOf(script, layout.writer(stamps, foretold), usage),
  );
}

/**
 * Lays one text, which `write` gives with any stamps, as one frame.
 *
 * @throws {TypeError} when it does not write the same twice.
 */
export function layText(slotted: Slotted, write: (stamps: StampTexts) => string): Frames {
  return laySlotted(slotted, (stamps) => [{ text: write(stamps), dueMs: 0 }]);
}

/**
 * The slots are where two layings with different blanks differ, so that nothing a script says can
 * be taken for one.
 */
function laySlotted(slotted: Slotted, lay: (stamps: StampTexts) => readonly Frame[]): Frames {
  const frames = layFrames(lay(blanks(slotted, 0)));
  const other = layFrames(lay(blanks(slotted, 1)));
  const slotAt: number[] = [];
  const slotStamp: number[] = [];
  const { bytes, ends, slotEnds } = frames;
  if (other.bytes.length !== bytes.length) throw notTheSame(slotted);
  let frame = 0;
  for (let at = 0; at < bytes.length;) {
    while (at >= ends[frame]!) slotEnds[frame++] = slotAt.length;
    if (bytes[at] === other.bytes[at]) {
      at++;
      continue;
    }
    const stamp = stampOfBlank(bytes[at]!);
    const width = stamp === 0 ? CREATED_BYTES : slotted.idLengths[stamp - 1];
    if (width === undefined) throw notTheSame(slotted);
    slotAt.push(at);
    slotStamp.push(stamp);
    at += width;
  }
  while (frame < ends.length) slotEnds[frame++] = slotAt.length;
  return {
    ...frames,
    slotAt: Uint32Array.from(slotAt),
    slotStamp: Uint8Array.from(slotStamp),
    idCount: slotStamp.reduce((most, stamp) => Math.max(most, stamp), 0),
  };
}

/** The events of a script. Steps that a dialect has no word for have none. */
function framesOf(script: Script, writer: AnswerWriter, usage: Usage | undefined): Frame[] {
  const frames: Frame[] = [];
  let dueMs = 0;
  let stepEnd = 0;
  const say = (text: string) => {
    if (text !== "") frames.push({ text, dueMs, stepEnd });
  };
  say(writer.open?.() ?? "");
  for (const step of script.steps) {
    dueMs += step.afterMs;
    stepEnd++;
    say(writer.step(step));
  }
  if (usage !== undefined) say(writer.step({ kind: "usage", usage } satisfies Step));
  say(writer.close());
  return frames;
}

const LETTER_A = 97;
const DIGIT_1 = 49;

/**
 * Stamps of one character each, so that the character tells the slot. `set` 0 and 1 differ in all.
 */
function blanks({ idLengths }: Slotted, set: 0 | 1): StampTexts {
  const ids = idLengths.map((length, i) =>
    String.fromCharCode(LETTER_A + 2 * i + set).repeat(length)
  );
  return [String.fromCharCode(DIGIT_1 + set).repeat(CREATED_BYTES), ...ids];
}

/** The stamp whose blank of set 0 consists of `byte`. */
function stampOfBlank(byte: number): number {
  return byte === DIGIT_1 ? 0 : (byte - LETTER_A) / 2 + 1;
}

function notTheSame({ key }: Slotted): TypeError {
  return new TypeError(`Cannot lay frames as the writer of ${key} does not write the same twice`);
}

/**
 * Writes `stamps` into the slots of frames `from` to before `to`; `target` begins at offset `base`.
 */
export function stampSlots(
  target: Uint8Array,
  { slotAt, slotStamp, slotEnds }: Frames,
  from: number,
  to: number,
  base: number,
  stamps: Stamped,
): void {
  const end = slotEnds[to - 1]!;
  for (let s = from === 0 ? 0 : slotEnds[from - 1]!; s < end; s++) {
    write(target, slotAt[s]! - base, stamps[slotStamp[s]!]!);
  }
}

/**
 * Writes `stamps` into all slots of `frames.bytes`. The time only when it is another array than the
 * last one: `Stamps` gives one per second, and writing it costs 1 % of a whole mock answer.
 */
export function stampWhole(frames: Frames, stamps: Stamped): void {
  const { bytes, slotAt, slotStamp } = frames;
  const [created] = stamps;
  const isNewTime = frames.createdThere !== created;
  frames.createdThere = created;
  for (let s = 0; s < slotAt.length; s++) {
    const stamp = slotStamp[s]!;
    if (stamp !== 0 || isNewTime) write(bytes, slotAt[s]!, stamps[stamp]!);
  }
}

/** A loop: `set` is a call into native code, 40 ns each, and these are a few bytes. */
function write(target: Uint8Array, at: number, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) target[at + i] = bytes[i]!;
}

/** Laid answers kept: one per script, layout and counts; some 2 KiB each for a short reply. */
const ENTRIES_MAX = 1024;
/** Bytes of all that are kept. */
const BYTES_MAX = 64 * 1024 * 1024;

interface Entry {
  readonly script: Script;
  readonly layout: Layout;
  readonly usage: Usage | undefined;
  readonly frames: Frames;
}

/** The one cache of frames. What was laid first goes first. */
export class FramesCache {
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;
  /** The last answer without counts: most requests ask for the same as the one before. */
  #last: Entry | undefined = undefined;

  get size(): number {
    return this.#entries.size;
  }

  /** The frames of `script` in `layout`, laid now unless they are known. */
  of(script: Script, layout: Layout, usage?: Usage): Frames {
    const last = this.#last;
    if (usage === undefined && last?.script === script && last.layout === layout) {
      return last.frames;
    }
    const key = `${layout.key}|${script.name}|${usage === undefined ? "" : countsOf(usage)}`;
    const known = this.#entries.get(key);
    const entry = known?.script === script
      ? known
      : this.#keep(key, { script, layout, usage, frames: layScript(script, layout, usage) });
    // With the layout at hand, which may be another object than the one it was laid with.
    if (usage === undefined) this.#last = { ...entry, layout };
    return entry.frames;
  }

  #keep(key: string, entry: Entry): Entry {
    this.#drop(key);
    this.#entries.set(key, entry);
    this.#bytes += entry.frames.bytes.length;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= ENTRIES_MAX && this.#bytes <= BYTES_MAX) break;
      this.#drop(oldest);
    }
    return entry;
  }

  #drop(key: string): void {
    this.#bytes -= this.#entries.get(key)?.frames.bytes.length ?? 0;
    this.#entries.delete(key);
  }
}

function countsOf({ promptTokens, completionTokens, ...more }: Usage): string {
  const { acceptedPredictionTokens, rejectedPredictionTokens } = more;
  return `${promptTokens} ${completionTokens} ${more.cachedTokens} ${more.cacheWriteTokens} ` +
    `${more.reasoningTokens} ${more.promptAudioTokens} ${more.completionAudioTokens} ` +
    `${acceptedPredictionTokens} ${rejectedPredictionTokens}`;
}
