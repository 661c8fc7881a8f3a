/**
 * The embedded memory's tables, and every statement that reads or writes them.
 *
 * @module
 */

import type { Database, Statement } from "bun:sqlite";
import { GUARD_TABLES } from "./guard.ts";
import { JOINED_SQL } from "./joined_names.ts";

/** `MIGRATIONS[i]` brings the tables from version i to i + 1. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    began_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE turns (
    seq INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    number INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    is_partial INTEGER NOT NULL,
    key TEXT,
    query TEXT NOT NULL,
    answer TEXT NOT NULL
  ) STRICT;
  CREATE INDEX turns_session ON turns (session);
  CREATE UNIQUE INDEX turns_key ON turns (session, key) WHERE key IS NOT NULL;
  CREATE TABLE roles (
    id TEXT PRIMARY KEY,
    prompt TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // New turns are found by their number. What else a process must hear of is counted here, by the
  // file itself: whoever changes it need not know of the counters.
  `
  CREATE TABLE marks (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    removals INTEGER NOT NULL,
    roles INTEGER NOT NULL
  ) STRICT;
  INSERT INTO marks (id, removals, roles) VALUES (1, 0, 0);
  CREATE TRIGGER turns_removed AFTER DELETE ON turns
    BEGIN UPDATE marks SET removals = removals + 1; END;
  CREATE TRIGGER sessions_removed AFTER DELETE ON sessions
    BEGIN UPDATE marks SET removals = removals + 1; END;
  CREATE TRIGGER roles_added AFTER INSERT ON roles
    BEGIN UPDATE marks SET roles = roles + 1; END;
  CREATE TRIGGER roles_changed AFTER UPDATE ON roles
    BEGIN UPDATE marks SET roles = roles + 1; END;
  `,
  GUARD_TABLES,
  // "joined" is what a session that is known by its ids alone was called before; "" for others.
  // What a role is told to be is kept with its session; the greatest "prompt_seq" was said last. The
  // table of roles stays, empty and unread, for an older process that still runs: a role's prompt
  // was everybody's, and whoever set it is not known.
  `
  ALTER TABLE sessions ADD COLUMN joined TEXT NOT NULL DEFAULT '';
  ALTER TABLE sessions ADD COLUMN role_prompt TEXT NOT NULL DEFAULT '';
  ALTER TABLE sessions ADD COLUMN prompt_seq INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX sessions_joined ON sessions (joined, name) WHERE joined <> '';
  CREATE INDEX sessions_renamed ON sessions (id) WHERE name = (${JOINED_SQL});
  CREATE INDEX sessions_prompt ON sessions (user_id, role_id, prompt_seq)
    WHERE joined <> '' AND prompt_seq > 0;
  CREATE INDEX sessions_user ON sessions (user_id, role_id);
  CREATE INDEX sessions_role ON sessions (role_id);
  CREATE INDEX sessions_group ON sessions (group_id);
  DELETE FROM roles;
  `,
];

/** A row of `turns` as the statements give it. */
export type TurnRow = readonly [
  query: string,
  answer: string,
  isPartial: number,
  atMs: number,
  seq: number,
  number: number,
  key: string | null,
];

/** Every statement, prepared. */
export type Statements = ReturnType<typeof prepareStatements>;

/**
 * Prepares them, once for a database. Of a history no more than `historyBytesMax` bytes of texts are
 * read, or its last turn.
 */
export function prepareStatements(database: Database, historyBytesMax: number) {
  const columns = "query, answer, is_partial, at_ms, seq, number, key";
  const byName = "session = (SELECT id FROM sessions WHERE name = ?)";
  const statement = (sql: string): Statement => database.prepare(sql);
  return {
    dataVersion: statement("PRAGMA data_version"),
    session: statement("SELECT id, began_ms FROM sessions WHERE name = ?"),
    sessionsJoined: statement(
      "SELECT name FROM sessions WHERE joined = ? AND joined <> '' ORDER BY name LIMIT 2",
    ),
    marks: statement("SELECT removals, roles FROM marks"),
    lastTurn: statement("SELECT max(seq) FROM turns"),
    turnsSince: statement(
      "SELECT turns.seq, sessions.name FROM turns JOIN sessions ON sessions.id = turns.session " +
        "WHERE turns.seq > ? ORDER BY turns.seq LIMIT ?",
    ),
    lastSession: statement("SELECT max(id) FROM sessions"),
    addSession: statement(
      "INSERT INTO sessions (name, user_id, role_id, group_id, began_ms, joined) " +
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET name = name " +
        "RETURNING id, began_ms",
    ),
    removeSession: statement("DELETE FROM sessions WHERE id = ?"),
    turnsBySession: statement(
      `SELECT ${columns} FROM turns WHERE session = ?1 AND seq >= (
        SELECT min(seq) FROM (
          SELECT seq, row_number() OVER newest AS place, sum(bytes) OVER newest AS total FROM (
            SELECT seq, octet_length(query) + octet_length(answer) AS bytes FROM turns
            WHERE session = ?1 ORDER BY seq DESC LIMIT ?2
          ) WINDOW newest AS (ORDER BY seq DESC)
        ) WHERE place = 1 OR total <= ${historyBytesMax}
      ) ORDER BY seq DESC LIMIT ?2`,
    ),
    turnsBySessionSince: statement(
      `SELECT ${columns} FROM turns WHERE session = ? AND seq > ? ORDER BY seq DESC LIMIT ?`,
    ),
    turnsByName: statement(
      `SELECT ${columns} FROM turns WHERE ${byName} ORDER BY seq DESC LIMIT ?`,
    ),
    turnBytes: statement(
      `SELECT seq, octet_length(query) + octet_length(answer) FROM turns WHERE ${byName} ` +
        "AND seq < ? ORDER BY seq DESC LIMIT ?",
    ),
    turnsBetween: statement(
      `SELECT ${columns} FROM turns WHERE ${byName} AND seq >= ? AND seq < ? ORDER BY seq`,
    ),
    turnByKey: statement(`SELECT ${columns} FROM turns WHERE ${byName} AND key = ?`),
    addTurn: statement(
      "INSERT OR IGNORE INTO turns (session, number, at_ms, is_partial, key, query, answer) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
    ),
    removeTurn: statement("DELETE FROM turns WHERE session = ? AND key = ?"),
    removeTurns: statement(
      "DELETE FROM turns WHERE seq IN (SELECT seq FROM turns WHERE session = ? LIMIT ?)",
    ),
    pruneTurns: statement("DELETE FROM turns WHERE session BETWEEN ? AND ? AND at_ms < ?"),
    pruneSessions: statement(
      "DELETE FROM sessions WHERE id BETWEEN ? AND ? AND began_ms < ? AND NOT EXISTS " +
        "(SELECT 1 FROM turns WHERE session = sessions.id)",
    ),
    prompt: statement("SELECT role_prompt FROM sessions WHERE name = ?"),
    sharedPrompt: statement(
      "SELECT role_prompt FROM sessions WHERE user_id = ? AND role_id = ? AND joined <> '' " +
        "AND prompt_seq > 0 ORDER BY prompt_seq DESC LIMIT 1",
    ),
    countPrompt: statement("UPDATE marks SET roles = roles + 1"),
    setPrompt: statement(
      "UPDATE sessions SET role_prompt = ?, prompt_seq = (SELECT roles FROM marks) WHERE id = ?",
    ),
  };
}
