/**
 * What a supervisor and its workers say to each other, over Bun's channel between processes. Each
 * message is JSON; what a newer or older version says beyond these is passed over.
 *
 * @module
 */

import type { PeerQuestion } from "../core/peers.ts";
import type { ReportKind } from "../ops/gather.ts";

/** The number of this list of messages. A worker that speaks another one does not take over. */
export const PROTOCOL = 3;

/** Set for a worker: its number, from 1. */
export const WORKER_VARIABLE = "WEIR_INTERNAL_WORKER";
/** Set for a worker: where its supervisor began to listen. */
export const HOST_VARIABLE = "WEIR_INTERNAL_HOST";
/** Set for a worker: the port that its supervisor has chosen. */
export const PORT_VARIABLE = "WEIR_INTERNAL_PORT";
/** Set for a worker: the folder of what all of them share. */
export const SHARED_VARIABLE = "WEIR_INTERNAL_SHARED";

/** Longest wait for one worker's report. A loop that is busy longer is in trouble anyway. */
export const REPORT_MS_MAX = 1000;

/** Questions of one worker to others that wait for their answer; one more has none. */
export const RELAYS_MAX = 256;

/** A longer question, and a longer answer, is none: bytes of its JSON, some. */
export const RELAYED_CHARS_MAX = 8 * 1024 * 1024;

/** What a worker can be asked for: a report, the number of its open streams, whether it listens. */
export type Question = ReportKind | "streams" | "listening";

/** What a worker says once it takes requests. */
export interface Hello {
  readonly kind: "ready";
  readonly protocol: number;
  readonly version: string;
  /** The lines that tell people what it serves. */
  readonly introduction: readonly string[];
}

/** What a worker says. */
export type FromWorker =
  | Hello
  | { readonly kind: "report"; readonly id: number; readonly report: unknown }
  /** It was asked for a report over HTTP, and wants everybody's. */
  | { readonly kind: "gather"; readonly id: number; readonly what: ReportKind }
  /** A question for worker number `to`, or for all others: null. */
  | {
    readonly kind: "relay";
    readonly id: number;
    readonly to: number | null;
    readonly question: PeerQuestion;
  }
  /** From now on it answers questions of other workers, and is told what all are told. */
  | { readonly kind: "join" }
  /** A question for all, this one with them. The answer is as that of a "relay". */
  | { readonly kind: "tell"; readonly id: number; readonly question: PeerQuestion }
  /** Its metrics as it ends, so that what it counted is not lost. */
  | { readonly kind: "last"; readonly report: unknown };

/** What a supervisor says. */
export type ToWorker =
  | { readonly kind: "ask"; readonly id: number; readonly what: Question }
  | {
    readonly kind: "gathered";
    readonly id: number;
    readonly reports: readonly unknown[];
    readonly silent: readonly string[];
  }
  /** What another worker asks. The answer is a report. */
  | { readonly kind: "peer"; readonly id: number; readonly question: PeerQuestion }
  /** What others have answered: those that did, and how many did not. */
  | {
    readonly kind: "relayed";
    readonly id: number;
    readonly answers: readonly unknown[];
    readonly missing: number;
  }
  /** New connections go to `count` sockets of the port from number `first` on; 0 = to all. */
  | {
    readonly kind: "steer";
    readonly id: number;
    readonly first: number;
    readonly count: number;
  }
  /**
   * Read the config again, and answer what comes on open connections by it. The report is "", or why
   * that cannot be.
   */
  | { readonly kind: "renew"; readonly id: number }
  /** No new connections come any more: answer on the ones there are, and close each after that. */
  | { readonly kind: "retire" }
  /** Take nothing new, finish what is open within `limitMs`, and end. A second one may be shorter. */
  | { readonly kind: "drain"; readonly limitMs: number };
