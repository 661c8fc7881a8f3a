import { expect, test } from "bun:test";
import type { DrawnFacts, ExchangeFacts } from "../../src/core/facts.ts";
import { deliveredOf, LatencyCounts } from "../../src/ops/latency_counts.ts";

const drawn: DrawnFacts = {
  ...{ firstTokenMs: 35, hiddenMs: 3865, tokensPerS: 100, isSlow: false, loadFactor: 1 },
  ...{ queueMs: 0, cachedTokens: 0, laterTokens: 40, deliveredFirstMs: 3900 },
};

test("thoughts that nobody sees are part of the first token, and not of the speed", () => {
  const exchange = { isStream: true, outcome: "completed", durationMs: 4300 } as ExchangeFacts;
  expect(deliveredOf(exchange, drawn).tokensPerS).toBe(100);
  const counts = new LatencyCounts();
  counts.record(exchange, drawn);
  const { firstTokenMs } = counts;
  expect([firstTokenMs.drawn.sum, firstTokenMs.delivered.sum]).toEqual([3900, 3900]);
});

test("an answer with a fault on purpose has other times than were drawn: none is counted as delivered", () => {
  const exchange = {
    ...{ isStream: true, outcome: "completed", durationMs: 4300 },
    faultsMet: ["cut"],
  } as unknown as ExchangeFacts;
  expect(deliveredOf(exchange, drawn)).toEqual({ firstTokenMs: undefined, tokensPerS: undefined });
  const counts = new LatencyCounts();
  counts.record(exchange, drawn);
  const { firstTokenMs, tokensPerS } = counts;
  expect([firstTokenMs.delivered.count, tokensPerS.delivered.count]).toEqual([0, 0]);
  expect(tokensPerS.drawn.count).toBe(1);
});
