/**
 * How far a run is to be believed: whether what was measured was the server or the client.
 *
 * @module
 */

import type { StageFacts } from "./stage_facts.ts";
import type { Tally } from "./tally.ts";

/** How much of a core a client may use before its own queues are part of every figure. */
const CPU_SHARE_MAX = 0.85;
/** In a shorter run most of it went into compiling the client. */
const CPU_MS_MIN = 1000;
/** An open loop that sends less than this share of what was asked for has not put the load on. */
const RATE_SHARE_MIN = 0.98;

/** Why a run is to be doubted, and by what. */
export interface Doubt {
  readonly is_doubtful: boolean;
  /** One sentence each, with its number. */
  readonly reasons: readonly string[];
  /** What kept the load from being more: nothing could be told from less than a whole request. */
  readonly limit: "client" | "server" | "none";
  /** How late the client's own loop was; null = it was never looked at. */
  readonly loop_ms: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  /** How long requests that were due waited in the client, p99; null = there was none. */
  readonly queue_ms_p99: number | null;
  /** Processor time of the client as a share of one core. */
  readonly cpu_share: number;
  /** The fastest connect, and half of them: the way to the server and back. null = none was made. */
  readonly network_ms: { readonly min: number; readonly p50: number } | null;
}

/** What is asked of the client. */
export interface DoubtLimits {
  /** How late its loop may be, p99. */
  readonly loopMsMax: number;
  /** Requests a second that were to be sent; undefined = a closed loop. */
  readonly ratePerSecond: number | undefined;
  /** Most requests at once in an open loop; Infinity = no such limit. */
  readonly concurrencyMax: number;
}

/** Judges a run. */
export function doubtOf(facts: StageFacts, tally: Tally, limits: DoubtLimits): Doubt {
  const reasons: string[] = [];
  const { loop, cpuShare, waitingMax, sendingMs, measuredMs, saturatedMs, troubles } = facts;
  reasons.push(...troubles);
  if (saturatedMs !== null) {
    reasons.push(
      `stopped ${
        (saturatedMs / 1000).toFixed(1)
      } s after its start, as both the requests at once and the ` +
        "time to the first token grew without an end: the figures are those of a growing queue",
    );
  }
  const queueMs = tally.spreads.queue_ms.percentile(99);
  const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`;
  const { loopMsMax, ratePerSecond, concurrencyMax } = limits;
  let isClient = false;
  if (loop !== null && loop.p99 > loopMsMax) {
    reasons.push(
      `the client's own loop was ${ms(loop.p99)} late (p99), more than ${loopMsMax} ms: ` +
        "times are too long by as much (--max-loop-ms)",
    );
    isClient = true;
  }
  if (cpuShare > CPU_SHARE_MAX && measuredMs >= CPU_MS_MIN) {
    reasons.push(`the client used ${Math.round(100 * cpuShare)} % of a core: it is a limit itself`);
    isClient = true;
  }
  if (waitingMax > 0 && queueMs !== undefined && queueMs > loopMsMax) {
    reasons.push(
      `up to ${waitingMax} requests waited in the client for one of ${concurrencyMax} places, ` +
        `${ms(queueMs)} (p99): this is in the times from the schedule`,
    );
  }
  const asked = ratePerSecond === undefined ? 0 : (ratePerSecond * sendingMs) / 1000;
  // Of few requests a rate says nothing: Poisson's own spread is the root of their number.
  if (asked > 100 && tally.sent < RATE_SHARE_MIN * asked - 3 * Math.sqrt(asked)) {
    reasons.push(
      `only ${tally.sent} of some ${Math.round(asked)} requests that were asked for were sent`,
    );
    isClient = true;
  }
  if (tally.sent > 0 && tally.outcomes.completed + tally.outcomes.left === 0) {
    reasons.push("no request was completed: there are no figures of the server");
  } else if (tally.sent === 0) {
    reasons.push("no request was measured");
  }
  if (tally.outcomes.unfinished > 0) {
    reasons.push(
      `${tally.outcomes.unfinished} requests were not over when the run was: ` +
        "the slowest are missing from the figures",
    );
  }
  const connect = tally.spreads.connect_ms;
  const isServer = waitingMax > 0 || ratePerSecond === undefined || saturatedMs !== null;
  return {
    is_doubtful: reasons.length > 0,
    reasons,
    limit: isClient ? "client" : isServer ? "server" : "none",
    loop_ms: loop,
    queue_ms_p99: queueMs ?? null,
    cpu_share: cpuShare,
    network_ms: connect.count === 0
      ? null
      : { min: connect.percentile(0)!, p50: connect.percentile(50)! },
  };
}
