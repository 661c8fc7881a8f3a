/**
 * Keys whose request is being answered: a second request with the same key waits for the first, and
 * finds its answer kept.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";

/** The keys of one process. */
export class RunningKeys {
  readonly #running = new Map<string, Promise<void>>();

  /**
   * Waits until nobody else answers `key`, and takes it. Gives the function that lets it go.
   *
   * @throws {AppError} when `signal` aborts: the client has left.
   */
  async enter(key: string, signal: AbortSignal): Promise<() => void> {
    for (;;) {
      const running = this.#running.get(key);
      if (running === undefined) break;
      await Promise.race([running, aborted(signal)]);
      if (signal.aborted) throw new AppError("unavailable", "The client closed the connection");
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#running.set(key, promise);
    return () => {
      if (this.#running.get(key) === promise) this.#running.delete(key);
      resolve();
    };
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve(), { once: true })
  );
}
