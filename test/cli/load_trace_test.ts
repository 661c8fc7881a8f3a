import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
  });
const times = (...args: Parameters<typeof read>) =>
  read(...args).map(({ atMs }) => Math.round(atMs!));

describe("readTraces()", () => {
  test("reads no further than --requests", () => {
    expect(times([traceOf("a.csv")], { requests: 3 })).toEqual([0, 100, 200]);
  });

  test("reads no further than what is due in time, which --speed stretches", () => {
    // Its line that is no request is at 1000 ms, and would be told of.
    expect(times([traceOf("b.csv")], { duration: 250 })).toEqual([0, 100, 200]);
    expect(times([traceOf("b.csv")], { duration: 100, speed: 4 })).toHaveLength(5);
    expect(times([traceOf("b.csv")], { duration: 100, warmup: { ms: 200 } })).toHaveLength(4);
  });

  test("reads what warms up besides", () => {
    expect(times([traceOf("w.csv")], { requests: 3, warmup: { requests: 2 } })).toHaveLength(5);
    // Due at 0, 100 and 200 ms.
    expect(times([traceOf("w.csv")], { requests: 3, warmup: { ms: 200 } })).toHaveLength(6);
  });

  test("several files are one, by their common clock", () => {
    const [a, b] = [traceOf("c.csv"), traceOf("d.csv", 7)];
    const both = read([a, b], { requests: 4 });
    expect(both.map(({ promptTokens }) => promptTokens)).toEqual([5, 7, 5, 7]);
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
