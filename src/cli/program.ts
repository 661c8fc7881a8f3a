/**
 * The command line as a whole: which words name which command, and what is said when none does.
 *
 * @module
 */

import { nearest } from "../lib/nearest.ts";
import { shownUrl } from "../lib/userinfo.ts";
import type { Call, Command } from "./command.ts";
import { commandHelp } from "./help_text.ts";
import { parseWords } from "./parser.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

/** A command's name and the words behind it. */
export interface CommandLine {
  readonly name: string;
  readonly words: readonly string[];
}

/** Flags that stand for a command. What comes behind them is not looked at. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["--version", "version"],
  ["-v", "version"],
  ["--help", "help"],
  ["-h", "help"],
]);

/** The command that a line without one means. */
export const MAIN_COMMAND = "serve";

/**
 * Runs the one of `commands` that `argv` names, and gives its exit code.
 *
 * @throws {Failure} with exit code 2 when the command line is wrong, and what the command throws.
 */
export async function runCommandLine(
  commands: readonly Command[],
  argv: readonly string[],
  terminal: Terminal,
): Promise<number> {
  const { name, words } = splitCommand(argv);
  const command = findCommand(commands, name);
  const parsed = parseWords(command, words);
  if (parsed.kind === "help") {
    terminal.print(commandHelp(command));
    return EXIT.done;
  }
  const { flags, operands, given } = parsed;
  return await command.run({ flags, operands, given, words, commands } as Call, terminal);
}

/**
 * The command of that name.
 *
 * @throws {Failure} with exit code 2 when there is none, and the name that was probably meant.
 */
export function findCommand(commands: readonly Command[], name: string): Command {
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return command;
  const meant = nearest(name, commands.map((one) => one.name));
  const hint = meant === undefined ? "" : ` Did you mean ${meant}?`;
  const shown = shownUrl(name);
  throw new Failure(`There is no command "${shown}".${hint} Try: weir help`, EXIT.usage);
}

/**
 * The command of `argv`: its first word, or `serve` when it starts with a flag. As with
 * model-compose, `-f FILE` may stand before the command.
 */
export function splitCommand(argv: readonly string[]): CommandLine {
  const at = wordsOfFiles(argv);
  if (at > 0 && at < argv.length && !argv[at]!.startsWith("-")) {
    return { name: argv[at]!, words: [...argv.slice(0, at), ...argv.slice(at + 1)] };
  }
  const [first, ...words] = argv;
  if (first === undefined) return { name: MAIN_COMMAND, words: [] };
  const alias = ALIASES.get(first);
  if (alias !== undefined) return { name: alias, words: [] };
  if (first.startsWith("-")) return { name: MAIN_COMMAND, words: argv };
  return { name: first, words };
}

/** How many words at the start of `argv` name workflow files. */
function wordsOfFiles(argv: readonly string[]): number {
  let at = 0;
  for (;;) {
    const word = argv[at] ?? "";
    if (word === "-f" || word === "--file") at += 2;
    else if (/^(-f.|--file=)/.test(word)) at += 1;
    else return at;
  }
}
