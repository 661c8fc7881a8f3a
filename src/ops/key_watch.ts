/**
 * Keeps what a process knows of keys and budgets up with the store, which other processes change as well.
 *
 * @module
 */

import { asAppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import type { Wheel } from "../lib/wheel.ts";
import type { KeyRing } from "./key_ring.ts";
import type { Spending } from "./spending.ts";

/** Milliseconds between two looks for keys: a key that is revoked opens the door no longer than that. */
export const KEYS_LOOK_MS = 2000;
/** Looks for keys between two readings of what they have spent, and two looks for lost usage. */
const SPENT_EVERY = 2;
const RECOVER_EVERY = 30;

/** What is kept up. */
export interface KeyWatchOptions {
  readonly ring: Pick<KeyRing, "look">;
  /** Absent: nobody has a budget that the config knows of. */
  readonly spending: Pick<Spending, "refresh">;
  /** Usage that killed processes have left. */
  readonly log: { recover(): Promise<void> };
  readonly wheel: Pick<Wheel, "nowMs" | "until">;
  readonly watch: Watch;
}

/** Looks at once, and from then on until it is closed. */
export class KeyWatch {
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;

  constructor(options: KeyWatchOptions) {
    const first = options.ring.look(); // what is known at once is known before the first request
    this.#done = this.#run(options, first);
  }

  /** Looks no more. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#done;
  }

  async #run(
    { ring, spending, log, wheel, watch }: KeyWatchOptions,
    first: void | Promise<void>,
  ): Promise<void> {
    const { signal } = this.#closing;
    let told = "";
    const attempt = async (work: () => Promise<void>) => {
      try {
        await work();
        told = "";
      } catch (error) {
        const { plain } = asAppError(error);
        if (told === "") watch({ kind: "store_failed", cause: plain });
        told = plain;
      }
    };
    await first;
    for (let round = 0; !signal.aborted; round++) {
      if (round > 0) await ring.look();
      if (round % RECOVER_EVERY === 0) await attempt(() => log.recover());
      if (round % SPENT_EVERY === 0) await attempt(() => spending.refresh());
      await wheel.until(wheel.nowMs + KEYS_LOOK_MS, signal);
    }
  }
}
