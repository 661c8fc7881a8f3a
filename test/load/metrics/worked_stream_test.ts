import { describe, expect, test } from "bun:test";
import { KIND } from "../../../src/load/record.ts";
import { aiperfValues, interChunkMs } from "../../../src/load/metrics/aiperf.ts";
import { guidellmValues } from "../../../src/load/metrics/guidellm.ts";
import { inferencePerfValues } from "../../../src/load/metrics/inference_perf.ts";
import { llmperfValues } from "../../../src/load/metrics/llmperf.ts";
import { eachGap, ownValues } from "../../../src/load/metrics/own.ts";
import { sglangValues } from "../../../src/load/metrics/sglang.ts";
import type { CountTokens, RequestValues } from "../../../src/load/metrics/values.ts";
import { vllmValues } from "../../../src/load/metrics/vllm.ts";
import { recorded } from "../recorded.ts";

const { choice, role, text, finish, usage, done } = KIND;

/** A role alone, three texts of which the last has two tokens, why it ended, the usage, `[DONE]`. */
const STREAM = recorded([
  [100, choice | role],
  [300, choice | text, "one"],
  [320, choice | text, " two"],
  [340, choice | text, " three four"],
  [341, choice | finish],
  [341.5, usage],
  [342, done],
], { usage: { promptTokens: 5, completionTokens: 4 } });

const words: CountTokens = (said) => said.split(" ").filter((word) => word !== "").length;

type Read = (record: typeof STREAM, count: CountTokens) => RequestValues;

/** tool → time to first token, "TPOT", "ITL", end to end: one identical stream, six answers. */
const TOOLS: readonly (readonly [
  string,
  Read,
  number,
  number | undefined,
  readonly number[],
  number,
])[] = [
  ["vLLM", vllmValues, 100, 80.3, [200, 20, 20, 1], 341],
  ["SGLang", sglangValues, 300, 14, [20, 20], 342],
  ["AIPerf", aiperfValues, 300, undefined, [13.3], 340],
  ["GuideLLM", guidellmValues, 300, 85, [13.3], 342],
  ["inference-perf", inferencePerfValues, 300, 13.3, [20, 20, 0], 342],
  ["LLMPerf", llmperfValues, 300, undefined, [68], 342],
];

const rounded = (value: number | undefined) =>
  value === undefined ? undefined : Math.round(10 * value) / 10;

describe("one stream by each tool's definitions", () => {
  for (const [name, read, ttftMs, tpotMs, itlMs, e2eMs] of TOOLS) {
    test(name, () => {
      const values = read(STREAM, words);
      expect(values.isSuccess).toBe(true);
      expect(rounded(values.ttftMs)).toBe(ttftMs);
      expect(rounded(values.tpotMs)).toBe(tpotMs);
      expect(values.itlMs?.map(rounded)).toEqual([...itlMs]);
      expect(rounded(values.e2eMs)).toBe(e2eMs);
      expect(values.outputTokens).toBe(4);
      expect(values.promptTokens).toBe(5);
    });
  }

  const whole = recorded([[300, choice | text | finish | usage | done, "one two three four"]], {
    endMs: 342,
    usage: { promptTokens: 5, completionTokens: 4 },
  });
  /** SGLang says the end, where it asks for no stream; GuideLLM divides it by the tokens. */
  const WHOLE: Readonly<Record<string, { readonly ttft?: number; readonly tpot?: number }>> = {
    SGLang: { ttft: 300 },
    GuideLLM: { tpot: 75 },
  };

  for (const [name, read] of TOOLS) {
    test(`${name}: an answer in one piece has an end, tokens, and no gaps`, () => {
      const { isSuccess, ttftMs, tpotMs, itlMs, e2eMs, outputTokens, more = {} } = read(
        whole,
        words,
      );
      expect([isSuccess, outputTokens]).toEqual([true, 4]);
      expect(e2eMs).toBeGreaterThanOrEqual(300);
      expect([ttftMs, tpotMs]).toEqual([WHOLE[name]?.ttft, WHOLE[name]?.tpot]);
      expect(itlMs ?? []).toEqual([]);
      const times = Object.keys(more).filter((key) => /first|second|last|per_user/.test(key));
      expect(times.map((key) => more[key])).toEqual(times.map(() => undefined));
      expect([undefined, 0]).toContain(more["request_iterations"]);
    });
  }

  test("AIPerf's inter-chunk latency is each gap", () => {
    expect(interChunkMs(STREAM)).toEqual([20, 20]);
  });

  test("inference-perf's normalized time per output token is the whole by the tokens", () => {
    expect(inferencePerfValues(STREAM, words).more?.["normalized_time_per_output_token"]).toBe(
      342 / 4,
    );
  });

  test("weir's own", () => {
    const gaps: number[] = [];
    eachGap(STREAM, (ms) => gaps.push(ms));
    expect(gaps).toEqual([20, 20]);
    expect(ownValues(STREAM, 4)).toMatchObject({
      ttftMs: 300,
      firstEventMs: 100,
      firstTextMs: 300,
      firstReasoningMs: undefined,
      tpotMs: 40 / 3,
      e2eMs: 342,
      queueMs: 0,
    });
  });

  test("weir's own counts from when the request should have been sent", () => {
    const late = recorded([[300, choice | text, "a"], [320, done]], { dueMs: 100, sentMs: 250 });
    expect(ownValues(late, 1)).toMatchObject({
      ttftMs: 200,
      e2eMs: 220,
      serviceTtftMs: 50,
      serviceE2eMs: 70,
      queueMs: 150,
      tpotMs: undefined,
    });
  });

  for (const [name, read] of TOOLS) {
    test(`${name}: what is not there is absent, and never 0`, () => {
      const refused = recorded([], { status: 503, outcome: "failed" });
      const { isSuccess, ttftMs, tpotMs, itlMs, e2eMs } = read(refused, words);
      expect(isSuccess).toBe(false);
      expect([ttftMs, tpotMs, e2eMs]).toEqual([undefined, undefined, undefined]);
      expect(itlMs ?? []).toEqual([]);
    });
  }

  test("an answer without an end mark is a success for each of them, one that broke off for none", () => {
    const events = [[100, choice | role], [300, choice | text, "one"]] as const;
    for (const isWhole of [true, false]) {
      const record = recorded(events, { outcome: "failed", isWhole });
      for (const [, read] of TOOLS) expect(read(record, words).isSuccess).toBe(isWhole);
    }
  });
});
