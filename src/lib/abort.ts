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
  /** Mostly there is one. */
  #listener: AbortListener | undefined = undefined;
  #others: AbortListener[] | undefined = undefined;

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
    const first = this.#listener;
    const others = this.#others;
    this.#listener = this.#others = undefined;
    first?.handleEvent();
    for (const listener of others ?? []) listener.handleEvent();
  }

  addEventListener(_type: "abort", listener: AbortListener): void {
    if (this.#isAborted) return;
    if (this.#listener === undefined) this.#listener = listener;
    else (this.#others ??= []).push(listener);
  }

  removeEventListener(_type: "abort", listener: AbortListener): void {
    if (this.#listener === listener) {
      this.#listener = this.#others?.shift();
      return;
    }
    const at = this.#others?.indexOf(listener) ?? -1;
    if (at >= 0) this.#others!.splice(at, 1);
  }

  /** An `AbortSignal` that aborts with it, for the platform's own functions. */
  toSignal(): AbortSignal {
    const controller = new AbortController();
    if (this.#isAborted) controller.abort(this.#reason);
    else this.addEventListener("abort", { handleEvent: () => controller.abort(this.#reason) });
    return controller.signal;
  }
}
