import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readTraces } from "../../src/cli/load_trace.ts";

const folder = mkdtempSync(join(tmpdir(), "weir-trace-"));
afterAll(() => rmSync(folder, { recursive: true }));

const HEAD = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

/** A file of Azure's form: ten requests, 100 ms from each other, and a line that is none. */
function traceOf(name: string, tokens = 5): string {
  const path = join(folder, name);
  const rows = Array.from(
    { length: 10 },
    (_, i) => `2023-11-16 18:17:03.${i},${tokens},${i + 1}\n`,
  );
  writeFileSync(path, `${HEAD}${rows.join("")}broken\n`);
  return path;
}

const read = (trace: readonly string[], flags: object = {}) =>
  readTraces({
    trace,
    requests: undefined,
    duration: undefined,
    warmup: undefined,
    speed: 1,
    ...flags,
  }, "chat");
const times = (...args: Parameters<typeof read>) =>
  read(...args).requests.map(({ atMs }) => Math.round(atMs!));

describe("readTraces()", () => {
  test("reads no further than --requests", () => {
    expect(times([traceOf("a.csv")], { requests: 3 })).toEqual([0, 100, 200]);
  });

  test("takes what is due in time, which --speed stretches, and ends where much is too late", () => {
    const path = traceOf("b.csv");
    // Its line that is no request stands behind so many that are due later, and would be told of.
    const late = "2023-11-16 18:18:04,5,5\n".repeat(100_000);
    writeFileSync(path, readFileSync(path, "utf8").replace("broken", `${late}broken`));
    expect(times([path], { duration: 250 })).toEqual([0, 100, 200]);
    expect(times([path], { duration: 100, speed: 4 })).toHaveLength(5);
    expect(times([path], { duration: 100, warmup: { ms: 200 } })).toHaveLength(4);
    // Three warm up, the last at 200 ms, and the time begins behind it.
    expect(times([path], { duration: 100, warmup: { requests: 3 } })).toHaveLength(4);
  });

  /** Times of lines, some with a session → those that begin in 1 s, and how many follow them. */
  const UNSORTED = [
    [[[0], [1500], [300], [600]], [[0, 0], [300, 0], [600, 0]]],
    [[[1500], [900], [100], [1050], [1200]], [[0, 0], [800, 0], [950, 0]]],
    [[[0, "a"], [5000, "a"], [100, "b"], [undefined, "b"], [200, "c"]], [[0, 1], [100, 1], [
      200,
      0,
    ]]],
    [[[2000, "a"], [undefined, "a"], [100, "b"], [3000, "c"], [400, "c"]], [[0, 0]]],
  ] as const;
  for (const [lines, wanted] of UNSORTED) {
    test(`of ${JSON.stringify(lines)}, what begins in time and follows it`, () => {
      const path = join(folder, "unsorted.jsonl");
      const texts = lines.map(([timestamp, session_id]) =>
        JSON.stringify({ timestamp, session_id, input_length: 5 })
      );
      writeFileSync(path, texts.join("\n"));
      const { requests } = read([path], { duration: 1000 });
      expect(requests.map(({ atMs, later = [] }) => [atMs, later.length])).toEqual(
        wanted.map((one) => [...one]),
      );
    });
  }

  test("counts what cannot be asked, and refuses a trace of nothing else", () => {
    const post = { at_ms: 0, method: "POST", path: "/v1/messages", body: {} };
    const journal = (name: string, ...requests: readonly object[]) => {
      writeFileSync(join(folder, name), JSON.stringify({ requests }));
      return join(folder, name);
    };
    const none = { ...post, path: "/v1/chat/completions", body: undefined };
    const path = journal("some.json", post, none, { ...post, prompt_tokens: 3 }, none);
    const { requests, leftOut } = read([path]);
    expect(requests.map(({ promptTokens, body }) => [promptTokens, body])).toEqual([[
      3,
      undefined,
    ]]);
    expect(leftOut).toBe(
      "Left out of --trace: 1 request of another API than chat, without a length, " +
        "and 2 requests of which neither body nor length is known.",
    );
    const other = journal("other.json", post);
    expect(() => read([other])).toThrow(
      `Nothing of --trace ${other} can be asked: it has 1 request of another API than chat`,
    );
    expect(read([other, path]).requests).toHaveLength(1);
  });

  test("reads what warms up besides", () => {
    expect(times([traceOf("w.csv")], { requests: 3, warmup: { requests: 2 } })).toHaveLength(5);
    // Due at 0, 100 and 200 ms.
    expect(times([traceOf("w.csv")], { requests: 3, warmup: { ms: 200 } })).toHaveLength(6);
  });

  test("several files are one, by their common clock", () => {
    const [a, b] = [traceOf("c.csv"), traceOf("d.csv", 7)];
    const both = read([a, b], { requests: 4 });
    expect(both.requests.map(({ promptTokens }) => promptTokens)).toEqual([5, 7, 5, 7]);
  });

  test("names the file and the line of what is wrong", () => {
    const path = traceOf("e.csv");
    expect(() => read([path])).toThrow(`Cannot read --trace ${path}: line 12 has no time`);
    expect(() => read([join(folder, "none.csv")])).toThrow("there is no such file");
  });

  test("refuses prompts that do not fit, and says how to have fewer", () => {
    const path = traceOf("f.csv", 60_000_000);
    expect(() => read([path])).toThrow("its first 1 requests have 100 million tokens");
  });
});
