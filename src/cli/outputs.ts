/**
 * Where what a command found goes: standard output, and files besides it.
 *
 * @module
 */

import { closeSync, openSync } from "node:fs";
import { resolve } from "node:path";
import { longName } from "./flags.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { mustBeWritable, writeFailure, writeOver } from "./whole_files.ts";

/** Names that stand for what is printed, and for what nobody reads. */
const SHARED = /^(?:-|\/dev\/.*)$/;

/** The files that a command was told to write, by the key of the flag that names each. */
export interface Outputs {
  readonly isJson: boolean;
  /** Written at the end: "-" prints it instead of the report. */
  readonly whole: Readonly<Record<string, string | undefined>>;
  /** Written while something runs, and what that is: "load". */
  readonly growing: readonly [key: string, path: string | undefined, running: string];
}

/**
 * True when standard output is the report's. Looks at every file that is to be written: a run of an
 * hour is not to end with one that cannot be.
 *
 * @throws {Failure} with exit code 2 when two things would be printed into each other, or a file
 * cannot be written.
 */
export function leavesReport({ isJson, whole, growing }: Outputs): boolean {
  const printed = Object.keys(whole).filter((key) => whole[key] === "-")
    .map((key) => `${longName(key)} -`);
  const all = [...(isJson ? ["--json"] : []), ...printed];
  if (all.length > 1) {
    throw new Failure(
      `${all.slice(0, 2).join(" and ")} would be printed into each other`,
      EXIT.usage,
    );
  }
  const [grows, growingPath, running] = growing;
  if (growingPath === "-") {
    throw new Failure(
      `${
        longName(grows)
      } needs a file: its lines come while the ${running} runs (/dev/stderr, /dev/stdout)`,
      EXIT.usage,
    );
  }
  const files = new Map<string, string>();
  for (const [key, path] of [...Object.entries(whole), [grows, growingPath] as const]) {
    if (path === undefined || path === "-") continue;
    mustBeWritable(path, `${longName(key)} ${path}`);
    const place = resolve(path);
    const other = files.get(place);
    if (other !== undefined && !SHARED.test(path)) {
      throw new Failure(`${other} and ${longName(key)} are the same file: ${path}`, EXIT.usage);
    }
    files.set(place, longName(key));
  }
  return printed.length === 0;
}

/** What is to be written, and where: undefined = nowhere, "-" = it is printed. */
export type Writing = readonly [path: string | undefined, text: () => string];

/** Writes each. Gives what could not be written, a sentence each: what was found is not lost with one file. */
export function writeEach(writings: readonly Writing[], terminal: Terminal): readonly Failure[] {
  return writings.flatMap(([path, text]) => {
    if (path === undefined) return [];
    return failuresOf(() =>
      path === "-" ? terminal.print(text().trimEnd()) : writeOver(path, text())
    );
  });
}

/** How many descriptors are held for files at the end. */
const HELD_DESCRIPTORS = 8;

/**
 * Holds the descriptors that files at the end need: sockets take all that there are, and a server may
 * be slow to close its side of them. Gives the function that sets them free.
 */
export function holdDescriptors(): () => void {
  const held: number[] = [];
  try {
    while (held.length < HELD_DESCRIPTORS) held.push(openSync("/dev/null", "r"));
  } catch {
    // There are no more of them.
  }
  return () => held.splice(0).forEach((descriptor) => closeSync(descriptor));
}

/** Does `write`, and gives the failure that it throws, if it does. */
export function failuresOf(write: () => void): readonly Failure[] {
  try {
    write();
    return [];
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    return [error];
  }
}

/**
 * Watches standard output from now on. Gives the function that ends it, waits until all of it is taken,
 * and gives what went wrong: a reader that has seen enough is no trouble, and whoever watches
 * it besides tells by itself what happens.
 */
export function watchPrinted(): () => Promise<Failure | undefined> {
  const { stdout } = process;
  const others = stdout.listenerCount("error");
  let failure: Failure | undefined;
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  stdout.on("error", (error: Error & { readonly code?: string }) => {
    end();
    const isTold = stdout.listenerCount("error") > others + 1;
    if (error.code !== "EPIPE" && !isTold) failure ??= writeFailure(error, "to standard output");
  });
  return async () => {
    stdout.end(end);
    await ended;
    await new Promise((resolve) => setImmediate(resolve)); // a full disk is told behind the end
    return failure;
  };
}
