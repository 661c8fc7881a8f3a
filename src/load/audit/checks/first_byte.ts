/**
 * How much later the first event comes for the gateway.
 *
 * @module
 */

import type { Finding, Verdict } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { median, ms, quantile } from "../numbers.ts";
import {
  type Check,
  finding,
  isBeyondMachine,
  isRule,
  KeptConnection,
  type Rig,
  type Way,
} from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import { chunk, DONE, endBody, finishEvent, roleEvent, streamHead, textEvent } from "../stream.ts";

/** Answers of each way that are judged, and that are tried to get them. */
const SAMPLES = 100;
const TRIES_MAX = 250;
/** Of each way, before any is judged: code is compiled, connections are opened. */
const WARM_UP = 5;
/** Parts of the audit in which a delay must show: one may be the machine's. */
const ROUNDS = 3;
const P50_MS_MAX = 1;
const P99_MS_MAX = 5;
/** The request's own way, in which a gateway reads, decides and asks. From the first on it is told. */
const UP_P50_MS_NOTED = 1;
const UP_P50_MS_MAX = 5;
/** What happened while the machine was later than this is not judged. */
export const MACHINE_MS_MAX = 1;

/** One answer. */
export interface Sample {
  /** From the first event's write to its read. */
  readonly downMs: number;
  /** From the request's write to its arrival. */
  readonly upMs: number;
  /** True when the machine itself was late meanwhile. */
  readonly isDisturbed: boolean;
  readonly lines: readonly string[];
}

/** What was measured: every answer, and whether other work waited for the processors meanwhile. */
export interface FirstBytes {
  readonly samples: Readonly<Record<Way, readonly Sample[]>>;
  readonly isBusy: boolean;
}

/** Added time to the first event, and to the request on its way up. */
export const firstByte: Check = {
  name: "first-byte",
  title: "How much later does the first event come?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const samples: Record<Way, Sample[]> = { direct: [], through: [] };
    const kept = {
      direct: new KeptConnection(rig, "direct"),
      through: new KeptConnection(rig, "through"),
    };
    const startMs = performance.now();
    let calm = 0;
    for (let i = 0; i < TRIES_MAX && calm < SAMPLES; i++) {
      for (const way of ["direct", "through"] as const) {
        const sample = await take(rig, way, kept[way]);
        if (sample === undefined || i < WARM_UP) continue;
        samples[way].push(sample);
        if (way === "through" && !sample.isDisturbed) calm++;
      }
    }
    kept.direct.close();
    kept.through.close();
    const measured = { samples, isBusy: rig.watch.isBusy(startMs, performance.now()) };
    return [downFinding(measured), upFinding(measured)];
  },
};

async function take(rig: Rig, way: Way, kept: KeptConnection): Promise<Sample | undefined> {
  const fromMs = performance.now();
  const asked = await rig.tell(way, answer, { connection: await kept.get(), timeoutMs: 5000 });
  const [attempt] = asked.expectation.attempts;
  const first = asked.exchange.events()[0];
  const write = attempt?.writes[0];
  if (attempt === undefined || first === undefined || write === undefined) return undefined;
  const { sentMs } = asked.exchange;
  return {
    downMs: first.atMs - write.atMs,
    upMs: attempt.arrivedMs - sentMs,
    isDisturbed: rig.watch.worst(fromMs, performance.now()) > MACHINE_MS_MAX,
    lines: [
      `sent +0, at the upstream +${ms(attempt.arrivedMs - sentMs)}, first event written +${
        ms(write.atMs - sentMs)
      }, read +${ms(first.atMs - sentMs)}`,
    ],
  };
}

async function answer(attempt: Attempt, mark: string): Promise<void> {
  await attempt.pause(3);
  attempt.write(Buffer.concat([
    Buffer.from(streamHead()),
    chunk(roleEvent(mark) + textEvent(mark, 1)),
  ]));
  await attempt.pause(5);
  endBody(attempt, textEvent(mark, 2) + finishEvent(mark) + DONE);
}

/** What one way of the two adds, in milliseconds, and what that says. */
interface Added {
  /** Of all answers, and of those in which the machine was not late. */
  readonly all: readonly number[];
  readonly calm: readonly number[];
  readonly floorMs: number;
  readonly directMs: readonly number[];
  /** True when too few are calm. */
  readonly isThin: boolean;
  /** The median is over the limit as a rule. */
  readonly isSlow: boolean;
  /** Even the fastest of all is: a machine makes many answers late, but not each. */
  readonly isAlways: boolean;
}

function addedBy(
  { samples, isBusy }: FirstBytes,
  timeOf: (sample: Sample) => number,
  p50Max: number,
): Added {
  const calmOf = (way: Way) => samples[way].filter(({ isDisturbed }) => !isDisturbed).map(timeOf);
  const calmDirect = calmOf("direct");
  const directMs = calmDirect.length === 0 ? samples.direct.map(timeOf) : calmDirect;
  const floorMs = median(directMs) || 0;
  const all = samples.through.map((sample) => timeOf(sample) - floorMs);
  const calm = calmOf("through").map((value) => value - floorMs);
  const isThin = Math.min(calm.length, calmDirect.length) < SAMPLES / 3;
  const rounds = inRounds(calm, ROUNDS).map((round) => median(round) > p50Max);
  return {
    all,
    calm,
    floorMs,
    directMs,
    isThin,
    isSlow: !isThin && !isBusy && all.length - calm.length <= calm.length && isRule(rounds),
    isAlways: all.length >= SAMPLES / 3 && Math.min(...all) > p50Max,
  };
}

/** `values` in their order, in so many parts of about the same size. */
function inRounds<Value>(values: readonly Value[], rounds: number): readonly Value[][] {
  return Array.from(
    { length: rounds },
    (_, i) =>
      values.slice(
        Math.floor(i * values.length / rounds),
        Math.floor((i + 1) * values.length / rounds),
      ),
  );
}

/** From the write of the first event to its read. */
export function downFinding(measured: FirstBytes): Finding {
  const added = addedBy(measured, ({ downMs }) => downMs, P50_MS_MAX);
  const { all, calm, isThin } = added;
  const over = calm.filter((value) => value > P99_MS_MAX).length;
  const isOftenLate = !isThin && !measured.isBusy &&
    isBeyondMachine(over, all.length - calm.length) &&
    isRule(inRounds(calm, ROUNDS).map((round) => round.some((value) => value > P99_MS_MAX)));
  const isOver = quantile(calm, 0.5) > P50_MS_MAX || quantile(calm, 0.99) > P99_MS_MAX;
  const worst = [...measured.samples.through].sort((one, other) => other.downMs - one.downMs);
  return finding("first-byte", {
    verdict: verdictOf(added, isOftenLate, isOver),
    limit: `p50 at most ${P50_MS_MAX} ms, p99 at most ${P99_MS_MAX} ms`,
    measured: measuredText(added, measured.isBusy && isOver),
    direct: `p50 ${ms(added.floorMs)}, p99 ${ms(quantile(added.directMs, 0.99))}`,
    value: quantile(isThin ? all : calm, 0.5),
    unit: "ms",
    evidence: worst.slice(0, 3).flatMap(({ lines }) => lines),
    mend:
      "Pass the first event on the moment it is read: look for a sleep before the first chunk, and for TCP_NODELAY on both sides.",
  });
}

/** From the write of the request to its arrival. */
export function upFinding(measured: FirstBytes): Finding {
  const added = addedBy(measured, ({ upMs }) => upMs, UP_P50_MS_MAX);
  const p50 = quantile(added.isThin ? added.all : added.calm, 0.5);
  const worst = [...measured.samples.through].sort((one, other) => other.upMs - one.upMs);
  const verdict = verdictOf(added, false, p50 > UP_P50_MS_MAX);
  return finding("first-byte", {
    part: "way-up",
    verdict: verdict === "pass" && p50 > UP_P50_MS_NOTED ? "note" : verdict,
    limit:
      `the request is at the upstream within ${UP_P50_MS_MAX} ms (p50); from ${UP_P50_MS_NOTED} ms on it is told`,
    measured: measuredText(added, measured.isBusy && p50 > UP_P50_MS_MAX),
    direct: `p50 ${ms(added.floorMs)}, p99 ${ms(quantile(added.directMs, 0.99))}`,
    value: p50,
    unit: "ms",
    evidence: worst.slice(0, 3).flatMap(({ lines }) => lines),
    mend:
      "All of it is added to the time to the first token: look for what each request waits for, such as a lookup, a log or a new connection.",
  });
}

function verdictOf(
  { isAlways, isThin, isSlow }: Added,
  isOften: boolean,
  isOver: boolean,
): Verdict {
  if (isAlways) return "fail";
  if (isThin) return "void";
  if (isSlow || isOften) return "fail";
  return isOver ? "void" : "pass";
}

function measuredText({ all, calm, isThin, isAlways }: Added, isExcused: boolean): string {
  const shown = isThin ? all : calm;
  const text = `p50 ${ms(quantile(shown, 0.5))}, p99 ${ms(quantile(shown, 0.99))} of ${
    counted(shown.length, "answer")
  }`;
  const late = all.length - calm.length;
  if (isAlways) return `${text}; ${ms(Math.min(...all))} or more in each`;
  if (isThin) return `${text}, in ${late} of which the machine itself was late`;
  return isExcused ? `${text}; other work waited for the processors meanwhile` : text;
}
