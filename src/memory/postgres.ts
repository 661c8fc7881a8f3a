/**
 * The memory of many nodes: Postgres, through `Bun.SQL`. Every operation is one statement, so that
 * it is whole or not there: most of this file is those statements.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { historyBytesMax, trimHistory } from "../core/history.ts";
import {
  type Applied,
  type ApplyRequest,
  type Claim,
  CLAIM_MS,
  type Claimed,
  countFitting,
  type Memory,
  messagesOf,
  NO_MARK,
  type PageRequest,
  type Removed,
  saidIds,
  type SaidTurn,
  type SessionIds,
  storable,
  type StoredTurn,
  TurnLate,
  TurnRefused,
  type TurnsPage,
} from "../core/memory.ts";
import { keptIds, nameOf, nameOfIds } from "../core/session.ts";
import { summaryOf, utcTime } from "../core/system_prompt.ts";
import { REMOVED_KEEP_MS } from "./guard.ts";
import { Lru } from "../lib/lru.ts";
import { migratePostgres, plainOf, reasonOf, stateOf, within } from "../lib/postgres.ts";
import { idFilter } from "./id_filter.ts";
import { JOINED_SQL, RENAMED_ROWS } from "./joined_names.ts";
import type { StoreOptions } from "./sqlite.ts";

/** Connections of one process. */
const CONNECTIONS_MAX = 10;

/** Seconds a new connection may take. */
const CONNECT_S = 10;

/** Turns that one statement of `prune` deletes. */
const PRUNE_TURNS = 5000;

/** Sessions and turns that one statement of `remove` deletes at the most. */
const REMOVE_SESSIONS = 1000;
const REMOVE_TURNS = 5000;

/** The advisory locks that migrations and deletions run under: "weir" in ASCII, and the next. */
const MIGRATION_LOCK = 0x77656972;
const REMOVAL_LOCK = MIGRATION_LOCK + 1;

/** Characters, all of them ASCII, of a name that an index can hold: 2704 bytes with its head. */
const NAME_CHARS_MAX = 2600;

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

/** Above the number of every turn. */
const BIGINT_MAX = "9223372036854775807";

/** `POSTGRES_MIGRATIONS[i]` brings the tables from version i to i + 1. */
export const POSTGRES_MIGRATIONS = [
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
  // Deletions, where "" stands for any, and who answers which key (its md5) just now.
  `
  CREATE TABLE weir_removed (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    name text NOT NULL,
    user_id text NOT NULL,
    role_id text NOT NULL,
    group_id text NOT NULL
  );
  CREATE TABLE weir_claims (
    name text NOT NULL,
    key text NOT NULL,
    owner text NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (name, key)
  );
  `,
  // As in the embedded memory: what the columns are for, and a table of roles that only an older
  // weir reads. Ids of an older weir have any length, which an index takes as their MD5 only.
  `
  ALTER TABLE weir_sessions
    ADD COLUMN joined text NOT NULL DEFAULT '',
    ADD COLUMN role_prompt text NOT NULL DEFAULT '',
    ADD COLUMN prompt_seq bigint NOT NULL DEFAULT 0;
  CREATE SEQUENCE weir_prompt_seq;
  CREATE INDEX weir_sessions_joined ON weir_sessions (md5(joined)) WHERE joined <> '';
  CREATE INDEX weir_sessions_renamed ON weir_sessions (id) WHERE name = (${JOINED_SQL});
  CREATE INDEX weir_sessions_prompt ON weir_sessions (user_id, role_id, prompt_seq)
    WHERE joined <> '' AND prompt_seq > 0;
  CREATE INDEX weir_sessions_user ON weir_sessions (md5(user_id)) WHERE user_id <> '';
  CREATE INDEX weir_sessions_role ON weir_sessions (md5(role_id)) WHERE role_id <> '';
  CREATE INDEX weir_sessions_group ON weir_sessions (md5(group_id)) WHERE group_id <> '';
  DELETE FROM weir_roles;
  `,
];

/** Names of sessions that are known to be stored: whoever names one costs no question more. */
const KNOWN = { entriesMax: 20_000, bytesMax: 8 * 1024 * 1024 };

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

/** What came of a commit. */
interface CommitRow {
  readonly is_removed: boolean;
  readonly is_kept: boolean;
}

/** A session whose name is its ids joined. */
interface OldSession {
  readonly id: string;
  readonly name: string;
  readonly user_id: string;
  readonly role_id: string;
  readonly group_id: string;
}

interface SessionRow {
  readonly id: string | null;
  readonly mark: number;
  readonly began_ms: number;
  readonly turn_count: number;
  readonly role_prompt: string | null;
}

class PostgresMemory implements Memory {
  readonly name = "postgres";
  readonly #options: PostgresOptions;
  readonly #sql: Bun.SQL;
  readonly #known = new Lru<true>(KNOWN);
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
      const name = nameOf(request);
      const { limits, countTokens, fillPrompt, wallMs } = this.#options;
      const [session]: SessionRow[] = await sql`
        SELECT removed.mark, id, began_ms::float8 AS began_ms, turn_count::float8 AS turn_count,
          role_prompt
        FROM (SELECT coalesce(max(seq), 0)::float8 AS mark FROM weir_removed) removed
        LEFT JOIN weir_sessions ON name = ${name}`;
      const { id, mark, turn_count, began_ms, role_prompt } = session!;
      const key = storable(request.key);
      const bytesMax = historyBytesMax(limits);
      const turns = id === null ? [] : await this.#newest(id, limits.turnsMax, key, bytesMax);
      const shown = trimHistory(turns, limits, countTokens);
      const known = {
        turnCount: turn_count ?? 0,
        beganMs: began_ms ?? 0,
        shownCount: shown.length,
      };
      const systemPrompt = fillPrompt({
        summary: summaryOf(known),
        current_time: utcTime(wallMs()),
        role_prompt: await this.#rolePrompt(name, request, role_prompt ?? ""),
        session_id: name,
        user_id: request.userId,
        role_id: request.roleId,
        group_id: request.groupId,
      });
      const messages = shown.flatMap(messagesOf);
      return { systemPrompt, messages, mark: { ...NO_MARK, store: mark } };
    });
  }

  /**
   * One statement: the session's row is locked by its own update, so the turns of a session get
   * their numbers in the order of their commits, whichever node they come from.
   */
  async commit(turn: SaidTurn): Promise<void> {
    const key = turn.key === "" ? null : turn.key;
    const { sessionId } = turn;
    const { userId, roleId, groupId, joined } = keptIds(turn);
    const [done] = await this.#ask((sql): Promise<CommitRow[]> =>
      sql`
        WITH removed AS (
          SELECT 1 FROM weir_removed
          WHERE seq > ${turn.mark.store}::float8::bigint AND name IN ('', ${sessionId}::text)
            AND user_id IN ('', ${userId}::text) AND role_id IN ('', ${roleId}::text)
            AND group_id IN ('', ${groupId}::text)
          LIMIT 1
        ), session AS (
          INSERT INTO weir_sessions
            (name, user_id, role_id, group_id, joined, began_ms, turn_count)
          SELECT ${sessionId}::text, ${userId}::text, ${roleId}::text, ${groupId}::text,
            ${joined}::text,
            ${turn.atMs}::float8::bigint, 1
          WHERE NOT EXISTS (SELECT 1 FROM removed)
          ON CONFLICT (name) DO UPDATE SET turn_count = weir_sessions.turn_count + (
            CASE WHEN EXISTS (
              SELECT 1 FROM weir_turns
              WHERE session = weir_sessions.id AND md5(key) = md5(${key}::text)
            ) THEN 0 ELSE 1 END
          )
          RETURNING id
        ), turn AS (
          INSERT INTO weir_turns (session, at_ms, is_partial, key, query, answer)
          SELECT id, ${turn.atMs}::float8::bigint, ${turn.isPartial}::boolean, ${key}::text,
            ${turn.query}::text, ${turn.answer}::text
          FROM session
          ON CONFLICT (session, md5(key)) WHERE key IS NOT NULL
          DO UPDATE SET seq = DEFAULT, at_ms = excluded.at_ms, is_partial = excluded.is_partial,
            query = excluded.query, answer = excluded.answer
          WHERE weir_turns.is_partial
            AND (weir_turns.answer <> excluded.answer OR NOT excluded.is_partial)
          RETURNING 1
        )
        SELECT EXISTS (SELECT 1 FROM removed) AS is_removed, EXISTS (SELECT 1 FROM turn) AS is_kept`
    );
    if (done!.is_removed) throw new TurnLate("removed");
    if (done!.is_kept || turn.claim === "" || turn.isPartial) return;
    const kept = await this.find(sessionId, turn.key);
    if (kept?.answer !== turn.answer) throw new TurnLate("answered");
  }

  async claim(claim: Claim): Promise<Claimed> {
    const { sessionId, key, owner } = claim;
    const before = await this.find(sessionId, key);
    if (before !== undefined && !before.isPartial) return { state: "kept", turn: before };
    const rows = await this.#ask((sql): Promise<unknown[]> =>
      sql`
        INSERT INTO weir_claims (name, key, owner, until)
        VALUES (
          ${sessionId}, md5(${key}::text), ${owner},
          now() + ${CLAIM_MS}::float8 * interval '1 ms'
        )
        ON CONFLICT (name, key) DO UPDATE SET owner = excluded.owner, until = excluded.until
        WHERE weir_claims.owner = excluded.owner OR weir_claims.until <= now()
        RETURNING 1`
    );
    if (rows.length === 0) return { state: "busy" };
    // Whoever had the claim may have kept its answer between the two questions.
    const turn = await this.find(sessionId, key);
    if (turn === undefined || turn.isPartial) return { state: "mine", turn };
    await this.release(claim);
    return { state: "kept", turn };
  }

  async release({ sessionId, key, owner }: Claim): Promise<void> {
    await this.#ask((sql) =>
      sql`
        DELETE FROM weir_claims
        WHERE name = ${sessionId} AND key = md5(${key}::text) AND owner = ${owner}`
    );
  }

  named(sessionId: string): Promise<readonly string[]> | readonly string[] {
    const given = storable(sessionId);
    if (this.#known.get(given) !== undefined) return [given];
    return this.#ask(async (sql) => {
      const rows: { readonly name: string }[] = await sql`
        SELECT name FROM weir_sessions WHERE name = ${given}
        UNION ALL
        (SELECT name FROM weir_sessions
          WHERE md5(joined) = md5(${given}) AND joined = ${given} AND joined <> '' LIMIT 2)`;
      const names = rows.map(({ name }) => name);
      if (names.includes(given)) this.#known.set(given, true, given.length * 2);
      return names;
    });
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
      const [session]: { readonly id: string }[] = await sql`
        SELECT id FROM weir_sessions WHERE name = ${storable(sessionId)}`;
      return session === undefined ? [] : await this.#newest(session.id, limit, "");
    });
  }

  page(sessionId: string, request: PageRequest): Promise<TurnsPage> {
    return this.#ask(async (sql) => {
      const { before, limit } = request;
      const from = before === "" ? BIGINT_MAX : before;
      const known: { readonly session: string; readonly seq: string; readonly bytes: number }[] =
        await sql`
          SELECT session::text AS session, seq::text AS seq,
            octet_length(query) + octet_length(answer) AS bytes
          FROM weir_turns
          WHERE session = (SELECT id FROM weir_sessions WHERE name = ${storable(sessionId)})
            AND seq < ${from}::bigint ORDER BY weir_turns.seq DESC LIMIT ${limit + 1}`;
      const count = countFitting(known.map(({ bytes }) => bytes), request);
      if (count === 0) return { turns: [], next: "" };
      const { session, seq } = known[count - 1]!;
      const rows: TurnRow[] = await sql`
        SELECT query, answer, is_partial, at_ms::float8 AS at_ms FROM weir_turns
        WHERE session = ${session}::bigint AND seq >= ${seq}::bigint AND seq < ${from}::bigint
        ORDER BY seq`;
      return { turns: rows.map(storedTurn), next: count < known.length ? seq : "" };
    });
  }

  async remove(ids: SessionIds): Promise<Removed> {
    const filter = idFilter(
      ids,
      "name",
      (column, at) =>
        column === "name"
          ? `name = $${at}`
          : `md5(${column}) = md5($${at}::text) AND ${column} = $${at}::text AND ${column} <> ''`,
    );
    const removed = { turns: 0, sessions: 0 };
    if (filter === undefined) return removed;
    this.#known.clear();
    await this.#ask(async (sql) => {
      await noteRemoval(sql, saidIds(ids));
      await sql.begin(waitForCommits);
    });
    for (let isOver = false; !isOver;) {
      const [part] = await this.#ask((sql): Promise<readonly (Removed & { picked: number })[]> =>
        sql.unsafe(
          `WITH picked AS (
            SELECT id FROM weir_sessions WHERE ${filter.where} ORDER BY id LIMIT ${REMOVE_SESSIONS}
          ), gone AS (
            DELETE FROM weir_turns WHERE seq IN (
              SELECT seq FROM weir_turns WHERE session IN (SELECT id FROM picked)
              LIMIT ${REMOVE_TURNS}
            ) RETURNING 1
          ), ended AS (
            DELETE FROM weir_sessions WHERE id IN (SELECT id FROM picked)
              AND (SELECT count(*) FROM gone) < ${REMOVE_TURNS} RETURNING 1
          )
          SELECT (SELECT count(*) FROM gone)::float8 AS turns,
            (SELECT count(*) FROM ended)::float8 AS sessions,
            (SELECT count(*) FROM picked)::float8 AS picked`,
          [...filter.values],
        )
      );
      const { turns, sessions, picked } = part!;
      removed.turns += turns;
      removed.sessions += sessions;
      isOver = turns < REMOVE_TURNS && picked < REMOVE_SESSIONS;
    }
    return removed;
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

  /**
   * The newest turns, `limit` of them at the most, and no more than `bytesMax` bytes or the last; but
   * not what is kept in part under `key`: its question is asked again.
   */
  async #newest(
    session: string,
    limit: number,
    key: string,
    bytesMax = Number.MAX_SAFE_INTEGER,
  ): Promise<readonly StoredTurn[]> {
    const count = Math.min(limit, 2 ** 31 - 1);
    const rows: TurnRow[] = await this.#sql`
      WITH shown AS (
        SELECT seq, octet_length(query) + octet_length(answer) AS bytes FROM weir_turns
        WHERE session = ${session}::bigint
          AND (${key}::text <> '' AND is_partial AND key = ${key}::text) IS NOT TRUE
        ORDER BY seq DESC LIMIT ${count}
      )
      SELECT query, answer, is_partial, at_ms::float8 AS at_ms FROM weir_turns
      WHERE session = ${session}::bigint AND seq IN (
        SELECT seq FROM (
          SELECT seq, row_number() OVER newest AS place, sum(bytes) OVER newest AS total FROM shown
          WINDOW newest AS (ORDER BY seq DESC)
        ) AS placed WHERE place = 1 OR total <= ${bytesMax}::float8
      ) ORDER BY seq DESC`;
    return rows.reverse().map(storedTurn);
  }

  /** What the role is told to be, as in the embedded memory. */
  async #rolePrompt(name: string, request: ApplyRequest, kept: string): Promise<string> {
    const ids = saidIds({ ...request, sessionId: name });
    const prompt = storable(request.rolePrompt);
    if (prompt !== "") {
      if (prompt === kept || name === "") return request.rolePrompt;
      const { userId, roleId, groupId, joined } = keptIds(ids);
      await this.#sql`
        INSERT INTO weir_sessions
          (name, user_id, role_id, group_id, joined, began_ms, turn_count, role_prompt, prompt_seq)
        VALUES (
          ${name}, ${userId}, ${roleId}, ${groupId}, ${joined},
          ${this.#options.wallMs()}::float8::bigint, 0, ${prompt}, nextval('weir_prompt_seq')
        )
        ON CONFLICT (name)
        DO UPDATE SET role_prompt = excluded.role_prompt, prompt_seq = excluded.prompt_seq`;
      return request.rolePrompt;
    }
    if (kept !== "" || ids.userId === "" || ids.roleId === "") return kept;
    const [shared]: { readonly role_prompt: string }[] = await this.#sql`
      SELECT role_prompt FROM weir_sessions
      WHERE user_id = ${ids.userId} AND role_id = ${ids.roleId} AND joined <> '' AND prompt_seq > 0
      ORDER BY prompt_seq DESC LIMIT 1`;
    return shared?.role_prompt ?? "";
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
        { cause: error, plain: `Postgres refuses the turn: ${plainOf(error)}` },
      );
    }
  }

  /** Brings the tables up to date, once for all processes that start at the same time. */
  async #migrate(): Promise<void> {
    await migratePostgres(this.#sql, "weir_migrations", POSTGRES_MIGRATIONS, MIGRATION_LOCK);
    for (let last: string | undefined = "0"; last !== undefined;) {
      last = await this.#renameSome(last);
    }
  }

  /** Renames sessions behind `last` that have an older name (see `renameSessions`). */
  #renameSome(last: string): Promise<string | undefined> {
    return this.#sql.begin(async (sql) => {
      await sql`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`;
      const rows: OldSession[] = await sql.unsafe(
        `SELECT id::text, name, user_id, role_id, group_id FROM weir_sessions
        WHERE name = (${JOINED_SQL}) AND id > $1::bigint ORDER BY id LIMIT ${RENAMED_ROWS}`,
        [last],
      );
      for (const { id, name: joined, user_id, role_id, group_id } of rows) {
        const name = nameOfIds({ userId: user_id, roleId: role_id, groupId: group_id });
        if (name.length > NAME_CHARS_MAX) continue; // no index takes it: it keeps its older name
        const [there]: { readonly id: string }[] = await sql`
          SELECT id::text FROM weir_sessions WHERE name = ${name} FOR UPDATE`;
        if (there === undefined) {
          await sql`
            UPDATE weir_sessions SET name = ${name}, joined = ${joined} WHERE id = ${id}::bigint`;
        } else {
          await sql`
            WITH moved AS (
              UPDATE weir_turns AS turn SET session = ${there.id}::bigint
              WHERE session = ${id}::bigint AND NOT EXISTS (
                SELECT 1 FROM weir_turns
                WHERE session = ${there.id}::bigint AND md5(key) = md5(turn.key)
              ) RETURNING 1
            )
            UPDATE weir_sessions SET turn_count = turn_count + (SELECT count(*) FROM moved)
            WHERE id = ${there.id}::bigint`;
          await sql`DELETE FROM weir_sessions WHERE id = ${id}::bigint`;
        }
      }
      return rows.length < RENAMED_ROWS ? undefined : rows.at(-1)!.id;
    });
  }
}

/**
 * Notes that whatever matches every id of `ids` that is not "" is deleted: turns that began before
 * are not kept from now on. Deletions get their numbers in the order of their commits.
 */
async function noteRemoval(
  sql: Bun.SQL,
  { sessionId, userId, roleId, groupId }: SessionIds,
): Promise<void> {
  await sql`
    INSERT INTO weir_removed (name, user_id, role_id, group_id)
    SELECT ${sessionId}::text, ${userId}::text, ${roleId}::text, ${groupId}::text
    FROM (SELECT pg_advisory_xact_lock(${REMOVAL_LOCK}::bigint)) AS locked`;
  await sql`
    DELETE FROM weir_removed WHERE at < now() - ${REMOVED_KEEP_MS}::float8 * interval '1 ms'`;
  await sql`DELETE FROM weir_claims WHERE until < now()`;
}

/**
 * Waits until every commit is over that may not have seen the last `noteRemoval`, and keeps further
 * ones waiting until the transaction `sql` ends.
 */
async function waitForCommits(sql: Bun.SQL): Promise<void> {
  await sql`LOCK TABLE weir_sessions IN SHARE ROW EXCLUSIVE MODE`;
}

function storedTurn(row: TurnRow): StoredTurn {
  return {
    query: row.query,
    answer: row.answer,
    isPartial: row.is_partial,
    atMs: row.at_ms,
  };
}

function failed(what: string, cause: unknown): AppError {
  const plain = `${what}: ${plainOf(cause)}`;
  return new AppError("memory_failed", `${what}: ${reasonOf(cause)}`, { cause, plain });
}
