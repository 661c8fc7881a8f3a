import { describe, expect, test } from "bun:test";
import { Histogram } from "../../src/lib/histogram.ts";
import { judge, type StreamReport, type Verdict } from "../../src/load/stream_report.ts";

const NOTHING = new Histogram().summary();

const GOOD: StreamReport = {
  streams: 10,
  completed: 10,
  failed: {},
  events: 100,
  bytes: 1000,
  lost: 0,
  doubled: 0,
  strange: 0,
  merged: 0,
  windowMs: 1000,
  eventsPerSecond: 100,
  bytesPerSecond: 1000,
  eventsPerRead: 1,
  firstEventMs: NOTHING,
  gapMs: NOTHING,
  latenessMs: { ...NOTHING, p99: 5000 },
  driftMs: NOTHING,
  driftPercent: NOTHING,
  startDelayMs: NOTHING,
  loopDelayMs: { ...NOTHING, p99: 3, max: 900 },
  unreadMs: NOTHING,
  clientCpuShare: 0.5,
};

const CASES: readonly (readonly [
  name: string,
  report: Partial<StreamReport>,
  kind: Verdict["kind"],
  reason: string | undefined,
  isDoubtful?: true,
])[] = [
  ["a server that is late is slow, and the run valid", {}, "valid", undefined],
  ["a lost event", { lost: 1 }, "failed", "1 event lost"],
  ["a doubled event", { doubled: 2 }, "failed", "2 events doubled"],
  ["a merged event", { merged: 3 }, "failed", "3 events merged"],
  ["a strange event", { strange: 4 }, "failed", "4 events strange"],
  ["a failed stream", { failed: { "status 503": 5 } }, "failed", "5 streams: status 503"],
  ["no event at all", { events: 0 }, "invalid", "no event came", true],
  [
    "a late client",
    { loopDelayMs: { ...NOTHING, p99: 3.1 } },
    "invalid",
    "the client's own loop was late by 3.1 ms (p99), more than 3",
    true,
  ],
  [
    "a busy client",
    { unreadMs: { ...NOTHING, p99: 12 } },
    "invalid",
    "what came may have lain unread for 12.0 ms (p99), more than 3",
    true,
  ],
];

describe("judge()", () => {
  test("a first answer that was refused is a failure, and the client may be as late as is said", () => {
    const report = { ...GOOD, unreadMs: { ...NOTHING, p99: 12 } };
    const failed = ["a first answer: status 429"];
    expect(judge(report, { loopMsMax: 20, failed })).toEqual({
      kind: "failed",
      isDoubtful: false,
      reasons: failed,
    });
  });

  for (const [name, report, kind, reason, isDoubtful = false] of CASES) {
    test(name, () => {
      expect(judge({ ...GOOD, ...report }, { loopMsMax: 3 })).toEqual({
        kind,
        isDoubtful,
        reasons: reason === undefined ? [] : [reason],
      });
    });
  }
});
