/**
 * Sessions of an older weir are called by their ids joined with "_". Each opening gives them the
 * name of today: an older process may still have written some meanwhile.
 *
 * @module
 */

import type { Database } from "bun:sqlite";
import { joinedIds, nameOfIds, type NamingIds } from "../core/session.ts";

/** Rows that one transaction renames: some 10 ms. */
export const RENAMED_ROWS = 1000;

/** The joined ids of a row, in the SQL of SQLite and of Postgres. An index may hold it. */
export const JOINED_SQL = `group_id || (CASE WHEN group_id <> '' AND (user_id || role_id) <> '' ` +
  `THEN '_' ELSE '' END) || user_id || (CASE WHEN user_id <> '' AND role_id <> '' ` +
  `THEN '_' ELSE '' END) || role_id`;

type IdsRow = readonly [id: number, userId: string, roleId: string, groupId: string];

/**
 * Renames the sessions of `database` that have an older name, and merges those that there are
 * under both names. Safe to be stopped, and to be run by several processes at once.
 */
export function renameSessions(database: Database): void {
  const old = database.prepare(
    `SELECT id, user_id, role_id, group_id FROM sessions WHERE name = (${JOINED_SQL}) LIMIT ?`,
  );
  const find = database.prepare("SELECT id FROM sessions WHERE name = ?");
  const rename = database.prepare("UPDATE sessions SET name = ?, joined = ? WHERE id = ?");
  // A turn with a key that is in both is one turn.
  const move = database.prepare("UPDATE OR IGNORE turns SET session = ? WHERE session = ?");
  const count = database.prepare(
    "UPDATE turns SET number = (SELECT count(*) FROM turns WHERE session = ?1) " +
      "WHERE seq = (SELECT max(seq) FROM turns WHERE session = ?1)",
  );
  const dropTurns = database.prepare("DELETE FROM turns WHERE session = ?");
  const drop = database.prepare("DELETE FROM sessions WHERE id = ?");
  const renameSome = database.transaction(() => {
    const rows = old.values(RENAMED_ROWS) as unknown as readonly IdsRow[];
    for (const [id, userId, roleId, groupId] of rows) {
      const ids: NamingIds = { userId, roleId, groupId };
      const name = nameOfIds(ids);
      const there = find.values(name)[0]?.[0] as number | undefined;
      if (there === undefined) {
        rename.run(name, joinedIds(ids), id);
        continue;
      }
      move.run(there, id);
      count.run(there);
      dropTurns.run(id);
      drop.run(id);
    }
    // What other processes hold in memory is of the older names.
    if (rows.length > 0) database.run("UPDATE marks SET removals = removals + 1");
  });
  while (old.values(1).length > 0) renameSome.immediate();
}

/** The tables of an outbox: their keys, and what a new name changes. */
const OUTBOX_TABLES = [
  ["turns", "seq", "session_id = ?1, joined = ?2"],
  ["dead_letters", "letter", "session_id = ?1"],
] as const;

/** Renames the sessions of the turns in an outbox, and of its dead letters, likewise. */
export function renameOutbox(database: Database): void {
  for (const [table, key, changes] of OUTBOX_TABLES) {
    const old = database.prepare(
      `SELECT ${key}, user_id, role_id, group_id FROM ${table} ` +
        `WHERE session_id = (${JOINED_SQL}) AND session_id <> '' LIMIT ?`,
    );
    // A turn with its key that is there under both names is one turn: the older one goes.
    const rename = database.prepare(`UPDATE OR IGNORE ${table} SET ${changes} WHERE ${key} = ?3`);
    const drop = database.prepare(`DELETE FROM ${table} WHERE ${key} = ?`);
    const renameSome = database.transaction(() => {
      for (const row of old.values(RENAMED_ROWS) as unknown as readonly IdsRow[]) {
        const [at, userId, roleId, groupId] = row;
        const ids: NamingIds = { userId, roleId, groupId };
        if (rename.run(nameOfIds(ids), joinedIds(ids), at).changes === 0) drop.run(at);
      }
    });
    while (old.values(1).length > 0) renameSome.immediate();
  }
}
