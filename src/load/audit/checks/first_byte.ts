/**
 * How much later the first event comes for the gateway, the end of an answer, and one that is no
 * stream.
 *
 * @module
 */

import type { Finding, Verdict } from "../finding.ts";
import { counted } from "../../../lib/counted.ts";
import { median, ms, quantile } from "../numbers.ts";
import {
  type Asked,
  type Check,
  finding,
  isBeyondMachine,
  isRule,
  KeptConnection,
  type Rig,
  type Way,
} from "../rig.ts";
import type { Attempt } from "../scripted_upstream.ts";
import {
  chunk,
  completionJson,
  DONE,
  endBody,
  finishEvent,
  jsonAnswer,
  roleEvent,
  streamHead,
  textEvent,
} from "../stream.ts";

/** Connections of each way, used in turn: a gateway of several processes shares them out. */
const CONNECTIONS = 8;
/** Answers of each way that are judged, and that are tried to get them. */
const SAMPLES = 16 * CONNECTIONS;
const TRIES_MAX = 250;
/** So many are enough once this time is over; once twice that is, so many with the machine late are, too. */
const SAMPLES_MIN = SAMPLES / 3;
const MEASURED_MS = 10_000;
/** Of each way, before any is judged: code is compiled, connections are opened. */
const WARM_UP = CONNECTIONS;
/** Parts of the audit in which a delay must show: one may be the machine's. */
const ROUNDS = 3;
const P50_MS_MAX = 1;
const P99_MS_MAX = 5;
/** Of what a gateway may read to its end: a request, an answer that is no stream. From the first on it is told. */
const WHOLE_P50_MS_NOTED = 1;
const WHOLE_P50_MS_MAX = 5;
/** Of one connection, on a calm machine and on any: fewer may all be late by chance. */
const OWN_SAMPLES_MIN = 8;
const OWN_SAMPLES_BUSY_MIN = 12;
/** So many of them may be as fast as others, on a calm machine. */
const OWN_FAST_SHARE = 0.25;
/** What happened while the machine was later than this is not judged. */
export const MACHINE_MS_MAX = 1;

/** Two answers on one connection, a stream and one that is none. */
export interface Sample {
  /** From the first event's write to its read. */
  readonly downMs: number;
  /** From the request's write to its arrival. */
  readonly upMs: number;
  /** From the write of the last events, and of the end behind them, to the end of the answer. */
  readonly endMs: number;
  /** From the write of an answer that is no stream to its end. */
  readonly jsonMs: number;
  /** The number of the client's connection. */
  readonly connection: number;
  /** True when the machine itself was late meanwhile. */
  readonly isDisturbed: boolean;
  readonly lines: readonly string[];
}

/** What was measured: every answer, and whether other work waited for the processors meanwhile. */
export interface FirstBytes {
  readonly samples: Readonly<Record<Way, readonly Sample[]>>;
  readonly isBusy: boolean;
}

/** Added time to the first event, to the end, to whole answers, and to the request on its way up. */
export const firstByte: Check = {
  name: "first-byte",
  title: "How much later does the first event come, and the end?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const samples: Record<Way, Sample[]> = { direct: [], through: [] };
    const kept = Array.from({ length: CONNECTIONS }, () => ({
      direct: new KeptConnection(rig, "direct"),
      through: new KeptConnection(rig, "through"),
    }));
    const startMs = performance.now();
    let calm = 0;
    for (let i = 0; i < TRIES_MAX && calm < SAMPLES; i++) {
      const tookMs = performance.now() - startMs;
      const count = tookMs > 2 * MEASURED_MS ? samples.through.length : calm;
      if (tookMs > MEASURED_MS && count >= SAMPLES_MIN) break;
      const connection = i % CONNECTIONS;
      for (const way of ["direct", "through"] as const) {
        const sample = await take(rig, way, kept[connection]![way], connection);
        if (sample === undefined || i < WARM_UP) continue;
        samples[way].push(sample);
        if (way === "through" && !sample.isDisturbed) calm++;
      }
    }
    for (const { direct, through } of kept) {
      direct.close();
      through.close();
    }
    const measured = { samples, isBusy: rig.watch.isBusy(startMs, performance.now()) };
    return firstByteFindings(measured);
  },
};

async function take(
  rig: Rig,
  way: Way,
  kept: KeptConnection,
  connection: number,
): Promise<Sample | undefined> {
  const fromMs = performance.now();
  const stream = await rig.tell(way, answer, { connection: await kept.get(), timeoutMs: 5000 });
  const json = await rig.tell(way, answerJson, {
    connection: await kept.get(),
    timeoutMs: 5000,
    body: rig.jsonBody,
  });
  const { exchange, expectation: { attempts: [attempt] } } = stream;
  const first = exchange.events()[0];
  const write = attempt?.writes[0];
  const endMs = untilEnd(stream);
  const jsonMs = untilEnd(json);
  if (
    attempt === undefined || first === undefined || write === undefined || endMs === undefined ||
    jsonMs === undefined
  ) return undefined;
  const { sentMs } = exchange;
  return {
    downMs: first.atMs - write.atMs,
    upMs: attempt.arrivedMs - sentMs,
    endMs,
    jsonMs,
    connection,
    isDisturbed: rig.watch.worst(fromMs, performance.now()) > MACHINE_MS_MAX,
    lines: [
      `connection ${connection + 1}: sent +0, at the upstream +${
        ms(attempt.arrivedMs - sentMs)
      }, first event written +${ms(write.atMs - sentMs)}, read +${
        ms(first.atMs - sentMs)
      }, its end ${ms(endMs)} after it was written; the end of a JSON answer ${ms(jsonMs)} after`,
    ],
  };
}

/** From the last write to the end of the answer; undefined = it has not ended whole. */
function untilEnd({ exchange, expectation }: Asked): number | undefined {
  const wroteMs = expectation.attempts[0]?.writes.at(-1)?.atMs;
  return exchange.end !== "whole" || wroteMs === undefined ? undefined : exchange.endMs! - wroteMs;
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

async function answerJson(attempt: Attempt, mark: string): Promise<void> {
  await attempt.pause(3);
  attempt.write(jsonAnswer(200, "OK", completionJson(mark, "short")));
}

/** A time of an answer, in milliseconds, and how it is judged. */
interface Time {
  readonly part?: string;
  readonly valueOf: (sample: Sample) => number;
  readonly p50Max: number;
  /** Undefined = single ones may be later. */
  readonly p99Max?: number;
  /** A median from which on it is told; `p50Max` unless given. */
  readonly p50Noted?: number;
  readonly limit: string;
  readonly mend: string;
}

const EVENT_LIMIT = `p50 at most ${P50_MS_MAX} ms, p99 at most ${P99_MS_MAX} ms`;
const WHOLE_LIMIT = `${WHOLE_P50_MS_MAX} ms (p50); from ${WHOLE_P50_MS_NOTED} ms on it is told`;

const TIMES: readonly Time[] = [
  {
    valueOf: ({ downMs }) => downMs,
    p50Max: P50_MS_MAX,
    p99Max: P99_MS_MAX,
    limit: EVENT_LIMIT,
    mend:
      "Pass the first event on the moment it is read: look for a sleep before the first chunk, and for TCP_NODELAY on both sides.",
  },
  {
    part: "way-up",
    valueOf: ({ upMs }) => upMs,
    p50Max: WHOLE_P50_MS_MAX,
    p50Noted: WHOLE_P50_MS_NOTED,
    limit: `the request is at the upstream within ${WHOLE_LIMIT}`,
    mend:
      "All of it is added to the time to the first token: look for what each request waits for, such as a lookup, a log or a new connection.",
  },
  {
    part: "end",
    valueOf: ({ endMs }) => endMs,
    p50Max: P50_MS_MAX,
    p99Max: P99_MS_MAX,
    limit: EVENT_LIMIT,
    mend:
      "Pass [DONE] and the end of the body on as they are read, and count and log behind that: clients wait for both.",
  },
  {
    part: "json",
    valueOf: ({ jsonMs }) => jsonMs,
    p50Max: WHOLE_P50_MS_MAX,
    p50Noted: WHOLE_P50_MS_NOTED,
    limit: `an answer that is no stream ends within ${WHOLE_LIMIT}`,
    mend: "Pass it on as it is read, or look for what is done with it before that.",
  },
];

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
  /** The medians of connections that are slower than the others, and over the limit. */
  readonly slower: readonly number[];
}

function addedBy({ samples, isBusy }: FirstBytes, { valueOf, p50Max }: Time): Added {
  const calmOf = (way: Way) => samples[way].filter(({ isDisturbed }) => !isDisturbed);
  const calmDirect = calmOf("direct").map(valueOf);
  const directMs = calmDirect.length === 0 ? samples.direct.map(valueOf) : calmDirect;
  const floorMs = median(directMs) || 0;
  const addedOf = (sample: Sample) => valueOf(sample) - floorMs;
  const calmThrough = calmOf("through");
  const all = samples.through.map(addedOf);
  const calm = calmThrough.map(addedOf);
  const isThin = Math.min(calm.length, calmDirect.length) < SAMPLES_MIN;
  const isJudged = !isThin && !isBusy && all.length - calm.length <= calm.length;
  const rounds = inRounds(calm, ROUNDS).map((round) => median(round) > p50Max);
  return {
    all,
    calm,
    floorMs,
    directMs,
    isThin,
    isSlow: isJudged && isRule(rounds),
    isAlways: all.length >= SAMPLES_MIN && Math.min(...all) > p50Max,
    slower: isJudged
      ? slowerIn(calmThrough, addedOf, p50Max, OWN_SAMPLES_MIN, OWN_FAST_SHARE)
      // Whatever the machine does, it does to all connections.
      : slowerIn(samples.through, addedOf, Math.max(p50Max, P99_MS_MAX), OWN_SAMPLES_BUSY_MIN, 0),
  };
}

/**
 * The medians of connections whose answers are over the limit and slower than half of the others', all
 * of them but for a `share`; fewer than `countMin` say nothing.
 */
function slowerIn(
  samples: readonly Sample[],
  addedOf: (sample: Sample) => number,
  limitMs: number,
  countMin: number,
  share: number,
): readonly number[] {
  const connections = Map.groupBy(samples, ({ connection }) => connection);
  return [...connections].flatMap(([connection, own]) => {
    const ownMs = own.map(addedOf);
    const others = samples.filter((sample) => sample.connection !== connection);
    const isSlower = own.length >= countMin &&
      quantile(ownMs, share) > Math.max(limitMs, median(others.map(addedOf)));
    return isSlower ? [median(ownMs)] : [];
  });
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

/** What is found of each time. */
export function firstByteFindings(measured: FirstBytes): readonly Finding[] {
  return TIMES.map((time) => timeFinding(measured, time));
}

function timeFinding(measured: FirstBytes, time: Time): Finding {
  const { part, valueOf, p50Max, p99Max = Infinity, p50Noted = p50Max, limit, mend } = time;
  const added = addedBy(measured, time);
  const { all, calm, isThin } = added;
  const over = calm.filter((value) => value > p99Max).length;
  const isOftenLate = !isThin && !measured.isBusy &&
    isBeyondMachine(over, all.length - calm.length) &&
    isRule(inRounds(calm, ROUNDS).map((round) => round.some((value) => value > p99Max)));
  const p50 = quantile(isThin ? all : calm, 0.5);
  const isOver = p50 > p50Max || quantile(calm, 0.99) > p99Max;
  const verdict = verdictOf(added, isOftenLate, isOver);
  const worst = [...measured.samples.through].sort((one, other) => valueOf(other) - valueOf(one));
  return finding("first-byte", {
    ...(part === undefined ? {} : { part }),
    verdict: verdict === "pass" && p50 > p50Noted ? "note" : verdict,
    limit,
    measured: measuredText(added, measured.isBusy && isOver),
    direct: `p50 ${ms(added.floorMs)}, p99 ${ms(quantile(added.directMs, 0.99))}`,
    value: p50,
    unit: "ms",
    evidence: worst.slice(0, 3).flatMap(({ lines }) => lines),
    mend,
  });
}

function verdictOf(
  { isAlways, isThin, isSlow, slower }: Added,
  isOften: boolean,
  isOver: boolean,
): Verdict {
  if (isAlways || slower.length > 0) return "fail";
  if (isThin) return "void";
  if (isSlow || isOften) return "fail";
  return isOver ? "void" : "pass";
}

function measuredText({ all, calm, isThin, isAlways, slower }: Added, isExcused: boolean): string {
  const shown = isThin ? all : calm;
  const text = `p50 ${ms(quantile(shown, 0.5))}, p99 ${ms(quantile(shown, 0.99))} of ${
    counted(shown.length, "answer")
  }`;
  const late = all.length - calm.length;
  if (isAlways) return `${text}; ${ms(Math.min(...all))} or more in each`;
  if (slower.length > 0) {
    return `${text}; on ${slower.length} of ${CONNECTIONS} connections p50 ${
      ms(median(slower))
    }, which the others do not have`;
  }
  if (isThin) return `${text}, in ${late} of which the machine itself was late`;
  return isExcused ? `${text}; other work waited for the processors meanwhile` : text;
}
