import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Doubt, type DoubtLimits, doubtOf } from "../../src/load/doubt.ts";
import { NO_DESCRIPTOR } from "../../src/load/link.ts";
import { KIND, type Recording } from "../../src/load/record.ts";
import type { LoadReport } from "../../src/load/report/report.ts";
import { type Load, LoadRun } from "../../src/load/run.ts";
import { factsOf, type StageFacts } from "../../src/load/stage_facts.ts";
import { Tally } from "../../src/load/tally.ts";
import { freePort, type RunningServer, startServer } from "../../bench/server_process.ts";
import { recorded } from "./recorded.ts";

const { choice, text, finish, done } = KIND;
const LIMITS: DoubtLimits = { loopMsMax: 2, ratePerSecond: undefined, concurrencyMax: Infinity };
const CALM: StageFacts = {
  measuredMs: 10_000,
  offeredMs: 9000,
  isInterrupted: false,
  connectionsOpened: 3,
  requestsOnKept: 7,
  activeMax: 4,
  waitingMax: 0,
  loop: { p50: 0.1, p99: 0.4, max: 1 },
  cpuShare: 0.2,
  waitShare: 0,
  processes: 1,
  saturatedMs: null,
  troubles: [],
};

/** What is told of a hundred answers: when their first token came, and what lay unread how long. */
interface Told {
  readonly firstMs: number;
  readonly connectMs?: number;
  /** Answers whose connection was made for them. */
  readonly connects?: number;
  readonly lateMs?: (i: number) => number;
  readonly facts?: Partial<StageFacts>;
  readonly limits?: Partial<DoubtLimits>;
}

function doubt(
  { firstMs, connectMs = 0.1, connects = 100, lateMs = () => 0, facts, limits }: Told,
): Doubt {
  const tally = new Tally({ slo: undefined, countTokens: undefined });
  for (let i = 0; i < 100; i++) {
    const record: Recording = recorded([
      [firstMs, choice | text, "a"],
      [firstMs + 20, choice | text, "b"],
      [firstMs + 21, choice | finish],
      [firstMs + 22, done],
    ]);
    record.connectedMs = i < connects ? connectMs : NaN;
    record.readLateMs.fill(lateMs(i));
    tally.observe(record);
  }
  return doubtOf({ ...CALM, ...facts }, tally, { ...LIMITS, ...limits });
}

test("doubtOf() names the limits that no answer has a figure for", () => {
  const tally = new Tally({ slo: undefined, countTokens: undefined });
  tally.observe(recorded([[9, choice | text, "a"]], { outcome: "left" }));
  const { reasons, unjudged } = doubtOf(CALM, tally, LIMITS, { e2e: 1, ttft: 1 });
  expect(unjudged).toEqual(["e2e"]);
  expect(reasons).toContain("no answer has a time to its end: the limit e2e was not judged");
});

describe("doubtOf() names whoever it was", () => {
  test("nobody: a server whose queue takes 50 ms", () => {
    const { is_doubtful, reasons, limit, late_ms, ttft_parts_ms } = doubt({ firstMs: 50.4 });
    expect({ is_doubtful, reasons, limit }).toEqual({
      is_doubtful: false,
      reasons: [],
      limit: "server",
    });
    // What lay unread is 0: what remains is how late the loop wakes.
    expect(late_ms).toEqual({ ttft: { p50: 0.1, p99: 0.4 }, itl: { p50: 0.1, p99: 0.4 } });
    expect(ttft_parts_ms!.client).toBeCloseTo(0.1, 3);
    expect(ttft_parts_ms!.network).toBeCloseTo(0.1, 3);
    expect(ttft_parts_ms!.server).toBeCloseTo(50.2, 1);
  });

  test("the network or the server: even the fastest connect takes most of the time", () => {
    const { is_doubtful, limit, ttft_parts_ms } = doubt({ firstMs: 43, connectMs: 40 });
    expect({ is_doubtful, limit }).toEqual({ is_doubtful: false, limit: "network_or_server" });
    expect(ttft_parts_ms!.network).toBeCloseTo(40, 1);
    // In an open loop that goes out as asked, nothing was a limit.
    const limits = { ratePerSecond: 0.011 };
    expect(doubt({ firstMs: 43, connectMs: 40, limits }).limit).toBe("none");
  });

  test("one connect bounds the way there and back, and so does one that was made to warm up", () => {
    const { limit, connect_ms_min } = doubt({ firstMs: 28, connectMs: 13, connects: 1 });
    expect({ limit, connect_ms_min }).toEqual({ limit: "server", connect_ms_min: 13 });
    const tally = new Tally({ slo: undefined, countTokens: undefined });
    const record = recorded([[28, choice | text, "a"]]);
    record.isWarmup = true;
    record.connectedMs = record.sentMs + 9;
    tally.observe(record);
    const told = doubtOf(CALM, Tally.read(tally.toFile()), LIMITS);
    expect(told.connect_ms_min).toBe(9);
    expect(told.reasons).toEqual([
      "no request was measured: 1 request was sent or due, to warm up",
    ]);
  });

  test("without a connect nothing bounds it, and nothing is told of it", () => {
    const { ttft_parts_ms, connect_ms_min } = doubt({ firstMs: 28, connects: 0 });
    expect({ ttft_parts_ms, connect_ms_min }).toEqual({
      ttft_parts_ms: null,
      connect_ms_min: null,
    });
  });

  test("the client, in one read of twenty, since other programs had the processor", () => {
    const { is_doubtful, reasons, limit } = doubt({
      firstMs: 50,
      lateMs: (i) => i % 20 === 0 ? 8 : 0.05,
      facts: { waitShare: 0.3 },
    });
    // 8 of 50 ms are too much to believe, and no limit.
    expect({ is_doubtful, limit }).toEqual({ is_doubtful: true, limit: "server" });
    expect(reasons).toEqual([
      "times to the first token may be too long by up to 0.10 ms in half of all cases, and 8.0 ms in " +
      "one of a hundred; gaps may be off by up to 0.10 ms in half of all cases, and 8.0 ms in one of " +
      "a hundred: other programs had its processor for 60 % of the time in which the client wanted to run " +
      "(more than --max-loop-ms 2, and than 1 % of them)",
    ]);
    // Who is content with less does not hear of it.
    expect(doubt({ firstMs: 50, lateMs: () => 8, limits: { loopMsMax: 40 } }).reasons).toEqual([]);
  });

  test("the client, which is busy itself", () => {
    const { reasons, limit } = doubt({
      firstMs: 50,
      lateMs: () => 12,
      facts: { cpuShare: 0.97, loop: { p50: 6, p99: 12, max: 15 } },
    });
    expect(limit).toBe("client");
    expect(reasons).toHaveLength(2);
    expect(reasons[0]).toContain("own loop was busy for 97 % of the time, and late by up to 15 ms");
    expect(reasons[1]).toContain("the client used 97 % of a core");
  });

  test("the client, whose pauses nothing that was read has seen", () => {
    const facts = { loop: { p50: 0.1, p99: 9, max: 45 } };
    const { reasons, late_ms } = doubt({ firstMs: 50, facts });
    expect(late_ms.ttft).toEqual({ p50: 0.1, p99: 9 });
    expect(reasons[0]).toContain(
      "up to 0.10 ms in half of all cases, and 9.0 ms in one of a hundred",
    );
    expect(reasons[0]).toContain("late by up to 45 ms");
  });

  test("half of all times are to be better than the rest", () => {
    expect(doubt({ firstMs: 50, lateMs: () => 0.4 }).is_doubtful).toBe(false);
    const { reasons } = doubt({ firstMs: 50, lateMs: () => 0.6 });
    expect(reasons[0]).toContain("up to 0.60 ms in half of all cases, and 0.60 ms in one");
  });

  /** figure, late by → believed: the larger one of 2 ms and 1 % of it, and a quarter for half of them */
  const SHARES: readonly (readonly [number, number, boolean])[] = [
    // The wanted figure: within 2 ms and 0.5 ms where the first token takes 200 ms and gaps 20.
    [198, 2.1, false],
    [198, 1.9, true],
    [600, 5.9, true],
    [600, 6.2, false],
    [4, 1.9, true],
  ];
  for (const [firstMs, late, isBelieved] of SHARES) {
    test(`a first token of ${firstMs} ms that is ${late} ms late, is ${isBelieved ? "" : "not "}believed`, () => {
      const tally = new Tally({ slo: undefined, countTokens: undefined });
      for (let i = 0; i < 100; i++) {
        const record = recorded([[firstMs, choice | text, "a"], [firstMs, choice | finish | done]]);
        record.readLateMs.fill(i % 20 === 0 ? late : 0.1);
        tally.observe(record);
      }
      expect(doubtOf(CALM, tally, LIMITS).is_doubtful).toBe(!isBelieved);
    });
  }
  for (const [halfMs, isBelieved] of [[1.4, true], [1.6, false]] as const) {
    test(`half of them: ${halfMs} of 600 ms`, () => {
      const tally = new Tally({ slo: undefined, countTokens: undefined });
      const record = recorded([[600, choice | text, "a"], [600, choice | finish | done]]);
      record.readLateMs.fill(halfMs);
      tally.observe(record);
      expect(doubtOf(CALM, tally, LIMITS).is_doubtful).toBe(!isBelieved);
    });
  }

  test("an answer without tokens has an end, and no first token", () => {
    const tally = new Tally({ slo: undefined, countTokens: undefined });
    const record = recorded([[50, choice | text | finish | done, "a"]]);
    record.readLateMs.fill(9);
    tally.observe(record);
    expect(doubtOf(CALM, tally, LIMITS).reasons[0]).toStartWith(
      "times to the end of an answer may be too long by up to 9.0 ms",
    );
  });

  test("a request that went out late, and a connection that was ready, count as well", () => {
    const tally = new Tally({ slo: undefined, countTokens: undefined });
    const record = recorded([[50, choice | text, "a"], [51, choice | finish], [52, done]]);
    record.sendLateMs = 2;
    record.openLateMs = 3;
    record.readLateMs[0] = 1;
    tally.observe(record);
    record.connectedMs = 4;
    tally.observe(record);
    const { late_ms: { ttft, itl }, connect_ms_min } = doubtOf(CALM, tally, LIMITS);
    // What the client may have been late is in it: nobody knows that it was.
    expect(connect_ms_min).toBe(4 - record.sentMs);
    expect(ttft!.p99).toBeCloseTo(6, 2);
    expect(itl).toBeNull();
  });
});

describe("a run whose times are known", () => {
  let server: RunningServer;
  beforeAll(async () => {
    const port = freePort();
    const path = new URL("../../bench/peers/ledger.ts", import.meta.url).pathname;
    server = await startServer({
      name: "ledger",
      command: [process.execPath, "--no-env-file", path, String(port), "50", "10", "60"],
      port,
      readyPath: "/",
      cores: [0, 1],
    });
  });
  afterAll(() => server.stop());

  async function run(load: Load, loopMsMax: number): Promise<Doubt> {
    const tally = new Tally({ slo: undefined, countTokens: undefined });
    const bytes = Buffer.from("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    const request = { bytes, wantsEvents: true, leaveTokens: Infinity };
    const numbers = { session: 0, turn: 0, promptTokens: NaN, tokensMax: NaN };
    const found = await new LoadRun({
      targets: [{ hostname: "127.0.0.1", port: Number(new URL(server.origin).port) }],
      maker: {
        next: () => ({ ...request, ...numbers, readBytesPerSecond: Infinity }),
        over: () => undefined,
      },
      load,
      durationMs: Infinity,
      requestsMax: 8,
      warmupMs: 0,
      warmupRequests: 0,
      graceMs: 20_000,
      timeoutMs: 60_000,
      connectMs: 20_000,
      keepsConnections: true,
      countTokens: () => 0,
      observe: (record) => tally.observe(record),
    }).measure();
    expect(tally.outcomes).toMatchObject({ completed: 8, failed: 0 });
    return doubtOf(factsOf(found), tally, { ...LIMITS, loopMsMax });
  }
  const load: Load = { kind: "closed", concurrency: 8, rampMs: 0 };

  test("is the server's, where the client had time", async () => {
    const { is_doubtful, limit, ttft_parts_ms } = await run(load, 10_000);
    const { server, network } = ttft_parts_ms!;
    // On a busy machine a connect may take longer than the server.
    const expected = network > server ? "network_or_server" : "server";
    expect({ is_doubtful, limit }).toEqual({ is_doubtful: false, limit: expected });
  });

  test("is the client's, where something else keeps its loop busy", async () => {
    const busy = setInterval(() => {
      const untilMs = performance.now() + 30;
      while (performance.now() < untilMs);
    }, 40);
    try {
      const { is_doubtful, limit, late_ms, reasons } = await run(load, 10);
      expect({ is_doubtful, limit }).toEqual({ is_doubtful: true, limit: "client" });
      expect(late_ms.itl!.p99).toBeGreaterThan(20);
      expect(reasons[0]).toContain("gaps may be off by");
    } finally {
      clearInterval(busy);
    }
  });

  test("is the client's, where it has no descriptor left: it was not the server that refused", async () => {
    const main = new URL("../../main.ts", import.meta.url).pathname;
    const words = ["load", server.origin, "-c", "200", "--requests", "200", "--json"];
    const command = [process.execPath, "--no-env-file", main, ...words];
    const child = Bun.spawn(["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", ...command], {
      stdout: "pipe",
      stderr: "ignore",
    });
    const report = await new Response(child.stdout).json() as LoadReport;
    expect(await child.exited).toBe(1);
    const { completed, failed, errors } = report.requests;
    expect(completed).toBeGreaterThan(0);
    expect(completed + failed).toBe(200);
    expect(errors[0]).toMatchObject({ phase: "connect", status: null, text: NO_DESCRIPTOR });
    expect(report.doubt.limit).toBe("client");
    expect(report.doubt.reasons).toContain(
      `${errors[0]!.count} requests were not sent: ${NO_DESCRIPTOR}`,
    );
  });
});
