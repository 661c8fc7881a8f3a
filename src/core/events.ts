/**
 * What happens inside, as data. Parts call `watch`; logs, metrics and traces are watchers, joined
 * in ops/observer.ts. Events carry no prompt, no answer and no secret.
 *
 * @module
 */

import type { AppError, ErrorCode } from "./errors.ts";
import type { FaultName } from "./fault_plan.ts";
import type { CacheResult, ExchangeFacts, Outcome, UpstreamFacts } from "./facts.ts";
import type { KeyRefusal } from "./keys.ts";
import type { LimitedBy } from "./limits.ts";

const CUT_OFF: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "upstream_timeout",
  "reader_slow",
  "unread_full",
]);

/** How an exchange that `error` ended is counted. */
export function outcomeOf(error: AppError): Outcome {
  if (CUT_OFF.has(error.code)) return "timed_out";
  if (error.code === "shutting_down") return "shut_down";
  if (error.code.startsWith("upstream_") || error.code === "workflow_failed") {
    return "upstream_failed";
  }
  return error.code === "internal" ? "failed" : "refused";
}

/** What a circuit breaker lets through: everything, nothing, or one question at a time. */
export type BreakerState = "closed" | "open" | "half_open";

/** Everything a watcher can see. */
export type Event =
  | { readonly kind: "exchange_ended"; readonly exchange: ExchangeFacts }
  | {
    readonly kind: "upstream_retried";
    readonly attempt: number;
    readonly delayMs: number;
    readonly cause: string;
  }
  /** What failed was not asked again, as too much is already. */
  | { readonly kind: "retry_forgone" }
  /** What `from` did not answer, another one is asked for: the first byte had not left. */
  | {
    readonly kind: "answer_moved";
    readonly from: string;
    readonly cause: string;
    /** True: it was not even asked, as its breaker is open. */
    readonly isOpen: boolean;
  }
  /** `beside` is silent, and a second one is asked as well. */
  | { readonly kind: "answer_hedged"; readonly beside: string }
  /** The circuit breaker of an upstream lets more through, or less. */
  | { readonly kind: "breaker_turned"; readonly upstream: string; readonly state: BreakerState }
  /** Nothing more comes from an upstream; when it is drained, after its exchange has ended. */
  | { readonly kind: "upstream_ended"; readonly call: UpstreamFacts }
  /** An upstream stream ended without `[DONE]`: relayed as it is, and counted. */
  | { readonly kind: "upstream_unfinished" }
  /** Something went wrong on purpose. */
  | { readonly kind: "fault_happened"; readonly fault: FaultName }
  /** A limit was reached; the exchange it ended follows. `limit` is its config key. */
  | { readonly kind: "limit_reached"; readonly limit: string }
  /** A limit that the mock plays has turned a request away. */
  | { readonly kind: "limited"; readonly by: LimitedBy }
  /** The memory's file takes no writes: a full disk. Told once, until a write succeeds. */
  | { readonly kind: "memory_write_failed"; readonly cause: string }
  | { readonly kind: "memory_write_recovered" }
  /** A file of the memory is no longer where it was. Told by every process that had it open. */
  | { readonly kind: "memory_file_vanished"; readonly cause: string }
  /** A store did not take a turn; the turn waits in the outbox and is sent again. */
  | {
    readonly kind: "delivery_retried";
    readonly attempt: number;
    readonly delayMs: number;
    readonly cause: string;
  }
  /**
   * A store will never take a turn, as so many attempts have shown: it lies in row `letter` of the
   * outbox's `dead_letters`.
   */
  | {
    readonly kind: "turn_dead";
    readonly letter: number;
    readonly attempts: number;
    readonly cause: string;
  }
  /** The store of keys and usage cannot be asked. Told once, until it can. */
  | { readonly kind: "store_failed"; readonly cause: string }
  | { readonly kind: "store_recovered" }
  /** What several weirs share cannot be had: limits hold on each machine. Told once, until it can. */
  | { readonly kind: "shared_failed"; readonly cause: string }
  | { readonly kind: "shared_recovered" }
  /** Usage would be lost if this process were killed now. Told once. */
  | { readonly kind: "usage_unsafe"; readonly cause: string }
  /** So many requests are not among the usage that is kept. */
  | { readonly kind: "usage_lost"; readonly count: number }
  /** Objects that clients have had kept would be lost if this process were killed now. Told once. */
  | { readonly kind: "objects_unsafe"; readonly cause: string }
  /** So many objects are not kept, although their clients wanted them to be. */
  | { readonly kind: "objects_lost"; readonly count: number }
  /** A key has not let a request in, by what it lacks. */
  | { readonly kind: "key_refused"; readonly by: KeyRefusal }
  /** Turns older than `memory.keep_days` were forgotten. */
  | { readonly kind: "turns_pruned"; readonly count: number }
  | { readonly kind: "prune_failed"; readonly cause: string }
  /** The collector of traces takes nothing. Told once, until it takes spans again. */
  | { readonly kind: "trace_export_failed"; readonly cause: string }
  | { readonly kind: "trace_export_recovered" }
  /** A tape answered. */
  | { readonly kind: "tape_replayed" }
  /** There is no tape for a request. */
  | { readonly kind: "tape_missed" }
  /** A cache was looked into. */
  | { readonly kind: "cache_asked"; readonly result: CacheResult }
  /** An exchange was recorded. */
  | { readonly kind: "tape_recorded" }
  /** One was not, as it cannot be; nothing of it is kept. */
  | { readonly kind: "tape_abandoned"; readonly cause: string }
  /** The folder of tapes has not taken an exchange. */
  | { readonly kind: "tape_lost" }
  /** The folder of tapes takes none. Told once, until it does. */
  | { readonly kind: "tape_write_failed"; readonly cause: string }
  | { readonly kind: "tape_write_recovered" }
  /** A file in that folder is no whole tape, or the folder cannot be read. */
  | { readonly kind: "tape_unreadable"; readonly file: string; readonly cause: string }
  /** A bug: something was thrown that is not an `AppError`. */
  | { readonly kind: "bug"; readonly where: string; readonly error: unknown };

/** Takes an event. Must return at once and never throw. */
export type Watch = (event: Event) => void;

/** A watcher that tells all of `watchers`. None, or one, costs no loop. */
export function watchAll(watchers: readonly Watch[]): Watch {
  const [first] = watchers;
  if (first === undefined) return () => {};
  if (watchers.length === 1) return first;
  return (event) => {
    for (const watch of watchers) watch(event);
  };
}
