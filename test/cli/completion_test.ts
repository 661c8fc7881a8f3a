import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COMMANDS } from "../../src/cli.ts";
import { longName } from "../../src/cli/flags.ts";
import { makeFolder } from "../server/launch.ts";
import { describeWith } from "../server/needs.ts";
import { say } from "./say.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
const NAMES = COMMANDS.map(({ name }) => name);

/** What stands before the cursor, its last word being completed → what is offered. */
const CASES: readonly (readonly [line: string, offers: readonly string[]])[] = [
  ["weir ", NAMES],
  ["weir ch", ["check"]],
  ["weir --po", ["--port"]],
  ["weir bench --me", ["--method"]],
  ["weir bench -X ", ["GET", "POST"]],
  ["weir bench --method P", ["POST"]],
  ["weir -f here.yml up --det", ["--detach"]],
  ["weir memory ", ["backup"]],
  ["weir fixtures ", ["check", "test"]],
  ["weir latency ", ["fit", "list", "show"]],
  ["weir help ins", ["install"]],
  ["weir completion ", SHELLS],
  ["weir up --port ", []],
];

let folder: string;
const scriptIn = (shell: string) => join(folder, `script.${shell}`);

beforeAll(async () => {
  folder = makeFolder({ "here.yml": "" });
  for (const shell of SHELLS) {
    const { output } = await say(["completion", shell]);
    writeFileSync(scriptIn(shell), output);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What `command` prints, a word a line, sorted. */
async function wordsOf(command: readonly string[]): Promise<readonly string[]> {
  const child = Bun.spawn([...command], { cwd: folder, stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect(errors).toBe("");
  return output.split("\n").map((line) => line.split("\t")[0]!).filter((word) => word !== "")
    .sort();
}

for (const shell of SHELLS) {
  test(`the script for ${shell} has every command and every flag`, async () => {
    const { output } = await say(["completion", shell]);
    for (const { name, flags } of COMMANDS) {
      expect(output).toContain(name);
      for (const key of Object.keys(flags)) {
        expect(output).toContain(
          shell === "fish" ? `-l ${longName(key).slice(2)} ` : longName(key),
        );
      }
    }
  });
}

describeWith(Bun.which("bash") !== null, "bash", "in bash", () => {
  for (const [line, offers] of CASES) {
    test(`"${line}" offers ${offers.join(" ") || "nothing"}`, async () => {
      const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _weir; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const found = await wordsOf([
        "bash",
        "-c",
        script,
        "bash",
        scriptIn("bash"),
        ...line.split(" "),
      ]);
      expect(found).toEqual([...offers].sort());
    });
  }
});

describe.skipIf(Bun.which("fish") === null)("in fish", () => {
  for (const [line, offers] of CASES) {
    test(`"${line}" offers ${offers.join(" ") || "nothing"}`, async () => {
      const script = `source ${scriptIn("fish")}; complete -C '${line}'`;
      const found = await wordsOf(["fish", "--no-config", "-c", script]);
      const files = readdirSync(folder); // which fish offers besides, where a word may be one
      expect(found.filter((word) => !files.includes(word))).toEqual([...offers].sort());
    });
  }
});

describe.skipIf(Bun.which("zsh") === null)("in zsh", () => {
  test("the script is well formed", async () => {
    expect(await wordsOf(["zsh", "-n", scriptIn("zsh")])).toEqual([]);
  });
});
