import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chatPieces, stubServer } from "../load/stub_server.ts";
import { launch, run, TEST_MS_MAX, type Weir } from "./launch.ts";

/** What goes wrong before anything is measured: words → exit code and what it complains of. */
const COMPLAINTS: readonly (readonly [readonly string[], number, RegExp])[] = [
  [[], 2, /It is: weir bench URL/],
  [["a", "b"], 2, /It is: weir bench URL/],
  [["ftp://127.0.0.1/"], 2, /bench needs an http:\/\/ or https:\/\/ URL, not "ftp:/],
  [["nowhere"], 2, /bench needs an http:\/\/ or https:\/\/ URL/],
  [["http://127.0.0.1:1", "--streams", "0"], 2, /--streams must be a whole number from 1 to 20000/],
  [["http://127.0.0.1:1", "-n", "1.5"], 2, /--streams must be a whole number from 1 to 20000/],
  [["http://127.0.0.1:1", "--seconds", "x"], 2, /--seconds must be a number from 0 to 600/],
  [["http://127.0.0.1:1", "--events", "all"], 2, /--events must be a whole number from 1 to/],
  [["http://127.0.0.1:1", "--method", "PUT"], 2, /--method must be GET or POST/],
  [["http://127.0.0.1:1", "-H", "sk-secret"], 2, /--header needs NAME: VALUE/],
  [["http://127.0.0.1:1", "-H", "a: sk-secret\r\nb: c"], 2, /--header needs NAME: VALUE/],
  [["http://127.0.0.1:1", "--fast"], 2, /Unknown option '--fast'/],
  [["http://127.0.0.1:1"], 1, /Cannot measure 127\.0\.0\.1:1: /],
];

describe("weir bench", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.delay_ms": 30, "mock.reply": "one 二 three 🌊" } });
  }, TEST_MS_MAX);
  afterAll(() => weir.stop());

  for (const [words, code, complaint] of COMPLAINTS) {
    test(`${words.join(" ")} exits with ${code}`, async () => {
      const ended = await run(["bench", ...words]);
      expect(ended.errors).toMatch(complaint);
      expect(ended.errors).not.toContain("secret");
      expect(ended.code).toBe(code);
    });
  }

  /** options → exit code and what it prints. Whether a busy machine's run is valid is not asserted. */
  const RUNS: readonly (readonly [readonly string[], RegExp])[] = [
    [
      [],
      /20 streams on .*\/v1\/chat\/completions.* must be the \d+ events .*\n20 of 20 streams whole/s,
    ],
    [["--events", "free"], /events are counted, not compared.*\n20 of 20 streams whole/s],
    [["--events", "99"], /each must have 99 events.*\n0 of 20 streams whole/s],
  ];
  for (const [words, printed] of RUNS) {
    test(`says what it found with ${words.join(" ") || "no options"}`, async () => {
      const ended = await run(["bench", weir.url, "-n", "20", "-s", "0.2", ...words]);
      expect(ended.output).toMatch(printed);
      expect(ended.output).toMatch(/\n(first event after, ms|gap between events, ms) .*\d/);
      expect(ended.output).toMatch(/\nverdict: (valid|invalid|failed)/);
      const [, verdict] = /\nverdict: (\w+)/.exec(ended.output)!;
      expect(ended.code).toBe({ valid: 0, invalid: 3 }[verdict!] ?? 1);
    });
  }

  test("--events N that do not come fail the run", async () => {
    const ended = await run(["bench", weir.url, "-n", "5", "-s", "0", "--events", "99"]);
    expect(ended.output).toMatch(/verdict: (failed: 5 streams: answer not whole|invalid: )/);
    expect(ended.code).toBe(1);
  });

  test("--json prints the report, and the verdict beside it", async () => {
    const ended = await run(["bench", weir.url, "-n", "5", "-s", "0", "--json"]);
    const { report, verdict } = JSON.parse(ended.output);
    expect(report).toMatchObject({ streams: 5, completed: 5, lost: 0, doubled: 0 });
    expect(["valid", "failed", "invalid"]).toContain(verdict.kind);
    expect(ended.errors).toContain("verdict: ");
  });

  test("a status other than 200 ends it with what the server said", async () => {
    const ended = await run(["bench", `${weir.url}/v1/nothing`]);
    expect(ended.errors).toMatch(/The server answers with status 404: /);
    expect(ended.code).toBe(1);
  });

  test("a server that is busy at first is told, and nothing of it is a key or a colour", async () => {
    const server = stubServer((_, number) => {
      const said = '{"error":{"message":"slow \\u001b[31m down, own-secret-1"}}';
      const head = `HTTP/1.1 429 No\r\ncontent-length: ${said.length}\r\n\r\n`;
      return { pieces: number === 0 ? [head + said] : chatPieces(["a"]) };
    });
    const url = `http://127.0.0.1:${server.port}`;
    const told = "status 429: slow \\x1b[31m down, ***";
    const words = ["-H", "authorization: Bearer own-secret-1", "--json"];
    const burst = await run([
      "bench",
      url,
      "-n",
      "2",
      "-s",
      "0",
      "--max-loop-ms",
      "9999",
      ...words,
    ]);
    expect(JSON.parse(burst.output)).toMatchObject({
      report: { completed: 2 },
      verdict: { kind: "failed", reasons: [`1 of the first answers: ${told}`] },
    });
    expect(burst.code).toBe(1);
    server.seen.requests = 0;
    const load = await run(["load", url, "--requests", "1", ...words]);
    const [error] = JSON.parse(load.output).requests.errors;
    expect(`status ${error.status}: ${error.text}`).toBe(told);
    server.stop();
  });

  test("where nothing was measured there is null, and no zero", async () => {
    const server = stubServer(() => ({
      pieces: ["HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\nbusy"],
    }));
    const url = `http://127.0.0.1:${server.port}`;
    for (const name of ["bench", "load"]) {
      const ended = await run([name, url, "-n", "2", "-s", "0", "--json"]);
      const { report } = JSON.parse(ended.output);
      const { events_per_read, first_event_ms, gap_ms, lateness_ms, drift_ms } = report;
      expect([events_per_read, first_event_ms, gap_ms, lateness_ms, drift_ms]).toEqual(
        Array(5).fill(null),
      );
      expect(report).toMatchObject({ completed: 0, events: 0, start_delay_ms: { count: 2 } });
      expect(ended.code).toBe(1);
    }
    server.stop();
  });

  test("an answer that is no event stream is refused", async () => {
    const ended = await run(["bench", `${weir.url}/health`, "-X", "GET"]);
    expect(ended.errors).toContain("The answer is no event stream");
    expect(ended.code).toBe(1);
  });
});
