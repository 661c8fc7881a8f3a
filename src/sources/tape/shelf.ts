/**
 * The tapes that are there: found by what is asked, and read again when they change. Every worker
 * has all of them; what is in a file is kept as long as there is room.
 *
 * @module
 */

import type { Ask, DialectName } from "../../core/answer.ts";
import type { Watch } from "../../core/events.ts";
import type { Call } from "../../core/exchange.ts";
import type { Turn } from "../../core/turn.ts";
import { Lru } from "../../lib/lru.ts";
import type { Ordinals } from "../../lib/ordinals.ts";
import type { Asked } from "../upstream/asked.ts";
import type { TapeFolder } from "./folder.ts";
import { readTape, type Tape, TapeFault } from "./format.ts";
import { laidBytes, type LaidTape, layTape } from "./laid.ts";
import { type KnownRequest, nearestTape, nearestText } from "./nearest.ts";
import { type Redactor, starred } from "./redactor.ts";
import {
  type Comparable,
  comparedJson,
  requestKey,
  turnIn,
  turnKey,
  Volatile,
} from "./request_key.ts";

/** Memory for tapes that are ready to be played: 256 MiB. */
const LAID_BYTES_MAX = 268_435_456;
const LAID_MAX = 100_000;
/** Bytes of requests that a miss is compared with: 64 MiB. */
const COMPARED_BYTES_MAX = 67_108_864;
/** Requests whose tapes are remembered by their bytes, and the longest of them. */
const REMEMBERED_MAX = 1024;
const REMEMBERED_BYTES_MAX = 65_536;
/** The header that names a test's own things: equal requests are counted within one session. */
const SESSION_HEADER = "x-weir-session";
/** Files that are read side by side. */
const READERS = 4;

/** What a shelf needs. */
export interface ShelfDeps {
  readonly folder: TapeFolder;
  readonly redactor: Redactor;
  /** `tape.volatile` */
  readonly ignored: readonly string[];
  /** `tape.match` */
  readonly match: "request" | "order";
  /** `tape.fresh_ids` */
  readonly isFresh: boolean;
  /** Counts equal requests, for all workers. */
  readonly ordinals: Ordinals;
  readonly watch: Watch;
}

/** What is known of a tape without its file. */
interface Entry {
  readonly name: string;
  readonly id: string;
  readonly upstream: string;
  readonly dialect: DialectName;
  readonly stamp: string;
  readonly group: string;
  readonly key: string;
  /** undefined = it holds no turn. */
  readonly turn: string | undefined;
  /** True: the client on it left before its answer was whole, so that it is none. */
  readonly isTorn: boolean;
  readonly compared: KnownRequest | undefined;
  readonly comparedBytes: number;
}

/** Tapes of equal requests, in the order in which they were recorded. */
interface Bucket {
  readonly key: string;
  readonly entries: Entry[];
}

const NO_BUCKET: Bucket = { key: "", entries: [] };

function addTo({ entries }: Bucket, entry: Entry): void {
  const at = entries.findIndex(({ id }) => id > entry.id);
  entries.splice(at < 0 ? entries.length : at, 0, entry);
}

/** Who asks. */
export interface Seeker {
  /** The name of the upstream in whose place a tape is to answer: its own tapes come first. */
  readonly upstream: string;
  /** True: a tape whose client had left is none, as the answer can be asked for. */
  readonly wantsWhole: boolean;
}

/** The one shelf of an app. */
export class TapeShelf {
  readonly #deps: ShelfDeps;
  readonly #ignored: Volatile;
  readonly #entries = new Map<string, Entry>();
  readonly #buckets = new Map<string, Bucket>();
  readonly #laid = new Lru<LaidTape>({ entriesMax: LAID_MAX, bytesMax: LAID_BYTES_MAX });
  readonly #remembered = new Map<string, Remembered>();
  #last: Remembered | undefined;
  /** Files that cannot be read, by name: with their stamps. */
  readonly #unreadable = new Map<string, string>();
  #comparedBytes = 0;
  #isReady = false;
  #refreshing: Promise<void> | undefined;
  /** The one after that. */
  #waiting: Promise<void> | undefined;
  #isThorough = false;
  #unwatch: () => void = () => {};
  /** Why not all tapes are there; "" = they are. */
  trouble = "";

  constructor(deps: ShelfDeps) {
    this.#deps = deps;
    this.#ignored = new Volatile(deps.ignored);
  }

  /** Reads the folder, and follows it from now on. */
  open(): void {
    this.#unwatch = this.#deps.folder.watch(() => void this.refresh(true));
    void this.refresh(true);
  }

  close(): void {
    this.#unwatch();
  }

  /** How many tapes there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** The tape for `asked`; undefined = there is none. A promise only where something is to be read. */
  find(
    asked: Asked,
    ask: Ask,
    call: Call,
    seeker: Seeker,
  ): Found | undefined | Promise<Found | undefined> {
    const last = this.#last;
    if (last?.only !== undefined && isOf(last, asked)) return last.only;
    const place = this.#deps.match === "order" ? this.#ordinal(groupOf(asked), call) : -1;
    const found = this.#isReady ? this.#find(asked, ask, call, seeker, place) : undefined;
    if (found !== undefined) return found;
    // Another worker may have recorded it.
    return this.refresh(false).then(() => this.#find(asked, ask, call, seeker, place));
  }

  /** `place`: which one it is in order; -1 = that does not count. */
  #find(
    asked: Asked,
    ask: Ask,
    call: Call,
    seeker: Seeker,
    place: number,
  ): Found | undefined | Promise<Found | undefined> {
    const entry = place >= 0
      ? fittingOf(this.#buckets.get(groupOf(asked)) ?? NO_BUCKET, seeker)[place]
      : this.#inTurn(this.#bucketOf(asked), call, seeker) ?? this.#ofTurn(ask, call, seeker);
    if (entry === undefined) return undefined;
    const laid = this.#laid.get(entry.name);
    if (laid === undefined) return this.#load(entry);
    const last = this.#last;
    const isOnly = place < 0 && last?.bucket?.entries.length === 1 && !entry.isTorn &&
      last.bucket.entries[0] === entry;
    if (isOnly && isOf(last, asked)) this.#last = { ...last, only: laid };
    return laid;
  }

  /** Reads a tape again that there was no room for. */
  async #load({ name }: Entry): Promise<Found | undefined> {
    try {
      return this.#lay(name, readTape(await this.#deps.folder.read(name)));
    } catch {
      await this.refresh(true); // it has changed or gone, which is told there
      return undefined;
    }
  }

  #lay(name: string, tape: Tape): LaidTape {
    const laid = layTape(tape, this.#deps.isFresh);
    this.#laid.set(name, laid, laidBytes(laid));
    return laid;
  }

  /** Equal requests get the tapes of one bucket in turn. */
  #inTurn(bucket: Bucket | undefined, call: Call, seeker: Seeker): Entry | undefined {
    const fitting = fittingOf(bucket ?? NO_BUCKET, seeker);
    if (fitting.length < 2) return fitting[0];
    return fitting[this.#ordinal(bucket!.key, call) % fitting.length];
  }

  /** How often `key` was asked for before, in all workers. */
  #ordinal(key: string, { request }: Call): number {
    const session = request?.head.fields.get(SESSION_HEADER) ?? "";
    const name = `${key} ${session}`;
    return this.#deps.ordinals.next(Bun.hash.xxHash32(name, 1), Bun.hash.xxHash32(name, 2));
  }

  /** A tape in another dialect than the client's that asks the same. */
  #ofTurn(ask: Ask, call: Call, seeker: Seeker): Entry | undefined {
    const dialect = ask.wire?.dialect;
    if (dialect === "openai" || dialect === "chatgpt_web") return undefined;
    let turn: Turn;
    try {
      turn = ask.turn();
    } catch {
      return undefined; // what is wrong with it, whoever else is asked says
    }
    const bucket = this.#buckets.get(`turn ${turnKey(turn)}`);
    if (bucket === undefined || bucket.entries.every((entry) => entry.dialect === dialect)) {
      return undefined;
    }
    return this.#inTurn(bucket, call, seeker);
  }

  /** Remembered by the bytes of the request, so that it is read once. */
  #bucketOf(asked: Asked): Bucket | undefined {
    const { method, path, body } = asked;
    const last = this.#last;
    if (last !== undefined && isOf(last, asked)) return last.bucket;
    const bytes = body ?? NOTHING;
    const id = `${method} ${path} ${bytes.length} ${Bun.hash.xxHash32(bytes)}`;
    let known = this.#remembered.get(id);
    if (known === undefined || !isOf(known, asked)) {
      const bucket = this.#buckets.get(`same ${this.#keyOf(asked)}`);
      known = { method, path, body: bytes, bucket };
      if (bytes.length <= REMEMBERED_BYTES_MAX && bucket !== undefined) {
        known = { ...known, body: bytes.slice() };
        if (this.#remembered.size >= REMEMBERED_MAX) this.#remembered.clear();
        this.#remembered.set(id, known);
      }
    }
    if (known.bucket !== undefined && bytes.length <= REMEMBERED_BYTES_MAX) this.#last = known;
    return known.bucket;
  }

  /** Secrets are as they are on tapes. */
  #clean({ method, path, body }: Comparable): Comparable {
    const { redactor } = this.#deps;
    const places = body === null || redactor.isIdle ? [] : redactor.findNow(body);
    return {
      method,
      path: redactor.path(path).path,
      body: places.length === 0 ? body : starred(body!, places),
    };
  }

  #keyOf(asked: Comparable): string {
    return requestKey(this.#clean(asked), this.#ignored);
  }

  /** Why no tape answers `asked`: what differs from the nearest one. A sentence without a period. */
  whyMissing(asked: Asked): string {
    if (this.#deps.match === "order") {
      const count = this.#buckets.get(groupOf(asked))?.entries.length ?? 0;
      if (count > 0) {
        return `all ${count} have been played, one after the other (tape.match: order)`;
      }
    }
    const entries = [...this.#entries.values()].sort((one, other) => one.id < other.id ? -1 : 1);
    const known = entries.flatMap(({ compared }) => compared ?? []);
    return nearestText(nearestTape(comparedOf(this.#clean(asked), this.#ignored), known));
  }

  /** A tape is being played. */
  notePlayed(id: string): void {
    this.#deps.folder.noteReplayed(id);
  }

  /** A tape is whole. */
  add(name: string): void {
    if (!this.#isReady) return; // it is read with the others
    void this.#read(name).catch(() => {}); // told where it is refused
  }

  /**
   * Looks what has come and gone; `isThorough`: and what has changed. Whoever asks while that is being
   * done waits for the next time.
   */
  refresh(isThorough: boolean): Promise<void> {
    this.#isThorough ||= isThorough;
    if (this.#refreshing === undefined) return this.#start();
    return this.#waiting ??= this.#refreshing.then(() => {
      this.#waiting = undefined;
      return this.#start();
    });
  }

  #start(): Promise<void> {
    const isThorough = this.#isThorough;
    this.#isThorough = false;
    return this.#refreshing = this.#refresh(isThorough).finally(() => {
      this.#refreshing = undefined;
    });
  }

  async #refresh(isThorough: boolean): Promise<void> {
    const { folder, watch } = this.#deps;
    let names: readonly string[];
    try {
      names = await folder.list();
    } catch (error) {
      const cause = codeOf(error);
      if (!this.trouble.includes(cause)) watch({ kind: "tape_unreadable", file: "", cause });
      this.trouble = `the folder of tapes cannot be read (${cause})`;
      this.#isReady = true;
      return;
    }
    const here = new Set(names);
    for (const name of [...this.#entries.keys()]) if (!here.has(name)) this.#remove(name);
    for (const name of [...this.#unreadable.keys()]) {
      if (!here.has(name)) this.#unreadable.delete(name);
    }
    const wanted = isThorough
      ? await this.#changed(names)
      : names.filter((name) => !this.#entries.has(name) && !this.#unreadable.has(name));
    const rest = wanted.values();
    await Promise.all(Array.from({ length: READERS }, async () => {
      for (const name of rest) await this.#read(name).catch(() => {}); // told there
    }));
    const [first] = this.#unreadable.keys();
    const more = this.#unreadable.size === 1 ? "" : ` and ${this.#unreadable.size - 1} more`;
    this.trouble = first === undefined ? "" : `cannot be played: ${first}${more}`;
    this.#isReady = true;
  }

  async #changed(names: readonly string[]): Promise<readonly string[]> {
    const { folder } = this.#deps;
    const stamps = await Promise.all(names.map((name) => folder.stampOf(name)));
    return names.filter((name, i) => {
      const known = this.#entries.get(name)?.stamp ?? this.#unreadable.get(name);
      return stamps[i] !== undefined && stamps[i] !== known;
    });
  }

  async #read(name: string): Promise<void> {
    const { folder, watch } = this.#deps;
    const stamp = await folder.stampOf(name) ?? "";
    try {
      const tape = readTape(await folder.read(name));
      this.#remove(name);
      this.#unreadable.delete(name);
      this.#put(name, stamp, tape);
      this.#lay(name, tape);
    } catch (error) {
      const cause = error instanceof TapeFault ? error.message : codeOf(error);
      this.#remove(name);
      this.#unreadable.set(name, stamp);
      watch({ kind: "tape_unreadable", file: name, cause });
    }
  }

  #put(name: string, stamp: string, tape: Tape): void {
    const { id, upstream, dialect, request, response, ending } = tape;
    const turn = turnIn(dialect, request.body);
    const hasRoom = this.#comparedBytes + request.body.length <= COMPARED_BYTES_MAX;
    const entry: Entry = {
      name,
      id,
      upstream,
      dialect,
      stamp,
      group: groupOf({ ...request, dialect }),
      key: `same ${requestKey(request, this.#ignored)}`,
      turn: turn === undefined ? undefined : `turn ${turnKey(turn)}`,
      isTorn: ending.how === "client_left" && (response?.status ?? 0) < 400,
      compared: hasRoom ? { name, ...comparedOf(request, this.#ignored) } : undefined,
      comparedBytes: hasRoom ? request.body.length : 0,
    };
    this.#comparedBytes += entry.comparedBytes;
    this.#entries.set(name, entry);
    for (const key of keysOf(entry)) {
      let bucket = this.#buckets.get(key);
      if (bucket === undefined) this.#buckets.set(key, bucket = { key, entries: [] });
      addTo(bucket, entry);
    }
    this.#forgetRequests();
  }

  #remove(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#laid.delete(name);
    this.#comparedBytes -= entry.comparedBytes;
    for (const key of keysOf(entry)) {
      const { entries } = this.#buckets.get(key)!;
      entries.splice(entries.indexOf(entry), 1);
      if (entries.length === 0) this.#buckets.delete(key);
    }
    this.#forgetRequests();
  }

  #forgetRequests(): void {
    this.#remembered.clear();
    this.#last = undefined;
  }
}

/** A tape, ready to be played. */
export type Found = LaidTape;

const NOTHING = new Uint8Array(0);

/** A request whose bucket is known. */
interface Remembered extends Comparable {
  readonly body: Uint8Array;
  readonly bucket: Bucket | undefined;
  /** The only tape in it, where that is ready: set of the last request alone. */
  readonly only?: LaidTape;
}

function isOf(known: Remembered, { method, path, body }: Asked): boolean {
  const bytes = body ?? NOTHING;
  return known.body.length === bytes.length && known.path === path && known.method === method &&
    Buffer.compare(known.body, bytes) === 0;
}

/** The tapes of the upstream itself, else those of any; whole ones before those whose client left. */
function fittingOf({ entries }: Bucket, { upstream, wantsWhole }: Seeker): readonly Entry[] {
  if (entries.length === 1 && !entries[0]!.isTorn) return entries;
  const whole = entries.filter(({ isTorn }) => !isTorn);
  const usable = whole.length > 0 || wantsWhole ? whole : entries;
  const own = usable.filter((entry) => entry.upstream === upstream);
  return own.length > 0 ? own : usable;
}

const CONVERSATIONS: ReadonlySet<DialectName> = new Set([
  "openai_chat",
  "openai_responses",
  "openai_completions",
  "anthropic_messages",
]);

/** Tapes that are played in one order: all conversations, and what is asked of each other path. */
function groupOf({ dialect, method, path }: Pick<Asked, "dialect" | "method" | "path">): string {
  const isTurn = CONVERSATIONS.has(dialect) && method === "POST";
  return isTurn ? "order" : `order ${method} ${path.split("?", 1)[0]}`;
}

function keysOf({ group, key, turn }: Entry): readonly string[] {
  return turn === undefined ? [group, key] : [group, key, turn];
}

function comparedOf({ method, path, body }: Comparable, ignored: Volatile) {
  const bytes = body ?? NOTHING;
  return { method, path, body: comparedJson(bytes, ignored) ?? new TextDecoder().decode(bytes) };
}

function codeOf(error: unknown): string {
  return (error as { readonly code?: string }).code ?? String(error);
}
