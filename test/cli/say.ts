/**
 * Runs a command line in this process and gives what it said.
 *
 * @module
 */

import { COMMANDS } from "../../src/cli.ts";
import { runCommandLine } from "../../src/cli/program.ts";
import { Failure } from "../../src/cli/terminal.ts";

/** What a command line came to. */
export interface Said {
  readonly code: number;
  readonly output: string;
  /** The message of the failure; "" when there was none. */
  readonly complaint: string;
}

/** Runs `words` with weir's commands: for those that only print, and for wrong ones. */
export async function say(words: readonly string[]): Promise<Said> {
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  try {
    const code = await runCommandLine(COMMANDS, words, { print, complain: print });
    return { code, output: lines.join("\n"), complaint: "" };
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return { code: error.exitCode, output: lines.join("\n"), complaint: error.message };
  }
}
