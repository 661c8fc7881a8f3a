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
  type KeyChange,
  monthOf,
  type Spent,
  type Store,
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

/** Connections of one process: it looks for keys, and adds usage. */
const CONNECTIONS_MAX = 2;

/** Seconds a new connection may take. */
const CONNECT_S = 10;

/** Rows that one statement adds. */
const ROWS_MAX = 1000;

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

  async #write(change: (sql: Bun.SQL) => Promise<unknown>): Promise<void> {
    await this.#asked("write to", async (sql) => {
      this.#migrated ??= migratePostgres(sql, "weir_store_migrations", MIGRATIONS, MIGRATION_LOCK);
      try {
        await this.#migrated;
      } catch (error) {
        this.#migrated = undefined; // the next one tries again: the server may be back
        throw error;
      }
      await change(sql);
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
