import { afterAll, describe, expect, test } from "bun:test";
import type { KnownAnswer } from "../../src/load/event_follower.ts";
import type { Head } from "../../src/load/response_reader.ts";
import { knownAnswer, probeFault, requestBytes, targetOf } from "../../src/load/stream_probe.ts";
import { judge, type StreamReport } from "../../src/load/stream_report.ts";
import { spreadStarts, type StreamPlan, StreamRun } from "../../src/load/stream_run.ts";
import { freePort } from "../server/free_port.ts";

/** What a scripted server does: bytes as they are, a pause in milliseconds, or a reset. */
type Deed = string | number | "reset";

const WORDS = ["one ", "two ", "three ", "四 "];
const EVENTS = [...WORDS.map((word) => `data: {"said":"${word}"}\n\n`), "data: [DONE]\n\n"];
const LIMITS = { loopMsMax: 3 };
const GAP_MS = 20;
const DUE_MS = Float64Array.from([0, 20, 40, 60, 60]);
const ANSWER = knownAnswer([new TextEncoder().encode(EVENTS.join(""))]) as KnownAnswer;
const HEAD =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST = "0\r\n\r\n";

function chunk(text: string): string {
  return `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
}

const [ONE, TWO, THREE, FOUR, DONE] = EVENTS.map(chunk) as [string, string, string, string, string];

/** A server that answers every request with the same deeds. */
function scripted(deeds: readonly Deed[]): Bun.TCPSocketListener<undefined> {
  return Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      async data(socket) {
        for (const deed of deeds) {
          if (typeof deed === "number") await Bun.sleep(deed);
          else if (deed === "reset") return socket.terminate();
          else socket.write(deed);
        }
        socket.end();
      },
      error() {},
    },
  });
}

const listeners: Bun.TCPSocketListener<undefined>[] = [];
afterAll(() => listeners.forEach((listener) => listener.stop(true)));

function planFor(port: number, plan: Partial<StreamPlan> = {}): StreamPlan {
  const url = `http://127.0.0.1:${port}/`;
  return {
    target: targetOf(url, requestBytes(url, "{}")),
    streams: 4,
    rampMs: 10,
    answer: ANSWER,
    dueMs: DUE_MS,
    graceMs: 5000,
    ...plan,
  };
}

function measure(deeds: readonly Deed[], plan: Partial<StreamPlan> = {}): Promise<StreamReport> {
  const listener = scripted(deeds);
  listeners.push(listener);
  return new StreamRun(planFor(listener.port, plan)).measure();
}

const GOOD = [HEAD + ONE, GAP_MS, TWO, GAP_MS, THREE, GAP_MS, FOUR + DONE + LAST];

const CASES: readonly (readonly [
  name: string,
  deeds: readonly Deed[],
  found: Partial<StreamReport>,
])[] = [
  ["nothing wrong with a good server", GOOD, { completed: 4 }],
  ["a lost event", [HEAD + ONE, 2 * GAP_MS, THREE, GAP_MS, FOUR + DONE + LAST], {
    lost: 4,
    failed: { "answer not whole": 4 },
  }],
  ["a doubled event", [HEAD + ONE, GAP_MS, TWO, TWO, GAP_MS, THREE, GAP_MS, FOUR + DONE + LAST], {
    completed: 4,
    doubled: 4,
  }],
  ["events merged into one chunk", [
    HEAD + ONE,
    2 * GAP_MS,
    chunk(EVENTS[1]! + EVENTS[2]!),
    GAP_MS,
    FOUR + DONE + LAST,
  ], { completed: 4, merged: 4 }],
  ["events due together in one chunk as not merged", [
    HEAD + ONE,
    GAP_MS,
    TWO,
    GAP_MS,
    THREE,
    GAP_MS,
    chunk(EVENTS[3]! + EVENTS[4]!) + LAST,
  ], { completed: 4 }],
  ["chunks in one packet as not merged", [HEAD + ONE + TWO + THREE + FOUR + DONE + LAST], {
    completed: 4,
  }],
  ["a whole answer in one chunk as merged", [HEAD + chunk(EVENTS.join("")) + LAST], {
    completed: 4,
    merged: 12,
  }],
  ["an event split over chunks", [
    HEAD + ONE,
    chunk(EVENTS[1]!.slice(0, 7)),
    chunk(EVENTS[1]!.slice(7)),
    THREE + FOUR + DONE + LAST,
  ], { completed: 4 }],
  ["a garbled event", [HEAD + ONE + TWO.replace("two", "tw0") + THREE + FOUR + DONE + LAST], {
    lost: 4,
    strange: 4,
    failed: { "answer not whole": 4 },
  }],
  ["a stream that breaks off", [HEAD + ONE, GAP_MS, TWO], {
    lost: 12,
    failed: { "broke off": 4 },
  }],
  ["a clean end that comes too early", [HEAD + ONE + TWO + LAST], {
    lost: 12,
    failed: { "answer not whole": 4 },
  }],
  ["no terminator behind the last event", [HEAD + ONE + TWO + THREE + FOUR + DONE], {
    failed: { "broke off": 4 },
  }],
  ["a reset before the head", ["reset"], { lost: 20, failed: { reset: 4 } }],
  ["another status", ["HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"], {
    lost: 20,
    failed: { "status 503": 4 },
  }],
  ["what an error says", ["HTTP/1.1 429 No\r\nContent-Length: 4\r\n\r\nfull"], {
    lost: 20,
    failed: { "status 429: full": 4 },
  }],
];

const SAID = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n';
/** An answer of status 200 → why it is a failure, whether it is known beforehand or not. */
const FAULTS = [
  ["an error in it", `${SAID}data: {"error":{"message":"boom"}}\n\ndata: [DONE]\n\n`, "boom"],
  [
    "an error that is several lines, a secret and a bell",
    `${SAID}data: {"error":{"message":"no own-key\\nline 2 \\u0007"}}\n\ndata: [DONE]\n\n`,
    "no *** line 2 \\x07",
  ],
  ["no end mark", SAID.replace("}}]", '},"finish_reason":"stop"}]'), "no end mark"],
  ["nothing said", "data: [DONE]\n\n", "empty answer"],
] as const;

describe("StreamRun", () => {
  for (const [name, deeds, found] of CASES) {
    test(`sees ${name}`, async () => {
      const report = await measure(deeds);
      const { completed, failed, lost, doubled, strange, merged } = report;
      const expected = { completed: 0, failed: {}, lost: 0, doubled: 0, strange: 0, merged: 0 };
      expect({ completed, failed, lost, doubled, strange, merged }).toEqual(
        {
          ...expected,
          ...found,
        } as typeof expected,
      );
      expect(report.events).toBe(20 - lost);
    });
  }

  for (const [name, body, failure] of FAULTS) {
    test(`an answer with ${name} is a failure, known or not`, async () => {
      const bytes = new TextEncoder().encode(body);
      const deeds = [HEAD + chunk(body) + LAST];
      const head = { field: () => "text/event-stream" } as unknown as Head;
      const fault = probeFault({ head, body: bytes, wireBytes: 0, eventsMs: [] });
      const clean = (text: string) => text.replaceAll("own-key", "***");
      const known = { answer: knownAnswer([bytes]), dueMs: undefined, fault, clean };
      expect((await measure(deeds, known)).failed).toEqual({ [failure]: 4 });
      const unknown = { answer: undefined, dueMs: undefined, clean };
      expect((await measure(deeds, unknown)).failed).toEqual({ [failure]: 4 });
    });
  }

  test("lateness is measured against the schedule, and does not cancel out", async () => {
    const lateMs = 150;
    const report = await measure([HEAD + ONE, GAP_MS + lateMs, TWO + THREE, FOUR + DONE + LAST]);
    expect(report.latenessMs.count).toBe(20);
    expect(report.latenessMs.max).toBeGreaterThanOrEqual(lateMs);
    // Two, three, four and the end are all late, although only one gap is long.
    expect(report.latenessMs.p50).toBeGreaterThanOrEqual(lateMs - 2 * GAP_MS - 1);
    expect(report.gapMs.max).toBeGreaterThanOrEqual(lateMs);
    expect(report.driftMs.p50).toBeGreaterThanOrEqual(lateMs - 2 * GAP_MS - 1);
  });

  test("an event that comes too early is late by as much", async () => {
    const dueMs = DUE_MS.map((due) => due + 10_000);
    const report = await measure(GOOD, { dueMs });
    expect(report.latenessMs.p50).toBeGreaterThan(5000);
  });

  test("the wait for the first event counts from when the stream should have started", async () => {
    const report = await measure([120, HEAD + ONE + TWO + THREE + FOUR + DONE + LAST]);
    expect(report.firstEventMs.count).toBe(4);
    expect(report.firstEventMs.p50).toBeGreaterThanOrEqual(119);
  });

  test("a stream that never ends is given up, and what it owes is lost", async () => {
    const report = await measure([HEAD + ONE, 60_000], { graceMs: 1000 });
    expect(report.failed).toEqual({ "timed out": 4 });
    expect(report.lost).toBe(16);
    expect(judge(report, LIMITS).kind).not.toBe("valid");
  });

  test("an abort ends it", async () => {
    const report = await measure([HEAD + ONE, 60_000], { signal: AbortSignal.timeout(50) });
    expect(report.failed).toEqual({ aborted: 4 });
  });

  test("nobody listening is a failure of every stream", async () => {
    const report = await new StreamRun(planFor(freePort())).measure();
    expect(Object.values(report.failed)).toEqual([4]);
    expect(Object.keys(report.failed)[0]).toStartWith("cannot connect");
    expect(judge(report, LIMITS).kind).toBe("failed");
    expect(judge(report, LIMITS).reasons).toContain("no event came");
  });

  test("only events due while all streams are open are measured, all are counted", async () => {
    const dueMs = Float64Array.from([0, 600, 1200, 1200, 1200]);
    const deeds = [HEAD + ONE, 600, TWO, 600, THREE + FOUR + DONE + LAST];
    const report = await measure(deeds, { dueMs, rampMs: 100 });
    expect(report.windowMs).toBeCloseTo(1100, 3);
    expect(report.latenessMs.count).toBe(4); // the events at 600 ms
    expect(report.events).toBe(20);
    expect(report.completed).toBe(4);
  });

  test("without a known answer it counts events and their gaps", async () => {
    const report = await measure(GOOD, { answer: undefined, dueMs: undefined });
    expect(report.events).toBe(20);
    expect(report.completed).toBe(4);
    expect(report.latenessMs.count).toBe(0);
    expect(report.gapMs.max).toBeGreaterThanOrEqual(GAP_MS - 1);
  });

  test("a client whose own loop is late is invalid, however good the server", async () => {
    const block = setInterval(() => {
      const untilMs = performance.now() + 30;
      while (performance.now() < untilMs);
    }, 31);
    const report = await measure(GOOD);
    clearInterval(block);
    expect(report.loopDelayMs.p99).toBeGreaterThan(3);
    expect(judge(report, LIMITS).kind).toBe("invalid");
    expect(judge(report, LIMITS).reasons[0]).toStartWith("the client's own loop was");
  });

  test("opened settles while the streams are still running", async () => {
    const listener = scripted([HEAD + ONE, 60_000]);
    listeners.push(listener);
    const run = new StreamRun(planFor(listener.port, { graceMs: 60_000 }));
    const report = run.measure();
    await run.opened;
    expect(run.progress).toEqual({ opened: 4, over: 0, events: 4 });
    run.stop("enough");
    expect((await report).failed).toEqual({ enough: 4 });
  });
});

describe("spreadStarts()", () => {
  test("stays in order and within the ramp", () => {
    const starts = spreadStarts(4000, 2000);
    expect([...starts].sort((a, b) => a - b)).toEqual([...starts]);
    expect(starts[0]).toBe(0);
    expect(starts.at(-1)!).toBeLessThan(2000);
  });

  for (const gapMs of [20, 50, 200, 333]) {
    test(`is in phase with no gap of ${gapMs} ms`, () => {
      const perTenth = new Float64Array(10);
      for (const start of spreadStarts(4000, 2000)) {
        perTenth[Math.floor((start % gapMs) / gapMs * 10)]!++;
      }
      expect(Math.max(...perTenth)).toBeLessThan(2 * Math.min(...perTenth));
    });
  }
});
