/** Fits recover what times were drawn from, and say what they cannot know. */

import { describe, expect, test } from "bun:test";
import {
  LATENCY_NUMBERS,
  LATENCY_PROFILES,
  type LatencyKey,
  latencyProblems,
} from "../../../src/config/latency.ts";
import { seeded } from "../../../src/lib/seeded.ts";
import { drawnAnswer, lucks } from "../../../src/sources/physics/drawn.ts";
import { type Fit, fitTimes, withoutRole } from "../../../src/sources/physics/fit.ts";
import { goodnessOf, verdictOf } from "../../../src/sources/physics/goodness.ts";
import type { LatencyProfile } from "../../../src/sources/physics/profile.ts";
import type { Times } from "../../../src/sources/physics/times.ts";

const { realistic } = LATENCY_PROFILES;

/** What of an answer is told. */
interface Told {
  readonly gaps?: boolean;
  readonly prompts?: "spread" | "even" | "none";
  readonly outputTokens?: number;
}

/** `count` answers of a profile, as somebody would have measured them. */
function drawn(profile: LatencyProfile, count: number, told: Told = {}): readonly Times[] {
  const { gaps = true, prompts = "spread", outputTokens = 60 } = told;
  const draw = lucks(5);
  const random = seeded(5);
  return Array.from({ length: count }, (_, at) => {
    const promptTokens = prompts === "even" ? 200 : Math.round(10 ** (1 + 3 * random()));
    const answer = drawnAnswer(profile, draw, { promptTokens, outputTokens });
    return {
      place: `drawn:${at + 1}`,
      firstTokenMs: answer.firstTokenMs,
      outputTokens,
      totalMs: answer.totalMs,
      ...(gaps ? { gapsMs: answer.gapsMs } : {}),
      ...(prompts === "none" ? {} : { promptTokens }),
    };
  });
}

function numberOf(fit: Fit, key: LatencyKey) {
  return fit.numbers.find((number) => number.key === key)!;
}

describe("a fit recovers the numbers of the profile that times were drawn from", () => {
  /** profile → how far off each number may be, as a share of it. */
  const CASES = {
    realistic: {
      first_token_ms: 0.04,
      first_token_sigma: 0.06,
      prompt_token_ms: 0.5, // 20 ms of 1 000 tokens, among 650 that vary by a third
      slow_share: 0.5,
      tokens_per_s: 0.03,
      speed_sigma: 0.1,
      gap_cv: 0.25, // nobody has said how many tokens an event has
      pause_share: 0.1,
      pause_min_ms: 0.15,
      pause_max_ms: 0.1,
      event_tokens_max: 0,
    },
    "8b-h100": {
      first_token_ms: 0.05,
      first_token_sigma: 0.06,
      prompt_token_ms: 0.03,
      tokens_per_s: 0.01,
      gap_cv: 0.03,
      slow_share: 0,
      pause_share: 0,
      event_tokens_max: 0,
    },
  } as const satisfies Partial<
    Record<keyof typeof LATENCY_PROFILES, Partial<Record<LatencyKey, number>>>
  >;
  for (const [name, shares] of Object.entries(CASES)) {
    const profile: LatencyProfile = LATENCY_PROFILES[name as keyof typeof CASES];
    const times = drawn(profile, 1500);
    const fit = fitTimes(times, realistic);
    for (const [key, share] of Object.entries(shares) as [LatencyKey, number][]) {
      test(`${name}: ${key} within ${100 * share} %`, () => {
        const { value, origin } = numberOf(fit, key);
        expect(origin).toBe("fitted");
        expect(Math.abs(Number(value) - profile[key])).toBeLessThanOrEqual(share * profile[key]);
      });
    }

    test(`${name}: first tokens and speeds are not rejected`, () => {
      for (const one of goodnessOf(fit, times).slice(0, 2)) {
        expect(one.pValue, one.what).toBeGreaterThan(0.01);
      }
    });
  }

  test("the slow factors lie around those of the profile", () => {
    const fit = fitTimes(drawn(realistic, 6000, { gaps: false }), realistic);
    const { slow_factor_min, slow_factor_max } = fit.profile;
    expect((slow_factor_min + slow_factor_max) / 2).toBeWithin(6, 8);
  });

  test("the same times give the same profile and the same p", () => {
    const times = drawn(realistic, 60);
    const one = fitTimes(times, realistic);
    const other = fitTimes(times, realistic);
    expect(other).toEqual(one);
    expect(goodnessOf(other, times)).toEqual(goodnessOf(one, times));
  });

  test("the tokens of events are those that were counted", () => {
    const times = drawn(realistic, 100).map((one) => ({
      ...one,
      gapTokens: one.gapsMs!.map((_, at) => 2 + at % 3),
    }));
    const { profile } = fitTimes(times, realistic);
    expect([profile.event_tokens_min, profile.event_tokens_max]).toEqual([2, 4]);
  });
});

describe("what times do not tell is kept or assumed, and said", () => {
  const CASES: readonly (readonly [
    what: string,
    times: readonly Times[],
    key: LatencyKey,
    origin: string,
    why: RegExp,
  ])[] = [
    [
      "four requests",
      drawn(realistic, 4),
      "first_token_ms",
      "kept",
      /^4 first tokens: at least 5 are needed$/,
    ],
    ["ten requests", drawn(realistic, 10), "first_token_sigma", "kept", /at least 20 are needed/],
    ["ten requests", drawn(realistic, 10), "speed_sigma", "kept", /at least 20 are needed/],
    ["twenty requests", drawn(realistic, 20), "prompt_token_ms", "kept", /at least 30/],
    [
      "even prompts",
      drawn(realistic, 100, { prompts: "even" }),
      "prompt_token_ms",
      "kept",
      /200 to 200 tokens: that is too even$/,
    ],
    [
      "no prompts",
      drawn(realistic, 100, { prompts: "none" }),
      "prompt_token_ms",
      "assumed",
      /say nothing of prompts/,
    ],
    ["fast ones only", drawn({ ...realistic, slow_share: 0 }, 100), "slow_share", "kept", /200/],
    ["no gaps", drawn(realistic, 100, { gaps: false }), "gap_cv", "kept", /no single gaps/],
    ["no gaps", drawn(realistic, 100, { gaps: false }), "pause_share", "assumed", /the speed/],
    ["few gaps", drawn(realistic, 2), "gap_cv", "kept", /at least 100 are needed/],
    ["any", drawn(realistic, 100), "batch_max", "kept", /do not tell/],
  ];
  for (const [what, times, key, origin, why] of CASES) {
    test(`${what}: ${key} is ${origin}`, () => {
      const number = numberOf(fitTimes(times, realistic), key);
      expect([number.origin as string, number.why]).toEqual([
        origin,
        expect.stringMatching(why) as unknown as string,
      ]);
      if (origin === "kept") expect(number.value).toBe(realistic[key]);
    });
  }

  test("load is part of what was measured", () => {
    expect(fitTimes(drawn(realistic, 50), realistic).profile.load).toBe("none");
  });
});

describe("a bad fit is said to be one", () => {
  test("first tokens at two places", () => {
    const times = drawn(realistic, 300).map((one, at) => ({
      ...one,
      firstTokenMs: at % 2 === 0 ? 200 + at / 10 : 300 + at / 10,
      totalMs: 1e6,
    }));
    const [first] = goodnessOf(fitTimes(times, realistic), times);
    expect(first!.pValue).toBeLessThanOrEqual(0.01);
    expect(verdictOf(first!)).toStartWith("A BAD FIT: rejected at 1 % (D = 0.");
  });

  test("too few to tell", () => {
    const times = drawn(realistic, 10, { gaps: false });
    const [first] = goodnessOf(fitTimes(times, realistic), times);
    expect(verdictOf(first!)).toBe(
      "too few to tell how well it fits: at least 20 are needed, not 10",
    );
  });
});

describe("what is odd in times is noted", () => {
  test("events that came together count as one", () => {
    const times = drawn(LATENCY_PROFILES["8b-h100"], 50).map((one) => ({
      ...one,
      gapsMs: one.gapsMs!.map((ms, at) => at % 2 === 0 ? ms : 0),
    }));
    const { notes, profile } = fitTimes(times, realistic);
    expect(notes.join("\n")).toContain("came together with the one before them");
    expect(profile.event_tokens_max).toBe(3);
  });

  test("a first event that has only the role, which may be left out", () => {
    const whole = drawn(LATENCY_PROFILES["8b-h100"], 50);
    const times = whole.map((one) => ({
      ...one,
      firstTokenMs: 10,
      gapsMs: [one.firstTokenMs! - 10, ...one.gapsMs!],
    }));
    expect(fitTimes(times, realistic).notes.join("\n")).toContain("--role-first");
    expect(withoutRole(times)[7]!.gapsMs).toEqual(whole[7]!.gapsMs!);
    expect(withoutRole(times)[7]!.firstTokenMs).toBeCloseTo(whole[7]!.firstTokenMs!, 9);
  });
});

describe("whatever the times are, the profile can be used", () => {
  const random = seeded(3);
  const list = (length: number, make: (at: number) => number) =>
    Array.from({ length }, (_, at) => make(at));
  const CASES: Readonly<Record<string, (at: number) => Omit<Times, "place">>> = {
    "all the same": () => ({ firstTokenMs: 100, promptTokens: 50, gapsMs: list(10, () => 10) }),
    "next to nothing": () => ({ firstTokenMs: 1e-6, promptTokens: 0, gapsMs: [0, 0], totalMs: 1 }),
    "of every size": () => ({
      firstTokenMs: Math.exp(20 * random() - 8),
      promptTokens: Math.floor(Math.exp(10 * random())),
      gapsMs: list(20, () => Math.exp(20 * random() - 10)),
    }),
    "faster for longer prompts": (at) => ({
      firstTokenMs: 1000 / (1 + at),
      promptTokens: 10 * at,
      outputTokens: 10,
      totalMs: 2000,
    }),
    "in proportion to the prompt": (at) => ({
      firstTokenMs: (at + 1) * (1 + random() / 10),
      promptTokens: 10 * (at + 1),
      tokenMs: 5,
    }),
    "pauses half of the time": () => ({ gapsMs: list(30, () => random() < 0.5 ? 10 : 1000) }),
    "events without tokens": () => ({
      gapsMs: list(30, () => 10 + random()),
      gapTokens: list(30, (at) => at % 3),
    }),
    "one token": () => ({
      firstTokenMs: 100 + random(),
      outputTokens: 1,
      gapsMs: [],
      totalMs: 300,
    }),
  };
  for (const [name, make] of Object.entries(CASES)) {
    for (const count of [1, 6, 40]) {
      test(`${name}, ${count}`, () => {
        const times = list(count, (at) => at).map((at) => ({ place: `${at}`, ...make(at) }));
        const fit = fitTimes(times, realistic);
        for (const key of Object.keys(LATENCY_NUMBERS) as LatencyKey[]) {
          const { min, max, isWhole } = LATENCY_NUMBERS[key];
          expect(fit.profile[key], key).toBeWithin(min, max + 1e-9);
          if (isWhole) expect(fit.profile[key] % 1, key).toBe(0);
        }
        expect(latencyProblems(fit.profile)).toEqual([]);
        for (const { distance = 0, pValue = 0, percentiles } of goodnessOf(fit, times)) {
          expect(distance).toBeWithin(0, 1);
          expect(pValue).toBeWithin(0, 1.001);
          for (const { data, model } of percentiles) expect(data + model).toBeFinite();
        }
      });
    }
  }
});
