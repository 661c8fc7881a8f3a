/**
 * What is left of a gateway that is asked twice as much as it can do.
 *
 * The audit's connections are opened before, few at once, and each has carried an answer: what then
 * gets none was at the gateway, and was not lost in a listen queue or in the audit itself. What the
 * audit could not send, since no connection was free, is told apart and is no failure.
 *
 * @module
 */

import type { Finding, Verdict } from "../finding.ts";
import { counted, ms, quantile } from "../numbers.ts";
import type { ClientConnection, ClientExchange } from "../probe_client.ts";
import { type Check, finding, KeptConnection, type Rig, type Way } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { answerWhole } from "../stream.ts";

/** Of the closed loop that finds how much it can do. */
const CONCURRENCY = 16;
const CLOSED_MS = 1000;
/** Rounds of it, until two that follow each other are about the same. */
const ROUNDS_MAX = 5;
const SAME_SHARE_MIN = 0.8;
const OPEN_MS = 2500;
/** A fail shows in each of them. */
const WINDOWS = 2;
/** An answer that is later is of no use any more. */
const USEFUL_MS_MAX = 1000;
const GOODPUT_SHARE_MIN = 0.9;
/** Twice the gateway's rate must be so much below what this process can do by itself. */
const OWN_SHARE_MAX = 0.7;
/** Enough for a queue without bound to make answers useless, and no more than sockets are cheap. */
const CONNECTIONS_PER_RATE = 2;
const CONNECTIONS_MIN = 32;
const CONNECTIONS_MAX = 512;
/** Below the listen queue of any server. */
const OPENING_MAX = 8;
/** A connection whose first request is not answered by then is one too many. */
const OPENING_MS_MAX = 2000;
const ANSWER_MS_MAX = 5000;
/** A request that was sent so much later than it was due was asked by a machine that was too late. */
const LAG_MS_MAX = 50;
/** Other work has so much of the processors that nobody's capacity is what it was. */
const PRESSURE_MAX = 0.6;
/** Afterwards no more than this is left of what it could do. */
const HURT_SHARE = 0.2;
/** A gateway that does so much more than before was not asked for twice what it can do. */
const FASTER_SHARE = 1.5;
/** Of those sent, without an answer in time and without a refusal: more is told. */
const LOST_SHARE_NOTED = 0.01;

/** How a request ended: `late` is answered, but of no use; `refused`: 429 or 503. */
type Outcome = "good" | "late" | "refused" | "error" | "cut" | "reset" | "timeout" | "closed";

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

/** Goodput at twice the capacity. */
export const overload: Check = {
  name: "overload",
  title: "Does it still do its work when it is asked for twice as much?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const rounds: number[] = [];
    let own = 0;
    while (rounds.length < ROUNDS_MAX && !isStable(rounds)) {
      own = Math.max(own, await closedLoop(rig, "direct"));
      rounds.push(await closedLoop(rig, "through"));
    }
    const knee = kneeOf(rounds);
    const nothing = { rounds, own, afterwards: knee, connections: 0, openingText: "", windows: [] };
    if (!isStable(rounds) || isTooFast(knee, own)) return [judgeOverload(nothing)];
    const { connections, text: openingText } = await openConnections(
      rig,
      Math.round(Math.min(CONNECTIONS_MAX, Math.max(CONNECTIONS_MIN, knee * CONNECTIONS_PER_RATE))),
    );
    const windows: OverloadWindow[] = [];
    const count = connections.length;
    while (windows.length < WINDOWS && !windows.some((one) => isHeld(one, knee))) {
      windows.push(await openLoop(rig, connections, 2 * knee));
    }
    for (const connection of connections) connection.leave("fin");
    const afterwards = await closedLoop(rig, "through");
    return [
      judgeOverload({ rounds, own, afterwards, connections: count, openingText, windows }),
    ];
  },
};

function isStable(rounds: readonly number[]): boolean {
  const [one, other] = rounds.slice(-2);
  if (one === undefined || other === undefined) return false;
  return Math.max(one, other) > 0 && Math.min(one, other) >= SAME_SHARE_MIN * Math.max(one, other);
}

function kneeOf(rounds: readonly number[]): number {
  const last = rounds.slice(-2);
  return last.reduce((sum, rate) => sum + rate, 0) / Math.max(1, last.length);
}

function isTooFast(knee: number, own: number): boolean {
  return 2 * knee > OWN_SHARE_MAX * own;
}

function isHeld({ goodput }: OverloadWindow, knee: number): boolean {
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
      measured:
        `not tried: how much it can do was another number each time, ${roundsText} requests/s`,
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
  const share = best.goodput / knee;
  const { good, ...others } = best.outcomes;
  const sent = good + Object.values(others).reduce((sum, count) => sum + count, 0);
  const lost = sent - good - others.refused - others.closed;
  const why = hostLimit(measured, best);
  const isFaster = Math.max(best.goodput, afterwards) > FASTER_SHARE * knee;
  const verdict: Verdict = share >= GOODPUT_SHARE_MIN && isFaster
    ? "void"
    : share >= GOODPUT_SHARE_MIN
    ? lost > LOST_SHARE_NOTED * sent ? "note" : "pass"
    : why !== ""
    ? "void"
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
      verdict !== "void"
        ? ""
        : isFaster && share >= GOODPUT_SHARE_MIN
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

const script = (attempt: Attempt, mark: string) => answerWhole(attempt, mark, 8);

/** Whole answers per second. */
async function closedLoop(rig: Rig, way: Way): Promise<number> {
  const startMs = performance.now();
  const endMs = startMs + CLOSED_MS;
  let done = 0;
  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    const kept = new KeptConnection(rig, way);
    while (performance.now() < endMs) {
      const exchange = await askOnce(rig, way, await kept.get(), ANSWER_MS_MAX);
      if (exchange.status === 200 && exchange.end === "whole") done++;
      else await rig.sleep(5);
    }
    kept.close();
  }));
  return done / ((performance.now() - startMs) / 1000);
}

async function askOnce(
  rig: Rig,
  way: Way,
  connection: ClientConnection,
  timeoutMs: number,
): Promise<ClientExchange> {
  const { mark, exchange } = await rig.tell(way, script, { connection, isKept: false, timeoutMs });
  rig.upstream.forget(mark);
  return exchange;
}

/** Up to so many connections, each of which has carried an answer. The first that fails is the last. */
async function openConnections(
  rig: Rig,
  wanted: number,
): Promise<{ readonly connections: ClientConnection[]; readonly text: string }> {
  const connections: ClientConnection[] = [];
  let text = "";
  let begun = 0;
  await Promise.all(Array.from({ length: OPENING_MAX }, async () => {
    while (text === "" && begun++ < wanted) {
      try {
        const connection = await rig.connect("through");
        const exchange = await askOnce(rig, "through", connection, OPENING_MS_MAX);
        if (exchange.status > 0 && !connection.isClosed) connections.push(connection);
        else if (exchange.status === 0) {
          text = `no more connections: the request on another one was ${
            exchange.end === "left" ? "not answered" : "closed without an answer"
          }`;
        } else text = "no more connections: the gateway closes each behind its answer";
      } catch (error) {
        rig.options.signal.throwIfAborted();
        text = `no more connections: ${(error as Error).message}`;
      }
    }
  }));
  return { connections, text };
}

async function openLoop(
  rig: Rig,
  connections: ClientConnection[],
  rate: number,
): Promise<OverloadWindow> {
  const outcomes: Record<Outcome, number> = {
    good: 0,
    late: 0,
    refused: 0,
    error: 0,
    cut: 0,
    reset: 0,
    timeout: 0,
    closed: 0,
  };
  const tookMs: number[] = [];
  const lagMs: number[] = [];
  let unsent = 0;
  let opening = 0;
  const all: Promise<void>[] = [];
  const startMs = performance.now();
  const ask = async (connection: ClientConnection) => {
    const exchange = await askOnce(rig, "through", connection, ANSWER_MS_MAX);
    const outcome = outcomeOf(exchange);
    outcomes[outcome]++;
    if (outcome === "good" || outcome === "late") tookMs.push(exchange.endMs! - exchange.sentMs);
    if (!connection.isClosed) return void connections.push(connection);
    // One for one, and few at once: no burst that a listen queue would drop.
    if (opening >= OPENING_MAX) return;
    opening++;
    try {
      connections.push(await rig.connect("through"));
    } catch {
      rig.options.signal.throwIfAborted();
    } finally {
      opening--;
    }
  };
  const count = Math.round(rate * OPEN_MS / 1000);
  for (let i = 0; i < count; i++) {
    const dueMs = startMs + i * 1000 / rate;
    while (performance.now() < dueMs) await rig.sleep(1);
    const connection = connections.pop();
    if (connection === undefined) {
      unsent++;
      continue;
    }
    lagMs.push(performance.now() - dueMs);
    const asked = ask(connection);
    asked.catch(() => {}); // awaited below, unless the audit is interrupted
    all.push(asked);
  }
  const windowMs = Math.max(OPEN_MS, performance.now() - startMs);
  const pressure = rig.watch.pressure(startMs, performance.now());
  await Promise.all(all);
  return { goodput: outcomes.good / (windowMs / 1000), outcomes, unsent, tookMs, lagMs, pressure };
}

function outcomeOf({ status, end, sentMs, endMs, headMs }: ClientExchange): Outcome {
  if (end === "left") return "timeout";
  if (status === 429 || status === 503) return "refused";
  if (end === "reset" && headMs !== undefined) return "reset";
  // Nothing came: a kept connection may have been closed just then.
  if (headMs === undefined) return end === "early" ? "closed" : "reset";
  if (end !== "whole") return "cut";
  if (status !== 200) return "error";
  return endMs! - sentMs <= USEFUL_MS_MAX ? "good" : "late";
}
