/**
 * How far a run is to be believed: whether what was measured was the server or the client.
 *
 * @module
 */

import { counted } from "../lib/counted.ts";
import type { StageFacts } from "./stage_facts.ts";
import { NO_DESCRIPTOR, NO_PORT } from "./link.ts";
import type { Spread } from "./spread.ts";
import type { Tally } from "./tally.ts";

/** How much of a core a client may use before its own queues are part of every figure. */
const CPU_SHARE_MAX = 0.85;
/** In a shorter run most of it went into compiling the client. */
const CPU_MS_MIN = 1000;
/** An open loop that sends less than this share of what was asked for has not put the load on. */
const RATE_SHARE_MIN = 0.98;

/** Half of the times must be better than the rest by this. */
const HALF_SHARE = 0.25;
/** Others were in the way where the client waited for so much of the time in which it wanted to run. */
const WAIT_SHARE_MIN = 0.2;

/** By how many milliseconds a figure may be wrong: half of its values by less, and 99 of 100. */
export interface Bound {
  readonly p50: number;
  readonly p99: number;
}

/** Of what half of the times to the first token consist, in milliseconds. */
export interface Parts {
  /** At most: the request waited to be sent, the connection to be seen, or the answer to be read. */
  readonly client: number;
  /** At least: the fastest way there and back. */
  readonly network: number;
  /** The rest. */
  readonly server: number;
}

/** Why a run is to be doubted, and by what. */
export interface Doubt {
  readonly is_doubtful: boolean;
  /** One sentence each, with its number. */
  readonly reasons: readonly string[];
  /** What kept the load from being more. */
  readonly limit: "client" | "server" | "network" | "none";
  /** By how much times may be too long since the client was late; null = there are none. */
  readonly late_ms: { readonly ttft: Bound | null; readonly itl: Bound | null };
  /** null = there is no first token, or no connection was made. */
  readonly ttft_parts_ms: Parts | null;
  /** How late the client's own loop was; null = it was never looked at. */
  readonly loop_ms: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  /** How long requests that were due waited in the client, p99; null = there was none. */
  readonly queue_ms_p99: number | null;
  /** Processor time of the client as a share of one core. */
  readonly cpu_share: number;
  /** Share of the time in which others had the processor that the client wanted; null = not known. */
  readonly wait_share: number | null;
  /** The fastest connect, and half of them: the way to the server and back. null = none was made. */
  readonly network_ms: { readonly min: number; readonly p50: number } | null;
}

/** What is asked of the client. */
export interface DoubtLimits {
  /** By how much times may be too long, p99; half of them by a quarter of that. */
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
  const { loopMsMax, ratePerSecond, concurrencyMax } = limits;
  let isClient = false;
  const late = {
    ttft: boundOf(tally.spreads.unread_first_ms, loop),
    itl: boundOf(tally.spreads.unread_gap_ms, loop),
  };
  const isBad = (bound: Bound | null): bound is Bound =>
    bound !== null && (bound.p99 > loopMsMax || bound.p50 > HALF_SHARE * loopMsMax);
  const tooLong = [
    ...(isBad(late.ttft) ? [`times to the first token may be too long by ${told(late.ttft)}`] : []),
    ...(isBad(late.itl) ? [`gaps may be off by ${told(late.itl)}`] : []),
  ];
  if (tooLong.length > 0) {
    reasons.push(
      `${tooLong.join("; ")}: ${whoHeldIt(facts, tally)} (more than --max-loop-ms ${loopMsMax})`,
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
  for (const { text, count } of tally.errors.values()) {
    if (text !== NO_DESCRIPTOR && text !== NO_PORT) continue;
    reasons.push(`${counted(count, "request was", "requests were")} not sent: ${text}`);
    isClient = true;
  }
  if (tally.sent > 0 && tally.outcomes.completed + tally.outcomes.left === 0) {
    reasons.push("no request was completed: there are no figures of the server");
  } else if (tally.sent === 0) {
    reasons.push("no request was measured");
  }
  if (tally.outcomes.unfinished > 0) {
    reasons.push(
      `${
        counted(tally.outcomes.unfinished, "request was", "requests were")
      } not over when the run was: ` +
        "the slowest are missing from the figures",
    );
  }
  const { network_ms } = tally.spreads;
  const parts = partsOf(tally, late.ttft);
  const isLimited = waitingMax > 0 || ratePerSecond === undefined || saturatedMs !== null;
  const isNetwork = parts !== null && parts.network > Math.max(parts.server, parts.client);
  return {
    is_doubtful: reasons.length > 0,
    reasons,
    limit: isClient ? "client" : !isLimited ? "none" : isNetwork ? "network" : "server",
    late_ms: late,
    ttft_parts_ms: parts,
    loop_ms: loop,
    queue_ms_p99: queueMs ?? null,
    cpu_share: cpuShare,
    wait_share: facts.waitShare,
    network_ms: network_ms.count === 0
      ? null
      : { min: network_ms.percentile(0)!, p50: network_ms.percentile(50)! },
  };
}

/**
 * What lay unread while the loop was busy, and how late the loop woke when it had slept: the larger
 * one bounds both.
 */
function boundOf(unread: Spread, loop: StageFacts["loop"]): Bound | null {
  if (unread.count === 0) return null;
  return {
    p50: Math.max(unread.percentile(50)!, loop?.p50 ?? 0),
    p99: Math.max(unread.percentile(99)!, loop?.p99 ?? 0),
  };
}

function partsOf(tally: Tally, late: Bound | null): Parts | null {
  const { ttft_ms, queue_ms, network_ms } = tally.spreads;
  const firstMs = ttft_ms.percentile(50);
  const networkMs = network_ms.percentile(0);
  if (firstMs === undefined || networkMs === undefined || late === null) return null;
  const client = Math.min(firstMs, Math.max(queue_ms.percentile(50) ?? 0, late.p50));
  const network = Math.min(firstMs - client, networkMs);
  return { client, network, server: firstMs - client - network };
}

/** Whose fault it was that the client was late. */
function whoHeldIt({ waitShare, cpuShare, loop }: StageFacts, { spreads }: Tally): string {
  if (waitShare !== null && waitShare > WAIT_SHARE_MIN * (waitShare + cpuShare)) {
    const share = percent(waitShare / (waitShare + cpuShare));
    return `other programs had its processor for ${share} of the time in which the client wanted to run`;
  }
  const { unread_first_ms, unread_gap_ms } = spreads;
  const stoodMs = Math.max(
    loop?.max ?? 0,
    unread_first_ms.percentile(100) ?? 0,
    unread_gap_ms.percentile(100) ?? 0,
  );
  return `the client's own loop was busy for ${percent(cpuShare)} of the time, and late by up to ${
    ms(stoodMs)
  }`;
}

function told({ p50, p99 }: Bound): string {
  return `up to ${ms(p50)} in half of all cases, and ${ms(p99)} in one of a hundred`;
}

function ms(value: number): string {
  return `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} ms`;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
