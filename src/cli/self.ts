/**
 * How this program starts itself again: as a worker, behind the scenes, or in its own place.
 *
 * @module
 */

/** Where the program was when it started: what lies there by now may be a newer one. */
const PROGRAM = Bun.isStandaloneExecutable
  ? [process.execPath]
  : [process.execPath, ...process.execArgv, process.argv[1]!];

/** The words that start this program with `words`, from the executable as from source. */
export function selfCommand(words: readonly string[]): string[] {
  return [...PROGRAM, ...words];
}

/** The words this program was started with. */
export function ownWords(): string[] {
  return process.argv.slice(2);
}
