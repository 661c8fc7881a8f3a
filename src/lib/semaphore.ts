/**
 * A semaphore: so many at once, the others wait in order.
 *
 * @module
 */

/** More would wait than may. */
export class SemaphoreFull extends Error {
  override readonly name = "SemaphoreFull";
}

/** Lets `openMax` through at once and `waitingMax` wait. */
export class Semaphore {
  readonly #openMax: number;
  readonly #waitingMax: number;
  #open = 0;
  readonly #waiting = new Set<() => void>();

  constructor(openMax: number, waitingMax: number) {
    this.#openMax = openMax;
    this.#waitingMax = waitingMax;
  }

  /**
   * Waits for a place and gives what frees it, which may be called more than once.
   *
   * @throws {SemaphoreFull} when too many wait already; the signal's reason when it aborts.
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#open >= this.#openMax) await this.#wait(signal);
    else this.#open++;
    let isInside = true;
    return () => {
      if (!isInside) return;
      isInside = false;
      this.#leave();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size >= this.#waitingMax) throw new SemaphoreFull();
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.delete(pass);
        reject(signal.reason);
      };
      const pass = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.add(pass);
    });
  }

  /** Hands the place on: the number inside stays the same when somebody waits. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#open--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}
