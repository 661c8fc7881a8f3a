import { describe, expect, test } from "bun:test";
import { AppError } from "../../../src/core/errors.ts";
import {
  goDuration,
  limitReached,
  outOfOrder,
  rateLimitFields,
  withRateLimits,
} from "../../../src/dialects/openai/rate_limits.ts";

const NOTE = {
  atMs: 0,
  foretoldTokens: 0,
  requests: { limit: 10_000, remaining: 9993, resetMs: 59_369 },
  tokens: { limit: 200_000, remaining: 199_945, resetMs: 16 },
};

describe("goDuration()", () => {
  test.each([
    [0, "0s"],
    [1, "1ms"],
    [16, "16ms"],
    [120, "120ms"],
    [999, "999ms"],
    [1000, "1s"],
    [8640, "8.64s"],
    [16_601, "16.601s"],
    [59_369, "59.369s"],
    [60_000, "1m0s"],
    [73_588, "1m13.588s"],
    [127_930, "2m7.93s"],
    [360_000, "6m0s"],
    [3_600_000, "1h0m0s"],
    [86_399_001, "23h59m59.001s"],
    [86_400_000, "24h0m0s"],
  ])("%i ms is %s", (ms, text) => expect(goDuration(ms)).toBe(text));
});

describe("rateLimitFields()", () => {
  test("tells all six together, and nothing of what is not limited", () => {
    expect(Object.entries(rateLimitFields(NOTE))).toEqual([
      ["x-ratelimit-limit-requests", "10000"],
      ["x-ratelimit-limit-tokens", "200000"],
      ["x-ratelimit-remaining-requests", "9993"],
      ["x-ratelimit-remaining-tokens", "199945"],
      ["x-ratelimit-reset-requests", "59.369s"],
      ["x-ratelimit-reset-tokens", "16ms"],
    ]);
    const { tokens } = NOTE;
    expect(Object.keys(rateLimitFields({ atMs: 0, foretoldTokens: 0, tokens }))).toEqual([
      "x-ratelimit-limit-tokens",
      "x-ratelimit-remaining-tokens",
      "x-ratelimit-reset-tokens",
    ]);
  });
});

describe("limitReached()", () => {
  test("says the wait in the sentence, in whole seconds and in milliseconds", () => {
    const error = limitReached({
      by: "tokens_per_min",
      model: "gpt-4.1",
      limit: 30_000,
      used: 28_039,
      requested: 3906,
      waitMs: 3890,
    });
    expect(error.message).toBe(
      "Rate limit reached for gpt-4.1 on tokens per min (TPM): Limit 30000, Used 28039, Requested " +
        "3906. Please try again in 3.89s.",
    );
    expect([error.status, error.code, error.headers]).toEqual([429, "limit_tokens", {
      "retry-after": "4",
      "retry-after-ms": "3890",
    }]);
  });

  test.each(
    [
      ["requests_per_min", "requests per min (RPM)", "limit_requests"],
      ["requests_per_day", "requests per day (RPD)", "limit_requests"],
      ["tokens_per_day", "tokens per day (TPD)", "limit_tokens"],
      ["concurrent_max", "concurrent requests", "limit_requests"],
    ] as const,
  )("%s", (by, words, code) => {
    const reached = { by, model: "m", limit: 3, used: 3, requested: 1 };
    const timed = limitReached({ ...reached, waitMs: 86 });
    expect(timed.message).toContain(` for m on ${words}: Limit 3, Used 3, Requested 1. `);
    expect(timed.message).toEndWith(" try again in 86ms.");
    expect(timed.code).toBe(code);
    const untimed = limitReached({ ...reached, waitMs: undefined });
    expect(untimed.message).toEndWith(" Please try again later.");
    expect(untimed.headers).toEqual({});
  });

  test("what is too large in itself tells no wait", () => {
    const error = limitReached({
      by: "tokens_per_min",
      model: "m",
      limit: 10,
      used: 0,
      requested: 11,
      waitMs: Infinity,
    });
    expect(error.message).toStartWith("Request too large for m on tokens per min (TPM): Limit 10");
    expect(error.headers).toEqual({});
  });
});

describe("withRateLimits()", () => {
  test("adds headers to errors of limits and to the status that has them, and to nothing else", () => {
    const limited = limitReached({ ...REACHED, waitMs: 5 });
    expect(withRateLimits(limited, NOTE).headers).toMatchObject({
      "x-ratelimit-remaining-requests": "9993",
      "retry-after-ms": "5",
    });
    const invalid = new AppError("param_value", "x");
    expect(withRateLimits(invalid, NOTE).headers).toEqual({});
    expect(withRateLimits(invalid, NOTE, 400).headers["x-ratelimit-reset-tokens"]).toBe("16ms");
    expect(withRateLimits(limited, undefined)).toBe(limited);
    for (const state of ["quota", "overloaded", "slow_down"] as const) {
      expect(withRateLimits(outOfOrder(state), NOTE, 400).headers).toEqual({});
    }
  });
});

const REACHED = { by: "requests_per_min", model: "m", limit: 1, used: 1, requested: 1 } as const;
