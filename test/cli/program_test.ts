import { describe, expect, test } from "bun:test";
import { splitCommand } from "../../src/cli/program.ts";
import { say } from "./say.ts";

describe("splitCommand()", () => {
  /** argv → the command and its words. */
  const CASES: readonly (readonly [readonly string[], string, readonly string[]])[] = [
    [[], "serve", []],
    [["check", "a.yaml"], "check", ["a.yaml"]],
    [["--port", "0"], "serve", ["--port", "0"]],
    [["--"], "serve", ["--"]],
    [["-f", "a.yml", "up", "-d"], "up", ["-f", "a.yml", "-d"]],
    [["-fa.yml", "--file", "b.yml", "--file=c.yml", "run", "x"], "run", [
      ...["-fa.yml", "--file", "b.yml", "--file=c.yml", "x"],
    ]],
    [["-f", "a.yml"], "serve", ["-f", "a.yml"]],
    [["-f"], "serve", ["-f"]],
    [["-f", "a.yml", "--port", "0"], "serve", ["-f", "a.yml", "--port", "0"]],
    [["-v"], "version", []],
    [["--version", "x"], "version", []],
    [["-h"], "help", []],
    [["--help", "--port", "1"], "help", []],
  ];
  for (const [argv, name, words] of CASES) {
    test(`weir ${argv.join(" ")} is ${name}`, () => {
      expect(splitCommand(argv)).toEqual({ name, words });
    });
  }
});

describe("runCommandLine()", () => {
  /** words → what the sentence on standard error says. */
  const WRONG: readonly (readonly [readonly string[], string])[] = [
    [["--prot", "1"], "Unknown option '--prot'. Did you mean --port? Try: weir help serve"],
    [["up", "-x"], "Unknown option '-x'. Try: weir help up"],
    [["up", "-dvx"], "Unknown option '-x'. Try: weir help up"],
    [["up", "-vc"], "--config needs a value"],
    [["up", "--detach=yes"], "--detach takes no value. Try: weir help up"],
    [["serve", "--port", "--host"], '--port needs a value: one that begins with "-"'],
    [["serve", "--port", "-1"], '--port needs a value: one that begins with "-"'],
    [["install", "--root="], "--root needs a value"],
    [["install", "--server-name", ""], "--server-name needs a value"],
    [["memory"], "backup is missing. It is: weir memory backup FILE [options]"],
    [["memory", "restore", "x"], '"restore" is not backup. It is: weir memory backup FILE'],
    [["memory", "backup"], "FILE is missing. It is: weir memory backup FILE"],
    [["completion", "tcsh"], '"tcsh" is not bash, zsh or fish. It is: weir completion SHELL'],
    [["bench"], "URL is missing. It is: weir bench URL [options]. Try: weir help bench"],
    [["bench", "http://a", "-n", "20001"], "--streams must be a whole number from 1 to 20000: it"],
    [["bench", "http://a", "-s-1"], '--seconds must be a number from 0 to 600: it is "-1"'],
    [["bench", "http://a", "-s", " "], '--seconds must be a number from 0 to 600: it is " "'],
    [["bench", "http://a", "--timeout=soon"], "--timeout must be a time such as 500ms, 30s or 2m"],
    [["bench", "http://a", "-X", "get"], '--method must be GET or POST: it is "get"'],
    [["token", "--hours", "1e99"], "--hours must be a whole number from 0 to 999999999"],
    [["serve", "--set", "端口"], "--set needs key.path=value"],
  ];
  for (const [words, part] of WRONG) {
    test(`refuses ${words.join(" ")}`, async () => {
      const { code, output, complaint } = await say(words);
      expect([code, output]).toEqual([2, ""]);
      expect(complaint).toStartWith(part);
      expect(complaint).not.toContain("\n");
    });
  }

  test("prints the help of a command whatever else is wrong behind it", async () => {
    const { code, output } = await say(["bench", "--nope", "-n", "0", "--help"]);
    expect(code).toBe(0);
    expect(output).toStartWith("Usage: weir bench URL");
  });
});
