/**
 * The folder of tapes on the disk. Nothing here holds the loop up.
 *
 * @module
 */

import { existsSync, watch } from "node:fs";
import {
  appendFile,
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  stat,
  unlink,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { TapeFile, TapeFolder } from "../sources/tape/folder.ts";
import { TAPE_ENDING } from "../sources/tape/format.ts";

/** Whoever writes a file may write it in pieces, and several files one after the other. */
const SETTLE_MS = 100;
/** Tapes are what was said to a model: for whoever runs weir, and nobody else. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const PARTIAL = ".partial";

/** The file in a folder of tapes that has the ids of those that were replayed, a line each. */
export const REPLAYED_FILE = ".replayed";

/** The folder at `path`, which need not be there. */
export function tapeFolder(path: string): TapeFolder {
  const notes = new ReplayNotes(path);
  return {
    async list() {
      try {
        return (await readdir(path)).filter((name) => name.endsWith(TAPE_ENDING));
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    read: (name) => readFile(join(path, name)),
    async stampOf(name) {
      try {
        const { mtimeMs, size, ino } = await stat(join(path, name));
        return `${mtimeMs} ${size} ${ino}`;
      } catch {
        return undefined;
      }
    },
    async begin(name) {
      const file = join(path, name);
      const begin = async () => new DiskTape(file, await open(file + PARTIAL, "wx", FILE_MODE));
      try {
        return await begin();
      } catch (error) {
        if (!isMissing(error)) throw error;
        await mkdir(path, { recursive: true, mode: FOLDER_MODE });
        return await begin();
      }
    },
    noteReplayed: (id) => notes.add(id),
    watch: (onChange) => watchFolder(path, onChange),
  };
}

function isMissing(error: unknown): boolean {
  return (error as { readonly code?: string }).code === "ENOENT";
}

/** Follows the folder, or the one that it will be in. */
function watchFolder(path: string, onChange: () => void): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const settle = (isWanted: boolean) => {
    if (!isWanted) return;
    clearTimeout(timer);
    timer = setTimeout(onChange, SETTLE_MS);
  };
  const watchers = [
    watched(path, (file) => settle(file === null || file.endsWith(TAPE_ENDING))),
    // It may come, go and come again.
    watched(dirname(path), (file) => {
      if (file !== null && file !== basename(path)) return;
      watchers[0]?.();
      watchers[0] = watched(path, (file) => settle(file === null || file.endsWith(TAPE_ENDING)));
      settle(true);
    }),
  ];
  return () => {
    clearTimeout(timer);
    for (const close of watchers) close?.();
  };
}

/** Gives what ends it; undefined = there is no such folder, or the system does not watch it. */
function watched(path: string, onEvent: (file: string | null) => void): (() => void) | undefined {
  if (!existsSync(path)) return undefined;
  try {
    const watcher = watch(path, { persistent: false }, (_kind, file) => onEvent(file));
    watcher.on("error", () => watcher.close()); // a miss looks by itself
    return () => watcher.close();
  } catch {
    return undefined;
  }
}

/** The ids in the folder's note of what was replayed; none = nobody has noted any. */
export async function replayedIds(path: string): Promise<ReadonlySet<string> | undefined> {
  try {
    return new Set((await readFile(join(path, REPLAYED_FILE), "utf8")).split("\n"));
  } catch {
    return undefined;
  }
}

/** Each id is noted once: whoever replays a tape again knows it by then. */
class ReplayNotes {
  readonly #path: string;
  readonly #known = new Set<string>();
  #before: Promise<ReadonlySet<string> | undefined> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  add(id: string): void {
    if (this.#known.has(id)) return;
    this.#known.add(id);
    void this.#note(id).catch(() => {}); // one that cannot be written has no notes, which prune tells
  }

  async #note(id: string): Promise<void> {
    this.#before ??= replayedIds(this.#path);
    if ((await this.#before)?.has(id)) return;
    await appendFile(join(this.#path, REPLAYED_FILE), `${id}\n`, { mode: FILE_MODE });
  }
}

class DiskTape implements TapeFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  async append(text: string): Promise<void> {
    await this.#handle.appendFile(text);
  }

  async finish(): Promise<void> {
    await this.#handle.close();
    await rename(this.#path + PARTIAL, this.#path);
  }

  async drop(): Promise<void> {
    await this.#handle.close().catch(() => {}); // it may be closed
    await unlink(this.#path + PARTIAL);
  }
}
