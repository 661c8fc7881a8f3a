/**
 * How much later the first event comes for the gateway.
 *
 * @module
 */

import type { Finding } from "../finding.ts";
import { median, ms, quantile } from "../numbers.ts";
import {
  type Check,
  finding,
  isBeyondMachine,
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
const P50_MS_MAX = 1;
const P99_MS_MAX = 5;
/** What happened while the machine was later than this is not judged. */
export const MACHINE_MS_MAX = 1;

interface Sample {
  /** From the first event's write to its read. */
  readonly downMs: number;
  /** From the request's write to its arrival. */
  readonly upMs: number;
  readonly lines: readonly string[];
}

/** Added time to the first event. */
export const firstByte: Check = {
  name: "first-byte",
  title: "How much later does the first event come?",
  async run(rig: Rig): Promise<readonly Finding[]> {
    const samples: Record<Way, Sample[]> = { direct: [], through: [] };
    const kept = {
      direct: new KeptConnection(rig, "direct"),
      through: new KeptConnection(rig, "through"),
    };
    const disturbed: Sample[] = [];
    for (let i = 0; i < TRIES_MAX && samples.through.length < SAMPLES; i++) {
      for (const way of ["direct", "through"] as const) {
        const fromMs = performance.now();
        const sample = await take(rig, way, kept[way]);
        if (sample === undefined || i < WARM_UP) continue;
        if (rig.watch.worst(fromMs, performance.now()) > MACHINE_MS_MAX) {
          if (way === "through") disturbed.push(sample);
        } else samples[way].push(sample);
      }
    }
    kept.direct.close();
    kept.through.close();
    return judge(samples, disturbed);
  },
};

async function take(rig: Rig, way: Way, kept: KeptConnection): Promise<Sample | undefined> {
  const asked = await rig.tell(way, answer, { connection: await kept.get(), timeoutMs: 5000 });
  const [attempt] = asked.expectation.attempts;
  const first = asked.exchange.events()[0];
  const write = attempt?.writes[0];
  if (attempt === undefined || first === undefined || write === undefined) return undefined;
  const { sentMs } = asked.exchange;
  return {
    downMs: first.atMs - write.atMs,
    upMs: attempt.arrivedMs - sentMs,
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

/** `disturbed`: answers through the gateway while the machine itself was late. */
function judge(
  samples: Readonly<Record<Way, readonly Sample[]>>,
  disturbed: readonly Sample[],
): Finding[] {
  const late = disturbed.length;
  const direct = samples.direct.map(({ downMs }) => downMs);
  const floorMs = median(direct);
  const addedMs = samples.through.map(({ downMs }) => downMs - floorMs);
  const p50 = quantile(addedMs, 0.5);
  const p99 = quantile(addedMs, 0.99);
  // A machine makes many answers late, but not the fastest of all.
  const all = [...samples.through, ...disturbed];
  const fastestMs = Math.min(...all.map(({ downMs }) => downMs)) - (floorMs || 0);
  const isAlways = all.length >= SAMPLES / 3 && fastestMs > P50_MS_MAX;
  const isSlow = p50 > P50_MS_MAX && late <= samples.through.length;
  const over = addedMs.filter((value) => value > P99_MS_MAX).length;
  const isThin = samples.through.length < SAMPLES / 3 || direct.length < SAMPLES / 3;
  const upMs = median(samples.through.map((one) => one.upMs)) -
    median(samples.direct.map((one) => one.upMs));
  const worst = [...samples.through].sort((one, other) => other.downMs - one.downMs);
  return [
    finding("first-byte", {
      verdict: isAlways
        ? "fail"
        : isThin
        ? "void"
        : isSlow || isBeyondMachine(over, late)
        ? "fail"
        : p50 > P50_MS_MAX || p99 > P99_MS_MAX
        ? "void"
        : "pass",
      limit: `p50 at most ${P50_MS_MAX} ms, p99 at most ${P99_MS_MAX} ms`,
      measured: isThin
        ? `the machine was late in ${late} of ${all.length} answers, the fastest of which was ${
          ms(fastestMs)
        } later`
        : `p50 ${ms(p50)}, p99 ${ms(p99)} of ${addedMs.length} answers; the way up adds ${
          ms(upMs)
        }`,
      direct: `p50 ${ms(floorMs)}, p99 ${ms(quantile(direct, 0.99))}`,
      value: isThin ? fastestMs : p50,
      unit: "ms",
      evidence: worst.slice(0, 3).flatMap(({ lines }) => lines),
      mend:
        "Pass the first event on the moment it is read: look for a sleep before the first chunk, and for TCP_NODELAY on both sides.",
    }),
  ];
}
