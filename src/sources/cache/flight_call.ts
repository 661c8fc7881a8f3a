/**
 * A call that outlives the request it was made for: what is asked in its name goes on for others when its
 * own client has left.
 *
 * @module
 */

import type { Call } from "../../core/exchange.ts";
import { Abort } from "../../lib/abort.ts";

/** The counts of an answer. */
const COUNTS = [
  ...["promptTokens", "completionTokens", "cachedTokens", "cacheWriteTokens", "reasoningTokens"],
  "tokensAreEstimated",
] as const;

/** What whoever answers notes. */
const NOTES = [
  ...["source", "target", "fixture", "tape", "drawn", "upstream", "attempts", "askedMs"],
  ...["meter", "isMetered"],
  ...COUNTS,
] as const;

/** Such a call. */
export class FlightCall {
  /** What the source is given. */
  readonly call: Call;
  readonly #first: Call;
  readonly #signal = new Abort();
  /** What differs from the first one's. */
  readonly #own: Record<PropertyKey, unknown>;
  readonly #atEnd: (() => void)[] = [];

  /** `first`: the call of whoever asked first. */
  constructor(first: Call) {
    this.#first = first;
    const own: Record<PropertyKey, unknown> = this.#own = {
      signal: this.#signal,
      leaving: this.#signal,
      isDraining: false, // it goes on while somebody is there
      atEnd: (work: () => void) => void this.#atEnd.push(work),
      release: () => this.release(),
    };
    for (const key of NOTES) own[key] = first[key];
    this.call = new Proxy(first, {
      get(target, key) {
        if (Object.hasOwn(own, key)) return own[key];
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
      set(target, key, value) {
        if (!Object.hasOwn(own, key)) return Reflect.set(target, key, value, target);
        own[key] = value;
        return true;
      },
    });
  }

  /** Nobody wants the answer any more. */
  abort(reason: unknown): void {
    this.#signal.abort(reason);
  }

  /** Nothing more is done for it. */
  release(): void {
    for (const work of this.#atEnd.splice(0).reverse()) work();
  }

  /** `call` gets the answer: it notes who gives it. */
  tell(call: Call): void {
    const { source, target, model } = this.call;
    call.source = source;
    call.target = target;
    call.model ||= model;
  }

  /** `call` pays for the answer: what is known of the way it took is its. */
  tellWay(call: Call): void {
    const { upstream, meter, attempts, askedMs, tape, fixture, drawn } = this.call;
    Object.assign(call, { upstream, meter, attempts, askedMs, tape, fixture, drawn });
  }

  /** The same for what it has cost. */
  tellCost(call: Call): void {
    for (const key of COUNTS) Reflect.set(call, key, this.#own[key], call);
  }

  /** It is the first one's alone: what was noted, and is from now on, is noted there. */
  handOver(): void {
    const first = this.#first;
    const { signal } = first;
    const follow = { handleEvent: () => this.abort(signal.reason) };
    if (signal.aborted) follow.handleEvent();
    else signal.addEventListener("abort", follow);
    for (const key of NOTES) {
      Reflect.set(first, key, this.#own[key], first);
      delete this.#own[key];
    }
    delete this.#own["isDraining"];
    first.atEnd(() => this.release());
  }
}
