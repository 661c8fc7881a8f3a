import { describe, expect, test } from "bun:test";
import { COMMANDS } from "../../src/cli.ts";
import { operandsOf } from "../../src/cli/command.ts";
import { longName } from "../../src/cli/flags.ts";
import { HELP_COLUMNS } from "../../src/cli/help_text.ts";
import { say } from "./say.ts";

const NAMES = COMMANDS.map(({ name }) => name);

/** The lines of `text` below `heading` as far as the next empty one. */
function sectionOf(text: string, heading: string): readonly string[] {
  const lines = text.split("\n");
  const at = lines.indexOf(`${heading}:`);
  return at < 0 ? [] : lines.slice(at + 1, lines.indexOf("", at) + 1 || undefined);
}

test("no two commands have one name", () => expect(new Set(NAMES).size).toBe(NAMES.length));

describe("weir help", () => {
  test("lists every command with its words and its summary, in a line each", async () => {
    const { code, output } = await say(["help"]);
    expect(code).toBe(0);
    const lines = sectionOf(output, "Commands").filter((line) => line !== "");
    expect(lines.map((line) => line.trim().split(/ {2,}/))).toEqual(
      COMMANDS.map((command) => [
        [command.name, ...operandsOf(command)].join(" "),
        command.summary,
      ]),
    );
  });

  test("says what wins, what exit codes mean, and what to try", async () => {
    const { output } = await say(["help"]);
    expect(output).toContain("A flag wins over the environment");
    for (const code of ["0  ", "1  ", "2  ", "130"]) expect(output).toContain(`\n  ${code}  `);
    expect(output).toContain("\nTry it:\n  weir\n  curl -N http://127.0.0.1:8080/v1/");
  });

  test("fits its columns", async () => {
    const { output } = await say(["help"]);
    for (const line of output.split("\n")) expect(line.length).toBeLessThanOrEqual(HELP_COLUMNS);
  });
});

for (const command of COMMANDS) {
  const { name, flags, operands, examples } = command;
  describe(`weir help ${name}`, () => {
    test("prints the same as --help and -h behind the command", async () => {
      const { code, output } = await say(["help", name]);
      expect(code).toBe(0);
      expect(output).toStartWith(`Usage: ${["weir", name, ...operandsOf(command)].join(" ")} `);
      expect(await say([name, "--help"])).toEqual({ code, output, complaint: "" });
      expect(await say([name, "-h"])).toEqual({ code, output, complaint: "" });
    });

    test("names each operand and flag, with its short form, its value and what it does", async () => {
      const { output } = await say(["help", name]);
      const shown = output.replace(/\n {10,}/g, " "); // wrapped texts, in one line again
      for (const { name: word, text } of Object.values(operands)) {
        expect(shown).toMatch(new RegExp(`^ {2}${word} +${RegExp.escape(text)}`, "m"));
      }
      for (const [key, { short, value, text, notes }] of Object.entries(flags)) {
        const letter = short === undefined ? "    " : `-${short}, `;
        const term = `${letter}${longName(key)}${value === undefined ? "" : ` ${value}`}`;
        const line = new RegExp(`^ {2}${RegExp.escape(term)} +${RegExp.escape(text)}(.*)$`, "m");
        const [, rest = ""] = line.exec(shown) ?? expect.unreachable(`${term} is not in the help`);
        for (const note of notes) expect(rest).toContain(note);
      }
    });

    test("has examples that call it, and exit codes", async () => {
      const { output } = await say(["help", name]);
      expect(examples.length).toBeGreaterThan(0);
      for (const { line, text } of examples) {
        expect(line).toMatch(/\bweir\b/);
        expect(output).toContain(`\n  # ${text}\n  ${line}\n`);
      }
      const exits = sectionOf(output, "Exit codes");
      expect(exits[0]).toMatch(/^ {2}0 {2,}\S/);
      expect(exits.some((line) => /^ {2}2 {2,}\S/.test(line))).toBe(true);
    });

    test("fits its columns", async () => {
      const { output } = await say(["help", name]);
      for (const line of output.split("\n")) expect(line.length).toBeLessThanOrEqual(HELP_COLUMNS);
    });
  });

  describe(`weir ${name}`, () => {
    test("has no letter for two flags, and -h for none", () => {
      const letters = Object.values(flags).flatMap(({ short }) => short ?? []);
      expect(new Set(letters).size).toBe(letters.length);
      expect(letters).not.toContain("h");
    });

    test("has no flag that commander would take for the negation of another, or for its own", () => {
      for (const key of Object.keys(flags)) expect(longName(key)).not.toMatch(/^--(no-|help$)/);
    });

    const isOpen = Object.values(operands).at(-1)?.isRepeated === true;
    test.skipIf(isOpen)("refuses a word more than it takes", async () => {
      const words = Object.values(operands).map(({ choices }) => choices?.[0] ?? "word");
      const { code, output, complaint } = await say([name, ...words, "extra"]);
      expect([code, output]).toEqual([2, ""]);
      expect(complaint).toStartWith('Unexpected argument "extra". It is: weir ');
      expect(complaint).toEndWith(`Try: weir help ${name}`);
    });

    test("refuses an unknown flag", async () => {
      const { code, output, complaint } = await say([name, "--qqqqqqqqqqqqqqq"]);
      expect([code, output]).toEqual([2, ""]);
      expect(complaint).toBe(`Unknown option '--qqqqqqqqqqqqqqq'. Try: weir help ${name}`);
    });

    for (const [key, { short, value }] of Object.entries(flags)) {
      const long = longName(key);
      test(`knows that ${long}x was to be ${long}`, async () => {
        const { code, complaint } = await say([name, `${long}x`]);
        expect(code).toBe(2);
        expect(complaint).toBe(
          `Unknown option '${long}x'. Did you mean ${long}? Try: weir help ${name}`,
        );
      });
      if (value === undefined) continue;
      const spellings = [long, ...(short === undefined ? [] : [`-${short}`])];
      for (const words of spellings.flatMap((word) => [[word], [word, "--help"], [word, "-1"]])) {
        test(`refuses ${words.join(" ")}: the value is missing`, async () => {
          const { code, output, complaint } = await say([name, ...words]);
          expect([code, output]).toEqual([2, ""]);
          expect(complaint).toStartWith(`${long} needs a value`);
          expect(complaint).not.toContain("\n");
        });
      }
    }
  });
}

describe("a command line that names no command there is", () => {
  /** words → what is said. */
  const CASES: readonly (readonly [readonly string[], string])[] = [
    [["srve"], 'There is no command "srve". Did you mean serve? Try: weir help'],
    [["help", "srve"], 'There is no command "srve". Did you mean serve? Try: weir help'],
    [["chekc", "config.yaml"], 'There is no command "chekc". Did you mean check? Try: weir help'],
    [["-f", "a.yml", "dwon"], 'There is no command "dwon". Did you mean down? Try: weir help'],
    [["help", "天气"], 'There is no command "天气". Try: weir help'],
    [["🌊"], 'There is no command "🌊". Try: weir help'],
    [["constructor"], 'There is no command "constructor". Try: weir help'],
    [["help", "__proto__"], 'There is no command "__proto__". Try: weir help'],
    [[""], 'There is no command "". Try: weir help'],
  ];
  for (const [words, complaint] of CASES) {
    test(`weir ${words.join(" ")}`, async () => {
      expect(await say(words)).toEqual({ code: 2, output: "", complaint });
    });
  }
});
