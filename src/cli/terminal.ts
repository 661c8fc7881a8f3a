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

/** The exit codes of every command. */
export const EXIT = {
  done: 0,
  /** The world is not as it should be: a bad config, a taken port, a run that failed. */
  failed: 1,
  /** The command line is wrong. */
  usage: 2,
  /** It was done, and is not to be believed. */
  doubtful: 3,
  /** What a shell gives for a program that Ctrl-C has ended. */
  interrupted: 130,
} as const;

/** A command cannot go on. The message says why in one sentence; there is no stack trace. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: number;

  /** `exitCode`: one of `EXIT`. */
  constructor(message: string, exitCode: number = EXIT.failed) {
    super(message);
    this.exitCode = exitCode;
  }
}
