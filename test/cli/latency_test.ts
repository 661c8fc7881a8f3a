/** `weir latency`: from times to a profile that the config takes, and what is said on the way. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { LATENCY_PROFILES } from "../../src/config/latency.ts";
import { readLatencyFile } from "../../src/config/latency_file.ts";
import { pictureLines } from "../../src/cli/latency_text.ts";
import { seeded } from "../../src/lib/seeded.ts";
import { drawnAnswer, lucks } from "../../src/sources/physics/drawn.ts";
import { makeFolder } from "../server/launch.ts";
import { say } from "./say.ts";

/** A terminal. */
const COLUMNS = 80;

let folder: string;
const inFolder = (name: string) => join(folder, name);

beforeAll(() => {
  const draw = lucks(9);
  const random = seeded(9);
  const lines = Array.from({ length: 250 }, () => {
    const promptTokens = Math.round(10 ** (1 + 3 * random()));
    const size = { promptTokens, outputTokens: 40 };
    const { firstTokenMs, gapsMs } = drawnAnswer(LATENCY_PROFILES["8b-h100"], draw, size);
    return JSON.stringify({ ttft_ms: firstTokenMs, itls_ms: gapsMs, isl: promptTokens, osl: 40 });
  });
  folder = makeFolder({
    "times.jsonl": lines.join("\n"),
    "few.csv": "ttft_ms\n300\n310\n",
    "broken.csv": "ttft_ms\n300\nfast\n",
  });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("weir latency fit", () => {
  test("makes a profile that the config takes, as a file and in its own place", async () => {
    const file = inFolder("mine.yaml");
    const { code, output } = await say(["latency", "fit", inFolder("times.jsonl"), "-o", file]);
    expect(code).toBe(0);
    expect(output).toContain("A latency profile, fitted to 250 answers of times.jsonl.");
    expect(output).toContain("fits: not rejected at 5 %");
    const text = readFileSync(file, "utf8");
    const read = readLatencyFile({ name: file, text });
    if (read.kind === "bad") expect.unreachable(read.problems.join("\n"));
    else {
      expect(read.values.load).toBe("none");
      expect(Number(read.values.first_token_ms)).toBeWithin(28, 32);
      expect(Number(read.values.tokens_per_s)).toBeWithin(82, 85);
    }

    const named = inFolder("named.yaml");
    writeFileSync(named, `mock:\n  latency:\n    profile: mine.yaml\n`);
    expect((await say(["check", named])).complaint).toBe("");

    const pasted = inFolder("pasted.yaml");
    const body = text.split("\n").map((line) => `    ${line}`).join("\n");
    writeFileSync(pasted, `mock:\n  latency:\n${body}\n`);
    const checked = await say(["check", pasted]);
    expect(checked.complaint).toBe("");
    expect(checked.output).toMatch(/first_token_ms: (?:29|30|31)/);

    const shown = await say(["latency", "show", file]);
    expect([shown.code, shown.complaint]).toEqual([0, ""]);
  });

  test("prints the same every time, and nothing wider than a terminal", async () => {
    const words = ["latency", "fit", inFolder("times.jsonl"), "--base", "gpt-4o"];
    const one = await say(words);
    expect(await say(words)).toEqual(one);
    // What is told of the files goes to standard error, with their paths.
    const lines = one.output.split("\n").filter((line) => !line.startsWith("weir: "));
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(COLUMNS);
    expect(lines).toContain("profile: gpt-4o");
  });

  test("tells of each of a few files, and of many together", async () => {
    const file = inFolder("few.csv");
    const fitted = async (count: number) => {
      const { output } = await say(["latency", "fit", ...new Array<string>(count).fill(file)]);
      return output.split("\n").filter((line) => line.startsWith("weir: "));
    };
    const each = `weir: ${file}: CSV, 2 answers`;
    expect(await fitted(3)).toEqual([each, each, each, "weir: 1 number fitted, 26 not"]);
    expect((await fitted(11))[0]).toBe("weir: 11 files, 22 answers");
  });

  test("does not overwrite a file", async () => {
    const file = inFolder("there.yaml");
    writeFileSync(file, "mine");
    const words = ["latency", "fit", inFolder("times.jsonl"), "-o", file];
    expect((await say(words)).complaint).toBe(`${file} is there already, and is not overwritten`);
  });

  const FAILURES = [
    [["fit", "few.csv"], 1, "Nothing could be fitted: 2 first tokens: at least 5 are needed"],
    [
      ["fit", "broken.csv"],
      1,
      'Cannot read times: broken.csv:3:1: ttft_ms must be a number of 0 or more: it is "fast"',
    ],
    [["fit", "gone.csv"], 1, "Cannot read gone.csv: there is no such file or folder"],
    [["fit"], 2, "A file of times is missing. Try: weir help latency"],
    [["fit", "few.csv", "--unit", "h"], 2, '--unit must be s, ms, us, ns: it is "h"'],
    [["show"], 2, "The name of a profile is missing. Try: weir help latency"],
    [
      ["show", "realstic"],
      2,
      'There is no latency profile "realstic". Did you mean realistic? Try: weir latency list, or a ' +
      "file that ends in .yaml, .yml or .json",
    ],
    [["show", "plain"], 1, "plain is the mock's own even pace: nothing is drawn from it"],
    [["list", "all"], 2, 'Unexpected argument "all". Try: weir help latency'],
  ] as const;
  for (const [words, code, complaint] of FAILURES) {
    test(`weir latency ${words.join(" ")}`, async () => {
      const placed = words.map((word) => word.endsWith(".csv") ? inFolder(word) : word);
      const said = await say(["latency", ...placed]);
      expect([said.code, said.complaint.replaceAll(`${folder}/`, "")]).toEqual([code, complaint]);
    });
  }
});

describe("weir latency show", () => {
  for (const name of Object.keys(LATENCY_PROFILES)) {
    test(`${name} fits a terminal, and is the same every time`, async () => {
      const words = ["latency", "show", name, "--output", "20"];
      const { code, output } = await say(words);
      expect(code).toBe(0);
      for (const line of output.split("\n")) expect(line.length).toBeLessThanOrEqual(COLUMNS);
      expect((await say(words)).output).toBe(output);
      expect(output).toMatch(/\n +p50 +p90 +p95 +p99 +p99\.9\nfirst token, ms /);
    });
  }

  test("shows a wrong file with the place of what is wrong", async () => {
    const file = inFolder("wrong.yaml");
    writeFileSync(file, "first_token_ms: 10\ntokens_per_ss: 3\n");
    const { code, complaint } = await say(["latency", "show", file]);
    expect(code).toBe(1);
    expect(complaint).toContain("wrong.yaml:2:1");
    expect(complaint).toContain("tokens_per_s");
  });

  test("lists every profile", async () => {
    const { output } = await say(["latency", "list"]);
    for (const name of Object.keys(LATENCY_PROFILES)) expect(output).toContain(`\n${name} `);
    for (const line of output.split("\n")) expect(line.length).toBeLessThanOrEqual(COLUMNS);
  });
});

describe("a picture", () => {
  const SHARES = /^ *(\S+)(?: - +(\S+)| +and more) \|(#*) +([\d.]+) %$/;

  for (const spread of [0.5, 20]) {
    test(`has every value in the row that it belongs to: spread ${spread}`, () => {
      const values = Array.from({ length: 1000 }, (_, at) => 10 + spread * at / 10);
      const [head, ...rows] = pictureLines({ name: "a, ms", values });
      expect(head).toStartWith("a, ms: 1000 values, each row ");
      expect(head!.includes("times as wide")).toBe(spread === 20);
      let sum = 0;
      for (const line of rows) {
        const [, from, to, bar, share] = SHARES.exec(line) ?? expect.unreachable(line);
        const inside = values.filter((value) =>
          value >= Number(from) && (to === undefined || value < Number(to))
        );
        // Edges are printed with three digits.
        expect(Math.abs(inside.length / 10 - Number(share))).toBeLessThanOrEqual(1);
        expect(bar!.length).toBeLessThanOrEqual(40);
        sum += Number(share);
      }
      expect(sum).toBeCloseTo(100, 0);
    });
  }

  test("of one value only is a sentence", () => {
    expect(pictureLines({ name: "speed", values: [5, 5] })).toEqual([
      "speed: all of 2 values are 5.00",
    ]);
  });
});
