/**
 * What a command may do to the world outside: read arguments and files, print, fail.
 *
 * @module
 */

/** Where a command prints. */
export interface Terminal {
  /** One line to standard output. */
  readonly print: (line: string) => void;
  /** One line to standard error. */
  readonly complain: (line: string) => void;
}

/** The terminal of this process. */
export const terminal: Terminal = {
  print: (line) => void process.stdout.write(`${line}\n`),
  complain: (line) => void process.stderr.write(`${line}\n`),
};

/** A command cannot go on. The message says why in one sentence; there is no stack trace. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: number;

  /** `exitCode`: 1 = the world is not as it should be, 2 = the command line is wrong. */
  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
