/**
 * The outbox's file: turns on their way to a store, in the order of their commits. Several
 * processes may share it; one of them delivers. One class: its tables, statements and rows belong
 * together.
 *
 * @module
 */

import type { Database, Statement } from "bun:sqlite";
import { AppError } from "../core/errors.ts";
import {
  type Backlog,
  type Claim,
  type Claimed,
  type MemoryHealth,
  NO_MARK,
  saidIds,
  type SaidTurn,
  type SessionIds,
  TurnLate,
} from "../core/memory.ts";
import { keptIds } from "../core/session.ts";
import { Batch } from "./batch.ts";
import type { Lock } from "../lib/process_lock.ts";
import { patiently } from "../lib/sqlite_file.ts";
import { type FileOptions, openDatabase } from "./database.ts";
import { Guard, GUARD_TABLES } from "./guard.ts";
import type { IdFilter } from "./id_filter.ts";
import { JOINED_SQL, renameOutbox } from "./joined_names.ts";

/** `OUTBOX_MIGRATIONS[i]` brings the tables from version i to i + 1. */
export const OUTBOX_MIGRATIONS = [
  `
  CREATE TABLE turns (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    key TEXT NOT NULL,
    has_client_key INTEGER NOT NULL,
    query TEXT NOT NULL,
    answer TEXT NOT NULL,
    is_partial INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    is_sending INTEGER NOT NULL DEFAULT 0,
    delivered_ms INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX turns_key ON turns (session_id, key);
  CREATE INDEX turns_waiting ON turns (seq) WHERE delivered_ms IS NULL;
  CREATE INDEX turns_delivered ON turns (delivered_ms) WHERE delivered_ms IS NOT NULL;
  CREATE TABLE dead_letters (
    letter INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    key TEXT NOT NULL,
    query TEXT NOT NULL,
    answer TEXT NOT NULL,
    is_partial INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    died_ms INTEGER NOT NULL,
    reason TEXT NOT NULL
  ) STRICT;
  CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  // How many deletions its store knew of when a turn began: 2^53 - 1 = all of them.
  `${GUARD_TABLES}
  ALTER TABLE turns ADD COLUMN mark INTEGER NOT NULL DEFAULT ${NO_MARK.store};
  `,
  // The first waiting turn of a session, however many wait behind it.
  "CREATE INDEX turns_next ON turns (session_id, seq) WHERE delivered_ms IS NULL;",
  // "joined" as in the embedded memory's sessions.
  `
  ALTER TABLE turns ADD COLUMN joined TEXT NOT NULL DEFAULT '';
  CREATE INDEX turns_joined ON turns (joined, session_id) WHERE joined <> '';
  CREATE INDEX turns_sending ON turns (seq) WHERE is_sending = 1;
  CREATE INDEX turns_renamed ON turns (seq) WHERE session_id = (${JOINED_SQL}) AND session_id <> '';
  CREATE INDEX dead_letters_renamed ON dead_letters (letter)
    WHERE session_id = (${JOINED_SQL}) AND session_id <> '';
  `,
];

/** What may wait of one session: turns, and a share of the outbox's bytes. */
const SESSION_TURNS_MAX = 1000;
const SESSION_SHARE = 16;

/** Rows that one transaction of `remove` looks through: some 1 ms. */
const REMOVE_ROWS = 2000;

/** A turn in the outbox. */
export interface OutboxTurn extends SaidTurn {
  readonly seq: number;
  readonly isDelivered: boolean;
}

/** What the outbox's file needs. */
export interface OutboxFileOptions extends FileOptions {
  /** Where its turns go, without secrets. A file belongs to one store. */
  readonly target: string;
  /** Who has it delivers the file's turns. */
  readonly lock: Lock;
  /** Used pages above this refuse new requests. */
  readonly bytesMax: number;
  /** Milliseconds a delivered turn stays, for a store that does not show at once what it took. */
  readonly graceMs: number;
  /**
   * Milliseconds a delivered turn stays when a client's own key may ask for it again: 0 where the
   * store itself can be asked.
   */
  readonly keysKeepMs: number;
  /** A key that no other turn has. */
  readonly makeKey: () => string;
}

type Write =
  | {
    readonly kind: "turn";
    readonly turn: SaidTurn;
    readonly key: string;
    late: TurnLate["why"] | undefined;
  }
  | { readonly kind: "claim"; readonly claim: Claim; claimed: Claimed }
  | { readonly kind: "release"; readonly claim: Claim }
  | { readonly kind: "send"; readonly turns: readonly OutboxTurn[]; readonly done: OutboxTurn[] }
  | { readonly kind: "returned"; readonly turn: OutboxTurn }
  | { readonly kind: "delivered"; readonly turn: OutboxTurn; readonly atMs: number }
  | {
    readonly kind: "dead";
    readonly turn: OutboxTurn;
    readonly atMs: number;
    readonly reason: string;
    readonly done: { letter: number };
  }
  | {
    readonly kind: "remove";
    readonly filter: IdFilter;
    readonly from: number;
    readonly done: Dropped;
  }
  | {
    readonly kind: "removal";
    readonly ids: SessionIds;
    readonly filter: IdFilter;
    readonly done: Dropped;
  }
  | { readonly kind: "purge"; readonly nowMs: number };

/** What `remove` forgot of what waited: the number of turns, and the names of their sessions. */
export interface Dropped {
  turns: number;
  readonly sessions: Set<string>;
}

type Row = readonly [
  seq: number,
  sessionId: string,
  userId: string,
  roleId: string,
  groupId: string,
  key: string,
  query: string,
  answer: string,
  isPartial: number,
  atMs: number,
  deliveredMs: number | null,
  mark: number,
];

const TURN = "session_id, user_id, role_id, group_id, key, query, answer, is_partial, at_ms";
const ROW = `seq, ${TURN}, delivered_ms, mark`;

/** Turns on their way, on the disk. */
export class OutboxFile {
  readonly #options: OutboxFileOptions;
  #database!: Database;
  readonly #batch: Batch<Write>;
  #sql!: ReturnType<typeof prepare>;
  #guard!: Guard;
  #pageBytes = 0;
  #dataVersion = -1;

  /** @throws {AppError} `memory_failed` when the file is in use for another store. */
  constructor(options: OutboxFileOptions) {
    this.#options = options;
    this.#batch = new Batch<Write>({
      path: options.path,
      open: () => this.#open(),
      write: (items) => this.#write(items),
      onUndone: () => {},
      watch: options.watch,
      clock: options.clock,
    });
  }

  #open(): Database {
    const { path, durability } = this.#options;
    this.#database = openDatabase(path, durability, OUTBOX_MIGRATIONS, renameOutbox);
    this.#sql = prepare(this.#database);
    this.#guard = new Guard(this.#database);
    this.#pageBytes = numberOf(this.#sql.pageSize);
    this.#claim();
    return this.#database;
  }

  health(): MemoryHealth {
    const trouble = this.#batch.trouble || (this.#isFull() ? this.#fullness() : "");
    return { trouble, deadLetters: numberOf(this.#sql.deadLetters) };
  }

  /** @throws {AppError} `unavailable` when the disk takes no write, or the outbox is full. */
  checkReady(): void {
    this.#batch.checkReady();
    if (!this.#isFull()) return;
    throw new AppError("unavailable", `The memory takes no turns now: ${this.#fullness()}`, {
      headers: { "retry-after": "5" },
    });
  }

  #isFull(): boolean {
    const pages = numberOf(this.#sql.pageCount) - numberOf(this.#sql.freePages);
    return pages * this.#pageBytes > this.#options.bytesMax;
  }

  #fullness(): string {
    return `${this.#options.bytesMax} bytes of them wait for its store`;
  }

  /** @throws {AppError} `unavailable` when as much of the session waits as one may have here. */
  checkSession(sessionId: string): void {
    const [turns, bytes] = patiently(
      this.#database,
      () => this.#sql.sessionWaits.values(sessionId)[0] as unknown as readonly [number, number],
    );
    const bytesMax = this.#options.bytesMax / SESSION_SHARE;
    if (turns < SESSION_TURNS_MAX && bytes < bytesMax) return;
    throw new AppError(
      "unavailable",
      `This session takes no turns now: ${turns} of it, ${bytes} bytes, wait for their store, and ` +
        "the others need the room: try again later, or begin another session",
      { headers: { "retry-after": "5" } },
    );
  }

  /** @throws {TurnLate} */
  async add(turn: SaidTurn): Promise<void> {
    const key = turn.key || this.#options.makeKey();
    const write: Write = { kind: "turn", turn, key, late: undefined };
    await this.#batch.add(write);
    if (write.late !== undefined) throw new TurnLate(write.late);
  }

  /** The number of the last deletion. */
  lastRemoval(): number {
    return patiently(this.#database, () => this.#guard.lastRemoval());
  }

  async claim(claim: Claim): Promise<Claimed> {
    const { wallMs } = this.#options;
    if (patiently(this.#database, () => this.#guard.isBusy(claim, wallMs()))) return BUSY;
    const write: Write = { kind: "claim", claim, claimed: BUSY };
    await this.#batch.add(write);
    return write.claimed;
  }

  release(claim: Claim): Promise<void> {
    return this.#batch.add({ kind: "release", claim });
  }

  /** True while turns of a session wait. */
  isWaiting(sessionId: string): boolean {
    return patiently(this.#database, () => this.#sql.isWaiting.values(sessionId).length > 0);
  }

  /** Turns of a session that wait, or were delivered a moment ago, in the order of their commits. */
  recent(sessionId: string): readonly OutboxTurn[] {
    const nowMs = this.#options.wallMs();
    const rows = this.#all(this.#sql.recent, sessionId, nowMs - this.#options.graceMs);
    return rows.sort((a, b) => a.seq - b.seq);
  }

  /** The sessions in the file that `sessionId` may mean (see `Memory.named`). */
  named(sessionId: string): readonly string[] {
    const rows = patiently(this.#database, () => this.#sql.named.values(sessionId));
    return rows.flatMap(([name]) => name === null ? [] : [name as string]);
  }

  find(sessionId: string, key: string): OutboxTurn | undefined {
    return this.#all(this.#sql.find, sessionId, key)[0];
  }

  /** The first waiting turn of the next session behind `sessionId`, in the order of their names. */
  next(sessionId: string): OutboxTurn | undefined {
    return this.#all(this.#sql.next, sessionId)[0];
  }

  /** The number of the last turn that was put in; 0 = none ever was. */
  lastSeq(): number {
    return patiently(this.#database, () => (this.#sql.lastSeq.values()[0]?.[0] ?? 0) as number);
  }

  /** How many turns wait, and since when the oldest of them. */
  backlog(): Backlog {
    const [turns, oldestAtMs] = this.#sql.backlog.values()[0] as [number, number | null];
    return { turns, oldestAtMs: oldestAtMs ?? undefined };
  }

  /** True when another process has written since the last call. */
  hasNews(): boolean {
    this.#batch.look();
    const version = patiently(this.#database, () => numberOf(this.#sql.dataVersion));
    const isNew = version !== this.#dataVersion;
    this.#dataVersion = version;
    return isNew;
  }

  /** Marks `turns` as being on their way. Gives those that were not removed in the meantime. */
  async send(turns: readonly OutboxTurn[]): Promise<readonly OutboxTurn[]> {
    const done: OutboxTurn[] = [];
    await this.#batch.add({ kind: "send", turns, done });
    return done;
  }

  /** A turn that was on its way and did not arrive. */
  returned(turn: OutboxTurn): Promise<void> {
    return this.#batch.add({ kind: "returned", turn });
  }

  /** Nothing is on its way: the process that had sent it is gone. */
  recallAll(): void {
    patiently(this.#database, () => this.#sql.recallAll.run());
  }

  /** True while a turn of the sessions is on its way from any process. */
  isSending({ where, values }: IdFilter): boolean {
    const sql = `SELECT 1 FROM turns WHERE is_sending = 1 AND ${where} LIMIT 1`;
    return patiently(this.#database, () => this.#database.query(sql).values(...values).length > 0);
  }

  delivered(turn: OutboxTurn): Promise<void> {
    return this.#batch.add({ kind: "delivered", turn, atMs: this.#options.wallMs() });
  }

  /** Moves a turn to the dead letters, and gives its row there. */
  async dead(turn: OutboxTurn, reason: string): Promise<number> {
    const done = { letter: 0 };
    await this.#batch.add({ kind: "dead", turn, reason, atMs: this.#options.wallMs(), done });
    return done.letter;
  }

  /** Forgets the turns of sessions that are not on their way, and adds to `done` what waited. */
  async remove(ids: SessionIds, filter: IdFilter, done: Dropped): Promise<void> {
    await this.#batch.add({ kind: "removal", ids: saidIds(ids), filter, done });
    const [first, last] = patiently(
      this.#database,
      () => this.#sql.range.values()[0],
    ) as unknown as readonly [number | null, number | null];
    for (let from = first ?? 0; from <= (last ?? 0); from += REMOVE_ROWS) {
      await this.#batch.add({ kind: "remove", filter, from, done });
    }
  }

  /** Forgets delivered turns whose time is over. */
  purge(): Promise<void> {
    return this.#batch.add({ kind: "purge", nowMs: this.#options.wallMs() });
  }

  close(): void {
    this.#batch.close();
  }

  /** Notes whose turns are in the file, unless it is in use for another store. */
  #claim(): void {
    const { target, path, lock } = this.#options;
    // Of several that start at once the first one names it, and all read the same name.
    patiently(this.#database, () => this.#sql.nameTarget.run(target));
    const owner = this.#sql.target.values()[0]![0];
    if (owner === target) return;
    const isFree = lock.take();
    if (isFree && this.next("") === undefined) {
      patiently(this.#database, () => this.#sql.setTarget.run(target));
      return;
    }
    lock.release();
    this.#database.close();
    throw new AppError(
      "memory_failed",
      isFree
        ? `Cannot use the outbox ${path}: turns for ${owner} wait in it. Start weir with that ` +
          "memory.url until they are delivered, or name another file in memory.outbox"
        : `Cannot use the outbox ${path}: another weir uses it for ${owner}. Name another file in ` +
          "memory.outbox",
    );
  }

  #all(statement: Statement, ...values: (string | number)[]): OutboxTurn[] {
    return patiently(
      this.#database,
      () => statement.values(...values).map((row) => outboxTurn(row as unknown as Row)),
    );
  }

  /** Runs inside a transaction. */
  #write(items: readonly Write[]): void {
    for (const item of items) {
      switch (item.kind) {
        case "turn":
          item.late = this.#writeTurn(item.turn, item.key);
          break;
        case "claim":
          item.claimed = this.#writeClaim(item.claim);
          break;
        case "release":
          this.#guard.release(item.claim);
          break;
        case "send":
          // A batch that is undone is never told of, so `done` holds what the file holds.
          for (const turn of item.turns) {
            if (this.#sql.send.run(turn.seq, turn.key).changes > 0) item.done.push(turn);
          }
          break;
        case "returned":
          this.#sql.returned.run(item.turn.seq, item.turn.key);
          break;
        case "delivered":
          this.#sql.delivered.run(item.atMs, item.turn.seq, item.turn.key);
          if (this.#options.graceMs === 0) {
            this.#sql.dropDelivered.run(item.turn.seq, item.turn.key, this.#options.keysKeepMs);
          }
          break;
        case "dead": {
          const { seq, key } = item.turn;
          const made = this.#sql.bury.run(item.atMs, item.reason, seq, key);
          item.done.letter = Number(made.lastInsertRowid);
          this.#sql.drop.run(seq, key);
          break;
        }
        case "remove":
          this.#remove(item.filter, item.from, item.done);
          break;
        case "removal":
          this.#guard.noteRemoval(item.ids, this.#options.wallMs());
          this.#removeDead(item.filter, item.done);
          break;
        case "purge":
          this.#sql.purge.run(
            item.nowMs - this.#options.graceMs,
            item.nowMs - Math.max(this.#options.graceMs, this.#options.keysKeepMs),
          );
          break;
      }
    }
  }

  #remove({ where, values }: IdFilter, from: number, done: Dropped): void {
    const rows = this.#database.query(
      `DELETE FROM turns WHERE ${where} AND is_sending = 0 AND seq BETWEEN ? AND ? ` +
        "RETURNING session_id, delivered_ms",
    ).values(...values, from, from + REMOVE_ROWS - 1);
    note(rows.filter(([, deliveredMs]) => deliveredMs === null), done);
  }

  #removeDead({ where, values }: IdFilter, done: Dropped): void {
    const sql = `DELETE FROM dead_letters WHERE ${where} RETURNING session_id`;
    note(this.#database.query(sql).values(...values), done);
  }

  #writeClaim(claim: Claim): Claimed {
    const row = this.#sql.find.values(claim.sessionId, claim.key)[0];
    const turn = row === undefined ? undefined : outboxTurn(row as unknown as Row);
    if (turn !== undefined && !turn.isPartial) return { state: "kept", turn };
    return this.#guard.claim(claim, this.#options.wallMs()) ? { state: "mine", turn } : BUSY;
  }

  /** Gives why it is not kept, where it comes too late. */
  #writeTurn(turn: SaidTurn, key: string): TurnLate["why"] | undefined {
    if (this.#guard.isRemoved(turn, turn.mark.outbox)) return "removed";
    if (this.#addTurn(turn, key) > 0) return undefined;
    const row = this.#sql.find.values(turn.sessionId, key)[0];
    const kept = outboxTurn(row as unknown as Row);
    if (kept.answer === turn.answer && kept.isPartial === turn.isPartial) return undefined;
    if (!kept.isPartial) return turn.claim !== "" && !turn.isPartial ? "answered" : undefined;
    // What is kept in part is replaced, at the store as well: the whole turn comes behind it.
    this.#sql.drop.run(kept.seq, key);
    this.#addTurn(turn, key);
    return undefined;
  }

  #addTurn(turn: SaidTurn, key: string): number {
    return this.#sql.add.run(
      turn.sessionId,
      turn.userId,
      turn.roleId,
      turn.groupId,
      keptIds(turn).joined,
      key,
      turn.key === "" ? 0 : 1,
      turn.query,
      turn.answer,
      turn.isPartial ? 1 : 0,
      turn.atMs,
      turn.mark.store,
    ).changes;
  }
}

const BUSY: Claimed = { state: "busy" };

/** Adds rows that begin with a session's name to what was dropped. */
function note(rows: readonly (readonly unknown[])[], done: Dropped): void {
  done.turns += rows.length;
  for (const [name] of rows) done.sessions.add(name as string);
}

function outboxTurn(row: Row): OutboxTurn {
  const [seq, sessionId, userId, roleId, groupId, key, query, answer] = row;
  const [, , , , , , , , isPartial, atMs, sent, store] = row;
  return {
    seq,
    sessionId,
    userId,
    roleId,
    groupId,
    key,
    claim: "",
    mark: { ...NO_MARK, store },
    query,
    answer,
    isPartial: isPartial === 1,
    atMs,
    isDelivered: sent !== null,
  };
}

function numberOf(statement: Statement): number {
  return statement.values()[0]![0] as number;
}

function prepare(database: Database) {
  const statement = (sql: string): Statement => database.prepare(sql);
  return {
    dataVersion: statement("PRAGMA data_version"),
    pageSize: statement("PRAGMA page_size"),
    pageCount: statement("PRAGMA page_count"),
    freePages: statement("PRAGMA freelist_count"),
    deadLetters: statement("SELECT count(*) FROM dead_letters"),
    target: statement("SELECT value FROM facts WHERE name = 'target'"),
    nameTarget: statement("INSERT OR IGNORE INTO facts (name, value) VALUES ('target', ?)"),
    setTarget: statement("INSERT OR REPLACE INTO facts (name, value) VALUES ('target', ?)"),
    add: statement(
      "INSERT OR IGNORE INTO turns (session_id, user_id, role_id, group_id, joined, key, " +
        "has_client_key, query, answer, is_partial, at_ms, mark) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    ),
    // The first and the last name: two steps of an index, however many turns wait.
    named: statement(
      "SELECT session_id FROM turns WHERE session_id = ?1 UNION " +
        "SELECT min(session_id) FROM turns WHERE joined = ?1 AND joined <> '' UNION " +
        "SELECT max(session_id) FROM turns WHERE joined = ?1 AND joined <> ''",
    ),
    recent: statement(
      `SELECT ${ROW} FROM turns WHERE session_id = ? AND ` +
        "(delivered_ms IS NULL OR delivered_ms > ?)",
    ),
    find: statement(`SELECT ${ROW} FROM turns WHERE session_id = ? AND key = ?`),
    next: statement(
      `SELECT ${ROW} FROM turns WHERE delivered_ms IS NULL AND session_id > ? ` +
        "ORDER BY session_id, seq LIMIT 1",
    ),
    lastSeq: statement("SELECT seq FROM sqlite_sequence WHERE name = 'turns'"),
    sessionWaits: statement(
      "SELECT count(*), coalesce(sum(octet_length(query) + octet_length(answer)), 0) FROM turns " +
        "WHERE session_id = ? AND delivered_ms IS NULL",
    ),
    // The smallest number is the oldest turn: the index of those that wait gives both.
    backlog: statement(
      "SELECT count(*), (SELECT at_ms FROM turns WHERE delivered_ms IS NULL ORDER BY seq LIMIT 1) " +
        "FROM turns WHERE delivered_ms IS NULL",
    ),
    // A number alone may be that of another turn: in a file that has taken the place of this one.
    send: statement("UPDATE turns SET is_sending = 1 WHERE seq = ? AND key = ?"),
    returned: statement("UPDATE turns SET is_sending = 0 WHERE seq = ? AND key = ?"),
    recallAll: statement("UPDATE turns SET is_sending = 0 WHERE delivered_ms IS NULL"),
    isWaiting: statement(
      "SELECT 1 FROM turns WHERE session_id = ? AND delivered_ms IS NULL LIMIT 1",
    ),
    range: statement("SELECT (SELECT min(seq) FROM turns), (SELECT max(seq) FROM turns)"),
    delivered: statement(
      "UPDATE turns SET delivered_ms = ?, is_sending = 0 WHERE seq = ? AND key = ?",
    ),
    bury: statement(
      `INSERT INTO dead_letters (${TURN}, died_ms, reason) ` +
        `SELECT ${TURN}, ?, ? FROM turns WHERE seq = ? AND key = ?`,
    ),
    drop: statement("DELETE FROM turns WHERE seq = ? AND key = ?"),
    dropDelivered: statement(
      "DELETE FROM turns WHERE seq = ?1 AND key = ?2 AND (has_client_key = 0 OR ?3 = 0)",
    ),
    purge: statement(
      "DELETE FROM turns WHERE delivered_ms IS NOT NULL AND delivered_ms <= ? AND " +
        "(has_client_key = 0 OR delivered_ms < ?)",
    ),
  };
}
