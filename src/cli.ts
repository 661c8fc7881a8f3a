/**
 * The command line: every command there is. Only here and in `cli/` are files, flags and the
 * environment read.
 *
 * @module
 */

import { audit } from "./cli/audit.ts";
import { bench } from "./cli/bench.ts";
import { check } from "./cli/check.ts";
import type { Command } from "./cli/command.ts";
import { completion } from "./cli/completion.ts";
import { down } from "./cli/down.ts";
import { faults } from "./cli/faults.ts";
import { fixtures } from "./cli/fixtures.ts";
import { help } from "./cli/help.ts";
import { importRecordings } from "./cli/import.ts";
import { install } from "./cli/install.ts";
import { key } from "./cli/key.ts";
import { latency } from "./cli/latency.ts";
import { load } from "./cli/load.ts";
import { memory } from "./cli/memory.ts";
import { runCommandLine } from "./cli/program.ts";
import { watchPrinted } from "./cli/outputs.ts";
import { requests } from "./cli/requests.ts";
import { run } from "./cli/run.ts";
import { serve } from "./cli/serve.ts";
import { EXIT, Failure, terminal } from "./cli/terminal.ts";
import { tape } from "./cli/tape.ts";
import { token } from "./cli/token.ts";
import { up } from "./cli/up.ts";
import { usage } from "./cli/usage.ts";
import { verdict } from "./cli/verdict.ts";
import { version } from "./cli/version.ts";

/** Every command, in the order of `weir help`. */
export const COMMANDS: readonly Command[] = [
  serve,
  up,
  down,
  run,
  check,
  fixtures,
  faults,
  requests,
  verdict,
  memory,
  key,
  usage,
  token,
  install,
  tape,
  importRecordings,
  latency,
  load,
  bench,
  audit,
  completion,
  version,
  help,
];

/** Runs the command line of this process, and ends it with the command's exit code. */
export async function main(): Promise<void> {
  const unprinted = watchPrinted();
  // Where standard error is full, nobody can be told so.
  process.stderr.on("error", () => {});
  let code: number;
  try {
    code = await runCommandLine(COMMANDS, process.argv.slice(2), terminal);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    terminal.complain(`weir: ${error.message}`);
    code = error.exitCode;
  }
  const failure = await unprinted();
  if (failure !== undefined) {
    terminal.complain(`weir: ${failure.message}`);
    if (code !== EXIT.usage && code !== EXIT.interrupted) code = EXIT.failed;
  }
  // A command that has ended leaves nothing behind that is worth waiting for.
  process.exit(code);
}
