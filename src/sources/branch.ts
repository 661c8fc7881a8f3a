/**
 * One of several calls that are made for the same question at once: what it notes counts only if it
 * is the one that answers.
 *
 * @module
 */

import type { Call } from "../core/exchange.ts";
import { Abort } from "../lib/abort.ts";

/** What each branch notes for itself until it is chosen. */
const OWN = [
  ...["source", "target", "hasOthers", "fixture", "tape", "drawn", "upstream"],
  ...["promptTokens", "completionTokens", "cachedTokens", "cacheWriteTokens", "reasoningTokens"],
  ...["tokensAreEstimated", "meter", "isMetered"],
] as const;

/** A branch. */
export interface Branch {
  /** What the source is given: as the call that it is a branch of, but for what it notes. */
  readonly call: Call;
  /** It answers: what it has noted, and notes from now on, is its call's. */
  choose(): void;
  /** Another one answers: whoever works for this one stops. */
  abandon(reason: unknown): void;
}

/** Makes a branch of `call`. */
export function branchOf(call: Call): Branch {
  const signal = new Abort();
  const leaving = new Abort();
  follow(call, "signal", signal);
  follow(call, "leaving", leaving);
  const own = new Map<PropertyKey, unknown>(OWN.map((key) => [key, Reflect.get(call, key)]));
  const fixed = new Map<PropertyKey, unknown>([["signal", signal], ["leaving", leaving]]);
  let isChosen = false;
  const view = new Proxy(call, {
    get(target, key) {
      if (fixed.has(key)) return fixed.get(key);
      if (!isChosen && own.has(key)) return own.get(key);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set(target, key, value) {
      if (isChosen || !own.has(key)) return Reflect.set(target, key, value, target);
      own.set(key, value);
      return true;
    },
  });
  return {
    call: view,
    choose() {
      isChosen = true;
      for (const [key, value] of own) Reflect.set(call, key, value, call);
    },
    abandon(reason) {
      signal.abort(reason);
      leaving.abort(reason);
    },
  };
}

/** `abort` is aborted with what it is to follow, until the call is over. */
function follow(call: Call, what: "signal" | "leaving", abort: Abort): void {
  const followed = call[what];
  if (followed.aborted) return abort.abort(followed.reason);
  const listener = { handleEvent: () => abort.abort(followed.reason) };
  followed.addEventListener("abort", listener);
  call.atEnd(() => followed.removeEventListener("abort", listener));
}
