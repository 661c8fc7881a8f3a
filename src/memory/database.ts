/**
 * Opens an SQLite file the way every part of the memory needs it, and reads from it.
 *
 * @module
 */

import { constants, Database, SQLiteError } from "bun:sqlite";
import { closeSync, existsSync, openSync, statSync } from "node:fs";
import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";

/** What a commit survives: the death of this process, or also the loss of power. */
export type Durability = "process" | "power";

/** What every file of the memory needs. */
export interface FileOptions {
  readonly path: string;
  readonly durability: Durability;
  readonly watch: Watch;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

/** Milliseconds the opening waits for another process that is opening the same file. */
const OPEN_WAIT_MS = 5000;

/** Milliseconds between two attempts to open it. */
const OPEN_RETRY_MS = 5;

/**
 * Milliseconds a statement blocks this thread while another process writes. SQLite would sleep for a
 * whole one at least, and a batch lasts less: whoever meets one asks again in the next turn of the
 * loop and answers others meanwhile (see `Batch`).
 */
const BUSY_WAIT_MS = 0;

/** Milliseconds of patience: for a process that recovers the log after a crash. */
const PATIENCE_MS = 2000;

/** Kibibytes of pages kept in memory, where SQLite keeps 2 MiB by default. */
const CACHE_KIB = 32_768;

/** What every file has besides its own tables: a row to try whether the disk takes a write. */
const PROBE_TABLE = "CREATE TABLE probe (id INTEGER PRIMARY KEY, filler BLOB) STRICT";

/**
 * Opens or makes the database at `path`. `migrations[i]` brings it from version i to i + 1, and
 * `tidy` is run behind them at every opening; several processes may open the file at once.
 *
 * @throws {AppError} `memory_failed` when the file cannot be opened, or is from a newer weir.
 */
export function openDatabase(
  path: string,
  durability: Durability,
  migrations: readonly string[],
  tidy: (database: Database) => void = () => {},
): Database {
  try {
    return openPatiently(path, (database) => {
      // NORMAL writes the log without waiting for the disk; FULL waits at every commit.
      database.run(`PRAGMA synchronous = ${durability === "power" ? "FULL" : "NORMAL"}`);
      database.run(`PRAGMA cache_size = -${CACHE_KIB}`);
      migrate(database, path, [PROBE_TABLE, ...migrations]);
      tidy(database);
      database.run(`PRAGMA busy_timeout = ${BUSY_WAIT_MS}`);
    });
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError("memory_failed", `Cannot open the memory file ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/**
 * Makes the file at `path`, when there is none, for its owner alone: it holds what people said. The log
 * beside it gets the same mode. Whatever is in the way, whoever opens the file says.
 */
export function makePrivate(path: string): void {
  if (path === ":memory:") return;
  try {
    closeSync(openSync(path, "ax", 0o600));
  } catch {
    // It is there already, or cannot be made.
  }
}

/**
 * Opens or makes the file at `path` with a write-ahead log, and has `prepare` make what it needs.
 * Blocks this thread while other processes are opening it, for 5 s at the most: two that begin the
 * log at the same moment are told to give up at once, whatever `busy_timeout` says.
 *
 * @throws {SQLiteError} when it cannot be opened.
 */
export function openPatiently(path: string, prepare: (database: Database) => void): Database {
  const endMs = performance.now() + OPEN_WAIT_MS;
  makePrivate(path);
  for (;;) {
    const database = new Database(path, { create: true, strict: true });
    try {
      database.run(`PRAGMA busy_timeout = ${OPEN_WAIT_MS}`);
      database.run("PRAGMA journal_mode = WAL");
      prepare(database);
      noteLog(database);
      return database;
    } catch (error) {
      database.close();
      if (!isBusy(error) || performance.now() >= endMs) throw error;
      Bun.sleepSync(OPEN_RETRY_MS);
    }
  }
}

function migrate(database: Database, path: string, migrations: readonly string[]): void {
  const upgrade = database.transaction(() => {
    const row = database.query<{ readonly user_version: number }, []>("PRAGMA user_version").get();
    const version = row?.user_version ?? 0;
    if (version > migrations.length) {
      throw new AppError(
        "memory_failed",
        `Cannot open the memory file ${path}: it was written by a newer weir ` +
          `(version ${version}, this one knows ${migrations.length})`,
      );
    }
    for (const migration of migrations.slice(version)) database.run(migration);
    if (version < migrations.length) database.run(`PRAGMA user_version = ${migrations.length}`);
  });
  upgrade.immediate();
}

/** What SQLite writes a yes or no to. */
const answer = new Int32Array(2);

/** The log of each database: beside the file itself, where its path is a link. */
const logs = new WeakMap<Database, { readonly path: string; readonly inode: number }>();

/**
 * True when the file that `database` writes to is no longer at its path, or its log is not: whoever
 * opens the path sees nothing of what is written. Some microseconds.
 */
export function hasVanished(database: Database): boolean {
  if (database.filename === ":memory:") return false;
  const log = logs.get(database);
  return hasMoved(database) || (log !== undefined && inodeOf(log.path) !== log.inode);
}

/** True when the file itself is no longer at its path. */
export function hasMoved(database: Database): boolean {
  database.fileControl(constants.SQLITE_FCNTL_HAS_MOVED, answer);
  return answer[0] !== 0;
}

function noteLog(database: Database): void {
  const [row] = database.query("PRAGMA database_list").values() as [number, string, string][];
  const path = `${row![2]}-wal`;
  const inode = inodeOf(path);
  if (inode !== undefined) logs.set(database, { path, inode });
}

function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** What has become of a database that has vanished. */
export interface Vanished {
  /** True when what was written to it is kept all the same. */
  readonly isSaved: boolean;
  /** What is said of it. */
  readonly text: string;
}

/** Closes a database that has vanished. What is in a log that was removed is brought home first. */
export function abandon(database: Database, path: string): Vanished {
  const gone = "what it held is gone, and turns are kept in the file that is there now";
  try {
    if (hasMoved(database)) {
      return { isSaved: false, text: `${path} was removed or replaced while weir ran: ${gone}` };
    }
    const log = logs.get(database)!;
    // Another process may have made a new one already: then SQLite would mix up the two.
    if (inodeOf(log.path) === undefined) {
      const [row] = database.query("PRAGMA wal_checkpoint(TRUNCATE)").values();
      if (row?.[0] === 0) {
        const text = `${log.path} was removed while weir ran: what it held is in the file again`;
        return { isSaved: true, text };
      }
    }
    const text = `${log.path} was removed or replaced while weir ran: what it held may be gone`;
    return { isSaved: false, text };
  } finally {
    database.close();
  }
}

/** True when another process holds the file just now. */
export function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && (error.code ?? "").startsWith("SQLITE_BUSY");
}

/** What logs and health say of `error`: what SQLite says, with its code, or what quotes no server. */
export function reasonOf(error: unknown): string {
  if (error instanceof AppError) return error.plain;
  if (error instanceof SQLiteError) return `${error.message} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}

/** From now on every statement of `database` waits for other processes: up to 2 s. */
export function becomePatient(database: Database): void {
  database.run(`PRAGMA busy_timeout = ${PATIENCE_MS}`);
}

/** Runs `ask`; when another process holds the file, once more and with patience: up to 2 s. */
export function patiently<T>(database: Database, ask: () => T): T {
  try {
    return ask();
  } catch (error) {
    if (!isBusy(error)) throw error;
  }
  becomePatient(database);
  try {
    return ask();
  } finally {
    database.run(`PRAGMA busy_timeout = ${BUSY_WAIT_MS}`);
  }
}

/**
 * Copies the database at `path` to the new file `target`, while others write to it. The copy is
 * what was committed when it began.
 *
 * @throws {AppError} `memory_failed`
 */
export function backupDatabase(path: string, target: string): void {
  if (!existsSync(path)) {
    throw new AppError("memory_failed", `Cannot back up ${path}: there is no such file`);
  }
  if (existsSync(target)) {
    throw new AppError("memory_failed", `Cannot back up to ${target}: the file exists already`);
  }
  let database: Database | undefined;
  try {
    database = new Database(path, { readwrite: true, strict: true });
    database.run(`PRAGMA busy_timeout = ${OPEN_WAIT_MS}`);
    makePrivate(target); // SQLite takes a file that is empty
    database.query("VACUUM INTO ?").run(target);
  } catch (error) {
    throw new AppError("memory_failed", `Cannot back up ${path}: ${reasonOf(error)}`, {
      cause: error,
    });
  } finally {
    database?.close();
  }
}
