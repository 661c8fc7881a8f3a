/**
 * Opens an SQLite file the way every part of the memory needs it, and reads from it.
 *
 * @module
 */

import { Database, SQLiteError } from "bun:sqlite";
import { existsSync } from "node:fs";
import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import { BUSY_WAIT_MS, makePrivate, OPEN_WAIT_MS, openPatiently } from "../lib/sqlite_file.ts";

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

/** What logs and health say of `error`: what SQLite says, with its code, or what quotes no server. */
export function reasonOf(error: unknown): string {
  if (error instanceof AppError) return error.plain;
  if (error instanceof SQLiteError) return `${error.message} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
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
