import { describe, expect, test } from "bun:test";
import { cutFrames } from "../../src/core/cut.ts";
import { layFrames } from "../../src/core/frames.ts";

const FRAMES = layFrames([
  { text: "data: a\n\ndata: b\n\n", dueMs: 10, stepEnd: 1 },
  { text: "data: c\n\n", dueMs: 20, stepEnd: 2 },
  { text: "data: d\n\n", dueMs: 30, stepEnd: 3 },
]);

describe("cutFrames()", () => {
  const rows: readonly (readonly [
    name: string,
    cut: Parameters<typeof cutFrames>[1],
    told: {
      readonly text: string;
      readonly dueMs: readonly number[];
      readonly stepEnds: readonly number[];
    },
  ])[] = [
    ["within a frame of two events", { afterEvents: 1, afterMs: Infinity }, {
      ...{ text: "data: a\n\n", dueMs: [10, 10], stepEnds: [0, 0] },
    }],
    ["behind a frame", { afterEvents: 3, afterMs: Infinity }, {
      ...{ text: "data: a\n\ndata: b\n\ndata: c\n\n", dueMs: [10, 20, 20], stepEnds: [1, 2, 2] },
    }],
    ["by time", { afterEvents: Infinity, afterMs: 25 }, {
      ...{ text: "data: a\n\ndata: b\n\ndata: c\n\n", dueMs: [10, 20, 25], stepEnds: [1, 2, 2] },
    }],
    ["whichever comes first", { afterEvents: 2, afterMs: 25 }, {
      ...{ text: "data: a\n\ndata: b\n\n", dueMs: [10, 10], stepEnds: [1, 1] },
    }],
    ["before anything", { afterEvents: Infinity, afterMs: 5 }, {
      ...{ text: "", dueMs: [5], stepEnds: [0] },
    }],
    ["behind all of it", { afterEvents: 99, afterMs: Infinity }, {
      text: "data: a\n\ndata: b\n\ndata: c\n\ndata: d\n\n",
      dueMs: [10, 20, 30, 30],
      stepEnds: [1, 2, 3, 3],
    }],
  ];
  for (const [name, cut, { text, dueMs, stepEnds }] of rows) {
    test(name, () => {
      const made = cutFrames(FRAMES, cut);
      const end = made.ends.at(-1);
      expect(Buffer.from(made.bytes.subarray(0, end)).toString()).toBe(text);
      expect([...made.dueMs]).toEqual([...dueMs]);
      expect([...made.stepEnds]).toEqual([...stepEnds]);
      expect(made.ends).toHaveLength(dueMs.length);
    });
  }
});
