/**
 * Keys whose request is being answered: a second request with the same key waits for the first, and
 * finds its answer kept, whichever process answers it.
 *
 * @module
 */

import { clientLeft } from "../../core/errors.ts";
import type { Exchange } from "../../core/exchange.ts";
import { type Claim, CLAIM_MS, type Memory, storable, type StoredTurn } from "../../core/memory.ts";

/** Milliseconds between two looks at a key that another process answers. */
const LOOK_EVERY_MS = 100;

/** A key that nobody else answers until `finish` is called. */
export interface Entered {
  /** What is kept under it: a whole answer, or a part of one. */
  readonly turn: StoredTurn | undefined;
  /** The owner of the claim on it. */
  readonly owner: string;
  /** Lets the key go. Only the first call counts. */
  readonly finish: () => void;
}

/** The keys of one process, claimed at the memory. */
export class RunningKeys {
  readonly #memory: Pick<Memory, "claim" | "release">;
  readonly #makeOwner: () => string;
  readonly #running = new Map<string, Promise<void>>();

  constructor(memory: Pick<Memory, "claim" | "release">, makeOwner: () => string) {
    this.#memory = memory;
    this.#makeOwner = makeOwner;
  }

  /**
   * Waits until nobody else answers the key of a session, here or in another process, and takes it.
   *
   * @throws {AppError} when the client of `exchange` leaves, or the memory fails.
   */
  async enter(
    { sessionId, key }: { readonly sessionId: string; readonly key: string },
    exchange: Exchange,
  ): Promise<Entered> {
    const claim = {
      sessionId: storable(sessionId),
      key: storable(key),
      owner: this.#makeOwner(),
    };
    const leave = await this.#enterHere(`${sessionId}\0${key}`, exchange.signal.toSignal());
    try {
      const turn = await this.#claim(claim, exchange);
      const holding = new AbortController();
      if (turn === undefined || turn.isPartial) void this.#hold(claim, exchange, holding.signal);
      return {
        turn,
        owner: claim.owner,
        finish() {
          holding.abort();
          leave();
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  /** Among the requests of this process. */
  async #enterHere(name: string, signal: AbortSignal): Promise<() => void> {
    for (;;) {
      const running = this.#running.get(name);
      if (running === undefined) break;
      await Promise.race([running, aborted(signal)]);
      if (signal.aborted) throw clientLeft();
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running.set(name, promise);
    return () => {
      if (this.#running.get(name) === promise) this.#running.delete(name);
      resolve();
    };
  }

  /** Among all processes. Gives what is kept. */
  async #claim(claim: Claim, exchange: Exchange): Promise<StoredTurn | undefined> {
    const { wheel } = exchange.engine;
    for (;;) {
      const claimed = await this.#memory.claim?.(claim);
      if (claimed?.state !== "busy") return claimed?.turn;
      if (!await wheel.until(wheel.nowMs + LOOK_EVERY_MS, exchange.signal)) throw clientLeft();
    }
  }

  /** Renews the claim until `signal` aborts, and then lets it go. */
  async #hold(claim: Claim, { engine: { wheel } }: Exchange, signal: AbortSignal): Promise<void> {
    // A store that is away just now: the claim may run out, and the commit tells of it.
    const quietly = (asked: Promise<unknown> | undefined) => asked?.catch(() => {});
    while (await wheel.until(wheel.nowMs + CLAIM_MS / 3, signal)) {
      await quietly(this.#memory.claim?.(claim));
    }
    await quietly(this.#memory.release?.(claim));
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}
