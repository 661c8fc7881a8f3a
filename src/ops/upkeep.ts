/**
 * Forgets what is too old or too much in the store, in small steps: whoever writes to it meanwhile waits for
 * one of them at most.
 *
 * @module
 */

import { asAppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import { dayOf, type Store } from "../core/store.ts";
import type { Wheel } from "../lib/wheel.ts";

const DAY_MS = 86_400_000;

/** Milliseconds from one round to the next, while the store is away, and between two steps of a round. */
const ROUND_MS = 60_000;
const TROUBLED_ROUND_MS = 2000;
const PAUSE_MS = 50;

/** Rows of one step: 3 ms in SQLite. */
const ROWS_MAX = 250;

/** A row of usage stays a day longer than it is taken late, so that none that has gone is taken again. */
const LATE_DAYS = 1;

/** How long and how much is kept. */
export interface UpkeepLimits {
  /** Days that single rows of usage stay, and sums of days. */
  readonly usageDays: number;
  readonly sumsDays: number;
  /** Days that objects stay, and what they may take together, in bytes; undefined = there are none. */
  readonly objects: { readonly days: number; readonly bytesMax: number } | undefined;
}

/** What it needs. */
export interface UpkeepOptions extends UpkeepLimits {
  readonly store: Pick<Store, "pruneUsage" | "pruneObjects">;
  /** True: the store did not answer the last time, so it is asked again before long. */
  readonly isTroubled?: () => boolean;
  /** Has the store take objects that killed processes have left; absent = there are none. */
  readonly recover?: () => Promise<void>;
  readonly wheel: Pick<Wheel, "nowMs" | "until">;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly watch: Watch;
}

/** Rows of usage from before then are taken no more when a killed process has left them. */
export function usageSinceMs({ usageDays }: UpkeepLimits, nowMs: number): number {
  return nowMs - usageDays * DAY_MS;
}

/** The first day of which there are sums. */
export function sumsSinceDay({ sumsDays }: UpkeepLimits, nowMs: number): number {
  return dayOf(nowMs) - sumsDays;
}

/** Looks at once, and from then on until it is closed. */
export class Upkeep {
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;

  constructor(options: UpkeepOptions) {
    this.#done = this.#run(options);
  }

  /** Looks no more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#done;
  }

  async #run(options: UpkeepOptions): Promise<void> {
    const { wheel, watch, recover } = options;
    const { signal } = this.#closing;
    let isTold = false;
    while (!signal.aborted) {
      try {
        await recover?.();
        await this.#prune(options);
        isTold = false;
      } catch (error) {
        if (!isTold) watch({ kind: "prune_failed", cause: asAppError(error).plain });
        isTold = true;
      }
      const nextMs = wheel.nowMs + ROUND_MS;
      while (wheel.nowMs < nextMs && !signal.aborted) {
        await wheel.until(wheel.nowMs + TROUBLED_ROUND_MS, signal);
        if (options.isTroubled?.() === true) break;
      }
    }
  }

  async #prune(options: UpkeepOptions): Promise<void> {
    const { store, objects, wheel, wallMs } = options;
    const { signal } = this.#closing;
    for (let count = 1; count > 0 && !signal.aborted;) {
      const nowMs = wallMs();
      count = await store.pruneUsage(
        usageSinceMs(options, nowMs) - LATE_DAYS * DAY_MS,
        sumsSinceDay(options, nowMs),
        ROWS_MAX,
      );
      if (objects !== undefined) {
        const { days, bytesMax } = objects;
        count += await store.pruneObjects({ sinceMs: nowMs - days * DAY_MS, bytesMax }, ROWS_MAX);
      }
      if (count > 0) await wheel.until(wheel.nowMs + PAUSE_MS, signal);
    }
  }
}
