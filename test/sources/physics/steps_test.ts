import { describe, expect, test } from "bun:test";
import { LATENCY_PROFILES } from "../../../src/config/latency.ts";
import { AppError } from "../../../src/core/errors.ts";
import { Tally, tallyBytes } from "../../../src/lib/tally.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import {
  batchOf,
  type StepJob,
  type StepRule,
  StepScheduler,
} from "../../../src/sources/physics/steps.ts";
import { PhysicsRig, type ScriptAnswer } from "./rig.ts";

const PROFILE = LATENCY_PROFILES["steps-256"];
const ROWS = { prompts: 0, tokens: 1 };

/** Tokens in `seconds` of `jobs` requests that never end, on `workers` engines that share a batch. */
function throughput(
  jobs: number,
  { gapMs = 5, rule = PROFILE, workers = 1, seconds = 10 }: {
    readonly gapMs?: number;
    readonly rule?: StepRule;
    readonly workers?: number;
    readonly seconds?: number;
  } = {},
): number {
  let nowMs = 0;
  const bytes = new Uint8Array(tallyBytes(2));
  const engines = Array.from({ length: workers }, (_, own) => {
    const wheel = new Wheel(() => nowMs, () => {});
    return { wheel, steps: new StepScheduler(rule, wheel, new Tally(bytes, own), ROWS) };
  });
  let tokens = 0;
  let isCounting = false;
  for (let i = 0; i < jobs; i++) {
    const job: StepJob = {
      promptTokens: 1,
      onBegun() {},
      onRead: (atMs) => atMs + i % gapMs,
      onToken(wantedMs, beginMs) {
        if (isCounting) tokens++;
        return wantedMs + Math.max(0, beginMs - wantedMs - rule.step_ms) + gapMs;
      },
    };
    expect(engines[i % workers]!.steps.add(job)).toBeDefined();
  }
  const pass = (ms: number) => {
    for (const endMs = nowMs + ms; nowMs < endMs;) {
      nowMs++;
      for (const { wheel } of engines) wheel.turn();
    }
  };
  pass(2000); // all prompts are read
  isCounting = true;
  pass(seconds * 1000);
  return tokens / seconds;
}

function within(measured: number, formula: number): void {
  expect(Math.abs(measured / formula - 1)).toBeLessThan(0.05);
}

describe("throughput is that of the formula, within 5 %", () => {
  for (const jobs of [1, 64, 255]) {
    test(`${jobs} requests below the knee: each has its own speed`, () => {
      within(throughput(jobs), jobs * 200);
      within(throughput(jobs, { gapMs: 7 }), jobs * 1000 / 7);
    });
  }
  test("at the knee: batch_max / step_ms", () => within(throughput(256), 51_200));
  test("behind it, before the threshold: the same", () => within(throughput(380), 51_200));
  for (const jobs of [450, 512, 640, 800, 1000]) {
    test(`goodput of ${jobs} requests: the batch has collapsed`, () => {
      const overload = Math.max(0, jobs / 256 - 1.5);
      const batch = 256 * (1 - Math.min(0.7, overload * 0.5));
      within(throughput(jobs), batch / 0.005);
      expect(batchOf(PROFILE, jobs)).toBeCloseTo(batch, 9);
    });
  }
  test("two workers fill one batch", () => {
    within(throughput(256, { workers: 2 }), 51_200);
    within(throughput(512, { workers: 2 }), 38_400);
    within(throughput(101, { workers: 2 }), 101 * 200);
  });
  test("a small batch and a long step", () => {
    const rule = { ...PROFILE, batch_max: 3, step_ms: 12.5, collapse_floor: 1 };
    within(throughput(50, { rule }), 240);
    within(throughput(2, { rule, gapMs: 25 }), 80);
  });
  test("batch is 1 at least", () => {
    expect(batchOf({ ...PROFILE, batch_max: 2, collapse_floor: 0 }, 1000)).toBe(1);
  });
});

/** What of an answer is known, once time has passed. */
async function settled(answer: unknown): Promise<ScriptAnswer> {
  return await (answer as Promise<ScriptAnswer>);
}

describe("an answer that is said step by step", () => {
  test("has its first token behind its prompt's chunks, and a token each step", async () => {
    const rig = new PhysicsRig({ profile: { ...PROFILE, first_token_ms: 0 } });
    rig.nowMs = 2;
    const messages = [{ role: "user", content: "word ".repeat(1200) }];
    const { answer, call } = rig.begin({ messages });
    rig.pass(30);
    const { schedule } = await settled(answer);
    // 1207 tokens are 3 chunks, in the steps from 5, 10 and 15 ms on; then the token of the next one.
    expect(schedule!.dueMs[0]).toBe(25 - 2);
    expect(call.drawn!.queueMs).toBe(5 - 2);
    expect([...schedule!.dueMs].slice(0, schedule!.known)).toEqual([23, 28, 33]);
    rig.pass(100);
    expect([...schedule!.dueMs]).toEqual([23, 28, 33, 38, 43]);
    expect(rig.wheel.waiting).toBe(0);
  });

  test("has the first token not before it is drawn", async () => {
    const rig = new PhysicsRig({ profile: { ...PROFILE, first_token_ms: 103 } });
    const { answer } = rig.begin({ messages: [] });
    rig.pass(120);
    expect((await settled(answer)).schedule!.dueMs[0]).toBe(105);
  });

  test("rounding to steps does not add up", async () => {
    const rig = new PhysicsRig({
      profile: { ...PROFILE, tokens_per_s: 1000 / 7 },
      mock: { lorem: 1000 },
    });
    const { answer } = rig.begin({ messages: [] });
    rig.pass(8000);
    const { schedule } = await settled(answer);
    expect(schedule!.known).toBe(schedule!.dueMs.length);
    expect(schedule!.dueMs.at(-1)! - schedule!.dueMs[0]! - 7000).toBeWithin(-5, 5.001);
  });

  test("a loop that was stalled gives every step its own time", async () => {
    const rig = new PhysicsRig({ profile: PROFILE });
    const { answer } = rig.begin({ messages: [] });
    rig.pass(21);
    rig.nowMs += 500;
    rig.wheel.turn();
    const { schedule } = await settled(answer);
    const due = [...schedule!.dueMs];
    expect(due.slice(1).map((dueMs, i) => dueMs - due[i]!)).toEqual([5, 5, 5, 5]);
  });

  test("who leaves makes room, before and behind the first token", async () => {
    const rig = new PhysicsRig({ profile: PROFILE, mock: { lorem: 1000 } });
    const gone = new AppError("unavailable", "left");
    const early = rig.begin({ messages: [] });
    early.signal.abort(gone);
    await expect(settled(early.answer)).rejects.toBe(gone);
    const late = rig.begin({ messages: [] });
    rig.pass(100);
    const { schedule } = await settled(late.answer);
    late.signal.abort(gone);
    const { known } = schedule!;
    rig.pass(100);
    expect(schedule!.known).toBe(known);
    expect(rig.wheel.waiting).toBe(0);
    for (const row of [0, 1, 2]) expect(rig.tally.total(row)).toBe(0);
  });

  test("more prompts than queue_max are refused as by an overloaded engine", () => {
    const rig = new PhysicsRig({ profile: { ...PROFILE, queue_max: 2 } });
    rig.begin({ messages: [] });
    rig.begin({ messages: [] });
    expect(() => rig.begin({ messages: [] })).toThrow(/overloaded/);
    rig.pass(10);
    expect(rig.begin({ messages: [] }).answer).toBeInstanceOf(Promise);
  });
});
