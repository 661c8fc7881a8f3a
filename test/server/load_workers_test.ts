/** `weir load --workers`: several processes do what one does, and nobody is lost in silence. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { jsonText } from "../../src/load/report/json_text.ts";
import {
  cleanEnv,
  launch,
  makeFolder,
  run,
  TEST_MS_MAX,
  waitFor,
  type Weir,
  weirCommand,
} from "./launch.ts";

/** The client's own loop is never a reason: the machine may be as busy as it likes. */
const CALM = ["--max-loop-ms", "10000", "--workers", "2"];

// deno-lint-ignore no-explicit-any
type Json = any;

/** The processes that `pid` has started. */
function childrenOf(pid: number): readonly number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean)
    .map(Number);
}

const isThere = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
};

describe("weir load --workers", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.delay_ms": 5, "mock.reply": "one 二 three 🌊" } });
  }, TEST_MS_MAX);
  afterAll(() => weir.stop());

  test("several processes are one load, in all that is written", async () => {
    const folder = makeFolder();
    const file = (name: string) => join(folder, name);
    const ended = await run([
      ...["load", weir.url, "-r", "200", "--requests", "31", "--rounds", "2", "--warmup", "4"],
      ...[
        "--slo",
        "e2e=60s",
        "--json",
        "--raw",
        file("raw"),
        "--csv",
        file("csv"),
        "-o",
        file("out"),
      ],
      ...CALM,
    ]);
    const report = JSON.parse(ended.output);
    expect(report).toMatchObject({ load: "200/s poisson", rounds: 2, processes: 2 });
    expect(report.requests).toMatchObject({ sent: 62, completed: 62, errors: [] });
    expect(report).toMatchObject({ warmup_requests: 8, goodput: { good: 62, share: 1 } });
    expect(report.ttft_ms.ci95.p50.length).toBe(2);
    expect(ended.code).toBe(0);
    const raw = readFileSync(file("raw"), "utf8").trimEnd().split("\n")
      .map((line) => JSON.parse(line));
    // The percentiles are those of all requests, to the three digits of a histogram.
    const times = raw.filter(({ warmup }) => !warmup).map(({ due_ms, end_ms }) => end_ms - due_ms)
      .sort((a, b) => a - b);
    for (const [share, name] of [[0.5, "p50"], [0.9, "p90"], [0.99, "p99"], [1, "max"]] as const) {
      const exact = times[Math.ceil(share * times.length) - 1]!;
      expect(Math.abs(report.e2e_ms[name] / exact - 1)).toBeLessThan(0.002);
    }
    const numbers = raw.map(({ number }) => number).sort((a, b) => a - b);
    expect(numbers).toEqual(Array.from({ length: 70 }, (_, i) => Math.floor(i / 2)));
    const places = new Set(raw.map(({ stage, round, number }) => `${stage} ${round} ${number}`));
    expect(places.size).toBe(70);
    expect(places).toContain("0 1 34");
    expect(readdirSync(folder).sort()).toEqual(["csv", "out", "raw"]);
    expect(readFileSync(file("csv"), "utf8")).toMatch(/\n200\/s poisson,62,62,/);
    // What it has written is what it has said, and the schedule that of one process.
    const { stages: [stage], parts } = JSON.parse(readFileSync(file("out"), "utf8"));
    expect(parts).toEqual({ count: 1, have: [0] });
    expect(JSON.parse(jsonText(stage.report))).toEqual(report);
    const alone = await run(
      [
        ...["load", weir.url, "-r", "200", "--requests", "31", "--rounds", "2", "--warmup", "4"],
        ...[
          "--raw",
          file("alone"),
        ],
      ],
    );
    expect(alone.output).toContain("62 of 62 requests completed");
    const due = (text: string) =>
      text.trimEnd().split("\n").map((line) => JSON.parse(line))
        .map(({ number, due_ms }) => `${number} ${due_ms}`).sort();
    expect(due(readFileSync(file("raw"), "utf8"))).toEqual(
      due(readFileSync(file("alone"), "utf8")),
    );
    rmSync(folder, { recursive: true });
  }, TEST_MS_MAX);

  const TOOLS: readonly (readonly [string, (json: Json) => unknown])[] = [
    ["vllm", (json) => json["completed"]],
    ["guidellm", (json) => json["benchmarks"][0]["metrics"]["request_totals"]["successful"]],
    ["llmperf", (json) => json["results_num_completed_requests"]],
  ];
  for (const [tool, completed] of TOOLS) {
    test(`--as ${tool} is of all of them`, async () => {
      const asked = ["load", weir.url, "--requests", "9", "-c", "3", "--as", tool, "--json"];
      const ended = await run([...asked, ...CALM]);
      expect(completed(JSON.parse(ended.output))).toBe(9);
      expect(ended.code).toBe(0);
    });
  }

  /** flags → loads and requests of the stages */
  const SHAPES: readonly (readonly [readonly string[], readonly (readonly [string, number])[]])[] =
    [
      [["-c", "1,5", "--requests", "11"], [["1 at once", 11], ["5 at once", 11]]],
      [["-c", "5", "--ramp", "50ms", "--requests", "12", "--whole"], [
        ["5 at once, reached over 0.05 s", 12],
      ]],
      [["-r", "100,200", "--requests", "7", "--ramp", "100ms"], [
        ["100/s poisson, reached over 0.1 s", 7],
        ["200/s poisson, reached over 0.1 s", 7],
      ]],
      [["-c", "4", "--turns", "3", "--requests", "18"], [["4 at once", 18]]],
      [["--trace", "trace.jsonl", "--speed", "50"], [["the trace, 50 times as fast", 5]]],
      [["-c", "3", "--leave-after", "1", "--requests", "6"], [["3 at once", 6]]],
      // One of the two has nothing to do.
      [["-c", "1", "--requests", "6"], [["1 at once", 6]]],
      [["-c", "4", "--requests", "1"], [["4 at once", 1]]],
      [["-r", "50", "--requests", "1"], [["50/s poisson", 1]]],
    ];
  for (const [words, stages] of SHAPES) {
    test(`${words.join(" ")} is done by two as by one`, async () => {
      const trace = Array.from(
        { length: 5 },
        (_, i) => JSON.stringify({ timestamp: 1000 * i, input_length: 9, output_length: 2 }),
      ).join("\n");
      const asked = ["load", weir.url, ...words, "--json", ...CALM];
      const ended = await run(asked, { files: { "trace.jsonl": trace } });
      const report = JSON.parse(ended.output);
      const told = (report.stages ?? [report]).map((one: Json) => [one.load, one.requests.sent]);
      expect(told).toEqual(stages);
      expect(ended.code).toBe(0);
    }, TEST_MS_MAX);
  }

  test("a sweep, and a search: the next stage is chosen by what all have found", async () => {
    const asked = ["--duration", "200ms", "--json", ...CALM];
    const swept = await run(
      ["load", weir.url, "--sweep", "--sweep-size", "3", "--max-concurrency", "4", ...asked],
    );
    const [alone, most, ...rates] = JSON.parse(swept.output).stages;
    expect([alone.load, most.load]).toEqual(["1 at once", "4 at once"]);
    expect(most.connections.at_once_max).toBe(4);
    const [a, b] = [alone, most].map((one) => one.requests_per_second);
    // What is reported is rounded, and the rates are chosen by what is not.
    for (const [{ load }, wanted] of [[rates[0], (a + b) / 2], [rates[1], b]]) {
      expect(load).toMatch(/^[\d.]+\/s poisson$/);
      expect(Math.abs(Number.parseFloat(load) / wanted - 1)).toBeLessThan(0.002);
    }
    expect(rates.length).toBe(2);
    const searched = await run(
      ["load", weir.url, "--search", "-r", "20,40", "--slo", "e2e=60s", ...asked],
    );
    expect(JSON.parse(searched.output).search).toEqual({ held: 40 });
    expect(searched.code).toBe(0);
  }, TEST_MS_MAX);

  test("two machines of two processes each are one load", async () => {
    const folder = makeFolder();
    const file = (name: string) => join(folder, name);
    const startAt = String(Date.now() / 1000 + 3);
    const asked = [
      "load",
      weir.url,
      "-r",
      "100",
      "--requests",
      "41",
      "--start-at",
      startAt,
      ...CALM,
    ];
    const parts = await Promise.all(["1/2", "2/2"].map(async (shard) => {
      const out = file(`${shard[0]}.json`);
      const { output } = await run([...asked, "--shard", shard, "-o", out, "--json"]);
      return { out, report: JSON.parse(output) };
    }));
    expect(parts.map(({ report }) => report.requests.sent)).toEqual([21, 20]);
    const all = ["load", "merge", ...parts.map(({ out }) => out), "--json", "-o", file("all.json")];
    const report = JSON.parse((await run(all)).output);
    expect(report).toMatchObject({ processes: 4, requests: { sent: 41, completed: 41 } });
    const { stages: [stage] } = JSON.parse(readFileSync(file("all.json"), "utf8"));
    const numbers: number[] = stage.rounds[0].tally.rows.number;
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 41 }, (_, i) => i));
    rmSync(folder, { recursive: true });
  }, TEST_MS_MAX);

  test("auto takes no more than the load needs, and says so", async () => {
    const asked = ["--requests", "4", "--max-loop-ms", "10000", "--workers", "auto", "--json"];
    const ended = await run(["load", weir.url, ...asked]);
    expect(ended.errors).toStartWith("--workers auto: 1 process for 8 at once, one for each 250\n");
    expect(JSON.parse(ended.output)).toMatchObject({ processes: 1, requests: { completed: 4 } });
  });

  /** A load that does not end by itself, and has begun. */
  async function begun(words: readonly string[] = []) {
    const folder = makeFolder();
    const child = Bun.spawn(
      [...weirCommand(), "load", weir.url, "--duration", "600s", ...CALM, ...words],
      { cwd: folder, env: cleanEnv(), stdout: "pipe", stderr: "pipe" },
    );
    const output = new Response(child.stdout).text();
    const errors = child.stderr.getReader();
    // The first line of its progress: all of them are under way.
    await waitFor(async () => (await errors.read()).value !== undefined);
    const workers = childrenOf(child.pid);
    expect(workers.length).toBe(2);
    return { folder, child, output, workers };
  }

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`${signal} gives the report so far of all, with 130, and ends them`, async () => {
      const { folder, child, output, workers } = await begun(["-o", "out.json"]);
      child.kill(signal);
      expect(await output).toMatch(
        /^\nInterrupted: this is what there was until then\.\n\d+ of \d+/,
      );
      expect(await child.exited).toBe(130);
      await waitFor(() => !workers.some(isThere));
      const { stages: [stage] } = JSON.parse(readFileSync(join(folder, "out.json"), "utf8"));
      expect(stage.report.requests.completed).toBeGreaterThan(0);
      expect(stage.report.processes).toBe(2);
      rmSync(folder, { recursive: true });
    }, TEST_MS_MAX);
  }

  test("a Ctrl-C that reaches the workers as well is the parent's to hear", async () => {
    const { folder, child, output, workers } = await begun();
    for (const pid of workers) process.kill(pid, "SIGINT");
    child.kill("SIGINT");
    expect(await output).toMatch(/^\nInterrupted: .*\n\d+ of \d+ requests completed, 0 failed/);
    expect(await child.exited).toBe(130);
    rmSync(folder, { recursive: true });
  }, TEST_MS_MAX);

  test("a worker that stands still keeps nobody from the report so far", async () => {
    const { folder, child, output, workers } = await begun();
    process.kill(workers[0]!, "SIGSTOP");
    child.kill("SIGINT");
    const text = await output;
    expect(text).toMatch(/^\nInterrupted: .*\n\d+ of \d+ requests completed, \d+ failed/);
    expect(text).toMatch(/client: worker [12] of 2 said nothing for 5 s, and was ended\n/);
    expect(await child.exited).toBe(130);
    await waitFor(() => !workers.some(isThere));
    rmSync(folder, { recursive: true });
  }, TEST_MS_MAX);

  /** A warm-up → what is measured is of all of the time behind it. */
  for (const warmup of ["20", "400ms"]) {
    test(`two have the same time behind a warm-up of ${warmup}`, async () => {
      const load = ["-r", "50", "--arrivals", "constant", "--duration", "1s", "--warmup", warmup];
      const ended = await run(["load", weir.url, ...load, "--json", ...CALM]);
      expect(JSON.parse(ended.output)).toMatchObject({
        offered_seconds: 1,
        warmup_requests: 20,
        requests: { sent: 50, completed: 50, not_sent: 0 },
      });
    }, TEST_MS_MAX);
  }

  test("workers whose parent is killed end by themselves", async () => {
    const { folder, child, workers } = await begun();
    child.kill("SIGKILL");
    await child.exited;
    await waitFor(() => !workers.some(isThere));
    rmSync(folder, { recursive: true });
  }, TEST_MS_MAX);

  /** The load → requests of the first of its two stages. */
  const WITH_A_DEATH: readonly (readonly [string, readonly string[], number])[] = [
    ["a closed loop", ["-c", "2,4", "--requests", "60"], 60],
    ["an open loop", ["-r", "20,40", "--arrivals", "constant", "--requests", "40"], 40],
  ];
  const DEATH = "a worker that dies is told, has failed, and ends the load behind its stage:";
  for (const [what, flags, count] of WITH_A_DEATH) {
    test(`${DEATH} ${what}`, async () => {
      const body = JSON.stringify({ data: [{ embedding: [0] }] });
      let release = () => {};
      const held = new Promise<void>((resolve) => release = resolve);
      let seen = 0;
      let waiting = 0;
      const server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        async fetch() {
          if (++seen > 10) {
            waiting++;
            await held;
          }
          return new Response(body, { headers: { "content-type": "application/json" } });
        },
      });
      const folder = makeFolder();
      const child = Bun.spawn(
        [
          ...[
            ...weirCommand(),
            "load",
            `${server.url}v1/embeddings`,
            ...flags,
          ],
          ...["--json", "--raw", "raw.jsonl", ...CALM],
        ],
        { cwd: folder, env: cleanEnv(), stdout: "pipe", stderr: "pipe" },
      );
      const output = new Response(child.stdout).text();
      const raw = join(folder, "raw.jsonl");
      const lines = (): readonly Json[] =>
        readFileSync(raw, "utf8").split("\n").slice(0, -1).map((line) => JSON.parse(line));
      // Both wait for their answers, and what is over is written.
      await waitFor(() => waiting >= 2 && lines().length === 10);
      const [first] = childrenOf(child.pid);
      process.kill(first!, "SIGKILL");
      release();
      const { stages } = JSON.parse(await output);
      expect(await child.exited).toBe(1);
      // The second stage would have been half of what was asked for.
      expect(stages.length).toBe(1);
      const [{ requests, doubt }] = stages;
      expect(requests.completed).toBe(count / 2);
      expect(requests.failed).toBeGreaterThan(0);
      // A closed loop has no schedule.
      if (what === "an open loop") {
        expect(requests.failed + requests.not_sent).toBe(count / 2);
      } else expect(requests.not_sent).toBe(0);
      const [error] = requests.errors;
      expect(error).toMatchObject({ phase: "client", status: null, count: requests.failed });
      expect(error.text).toMatch(/^worker [12] of 2 was ended by SIGKILL$/);
      expect(doubt.reasons[0]).toBe(
        `${error.text}: the load was smaller from then on, and what it had measured is lost`,
      );
      // The lines of the dead one stay, and those of the other one are all there.
      const deadPart = Number(/^worker (\d)/.exec(error.text)![1]) - 1;
      const own = (part: number) => lines().filter(({ number }) => number % 2 === part).length;
      expect(own(1 - deadPart)).toBe(requests.completed);
      expect(own(deadPart)).toBeGreaterThan(0);
      expect(readdirSync(folder)).toEqual(["raw.jsonl"]);
      await server.stop(true);
      rmSync(folder, { recursive: true });
    }, TEST_MS_MAX);
  }

  describe("a server that answers ten a second", () => {
    const words = ["a", "b"].map((content) =>
      `data: {"choices":[{"index":0,"delta":{"content":"${content}"}}]}\n\n`
    );
    const answer = [
      ...words,
      'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
      "data: [DONE]\n\n",
    ].join("");
    function slowServer(): Bun.Server<undefined> {
      let turn = Promise.resolve();
      return Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        idleTimeout: 0,
        async fetch({ signal }) {
          turn = turn.then(() => signal.aborted ? undefined : Bun.sleep(100));
          await turn;
          return new Response(answer, { headers: { "content-type": "text/event-stream" } });
        },
      });
    }

    test(
      "a rate that runs away is stopped, and higher ones are left out, by one and by two",
      async () => {
        await Promise.all(["1", "2"].map(async (workers) => {
          const server = slowServer();
          const ended = await run([
            ...[
              "load",
              `${server.url}`,
              "-r",
              "40,60,1",
              "--arrivals",
              "constant",
              "--duration",
              "12s",
            ],
            ...["--stop-when-saturated", "--slo", "ttft=300ms", "--json", "--max-loop-ms", "10000"],
            ...["--grace", "60s", "--workers", workers],
          ]);
          await server.stop(true);
          const { stages } = JSON.parse(ended.output);
          expect(stages.map(({ load }: Json) => load)).toEqual(["40/s constant", "1/s constant"]);
          expect(ended.errors).toEndWith(
            "Rates from 40.0/s on were left out: that one ran away.\n",
          );
          const [away, held] = stages;
          expect(away.saturated_after_s).toBeGreaterThanOrEqual(6);
          expect(away.saturated_after_s).toBeLessThan(12);
          expect(away.requests.unfinished).toBeGreaterThan(0);
          expect(away.doubt.reasons[0]).toMatch(
            /^stopped \d+\.\d s after its start, as both the req/,
          );
          expect(away.doubt.limit).toBe("server");
          expect(held).toMatchObject({
            saturated_after_s: null,
            requests: { sent: 12, failed: 0 },
          });
          expect(ended.code).toBe(1);
        }));
      },
      TEST_MS_MAX,
    );
  });
});
