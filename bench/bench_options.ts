/**
 * How thorough a benchmark is, and the line that tells how far it has come.
 *
 * @module
 */

/** What the command line decides. */
export interface BenchOptions {
  readonly isQuick: boolean;
  /** Rounds of every pair. */
  readonly rounds: number;
  /** Seconds of one run of a load generator. */
  readonly seconds: number;
  readonly connections: readonly number[];
  /** The command that starts weir, without its arguments. */
  readonly weir: readonly string[];
  /** Another weir, to be measured beside it instead of all peers. */
  readonly against?: { readonly name: string; readonly command: readonly string[] } | undefined;
  /** Tells how far it has come. */
  readonly say: (text: string) => void;
}

/** Writes one line that replaces the last on a terminal, and one after the other elsewhere. */
export function progressLine(text: string): void {
  const isTerminal = process.stderr.isTTY === true;
  process.stderr.write(isTerminal ? `\r\x1b[2K${text}` : `${text}\n`);
}
