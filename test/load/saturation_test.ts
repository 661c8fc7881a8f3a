import { describe, expect, test } from "bun:test";
import { seeded } from "../../src/lib/seeded.ts";
import { SaturationWatch } from "../../src/load/saturation.ts";

const LIMITS = { fromMs: 0, lookedAtMs: 30_000, ttftMsMin: 2500 };

/** A server, by what a look at second `s` finds: requests at once, and the time of first tokens then. */
type Server = (s: number, noise: () => number) => readonly [atOnce: number, ttftMs: number];

/** Looks every half a second, 20 first tokens each; gives when it was seen, in seconds. */
function seenAt(server: Server, limits = LIMITS, seconds = 300): number | undefined {
  const random = seeded(11);
  const noise = () => 2 * random() - 1;
  const watch = new SaturationWatch(limits);
  let [ttftCount, ttftSumMs] = [0, 0];
  for (let s = 0.5; s <= seconds; s += 0.5) {
    const [atOnce, ttftMs] = server(s, noise);
    ttftCount += 20;
    ttftSumMs += 20 * ttftMs;
    if (watch.look({ atMs: 1000 * s, atOnce, ttftCount, ttftSumMs })) return s;
  }
  return undefined;
}

/** name, server, from and to which second it is seen; undefined = never */
const SERVERS: readonly (readonly [string, Server, readonly [number, number] | undefined])[] = [
  ["it holds", (_, noise) => [20 + 5 * noise(), 200 + 50 * noise()], undefined],
  ["it is slow, and holds", (_, noise) => [400 + 30 * noise(), 8000 + 2000 * noise()], undefined],
  [
    "it is asked for twice what it can",
    (s, noise) => [50 * s + 10 * noise(), 500 * s + 100 * noise()],
    [30, 30],
  ],
  [
    "it is asked for a little too much",
    (s, noise) => [10 + s + noise(), 100 + 50 * s + 40 * noise()],
    [
      49,
      51,
    ],
  ],
  ["it grows slower, and that is quick enough", (s) => [20 + s, 100 + 2 * s], undefined],
  ["its users wait in one place", (s) => [64, 3000 + 50 * s], undefined],
  ["more are under way, as answers grow", (s) => [20 + 2 * s, 3000], undefined],
  [
    "it warms up",
    (s, noise) => s < 10 ? [50 * s, 500 * s] : [20 + noise(), 200 + 10 * noise()],
    undefined,
  ],
  [
    "it breaks down after two minutes",
    (s, noise) => s < 120 ? [20 + noise(), 200 + noise()] : [20 + 50 * (s - 120), 500 * (s - 120)],
    [125, 160],
  ],
];

describe("SaturationWatch", () => {
  for (const [name, server, seen] of SERVERS) {
    test(`${name}: ${seen === undefined ? "not seen" : `seen after ${seen.join(" to ")} s`}`, () => {
      const at = seenAt(server);
      if (seen === undefined) return expect(at).toBeUndefined();
      expect(at!).toBeGreaterThanOrEqual(seen[0]);
      expect(at!).toBeLessThanOrEqual(seen[1]);
    });
  }

  const runaway: Server = (s) => [50 * s, 500 * s];
  test("what comes before its time is not looked at: a ramp", () => {
    expect(seenAt(runaway, { ...LIMITS, fromMs: 60_000 })).toBe(90);
  });

  test("a smaller limit of the first token, and a shorter look, see it sooner", () => {
    expect(seenAt(runaway, { fromMs: 0, lookedAtMs: 1000, ttftMsMin: 100 })).toBe(4);
  });

  test("without a first token nothing is said", () => {
    const watch = new SaturationWatch({ ...LIMITS, lookedAtMs: 0 });
    for (let s = 0; s < 100; s++) {
      const look = { atMs: 1000 * s, atOnce: s, ttftCount: 0, ttftSumMs: 0 };
      expect(watch.look(look)).toBe(false);
    }
  });
});
