/**
 * The command line: which word runs which command. Only here and in `cli/` are files, flags and the
 * environment read.
 *
 * @module
 */

import { bench } from "./cli/bench.ts";
import { check } from "./cli/check.ts";
import { down } from "./cli/down.ts";
import { help } from "./cli/help.ts";
import { memory } from "./cli/memory.ts";
import { install } from "./cli/install.ts";
import { parseCommandLine } from "./cli/command_line.ts";
import { run } from "./cli/run.ts";
import { serve } from "./cli/serve.ts";
import { Failure, type Terminal, terminal } from "./cli/terminal.ts";
import { token } from "./cli/token.ts";
import { up } from "./cli/up.ts";
import { version } from "./cli/version.ts";

/** A command gets its words and a terminal, and gives the exit code. */
type Command = (args: readonly string[], terminal: Terminal) => Promise<number> | number;

const COMMANDS: Readonly<Record<string, Command>> = {
  serve,
  up,
  down,
  run,
  check,
  memory,
  token,
  install,
  bench,
  version,
  help,
};

/** Runs the command line of this process, and ends it with the command's exit code. */
export async function main(): Promise<void> {
  const { name, args } = parseCommandLine(process.argv.slice(2));
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name]! : unknown(name);
  let code: number;
  try {
    code = await command(args, terminal);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    terminal.complain(`weir: ${error.message}`);
    code = error.exitCode;
  }
  // A command that has ended leaves nothing behind that is worth waiting for.
  process.exit(code);
}

function unknown(name: string): Command {
  return () => {
    throw new Failure(`There is no command "${name}". Try: weir help`, 2);
  };
}
