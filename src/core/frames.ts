/**
 * Frames: a script as the bytes of one dialect, encoded once, shared by every request.
 *
 *   bytes   data: {"id":"chatcmpl-•••…","created":••••…}⏎⏎data: {"id":…        data: [DONE]⏎⏎
 *                           ▲ idAt[0]      ▲ createdAt[0]   ▲ idAt[1]          no slots
 *   ends                                                 ▲ ends[0]                          ▲ ends[n]
 *
 * The slots have fixed widths, so a request only copies bytes and writes its id and time over them.
 *
 * @module
 */

import type { Script } from "./answer.ts";
import type { Dialect } from "./dialect.ts";

/** Characters of an id that change per request: 29 of [A-Za-z0-9] (facts 5.1, "Ids"). */
export const ID_BYTES = 29;
/** Digits of the seconds since 1970: ten until the year 2286. */
export const CREATED_BYTES = 10;

/** What stands in an id slot until a request writes over it. */
export const ID_BLANK = "0".repeat(ID_BYTES);
/** What stands in a time slot until a request writes over it: ten digits, so JSON stays valid. */
export const CREATED_BLANK = 1_000_000_000;

/** Where the slots lie in every stamped event: byte offsets from the event's first byte. */
export interface Slots {
  readonly idAt: number;
  readonly createdAt: number;
}

/** A script in one dialect. After `layFrames` only the slots change: they hold what the last answer wrote. */
export interface Frames {
  /** Every event, one behind the other. Copied before it leaves, never handed out. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `ends[i]`: the offset behind frame i. */
  readonly ends: Uint32Array;
  /** When frame i is due, in milliseconds after the answer began. Never decreases. */
  readonly dueMs: Float64Array;
  /** Absolute offsets of the slots of frame i; frames from `idAt.length` on have none. */
  readonly idAt: Uint32Array;
  readonly createdAt: Uint32Array;
  /** The digits that stand in the time slots of `bytes`; null = blanks. Only `stampWhole` sets it. */
  createdThere: Uint8Array | null;
}

/** One event before it is laid down. */
export interface Frame {
  readonly text: string;
  readonly dueMs: number;
}

const encoder = new TextEncoder();

/**
 * Lays `frames` one behind the other. The first `stampedCount` of them have slots at `slots`.
 *
 * @throws {RangeError} when due times decrease, which would reorder an answer.
 */
export function layFrames(frames: readonly Frame[], slots?: Slots, stampedCount = 0): Frames {
  const encoded = frames.map(({ text }) => encoder.encode(text));
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, 0));
  const ends = new Uint32Array(frames.length);
  const dueMs = new Float64Array(frames.length);
  const idAt = new Uint32Array(slots === undefined ? 0 : stampedCount);
  const createdAt = new Uint32Array(idAt.length);
  let at = 0;
  for (const [i, piece] of encoded.entries()) {
    const due = frames[i]!.dueMs;
    if (i > 0 && due < dueMs[i - 1]!) {
      throw new RangeError(
        `Cannot lay frames as due times must not decrease: frame ${i} is due at ${due} ms`,
      );
    }
    if (slots !== undefined && i < idAt.length) {
      idAt[i] = at + slots.idAt;
      createdAt[i] = at + slots.createdAt;
    }
    bytes.set(piece, at);
    at += piece.length;
    ends[i] = at;
    dueMs[i] = due;
  }
  return { bytes, ends, dueMs, idAt, createdAt, createdThere: null };
}

/** Lays a whole script in a dialect. With `slots`, every frame has them. */
export function encodeScript(script: Script, dialect: Dialect, slots?: Slots): Frames {
  const frames: Frame[] = [];
  let dueMs = 0;
  let isOpen = false;
  const say = (text: string) => {
    if (text !== "") frames.push({ text, dueMs });
  };
  for (const step of script.steps) {
    dueMs += step.afterMs;
    if (!isOpen) say(dialect.open());
    isOpen = true;
    if (step.kind === "text") say(dialect.text(step.text));
    else say(dialect.end(step.reason));
  }
  return layFrames(frames, slots, frames.length);
}

/** Writes id and time into the slots of frames `from` to `to`; `target` begins at offset `base`. */
export function stampSlots(
  target: Uint8Array,
  { idAt, createdAt }: Frames,
  from: number,
  to: number,
  base: number,
  id: Uint8Array,
  created: Uint8Array,
): void {
  const end = Math.min(to, idAt.length);
  for (let i = from; i < end; i++) {
    write(target, idAt[i]! - base, id);
    write(target, createdAt[i]! - base, created);
  }
}

/**
 * Writes id and time into all slots of `frames.bytes`. The time only when it is another array than
 * the last one: `Stamps` gives one per second, and writing it costs 1 % of a whole mock answer.
 */
export function stampWhole(frames: Frames, id: Uint8Array, created: Uint8Array): void {
  const { bytes, idAt, createdAt } = frames;
  for (let i = 0; i < idAt.length; i++) write(bytes, idAt[i]!, id);
  if (frames.createdThere === created) return;
  for (let i = 0; i < createdAt.length; i++) write(bytes, createdAt[i]!, created);
  frames.createdThere = created;
}

/** A loop: `set` is a call into native code, 40 ns each, and these are a few bytes. */
function write(target: Uint8Array, at: number, bytes: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) target[at + i] = bytes[i]!;
}

/** A bounded map of frames by key: the least recently made goes first. */
export class FramesCache {
  readonly #entriesMax: number;
  readonly #frames = new Map<string, Frames>();

  /** `entriesMax`: how many answers are kept encoded; some 2 KiB each for a short reply. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get(key: string): Frames | undefined {
    return this.#frames.get(key);
  }

  set(key: string, frames: Frames): Frames {
    if (this.#frames.size >= this.#entriesMax) {
      const [oldest] = this.#frames.keys();
      this.#frames.delete(oldest!);
    }
    this.#frames.set(key, frames);
    return frames;
  }
}
