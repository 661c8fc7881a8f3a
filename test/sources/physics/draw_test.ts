import { askOf } from "../../../src/core/answer.ts";
import { EMPTY_TURN } from "../../../src/core/turn.ts";
import { describe, expect, test } from "bun:test";
import { LATENCY_PROFILES, type LatencyProfileName } from "../../../src/config/latency.ts";
import { lognormalCdf } from "../../../src/lib/normal.ts";
import { ksDistance, ksPValue, sorted } from "../../../src/lib/sample.ts";
import { Gaps, type Luck } from "../../../src/sources/physics/draw.ts";
import type { LatencyProfile } from "../../../src/sources/physics/profile.ts";
import { VARIANTS } from "../../../src/sources/physics/pieces.ts";
import { callOf, PhysicsRig, profileOf, said } from "./rig.ts";

/** As many as the figure wants. */
const REQUESTS = 10_000;
/** Above it a test of Kolmogorov and Smirnov does not reject. */
const LEVEL = 0.01;

const turn = { messages: [{ role: "user", content: "Say something." }] };
const ASK = askOf(EMPTY_TURN);

/** What `REQUESTS` equal requests draw, as their calls tell it. */
function lucks(profile: LatencyProfile, messages: typeof turn.messages): readonly Luck[] {
  const rig = new PhysicsRig({ profile });
  return Array.from({ length: REQUESTS }, () => rig.ask({ messages }, "equal").drawn);
}

function expectSample(values: Iterable<number>, cdf: (x: number) => number): void {
  const ascending = sorted(values);
  const distance = ksDistance(ascending, cdf);
  expect(ksPValue(distance, ascending.length)).toBeGreaterThan(LEVEL);
}

/** Of numbers that are even between two. */
function evenCdf(min: number, max: number): (x: number) => number {
  return (x) => Math.min(1, Math.max(0, (x - min) / (max - min)));
}

/** A share of `count` that a chance of `share` gives in 99 of 100 cases. */
function expectShare(hits: number, count: number, share: number): void {
  const deviation = Math.sqrt(share * (1 - share) / count);
  expect(Math.abs(hits / count - share)).toBeLessThanOrEqual(2.576 * deviation);
}

/** The formula of the time to the first token, the slow mode with it. */
function firstTokenCdf(profile: LatencyProfile, uncached: number): (x: number) => number {
  const { first_token_ms, prompt_token_ms, first_token_sigma: sigma } = profile;
  const median = first_token_ms + prompt_token_ms * uncached;
  const { slow_share, slow_factor_min: min, slow_factor_max: max } = profile;
  const usual = (x: number) => lognormalCdf({ median, sigma }, x);
  // The even factor, in so many equal parts.
  const parts = 50;
  const slow = (x: number) => {
    let sum = 0;
    for (let i = 0; i < parts; i++) sum += usual(x / (min + (max - min) * (i + 0.5) / parts));
    return sum / parts;
  };
  return (x) => (1 - slow_share) * usual(x) + (slow_share === 0 ? 0 : slow_share * slow(x));
}

describe("10 000 requests are not told from the formula", () => {
  const names = Object.keys(LATENCY_PROFILES) as LatencyProfileName[];
  for (const name of names.filter((name) => LATENCY_PROFILES[name].first_token_sigma > 0)) {
    test(`first token of ${name}`, () => {
      const profile = profileOf({ profile: name, cache_ttl_ms: 0 });
      const rig = new PhysicsRig({ profile });
      const messages = [{ role: "user", content: "word ".repeat(700) }];
      const uncached = rig.mock.promptTokens({ model: "gpt-4o", messages, params: {} });
      const drawn = lucks(profile, messages);
      expectSample(drawn.map((luck) => luck.firstTokenMs), firstTokenCdf(profile, uncached));
      if (profile.slow_share > 0) {
        const slow = drawn.filter(({ isSlow }) => isSlow);
        expectShare(slow.length, REQUESTS, profile.slow_share);
      }
    });
  }

  test("speed", () => {
    const profile = profileOf();
    const median = profile.tokens_per_s;
    const speeds = lucks(profile, turn.messages).map(({ tokensPerS }) => tokensPerS);
    expectSample(speeds, (x) => lognormalCdf({ median, sigma: profile.speed_sigma }, x));
  });

  test("speed is independent of the first token", () => {
    const drawn = lucks(profileOf({ slow_share: 0 }), turn.messages);
    const logs = (of: (luck: Luck) => number) => drawn.map((luck) => Math.log(of(luck)));
    // 1/√10 000, and 2.576 of it.
    expect(Math.abs(correlation(logs((l) => l.firstTokenMs), logs((l) => l.tokensPerS))))
      .toBeLessThan(0.0258);
  });

  test("gap of a token, around the mean of its own request", () => {
    const profile = profileOf({
      ...{ event_tokens_max: 1, pause_share: 0, load: "none" },
    });
    const rig = new PhysicsRig({ profile, mock: { lorem: 3 } });
    const sigma = Math.sqrt(Math.log(1 + profile.gap_cv ** 2));
    const gaps = Array.from({ length: REQUESTS }, () => {
      const { answer, drawn } = rig.ask(turn, "equal");
      const [[, first], [, second]] = said(answer) as [[string, number], [string, number]];
      return (second - first) * drawn.tokensPerS / 1000;
    });
    expectSample(gaps, (x) => lognormalCdf({ median: Math.exp(-sigma * sigma / 2), sigma }, x));
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / REQUESTS;
    expect(Math.abs(mean - 1)).toBeLessThan(2.576 * profile.gap_cv / Math.sqrt(REQUESTS));
  });

  test("gaps of one request", () => {
    const profile = profileOf({ event_tokens_max: 1, pause_share: 0, load: "none" });
    const rig = new PhysicsRig({ profile, mock: { lorem: REQUESTS + 1 } });
    const { answer, drawn } = rig.ask(turn);
    const due = said(answer).map(([, dueMs]) => dueMs);
    const sigma = Math.sqrt(Math.log(1 + profile.gap_cv ** 2));
    const gaps = due.slice(1).map((dueMs, i) => (dueMs - due[i]!) * drawn.tokensPerS / 1000);
    expect(gaps.length).toBe(REQUESTS);
    expectSample(gaps, (x) => lognormalCdf({ median: Math.exp(-sigma * sigma / 2), sigma }, x));
  });

  test("share and length of pauses", () => {
    const profile = profileOf();
    const rig = new PhysicsRig({ profile });
    const pauses: number[] = [];
    let count = 0;
    while (pauses.length < REQUESTS) {
      const draw = rig.draws.of(ASK, callOf("equal"));
      const gaps = new Gaps(profile, draw, 70, 1);
      for (let event = 0; event < 100; event++, count++) {
        const ms = gaps.pause();
        if (ms > 0) pauses.push(ms);
      }
    }
    expectShare(pauses.length, count, profile.pause_share);
    expectSample(pauses, evenCdf(profile.pause_min_ms, profile.pause_max_ms));
  });

  test("tokens of an event, over all ways in which a text is put together", () => {
    const rig = new PhysicsRig({ profile: profileOf(), mock: { lorem: 4096 } });
    const ways = new Map(
      Array.from({ length: 100 }, () => rig.ask(turn, "equal").answer)
        .map((answer) => [answer.script, answer]),
    );
    expect(ways.size).toBe(VARIANTS);
    const counter = rig.tokens.of("gpt-4o");
    const sizes = [...ways.values()].flatMap((answer) =>
      // The last event has what is left.
      said(answer).slice(0, -1).map(([text]) => counter.count(text))
    );
    expect(sizes.length).toBeGreaterThan(REQUESTS);
    for (const size of [1, 2, 3, 4]) {
      expectShare(sizes.filter((one) => one === size).length, sizes.length, 0.25);
    }
  });
});

/** Pearson's. */
function correlation(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x0, y0] = [mean(xs), mean(ys)];
  const together = mean(xs.map((x, i) => (x - x0) * (ys[i]! - y0)));
  const spread = (values: readonly number[], around: number) =>
    Math.sqrt(mean(values.map((value) => (value - around) ** 2)));
  return together / spread(xs, x0) / spread(ys, y0);
}
