/**
 * The journal: the last requests, what has answered them, and when each frame of the answer left.
 * Nothing of it is JSON before somebody asks. Its slots are filled again and again, so that it makes
 * little garbage, and a head that comes again is kept once.
 *
 * @module
 */

import { isKeyHeader } from "../config/private_headers.ts";
import type { Exchange, ExchangeNote } from "../core/exchange.ts";
import { isWord } from "../lib/http1/bytes.ts";
import { Fields } from "../lib/http1/fields.ts";
import type { RequestHead } from "../lib/http1/request_head.ts";

/** What is kept of requests. */
export type JournalMode = "off" | "heads" | "bodies";

/** The header that names a test's own part of it. */
const SESSION_HEADER = "x-weir-session";

/** Times at which frames left, of one answer; later frames count with the last one. */
const TIMES_MAX = 4096;
/** The room for times that a slot keeps for its next request. */
const TIMES_KEPT = 256;
/** Of a longer body the beginning is kept. UTF-16 units. */
const BODY_CHARS_MAX = 1024 * 1024;
/** Bytes of heads that share one piece of memory: it is free when none of them is kept any more. */
const CHUNK_BYTES = 16_384;
/** Sessions of which it is known how many of their requests there was no room for. */
const SESSIONS_MAX = 4096;
/** What a slot takes without its head, its times and its body. */
const SLOT_BYTES = 1024;
/** A body's text, its JSON and the turn in it take some of this for each of its characters. */
const BODY_CHAR_BYTES = 10;

/** What a journal is told. */
export interface JournalOptions {
  readonly mode: JournalMode;
  /** Requests it keeps. */
  readonly entriesMax: number;
  readonly bytesMax: number;
}

/** A head without what opens doors. */
export interface KeptHead {
  readonly method: string;
  /** Without the query, where some clients put their keys. */
  readonly path: string;
  /** "" = none. */
  readonly session: string;
  readonly fields: Fields;
}

/** What is known of a request: an exchange while it goes on, and what was copied of it behind. */
export type NotedFacts = Pick<
  Exchange,
  | "surface"
  | "source"
  | "model"
  | "tokenName"
  | "requestId"
  | "fixture"
  | "tape"
  | "cache"
  | "faultsMet"
  | "faults"
  | "misses"
  | "isStream"
  | "status"
  | "outcome"
  | "error"
  | "firstByteMs"
  | "durationMs"
  | "bodyBytes"
  | "promptTokens"
  | "completionTokens"
  | "drawn"
  | "view"
>;

/** So many frames left at a time, in milliseconds after the request came. */
export type FramesLeft = readonly [atMs: number, frames: number];

/** One request and its answer. Good until the journal is told of another one. */
export interface JournalEntry {
  /** From 1, in the order in which they came to this process. */
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly head: KeptHead;
  readonly facts: NotedFacts;
  /** undefined = bodies are not kept. */
  readonly text: string | undefined;
  readonly isTextCut: boolean;
  /** When its frames left, as far as they are known; `isCut`: later ones count with the last. */
  timesLeft(): { readonly times: readonly FramesLeft[]; readonly isCut: boolean };
}

const NO_TIMES = new Float64Array(0);
const NO_HEAD: KeptHead = { method: "", path: "", session: "", fields: Fields.NONE };

const NO_FACTS: NotedFacts = {
  surface: "",
  source: "",
  model: "",
  tokenName: "",
  requestId: "",
  fixture: "",
  tape: "",
  cache: undefined,
  faultsMet: undefined,
  faults: undefined,
  misses: [],
  isStream: false,
  status: 0,
  outcome: undefined,
  error: undefined,
  firstByteMs: -1,
  durationMs: -1,
  bodyBytes: 0,
  promptTokens: -1,
  completionTokens: -1,
  drawn: undefined,
  view: undefined,
};

class Slot implements ExchangeNote, JournalEntry {
  number = 0;
  atMs = 0;
  head = NO_HEAD;
  text: string | undefined = undefined;
  isTextCut = false;
  /** What it takes, as it was counted. */
  bytes = 0;
  readonly #journal: Journal;
  /** Until it ends. */
  #exchange: Exchange | undefined = undefined;
  readonly #facts: { -readonly [Key in keyof NotedFacts]: NotedFacts[Key] } = { ...NO_FACTS };
  #firstAtMs = -1;
  #firstFrames = 0;
  /** Pairs: a time, and how many frames left then. */
  #times = NO_TIMES;
  #count = 0;
  #isCut = false;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  begin(number: number, atMs: number, head: KeptHead, exchange: Exchange): void {
    this.number = number;
    this.atMs = atMs;
    this.head = head;
    this.#exchange = exchange;
    this.#firstFrames = this.#count = 0;
    this.#isCut = false;
    this.bytes = SLOT_BYTES + head.fields.to - head.fields.from + this.#times.byteLength;
  }

  /** Nobody can ask for it any more: what is still to be noted is lost. */
  drop(): void {
    if (this.#exchange !== undefined) this.#exchange.note = undefined;
    this.#exchange = undefined;
    this.head = NO_HEAD;
    this.text = undefined;
    this.isTextCut = false;
    this.#facts.view =
      this.#facts.error =
      this.#facts.drawn =
      this.#facts.faults =
        undefined;
    if (this.#times.length > 2 * TIMES_KEPT) this.#times = NO_TIMES;
  }

  get facts(): NotedFacts {
    return this.#exchange ?? this.#facts;
  }

  get wantsBody(): boolean {
    return this.#journal.keepsBodies;
  }

  body(text: string): void {
    this.isTextCut = text.length > BODY_CHARS_MAX;
    this.text = this.isTextCut ? text.slice(0, BODY_CHARS_MAX) : text;
    this.#journal.grow(this, this.text.length * BODY_CHAR_BYTES);
  }

  left(frames: number, atMs: number): void {
    if (this.#firstFrames === 0) {
      this.#firstFrames = frames;
      this.#firstAtMs = atMs;
      return;
    }
    if (this.#count === TIMES_MAX) {
      this.#isCut = true;
      this.#times[2 * this.#count - 1]! += frames;
      return;
    }
    if (2 * this.#count === this.#times.length) this.#grow();
    this.#times[2 * this.#count] = atMs;
    this.#times[2 * this.#count + 1] = frames;
    this.#count++;
  }

  #grow(): void {
    const grown = new Float64Array(Math.max(64, 2 * this.#times.length));
    grown.set(this.#times);
    this.#times = grown;
    this.#journal.grow(this, grown.byteLength / 2);
  }

  ended(): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.#exchange = undefined;
    const facts = this.#facts;
    facts.surface = exchange.surface;
    facts.source = exchange.source;
    facts.model = exchange.model;
    facts.tokenName = exchange.tokenName;
    facts.requestId = exchange.requestId;
    facts.fixture = exchange.fixture;
    facts.tape = exchange.tape;
    facts.cache = exchange.cache;
    facts.faultsMet = exchange.faultsMet; // the same list: what happens behind the end is in it, too
    facts.faults = exchange.faults;
    facts.misses = exchange.misses;
    facts.isStream = exchange.isStream;
    facts.status = exchange.status;
    facts.outcome = exchange.outcome;
    facts.error = exchange.error;
    facts.firstByteMs = exchange.firstByteMs;
    facts.durationMs = exchange.durationMs;
    facts.bodyBytes = exchange.bodyBytes;
    facts.promptTokens = exchange.promptTokens;
    facts.completionTokens = exchange.completionTokens;
    facts.drawn = exchange.drawn;
    facts.view = exchange.view;
    this.#journal.onChange?.();
  }

  timesLeft(): { readonly times: readonly FramesLeft[]; readonly isCut: boolean } {
    const { firstByteMs } = this.facts;
    const times: FramesLeft[] = [];
    if (this.#firstFrames > 0) {
      times.push([this.#firstAtMs < 0 ? firstByteMs : this.#firstAtMs, this.#firstFrames]);
    } else if (firstByteMs >= 0) times.push([firstByteMs, 1]);
    for (let i = 0; i < this.#count; i++) {
      times.push([this.#times[2 * i]!, this.#times[2 * i + 1]!]);
    }
    return { times, isCut: this.#isCut };
  }
}

/** The one journal of a process. */
export class Journal {
  /** Called when an exchange has ended, or has been forgotten. */
  onChange: (() => void) | undefined = undefined;
  #options: JournalOptions;
  readonly #wallMs: () => number;
  /** A ring: entry `number` is in slot `number % length`. */
  #slots: Slot[] = [];
  /** The last one's number. */
  #last = 0;
  /** The number of the oldest that is there. */
  #first = 1;
  #bytes = 0;
  readonly #heads = new HeadKeeper();
  /** By session: what there was no room for since it was last cleared. */
  readonly #lost = new Map<string, { count: number; atMs: number }>();

  /** `wallMs`: milliseconds since 1970. */
  constructor(options: JournalOptions, wallMs: () => number) {
    this.#options = options;
    this.#wallMs = wallMs;
  }

  get mode(): JournalMode {
    return this.#options.mode;
  }

  get keepsBodies(): boolean {
    return this.#options.mode === "bodies";
  }

  /** What it takes, some. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps what `options` say from now on, and forgets what that has no room for. */
  configure(options: JournalOptions): void {
    if (options.entriesMax !== this.#options.entriesMax || options.mode === "off") {
      this.#forgetTo(this.#last + 1);
      this.#slots = [];
    }
    this.#options = options;
    this.#shrink();
  }

  /** Begins to note `exchange`. For the engine. */
  readonly note = (exchange: Exchange, head: RequestHead): ExchangeNote => {
    const { entriesMax } = this.#options;
    const number = this.#last + 1;
    if (number - this.#first >= entriesMax) this.#forgetTo(number - entriesMax + 1);
    this.#last = number;
    const at = number % entriesMax;
    const slot = this.#slots[at] ??= new Slot(this);
    slot.begin(number, this.#wallMs(), this.#heads.keep(head), exchange);
    this.#bytes += slot.bytes;
    this.#shrink();
    return slot;
  };

  /** Of a slot: it takes more. */
  grow(slot: Slot, bytes: number): void {
    slot.bytes += bytes;
    this.#bytes += bytes;
    this.#shrink();
  }

  /** What is there, the oldest first. */
  *entries(): Generator<JournalEntry, void> {
    for (let number = this.#first; number <= this.#last; number++) {
      const slot = this.#slots[number % this.#options.entriesMax]!;
      if (slot.number === number) yield slot;
    }
  }

  /**
   * How many requests of `session` (undefined = of all) there was no room for since it was cleared, as far
   * as one of them may have come at or behind `sinceMs`.
   */
  lost(session: string | undefined, sinceMs: number): number {
    let count = 0;
    for (const [name, lost] of this.#lost) {
      if ((session ?? name) === name && lost.atMs >= sinceMs) count += lost.count;
    }
    return count;
  }

  /** Forgets those of `session`; undefined = all. Gives how many. */
  clear(session: string | undefined): number {
    let count = 0;
    if (session === undefined) this.#lost.clear();
    else this.#lost.delete(session);
    for (const entry of this.entries()) {
      if (session !== undefined && entry.head.session !== session) continue;
      this.#forget(entry.number);
      count++;
    }
    this.onChange?.();
    return count;
  }

  /** The newest stays, whatever it takes. */
  #shrink(): void {
    while (this.#bytes > this.#options.bytesMax && this.#first < this.#last) {
      this.#forgetTo(this.#first + 1);
    }
  }

  /** Forgets all before entry `number`. */
  #forgetTo(number: number): void {
    for (; this.#first < number; this.#first++) {
      this.#noteLost(this.#first);
      this.#forget(this.#first);
    }
  }

  #noteLost(number: number): void {
    const slot = this.#slots[number % this.#options.entriesMax];
    if (slot?.number !== number) return;
    const { head: { session }, atMs } = slot;
    const lost = this.#lost.get(session);
    if (lost !== undefined) {
      lost.count++;
      lost.atMs = atMs;
    } else {
      if (this.#lost.size >= SESSIONS_MAX) this.#lost.delete(this.#lost.keys().next().value!);
      this.#lost.set(session, { count: 1, atMs });
    }
  }

  #forget(number: number): void {
    const slot = this.#slots[number % this.#options.entriesMax];
    if (slot?.number !== number) return;
    slot.drop();
    slot.number = 0;
    this.#bytes -= slot.bytes;
    slot.bytes = 0;
  }
}

/** A name, and what stands for its line where its value opens a door. */
interface Line {
  /** In lower case. */
  readonly name: string;
  /** undefined = it is kept as it came. */
  readonly masked: Buffer | undefined;
}

/** Keeps heads without their secrets. Clients send the same fields again, so names are told by place. */
class HeadKeeper {
  #last: RequestHead | undefined = undefined;
  #kept = NO_HEAD;
  #hasSession = false;
  #chunk = Buffer.allocUnsafeSlow(0);
  #roomAt = 0;
  readonly #lines: Line[] = [];

  /** A reader gives the same head again when the same bytes come again. */
  keep(head: RequestHead): KeptHead {
    if (head === this.#last) return this.#kept;
    const { method, target, fields } = head;
    const query = target.indexOf("?");
    const path = query < 0 ? target : target.slice(0, query);
    const kept = this.#withoutSecrets(fields);
    const session = this.#hasSession ? kept.get(SESSION_HEADER)! : "";
    this.#kept = { method, path, session, fields: kept };
    this.#last = head;
    return this.#kept;
  }

  #withoutSecrets(fields: Fields): Fields {
    const { bytes } = fields;
    const lines = fields.scan();
    const { count } = lines;
    let length = fields.to - fields.from;
    this.#hasSession = false;
    for (let i = 0; i < count; i++) {
      const { masked, name } = this.#lineAt(i, bytes, lines.nameAt(i), lines.nameEnd(i));
      if (masked !== undefined) length += masked.length - (lines.lineEnd(i) - lines.nameAt(i));
      else if (name === SESSION_HEADER) this.#hasSession = true;
    }
    const kept = this.#room(length);
    const start = this.#roomAt;
    let at = start;
    let from = fields.from;
    for (let i = 0; i < count; i++) {
      const { masked } = this.#lines[i]!;
      if (masked === undefined) continue; // what stands between two secrets is copied at once
      at += bytes.copy(kept, at, from, lines.nameAt(i));
      at += masked.copy(kept, at);
      from = lines.lineEnd(i);
    }
    bytes.copy(kept, at, from, fields.to);
    this.#roomAt += length;
    return new Fields(kept, start, start + length);
  }

  /** Where `length` bytes have room from `#roomAt` on: heads that come one after the other share it. */
  #room(length: number): Buffer {
    if (this.#roomAt + length > this.#chunk.length) {
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(length, CHUNK_BYTES));
      this.#roomAt = 0;
    }
    return this.#chunk;
  }

  #lineAt(index: number, bytes: Buffer, from: number, to: number): Line {
    const known = this.#lines[index];
    if (known !== undefined && isWord(bytes, from, to, known.name)) return known;
    const name = bytes.toString("latin1", from, to).toLowerCase();
    const masked = isKeyHeader(name) ? Buffer.from(`${name}: ***\r\n`, "latin1") : undefined;
    return this.#lines[index] = { name, masked };
  }
}
