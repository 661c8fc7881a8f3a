/**
 * Delivery: brings the outbox's turns to their store, each session's in order, until each is taken
 * or refused for ever. One process of those that share an outbox delivers. One class: what may be
 * sent next hangs on everything that came of the sends before.
 *
 * @module
 */

import type { Watch } from "../core/events.ts";
import { type Memory, TurnRefused } from "../core/memory.ts";
import { backoffMs } from "../lib/backoff.ts";
import type { Lock } from "./lock.ts";
import type { OutboxFile, OutboxTurn } from "./outbox_file.ts";

/** Turns of different sessions that are sent side by side. */
const SENDS_MAX = 16;

/**
 * Waiting turns looked at in one go; how many pages a round looks through for more than one turn,
 * and for one at all. A session with a long queue would else be read through for every turn of it.
 */
const PAGE_TURNS = 128;
const PAGES_FOR_MORE = 4;
const PAGES_MAX = 64;

/** A turn that is refused this often, though not for ever, is dead: some 80 s after the first. */
const REFUSALS_MAX = 12;

/** Turns remembered as sent: far more than are delivered while one history is read. */
const TRIED_MAX = 10_000;

/** Milliseconds between two looks at what other processes put into the outbox. */
const LOOK_EVERY_MS = 500;

/** Milliseconds between two attempts to become the owner. */
const OWN_EVERY_MS = 1000;

/** Milliseconds that `stop` waits for turns that are on their way; they are sent again later. */
const STOP_WAIT_MS = 2000;

/** Milliseconds between two purges of delivered turns. */
const PURGE_EVERY_MS = 10_000;

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

/** A session whose first turn must wait. */
interface Delay {
  /** How often the turn was refused for now. */
  readonly refusals: number;
  readonly untilMs: number;
}

/** What came of a send. "away" = the store gave no answer that says anything of the turn. */
type Result = "settled" | "away";

/** The worker. It runs from its making to `stop`. */
export class Delivery {
  readonly #options: DeliveryOptions;
  readonly #stopping = new AbortController();
  #idle = new AbortController();
  #hasWork = true;
  /** The last turns that this process sent at least once: the store may have them. */
  readonly #tried = new Set<number>();
  /** Turns that the store has, though the outbox could not note it yet. */
  readonly #unnoted = new Set<number>();
  readonly #delays = new Map<string, Delay>();
  /** The last turn that was in the outbox when this process became its owner. */
  #inherited = Infinity;
  #storeFailures = 0;
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
    return !turn.isDelivered && !this.#tried.has(turn.seq) && turn.seq > this.#inherited;
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
    const { sleep, clock, file, watch } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        if (this.#inherited === Infinity && !this.#own()) {
          await sleep(OWN_EVERY_MS, signal);
          continue;
        }
        if (clock() - this.#purgedMs >= PURGE_EVERY_MS) {
          this.#purgedMs = clock();
          await file.purge();
        }
        await this.#deliver();
      } catch (error) {
        // The outbox itself takes no write; the batch has told of it. Sending goes on later.
        watch({
          kind: "delivery_retried",
          attempt: 1,
          delayMs: OWN_EVERY_MS,
          cause: String(error),
        });
        await sleep(OWN_EVERY_MS, signal);
      }
    }
  }

  #own(): boolean {
    const { lock, file } = this.#options;
    if (!lock.take()) return false;
    file.recallAll();
    let last = 0;
    for (;;) {
      const page = file.waiting(last, PAGE_TURNS);
      if (page.length === 0) break;
      last = page.at(-1)!.seq;
    }
    this.#inherited = last;
    return true;
  }

  /** One round: sends what may go now, or waits for work. */
  async #deliver(): Promise<void> {
    const { file, sleep } = this.#options;
    const { signal } = this.#stopping;
    if (file.hasNews()) this.#hasWork = true;
    const picked = this.#hasWork ? this.#pick() : [];
    if (picked.length === 0) {
      this.#hasWork = this.#delays.size > 0;
      this.#idle = new AbortController();
      if (!signal.aborted) await sleep(LOOK_EVERY_MS, this.#idle.signal);
      return;
    }
    const turns = await file.send(picked);
    const results = await Promise.all(turns.map((turn) => this.#send(turn)));
    if (turns.length === 0) return;
    if (results.includes("settled")) {
      this.#storeFailures = 0;
      // The store is there, so these answers were lost one by one: only their sessions wait.
      for (const [i, result] of results.entries()) {
        if (result === "away") this.#delay(turns[i]!.sessionId, 0, 1);
      }
      return;
    }
    this.#storeFailures++;
    await sleep(backoffMs(this.#storeFailures, this.#options.random), signal);
  }

  /** The first waiting turn of each session that may go now; one only while the store is away. */
  #pick(): OutboxTurn[] {
    const { file, clock } = this.#options;
    const sendsMax = this.#storeFailures > 0 ? 1 : SENDS_MAX;
    const seen = new Set<string>();
    const picked: OutboxTurn[] = [];
    let last = 0;
    for (let page = 0; page < PAGES_MAX; page++) {
      const turns = file.waiting(last, PAGE_TURNS);
      for (const turn of turns) {
        last = turn.seq;
        if (seen.has(turn.sessionId)) continue;
        seen.add(turn.sessionId);
        const delay = this.#delays.get(turn.sessionId);
        if (delay !== undefined && delay.untilMs > clock()) continue;
        picked.push(turn);
        if (picked.length >= sendsMax) return picked;
      }
      if (turns.length < PAGE_TURNS) break;
      if (picked.length > 0 && page + 1 >= PAGES_FOR_MORE) break;
    }
    return picked;
  }

  /** Sends one turn and notes what came of it. */
  async #send(turn: OutboxTurn): Promise<Result> {
    const { file, store, watch } = this.#options;
    this.#noteTry(turn.seq);
    try {
      if (!this.#unnoted.has(turn.seq)) await store.commit(turn);
    } catch (error) {
      const cause = error instanceof Error ? error.message : String(error);
      if (error instanceof TurnRefused) {
        await this.#refused(turn, cause, error.isForEver);
        return "settled";
      }
      await file.returned(turn.seq);
      const attempt = this.#storeFailures + 1;
      watch({ kind: "delivery_retried", attempt, delayMs: backoffMs(attempt, () => 0), cause });
      return "away";
    }
    this.#unnoted.add(turn.seq);
    await file.delivered(turn.seq);
    this.#forget(turn);
    return "settled";
  }

  async #refused(turn: OutboxTurn, cause: string, isForEver: boolean): Promise<void> {
    const { file, watch } = this.#options;
    const refusals = (this.#delays.get(turn.sessionId)?.refusals ?? 0) + 1;
    if (!isForEver && refusals < REFUSALS_MAX) {
      await file.returned(turn.seq);
      const delayMs = this.#delay(turn.sessionId, refusals, refusals);
      watch({ kind: "delivery_retried", attempt: refusals, delayMs, cause });
      return;
    }
    this.#forget(turn);
    const letter = await file.dead(turn.seq, cause);
    watch({ kind: "turn_dead", letter, cause });
  }

  /** Lets a session wait; gives the milliseconds. */
  #delay(sessionId: string, refusals: number, attempt: number): number {
    const { clock, random } = this.#options;
    const delayMs = backoffMs(attempt, random);
    this.#delays.set(sessionId, { refusals, untilMs: clock() + delayMs });
    return delayMs;
  }

  #noteTry(seq: number): void {
    this.#tried.add(seq);
    if (this.#tried.size <= TRIED_MAX) return;
    const [oldest] = this.#tried;
    this.#tried.delete(oldest!);
  }

  #forget({ seq, sessionId }: OutboxTurn): void {
    this.#unnoted.delete(seq);
    this.#delays.delete(sessionId);
  }
}
