/** What is drawn against the formulas of how likely it is. */

import { describe, expect, test } from "bun:test";
import { LATENCY_PROFILES } from "../../../src/config/latency.ts";
import { ksDistance, ksPValue, sorted } from "../../../src/lib/sample.ts";
import { Gaps, luckOf } from "../../../src/sources/physics/draw.ts";
import { lucks } from "../../../src/sources/physics/drawn.ts";
import {
  firstTokenCdf,
  GapLikelihood,
  slowPdf,
  usualPdf,
} from "../../../src/sources/physics/likelihood.ts";
import type { LatencyProfile } from "../../../src/sources/physics/profile.ts";

const COUNT = 10_000;
const { realistic } = LATENCY_PROFILES;
const PROFILES: Readonly<Record<string, LatencyProfile>> = {
  ...LATENCY_PROFILES,
  "one slow factor": { ...realistic, slow_share: 0.3, slow_factor_min: 5, slow_factor_max: 5 },
  "a slow mode of half": { ...realistic, slow_share: 0.5, slow_factor_min: 1, slow_factor_max: 3 },
};

describe("first tokens are not rejected at 1 %", () => {
  for (const [name, profile] of Object.entries(PROFILES)) {
    const { first_token_sigma, first_token_ms, prompt_token_ms } = profile;
    if (first_token_sigma === 0) continue; // nothing is drawn
    test(name, () => {
      const draw = lucks(7);
      const median = first_token_ms + 300 * prompt_token_ms;
      const factors = Array.from(
        { length: COUNT },
        () => luckOf(profile, draw, 300).firstTokenMs / median,
      );
      const distance = ksDistance(sorted(factors), (x) => firstTokenCdf(profile, x));
      expect(ksPValue(distance, COUNT)).toBeGreaterThan(0.01);
    });
  }

  test("and rejected where the slow mode is forgotten", () => {
    const draw = lucks(7);
    const factors = Array.from(
      { length: COUNT },
      () => luckOf(realistic, draw, 0).firstTokenMs / realistic.first_token_ms,
    );
    const one = { ...realistic, slow_share: 0 };
    expect(ksPValue(ksDistance(sorted(factors), (x) => firstTokenCdf(one, x)), COUNT))
      .toBeLessThan(0.01);
  });
});

test("what is dense adds up to shares", () => {
  const { slow_share } = realistic;
  const step = 0.001;
  let sum = 0;
  for (let x = step / 2; x < 6; x += step) {
    sum += step * ((1 - slow_share) * usualPdf(realistic, x) + slow_share * slowPdf(realistic, x));
  }
  expect(sum).toBeCloseTo(firstTokenCdf(realistic, 6), 6);
  expect([firstTokenCdf(realistic, 0), slowPdf(realistic, 0)]).toEqual([0, 0]);
});

describe("gaps", () => {
  /** The gaps of 10 000 events with so many tokens. */
  function gapsOf(profile: LatencyProfile, tokens: number): Float64Array {
    const gaps = new Gaps(profile, lucks(3), 80, 1);
    return sorted(Array.from({ length: COUNT }, () => {
      let ms = gaps.pause();
      for (let i = 0; i < tokens; i++) ms += gaps.token();
      return ms;
    }));
  }

  for (const name of ["realistic", "8b-h100", "small-l40s"] as const) {
    for (const tokens of [1, 3]) {
      test(`of ${name}, ${tokens} in an event, are not rejected at 1 %`, () => {
        const profile = LATENCY_PROFILES[name];
        const likelihood = new GapLikelihood(profile, 1000 / 80, [{ tokens, share: 1 }]);
        const distance = ksDistance(gapsOf(profile, tokens), (ms) => likelihood.cdf(ms));
        expect(ksPValue(distance, COUNT)).toBeGreaterThan(0.01);
      });
    }
  }

  test("what is dense adds up to shares", () => {
    const likelihood = new GapLikelihood(realistic, 12, [
      { tokens: 1, share: 0.5 },
      { tokens: 4, share: 0.5 },
    ]);
    const { pause_share } = realistic;
    const step = 0.01;
    let sum = 0;
    for (let ms = step / 2; ms < 250; ms += step) {
      const density = (1 - pause_share) * likelihood.bodyPdf(ms) +
        pause_share * likelihood.pausePdf(ms);
      sum += step * density;
    }
    expect(sum).toBeCloseTo(likelihood.cdf(250), 4);
  });
});
