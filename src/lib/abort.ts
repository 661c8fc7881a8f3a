/**
 * Giving up: what `AbortController` and its signal do, in one small object. A proxied request makes
 * one; the platform's pair costs 0.6 µs to make and listen to, and the collector the same again.
 *
 * @module
 */

/** Is called when something is given up. */
export interface AbortListener {
  handleEvent(): void;
}

/** What a wait looks at and listens to: an `Abort`, or an `AbortSignal`. */
export interface AbortLike {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: AbortListener): void;
  removeEventListener(type: "abort", listener: AbortListener): void;
}

/** Something that can be given up, once. */
export class Abort implements AbortLike {
  #isAborted = false;
  #reason: unknown = undefined;
  #listeners: AbortListener[] | undefined = undefined;

  get aborted(): boolean {
    return this.#isAborted;
  }

  /** Why it was given up; undefined before that. */
  get reason(): unknown {
    return this.#reason;
  }

  /** Tells all listeners, each once. Only the first call counts. */
  abort(reason: unknown): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#reason = reason;
    const listeners = this.#listeners;
    this.#listeners = undefined;
    for (const listener of listeners ?? []) listener.handleEvent();
  }

  addEventListener(_type: "abort", listener: AbortListener): void {
    if (this.#isAborted) return;
    if (this.#listeners === undefined) this.#listeners = [listener];
    else this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: AbortListener): void {
    const at = this.#listeners?.indexOf(listener) ?? -1;
    if (at >= 0) this.#listeners!.splice(at, 1);
  }

  /** An `AbortSignal` that aborts with it, for the platform's own functions. */
  toSignal(): AbortSignal {
    const controller = new AbortController();
    if (this.#isAborted) controller.abort(this.#reason);
    else this.addEventListener("abort", { handleEvent: () => controller.abort(this.#reason) });
    return controller.signal;
  }
}
