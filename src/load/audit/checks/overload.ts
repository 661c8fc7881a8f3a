/**
 * What is left of a gateway that is asked twice as much as it can do.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { ms, quantile } from "../numbers.ts";
import { type Check, finding, KeptConnection, type Rig, type Way } from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { answerWhole } from "../stream.ts";

/** Of the closed loop that finds how much it can do. */
const CONCURRENCY = 16;
const CLOSED_MS = 1000;
const OPEN_MS = 2500;
/** An answer that is later is of no use any more. */
const USEFUL_MS_MAX = 1000;
const GOODPUT_SHARE_MIN = 0.9;
/** Twice the gateway's rate must be so much below what this process can do by itself. */
const OWN_SHARE_MAX = 0.7;
/** Requests under way at most, in an open loop. */
const OPEN_MAX = 2000;
/** A request that was sent so much later than it was due was asked by a machine that was too late. */
const LAG_MS_MAX = 50;

/** Goodput at twice the capacity. */
export const overload: Check = {
  name: "overload",
  title: "Does it still do its work when it is asked for twice as much?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    // The better one of two: a machine that was busy once makes no gateway slow.
    const rates = { direct: 0, through: 0 };
    for (const way of ["direct", "through", "direct", "through"] as const) {
      rates[way] = Math.max(rates[way], await closedLoop(rig, way));
    }
    const { direct: own, through: knee } = rates;
    const limit = `at twice its capacity at least ${
      100 * GOODPUT_SHARE_MIN
    } % of it, each within ${USEFUL_MS_MAX} ms`;
    const mend =
      "Bound what waits, and refuse the rest at once with 429 or 503: a queue without bound answers nobody in time.";
    if (knee === 0 || 2 * knee > OWN_SHARE_MAX * own) {
      return [finding("overload", {
        // No failure, and nothing that another run would tell: the gateway keeps up with the audit.
        verdict: knee === 0 ? "void" : "note",
        limit,
        measured: `not tried: it does ${knee.toFixed(0)} requests/s, and the audit, which does ${
          own.toFixed(0)
        } without it, cannot ask for twice as many`,
        direct: `${own.toFixed(0)} requests/s`,
        mend: "Find its limit with weir load, from a machine of its own.",
      })];
    }
    const { goodput, tookMs, lagMs, refused, failed, asked } = await openLoop(rig, 2 * knee);
    const share = goodput / knee;
    return [finding("overload", {
      verdict: share >= GOODPUT_SHARE_MIN
        ? "pass"
        : quantile(lagMs, 0.9) > LAG_MS_MAX
        ? "void"
        : "fail",
      limit,
      measured: `${goodput.toFixed(0)} of ${knee.toFixed(0)} requests/s (${
        (100 * share).toFixed(0)
      } %) when asked for ${
        (2 * knee).toFixed(0)
      }; ${refused} refused, ${failed} failed of ${asked}`,
      direct: `${own.toFixed(0)} requests/s`,
      value: 100 * share,
      unit: "%",
      evidence: [
        `from schedule to answer: p50 ${ms(quantile(tookMs, 0.5))}, p99 ${
          ms(quantile(tookMs, 0.99))
        }, the last ${ms(tookMs.at(-1) ?? NaN)}`,
        `from schedule to the audit's own sending: p50 ${ms(quantile(lagMs, 0.5))}, p90 ${
          ms(quantile(lagMs, 0.9))
        }`,
      ],
      mend,
    })];
  },
};

const script = (attempt: Attempt, mark: string) => answerWhole(attempt, mark, 8);

/** Whole answers per second. */
async function closedLoop(rig: Rig, way: Way): Promise<number> {
  const startMs = performance.now();
  const endMs = startMs + CLOSED_MS;
  let done = 0;
  await Promise.all(Array.from({ length: CONCURRENCY }, async () => {
    const kept = new KeptConnection(rig, way);
    while (performance.now() < endMs) {
      const { mark, exchange } = await rig.tell(way, script, {
        connection: await kept.get(),
        isKept: false,
      });
      rig.upstream.forget(mark);
      if (exchange.status === 200 && exchange.end === "whole") done++;
      else await rig.sleep(5);
    }
    kept.close();
  }));
  return done / ((performance.now() - startMs) / 1000);
}

async function openLoop(rig: Rig, rate: number) {
  const idle: KeptConnection[] = [];
  const tookMs: number[] = [];
  const lagMs: number[] = [];
  const count = Math.round(rate * OPEN_MS / 1000);
  let good = 0;
  let refused = 0;
  let failed = 0;
  let open = 0;
  const all: Promise<void>[] = [];
  const startMs = performance.now();
  for (let i = 0; i < count; i++) {
    const dueMs = startMs + i * 1000 / rate;
    while (performance.now() < dueMs) await rig.sleep(1);
    lagMs.push(performance.now() - dueMs);
    if (open >= OPEN_MAX) {
      failed++;
      continue;
    }
    open++;
    all.push((async () => {
      const kept = idle.pop() ?? new KeptConnection(rig, "through");
      try {
        const { mark, exchange } = await rig.tell("through", script, {
          connection: await kept.get(),
          isKept: false,
          timeoutMs: 5000,
        });
        rig.upstream.forget(mark);
        const took = performance.now() - dueMs;
        if (exchange.status === 429 || exchange.status === 503) refused++;
        else if (exchange.status !== 200 || exchange.end !== "whole") failed++;
        else {
          tookMs.push(took);
          if (took <= USEFUL_MS_MAX) good++;
        }
      } catch {
        failed++;
      }
      idle.push(kept);
      open--;
    })());
  }
  await Promise.all(all);
  const tookS = Math.max(OPEN_MS, performance.now() - startMs) / 1000;
  for (const kept of idle) kept.close();
  return { goodput: good / tookS, tookMs, lagMs, refused, failed, asked: count };
}
