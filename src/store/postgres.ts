/**
 * The store of many nodes: Postgres, through `Bun.SQL`. Its tables lie beside those of the memory, with
 * names and a version of their own. Every change is one transaction.
 *
 * @module
 */

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
import { migratePostgres, plainOf, reasonOf, stateOf, within } from "../lib/postgres.ts";
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

/** Connections of one process: it looks for keys, adds usage, keeps objects. */
const CONNECTIONS_MAX = 4;

/** Seconds a new connection may take. */
const CONNECT_S = 10;

/** Rows that one statement adds. */
const ROWS_MAX = 1000;

/** Objects that one statement adds: some kilobytes each. */
const OBJECTS_MAX = 256;

/** The advisory lock that migrations run under: "wstr" in ASCII. */
const MIGRATION_LOCK = 0x77737472;

/** SQLSTATEs: there is no such table; a unique index has the value already. */
const TABLE_UNKNOWN = "42P01";
const UNIQUE_VIOLATION = "23505";

/** `MIGRATIONS[i]` brings the tables from version i to i + 1. */
const MIGRATIONS = [
  `
  CREATE TABLE weir_keys (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest text NOT NULL UNIQUE,
    name text NOT NULL,
    rules text NOT NULL,
    made_ms bigint NOT NULL,
    ends_ms bigint,
    is_current boolean NOT NULL
  );
  CREATE UNIQUE INDEX weir_keys_name ON weir_keys (name) WHERE is_current;
  CREATE TABLE weir_keys_version (version bigint NOT NULL);
  INSERT INTO weir_keys_version VALUES (1);
  CREATE TABLE weir_usage (
    ${USAGE_COLUMNS.map(([name, type]) => `${name} ${type}`).join(", ")},
    PRIMARY KEY (id)
  );
  CREATE INDEX weir_usage_at ON weir_usage (at_ms);
  CREATE TABLE weir_usage_days (
    day integer NOT NULL,
    key text NOT NULL,
    model text NOT NULL,
    ${DAY_SUMS.map(([name]) => `${name} bigint NOT NULL`).join(", ")},
    PRIMARY KEY (day, key, model)
  );
  `,
  `
  CREATE TABLE weir_objects (
    ${OBJECT_COLUMNS.map(([name, type]) => `${name} ${type} NOT NULL`).join(", ")},
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (kind, id)
  );
  CREATE INDEX weir_objects_at ON weir_objects (kind, at_ms, id);
  CREATE INDEX weir_objects_age ON weir_objects (at_ms);
  CREATE TABLE weir_objects_size (bytes bigint NOT NULL);
  INSERT INTO weir_objects_size VALUES (0);
  `,
];

/** What it needs. */
export interface PostgresStoreOptions {
  /** "postgres://USER:PASSWORD@HOST/DATABASE" */
  readonly url: string;
  /** The longest wait for one answer. */
  readonly timeoutMs: number;
}

/** Opens the store. It connects on first use, and makes its tables when it first writes. */
export function openPostgresStore(options: PostgresStoreOptions): Store {
  return new PostgresStore(options);
}

class PostgresStore implements Store {
  readonly name = "postgres";
  readonly #sql: Bun.SQL;
  readonly #timeoutMs: number;
  #migrated: Promise<void> | undefined = undefined;
  /** True once the tables were seen. */
  #hasTables = false;

  constructor({ url, timeoutMs }: PostgresStoreOptions) {
    this.#timeoutMs = timeoutMs;
    this.#sql = new Bun.SQL(url, {
      adapter: "postgres",
      max: CONNECTIONS_MAX,
      connectionTimeout: CONNECT_S,
    });
  }

  keysVersion(): Promise<number> {
    return this.#read(0, async (sql) => {
      const [row]: { readonly version: number }[] = await sql`
        SELECT version::float8 AS version FROM weir_keys_version`;
      return row!.version;
    });
  }

  keys(): Promise<readonly StoredKey[]> {
    return this.#read<readonly StoredKey[]>([], async (sql) => {
      const rows: KeyRow[] = await sql`
        SELECT digest, name, rules, made_ms::float8 AS made_ms, ends_ms::float8 AS ends_ms, is_current
        FROM weir_keys ORDER BY seq`;
      return rows.map(keyOf);
    });
  }

  async changeKeys(change: KeyChange): Promise<void> {
    await this.#write((sql) =>
      sql.begin(async (sql) => {
        // Changes come one behind the other, so whoever sees the version sees its keys.
        await sql`UPDATE weir_keys_version SET version = version + 1`;
        await changeKeys(sql, change);
      })
    );
  }

  async addUsage(rows: readonly UsageRow[]): Promise<void> {
    for (let from = 0; from < rows.length; from += ROWS_MAX) {
      const values = rows.slice(from, from + ROWS_MAX).map(usageValues);
      await this.#write((sql) => sql.unsafe(ADD_USAGE, [JSON.stringify(values)]));
    }
  }

  spent(atMs: number): Promise<readonly Spent[]> {
    return this.#read<readonly Spent[]>([], async (sql) => {
      const rows: SpentRow[] = await sql.unsafe(SPENT, [dayOf(atMs), monthOf(atMs)]);
      return rows.map(spentOf);
    });
  }

  usage({ by, sinceDay, untilDay, key }: UsageQuery): Promise<readonly UsageSum[]> {
    return this.#read<readonly UsageSum[]>([], async (sql) => {
      const query = usageQuery(
        by,
        ["$1::integer", "$2::integer", "$3::text"],
        (sum) => `(${sum})::float8`,
      );
      const rows: UsageSumRow[] = await sql.unsafe(query, [sinceDay, untilDay, key ?? null]);
      return rows.map(usageSumOf);
    });
  }

  async pruneUsage(sinceMs: number, sinceDay: number, rowsMax: number): Promise<number> {
    // Where there is nothing, nothing is to be made.
    if (!await this.#read(false, () => Promise.resolve(true))) return 0;
    return await this.#write((sql) => counted(sql, PRUNE_USAGE, [sinceMs, rowsMax, sinceDay]));
  }

  async addObjects(objects: readonly StoredObject[]): Promise<void> {
    for (let from = 0; from < objects.length; from += OBJECTS_MAX) {
      // A statement takes each row once.
      const latest = new Map(
        objects.slice(from, from + OBJECTS_MAX).map((one) => [`${one.kind} ${one.id}`, one]),
      );
      const values = [...latest.values()].map(objectValues);
      await this.#write((sql) => sql.unsafe(ADD_OBJECTS, [JSON.stringify(values)]));
    }
  }

  object(kind: ObjectKind, id: string): Promise<FoundObject | undefined> {
    return this.#write(async (sql) => {
      const rows: ObjectRow[] = await sql.unsafe(
        `SELECT ${OBJECT} FROM weir_objects WHERE kind = $1 AND id = $2 AND data <> ''`,
        [kind, storedId(id)],
      );
      return rows[0] === undefined ? undefined : objectOf(rows[0]);
    });
  }

  async changeObject(object: StoredObject, version: number): Promise<boolean> {
    const changed = await this.#write((sql) =>
      counted(sql, CHANGE_OBJECT, [JSON.stringify([objectValues(object)]), version])
    );
    return changed > 0;
  }

  async removeObject(kind: ObjectKind, id: string): Promise<boolean> {
    return await this.#write((sql) => counted(sql, REMOVE_OBJECT, [kind, storedId(id)])) > 0;
  }

  objects(query: ObjectQuery): Promise<readonly StoredObject[]> {
    const { text, values } = objectsQuery(query, {
      position: "strpos",
      columns: OBJECT,
      // A number goes out as a float, whatever it is to be.
      place: (at, type) => type === "text" ? `$${at}::text` : `$${at}::float8::bigint`,
    });
    return this.#write(async (sql) => {
      const rows: ObjectRow[] = await sql.unsafe(text, [...values]);
      return rows.map((row) => objectOf(row).object);
    });
  }

  async pruneObjects({ sinceMs, bytesMax }: ObjectLimits, rowsMax: number): Promise<number> {
    return await this.#write((sql) => counted(sql, PRUNE_OBJECTS, [rowsMax, sinceMs, bytesMax]));
  }

  async close(): Promise<void> {
    await this.#sql.close({ timeout: 1 });
  }

  /** What `ask` gives; `nothing` where there are no tables. */
  async #read<T>(nothing: T, ask: (sql: Bun.SQL) => Promise<T>): Promise<T> {
    return await this.#asked("read", async (sql) => {
      if (!this.#hasTables) {
        const [row]: { readonly is_there: boolean }[] = await sql`
          SELECT to_regclass('weir_keys_version') IS NOT NULL AS is_there`;
        this.#hasTables = row!.is_there;
        if (!this.#hasTables) return nothing;
      }
      return await ask(sql);
    });
  }

  /** What `change` gives, which may also read: the tables are there, and up to date. */
  async #write<T>(change: (sql: Bun.SQL) => Promise<T>): Promise<T> {
    return await this.#asked("write to", async (sql) => {
      this.#migrated ??= migratePostgres(sql, "weir_store_migrations", MIGRATIONS, MIGRATION_LOCK);
      try {
        await this.#migrated;
      } catch (error) {
        this.#migrated = undefined; // the next one tries again: the server may be back
        throw error;
      }
      return await change(sql);
    });
  }

  async #asked<T>(what: string, ask: (sql: Bun.SQL) => Promise<T>): Promise<T> {
    try {
      return await within(this.#timeoutMs, ask(this.#sql));
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      if (stateOf(cause) === TABLE_UNKNOWN) { // somebody has dropped them
        this.#hasTables = false;
        this.#migrated = undefined;
      }
      throw new AppError(
        "store_failed",
        `Cannot ${what} the store in Postgres: ${reasonOf(cause)}`,
        {
          cause,
          plain: `Cannot ${what} the store in Postgres: ${plainOf(cause)}`,
        },
      );
    }
  }
}

const USAGE_TYPES = USAGE_COLUMNS.map(([name, type]) => `${name} ${type}`).join(", ");

/** Rows as JSON: those that are not there yet, and the sums of their days, in one statement. */
const ADD_USAGE = `
  WITH added AS (
    INSERT INTO weir_usage (${USAGE_COLUMNS.map(([name]) => name).join(", ")})
    SELECT ${USAGE_COLUMNS.map(([name]) => name).join(", ")}
    FROM jsonb_to_recordset($1::text::jsonb) AS given (${USAGE_TYPES})
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
    RETURNING *
  )
  ${addToDays("added")}`;

/** How many rows a statement says that it has changed. */
async function counted(sql: Bun.SQL, text: string, values: unknown[]): Promise<number> {
  const [row]: { readonly count: number }[] = await sql.unsafe(text, values);
  return row!.count;
}

const PRUNE_USAGE = `
  WITH rows AS (
    DELETE FROM weir_usage WHERE id IN (
      SELECT id FROM weir_usage WHERE at_ms < $1::float8::bigint LIMIT $2::int FOR UPDATE SKIP LOCKED
    ) RETURNING 1
  ), days AS (
    DELETE FROM weir_usage_days WHERE day < $3::int RETURNING 1
  )
  SELECT ((SELECT count(*) FROM rows) + (SELECT count(*) FROM days))::float8 AS count`;

const OBJECT = objectColumns((column) => `${column}::float8`);
const OBJECT_TYPES = OBJECT_COLUMNS.map(([name, type]) => `${name} ${type}`).join(", ");
const OBJECT_SETS = OBJECT_COLUMNS.map(([name]) => `${name} = given.${name}`).join(", ");

/**
 * What a statement has changed of objects: their bytes before and after, which the size of all follows.
 * The size comes last, so that those who change objects at the same time do not wait for each other in a ring.
 */
function sized(changes: string): string {
  return `
    WITH ${changes}, size AS (
      UPDATE weir_objects_size SET bytes = bytes + (SELECT coalesce(sum(grown), 0) FROM changed)
      WHERE (SELECT count(*) FROM changed) > 0
    )
    SELECT count(*)::float8 AS count FROM changed`;
}

/** Objects as JSON. Those that are there are locked in one order, so that two statements do not wait in a ring. */
const GIVEN =
  `given AS (SELECT * FROM jsonb_to_recordset($1::text::jsonb) AS given (${OBJECT_TYPES}))`;
const BEFORE = `before AS (
    SELECT kind, id, bytes FROM weir_objects WHERE (kind, id) IN (SELECT kind, id FROM given)
    ORDER BY kind, id FOR UPDATE
  )`;
const GROWN = `bytes - coalesce(
    (SELECT before.bytes FROM before WHERE before.kind = weir_objects.kind AND before.id = weir_objects.id), 0
  ) AS grown`;

const ADD_OBJECTS = sized(`${GIVEN}, ${BEFORE}, changed AS (
  INSERT INTO weir_objects (${OBJECT_COLUMNS.map(([name]) => name).join(", ")})
  SELECT ${OBJECT_COLUMNS.map(([name]) => name).join(", ")} FROM given
  WHERE (SELECT count(*) FROM before) >= 0 ORDER BY kind, id
  ON CONFLICT (kind, id) DO UPDATE SET version = weir_objects.version + 1,
    ${OBJECT_COLUMNS.map(([name]) => `${name} = excluded.${name}`).join(", ")}
  WHERE excluded.at_ms > weir_objects.at_ms
  RETURNING weir_objects.${GROWN}
)`);

const CHANGE_OBJECT = sized(`${GIVEN}, ${BEFORE}, changed AS (
  UPDATE weir_objects SET version = version + 1, ${OBJECT_SETS} FROM given
  WHERE weir_objects.kind = given.kind AND weir_objects.id = given.id AND version = $2::float8::bigint
    AND weir_objects.data <> '' AND (SELECT count(*) FROM before) >= 0
  RETURNING weir_objects.${GROWN}
)`);

const REMOVE_OBJECT = sized(`before AS (
  SELECT bytes FROM weir_objects WHERE kind = $1 AND id = $2 FOR UPDATE
), changed AS (
  UPDATE weir_objects SET version = version + 1, data = '', marks = '', bytes = 0
  WHERE kind = $1 AND id = $2 AND data <> '' AND (SELECT count(*) FROM before) >= 0
  RETURNING -(SELECT bytes FROM before) AS grown
)`);

/** The oldest: those that are too old, and as many as make room. */
const PRUNE_OBJECTS = sized(`oldest AS (
  SELECT kind, id, at_ms, bytes FROM weir_objects ORDER BY at_ms LIMIT $1::int FOR UPDATE SKIP LOCKED
), freed AS (
  SELECT *, sum(bytes) OVER (ORDER BY at_ms, kind, id) - bytes AS before FROM oldest
), changed AS (
  DELETE FROM weir_objects USING freed
  WHERE weir_objects.kind = freed.kind AND weir_objects.id = freed.id AND (
    freed.at_ms < $2::float8::bigint
    OR freed.before < (SELECT bytes FROM weir_objects_size) - $3::float8::bigint
  )
  RETURNING -weir_objects.bytes AS grown
)`);

const SPENT = spentQuery("$1::integer", "$2::integer", (sum) => `${sum}::float8`);

async function changeKeys(sql: Bun.SQL, change: KeyChange): Promise<void> {
  if (change.kind === "revoke") {
    const { name, endsMs } = change;
    const ended: unknown[] = await sql`
      UPDATE weir_keys SET ends_ms = ${endsMs}::float8::bigint
      WHERE name = ${name} AND (ends_ms IS NULL OR ends_ms > ${endsMs}::float8::bigint)
      RETURNING 1`;
    if (ended.length === 0) throw noSuchKey(name);
    return;
  }
  const { digest, name, rules, madeMs, endsMs } = change.key;
  if (change.kind === "rotate") {
    const replaced: unknown[] = await sql`
      UPDATE weir_keys SET is_current = false,
        ends_ms = least(ends_ms, ${change.endsMs}::float8::bigint)
      WHERE name = ${name} AND is_current
        AND (ends_ms IS NULL OR ends_ms > ${madeMs}::float8::bigint)
      RETURNING 1`;
    if (replaced.length === 0) throw noSuchKey(name);
  } else {
    await sql`
      UPDATE weir_keys SET is_current = false
      WHERE name = ${name} AND is_current AND ends_ms <= ${madeMs}::float8::bigint`;
  }
  const endsAt = endsMs === Infinity ? null : endsMs;
  try {
    await sql`
      INSERT INTO weir_keys (digest, name, rules, made_ms, ends_ms, is_current)
      VALUES (${digest}, ${name}, ${rulesText(rules)}, ${madeMs}::float8::bigint,
        ${endsAt}::float8::bigint, true)`;
  } catch (error) {
    throw stateOf(error) === UNIQUE_VIOLATION ? nameTaken(name) : error;
  }
}
