import { afterAll, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { ulid } from "../../src/lib/ulid.ts";
import { PARTIAL_ENDING, tapeFile, tapeText } from "../../src/sources/tape/format.ts";
import { question } from "../sources/recordings/cassettes.ts";
import { makeFolder } from "../server/launch.ts";
import { readsOf, toldId, toldTape } from "../sources/tape/told_tape.ts";
import { type Said, say } from "./say.ts";

const home = makeFolder();
const folder = join(home, "tapes");
const at = (name: string) => join(folder, name);
const tape = (...words: string[]) => say(["tape", ...words, "--set", `tape.folder=${folder}`]);

afterAll(() => rmSync(home, { recursive: true, force: true }));

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  for (const number of [1, 2]) write(tapeFile(toldId(number)), tapeText(toldTape(number)));
  write(toldId(3) + PARTIAL_ENDING, tapeText(toldTape(3)).slice(0, 900));
  write("notes.jsonl", "somebody's own");
  mkdirSync(at("deeper"));
});

function write(name: string, text: string): void {
  writeFileSync(at(name), text);
}

function lines({ output }: Said): readonly string[] {
  return output === "" ? [] : output.split("\n");
}

describe("weir tape list", () => {
  test("has a line for each tape of the folder, partial ones told as such", async () => {
    const said = await tape("list");
    expect(said.code).toBe(0);
    expect(lines(said).map((line) => line.split(/ {2,}/))).toEqual([
      ...[1, 2].map((number) => [
        toldId(number),
        "2026-11-28 17:43:50.123Z",
        "POST /v1/chat/completions",
        "gpt-4o",
        "200",
        "331.0 ms",
        "first 312.4 ms",
        "2 pieces",
        "297 B",
        "whole",
      ]),
      [
        toldId(3),
        "2026-11-28 17:43:50.123Z",
        "POST /v1/chat/completions",
        "gpt-4o",
        "200",
        "312.0 ms",
        "no bytes",
        "0 pieces",
        "0 B",
        "partial",
      ],
    ]);
  });

  test("a tape without an answer, and one without a model", async () => {
    const { request } = toldTape(4);
    const bare = { ...request, method: "GET", path: "/models?x=1", body: new Uint8Array() };
    const ending = { how: "upstream_broke", atUs: 500, error: "no" } as const;
    write(
      tapeFile(toldId(4)),
      tapeText(
        toldTape(4, { request: bare, response: undefined, reads: [], redactions: [], ending }),
      ),
    );
    const said = await tape("list", toldId(4));
    expect(said.output).toContain("GET /v1/models?x=1  -  no answer  0.500 ms  no bytes  0 pieces");
  });

  /** Filters → the tapes. */
  const CASES: readonly (readonly [words: readonly string[], numbers: readonly number[]])[] = [
    [["--model", "gpt-4o"], [1, 2, 3]],
    [["--model", "gpt-4*"], [1, 2, 3]],
    [["--model", "gpt-4"], []],
    [["--path", "/v1/chat*", "--status", "200", "--ending", "whole"], [1, 2]],
    [["--ending", "partial"], [3]],
    [["--status", "404"], []],
  ];
  for (const [words, numbers] of CASES) {
    test(`${words.join(" ")}, as JSON`, async () => {
      const said = await tape("list", "--json", ...words);
      expect(lines(said).map((line) => JSON.parse(line).id)).toEqual(numbers.map(toldId));
    });
  }

  test("tells of broken ones, goes on, and fails", async () => {
    write(tapeFile(toldId(2)), tapeText(toldTape(2)).replace("Hi 2", "Hi 3"));
    const { code, output } = await tape("list");
    expect(code).toBe(1);
    expect(output).toStartWith(
      `weir: ${at(tapeFile(toldId(2)))}:3: its check sum is wrong: it was changed, or `,
    );
    expect(output).toContain(toldId(1));
  });

  test("has those that somebody renamed, and those behind links", async () => {
    write("paris.tape.jsonl", tapeText(toldTape(9)));
    symlinkSync(at("paris.tape.jsonl"), at("rome.tape.jsonl"));
    symlinkSync(at("none"), at("dangling.tape.jsonl"));
    const said = await tape("list", "--ending", "whole", "--json");
    expect(lines(said).map((line) => JSON.parse(line).id)).toEqual([1, 2, 9, 9].map(toldId));
  });

  test("says that there is none, and which place is none", async () => {
    expect((await tape("list", at("deeper"))).output).toBe("There are no such tapes.");
    expect(await tape("list", at("none"))).toEqual({
      code: 1,
      output: "",
      complaint: `${at("none")}: there is no such file, folder or tape`,
    });
    expect(await say(["tape", "list"])).toMatchObject({
      code: 1,
      complaint: "There is no folder of tapes: name one, or set tape.folder",
    });
    const { code, complaint } = await tape("list", "--ending", "hole");
    expect([code, complaint]).toEqual([
      2,
      "--ending must be whole, client_left, upstream_broke, timed_out or partial: " +
      'it is "hole"',
    ]);
  });
});

describe("weir tape show", () => {
  test("shows heads, bodies, and pieces with their times; no character is cut", async () => {
    const { code, output } = await tape("show", toldId(1));
    expect(code).toBe(0);
    expect(output).toContain(`authorization: Bearer ${"*".repeat(20)}\n`);
    expect(output).toContain('      "content": "Hi 1"\n');
    expect(output).toContain("200 OK after 312.0 ms\ncontent-type: text/event-stream\n");
    const [first, second, third] = output.slice(output.indexOf("    312.4 ms")).split("\n");
    expect(first).toContain('"content":"你好 "');
    expect(second).toEndWith('"content":"');
    expect(third).toStartWith('    330.1 ms  🌊"');
    expect(output).not.toContain("\ufffd");
    expect(output).toContain("whole after 331.0 ms: 2 pieces, 297 B\n");
    expect(output).toContain(
      "redacted: request.field authorization, 20 bytes from byte 7, by name",
    );
  });

  test("a terminal obeys nothing of it", async () => {
    const evil = "\x1b]0;mine\x07 \u202e\r\n";
    write(tapeFile(toldId(1)), tapeText(toldTape(1, { reads: readsOf([[320, evil]]) })));
    const { output } = await tape("show", toldId(1));
    expect(output).toContain("    320.0 ms  \\u001b]0;mine\\u0007 \\u202e\n");
  });

  test("bytes that are no text are counted, and are base64 in JSON", async () => {
    const bytes = Uint8Array.of(0xff, 0xfe);
    write(tapeFile(toldId(1)), tapeText(toldTape(1, { reads: readsOf([[320, bytes]]) })));
    expect((await tape("show", toldId(1))).output).toContain("    320.0 ms  2 bytes\n");
    const shown = JSON.parse((await tape("show", toldId(1), "--json")).output);
    expect(shown).toMatchObject({
      id: toldId(1),
      request: { method: "POST", body: JSON.stringify(question("Hi 1", { stream: true })) },
      response: { status: 200 },
      answer_base64: "//4=",
      reads: [{ atUs: 320_000, text_base64: "//4=" }],
      ending: { how: "whole" },
    });
  });

  test("tells of those that cannot be shown, and shows the others", async () => {
    const { code, output } = await tape("show");
    expect(code).toBe(1);
    expect(output).toContain(toldId(2));
    expect(output).toEndWith(
      `weir: ${at(toldId(3) + PARTIAL_ENDING)}: it ends before its end, and is never replayed`,
    );
  });
});

describe("weir tape diff", () => {
  test("tells what the first has in place of what the second has", async () => {
    const said = await tape("diff", toldId(2), toldId(1));
    expect(said).toMatchObject({
      code: 1,
      output: 'request:\n  messages[0].content: "Hi 2" instead of "Hi 1"',
    });
  });

  test("other times alone are no difference", async () => {
    const { reads } = toldTape(1);
    const later = reads.map(({ bytes, atUs }) => ({ bytes, atUs: atUs + 500 }));
    write(tapeFile(toldId(2)), tapeText({ ...toldTape(1, { reads: later }), id: toldId(2) }));
    expect(await tape("diff", toldId(1), toldId(2))).toMatchObject({
      code: 0,
      output: "times:\n  first byte: 312.4 ms instead of 312.9 ms\nno difference but the times",
    });
    expect(await tape("diff", toldId(1), toldId(1))).toMatchObject({
      code: 0,
      output: "no difference",
    });
  });

  test("needs two", async () => {
    for (const words of [[], [toldId(1)], [toldId(1), toldId(2), toldId(1)]]) {
      expect(await tape("diff", ...words)).toMatchObject({
        code: 2,
        complaint: `weir tape diff needs two tapes: there are ${words.length}`,
      });
    }
  });
});

describe("weir tape fixture", () => {
  test("says what the tapes say, with their times, and what it could not take", async () => {
    const out = join(home, "fixtures.yaml");
    const said = await tape("fixture", folder, "--out", out);
    expect(said).toMatchObject({
      code: 0,
      output:
        `weir: ${toldId(3)}${PARTIAL_ENDING}: not taken: it ends before its end, and is never ` +
        `replayed\nweir: 2 fixtures of 3 recordings, 1 not taken: ${out}`,
    });
    expect(parse(readFileSync(out, "utf8"))).toEqual({
      fixtures: [1, 2].map((number) => ({
        match: { userMessage: { equals: `Hi ${number}` }, model: "gpt-4o" },
        response: { content: "你好 🌊" },
        recordedTimings: { ttftMs: 312.4, interChunkDelaysMs: [17.7], totalDurationMs: 330.1 },
      })),
    });
    expect((await tape("fixture", folder, "--out", out)).complaint).toBe(
      `${out} is there already, and is not overwritten`,
    );
  });
});

describe("weir tape check", () => {
  test("is content with what is right, and warns of partial ones", async () => {
    expect(await tape("check")).toMatchObject({
      code: 0,
      output: `weir: warning: ${at(toldId(3) + PARTIAL_ENDING)}: it ends before its end, and is ` +
        "never replayed\nok: 2 tapes, and no secret in them",
    });
  });

  test("tells every problem with its file and line", async () => {
    write(tapeFile(toldId(2)), tapeText(toldTape(2)).replace("Hi 2", "Hi 3"));
    const words = ["--set", "llm.api_key=Hi 1", "--set", 'tape.redact=["你好"]'];
    const said = await tape("check", ...words);
    expect(said.code).toBe(1);
    const [one, two] = [at(tapeFile(toldId(1))), at(tapeFile(toldId(2)))];
    expect(lines(said)).toEqual([
      `${one}:3: a secret of the config stands in the request's body`,
      `${one}:5: what 你好 stands for stands in the answer's body`,
      expect.stringContaining(`${two}:3: its check sum is wrong`),
      `${two}:5: what 你好 stands for stands in it`,
      expect.stringContaining("weir: warning: "),
      "weir: 4 problems in 3 files",
    ]);
  });
});

describe("weir tape prune", () => {
  const DAY_MS = 86_400_000;

  /** A folder with tapes that are so many days old. */
  function aged(...days: readonly number[]): readonly string[] {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    return days.map((days, number) => {
      const id = ulid(Date.now() - days * DAY_MS, (bytes) => bytes.fill(number));
      write(tapeFile(id), tapeText({ ...toldTape(number), id }));
      return tapeFile(id);
    });
  }

  const left = () => readdirSync(folder).sort();

  test("removes partial ones, says so, and touches nothing else", async () => {
    const path = at(toldId(3) + PARTIAL_ENDING);
    expect((await tape("prune", "--partial", "--dry-run")).output).toBe(
      `would remove ${path}\nwould remove 1 file of 3, 900 B`,
    );
    expect(existsSync(path)).toBe(true);
    expect((await tape("prune", "--partial")).output).toBe(
      `removed ${path}\nremoved 1 file of 3, 900 B`,
    );
    expect(left()).toEqual([
      tapeFile(toldId(1)),
      tapeFile(toldId(2)),
      "deeper",
      "notes.jsonl",
    ]);
  });

  test("removes by age, count and size, and only what fits all that is asked", async () => {
    const [old, middle, recent] = aged(40, 20, 0) as [string, string, string];
    await tape("prune", "--older-than", "30d", "--keep", "3");
    expect(left()).toEqual([old, middle, recent]);
    await tape("prune", "--older-than", "30d", "--keep", "2");
    expect(left()).toEqual([middle, recent]);
    const { size } = Bun.file(at(recent));
    await tape("prune", "--max-size", String(2 * size));
    expect(left()).toEqual([middle, recent]);
    await tape("prune", "--max-size", String(2 * size - 1));
    expect(left()).toEqual([recent]);
    await tape("prune", "--keep", "0");
    expect(left()).toEqual([]);
  });

  test("removes what was never replayed, where that is known", async () => {
    const [one, other] = aged(2, 1) as [string, string];
    const { code, complaint } = await tape("prune", "--unused");
    expect([code, complaint]).toEqual([
      1,
      `Nothing tells which tapes of ${folder} are used: weir notes what it replays in ` +
      `${at(".replayed")}, and there is none`,
    ]);
    write(".replayed", `${one.slice(0, 26)}\n`);
    await tape("prune", "--unused", "--dry-run");
    expect(left()).toEqual([".replayed", one, other]);
    await tape("prune", "--unused");
    expect(left()).toEqual([".replayed", one]);
  });

  test("keeps what has another name than weir gave it, and says so", async () => {
    write("paris.tape.jsonl", tapeText(toldTape(9)));
    const kept = `weir: kept ${at("paris.tape.jsonl")}: that is no name that weir gives\n`;
    expect((await tape("prune", "--keep", "2")).output).toStartWith(kept);
    expect((await tape("prune", at("notes.jsonl"), "--older-than", "0s")).output).toBe(
      `weir: kept ${at("notes.jsonl")}: that is no name that weir gives\nremoved 0 files of 0, 0 B`,
    );
    expect(left()).toHaveLength(6);
  });

  test("wants to know what goes", async () => {
    const cases: readonly (readonly [words: readonly string[], complaint: RegExp])[] = [
      [[], /^Nothing says what goes: --older-than, --keep/],
      [["--partial", "--keep", "1"], /^--partial goes with --older-than only/],
      [
        ["--older-than", "x"],
        /^--older-than must be a number and s, min, h or d: 30d\. It is "x"$/,
      ],
      [["--max-size", "1 TB"], /^--max-size must be a number of bytes, or of kB, MB or GB/],
      [["--keep", "-1"], /^--keep needs a value/],
    ];
    for (const [words, complaint] of cases) {
      const said = await tape("prune", ...words);
      expect(said.code).toBe(2);
      expect(said.complaint).toMatch(complaint);
      expect(left().map((name) => basename(name))).toHaveLength(5);
    }
  });
});
