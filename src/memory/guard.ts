/**
 * What keeps turns from being kept that must not be: the deletions that they began before, and the
 * claims of other processes on their keys. The same tables in every SQLite file of the memory.
 *
 * @module
 */

import type { Database, Statement } from "bun:sqlite";
import { type Claim, CLAIM_MS, type SaidTurn, type SessionIds } from "../core/memory.ts";

/** Milliseconds a deletion is remembered: longer than any turn lasts. */
export const REMOVED_KEEP_MS = 24 * 60 * 60 * 1000;

/** The tables. In `removed`, "" stands for any. */
export const GUARD_TABLES = `
  CREATE TABLE removed (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    name TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    group_id TEXT NOT NULL
  ) STRICT;
  CREATE TABLE claims (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    owner TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (name, key)
  ) STRICT, WITHOUT ROWID;
`;

/** Reads and writes them. All texts are storable. What writes belongs inside a transaction. */
export class Guard {
  readonly #lastRemoval: Statement;
  readonly #noteRemoval: Statement;
  readonly #forgetRemovals: Statement;
  readonly #isRemoved: Statement;
  readonly #holder: Statement;
  readonly #claim: Statement;
  readonly #release: Statement;
  readonly #forgetClaims: Statement;

  constructor(database: Database) {
    this.#lastRemoval = database.prepare("SELECT seq FROM sqlite_sequence WHERE name = 'removed'");
    this.#noteRemoval = database.prepare(
      "INSERT INTO removed (at_ms, name, user_id, role_id, group_id) VALUES (?, ?, ?, ?, ?)",
    );
    this.#forgetRemovals = database.prepare("DELETE FROM removed WHERE at_ms < ?");
    this.#isRemoved = database.prepare(
      "SELECT 1 FROM removed WHERE seq > ? AND name IN ('', ?) AND user_id IN ('', ?) AND " +
        "role_id IN ('', ?) AND group_id IN ('', ?) LIMIT 1",
    );
    this.#holder = database.prepare(
      "SELECT owner FROM claims WHERE name = ? AND key = ? AND until_ms > ?",
    );
    this.#claim = database.prepare(
      "INSERT INTO claims (name, key, owner, until_ms) VALUES (?1, ?2, ?3, ?4) " +
        "ON CONFLICT (name, key) DO UPDATE SET owner = ?3, until_ms = ?4 " +
        "WHERE owner = ?3 OR until_ms <= ?5",
    );
    this.#release = database.prepare("DELETE FROM claims WHERE name = ? AND key = ? AND owner = ?");
    this.#forgetClaims = database.prepare("DELETE FROM claims WHERE until_ms <= ?");
  }

  /** The number of the last deletion; 0 = there was none. */
  lastRemoval(): number {
    return (this.#lastRemoval.values()[0]?.[0] ?? 0) as number;
  }

  /** Notes that whatever matches every id of `ids` that is not "" is deleted. */
  noteRemoval({ sessionId, userId, roleId, groupId }: SessionIds, nowMs: number): void {
    this.#noteRemoval.run(nowMs, sessionId, userId, roleId, groupId);
    this.#forgetRemovals.run(nowMs - REMOVED_KEEP_MS);
    this.#forgetClaims.run(nowMs);
  }

  /** True when the session of `turn` was deleted after deletion number `mark`. */
  isRemoved({ sessionId, userId, roleId, groupId }: SaidTurn, mark: number): boolean {
    return this.#isRemoved.values(mark, sessionId, userId, roleId, groupId).length > 0;
  }

  /** True when somebody else answers the key now. */
  isBusy({ sessionId, key, owner }: Claim, nowMs: number): boolean {
    const holder = this.#holder.values(sessionId, key, nowMs)[0]?.[0];
    return holder !== undefined && holder !== owner;
  }

  /** Claims a key, or renews the claim. False: somebody else answers it. */
  claim({ sessionId, key, owner }: Claim, nowMs: number): boolean {
    return this.#claim.run(sessionId, key, owner, nowMs + CLAIM_MS, nowMs).changes > 0;
  }

  release({ sessionId, key, owner }: Claim): void {
    this.#release.run(sessionId, key, owner);
  }
}
