/**
 * How thorough a benchmark is, and the line that tells how far it has come.
 *
 * @module
 */

/** The connections at which most figures are judged, and every tool sees every server. */
export const JUDGED_CONNECTIONS = 64;
/** From here on a run lasts longer: connecting alone takes a second. */
export const MANY_CONNECTIONS = 2000;
const MANY_SECONDS_MIN = 5;

/** Rounds of every pair: most where figures are judged, fewer where they are only shown. */
export interface Rounds {
  /** At `JUDGED_CONNECTIONS`, and wherever else a figure is judged. */
  readonly judged: number;
  /** At other numbers of connections. */
  readonly shown: number;
  /** At `MANY_CONNECTIONS` and more. */
  readonly many: number;
  readonly paced: number;
  /** Of the memory cases. */
  readonly idle: number;
}

/** What the command line decides. */
export interface BenchOptions {
  readonly isQuick: boolean;
  readonly rounds: Rounds;
  /** Seconds of one run of a load generator. */
  readonly seconds: number;
  readonly connections: readonly number[];
  /** The command that starts weir, without its arguments. */
  readonly weir: readonly string[];
  /** Another weir, to be measured beside it instead of all peers. */
  readonly against?: { readonly name: string; readonly command: readonly string[] } | undefined;
  /** Time for repeated runs, in all: a machine that is never quiet must not stretch the whole. */
  readonly patience: { leftMs: number };
  /** Tells how far it has come. */
  readonly say: (text: string) => void;
}

/** Rounds at a number of connections, where a figure is judged or not. */
export function roundsAt(
  connections: number,
  isJudged: boolean,
  { rounds }: Pick<BenchOptions, "rounds">,
): number {
  if (isJudged || connections === JUDGED_CONNECTIONS) return rounds.judged;
  return connections >= MANY_CONNECTIONS ? rounds.many : rounds.shown;
}

/** Seconds of one run at a number of connections. */
export function secondsAt(
  connections: number,
  { seconds }: Pick<BenchOptions, "seconds">,
): number {
  return connections >= MANY_CONNECTIONS ? Math.max(seconds, MANY_SECONDS_MIN) : seconds;
}

/** Writes one line that replaces the last on a terminal, and one after the other elsewhere. */
export function progressLine(text: string): void {
  const isTerminal = process.stderr.isTTY === true;
  process.stderr.write(isTerminal ? `\r\x1b[2K${text}` : `${text}\n`);
}
