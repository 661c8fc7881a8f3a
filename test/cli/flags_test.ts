import { describe, expect, test } from "bun:test";
import { defineCommand } from "../../src/cli/command.ts";
import { choiceFlag, numberFlag, oneOf, switchFlag, textFlag } from "../../src/cli/flags.ts";
import { SETTING_FLAGS, settingOptions } from "../../src/cli/command_line.ts";
import { commandHelp } from "../../src/cli/help_text.ts";
import { parseWords } from "../../src/cli/parser.ts";
import { runCommandLine } from "../../src/cli/program.ts";

const terminal = { print() {}, complain() {} };

/** What a command with every kind of flag gets. */
async function got(words: readonly string[]): Promise<unknown> {
  let found: unknown;
  const command = defineCommand({
    name: "try",
    summary: "keep what it is called with",
    operands: { word: { name: "WORD", text: "any word", isOptional: true } },
    flags: {
      quiet: switchFlag({ short: "q", text: "a switch" }),
      dry: switchFlag({ short: "d", text: "another switch" }),
      outFile: textFlag({ short: "o", value: "FILE", text: "a text" }),
      count: numberFlag({
        value: "N",
        text: "a number",
        min: -5,
        max: 5,
        isWhole: true,
        default: 1,
      }),
      mode: choiceFlag({ value: "MODE", text: "a choice", choices: ["a", "b"], default: "a" }),
    },
    examples: [],
    exits: {},
    run({ flags, operands }) {
      found = { ...flags, ...operands };
      return 0;
    },
  });
  await runCommandLine([command], ["try", ...words], terminal);
  return found;
}

describe("a command's flags and operands", () => {
  const NONE = {
    quiet: false,
    dry: false,
    outFile: undefined,
    count: 1,
    mode: "a",
    word: undefined,
  };
  /** words → what differs from a line without any. */
  const CASES:
    readonly (readonly [readonly string[], Partial<Record<keyof typeof NONE, unknown>>])[] = [
      [[], {}],
      [["-q"], { quiet: true }],
      [["-qd"], { quiet: true, dry: true }],
      [["-qo", "x"], { quiet: true, outFile: "x" }],
      [["-ox"], { outFile: "x" }],
      [["--out-file", "x"], { outFile: "x" }],
      [["--out-file=x=y"], { outFile: "x=y" }],
      [["--out-file="], { outFile: "" }],
      [["-o", ""], { outFile: "" }],
      [["-o", "-"], { outFile: "-" }],
      [["--out-file=--quiet"], { outFile: "--quiet" }],
      [["-o-q"], { outFile: "-q" }],
      [["-o", "one", "-o", "two"], { outFile: "two" }],
      [["-o", "你好 🌊"], { outFile: "你好 🌊" }],
      [["--count=-5"], { count: -5 }],
      [["--count", "5", "--mode", "b"], { count: 5, mode: "b" }],
      [["word", "-q"], { word: "word", quiet: true }],
      [["-q", "word"], { word: "word", quiet: true }],
      [["--", "-q"], { word: "-q" }],
      [["-q", "--", "--dry"], { quiet: true, word: "--dry" }],
      [["🌊"], { word: "🌊" }],
      [[""], { word: "" }],
    ];
  for (const [words, differs] of CASES) {
    test(`of ${JSON.stringify(words)}`, async () => {
      expect(await got(words)).toEqual({ ...NONE, ...differs });
    });
  }
});

describe("an operand that is a list", () => {
  const command = defineCommand({
    name: "try",
    summary: "do nothing",
    operands: {
      action: { name: "ACTION", text: "what to do", choices: ["look"] },
      files: { name: "FILE", text: "files", isRepeated: true, completes: "files" },
    },
    flags: { quiet: switchFlag({ text: "a switch" }) },
    examples: [],
    exits: {},
    run: () => 0,
  });

  test("takes all the words that are left, flags among them or not", () => {
    for (const words of [["look", "a", "b"], ["look", "a", "--quiet", "b"]]) {
      expect(parseWords(command, words)).toMatchObject({
        operands: { action: "look", files: ["a", "b"] },
      });
    }
  });

  test("is missed when there is none", () => {
    expect(() => parseWords(command, ["look"])).toThrow(
      "FILE is missing. It is: weir try ACTION FILE… [options]. Try: weir help try",
    );
  });
});

test("oneOf() joins words as people do", () => {
  expect([["a"], ["a", "b"], ["a", "b", "c"]].map(oneOf)).toEqual(["a", "a or b", "a, b or c"]);
});

describe("the flags of the settings", () => {
  const command = defineCommand({
    name: "try",
    summary: "do nothing",
    operands: {},
    flags: SETTING_FLAGS,
    examples: [],
    exits: {},
    run: () => 0,
  });
  function optionsOf(words: readonly string[]) {
    const parsed = parseWords(command, words);
    if (parsed.kind !== "call") throw new Error("help was asked for");
    return settingOptions(parsed.flags as Parameters<typeof settingOptions>[0]);
  }
  const NONE = {
    configFile: undefined,
    settings: [],
    workflowFiles: [],
    envFiles: [],
    env: {},
  };
  /** words → what differs from a line without any. */
  const CASES: readonly (readonly [readonly string[], Partial<ReturnType<typeof optionsOf>>])[] = [
    [[], {}],
    [["-c", "a.yaml"], { configFile: "a.yaml" }],
    [["--config=a.yaml", "--config", "b.yaml"], { configFile: "b.yaml" }],
    [["--port", "0"], { settings: [{ key: "server.port", value: "0", name: "--port" }] }],
    [["--port=-1"], { settings: [{ key: "server.port", value: "-1", name: "--port" }] }],
    [["--host", "::1"], { settings: [{ key: "server.host", value: "::1", name: "--host" }] }],
    [
      ["--port", "1", "--set", "server.port=2", "--set=mock.reply=a=b", "--set", "x="],
      {
        settings: [
          { key: "server.port", value: "2" },
          { key: "mock.reply", value: "a=b" },
          { key: "x", value: "" },
          { key: "server.port", value: "1", name: "--port" },
        ],
      },
    ],
    [["--set", "mock.reply=你好 🌊"], { settings: [{ key: "mock.reply", value: "你好 🌊" }] }],
    [["-f", "a.yml", "--file=b.yml", "-fc.yml"], { workflowFiles: ["a.yml", "b.yml", "c.yml"] }],
    [["--env-file", "a", "--env-file=b"], { envFiles: ["a", "b"] }],
    [["-e", "A=1", "--env=B=x=y", "-e", "A=2", "-eC="], { env: { A: "2", B: "x=y", C: "" } }],
  ];
  for (const [words, differs] of CASES) {
    test(`say what ${JSON.stringify(words)} means`, () => {
      expect(optionsOf(words)).toEqual({ ...NONE, ...differs });
    });
  }

  /** words → the complaint. */
  const WRONG: readonly (readonly [readonly string[], RegExp])[] = [
    [["--set", "mock.delay_ms"], /^--set needs key\.path=value/],
    [["--set", "=1"], /^--set needs key\.path=value/],
    [["-e", "NAME"], /^Invalid env entry: NAME\. Write -e NAME=VALUE$/],
    [["-e", "=value"], /^Invalid env entry: =value\./],
    [["word"], /^Unexpected argument "word"/],
  ];
  for (const [words, complaint] of WRONG) {
    test(`refuse ${words.join(" ")}`, () => expect(() => optionsOf(words)).toThrow(complaint));
  }

  test("tell the config's own defaults", () => {
    const text = commandHelp(command);
    expect(text).toMatch(/--host HOST +the address to listen on \(default 127\.0\.0\.1\)/);
    expect(text).toMatch(/--port PORT +the port to listen on, 0 = any free one \(default 8080\)/);
  });
});
