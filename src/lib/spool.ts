/**
 * Lines in a file of this process, until they are somewhere safer. A line that was added outlives the
 * process however that one ends: it is in the system's own memory by then, and a lock says whether the
 * process is still alive.
 *
 * @module
 */

import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { Lock } from "./process_lock.ts";

const LINES = ".lines";
const LOCK = ".lock";

/** UTF-8 of one UTF-16 unit, at most. */
const CHAR_BYTES_MAX = 3;
const SCRATCH_BYTES = 65_536;
/** Lines on their way: a buffer made for each would cost as much as the write. */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** The lines of one process. */
export class Spool {
  readonly #path: string;
  readonly #lock: Lock;
  readonly #file: number;
  #bytes = 0;
  /** True: the last line did not fit on the disk, and a part of it may be there. */
  #isTorn = false;

  /**
   * Makes a file in `folder`, which is made as well. `id` is nobody else's.
   *
   * @throws {Error} when it cannot be made.
   */
  constructor(folder: string, id: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, id);
    this.#lock = new Lock(this.#path + LOCK);
    // Before the file: whoever finds one that nobody has locked takes it.
    if (!this.#lock.take()) throw new Error(`${this.#path} is another process's`);
    this.#file = openSync(this.#path + LINES, "ax", 0o600);
  }

  /** Bytes there are. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps `lines`, with a line feed between two of them. @throws {Error} when the disk does not take them. */
  add(lines: string): void {
    const text = `${this.#isTorn ? "\n" : ""}${lines}\n`;
    const isShort = text.length <= SCRATCH_BYTES / CHAR_BYTES_MAX;
    const bytes = isShort ? scratch : Buffer.from(text);
    const length = isShort ? scratch.write(text) : bytes.length;
    this.#isTorn = true;
    for (let at = 0; at < length;) {
      const written = writeSync(this.#file, bytes, at, length - at);
      at += written;
      this.#bytes += written;
    }
    this.#isTorn = false;
  }

  /** Every whole line. */
  read(): readonly string[] {
    return linesOf(this.#path + LINES);
  }

  /** All of it is somewhere safer. */
  clear(): void {
    if (this.#bytes > 0) ftruncateSync(this.#file);
    this.#bytes = 0;
    this.#isTorn = false;
  }

  /** Nothing more comes. The file goes when nothing is in it, else the next one finds it. */
  close(): void {
    closeSync(this.#file);
    if (this.#bytes === 0) rmSync(this.#path + LINES, { force: true }); // it may be gone
    this.#lock.release();
    if (this.#bytes === 0) rmSync(this.#path + LOCK, { force: true });
  }
}

/**
 * Gives the lines of each process that has ended without bringing them to safety to `take`, and removes
 * its file when that is done.
 *
 * @throws {Error} what `take` does (the promise rejects): the file stays.
 */
export async function takeAbandoned(
  folder: string,
  take: (lines: readonly string[]) => Promise<void>,
): Promise<void> {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (!name.endsWith(LINES)) continue;
    const path = join(folder, name.slice(0, -LINES.length));
    const lock = new Lock(path + LOCK);
    if (!lock.take()) continue;
    try {
      if (!existsSync(path + LINES)) continue; // another process was quicker
      await take(linesOf(path + LINES));
      unlinkSync(path + LINES);
      unlinkSync(path + LOCK);
    } finally {
      lock.release();
    }
  }
}

/** What stands behind the last line feed was not written to its end. */
function linesOf(path: string): readonly string[] {
  return readFileSync(path, "utf8").split("\n").slice(0, -1).filter((line) => line !== "");
}
