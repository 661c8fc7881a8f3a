/**
 * The store in an SQLite file: that of the memory, or one of its own. Its tables have names of their own,
 * and a version of their own.
 *
 * @module
 */

import type { Database } from "bun:sqlite";
import { existsSync } from "node:fs";
import { AppError } from "../core/errors.ts";
import type { StoredKey } from "../core/keys.ts";
import {
  dayOf,
  type KeyChange,
  monthOf,
  type Spent,
  type Store,
  type UsageQuery,
  type UsageRow,
  type UsageSum,
} from "../core/store.ts";
import { BUSY_WAIT_MS, hasVanished, isBusy, openPatiently, patiently } from "../lib/sqlite_file.ts";
import {
  addToDays,
  DAY_SUMS,
  keyOf,
  type KeyRow,
  nameTaken,
  noSuchKey,
  rulesText,
  spentOf,
  spentQuery,
  type SpentRow,
  USAGE_COLUMNS,
  usageQuery,
  usageSumOf,
  type UsageSumRow,
  usageValues,
} from "./rows.ts";

/** Milliseconds between two attempts while another process writes, and how long there are more. */
const BUSY_RETRY_MS = 2;
const BUSY_GIVE_UP_MS = 10_000;

/** Rows of one transaction: 10 µs each, so that no token waits longer than some 3 ms. */
const ROWS_MAX = 256;

/** `MIGRATIONS[i]` brings the tables from version i to i + 1. */
const MIGRATIONS = [
  `
  CREATE TABLE weir_keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    rules TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    ends_ms INTEGER,
    is_current INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX weir_keys_name ON weir_keys (name) WHERE is_current = 1;
  CREATE TABLE weir_usage (
    ${
    USAGE_COLUMNS.map(([name, type]) => `${name} ${type === "text" ? "TEXT" : "INTEGER"}`).join(
      ", ",
    )
  },
    PRIMARY KEY (id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX weir_usage_at ON weir_usage (at_ms);
  CREATE TABLE weir_usage_days (
    day INTEGER NOT NULL,
    key TEXT NOT NULL,
    model TEXT NOT NULL,
    ${DAY_SUMS.map(([name]) => `${name} INTEGER NOT NULL`).join(", ")},
    PRIMARY KEY (day, key, model)
  ) STRICT, WITHOUT ROWID;
  `,
];

/** Knows the version of the tables, and how often keys have changed. */
const MARKS = "CREATE TABLE IF NOT EXISTS weir_store (name TEXT PRIMARY KEY, value INTEGER) STRICT";

/** What it needs. */
export interface SqliteStoreOptions {
  /** A file, or ":memory:". */
  readonly path: string;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  readonly sleep: (delayMs: number) => Promise<unknown>;
}

/** Opens the store. The file is opened, and made, on first use. */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  return new SqliteStore(options);
}

class SqliteStore implements Store {
  readonly name = "sqlite";
  readonly #options: SqliteStoreOptions;
  #database: Database | undefined = undefined;
  /** True: its tables are there and up to date. */
  #isReady = false;

  constructor(options: SqliteStoreOptions) {
    this.#options = options;
  }

  keysVersion(): number {
    return this.#read(0, (database) => {
      const row = database.query<{ readonly value: number }, []>(
        "SELECT value FROM weir_store WHERE name = 'keys'",
      ).get();
      return row?.value ?? 0;
    });
  }

  keys(): readonly StoredKey[] {
    return this.#read([], (database) =>
      database.query<KeyRow, []>(
        "SELECT digest, name, rules, made_ms, ends_ms, is_current FROM weir_keys ORDER BY seq",
      ).all().map(keyOf));
  }

  async changeKeys(change: KeyChange): Promise<void> {
    await this.#write((database) => {
      changeKeys(database, change);
      database.run(
        "INSERT INTO weir_store (name, value) VALUES ('keys', 1) " +
          "ON CONFLICT (name) DO UPDATE SET value = value + 1",
      );
    });
  }

  async addUsage(rows: readonly UsageRow[]): Promise<void> {
    for (let from = 0; from < rows.length; from += ROWS_MAX) {
      if (from > 0) await this.#options.sleep(0); // others have their turn
      await this.#write((database) => addUsage(database, rows.slice(from, from + ROWS_MAX)));
    }
  }

  spent(atMs: number): readonly Spent[] {
    return this.#read(
      [],
      (database) =>
        database.query<SpentRow, [number, number]>(spentQuery("?1", "?2", (sum) => sum))
          .all(dayOf(atMs), monthOf(atMs)).map(spentOf),
    );
  }

  usage({ by, sinceDay, untilDay, key }: UsageQuery): readonly UsageSum[] {
    return this.#read(
      [],
      (database) =>
        database.query<UsageSumRow, [number, number, string | null]>(
          usageQuery(by, ["?1", "?2", "?3"], (sum) => sum),
        ).all(sinceDay, untilDay, key ?? null).map(usageSumOf),
    );
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
    this.#isReady = false;
  }

  /** What `ask` gives; `nothing` where there is no file, or no table in it. */
  #read<T>(nothing: T, ask: (database: Database) => T): T {
    try {
      const database = this.#opened(false);
      if (database === undefined) return nothing;
      return patiently(database, () => ask(database));
    } catch (error) {
      throw this.#failed("read", error);
    }
  }

  /** Makes `change` whole or not at all. Waits while another process writes, and holds up nobody. */
  async #write(change: (database: Database) => void): Promise<void> {
    const { clock, sleep } = this.#options;
    const beganMs = clock();
    for (;;) {
      try {
        const database = this.#opened(true)!;
        return database.transaction(() => change(database)).immediate();
      } catch (error) {
        if (!isBusy(error) || clock() - beganMs > BUSY_GIVE_UP_MS) {
          throw this.#failed("write to", error);
        }
      }
      await sleep(BUSY_RETRY_MS);
    }
  }

  /** The file, with its tables. undefined = there are none, and none are to be made. */
  #opened(mayMake: boolean): Database | undefined {
    const { path } = this.#options;
    if (this.#database !== undefined && hasVanished(this.#database)) this.close();
    if (this.#database === undefined) {
      if (!mayMake && (path === ":memory:" || !existsSync(path))) return undefined;
      this.#database = openPatiently(path, (database) => {
        database.run("PRAGMA synchronous = NORMAL");
        if (mayMake) migrate(database);
        database.run(`PRAGMA busy_timeout = ${BUSY_WAIT_MS}`);
      });
      this.#isReady = mayMake;
    }
    if (this.#isReady) return this.#database;
    if (mayMake) migrate(this.#database);
    else if (!hasTables(this.#database)) return undefined;
    this.#isReady = true;
    return this.#database;
  }

  #failed(what: string, cause: unknown): AppError {
    if (cause instanceof AppError) return cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new AppError(
      "store_failed",
      `Cannot ${what} the store ${this.#options.path}: ${reason}`,
      {
        cause,
      },
    );
  }
}

/** True when the tables are there. @throws {AppError} when they are from a newer weir. */
function hasTables(database: Database): boolean {
  const found = database.query("SELECT 1 FROM sqlite_master WHERE name = 'weir_store'").get();
  return found !== null && versionOf(database) > 0;
}

/** @throws {AppError} when the tables are from a newer weir. */
function versionOf(database: Database): number {
  const row = database.query<{ readonly value: number }, []>(
    "SELECT value FROM weir_store WHERE name = 'version'",
  ).get();
  const version = row?.value ?? 0;
  if (version <= MIGRATIONS.length) return version;
  throw new AppError(
    "store_failed",
    `Cannot open the store: its tables are from a newer weir (version ${version}, this one knows ` +
      `${MIGRATIONS.length})`,
  );
}

function migrate(database: Database): void {
  database.transaction(() => {
    database.run(MARKS);
    const version = versionOf(database);
    for (const migration of MIGRATIONS.slice(version)) database.run(migration);
    if (version === MIGRATIONS.length) return;
    database.query("INSERT OR REPLACE INTO weir_store (name, value) VALUES ('version', ?)")
      .run(MIGRATIONS.length);
  }).immediate();
}

const EARLIER = "min(coalesce(ends_ms, ?2), ?2)";

function changeKeys(database: Database, change: KeyChange): void {
  if (change.kind === "revoke") {
    const { name, endsMs } = change;
    const { changes } = database.query(
      `UPDATE weir_keys SET ends_ms = ${EARLIER} WHERE name = ?1 AND coalesce(ends_ms, ?2 + 1) > ?2`,
    ).run(name, endsMs);
    if (changes === 0) throw noSuchKey(name);
    return;
  }
  const { digest, name, rules, madeMs, endsMs } = change.key;
  if (change.kind === "rotate") {
    const { changes } = database.query(
      `UPDATE weir_keys SET is_current = 0, ends_ms = ${EARLIER}
      WHERE name = ?1 AND is_current = 1 AND coalesce(ends_ms, ?3 + 1) > ?3`,
    ).run(name, change.endsMs, madeMs);
    if (changes === 0) throw noSuchKey(name);
  } else {
    database.query(
      "UPDATE weir_keys SET is_current = 0 WHERE name = ? AND is_current = 1 AND ends_ms <= ?",
    ).run(name, madeMs);
    const taken = database.query("SELECT 1 FROM weir_keys WHERE name = ? AND is_current = 1");
    if (taken.get(name) !== null) throw nameTaken(name);
  }
  database.query(
    "INSERT INTO weir_keys (digest, name, rules, made_ms, ends_ms, is_current) " +
      "VALUES (?, ?, ?, ?, ?, 1)",
  ).run(digest, name, rulesText(rules), madeMs, endsMs === Infinity ? null : endsMs);
}

const INSERT = `INSERT OR IGNORE INTO weir_usage (${USAGE_COLUMNS.map(([name]) => name).join(", ")})
  VALUES (${USAGE_COLUMNS.map(() => "?").join(", ")})`;

function addUsage(database: Database, rows: readonly UsageRow[]): void {
  const insert = database.query(INSERT);
  const added: string[] = [];
  for (const row of rows) {
    const { changes } = insert.run(...Object.values(usageValues(row)));
    if (changes > 0) added.push(row.id);
  }
  if (added.length === 0) return;
  // WHERE: SQLite takes ON CONFLICT behind a SELECT for a join without one.
  const from = "weir_usage WHERE id IN (SELECT value FROM json_each(?))";
  database.query(addToDays(from)).run(JSON.stringify(added));
}
