import { describe, expect, test } from "bun:test";
import { Meter } from "../../../src/ops/ui/chat_measure.ts";

/** [milliseconds, deltas] as they came; the server's count; what is measured. */
const CASES = [
  {
    name: "nothing yet",
    came: [],
    usage: null,
    measure: { firstMs: null, tokensPerSecond: null, tokensIn: null, tokensOut: 0 },
  },
  {
    name: "one piece: there is no time to divide by",
    came: [[100, 5]],
    usage: null,
    measure: { firstMs: 100, tokensPerSecond: null, tokensIn: null, tokensOut: 5 },
  },
  {
    name: "the first piece's tokens do not count for the speed",
    came: [[100, 5], [600, 4], [1100, 6]],
    usage: null,
    measure: { firstMs: 100, tokensPerSecond: 10, tokensIn: null, tokensOut: 15 },
  },
  {
    name: "the server's count corrects deltas of several tokens",
    came: [[200, 1], [1200, 10]],
    usage: [7, 22],
    measure: { firstMs: 200, tokensPerSecond: 20, tokensIn: 7, tokensOut: 22 },
  },
  {
    name: "pieces without text are none",
    came: [[10, 0], [50, 1], [90, 0]],
    usage: [1, 1],
    measure: { firstMs: 50, tokensPerSecond: null, tokensIn: 1, tokensOut: 1 },
  },
] as const;

describe("Meter", () => {
  for (const { name, came, usage, measure } of CASES) {
    test(name, () => {
      let nowMs = 5000;
      const meter = new Meter(() => nowMs);
      for (const [atMs, deltas] of came) {
        nowMs = 5000 + atMs;
        meter.count(deltas);
      }
      if (usage !== null) meter.settle(usage[0], usage[1]);
      expect(meter.measure).toEqual(measure);
    });
  }
});
