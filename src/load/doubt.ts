/**
 * How far a run is to be believed: whether what was measured was the server or the client.
 *
 * @module
 */

import { counted } from "../lib/counted.ts";
import { answeredShare } from "./offered.ts";
import { type Slo, SLO_FIGURES, SLO_NAMES, type SloName } from "./slo.ts";
import type { StageFacts } from "./stage_facts.ts";
import { NO_DESCRIPTOR, NO_PORT } from "./link.ts";
import type { Spread } from "./spread.ts";
import type { Tally } from "./tally.ts";

/** How much of a core a client may use before its own queues are part of every figure. */
const CPU_SHARE_MAX = 0.85;
/** In a shorter run most of it went into compiling the client. */
const CPU_MS_MIN = 1000;
/** A server that answers less than this share of the rate that it is asked does not keep up. */
const RATE_SHARE_MIN = 0.95;
/** Where the slowest hundredth takes so many times as long as a quarter, they have waited for something. */
const STALL_TIMES = 10;

/** Half of the times must be better than the rest by this. */
const HALF_SHARE = 0.25;
/**
 * An error of this share of a figure does not spoil it. So up to 200 ms the 2 ms of `--max-loop-ms` hold,
 * and the half a millisecond for half of them; what takes longer may be wrong by 1 % and 0.25 %.
 */
const FIGURE_SHARE = 0.01;
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
  /** At most: the way there and back is no longer than the fastest connect, which has it in it. */
  readonly network: number;
  /** The rest. */
  readonly server: number;
}

/** Why a run is to be doubted, and by what. */
export interface Doubt {
  readonly is_doubtful: boolean;
  /** One sentence each, with its number. */
  readonly reasons: readonly string[];
  /** What must be known of the figures, though it was asked for. */
  readonly notes: readonly string[];
  /** Requests a second, where the server did not keep up with the schedule; null = it did. */
  readonly overload: { readonly asked: number; readonly answered: number } | null;
  /** Limits that no answer has a figure for. */
  readonly unjudged: readonly SloName[];
  /**
   * What kept the load from being more, or its answers from being sooner; "none" = all that was asked
   * was sent and answered at the same rate. "network_or_server": how long the way there and back takes
   * is known to be less than a connect, and that is no less than what is left for the server.
   */
  readonly limit: "client" | "server" | "network_or_server" | "none";
  /** By how much times may be too long since the client was late; null = there are none. */
  readonly late_ms: { readonly ttft: Bound | null; readonly itl: Bound | null };
  /** null = there is no first token, no connection was made, or clients read slowly. */
  readonly ttft_parts_ms: Parts | null;
  /** How late the client's own loop was; null = it was never looked at. */
  readonly loop_ms: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  /** How long requests that were due waited in the client, p99; null = there was none. */
  readonly queue_ms_p99: number | null;
  /** Processor time of the client as a share of one core. */
  readonly cpu_share: number;
  /** Share of the time in which others had the processor that the client wanted; null = not known. */
  readonly wait_share: number | null;
  /**
   * The fastest connect, as the client saw it: the way there and back takes no longer. null = none was
   * made.
   */
  readonly connect_ms_min: number | null;
}

/** What is asked of the client. */
export interface DoubtLimits {
  /** By how much times may be too long, p99; half of them by a quarter of that. */
  readonly loopMsMax: number;
  /** Requests a second that were to be sent; undefined = a closed loop. */
  readonly ratePerSecond: number | undefined;
  /** Most requests at once in an open loop; Infinity = no such limit. */
  readonly concurrencyMax: number;
  /** True: nobody asked for that limit, and more have no file descriptor. */
  readonly isOfDescriptors?: boolean;
  /** At which clients read; undefined = as it comes. */
  readonly readBytesPerSecond?: number | undefined;
}

/** Judges a run. `slo`: the limits that its answers are held against. */
export function doubtOf(
  facts: StageFacts,
  tally: Tally,
  limits: DoubtLimits,
  slo: Slo = {},
): Doubt {
  const reasons: string[] = [];
  const { loop, cpuShare, waitingMax, measuredMs, saturatedMs, troubles, isInterrupted } = facts;
  reasons.push(...troubles);
  if (saturatedMs !== null) {
    reasons.push(
      `stopped ${
        (saturatedMs / 1000).toFixed(1)
      } s after its start, as both the requests at once and the ` +
        "time to the first token grew without an end: the figures are those of a growing queue",
    );
  }
  const { spreads, outcomes, sent, notSent } = tally;
  const { loopMsMax, ratePerSecond, concurrencyMax } = limits;
  const late = {
    ttft: boundOf(spreads.unread_first_ms, loop),
    itl: boundOf(spreads.unread_gap_ms, loop),
  };
  // Of an answer without tokens, what is measured is the whole.
  const hasFirsts = spreads.ttft_ms.count > 0;
  const firsts = hasFirsts ? spreads.ttft_ms : spreads.e2e_ms;
  const firstWords = hasFirsts ? "times to the first token" : "times to the end of an answer";
  const isFirstBad = isBad(late.ttft, firsts, loopMsMax);
  const isGapBad = isBad(late.itl, spreads.itl_ms, loopMsMax);
  const tooLong = [
    ...(isFirstBad ? [`${firstWords} may be too long by ${told(late.ttft!)}`] : []),
    ...(isGapBad ? [`gaps may be off by ${told(late.itl!)}`] : []),
  ];
  if (tooLong.length > 0) {
    reasons.push(
      `${tooLong.join("; ")}: ${
        whoHeldIt(facts, tally)
      } (more than --max-loop-ms ${loopMsMax}, and than ${percent(FIGURE_SHARE)} of them)`,
    );
  }
  const isBusy = cpuShare > CPU_SHARE_MAX && measuredMs >= CPU_MS_MIN;
  if (isBusy) {
    reasons.push(`the client used ${Math.round(100 * cpuShare)} % of a core: it is a limit itself`);
  }
  const queueMs = spreads.queue_ms.percentile(99);
  if (waitingMax > 0 && queueMs !== undefined && queueMs > loopMsMax) {
    reasons.push(
      `up to ${waitingMax} requests waited in the client for one of ${concurrencyMax} places${
        limits.isOfDescriptors ? " (ulimit -n)" : ""
      }, ` +
        `${ms(queueMs)} (p99): this is in the times from the schedule`,
    );
  }
  let isBehind = false;
  if (notSent > 0) {
    isBehind = !isInterrupted && saturatedMs === null && troubles.length === 0 && waitingMax === 0;
    const why = isInterrupted || saturatedMs !== null
      ? "the run was ended before"
      : troubles.length > 0
      ? "a process of the client was gone"
      : isBehind
      ? "the client was late"
      : `${counted(concurrencyMax, "place was", "places were")} taken to the end`;
    reasons.push(`${notSent} of ${sent + notSent} requests that were due were never sent: ${why}`);
  }
  const overload = overloadOf(facts, tally, ratePerSecond);
  if (overload !== null) {
    reasons.push(
      `${rate(overload.asked)}/s were asked, ${rate(overload.answered)}/s were answered: times ` +
        "grew for as long as it went on, and say how long that was",
    );
  }
  let isShort = false;
  for (const { text, count } of tally.errors.values()) {
    if (text !== NO_DESCRIPTOR && text !== NO_PORT) continue;
    reasons.push(`${counted(count, "request was", "requests were")} not sent: ${text}`);
    isShort = true;
  }
  const answers = outcomes.completed + outcomes.left;
  if (sent > 0 && answers === 0) {
    reasons.push("no request was completed: there are no figures of the server");
  } else if (sent === 0) {
    reasons.push(
      tally.warmup === 0
        ? "no request was measured"
        : `no request was measured: ${
          counted(tally.warmup, "request was", "requests were")
        } sent or due, to warm up`,
    );
  }
  if (outcomes.unfinished > 0) {
    reasons.push(
      `${
        counted(outcomes.unfinished, "request was", "requests were")
      } not over when the run was: ` +
        "the slowest are missing from the figures",
    );
  }
  const unjudged = SLO_NAMES.filter((name) =>
    slo[name] !== undefined && spreads[`${name}_ms`].count === 0
  );
  reasons.push(
    ...(answers === 0 ? [] : unjudged).map((name) =>
      `no answer has a ${SLO_FIGURES[name]}: the limit ${name} was not judged`
    ),
  );
  const { readBytesPerSecond } = limits;
  const notes = readBytesPerSecond === undefined ? [] : [
    `its clients read ${readBytesPerSecond} bytes a second: times are those of slow readers, ` +
    "and not how fast the server could answer",
  ];
  // Whether a token came late, or was read late, nobody knows of a slow reader.
  const parts = notes.length > 0 ? null : partsOf(tally, late.ttft);
  // The client is the limit where most of the times, or of a tail that is far away, was its own.
  const isOwn = (bound: Bound | null, spread: Spread, at: "p50" | "p99") =>
    bound !== null && 2 * bound[at] > (spread.percentile(at === "p50" ? 50 : 99) ?? Infinity);
  const isTail = hasTail(firsts);
  const isTailOwn = isTail && isOwn(late.ttft, firsts, "p99");
  // Gaps count where they are most of an answer: those of one read are 0, whoever is late.
  const areGapsLong = spreads.itl_ms.sum > firsts.sum;
  const isClient = notes.length > 0 || isBusy || isShort || isBehind ||
    (isFirstBad && (isTailOwn || isOwn(late.ttft, firsts, "p50"))) ||
    (isGapBad && areGapsLong && isOwn(late.itl, spreads.itl_ms, "p50"));
  const refused = [...tally.errors.values()]
    .reduce((sum, { status, count }) => sum + (status !== null && status >= 400 ? count : 0), 0);
  const isLimited = waitingMax > 0 || ratePerSecond === undefined || saturatedMs !== null ||
    overload !== null || (!isInterrupted && outcomes.unfinished + notSent > 0) ||
    refused > (1 - RATE_SHARE_MIN) * sent || (isTail && !isTailOwn);
  const isUnclear = parts !== null && parts.network > Math.max(parts.server, parts.client);
  return {
    is_doubtful: reasons.length > 0,
    reasons,
    notes,
    overload,
    unjudged,
    limit: isClient ? "client" : !isLimited ? "none" : isUnclear ? "network_or_server" : "server",
    late_ms: late,
    ttft_parts_ms: parts,
    loop_ms: loop,
    queue_ms_p99: queueMs ?? null,
    cpu_share: cpuShare,
    wait_share: facts.waitShare,
    connect_ms_min: tally.connectMsMin ?? null,
  };
}

/** True where the error is neither small by itself nor against the figure. */
function isBad(bound: Bound | null, figure: Spread, loopMsMax: number): boolean {
  if (bound === null) return false;
  const most = (share: number) =>
    Math.max(loopMsMax, FIGURE_SHARE * (figure.percentile(share) ?? 0));
  return bound.p99 > most(99) || bound.p50 > HALF_SHARE * most(50);
}

function overloadOf(
  { measuredMs }: StageFacts,
  tally: Tally,
  ratePerSecond: number | undefined,
): Doubt["overload"] {
  if (ratePerSecond === undefined || measuredMs === 0) return null;
  const share = answeredShare(tally.rows);
  if (share === undefined || share >= RATE_SHARE_MIN) return null;
  const { completed, left } = tally.outcomes;
  return { asked: ratePerSecond, answered: (1000 * (completed + left)) / measuredMs };
}

/** True where some answers took many times as long as others. */
function hasTail(figure: Spread): boolean {
  const [quarter, most] = [figure.percentile(25), figure.percentile(99)];
  return quarter !== undefined && most! > STALL_TIMES * quarter;
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
  const { spreads: { ttft_ms, queue_ms }, connectMsMin } = tally;
  const firstMs = ttft_ms.percentile(50);
  if (firstMs === undefined || connectMsMin === undefined || late === null) return null;
  const client = Math.min(firstMs, Math.max(queue_ms.percentile(50) ?? 0, late.p50));
  const network = Math.min(firstMs - client, connectMsMin);
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

function rate(perSecond: number): string {
  return perSecond.toFixed(perSecond < 100 ? 1 : 0).replace(/\.0$/, "");
}

function ms(value: number): string {
  return `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} ms`;
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
