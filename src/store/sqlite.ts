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
  type FoundObject,
  type KeyChange,
  monthOf,
  type ObjectKind,
  type ObjectLimits,
  type ObjectQuery,
  type Spent,
  type Store,
  type StoredObject,
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
  OBJECT_COLUMNS,
  objectColumns,
  objectOf,
  type ObjectRow,
  objectsQuery,
  objectValues,
  rulesText,
  spentOf,
  spentQuery,
  type SpentRow,
  storedId,
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

/** Objects of one transaction: some kilobytes each. */
const OBJECTS_MAX = 64;

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
  `
  CREATE TABLE weir_objects (
    seq INTEGER PRIMARY KEY,
    ${
    OBJECT_COLUMNS.map(([name, type]) => `${name} ${type === "text" ? "TEXT" : "INTEGER"} NOT NULL`)
      .join(", ")
  },
    version INTEGER NOT NULL DEFAULT 1
  ) STRICT;
  CREATE UNIQUE INDEX weir_objects_id ON weir_objects (kind, id);
  CREATE INDEX weir_objects_at ON weir_objects (kind, at_ms, id);
  CREATE INDEX weir_objects_age ON weir_objects (at_ms);
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
  /** True: it has tables, which may be those of an older weir. */
  #isReady = false;
  /** True: its tables are up to date. */
  #isMigrated = false;

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

  async pruneUsage(sinceMs: number, sinceDay: number, rowsMax: number): Promise<number> {
    if (!this.#read(false, () => true)) return 0; // there is nothing, and nothing is to be made
    return await this.#write((database) => {
      const rows = database.query(
        "DELETE FROM weir_usage WHERE id IN (SELECT id FROM weir_usage WHERE at_ms < ?1 LIMIT ?2)",
      ).run(sinceMs, rowsMax);
      const days = database.query("DELETE FROM weir_usage_days WHERE day < ?").run(sinceDay);
      return rows.changes + days.changes;
    });
  }

  async addObjects(objects: readonly StoredObject[]): Promise<void> {
    for (let from = 0; from < objects.length; from += OBJECTS_MAX) {
      if (from > 0) await this.#options.sleep(0);
      const some = objects.slice(from, from + OBJECTS_MAX);
      await this.#write((database) => sized(database, () => addObjects(database, some)));
    }
  }

  object(kind: ObjectKind, id: string): FoundObject | undefined {
    return this.#read(undefined, (database) => {
      const row = database.query<ObjectRow, [string, string]>(
        `SELECT ${OBJECT} FROM weir_objects WHERE kind = ? AND id = ? AND data <> ''`,
      ).get(kind, storedId(id));
      return row === null ? undefined : objectOf(row);
    }, true);
  }

  async changeObject(object: StoredObject, version: number): Promise<boolean> {
    const { id, kind, ...values } = objectValues(object);
    const names = Object.keys(values);
    const change = `UPDATE weir_objects SET version = version + 1, ${
      names.map((name) => `${name} = ?`).join(", ")
    } WHERE kind = ? AND id = ? AND version = ? AND data <> ''`;
    return await this.#write((database) => {
      let isChanged = false;
      sized(database, () => {
        const before = bytesOf(database, kind, id);
        const given = [...Object.values(values), kind, id, version];
        isChanged = database.query(change).run(...given).changes > 0;
        return isChanged ? bytesOf(database, kind, id) - before : 0;
      });
      return isChanged;
    });
  }

  async removeObject(kind: ObjectKind, id: string): Promise<boolean> {
    return await this.#write((database) => {
      let isRemoved = false;
      sized(database, () => {
        const bytes = bytesOf(database, kind, storedId(id));
        isRemoved = database.query(
          "UPDATE weir_objects SET version = version + 1, data = '', marks = '', bytes = 0 " +
            "WHERE kind = ? AND id = ? AND data <> ''",
        ).run(kind, storedId(id)).changes > 0;
        return isRemoved ? -bytes : 0;
      });
      return isRemoved;
    });
  }

  objects(query: ObjectQuery): readonly StoredObject[] {
    const { text, values } = objectsQuery(query, {
      position: "instr",
      columns: OBJECT,
      place: (at) => `?${at}`,
    });
    return this.#read(
      [],
      (database) =>
        database.query<ObjectRow, (string | number)[]>(text).all(...values)
          .map((row) => objectOf(row).object),
      true,
    );
  }

  async pruneObjects({ sinceMs, bytesMax }: ObjectLimits, rowsMax: number): Promise<number> {
    return await this.#write((database) => {
      let count = 0;
      sized(database, () => {
        let excess = sizeOf(database) - bytesMax;
        const oldest = database.query<
          { readonly seq: number; readonly at_ms: number; readonly bytes: number },
          [number]
        >("SELECT seq, at_ms, bytes FROM weir_objects ORDER BY at_ms LIMIT ?").all(rowsMax);
        const remove = database.query("DELETE FROM weir_objects WHERE seq = ?");
        let freed = 0;
        for (const { seq, at_ms, bytes } of oldest) {
          if (at_ms >= sinceMs && excess <= 0) break;
          remove.run(seq);
          count++;
          freed += bytes;
          excess -= bytes;
        }
        return -freed;
      });
      return count;
    });
  }

  close(): void {
    this.#database?.close();
    this.#database = undefined;
    this.#isReady = this.#isMigrated = false;
  }

  /** What `ask` gives; `nothing` where there is no file, or no table in it, unless it `mayMake` them. */
  #read<T>(nothing: T, ask: (database: Database) => T, mayMake = false): T {
    try {
      const database = this.#opened(mayMake);
      if (database === undefined) return nothing;
      return patiently(database, () => ask(database));
    } catch (error) {
      throw this.#failed("read", error);
    }
  }

  /** Makes `change` whole or not at all. Waits while another process writes, and holds up nobody. */
  async #write<T>(change: (database: Database) => T): Promise<T> {
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
      this.#isReady = this.#isMigrated = mayMake;
    }
    if (mayMake && !this.#isMigrated) {
      migrate(this.#database);
      this.#isReady = this.#isMigrated = true;
    }
    if (!this.#isReady && !hasTables(this.#database)) return undefined;
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

const OBJECT = objectColumns((column) => column);

const ADD_OBJECT = `
  INSERT INTO weir_objects (${OBJECT_COLUMNS.map(([name]) => name).join(", ")})
  VALUES (${OBJECT_COLUMNS.map(() => "?").join(", ")})
  ON CONFLICT (kind, id) DO UPDATE SET version = version + 1, ${
  OBJECT_COLUMNS.map(([name]) => `${name} = excluded.${name}`).join(", ")
} WHERE excluded.at_ms > weir_objects.at_ms`;

/** Adds them, and gives by how much all objects have grown. */
function addObjects(database: Database, objects: readonly StoredObject[]): number {
  const add = database.query(ADD_OBJECT);
  let grown = 0;
  for (const object of objects) {
    const values = objectValues(object);
    const before = bytesOf(database, values.kind, values.id);
    const { changes } = add.run(...OBJECT_COLUMNS.map(([name]) => values[name]));
    if (changes > 0) grown += Number(values.bytes) - before;
  }
  return grown;
}

/** What an object takes; 0 = there is none. */
function bytesOf(database: Database, kind: string | number, id: string | number): number {
  return database.query<{ readonly bytes: number }, (string | number)[]>(
    "SELECT bytes FROM weir_objects WHERE kind = ? AND id = ?",
  ).get(kind, id)?.bytes ?? 0;
}

/** What all objects take. */
function sizeOf(database: Database): number {
  return database.query<{ readonly value: number }, []>(
    "SELECT value FROM weir_store WHERE name = 'object_bytes'",
  ).get()?.value ?? 0;
}

/** Notes by how much all objects have grown. */
function sized(database: Database, change: () => number): void {
  const grown = change();
  if (grown === 0) return;
  database.query(
    "INSERT INTO weir_store (name, value) VALUES ('object_bytes', ?1) " +
      "ON CONFLICT (name) DO UPDATE SET value = value + ?1",
  ).run(grown);
}
