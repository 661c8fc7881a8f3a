import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canMakeCertificates, makeCertificate } from "./certificate.ts";
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
const CALM = ["--max-loop-ms", "10000"];

// deno-lint-ignore no-explicit-any
type Json = any;

describe("weir load", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.delay_ms": 20, "mock.reply": "one 二 three 🌊" } });
  }, TEST_MS_MAX);
  afterAll(() => weir.stop());

  test("held: exit code 0, and nothing speaks against it", async () => {
    const ended = await run(["load", weir.url, "-c", "4", "--requests", "20", ...CALM]);
    expect(ended.output).toMatch(/^\n20 of 20 requests completed, 0 failed\.\n/);
    expect(ended.output).toMatch(/\nfirst token, ms .*\d\n/);
    expect(ended.output).toMatch(/\nwhole answer, ms .*\d\n/);
    expect(ended.output).toMatch(/tokens\/s \(the server's count\), .* tokens\/s \(own count\)/);
    expect(ended.output).toContain("How far to believe it: nothing speaks against it.");
    expect(ended.code).toBe(0);
  });

  test("--json has the figures by their names", async () => {
    const ended = await run(["load", weir.url, "-c", "2", "--requests", "10", "--json", ...CALM]);
    const report = JSON.parse(ended.output);
    expect(report.requests).toMatchObject({ sent: 10, completed: 10, failed: 0, errors: [] });
    for (const name of ["ttft_ms", "itl_ms", "tpot_ms", "e2e_ms"]) {
      const figures = report[name];
      for (const figure of ["p50", "p90", "p95", "p99", "p999", "max", "mean"]) {
        expect(figures[figure]).toBeGreaterThan(0);
      }
      expect(figures.p50).toBeLessThanOrEqual(figures.max);
    }
    // Events leave when they are due, and never before.
    expect(report.e2e_ms.p50).toBeGreaterThan(report.ttft_ms.p50);
    expect(report.goodput).toBeNull();
    expect(report.doubt).toMatchObject({ is_doubtful: false, reasons: [] });
    expect(report.tokens).toMatchObject({ told_answers: 10, own_answers: 10 });
    expect(report.tokens.own).toBe(report.tokens.told);
  });

  test("a rate, its goodput, CSV and raw lines", async () => {
    const folder = makeFolder();
    const [csv, raw] = [join(folder, "a.csv"), join(folder, "a.jsonl")];
    const ended = await run([
      "load",
      weir.url,
      ...["-r", "40,80", "--arrivals", "constant", "--requests", "8", "--json", ...CALM],
      ...["--slo", "ttft=60s,tpot=60s,e2e=60s", "--csv", csv, "--raw", raw, "--warmup", "2"],
    ]);
    const { stages } = JSON.parse(ended.output);
    const rawStages = readFileSync(raw, "utf8").trimEnd().split("\n")
      .map((line) => JSON.parse(line).stage);
    expect(rawStages).toEqual([...Array(10).fill(0), ...Array(10).fill(1)]);
    expect(stages.map(({ load }: { readonly load: string }) => load)).toEqual([
      "40/s constant",
      "80/s constant",
    ]);
    expect(stages[0].requests.sent).toBe(8);
    expect(stages[0].warmup_requests).toBe(2);
    expect(stages[0].goodput).toMatchObject({ good: 8, share: 1, slo_ms: { ttft: 60_000 } });
    expect(ended.code).toBe(0);
    const rows = readFileSync(csv, "utf8").trimEnd().split("\n");
    expect(rows.length).toBe(3);
    expect(rows[0]).toMatch(/^load,sent,completed,.*,ttft_ms_p50,/);
    expect(rows[1]).toMatch(/^40\/s constant,8,8,/);
    const lines = readFileSync(raw, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
    expect(lines.length).toBe(20);
    const kinds = lines[0].events.map(([, told]: readonly [number, string]) => told);
    expect(kinds).toContain("choice+text");
    expect(kinds.at(-1)).toBe("done");
    expect(lines[0].end_ms).toBeGreaterThanOrEqual(lines[0].reads.at(-1)[0]);
    rmSync(folder, { recursive: true });
  });

  test("rounds have confidence intervals", async () => {
    const ended = await run(
      ["load", weir.url, "-c", "2", "--requests", "4", "--rounds", "3", "--json", ...CALM],
    );
    const { rounds, requests, ttft_ms } = JSON.parse(ended.output);
    expect(rounds).toBe(3);
    expect(requests.sent).toBe(12);
    const [low, high] = ttft_ms.ci95.p50;
    expect(low).toBeLessThanOrEqual(high);
  });

  test("an SLO that is missed exits with 1", async () => {
    const ended = await run(
      ["load", weir.url, "--requests", "5", "--slo", "e2e=1ms", ...CALM],
    );
    expect(ended.output).toMatch(/goodput: 0\.00 answers\/s, 0 % of all requests kept e2e 1 ms/);
    expect(ended.code).toBe(1);
  });

  test("a figure to be doubted exits with 3, and says why", async () => {
    const ended = await run(
      ["load", weir.url, "-c", "3", "--duration", "300ms", "--grace", "0s", "--json", ...CALM],
    );
    const { requests, doubt } = JSON.parse(ended.output);
    expect(requests).toMatchObject({ failed: 0, unfinished: 3 });
    expect(doubt.reasons.join()).toContain("3 requests were not over when the run was");
    expect(ended.code).toBe(3);
  });

  /** APIs of the mock, streamed and whole, by their paths. */
  const ASKED: readonly (readonly string[])[] = [
    ["/v1/chat/completions"],
    ["/v1/chat/completions", "--whole"],
    ["/v1/responses"],
    ["/v1/responses", "--whole", "--api", "responses"],
    ["/v1/completions"],
    ["/v1/messages", "-m", "claude-sonnet-4-5"],
    ["/v1/messages", "--whole", "-m", "claude-sonnet-4-5"],
    ["/v1/embeddings", "-m", "text-embedding-3-small"],
    ["/v1/chat/completions", "--prompt-tokens", "50", "--output-tokens", "5"],
    ["/v1/chat/completions", "--turns", "3"],
    ["/health", "-X", "GET"],
  ];
  for (const [path, ...words] of ASKED) {
    test(`asks ${path} ${words.join(" ")}`, async () => {
      const asked = ["load", `${weir.url}${path}`, "--requests", "6", "-c", "2", "--json"];
      const ended = await run([...asked, ...words, ...CALM]);
      const { requests, doubt } = JSON.parse(ended.output);
      expect(requests).toMatchObject({ sent: 6, completed: 6, errors: [] });
      expect(doubt.reasons).toEqual([]);
      expect(ended.code).toBe(0);
    });
  }

  test("prompts have the wanted number of tokens, by the server's count", async () => {
    const asked = ["--prompt-tokens", "50", "--requests", "3", "--json", ...CALM];
    const ended = await run(["load", `${weir.url}/v1/completions`, ...asked]);
    expect(JSON.parse(ended.output).tokens.prompt).toBe(150);
  });

  /** tool → a field of its JSON for each request that was completed, a line of what it prints */
  const TOOLS: readonly (readonly [string, (json: Json) => unknown, RegExp])[] = [
    ["vllm", (json) => json["completed"], /=== Serving Benchmark Result ===.*Mean TTFT \(ms\):/s],
    ["sglang", (json) => json["completed"], /Total generated tokens \(retokenized\):/],
    [
      "aiperf",
      (json) => json["request_count"]["avg"],
      /NVIDIA AIPerf \| LLM Metrics.*│ +Time to First Token \(ms\) │ +\d/s,
    ],
    [
      "guidellm",
      (json) => json["benchmarks"][0]["metrics"]["request_totals"]["successful"],
      /^\| Benchmark +\| Request Latency +\|\| TTFT .*\n\| Strategy /m,
    ],
    ["inference-perf", (json) => json["successes"]["count"], /6 successes, 0 failures/],
    [
      "llmperf",
      (json) => json["results_num_completed_requests"],
      /^ttft_s\n {4}p25 = \d.*^Number Of Completed Requests: 6$/ms,
    ],
  ];
  for (const [tool, completed, printed] of TOOLS) {
    test(`--as ${tool} says what it would`, async () => {
      const words = ["load", weir.url, "--requests", "6", "-c", "2", "--as", tool, ...CALM];
      const [shown, json] = await Promise.all([run(words), run([...words, "--json"])]);
      expect(shown.output).toMatch(printed);
      expect(shown.errors).toContain("6 of 6 requests completed");
      expect(shown.output).not.toMatch(/\bNaN\b|undefined/);
      expect(completed(JSON.parse(json.output))).toBe(6);
      expect(json.code).toBe(0);
    });
  }

  test("a user and a password in the URL are sent, and stand nowhere", async () => {
    const heard: string[] = [];
    const server = Bun.serve({
      port: 0,
      fetch(request) {
        heard.push(`${request.headers.get("authorization")} ${request.headers.get("host")}`);
        return Response.json({ error: { message: "no" } }, { status: 401 });
      },
    });
    const folder = makeFolder();
    const files = ["o", "csv", "raw", "html"].map((name) => join(folder, name)) as string[];
    const [out, csv, raw, html] = files as [string, string, string, string];
    const url = `http://us%20er:s3cr3tpw@127.0.0.1:${server.port}/v1?api_key=QSECRET`;
    const one = ["load", url, "--requests", "1", "-H", "host: other", ...CALM];
    const said = [
      await run([...one, "-o", out, "--csv", csv, "--raw", raw, "--html", html]),
      await run([...one, "--json", "-H", "authorization: Bearer own"]),
      ...await Promise.all(
        ["aiperf", "guidellm"].map((tool) => run([...one, "--as", tool, "--json"])),
      ),
      await run(["bench", url, "-n", "1"]),
    ];
    const { host } = server.url;
    await server.stop(true);
    const basic = `Basic ${btoa("us er:s3cr3tpw")}`;
    expect(heard[0]).toBe(`${basic} other`);
    expect(heard[1]).toBe("Bearer own other");
    expect(heard.at(-1)).toBe(`${basic} ${host.replace("localhost", "127.0.0.1")}`);
    const all = [
      ...said.flatMap(({ output, errors }) => [output, errors]),
      ...files.map((path) => readFileSync(path, "utf8")),
    ].join("\n");
    expect(all).not.toMatch(/s3cr3tpw|QSECRET|us%20er/);
    expect(all).not.toContain(basic.slice("Basic ".length));
    expect(said.map(({ code }) => code)).toEqual(said.map(() => 1));
    rmSync(folder, { recursive: true });
  }, TEST_MS_MAX);

  /** warm-up → requests that warm up, at least; 20 are measured in any case */
  const WARMUPS: readonly (readonly [readonly string[], number])[] = [
    [["-r", "100", "--arrivals", "constant", "--warmup", "200ms"], 19],
    [["-c", "2", "--warmup", "200ms"], 1],
    [["-r", "100", "--warmup", "5"], 5],
  ];
  for (const [words, warmups] of WARMUPS) {
    test(`what warms up is not of --requests: ${words.join(" ")}`, async () => {
      const ended = await run(["load", weir.url, ...words, "--requests", "20", "--json", ...CALM]);
      const { requests, warmup_requests } = JSON.parse(ended.output);
      expect(requests).toMatchObject({ sent: 20, completed: 20 });
      expect(warmup_requests).toBeGreaterThanOrEqual(warmups);
    });
  }

  for (const load of [["-r", "50", "--arrivals", "constant"], ["-c", "2"]]) {
    test(`--duration counts from the end of --warmup N: ${load.join(" ")}`, async () => {
      const asked = [...load, "--duration", "1s", "--warmup", "20", "--json", ...CALM];
      const { requests, warmup_requests, offered_seconds } = JSON.parse(
        (await run(["load", weir.url, ...asked])).output,
      );
      expect({ warmup_requests, offered_seconds }).toEqual({
        warmup_requests: 20,
        offered_seconds: 1,
      });
      if (load[0] === "-r") expect(requests).toMatchObject({ sent: 50, not_sent: 0 });
      expect(requests.sent).toBeGreaterThan(0);
    }, TEST_MS_MAX);
  }

  test("a warm-up that takes all is told", async () => {
    const trace = Array.from(
      { length: 3 },
      (_, i) => JSON.stringify({ timestamp: i, input_length: 9, output_length: 2 }),
    ).join("\n");
    const ended = await run(["load", weir.url, "--trace", "t.jsonl", "--warmup", "9", ...CALM], {
      files: { "t.jsonl": trace },
    });
    expect(ended.output).toContain(
      "  no request was measured: 3 requests were sent or due, to warm up\n",
    );
    expect(ended.code).toBe(3);
  });

  test("parts of a load with a warm-up in time are the whole", async () => {
    const folder = makeFolder();
    const asked = ["load", weir.url, "-r", "100", "--requests", "20", "--warmup", "150ms", ...CALM];
    const numbers = async (...words: readonly string[]) => {
      const raw = join(folder, words.join("").replaceAll("/", "-"));
      await run([...asked, ...words, "--raw", raw]);
      return readFileSync(raw, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line))
        .filter(({ warmup }) => !warmup).map(({ number }) => number as number);
    };
    const [all, ...parts] = await Promise.all([
      numbers("--rounds", "1"),
      ...["1/3", "2/3", "3/3"].map((shard) => numbers("--shard", shard)),
    ]);
    const sorted = (list: readonly number[]) => [...list].sort((a, b) => a - b);
    expect(sorted(parts.flat())).toEqual(sorted(all!));
    expect(all!.length).toBe(20);
    rmSync(folder, { recursive: true });
  });

  test.if(existsSync("/dev/full"))("a disk that is full costs no report, and is told", async () => {
    const asked = ["load", weir.url, "--requests", "3", ...CALM];
    const full = await Promise.all([
      run([...asked, "--raw", "/dev/full"]),
      run([...asked, "-o", "/dev/full", "--csv", "/dev/full"]),
    ]);
    for (const { output, errors, code } of full) {
      expect(output).toContain("3 of 3 requests completed");
      expect(errors).toMatch(/^weir: Cannot write \/dev\/full: the disk is full$/m);
      expect(errors).not.toContain("    at ");
      expect(code).toBe(1);
    }
  });

  test("what a slow reader has not taken yet is not lost", async () => {
    const words = [...weirCommand(), "load", weir.url, "--requests", "3", ...CALM, "--html", "-"];
    const command = words.map((word) => `'${word}'`).join(" ");
    const child = Bun.spawn(["sh", "-c", `${command} | { sleep 2; cat; }`], {
      env: cleanEnv(),
      stdout: "pipe",
      stderr: "ignore",
    });
    const page = await new Response(child.stdout).text();
    expect(page.length).toBeGreaterThan(65_536); // more than a pipe holds
    expect(page).toEndWith("</html>\n");
  });

  test("runs that were not asked for the same are compared with doubt", async () => {
    const folder = makeFolder();
    const [a, b] = [join(folder, "a"), join(folder, "b")];
    const asked = ["load", weir.url, "--requests", "4", ...CALM];
    await Promise.all([
      run([...asked, "-c", "2", "-o", a]),
      run([...asked, "-r", "40", "-o", b]),
    ]);
    const [shown, json] = await Promise.all([
      run(["load", "compare", a, b]),
      run(["load", "compare", a, b, "--json"]),
    ]);
    expect(shown.output).toMatch(
      /^\nThe runs were not asked for the same: .*--rate is \[40\] and was/,
    );
    expect(JSON.parse(json.output).unlike).toContain("--concurrency is none and was [2]");
    expect([1, 3]).toContain(json.code);
    rmSync(folder, { recursive: true });
  });

  /** two paths of a server → what is unlike; a gateway may have more before the API's own path */
  const PATHS = [
    ["/v1/chat/completions", "/v1/embeddings", ["--api is embeddings and was chat"]],
    ["/v1/models", "/healthz", ["the path is /healthz and was /v1/models"]],
    ["/v1/models", "/v1/models", []],
  ] as const;
  for (const [first, second, unlike] of PATHS) {
    test(`compare tells what is unlike in runs of ${first} and ${second}`, async () => {
      const folder = makeFolder();
      const files = [join(folder, "a"), join(folder, "b")];
      await Promise.all([first, second].map((path, i) => {
        const method = /models|healthz/.test(path) ? ["-X", "GET"] : [];
        const asked = ["load", `${weir.url}${path}`, "--requests", "4", ...method];
        return run([...asked, ...CALM, "-o", files[i]!]);
      }));
      const { output, code } = await run(["load", "compare", ...files, "--json"]);
      expect(JSON.parse(output).unlike).toEqual(unlike);
      expect(unlike.length === 0 ? [0, 1, 3] : [1, 3]).toContain(code);
      rmSync(folder, { recursive: true });
    });
  }

  test("what failed comes first, by status and words", async () => {
    const ended = await run(["load", `${weir.url}/v1/chat/nothing`, "-d", "{}", "--requests", "4"]);
    expect(ended.output).toMatch(
      /^\n0 of 4 requests completed, 4 failed\.\n {7}4 {2}head, status 404: .+\n/,
    );
    expect(ended.output).toContain("No figures of the server: nothing was completed.");
    expect(ended.output).not.toMatch(/\bNaN\b|undefined|Infinity/);
    expect(ended.code).toBe(1);
  });

  test("bench with a load is a load, and load with --streams a burst", async () => {
    const asked = ["--requests", "4", "-c", "2", "--json", ...CALM];
    const [load, burst] = await Promise.all([
      run(["bench", weir.url, ...asked]),
      run(["load", weir.url, "-n", "4", "-s", "0", "--json"]),
    ]);
    expect(JSON.parse(load.output).requests.completed).toBe(4);
    expect(JSON.parse(burst.output).report).toMatchObject({ streams: 4, completed: 4 });
  });

  test("a server that is not there", async () => {
    const ended = await run(["load", "http://127.0.0.1:1", "--requests", "2"]);
    expect(ended.output).toMatch(/0 of 2 requests completed, 2 failed\.\n {7}2 {2}connect: /);
    expect(ended.code).toBe(1);
  });

  test("a server that never gets as far as being connected", async () => {
    const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const asked = ["--requests", "1", "--connect-timeout", "100ms"];
    const ended = await run(["load", `https://127.0.0.1:${silent.port}`, ...asked]);
    silent.stop(true);
    expect(ended.output).toMatch(
      /\n {7}1 {2}tls: no connection after 0\.1 s \(--connect-timeout\)\n/,
    );
    expect(ended.code).toBe(1);
  });

  test("a name that nobody has", async () => {
    const ended = await run(["load", "http://nowhere.invalid", "--requests", "2"]);
    expect(ended.output).toMatch(/0 of 2 requests completed, 2 failed\.\n {7}2 {2}dns: /);
    expect(ended.code).toBe(1);
  });

  test("clients that leave are counted apart, and are no failure", async () => {
    const asked = ["-c", "2", "--requests", "12", "--leave-after", "1", "--json"];
    // What has come whole in one read cannot be left: one server never ends.
    const text = 'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n';
    const endless = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: () =>
        new Response(
          new ReadableStream({ start: (controller) => controller.enqueue(text) }),
          { headers: { "content-type": "text/event-stream" } },
        ),
    });
    const [all, some] = await Promise.all([
      run(["load", `${endless.url}`, ...asked, ...CALM]),
      run(["load", weir.url, ...asked, ...CALM, "--leave-share", "0.5"]),
    ]);
    await endless.stop(true);
    const report = JSON.parse(all.output);
    expect(report.requests).toMatchObject({ sent: 12, completed: 0, failed: 0, left: 12 });
    expect(report.connections).toMatchObject({ opened: 12, requests_on_kept: 0 });
    expect(report).toMatchObject({ e2e_ms: null, goodput: null });
    expect(report.ttft_ms.p50).toBeGreaterThan(0);
    expect(all.code).toBe(0);
    const { completed, left, failed } = JSON.parse(some.output).requests;
    expect([completed + left, failed]).toEqual([12, 0]);
    expect(left).toBeGreaterThan(0);
    expect(completed).toBeGreaterThan(0);
  });

  test("slow readers read it all", async () => {
    const asked = ["-c", "2", "--requests", "4", "--read-rate", "20000", "--json", ...CALM];
    const ended = await run(["load", weir.url, ...asked]);
    expect(JSON.parse(ended.output).requests).toMatchObject({ completed: 4, failed: 0 });
    expect(ended.code).toBe(0);
  });

  test("a sweep, and a search for the highest rate", async () => {
    const asked = ["--duration", "200ms", "--json", ...CALM];
    const [swept, searched] = await Promise.all([
      run(["load", weir.url, "--sweep", "--sweep-size", "3", "--max-concurrency", "4", ...asked]),
      run(["load", weir.url, "--search", "-r", "20,40", "--slo", "e2e=60s", ...asked]),
    ]);
    const loads = (output: string) =>
      JSON.parse(output).stages.map(({ load }: { readonly load: string }) => load);
    const [alone, most, ...rates] = loads(swept.output);
    expect([alone, most]).toEqual(["1 at once", "4 at once"]);
    expect(rates.length).toBe(2);
    expect(loads(searched.output)).toEqual(["20/s poisson", "40/s poisson"]);
    expect(JSON.parse(searched.output).search).toEqual({ held: 40 });
    expect(searched.code).toBe(0);
  });

  test("a search where nothing is held ends before it would send nothing", async () => {
    const ended = await run([
      ...["load", weir.url, "--search", "-r", "20", "--arrivals", "constant"],
      ...["--slo", "e2e=1ms", "--duration", "200ms", "--json", ...CALM],
    ]);
    const { stages, search } = JSON.parse(ended.output);
    const sent = stages.map((stage: Json) => [stage.load, stage.requests.sent]);
    expect(sent).toEqual([["20/s constant", 4], ["10/s constant", 2], ["5/s constant", 1]]);
    expect(search).toEqual({ missed: 5 });
    expect(ended.errors).toContain(
      "2.5/s constant and lower rates were left out: nothing would be sent in 0.20 s.",
    );
    expect(ended.code).toBe(1);
  });

  test("a trace is asked at its times, or as fast as is wanted", async () => {
    const folder = makeFolder({
      "azure.csv": "TIMESTAMP,ContextTokens,GeneratedTokens\n" +
        "2023-11-16 18:17:03.9799600,40,3\n2023-11-16 18:17:33.9799600,60,2\n",
    });
    const trace = ["--trace", join(folder, "azure.csv"), "--speed", "100", "--json", ...CALM];
    const raw = join(folder, "raw.jsonl");
    const ended = await run(["load", weir.url, ...trace, "--raw", raw]);
    const report = JSON.parse(ended.output);
    expect(report.load).toBe("the trace, 100 times as fast");
    expect(report.requests).toMatchObject({ sent: 2, completed: 2 });
    const lines = readFileSync(raw, "utf8").trimEnd().split("\n").map((line) => JSON.parse(line));
    expect(lines.map(({ due_ms }) => due_ms)).toEqual([0, 300]);
    expect(lines.map(({ prompt_tokens }) => prompt_tokens)).toEqual([40, 60]);
    expect(lines.map(({ usage }) => usage.completion_tokens)).toEqual([3, 2]);
    const wrong = await run(["load", weir.url, "--trace", raw]);
    expect(wrong.errors).toContain("it has none of the forms that are known");
    expect(wrong.code).toBe(2);
    rmSync(folder, { recursive: true });
  });

  test("shards are merged, and runs compared", async () => {
    const folder = makeFolder();
    const file = (name: string) => join(folder, `${name}.json`);
    const asked = ["-r", "60", "--arrivals", "constant", "--requests", "21", ...CALM];
    const csv = join(folder, "both.csv");
    const runs = await Promise.all([
      run(["load", weir.url, ...asked, "--shard", "1/2", "-o", file("one")]),
      run(["load", weir.url, ...asked, "--shard", "2/2", "-o", file("two")]),
      run(["load", weir.url, ...asked, "-o", file("all"), "--start-at", "2020-01-01"]),
    ]);
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(runs[2]!.errors).toMatch(
      /^--start-at was \d+ days ago: it begins at once, that much later than the others\n/,
    );
    const merged = await run(
      ["load", "merge", file("one"), file("two"), "--json", "-o", file("both"), "--csv", csv],
    );
    const report = JSON.parse(merged.output);
    expect(report.load).toBe("2 parts: 60/s constant");
    expect(report).toMatchObject({ requests: { sent: 21, completed: 21 }, processes: 2 });
    // Two processes that nobody has told when to begin may not have begun together.
    expect([0, 3]).toContain(merged.code);
    expect(readFileSync(csv, "utf8")).toMatch(/\n2 parts: 60\/s constant,21,21,/);
    const rows = (name: string) =>
      JSON.parse(readFileSync(file(name), "utf8")).stages[0].rounds[0].tally.rows;
    const byNumber = (name: string) =>
      rows(name).number.map((number: number, i: number) => [number, rows(name).due[i]])
        .sort(([a]: readonly number[], [b]: readonly number[]) => a! - b!);
    expect(byNumber("both")).toEqual(byNumber("all"));
    const part = await run(["load", "compare", file("one"), file("all"), "--json"]);
    expect(JSON.parse(part.output).unlike).toEqual([
      `${file("one")} is part 1 of 2 of a load (weir load merge)`,
    ]);
    // What is slower is told before what is unlike.
    expect([1, 3]).toContain(part.code);
    const paired = await run(["load", "compare", file("both"), file("all"), "--json"]);
    expect(JSON.parse(paired.output).unlike).toEqual([]);
    expect(JSON.parse(paired.output).stages[0].comparisons[0]).toMatchObject({ is_paired: true });
    const half = await run(["load", "merge", file("two")]);
    expect(half.output).toContain(
      "part 1 of 2 is missing: what was sent from there is in no figure",
    );
    expect(half.code).toBe(3);
    const twice = await run(["load", "merge", file("one"), file("one")]);
    expect(twice.errors).toMatch(/Cannot merge: .*one\.json and .*one\.json are both part 1 of 2/);
    expect(twice.code).toBe(2);
    const mixed = await run(["load", "merge", file("one"), file("all")]);
    expect(mixed.errors).toMatch(/all\.json is a whole run, and no part of one/);
    const compared = await run(["load", "compare", file("all"), file("all"), "--json"]);
    const { stages: [stage] } = JSON.parse(compared.output);
    expect(stage).toMatchObject({ is_worse: false, failed_shares: [0, 0] });
    const metrics = stage.comparisons.map(({ metric }: { readonly metric: string }) => metric);
    expect(metrics).toEqual(["ttft", "tpot", "e2e"]);
    expect(compared.code).toBe(0);
    const shown = await run(["load", "compare", file("all"), file("all")]);
    expect(shown.output).toMatch(
      /\nfirst token, ms: p50 .*, paired: no difference that could not.*\n {2}its tail: p95 .*; p99 /,
    );
    // As many answers, and in one of the two every twentieth takes a minute more.
    const tails = [0, 60_000].map((moreMs) => {
      const written = JSON.parse(readFileSync(file("all"), "utf8"));
      const { rows } = written.stages[0].rounds[0].tally;
      const numbers = Array.from({ length: 400 }, (_, i) => i);
      for (const column of Object.keys(rows)) rows[column] = numbers.map(() => rows[column][0]);
      rows.number = numbers;
      rows.e2e = numbers.map((i) => 20 + ((i * 7) % 11) + (i % 20 === 7 ? moreMs : 0));
      writeFileSync(file(`tail${moreMs}`), JSON.stringify(written));
      return file(`tail${moreMs}`);
    });
    const slower = await run(["load", "compare", ...tails]);
    expect(slower.output).toMatch(/its tail: p95 .*, then 60\d+ .*: slower\n/);
    expect(slower.code).toBe(1);
    const faster = await run(["load", "compare", ...tails.reverse()]);
    expect(faster.output).toMatch(/its tail: .*: faster\n/);
    expect(faster.code).toBe(compared.code);
    const wrong = await run(["load", "compare", file("all")]);
    expect(wrong.errors).toContain("compare needs the files of two runs");
    expect(wrong.code).toBe(2);
    rmSync(folder, { recursive: true });
  });

  test.if(canMakeCertificates())("https, with a certificate that is trusted or not", async () => {
    const { cert, key } = makeCertificate(["DNS:localhost", "IP:127.0.0.1"]);
    const files = { "cert.pem": cert, "key.pem": key };
    const secure = await launch({
      set: { "server.tls_cert_file": "cert.pem", "server.tls_key_file": "key.pem" },
      files,
      ca: cert,
    });
    const folder = makeFolder(files);
    try {
      const { url } = secure;
      const asked = ["load", url, "--requests", "3", "-c", "1", ...CALM];
      const [unknown, trusted, insecure] = await Promise.all([
        run(asked),
        run([...asked, "--ca-file", join(folder, "cert.pem")]),
        run([...asked, "--insecure"]),
      ]);
      expect(unknown.output).toMatch(/ {2}tls: /);
      expect(unknown.code).toBe(1);
      expect(trusted.output).toContain("3 of 3 requests completed");
      expect(trusted.output).toContain("1 connection opened, 2 requests on kept ones");
      expect(insecure.output).toContain("3 of 3 requests completed");
    } finally {
      await secure.stop();
      rmSync(folder, { recursive: true });
    }
  }, TEST_MS_MAX);

  /** What ends a run: Ctrl-C, a supervisor, a terminal whose window is closed. */
  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)(
    "%s exits with 130 and a report",
    async (signal) => {
      const words = [
        ...weirCommand(),
        "load",
        weir.url,
        "--duration",
        "600s",
        "--raw",
        "raw.jsonl",
      ];
      const folder = makeFolder();
      const child = Bun.spawn(words, {
        cwd: folder,
        env: cleanEnv(),
        stdout: "pipe",
        stderr: "pipe",
      });
      const output = new Response(child.stdout).text();
      const errors = child.stderr.getReader();
      // The first line of its progress: it is under way.
      await waitFor(async () => (await errors.read()).value !== undefined);
      child.kill(signal);
      expect(await output).toMatch(
        /^\nInterrupted: this is what there was until then\.\n\d+ of \d+/,
      );
      expect(await child.exited).toBe(130);
      rmSync(folder, { recursive: true });
    },
    TEST_MS_MAX,
  );

  test.if(existsSync("/proc/self/status"))("nohup keeps a terminal's end from a load", async () => {
    const words = ["load", weir.url, "--rate", "50", "--duration", "6s", ...CALM];
    const child = Bun.spawn(["nohup", ...weirCommand(), ...words], {
      env: cleanEnv(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const output = new Response(child.stdout).text();
    const errors = child.stderr.getReader();
    // A line of its progress: it is under way.
    const decoder = new TextDecoder();
    await waitFor(async () => decoder.decode((await errors.read()).value).includes("/s"));
    child.kill("SIGHUP");
    expect(await output).toMatch(/^\n\d+ of \d+ requests completed/);
    expect([0, 3]).toContain(await child.exited);
  }, TEST_MS_MAX);
});
