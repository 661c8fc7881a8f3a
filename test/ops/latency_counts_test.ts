import { expect, test } from "bun:test";
import type { DrawnFacts, ExchangeFacts } from "../../src/core/facts.ts";
import { deliveredSpeed, LatencyCounts } from "../../src/ops/latency_counts.ts";

test("thoughts that nobody sees are part of the first token, and not of the speed", () => {
  const drawn: DrawnFacts = {
    ...{ firstTokenMs: 35, hiddenMs: 3865, tokensPerS: 100, isSlow: false, loadFactor: 1 },
    ...{ queueMs: 0, cachedTokens: 0, laterTokens: 40, deliveredFirstMs: 3900 },
  };
  const exchange = { isStream: true, outcome: "completed", durationMs: 4300 } as ExchangeFacts;
  expect(deliveredSpeed(exchange, drawn)).toBe(100);
  const counts = new LatencyCounts();
  counts.record(exchange, drawn);
  const { firstTokenMs } = counts;
  expect([firstTokenMs.drawn.sum, firstTokenMs.delivered.sum]).toEqual([3900, 3900]);
});
