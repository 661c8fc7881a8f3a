/**
 * What an overload says of a gateway, and when it says nothing.
 *
 * @module
 */

import type { Finding, Verdict } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { ms, quantile } from "../numbers.ts";
import { finding } from "../rig.ts";

/** Of the closed loop that finds how much it can do. */
export const CONCURRENCY = 16;
const SAME_SHARE_MIN = 0.8;
/** An answer that is later is of no use any more. */
export const USEFUL_MS_MAX = 1000;
const GOODPUT_SHARE_MIN = 0.9;
/** Twice the gateway's rate must be so much below what this process can do by itself. */
const OWN_SHARE_MAX = 0.7;
/** Until an answer is given up. */
export const ANSWER_MS_MAX = 5000;
/** A request that was sent so much later than it was due was asked by a machine that was too late. */
const LAG_MS_MAX = 50;
/** Other work has so much of the processors that nobody's capacity is what it was. */
const PRESSURE_MAX = 0.6;
/** A gateway that does so much more than before was not asked for twice what it can do. */
const FASTER_SHARE = 1.5;
/** Afterwards no more than this is left of what it could do. */
const HURT_SHARE = 0.2;
/** With all answered in time: what is left with many at once is no collapse from this share on. */
const SLOWER_SHARE_MIN = 0.5;
/** Of those sent, without an answer in time and without a refusal: more is told. */
const LOST_SHARE_NOTED = 0.01;

/** How a request ended: `late` is answered, but of no use; `refused`: 429 or 503. */
export type Outcome =
  | "good"
  | "late"
  | "refused"
  | "error"
  | "cut"
  | "reset"
  | "timeout"
  | "closed";

/** As reports call what is not good. */
const OUTCOMES: readonly (readonly [outcome: Outcome, text: string])[] = [
  ["late", "answered later"],
  ["refused", "refused with 429 or 503"],
  ["error", "answered with another status"],
  ["cut", "cut off"],
  ["reset", "reset"],
  ["timeout", `not answered in ${ANSWER_MS_MAX / 1000} s`],
  ["closed", "sent as the gateway closed the connection"],
];

/** An open loop. */
export interface OverloadWindow {
  /** Useful answers per second. */
  readonly goodput: number;
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Not sent, since no connection was free: the audit's own bound. */
  readonly unsent: number;
  /** From sending to the answer, of all that were answered. */
  readonly tookMs: readonly number[];
  /** From schedule to sending. */
  readonly lagMs: readonly number[];
  /** The share of the time in which something waited for a processor. */
  readonly pressure: number;
}

/** All that was measured. */
export interface OverloadMeasured {
  /** Whole answers per second, in the rounds of the closed loop, and once more at the end. */
  readonly rounds: readonly number[];
  readonly afterwards: number;
  /** The audit's own, without the gateway. */
  readonly own: number;
  readonly connections: number;
  /** Why there are no more connections; "" = there are as many as were wanted. */
  readonly openingText: string;
  readonly windows: readonly OverloadWindow[];
}

/** Two rounds that follow each other are about the same. */
export function isStable(rounds: readonly number[]): boolean {
  const [one, other] = rounds.slice(-2);
  if (one === undefined || other === undefined) return false;
  return Math.max(one, other) > 0 && Math.min(one, other) >= SAME_SHARE_MIN * Math.max(one, other);
}

/** How much it can do, in requests per second. */
export function kneeOf(rounds: readonly number[]): number {
  const last = rounds.slice(-2);
  return last.reduce((sum, rate) => sum + rate, 0) / Math.max(1, last.length);
}

/** The audit cannot ask for twice as many. */
export function isTooFast(knee: number, own: number): boolean {
  return 2 * knee > OWN_SHARE_MAX * own;
}

/** The limit holds. */
export function isHeld({ goodput }: OverloadWindow, knee: number): boolean {
  return goodput >= GOODPUT_SHARE_MIN * knee;
}

/** What the measured rates say. */
export function judgeOverload(measured: OverloadMeasured): Finding {
  const { rounds, own, windows, connections, openingText, afterwards } = measured;
  const knee = kneeOf(rounds);
  const parts = {
    limit: `at twice its capacity at least ${
      100 * GOODPUT_SHARE_MIN
    } % of it, each within ${USEFUL_MS_MAX} ms`,
    direct: `${own.toFixed(0)} requests/s`,
    mend:
      "Bound what waits, and refuse the rest at once with 429 or 503: a queue without bound answers nobody in time.",
  };
  const roundsText = rounds.map((rate) => rate.toFixed(0)).join(", ");
  if (!isStable(rounds)) {
    return finding("overload", {
      ...parts,
      verdict: "void",
      measured: Math.max(...rounds) === 0
        ? "not tried: no request was answered"
        : `not tried: how much it can do was another number each time, ${roundsText} requests/s`,
    });
  }
  if (isTooFast(knee, own)) {
    return finding("overload", {
      ...parts,
      // No failure, and nothing that another run would tell: the gateway keeps up with the audit.
      verdict: "note",
      measured: `not tried: it does ${knee.toFixed(0)} requests/s, and the audit, which does ${
        own.toFixed(0)
      } without it, cannot ask for twice as many`,
      mend: "Find its limit with weir load, from a machine of its own.",
    });
  }
  const best = windows.reduce((one, other) => other.goodput > one.goodput ? other : one);
  // The rounds differ by a fifth at most, and so may what was measured later.
  const isSame = afterwards >= SAME_SHARE_MIN * knee;
  const least = Math.min(...rounds.slice(-2), isSame ? afterwards : knee);
  const share = best.goodput / knee;
  const isKept = best.goodput >= GOODPUT_SHARE_MIN * least;
  const { good, ...others } = best.outcomes;
  const sent = good + Object.values(others).reduce((sum, count) => sum + count, 0);
  const lost = sent - good - others.refused - others.closed;
  const why = hostLimit(measured, best);
  const isFaster = Math.max(best.goodput, afterwards) > FASTER_SHARE * knee;
  const isLost = lost > LOST_SHARE_NOTED * sent;
  // Slower with many at once, and nobody waits too long or goes without: no collapse.
  const isSlower = !isKept && !isLost && share >= SLOWER_SHARE_MIN;
  const verdict: Verdict = isKept && !isLost && !isFaster
    ? "pass"
    : isKept && isFaster || why !== ""
    ? "void"
    : isKept || isSlower
    ? "note"
    : "fail";
  const told = OUTCOMES.filter(([outcome]) => best.outcomes[outcome] > 0)
    .map(([outcome, text]) => `${best.outcomes[outcome]} ${text}`);
  return finding("overload", {
    ...parts,
    verdict,
    measured: [
      `${best.goodput.toFixed(0)} of ${knee.toFixed(0)} requests/s (${
        (100 * share).toFixed(0)
      } %) when asked for ${(2 * knee).toFixed(0)} on ${counted(connections, "connection")}`,
      `of ${sent} sent ${good} answered in time${told.map((text) => `, ${text}`).join("")}`,
      best.unsent === 0
        ? ""
        : `${best.unsent} not sent, as no connection was free (no failure of the gateway's)`,
      openingText,
      afterwards > HURT_SHARE * knee ? "" : `${afterwards.toFixed(0)} requests/s afterwards`,
      verdict !== "void"
        ? ""
        : isFaster && isKept
        ? `the machine got faster meanwhile, so that this was not twice as much: ${
          afterwards.toFixed(0)
        } requests/s at the end`
        : why,
    ].filter((text) => text !== "").join("; "),
    value: 100 * share,
    unit: "%",
    evidence: [
      `capacity in rounds of ${CONCURRENCY} at once: ${roundsText} requests/s, at the end ${
        afterwards.toFixed(0)
      }`,
      ...windows.map(({ goodput, tookMs, lagMs, pressure }, i) =>
        `window ${i + 1}: ${goodput.toFixed(0)} useful answers/s, from sending to answer p50 ${
          ms(quantile(tookMs, 0.5))
        }, p99 ${ms(quantile(tookMs, 0.99))}; from schedule to sending p50 ${
          ms(quantile(lagMs, 0.5))
        }, p90 ${ms(quantile(lagMs, 0.9))}; something waited for a processor in ${
          (100 * pressure).toFixed(0)
        } % of the time`
      ),
    ],
    mend: verdict === "note"
      ? "Refuse what is too much with 429 or 503, at once: clients wait for the rest, or do not know what became of it."
      : parts.mend,
  });
}

/** Why a failure proves nothing; "" = it does. */
function hostLimit(
  { rounds, afterwards, connections }: OverloadMeasured,
  { lagMs, pressure }: OverloadWindow,
): string {
  if (connections < CONCURRENCY) return "there are too few connections to ask for more";
  if (quantile(lagMs, 0.9) > LAG_MS_MAX) return "the audit itself was too late to ask";
  if (pressure > PRESSURE_MAX) {
    return `something waited for a processor in ${(100 * pressure).toFixed(0)} % of the time`;
  }
  // One that hardly answers any more has come to harm, whatever the machine does.
  if (afterwards < SAME_SHARE_MIN * kneeOf(rounds) && afterwards > HURT_SHARE * kneeOf(rounds)) {
    return `the machine got slower meanwhile, ${afterwards.toFixed(0)} requests/s at the end`;
  }
  return "";
}
