import { describe, expect, test } from "bun:test";
import { seeded } from "../../src/lib/seeded.ts";
import { chosen, EVENTS_KEPT, StreamKeeper } from "../../src/load/kept_streams.ts";
import { KIND } from "../../src/load/record.ts";
import { recorded } from "./recorded.ts";

const { choice, role, text, finish, done } = KIND;

/** A stream that is due at `dueMs`, has tokens after so many milliseconds, and is over 10 ms later. */
function stream(number: number, tokensMs: readonly number[], dueMs = 1000) {
  const record = recorded([
    [dueMs + tokensMs[0]! / 2, choice | role],
    ...tokensMs.map((ms) => [dueMs + ms, choice | text, "x"] as const),
    [dueMs + tokensMs.at(-1)! + 5, choice | finish],
  ], { dueMs, sentMs: dueMs + 1, endMs: dueMs + tokensMs.at(-1)! + 10 });
  record.number = number;
  return record;
}

function failedStream(number: number, said: string) {
  const record = recorded([], { dueMs: 5, endMs: 6, outcome: "failed", status: 503 });
  record.number = number;
  record.failure = { phase: "head", status: 503, text: said };
  return record;
}

describe("StreamKeeper", () => {
  test("keeps the fastest, a typical one, the slowest, the latest, the longest pause, and failures", () => {
    const keeper = new StreamKeeper(seeded(1));
    const records = [
      stream(0, [100, 120, 140]),
      stream(1, [10, 20, 30]),
      stream(2, [110, 120, 150]),
      stream(3, [50, 60, 900]),
      stream(4, [400, 410, 420]),
      stream(5, [20, 30, 990, 995]),
      stream(6, [20, 30, 1100]),
      ...["full", "full", "gone", "late", "other"].map((said, at) => failedStream(7 + at, said)),
    ];
    for (const record of records) {
      keeper.observe(record);
      // Records are used for one request after the other.
      record.readMs.fill(NaN);
    }
    const kept = chosen(keeper.kept(), 160);
    expect(kept.map(({ number, why }) => [number, ...why])).toEqual([
      [1, "fastest"],
      [2, "typical"],
      [6, "slowest", "pause"],
      [4, "late"],
      [7, "failed"],
      [9, "failed"],
      [10, "failed"],
    ]);
    expect(kept[0]).toMatchObject({
      sent: 1,
      connected: null,
      head: 5,
      first_token: 10,
      end: 40,
      pause: [10, 20],
      events: 5,
      token_events: 3,
      event_ms: [5, 10, 20, 30, 35],
      event_kinds: [choice | role, choice | text, choice | text, choice | text, choice | finish],
    });
    expect(kept[4]).toMatchObject({ failure: "head, status 503: full", end: 1, first_token: null });
  });

  test("of many events some are kept, the first, the last and those of the pause among them", () => {
    const keeper = new StreamKeeper(seeded(1));
    const tokens = Array.from({ length: 50_000 }, (_, at) => 10 + at + (at > 31_415 ? 500 : 0));
    keeper.observe(stream(0, tokens));
    const [only] = chosen(keeper.kept(), 1);
    expect(only!.events).toBe(50_002);
    expect(only!.event_ms.length).toBeLessThanOrEqual(EVENTS_KEPT);
    expect(only!.event_ms.length).toBeGreaterThan(EVENTS_KEPT / 2);
    expect(only!.pause).toEqual([31_425, 31_926]);
    expect(only!.event_ms).toContain(31_425);
    expect(only!.event_ms).toContain(31_926);
    expect(only!.event_ms[0]).toBe(5);
    expect(only!.event_ms.at(-1)).toBe(50_514);
  });

  test("the typical one is near the middle of a long run, and the same for the same seed", () => {
    const found = [1, 1, 2].map((seed) => {
      const keeper = new StreamKeeper(seeded(seed));
      for (let number = 0; number < 5000; number++) keeper.observe(stream(number, [100 + number]));
      return chosen(keeper.kept(), 2610).find(({ why }) => why.includes("typical"))!;
    });
    for (const { end } of found) expect(Math.abs(end! - 2610)).toBeLessThan(600);
    expect(found[0]!.number).toBe(found[1]!.number);
    expect(found[0]!.number).not.toBe(found[2]!.number);
  });

  test("a warm-up, and what was not over, is none", () => {
    const keeper = new StreamKeeper(seeded(1));
    const warm = stream(0, [5]);
    warm.isWarmup = true;
    keeper.observe(warm);
    const left = stream(1, [5]);
    left.outcome = "unfinished";
    keeper.observe(left);
    expect(chosen(keeper.kept(), undefined)).toEqual([]);
  });

  test("an answer in one piece has no first token, and is not the one with the latest", () => {
    const keeper = new StreamKeeper(seeded(1));
    keeper.observe(recorded([[40, choice | text | finish | done, "a"]], { endMs: 41 }));
    const [kept, ...others] = chosen(keeper.kept(), 41);
    expect(others).toEqual([]);
    expect(kept).toMatchObject({ why: ["fastest", "typical", "slowest"], first_token: null });
  });

  test("parts of several machines are judged anew", () => {
    const parts = [[100], [10, 20], [300]].map((tokens, number) => {
      const keeper = new StreamKeeper(seeded(1));
      keeper.observe(stream(number, tokens));
      return chosen(keeper.kept(), 100);
    });
    expect(chosen(parts.flat(), 111).map(({ number, why }) => [number, ...why])).toEqual([
      [1, "fastest", "pause"],
      [0, "typical"],
      [2, "slowest", "late"],
    ]);
  });
});
