/**
 * What is known of one request: when each byte of its answer came, and what these bytes were. Every
 * metric of every tool is a function of such records.
 *
 *   due ─ sent ─ connected ─ written ─ head ─ read ─ read ── read ─ end
 *                                              │      ├─ event   ├─ event: kinds, bytes, text
 *                                              └ role └─ event   └─ event
 *
 * Times are milliseconds of the run's clock, NaN where something did not happen. Events have the time
 * of the read that completed them: several in one read share it.
 *
 * @module
 */

/** What an event says: bits, since one event may say several things. */
export const KIND = {
  /** It belongs to a choice (chat: `choices` is not empty), whatever that says. */
  choice: 1,
  role: 2,
  text: 4,
  reasoning: 8,
  tool: 16,
  /** Why the answer ended. */
  finish: 32,
  usage: 64,
  /** The end mark of the dialect: `[DONE]`, `response.completed`, `message_stop`. */
  done: 128,
  error: 256,
  /** A comment or a ping: it keeps the connection alive and says nothing. */
  comment: 512,
  /** An event of no known dialect. */
  other: 1024,
  /** Of an error: the event is no JSON, though it begins like some. */
  broken: 2048,
} as const;

/** The kinds that carry what a model has made. */
export const TOKENS = KIND.text | KIND.reasoning | KIND.tool;

/** Where a request was when it failed. */
export type Phase = "dns" | "connect" | "tls" | "write" | "head" | "body" | "end";

/** Why a request failed. */
export interface RequestFailure {
  readonly phase: Phase;
  /** Of the answer; undefined = there was no head. */
  readonly status?: number;
  /** What was wrong, in a few words: failures with the same words are counted together. */
  readonly text: string;
}

/** How a request ended. */
export type Outcome =
  | "completed"
  | "failed"
  /** The client left on purpose. */
  | "left"
  /** The run was over before the answer was. */
  | "unfinished";

/**
 * Which times of an answer are figures: those up to a moment inside it (`inside`: first tokens, gaps),
 * and those of all of it (`whole`). A failure has none: a fast refusal would make the figures better.
 * Whoever left has no end of its own.
 */
export const MEASURED: Readonly<
  Record<Outcome, { readonly inside: boolean; readonly whole: boolean }>
> = {
  completed: { inside: true, whole: true },
  left: { inside: true, whole: false },
  failed: { inside: false, whole: false },
  unfinished: { inside: false, whole: false },
};

/** Tokens as the server counted them. */
export interface ToldUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens?: number;
  readonly cachedTokens?: number;
}

/** One request. Arrays may be longer than their count says. */
export interface RequestRecord {
  /** Counted from 0 in the order of being due. */
  readonly number: number;
  /** Which of the run's endpoints. */
  readonly endpoint: number;
  /** Which conversation, and which of its turns, from 0. */
  readonly session: number;
  readonly turn: number;
  /** True: sent to warm up, and part of no figure. */
  readonly isWarmup: boolean;
  /** When it should have been sent. */
  readonly dueMs: number;
  /** When it was handed to a connection, one that had to be opened included. */
  readonly sentMs: number;
  /** When it was sent again, on a new connection; NaN = it was not. */
  readonly resentMs: number;
  /** When its connection was ready, TLS included; NaN = it was kept from before. */
  readonly connectedMs: number;
  /** When the system had taken the last byte of the request. */
  readonly writtenMs: number;
  readonly headMs: number;
  readonly endMs: number;
  /** How much later than due the client sent it, though nothing kept it from that. */
  readonly sendLateMs: number;
  /** How long the connection may have been ready at most before the client saw it. */
  readonly openLateMs: number;
  /** 0 = there was no head. */
  readonly status: number;
  readonly reads: number;
  readonly readMs: Float64Array;
  /** How long the bytes of each read may have lain there at most before the client read them. */
  readonly readLateMs: Float32Array;
  /** Bytes of the body in each read. */
  readonly readBytes: Uint32Array;
  readonly events: number;
  /** The read that completed each event. */
  readonly eventRead: Uint32Array;
  readonly eventKinds: Uint16Array;
  readonly eventBytes: Uint32Array;
  /** How many bytes of `text` are each event's. */
  readonly eventTextBytes: Uint32Array;
  /** What all events said, as it stands inside JSON strings. */
  readonly text: Uint8Array;
  readonly textBytes: number;
  /** True: there was more text than is kept, and its tokens cannot be counted. */
  readonly isTextCut: boolean;
  readonly bodyBytes: number;
  readonly usage: ToldUsage | undefined;
  /** Tokens of the prompt as the run made it; NaN = it did not count. */
  readonly promptTokens: number;
  /** `max_tokens` of the request; NaN = none. */
  readonly tokensMax: number;
  /** True: the answer came to its end, whatever it said. */
  readonly isWhole: boolean;
  /** What is odd about it: bits of `REMARK`. */
  readonly remarks: number;
  readonly outcome: Outcome;
  readonly failure: RequestFailure | undefined;
}

/** Events of one answer that are kept; more end it. */
export const EVENTS_MAX = 1_000_000;
/** Bytes of text of one answer that are kept. */
const TEXT_BYTES_MAX = 4 * 1024 * 1024;

/** Places of a column to begin with: most answers need no more, and 4 000 records take 13 MB. */
const COLUMN = 128;

/** A record while it is written. It is used for one request after the other: nobody keeps it. */
export class Recording implements RequestRecord {
  number = 0;
  endpoint = 0;
  session = 0;
  turn = 0;
  isWarmup = false;
  dueMs = NaN;
  sentMs = NaN;
  resentMs = NaN;
  connectedMs = NaN;
  writtenMs = NaN;
  headMs = NaN;
  endMs = NaN;
  sendLateMs = 0;
  openLateMs = 0;
  status = 0;
  reads = 0;
  readMs: Float64Array = new Float64Array(COLUMN);
  readLateMs: Float32Array = new Float32Array(COLUMN);
  readBytes: Uint32Array = new Uint32Array(COLUMN);
  events = 0;
  eventRead: Uint32Array = new Uint32Array(COLUMN);
  eventKinds: Uint16Array = new Uint16Array(COLUMN);
  eventBytes: Uint32Array = new Uint32Array(COLUMN);
  eventTextBytes: Uint32Array = new Uint32Array(COLUMN);
  text: Uint8Array = new Uint8Array(256);
  textBytes = 0;
  isTextCut = false;
  bodyBytes = 0;
  usage: ToldUsage | undefined = undefined;
  promptTokens = NaN;
  tokensMax = NaN;
  isWhole = false;
  remarks = 0;
  outcome: Outcome = "unfinished";
  failure: RequestFailure | undefined = undefined;
  /** All kinds of all events. */
  kinds = 0;

  /** Begins anew. The arrays stay as long as they have become. */
  reset(): void {
    this.number =
      this.endpoint =
      this.session =
      this.turn =
        0;
    this.isWarmup = false;
    this.dueMs =
      this.sentMs =
      this.resentMs =
      this.connectedMs =
        NaN;
    this.writtenMs = this.headMs = this.endMs = NaN;
    this.sendLateMs = this.openLateMs = 0;
    this.status =
      this.reads =
      this.events =
      this.textBytes =
      this.bodyBytes =
      this.kinds =
      this.remarks =
        0;
    this.isTextCut = this.isWhole = false;
    this.usage = undefined;
    this.promptTokens = this.tokensMax = NaN;
    this.outcome = "unfinished";
    this.failure = undefined;
  }

  /**
   * Bytes of the body came, and have lain there for `lateMs` at most. What they complete is told by
   * `event` afterwards.
   */
  read(atMs: number, bytes: number, lateMs = 0): void {
    const at = this.reads++;
    if (at === this.readMs.length) {
      this.readMs = longer(this.readMs, Float64Array);
      this.readLateMs = longer(this.readLateMs, Float32Array);
      this.readBytes = longer(this.readBytes, Uint32Array);
    }
    this.readMs[at] = atMs;
    this.readLateMs[at] = lateMs;
    this.readBytes[at] = bytes;
    this.bodyBytes += bytes;
  }

  /**
   * The last read has completed an event of `bytes` bytes, whose text is `said` from `from` to before
   * `to`. False: there are too many, and it is not kept.
   */
  event(kinds: number, bytes: number, said: Uint8Array, from: number, to: number): boolean {
    const at = this.events;
    if (at === EVENTS_MAX) return false;
    this.events = at + 1;
    if (at === this.eventRead.length) {
      this.eventRead = longer(this.eventRead, Uint32Array);
      this.eventKinds = longer(this.eventKinds, Uint16Array);
      this.eventBytes = longer(this.eventBytes, Uint32Array);
      this.eventTextBytes = longer(this.eventTextBytes, Uint32Array);
    }
    this.eventRead[at] = this.reads - 1;
    this.eventKinds[at] = kinds;
    this.eventBytes[at] = bytes;
    this.eventTextBytes[at] = this.#keep(said, from, to);
    this.kinds |= kinds;
    return true;
  }

  #keep(said: Uint8Array, from: number, to: number): number {
    const end = this.textBytes + to - from;
    if (end > TEXT_BYTES_MAX) {
      this.isTextCut = true;
      return 0;
    }
    while (end > this.text.length) this.text = longer(this.text, Uint8Array);
    const shift = this.textBytes - from;
    for (let i = from; i < to; i++) this.text[i + shift] = said[i]!;
    this.textBytes = end;
    return to - from;
  }
}

/** True for a request that was due and never went out. */
export function wasNeverSent({ outcome, sentMs }: RequestRecord): boolean {
  return outcome === "unfinished" && Number.isNaN(sentMs);
}

/** True for an answer in one piece, which is no stream: its first token came with its last. */
export function isOnePiece({ events, eventKinds }: RequestRecord): boolean {
  return events === 1 && (eventKinds[0]! & KIND.done) !== 0;
}

/** When event `index` came. */
export function eventMs(record: RequestRecord, index: number): number {
  return record.readMs[record.eventRead[index]!]!;
}

/** The first event with one of `kinds`; -1 = there is none. */
export function firstOf(record: RequestRecord, kinds: number): number {
  for (let i = 0; i < record.events; i++) if ((record.eventKinds[i]! & kinds) !== 0) return i;
  return -1;
}

/** The last event with one of `kinds`; -1 = there is none. */
export function lastOf(record: RequestRecord, kinds: number): number {
  for (let i = record.events - 1; i >= 0; i--) {
    if ((record.eventKinds[i]! & kinds) !== 0) return i;
  }
  return -1;
}

/** How many events have one of `kinds`. */
export function countOf(record: RequestRecord, kinds: number): number {
  let count = 0;
  for (let i = 0; i < record.events; i++) if ((record.eventKinds[i]! & kinds) !== 0) count++;
  return count;
}

/** What the events with one of `kinds` said, each for itself. "" where an event said nothing. */
export function textsOf(record: RequestRecord, kinds: number): readonly string[] {
  const texts: string[] = [];
  let from = 0;
  for (let i = 0; i < record.events; i++) {
    const to = from + record.eventTextBytes[i]!;
    if ((record.eventKinds[i]! & kinds) !== 0) texts.push(unescaped(record.text, from, to));
    from = to;
  }
  return texts;
}

/** What the events with one of `kinds` said together: a character may be cut between two of them. */
export function textOf(record: RequestRecord, kinds: number): string {
  if (record.textBytes === 0) return "";
  let isAll = true;
  for (let i = 0; i < record.events && isAll; i++) {
    isAll = record.eventTextBytes[i] === 0 || (record.eventKinds[i]! & kinds) !== 0;
  }
  if (isAll) return unescaped(record.text, 0, record.textBytes);
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (let i = 0; i < record.events; i++) {
    const to = from + record.eventTextBytes[i]!;
    if ((record.eventKinds[i]! & kinds) !== 0) pieces.push(record.text.subarray(from, to));
    from = to;
  }
  const joined = Buffer.concat(pieces);
  return unescaped(joined, 0, joined.length);
}

const BACKSLASH = 0x5c;

/** The text of a JSON string without its quotes. */
function unescaped(bytes: Uint8Array, from: number, to: number): string {
  const piece = Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from);
  const raw = piece.toString();
  return piece.includes(BACKSLASH) ? JSON.parse(`"${raw}"`) as string : raw;
}

type Columns = Float64Array | Float32Array | Uint32Array | Uint16Array | Uint8Array;

function longer<T extends Columns>(column: T, make: new (length: number) => T): T {
  const wider = new make(2 * column.length);
  wider.set(column);
  return wider;
}
