import { describe, expect, test } from "bun:test";
import { rawSender } from "../../src/cli/load_worker.ts";
import { autoWorkers } from "../../src/cli/load_workers.ts";

/** requests at once, a second, cores → processes, and why */
const CASES = [
  [8, 0, 4, 1, "1 process for 8 at once, one for each 250"],
  [250, 0, 4, 1, "1 process for 250 at once, one for each 250"],
  [251, 0, 4, 2, "2 processes for 251 at once, one for each 250"],
  [0, 600, 4, 3, "3 processes for 600 requests a second, one for each 250"],
  [0, 0.5, 4, 1, "1 process for 0.5 requests a second, one for each 250"],
  [20_000, 0, 2, 2, "2 processes for 20000 at once, one for each 250, and there are 2 cores"],
  [
    0,
    Infinity,
    8,
    8,
    "8 processes for a load without an upper end, one for each 250, and there are 8 cores",
  ],
] as const;

describe("autoWorkers()", () => {
  for (const [atOnce, perSecond, cores, count, why] of CASES) {
    test(`${atOnce} at once, ${perSecond} a second, on ${cores} cores`, () => {
      expect(autoWorkers({ atOnce, perSecond }, cores)).toEqual({
        count,
        why: `--workers auto: ${why}`,
      });
    });
  }
});

describe("rawSender()", () => {
  const LINE = "x".repeat(8 * 1024 * 1024);
  const LINES = 20;

  /** What is sent of many long lines; each is taken, or none. */
  function sent(isTaken: boolean): readonly (number | null)[] {
    const told: (number | null)[] = [];
    const { write } = rawSender((message, taken) => {
      if (message.kind === "raw") told.push(message.lines?.length ?? null);
      if (isTaken) taken?.();
    });
    for (let i = 0; i < LINES; i++) write(LINE);
    return told;
  }

  test("sends all lines to a parent that takes them", () => {
    expect(sent(true)).toEqual(Array(LINES).fill(LINE.length));
  });

  test("holds no more than so much for one that does not, and says once that it gives up", () => {
    expect(sent(false)).toEqual([...Array(9).fill(LINE.length), null]);
  });
});
