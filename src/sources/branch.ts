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
  ...["source", "target", "hasOthers", "fixture", "tape", "drawn", "upstream"] as const,
  ...["promptTokens", "completionTokens", "cachedTokens", "cacheWriteTokens"] as const,
  ...["reasoningTokens", "tokensAreEstimated", "meter", "isMetered"] as const,
] as const;

type Own = typeof OWN[number];
type Notes = { -readonly [Key in Own]: Call[Key] };

/** What is done at their call, whoever asks for it. */
const METHODS = { meetFault: true, atEnd: true, beforeLast: true, release: true } as const;

/** What all branches read of their call, and note there. A new field of a call is one of these, or `OWN`. */
const SHARED: Readonly<
  Record<
    Exclude<keyof Call, Own | "signal" | "leaving" | keyof typeof METHODS>,
    true
  >
> = {
  engine: true,
  surface: true,
  tokenName: true,
  key: true,
  trace: true,
  startMs: true,
  isDraining: true,
  route: true,
  attempts: true,
  askedMs: true,
  model: true,
  requestId: true,
  isStream: true,
  costNanos: true,
  usageRule: true,
  progress: true,
  outcome: true,
  promptText: true,
  request: true,
  faults: true,
  misses: true,
  view: true,
  status: true,
  bodyBytes: true,
  limits: true,
  keyLimits: true,
  cache: true,
};

/** A branch. */
export interface Branch {
  /** What the source is given: as the call that it is a branch of, but for what it notes. */
  readonly call: Call;
  /** It answers: what it has noted, and notes from now on, is its call's. */
  choose(): void;
  /** Another one answers: whoever works for this one stops. */
  abandon(reason: unknown): void;
}

/**
 * A branch as a call. Its fields are accessors of the prototype: a `Proxy` would be asked for all that it has
 * with each piece of its answer.
 */
class View {
  readonly whole: Call;
  /** Where what is its own is noted: at the call, once it is chosen. */
  notes: Notes;
  readonly signal = new Abort();
  readonly leaving = new Abort();

  constructor(whole: Call) {
    this.whole = whole;
    const notes: Record<string, unknown> = {};
    for (const key of OWN) notes[key] = whole[key];
    this.notes = notes as Notes;
    follow(whole, "signal", this.signal);
    follow(whole, "leaving", this.leaving);
  }
}

for (const key of OWN) define(key, "notes");
for (const key of Object.keys(SHARED)) define(key, "whole");
for (const name of Object.keys(METHODS)) {
  Object.defineProperty(View.prototype, name, {
    value(this: View, ...given: readonly unknown[]): unknown {
      return Reflect.apply(Reflect.get(this.whole, name), this.whole, given);
    },
  });
}

function define(key: string, place: "notes" | "whole"): void {
  Object.defineProperty(View.prototype, key, {
    get(this: View): unknown {
      return (this[place] as Readonly<Record<string, unknown>>)[key];
    },
    set(this: View, value: unknown) {
      (this[place] as unknown as Record<string, unknown>)[key] = value;
    },
  });
}

/** Makes a branch of `call`. */
export function branchOf(call: Call): Branch {
  const view = new View(call);
  return {
    call: view as unknown as Call,
    choose() {
      Object.assign(call, view.notes);
      view.notes = call;
    },
    abandon(reason) {
      view.signal.abort(reason);
      view.leaving.abort(reason);
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
