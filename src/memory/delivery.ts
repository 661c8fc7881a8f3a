/**
 * Delivery: brings the outbox's turns to their store, each session's in order, until each is taken
 * or refused for ever. One process of those that share an outbox delivers. One class: what may be
 * sent next hangs on everything that came of the sends before.
 *
 * @module
 */

import type { Watch } from "../core/events.ts";
import { type Memory, TurnLate, TurnRefused } from "../core/memory.ts";
import { backoffMs } from "../lib/backoff.ts";
import type { Lock } from "../lib/process_lock.ts";
import { reasonOf } from "./database.ts";
import type { OutboxFile, OutboxTurn } from "./outbox_file.ts";

/** Turns of different sessions that are sent side by side. Long ones have places of their own. */
const SENDS_MAX = 16;

/** How many of them may be of sessions whose last send failed: the others keep their room. */
const RETRIES_MAX = 4;

/** Milliseconds after which a send is long: it frees its place, and does not tell of the store. */
const LONG_MS = 2000;

/**
 * Long sends that hold no place of the others, and how many of them may be of sessions whose last
 * send failed: with the others well below the 256 requests that Bun's `fetch` has under way.
 */
const LONG_SENDS_MAX = 128;
const LONG_RETRIES_MAX = 64;

/** How many are sent side by side while the store takes nothing. */
const PROBES_MAX = 8;

/** Sessions that are looked at in one go: some 5 ms. */
const STEPS_MAX = 1000;

/**
 * What makes a turn dead: refused this often with an answer to it, or failed this often at all. A
 * failure counts when the store has taken others since the one before, so a store that is away kills
 * nothing.
 */
const REFUSALS_MAX = 12;
const FAILURES_MAX = 100;

/** Turns remembered as sent: far more than are delivered while one history is read. */
const TRIED_MAX = 10_000;

/** Milliseconds between two looks at what other processes put into the outbox. */
const LOOK_EVERY_MS = 500;

/** Milliseconds between two looks for work while many sends are under way. */
const BUSY_LOOK_MS = 20;

/** Milliseconds between two attempts to become the owner. */
const OWN_EVERY_MS = 1000;

/** Milliseconds that `stop` waits for turns that are on their way; they are sent again later. */
const STOP_WAIT_MS = 2000;

/** Milliseconds between two purges of delivered turns, and of delays that are long over. */
const PURGE_EVERY_MS = 10_000;
const OVER_MS = 60_000;

/** What delivery needs. Time and chance are arguments. */
export interface DeliveryOptions {
  readonly file: OutboxFile;
  readonly store: Memory;
  readonly lock: Lock;
  readonly watch: Watch;
  readonly clock: () => number;
  readonly random: () => number;
  /** Waits; settles early when `signal` aborts. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<unknown>;
}

/** A session whose first turn must wait, since its last send failed. */
interface Delay {
  readonly seq: number;
  readonly attempts: number;
  /** Failures and refusals that count. */
  readonly failures: number;
  readonly refusals: number;
  /** How many turns the store had taken by then. */
  readonly takenCount: number;
  /** The store answered, and refused the turn. */
  readonly isRefused: boolean;
  untilMs: number;
}

/** A send that is under way. */
interface Sending {
  readonly beganMs: number;
  readonly isRetry: boolean;
  readonly done: Promise<void>;
}

/** The worker. It runs from its making to `stop`. */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #stopping = new AbortController();
  #idle = new AbortController();
  #hasWork = true;
  /** The last turns that this process sent at least once: the store may have them. */
  readonly #tried = new Set<string>();
  /** Turns that the store has, though the outbox could not note it yet. */
  readonly #unnoted = new Set<string>();
  readonly #delays = new Map<string, Delay>();
  /** Sends that are under way, by session. */
  readonly #sending = new Map<string, Sending>();
  /** The name of the session that was looked at last. */
  #cursor = "";
  #takenCount = 0;
  /** Sessions whose sends failed since the store took a turn: two of them tell that it is away. */
  readonly #failedSessions = new Set<string>();
  #awayRounds = 0;
  #awayUntilMs = 0;
  /** The last turn that was in the outbox when this process became its owner. */
  #inherited = Infinity;
  #purgedMs = 0;
  readonly #done: Promise<void>;

  constructor(options: DeliveryOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  /** Tells that a turn was put into the outbox. */
  wake(): void {
    this.#hasWork = true;
    this.#idle.abort();
  }

  /** True when `turn` was surely never sent. What another process delivers is never sure. */
  isUnsent(turn: OutboxTurn): boolean {
    return !turn.isDelivered && !this.#tried.has(nameOf(turn)) && turn.seq > this.#inherited;
  }

  /** Stops after the turns that are on their way, if they arrive soon. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#idle.abort();
    const patience = new AbortController();
    const done = this.#done.then(() => patience.abort());
    await Promise.race([done, this.#options.sleep(STOP_WAIT_MS, patience.signal)]);
    this.#options.lock.release();
  }

  async #run(): Promise<void> {
    const { sleep, clock, file, lock } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (!lock.isHeld && !this.#own()) {
          await sleep(OWN_EVERY_MS, signal);
          continue;
        }
        if (clock() - this.#purgedMs >= PURGE_EVERY_MS) {
          this.#purgedMs = clock();
          this.#forgetDelays();
          await file.purge();
        }
        await this.#deliver();
      } catch (error) {
        await this.#rest(error);
      }
    }
    await Promise.all(this.#sending.values().map(({ done }) => done));
  }

  /** The outbox itself takes no write; the batch has told of it. Sending goes on later. */
  async #rest(error: unknown): Promise<void> {
    const { sleep, watch } = this.#options;
    const cause = reasonOf(error);
    watch({ kind: "delivery_retried", attempt: 1, delayMs: OWN_EVERY_MS, cause });
    await sleep(OWN_EVERY_MS, this.#stopping.signal);
  }

  #own(): boolean {
    const { lock, file } = this.#options;
    if (!lock.take()) return false;
    file.recallAll();
    this.#inherited = file.lastSeq();
    return true;
  }

  /** Sends what may go now, or waits for work. */
  async #deliver(): Promise<void> {
    const { file, sleep, clock } = this.#options;
    const { signal } = this.#stopping;
    const awayMs = this.#awayUntilMs - clock();
    if (awayMs > 0) return void await sleep(awayMs, signal);
    if (file.hasNews()) this.#hasWork = true;
    const room = (this.#awayRounds > 0 ? PROBES_MAX : SENDS_MAX) - this.#held().sends;
    const picked = this.#hasWork && room > 0 ? this.#pick(room) : [];
    if (picked.length > 0) {
      for (const turn of await file.send(picked)) this.#start(turn);
      return;
    }
    if (room > 0) this.#hasWork = this.#delays.size > 0;
    this.#idle = new AbortController();
    if (signal.aborted) return;
    await sleep(this.#sending.size > 0 ? BUSY_LOOK_MS : LOOK_EVERY_MS, this.#idle.signal);
  }

  /** The places that sends hold, and those that retries do: long ones hold none while they may. */
  #held(): { readonly sends: number; readonly retries: number } {
    const longMs = this.#options.clock() - LONG_MS;
    let [retries, longSends, longRetries] = [0, 0, 0];
    for (const { beganMs, isRetry } of this.#sending.values()) {
      const isLong = beganMs <= longMs;
      if (isLong) longSends++;
      if (isRetry) retries++;
      if (isLong && isRetry) longRetries++;
    }
    return {
      sends: this.#sending.size - Math.min(longSends, LONG_SENDS_MAX),
      retries: retries - Math.min(longRetries, LONG_RETRIES_MAX),
    };
  }

  /**
   * The first waiting turns of up to `room` sessions that may go now. They go round by the names of
   * their sessions, so no turn that fails is ever the only one that is tried.
   */
  #pick(room: number): OutboxTurn[] {
    const { file, clock } = this.#options;
    const nowMs = clock();
    const isAway = this.#awayRounds > 0;
    let retries = isAway ? room : RETRIES_MAX - this.#held().retries;
    const seen = new Set<string>();
    const picked: OutboxTurn[] = [];
    for (let steps = 0; steps < STEPS_MAX && picked.length < room; steps++) {
      const turn = file.next(this.#cursor);
      this.#cursor = turn?.sessionId ?? "";
      if (turn === undefined) {
        if (seen.size === 0 && steps > 0) break;
        continue;
      }
      const { sessionId } = turn;
      if (seen.has(sessionId)) break;
      seen.add(sessionId);
      if (this.#sending.has(sessionId)) continue;
      const delay = this.#delays.get(sessionId);
      // A turn that was removed has left its delay behind.
      if (delay?.seq === turn.seq) {
        if (delay.untilMs > nowMs || retries <= 0) continue;
        retries--;
      }
      picked.push(turn);
    }
    return picked;
  }

  #start(turn: OutboxTurn): void {
    const { sessionId } = turn;
    const beganMs = this.#options.clock();
    const isRetry = this.#delays.get(sessionId)?.seq === turn.seq;
    const done = this.#send(turn, beganMs).catch((error) => this.#rest(error)).then(() => {
      this.#sending.delete(sessionId);
      this.#hasWork = true;
      if (this.#held().sends <= SENDS_MAX / 2) this.#idle.abort();
    });
    this.#sending.set(sessionId, { beganMs, isRetry, done });
  }

  /** Sends one turn and notes what came of it. */
  async #send(turn: OutboxTurn, beganMs: number): Promise<void> {
    const { file, store } = this.#options;
    this.#noteTry(turn);
    try {
      if (!this.#unnoted.has(nameOf(turn))) await store.commit(turn);
    } catch (error) {
      // A turn whose session was deleted since it began has nowhere to go.
      if (!(error instanceof TurnLate)) return await this.#failed(turn, error, beganMs);
    }
    this.#taken();
    this.#unnoted.add(nameOf(turn));
    await file.delivered(turn);
    this.#forget(turn);
  }

  /** The store is there: what only waited for it need not wait any more. */
  #taken(): void {
    this.#takenCount++;
    this.#failedSessions.clear();
    if (this.#awayRounds === 0) return;
    this.#awayRounds = this.#awayUntilMs = 0;
    for (const delay of this.#delays.values()) if (!delay.isRefused) delay.untilMs = 0;
  }

  async #failed(turn: OutboxTurn, error: unknown, beganMs: number): Promise<void> {
    const { file, watch, clock, random } = this.#options;
    const { seq, sessionId } = turn;
    const cause = reasonOf(error);
    const isRefused = error instanceof TurnRefused;
    const before = this.#delays.get(sessionId);
    const known = before?.seq === seq ? before : undefined;
    const takenCount = this.#takenCount;
    const counts = known === undefined || known.takenCount < takenCount;
    const attempts = (known?.attempts ?? 0) + 1;
    const failures = (known?.failures ?? 0) + (counts ? 1 : 0);
    const refusals = (known?.refusals ?? 0) + (counts && isRefused ? 1 : 0);
    const isHopeless = counts && (refusals >= REFUSALS_MAX || failures >= FAILURES_MAX);
    if (isHopeless || (isRefused && error.isForEver)) {
      this.#forget(turn);
      const letter = await file.dead(turn, cause);
      return watch({ kind: "turn_dead", letter, attempts, cause });
    }
    const delayMs = backoffMs(attempts, random);
    const untilMs = clock() + delayMs;
    this.#delays.set(sessionId, {
      ...{ seq, attempts, failures, refusals, takenCount, isRefused, untilMs },
    });
    // Sessions that hang may be the only ones there are: the next one need not wait for them.
    if (clock() - beganMs < LONG_MS) this.#noteFailure(sessionId);
    await file.returned(turn);
    watch({ kind: "delivery_retried", attempt: attempts, delayMs, cause });
  }

  /** Sessions that fail one after the other, with none between that is taken: the store is away. */
  #noteFailure(sessionId: string): void {
    const { clock, random } = this.#options;
    this.#failedSessions.add(sessionId);
    if (this.#failedSessions.size < 2 || clock() < this.#awayUntilMs) return;
    this.#awayUntilMs = clock() + backoffMs(++this.#awayRounds, random);
  }

  /** A turn that was removed is never sent again: only its delay is left. */
  #forgetDelays(): void {
    const endMs = this.#options.clock() - OVER_MS;
    for (const [sessionId, { untilMs }] of this.#delays) {
      if (untilMs < endMs) this.#delays.delete(sessionId);
    }
  }

  #noteTry(turn: OutboxTurn): void {
    this.#tried.add(nameOf(turn));
    if (this.#tried.size <= TRIED_MAX) return;
    const [oldest] = this.#tried;
    this.#tried.delete(oldest!);
  }

  #forget(turn: OutboxTurn): void {
    this.#unnoted.delete(nameOf(turn));
    this.#delays.delete(turn.sessionId);
  }
}

/** What tells a turn from all others, also when another outbox has taken the place of its own. */
function nameOf({ seq, key }: OutboxTurn): string {
  return `${seq} ${key}`;
}
