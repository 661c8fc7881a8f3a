/**
 * The memory of many nodes: Postgres, through `Bun.SQL`. Every operation is one statement, so that
 * it is whole or not there: most of this file is those statements.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { trimHistory } from "../core/history.ts";
import {
  type Applied,
  type ApplyRequest,
  type Memory,
  messagesOf,
  type SaidTurn,
  sessionIdOf,
  storable,
  type StoredTurn,
  TurnRefused,
} from "../core/memory.ts";
import { summaryOf, utcTime } from "../core/system_prompt.ts";
import type { StoreOptions } from "./sqlite.ts";

/** Connections of one process. */
const CONNECTIONS_MAX = 10;

/** Seconds a new connection may take. */
const CONNECT_S = 10;

/** Turns that one statement of `prune` deletes. */
const PRUNE_TURNS = 5000;

/** The advisory lock that migrations run under: "weir" in ASCII. */
const MIGRATION_LOCK = 0x77656972;

/**
 * SQLSTATE classes at which the turn itself is at fault: too many rows, bad data, a broken
 * constraint, more than an index or a row takes.
 */
const CLASSES_FOR_EVER: ReadonlySet<string> = new Set(["21", "22", "23", "44", "54"]);

/**
 * Classes that say nothing of the turn: the connection or its rights, a table that is not there, a
 * server that is full, ends, waits or is broken; and "", an error of this side.
 */
const CLASSES_AWAY: ReadonlySet<string> = new Set([
  ...["", "08", "0A", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58", "F0", "XX"],
]);

const MIGRATIONS = [
  `
  CREATE TABLE weir_sessions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    user_id text NOT NULL,
    role_id text NOT NULL,
    group_id text NOT NULL,
    began_ms bigint NOT NULL,
    turn_count bigint NOT NULL
  );
  CREATE TABLE weir_turns (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session bigint NOT NULL REFERENCES weir_sessions (id) ON DELETE CASCADE,
    at_ms bigint NOT NULL,
    is_partial boolean NOT NULL,
    key text,
    query text NOT NULL,
    answer text NOT NULL
  );
  CREATE INDEX weir_turns_session ON weir_turns (session, seq);
  CREATE UNIQUE INDEX weir_turns_key ON weir_turns (session, md5(key)) WHERE key IS NOT NULL;
  CREATE INDEX weir_turns_at ON weir_turns (at_ms);
  CREATE TABLE weir_roles (
    id text PRIMARY KEY,
    prompt text NOT NULL
  );
  `,
];

/** What the Postgres memory needs. */
export interface PostgresOptions extends StoreOptions {
  /** "postgres://USER:PASSWORD@HOST/DATABASE" */
  readonly url: string;
  /** The longest wait for one answer. */
  readonly timeoutMs: number;
}

/** Opens the memory. It connects, and brings its tables up to date, on first use. */
export function openPostgresMemory(options: PostgresOptions): Memory {
  return new PostgresMemory(options);
}

interface TurnRow {
  readonly query: string;
  readonly answer: string;
  readonly is_partial: boolean;
  readonly at_ms: number;
}

interface SessionRow {
  readonly id: string;
  readonly began_ms: number;
  readonly turn_count: number;
}

class PostgresMemory implements Memory {
  readonly name = "postgres";
  readonly #options: PostgresOptions;
  readonly #sql: Bun.SQL;
  #ready: Promise<void> | undefined = undefined;

  constructor(options: PostgresOptions) {
    this.#options = options;
    this.#sql = new Bun.SQL(options.url, {
      adapter: "postgres",
      max: CONNECTIONS_MAX,
      connectionTimeout: CONNECT_S,
    });
  }

  checkReady(): void {}

  apply(request: ApplyRequest): Promise<Applied> {
    return this.#ask(async (sql) => {
      const name = storable(sessionIdOf(request));
      const { limits, countTokens, fillPrompt, wallMs } = this.#options;
      const [session]: SessionRow[] = await sql`
        SELECT id, began_ms::float8 AS began_ms, turn_count::float8 AS turn_count
        FROM weir_sessions WHERE name = ${name}`;
      const turns = session === undefined ? [] : await this.#newest(session.id, limits.turnsMax);
      const shown = trimHistory(turns, limits, countTokens);
      const known = {
        turnCount: session?.turn_count ?? 0,
        beganMs: session?.began_ms ?? 0,
        shownCount: shown.length,
      };
      const systemPrompt = fillPrompt({
        summary: summaryOf(known),
        current_time: utcTime(wallMs()),
        role_prompt: await this.#rolePrompt(request),
        session_id: name,
        user_id: request.userId,
        role_id: request.roleId,
        group_id: request.groupId,
      });
      return { systemPrompt, messages: shown.flatMap(messagesOf) };
    });
  }

  /**
   * One statement: the session's row is locked by its own update, so the turns of a session get
   * their numbers in the order of their commits, whichever node they come from.
   */
  async commit(turn: SaidTurn): Promise<void> {
    const key = turn.key === "" ? null : turn.key;
    await this.#ask((sql) =>
      sql`
        WITH session AS (
          INSERT INTO weir_sessions (name, user_id, role_id, group_id, began_ms, turn_count)
          VALUES (
            ${turn.sessionId}, ${turn.userId}, ${turn.roleId}, ${turn.groupId},
            ${turn.atMs}::float8::bigint, 1
          )
          ON CONFLICT (name) DO UPDATE SET turn_count = weir_sessions.turn_count + (
            CASE WHEN EXISTS (
              SELECT 1 FROM weir_turns
              WHERE session = weir_sessions.id AND md5(key) = md5(${key}::text)
            ) THEN 0 ELSE 1 END
          )
          RETURNING id
        )
        INSERT INTO weir_turns (session, at_ms, is_partial, key, query, answer)
        SELECT id, ${turn.atMs}::float8::bigint, ${turn.isPartial}::boolean, ${key}::text,
          ${turn.query}::text, ${turn.answer}::text
        FROM session
        ON CONFLICT DO NOTHING`
    );
  }

  find(sessionId: string, key: string): Promise<StoredTurn | undefined> {
    return this.#ask(async (sql) => {
      const rows: TurnRow[] = await sql`
        SELECT query, answer, is_partial, at_ms::float8 AS at_ms FROM weir_turns
        WHERE session = (SELECT id FROM weir_sessions WHERE name = ${storable(sessionId)})
          AND md5(key) = md5(${storable(key)}::text)`;
      return rows[0] === undefined ? undefined : storedTurn(rows[0]);
    });
  }

  turns(sessionId: string, limit: number): Promise<readonly StoredTurn[]> {
    return this.#ask(async (sql) => {
      const [session]: SessionRow[] = await sql`
        SELECT id FROM weir_sessions WHERE name = ${storable(sessionId)}`;
      return session === undefined ? [] : await this.#newest(session.id, limit);
    });
  }

  remove(sessionId: string): Promise<number> {
    return this.#ask(async (sql) => {
      const [row]: { readonly count: number }[] = await sql`
        WITH session AS (
          DELETE FROM weir_sessions WHERE name = ${storable(sessionId)} RETURNING id
        )
        SELECT count(*)::float8 AS count FROM weir_turns
        WHERE session IN (SELECT id FROM session)`;
      return row?.count ?? 0;
    });
  }

  async prune(beforeMs: number): Promise<number> {
    let count = 0;
    for (;;) {
      const [row] = await this.#ask((sql): Promise<{ readonly count: number }[]> =>
        sql`
          WITH gone AS (
            DELETE FROM weir_turns WHERE seq IN (
              SELECT seq FROM weir_turns WHERE at_ms < ${beforeMs}::float8::bigint
              LIMIT ${PRUNE_TURNS}
            ) RETURNING 1
          )
          SELECT count(*)::float8 AS count FROM gone`
      );
      count += row?.count ?? 0;
      if ((row?.count ?? 0) < PRUNE_TURNS) break;
    }
    await this.#ask((sql) =>
      sql`
        DELETE FROM weir_sessions WHERE began_ms < ${beforeMs}::float8::bigint
          AND NOT EXISTS (SELECT 1 FROM weir_turns WHERE session = weir_sessions.id)`
    );
    return count;
  }

  async close(): Promise<void> {
    await this.#sql.close({ timeout: 1 });
  }

  async #newest(session: string, limit: number): Promise<readonly StoredTurn[]> {
    const rows: TurnRow[] = await this.#sql`
      SELECT query, answer, is_partial, at_ms::float8 AS at_ms FROM weir_turns
      WHERE session = ${session}::bigint ORDER BY seq DESC LIMIT ${Math.min(limit, 2 ** 31 - 1)}`;
    return rows.reverse().map(storedTurn);
  }

  /** The request's role prompt, kept for the next request that only names the role. */
  async #rolePrompt({ roleId, rolePrompt }: ApplyRequest): Promise<string> {
    if (roleId === "") return rolePrompt;
    const id = storable(roleId);
    if (rolePrompt === "") {
      const rows: { readonly prompt: string }[] = await this.#sql`
        SELECT prompt FROM weir_roles WHERE id = ${id}`;
      return rows[0]?.prompt ?? "";
    }
    await this.#sql`
      INSERT INTO weir_roles (id, prompt) VALUES (${id}, ${storable(rolePrompt)})
      ON CONFLICT (id) DO UPDATE SET prompt = excluded.prompt
      WHERE weir_roles.prompt <> excluded.prompt`;
    return rolePrompt;
  }

  /** Runs `question` on tables that are up to date, and makes its errors ours. */
  async #ask<T>(question: (sql: Bun.SQL) => Promise<T>): Promise<T> {
    const { timeoutMs } = this.#options;
    try {
      this.#ready ??= this.#migrate();
      await within(timeoutMs, this.#ready);
    } catch (error) {
      this.#ready = undefined; // the next one tries again: the server may be back
      throw failed("Cannot prepare the memory in Postgres", error);
    }
    try {
      return await within(timeoutMs, question(this.#sql));
    } catch (error) {
      const sqlClass = stateOf(error).slice(0, 2);
      if (CLASSES_AWAY.has(sqlClass)) throw failed("Cannot use the memory in Postgres", error);
      throw new TurnRefused(
        `Postgres refuses the turn: ${reasonOf(error)}`,
        CLASSES_FOR_EVER.has(sqlClass),
        { cause: error },
      );
    }
  }

  /** Brings the tables up to date, once for all processes that start at the same time. */
  async #migrate(): Promise<void> {
    await this.#sql.begin(async (sql) => {
      await sql`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`;
      await sql`CREATE TABLE IF NOT EXISTS weir_migrations (version integer PRIMARY KEY)`;
      const rows: { readonly version: number }[] = await sql`
        SELECT coalesce(max(version), 0)::int4 AS version FROM weir_migrations`;
      const version = rows[0]!.version;
      if (version > MIGRATIONS.length) {
        throw new Error(
          `its tables are from a newer weir (version ${version}, this one knows ` +
            `${MIGRATIONS.length})`,
        );
      }
      for (const [i, migration] of MIGRATIONS.slice(version).entries()) {
        await sql.unsafe(migration).simple();
        await sql`INSERT INTO weir_migrations (version) VALUES (${version + i + 1})`;
      }
    });
  }
}

/**
 * What `answer` gives within `timeoutMs`. A question that is given up may still be answered: its
 * effect is the same when it is asked again, since a turn has a key.
 */
function within<T>(timeoutMs: number, answer: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const limit = AbortSignal.timeout(timeoutMs);
  const onTime = () => reject(new Error(`it gave no answer within ${timeoutMs} ms`));
  limit.addEventListener("abort", onTime);
  return Promise.race([answer, promise]).finally(() => limit.removeEventListener("abort", onTime));
}

function storedTurn(row: TurnRow): StoredTurn {
  return {
    query: row.query,
    answer: row.answer,
    isPartial: row.is_partial,
    atMs: row.at_ms,
  };
}

/** The SQLSTATE of an error of the server; "" for one of the connection. */
function stateOf(error: unknown): string {
  const { errno } = error as { readonly errno?: unknown };
  return typeof errno === "string" ? errno : "";
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function failed(what: string, cause: unknown): AppError {
  return new AppError("memory_failed", `${what}: ${reasonOf(cause)}`, { cause });
}
