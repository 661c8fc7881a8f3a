/**
 * The embedded memory: one SQLite file, written in batches, with the recent histories in memory.
 * Several processes may share the file.
 *
 * `bun:sqlite` and not `Bun.SQL`: on SQLite a `Bun.SQL` query beside an awaiting `begin()` runs
 * inside that transaction and is lost with its rollback, and it is ten times slower.
 *
 * One class, since every write must keep the cache and the file saying the same.
 *
 * @module
 */

import type { Database } from "bun:sqlite";
import { AppError } from "../core/errors.ts";
import type { Watch } from "../core/events.ts";
import {
  type CountTokens,
  historyBytesMax,
  type HistoryLimits,
  trimHistory,
} from "../core/history.ts";
import {
  type Applied,
  type ApplyRequest,
  type Claim,
  type Claimed,
  countFitting,
  type HistoryMessage,
  type Memory,
  type MemoryHealth,
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
  type TurnsPage,
} from "../core/memory.ts";
import { keptIds, nameOf } from "../core/session.ts";
import { type FillPrompt, summaryOf, utcTime } from "../core/system_prompt.ts";
import { Lru } from "../lib/lru.ts";
import { patiently } from "../lib/sqlite_file.ts";
import { Batch } from "./batch.ts";
import { Guard } from "./guard.ts";
import { type FileOptions, openDatabase, reasonOf } from "./database.ts";
import { type IdFilter, idFilter } from "./id_filter.ts";
import { renameSessions } from "./joined_names.ts";
import {
  MIGRATIONS,
  prepareStatements,
  type Statements,
  type TurnRow,
} from "./sqlite_statements.ts";

/** The bounded cache of recent histories. */
const HISTORIES = { entriesMax: 20_000, bytesMax: 64 * 1024 * 1024 };

/**
 * New turns of other processes that are looked through one by one; after more of them everything is
 * read again. Some 1 ms.
 */
const CATCH_UP_TURNS_MAX = 1000;

/** Sessions that one transaction of `prune` looks through: some 1 ms for 200 short ones. */
const PRUNE_SESSIONS = 200;

/** Sessions and turns that one transaction of `remove` forgets: some 5 ms. */
const REMOVE_SESSIONS = 100;
const REMOVE_TURNS = 500;

/** What the embedded memory needs. Shared by every store that makes its own system prompt. */
export interface StoreOptions {
  readonly limits: HistoryLimits;
  readonly countTokens: CountTokens;
  readonly fillPrompt: FillPrompt;
  readonly watch: Watch;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

/** What the embedded memory needs besides. */
export interface SqliteOptions extends StoreOptions, FileOptions {}

/** One thing to write. `done` carries a result out of the transaction. */
type Write =
  | { readonly kind: "turn"; readonly turn: SaidTurn; late: TurnLate["why"] | undefined }
  | { readonly kind: "claim"; readonly claim: Claim; claimed: Claimed }
  | { readonly kind: "release"; readonly claim: Claim }
  | { readonly kind: "prompt"; readonly ids: SessionIds; readonly prompt: string }
  | {
    readonly kind: "remove";
    readonly ids: SessionIds;
    readonly filter: IdFilter;
    readonly isFirst: boolean;
    readonly done: Removing;
  }
  | {
    readonly kind: "prune";
    readonly fromId: number;
    readonly toId: number;
    readonly beforeMs: number;
    readonly done: { count: number };
  };

/** A turn with its key, where it has one. */
interface KeptTurn extends StoredTurn {
  readonly key: string | null;
}

/** A removal, as far as it has come. */
interface Removing {
  turns: number;
  sessions: number;
  isOver: boolean;
}

/** A session with its newest turns. */
interface Session {
  readonly name: string;
  /** Its row; 0 = it has none yet. */
  id: number;
  beganMs: number;
  turnCount: number;
  /** The row of its last turn; 0 = none. */
  lastSeq: number;
  /** The newest `turnsMax`, oldest first. */
  turns: KeptTurn[];
  bytes: number;
  /** Another process has added turns. */
  isStale: boolean;
  /** What the model sees of `turns`; made when first asked for. */
  shown: readonly HistoryMessage[] | undefined;
  shownCount: number;
  prompt: KnownPrompt | undefined;
}

/** What a role was told to be, as far as is known. */
interface KnownPrompt {
  /** The `#promptVersion` that it is of. */
  readonly version: number;
  /** In the session; "" = nothing. */
  readonly kept: string;
  /** By this user of this role in other sessions, where nothing is kept in this one. */
  readonly shared: string;
  readonly userId: string;
  readonly roleId: string;
}

const BUSY: Claimed = { state: "busy" };

/** Opens or makes the memory at `options.path`. */
export function openSqliteMemory(options: SqliteOptions): Memory {
  return new SqliteMemory(options);
}

class SqliteMemory implements Memory {
  readonly name = "sqlite";
  readonly #options: SqliteOptions;
  #database!: Database;
  readonly #batch: Batch<Write>;
  #sql!: Statements;
  #guard!: Guard;
  readonly #sessions = new Lru<Session>(HISTORIES);
  /** The file's version that was looked at last; 0 = the caches are empty, and nothing is known. */
  #dataVersion = 0;
  /** The last turn in the file that the caches know of. */
  #seenSeq = 0;
  /** The file's counters when they were looked at last. */
  #removals = 0;
  #prompts = 0;
  /** Another one means that a role may have been told something else since. */
  #promptVersion = 0;
  /** The last deletion that is known of. */
  #lastRemoval = 0;

  constructor(options: SqliteOptions) {
    this.#options = options;
    this.#batch = new Batch<Write>({
      path: options.path,
      open: () => this.#open(),
      write: (items) => this.#write(items),
      onUndone: () => this.#forgetCaches(),
      watch: options.watch,
      clock: options.clock,
    });
  }

  #open(): Database {
    const { path, durability } = this.#options;
    this.#database = openDatabase(path, durability, MIGRATIONS, renameSessions);
    this.#sql = prepareStatements(this.#database, historyBytesMax(this.#options.limits));
    this.#guard = new Guard(this.#database);
    return this.#database;
  }

  checkReady(): void {
    this.#batch.checkReady();
  }

  health(): MemoryHealth {
    return { trouble: this.#batch.trouble, deadLetters: 0 };
  }

  apply(request: ApplyRequest): Applied {
    return this.#read(() => {
      this.#look();
      const name = nameOf(request);
      const session = this.#session(name);
      if (session.shown === undefined) this.#show(session);
      const { fillPrompt, wallMs } = this.#options;
      const { turnCount, beganMs, shownCount, shown } = this.#without(session, request.key);
      const systemPrompt = fillPrompt({
        summary: summaryOf({ turnCount, beganMs, shownCount }),
        current_time: utcTime(wallMs()),
        role_prompt: this.#rolePrompt(session, request),
        session_id: name,
        user_id: request.userId,
        role_id: request.roleId,
        group_id: request.groupId,
      });
      const mark = { ...NO_MARK, store: this.#lastRemoval };
      return { systemPrompt, messages: shown!, mark };
    });
  }

  async commit(turn: SaidTurn): Promise<void> {
    const write: Write = { kind: "turn", turn, late: undefined };
    await this.#batch.add(write);
    if (write.late !== undefined) throw new TurnLate(write.late);
  }

  async claim(claim: Claim): Promise<Claimed> {
    const turn = this.find(claim.sessionId, claim.key);
    if (turn !== undefined && !turn.isPartial) return { state: "kept", turn };
    if (this.#read(() => this.#guard.isBusy(claim, this.#options.wallMs()))) return BUSY;
    const write: Write = { kind: "claim", claim, claimed: BUSY };
    await this.#batch.add(write);
    return write.claimed;
  }

  release(claim: Claim): Promise<void> {
    return this.#batch.add({ kind: "release", claim });
  }

  named(sessionId: string): readonly string[] {
    return this.#read(() => {
      this.#look();
      const name = storable(sessionId);
      if (this.#session(name).id !== 0) return [name];
      return this.#sql.sessionsJoined.values(name).map(([joined]) => joined as string);
    });
  }

  find(sessionId: string, key: string): StoredTurn | undefined {
    return this.#read(() => {
      const row = this.#sql.turnByKey.values(storable(sessionId), storable(key))[0];
      return row === undefined ? undefined : storedTurn(row as unknown as TurnRow);
    });
  }

  turns(sessionId: string, limit: number): readonly StoredTurn[] {
    return this.#read(() => {
      const rows = this.#sql.turnsByName.values(storable(sessionId), limit);
      return rows.reverse().map((row) => storedTurn(row as unknown as TurnRow));
    });
  }

  page(sessionId: string, request: PageRequest): TurnsPage {
    return this.#read(() => {
      const name = storable(sessionId);
      const before = request.before === "" ? Number.MAX_SAFE_INTEGER : Number(request.before);
      const known = this.#sql.turnBytes.values(
        name,
        before,
        request.limit + 1,
      ) as unknown as readonly (readonly [seq: number, bytes: number])[];
      const count = countFitting(known.map(([, bytes]) => bytes), request);
      if (count === 0) return { turns: [], next: "" };
      const [seq] = known[count - 1]!;
      const rows = this.#sql.turnsBetween.values(name, seq, before);
      return {
        turns: rows.map((row) => storedTurn(row as unknown as TurnRow)),
        next: count < known.length ? String(seq) : "",
      };
    });
  }

  async remove(ids: SessionIds): Promise<Removed> {
    const filter = idFilter(ids, "name");
    const done: Removing = { turns: 0, sessions: 0, isOver: filter === undefined };
    for (let isFirst = true; filter !== undefined && !done.isOver; isFirst = false) {
      await this.#batch.add({ kind: "remove", ids: saidIds(ids), filter, isFirst, done });
    }
    return done;
  }

  async prune(beforeMs: number): Promise<number> {
    const last = this.#read(() => this.#sql.lastSession.values()[0]?.[0]) as number | null;
    const done = { count: 0 };
    for (let fromId = 1; fromId <= (last ?? 0); fromId += PRUNE_SESSIONS) {
      const toId = fromId + PRUNE_SESSIONS - 1;
      await this.#batch.add({ kind: "prune", fromId, toId, beforeMs, done });
    }
    // Another process may have forgotten them already: then nothing was left to find here.
    this.#forgetCaches();
    return done.count;
  }

  close(): Promise<void> {
    this.#batch.close();
    return Promise.resolve();
  }

  #read<T>(read: () => T): T {
    this.#batch.look();
    try {
      return patiently(this.#database, read);
    } catch (error) {
      throw new AppError("memory_failed", `Cannot read the memory: ${reasonOf(error)}`, {
        cause: error,
      });
    }
  }

  /** Notices what other processes wrote: 1.5 µs when that is nothing. */
  #look(): void {
    const version = this.#sql.dataVersion.values()[0]![0] as number;
    if (version === this.#dataVersion) return;
    const isFirst = this.#dataVersion === 0;
    this.#dataVersion = version;
    const [removals, prompts] = this.#sql.marks.values()[0] as unknown as [number, number];
    if (prompts !== this.#prompts) this.#promptVersion++;
    this.#prompts = prompts;
    this.#lastRemoval = this.#guard.lastRemoval();
    if (isFirst || removals !== this.#removals || !this.#catchUp()) {
      this.#sessions.clear();
      this.#seenSeq = (this.#sql.lastTurn.values()[0]![0] ?? 0) as number;
    }
    this.#removals = removals;
  }

  /** Marks the sessions that have new turns, some 1 µs for each turn; false = there are too many. */
  #catchUp(): boolean {
    const rows = this.#sql.turnsSince.values(this.#seenSeq, CATCH_UP_TURNS_MAX + 1);
    if (rows.length > CATCH_UP_TURNS_MAX) return false;
    for (const [seq, name] of rows as unknown as readonly [number, string][]) {
      const known = this.#sessions.peek(name);
      if (known !== undefined) known.isStale = true;
      this.#seenSeq = seq;
    }
    return true;
  }

  /** The session `name` as it is now, from the cache as far as nobody else has changed it. */
  #session(name: string): Session {
    const known = this.#sessions.get(name);
    if (known === undefined || (known.isStale && known.id === 0)) return this.#load(name);
    if (known.isStale) this.#refresh(known);
    return known;
  }

  /** Adds the turns that another process has added: 10 µs, against 50 for a whole history. */
  #refresh(session: Session): void {
    const { turnsMax } = this.#options.limits;
    const { id, lastSeq } = session;
    // One at least, since the last turn tells how many there are.
    const rows = this.#sql.turnsBySessionSince.values(id, lastSeq, Math.max(1, turnsMax));
    session.isStale = false;
    const [newest] = rows as unknown as readonly TurnRow[];
    if (newest === undefined) return;
    [, , , , session.lastSeq, session.turnCount] = newest;
    const added = rows.reverse().map((turn) => keptTurn(turn as unknown as TurnRow));
    session.turns = turnsMax === 0 ? [] : [...session.turns, ...added].slice(-turnsMax);
    session.shown = undefined;
    this.#keep(session);
  }

  #load(name: string): Session {
    const session: Session = {
      name,
      id: 0,
      beganMs: 0,
      turnCount: 0,
      lastSeq: 0,
      turns: [],
      bytes: 0,
      isStale: false,
      shown: undefined,
      shownCount: 0,
      prompt: undefined,
    };
    const row = this.#sql.session.values(name)[0] as unknown as readonly [number, number];
    if (row !== undefined) {
      [session.id, session.beganMs] = row;
      const { turnsMax } = this.#options.limits;
      // One at least, since the last turn tells how many there are.
      const rows = this.#sql.turnsBySession.values(session.id, Math.max(1, turnsMax));
      const [newest] = rows as unknown as readonly TurnRow[];
      if (newest !== undefined) [, , , , session.lastSeq, session.turnCount] = newest;
      session.turns = rows.slice(0, turnsMax).reverse()
        .map((turn) => keptTurn(turn as unknown as TurnRow));
    }
    this.#keep(session);
    return session;
  }

  #keep(session: Session): void {
    session.bytes = bytesOf(session);
    this.#sessions.set(session.name, session, session.bytes);
  }

  #show(session: Session): void {
    const { limits, countTokens } = this.#options;
    const shown = trimHistory(session.turns, limits, countTokens);
    session.shownCount = shown.length;
    session.shown = shown.flatMap(messagesOf);
  }

  /** `session` without what is kept in part under `key`: its question is asked again. */
  #without(
    session: Session,
    key: string,
  ): Pick<Session, "turnCount" | "beganMs" | "shownCount" | "shown"> {
    if (key === "") return session;
    const name = storable(key);
    const turns = session.turns.filter((turn) => !turn.isPartial || turn.key !== name);
    if (turns.length === session.turns.length) return session;
    const { limits, countTokens } = this.#options;
    const shown = trimHistory(turns, limits, countTokens);
    const { turnCount, beganMs } = session;
    return {
      turnCount: turnCount - 1,
      beganMs,
      shownCount: shown.length,
      shown: shown.flatMap(messagesOf),
    };
  }

  /**
   * What the role is told to be: what the request says, which is kept with its session, else what
   * was kept there, else what the same user was last told of the role without a session's name.
   */
  #rolePrompt(session: Session, request: ApplyRequest): string {
    const { rolePrompt } = request;
    const { kept, shared } = this.#promptOf(session, request);
    if (rolePrompt === "") return kept || shared;
    const prompt = storable(rolePrompt);
    if (kept !== prompt && session.name !== "") {
      // Nobody waits for it: its turn's commit is behind it in the same batch, or fails with it.
      const ids = saidIds({ ...request, sessionId: session.name });
      this.#batch.add({ kind: "prompt", ids, prompt }).catch(() => {});
    }
    return rolePrompt;
  }

  #promptOf(session: Session, { userId, roleId }: ApplyRequest): KnownPrompt {
    const version = this.#promptVersion;
    const { prompt } = session;
    const isKnown = prompt?.version === version && prompt.userId === userId &&
      prompt.roleId === roleId;
    if (isKnown) return prompt;
    const kept = (this.#sql.prompt.values(session.name)[0]?.[0] ?? "") as string;
    const rows = kept !== "" || userId === "" || roleId === ""
      ? []
      : this.#sql.sharedPrompt.values(storable(userId), storable(roleId));
    const shared = (rows[0]?.[0] ?? "") as string;
    session.prompt = { version, kept, userId, roleId, shared };
    this.#keep(session);
    return session.prompt;
  }

  /** Runs inside a transaction. */
  #write(items: readonly Write[]): void {
    this.#look();
    for (const item of items) {
      switch (item.kind) {
        case "turn":
          item.late = this.#writeTurn(item.turn);
          break;
        case "claim":
          item.claimed = this.#writeClaim(item.claim);
          break;
        case "release":
          this.#guard.release(item.claim);
          break;
        case "prompt":
          this.#promptVersion++;
          this.#sql.countPrompt.run();
          this.#sql.setPrompt.run(item.prompt, this.#stored(item.ids, this.#options.wallMs()).id);
          break;
        case "remove":
          if (item.isFirst) {
            this.#guard.noteRemoval(item.ids, this.#options.wallMs());
            this.#lastRemoval = this.#guard.lastRemoval();
          }
          this.#removeSome(item.filter, item.done);
          break;
        case "prune":
          this.#prune(item.fromId, item.toId, item.beforeMs, item.done);
          break;
      }
    }
  }

  #writeClaim(claim: Claim): Claimed {
    const row = this.#sql.turnByKey.values(claim.sessionId, claim.key)[0];
    const turn = row === undefined ? undefined : storedTurn(row as unknown as TurnRow);
    if (turn !== undefined && !turn.isPartial) return { state: "kept", turn };
    return this.#guard.claim(claim, this.#options.wallMs()) ? { state: "mine", turn } : BUSY;
  }

  /** Gives why it is not kept, where it comes too late. */
  #writeTurn(turn: SaidTurn): TurnLate["why"] | undefined {
    const { store } = turn.mark;
    if (store < this.#lastRemoval && this.#guard.isRemoved(turn, store)) return "removed";
    const session = this.#stored(turn, turn.atMs);
    const made = this.#addTurn(session.id, session.turnCount + 1, turn);
    if (made.changes === 0) return this.#writeAgain(session, turn);
    session.turnCount++;
    session.lastSeq = this.#seenSeq = Number(made.lastInsertRowid);
    session.turns.push({
      query: turn.query,
      answer: turn.answer,
      isPartial: turn.isPartial,
      atMs: turn.atMs,
      key: turn.key === "" ? null : turn.key,
    });
    if (session.turns.length > this.#options.limits.turnsMax) session.turns.shift();
    session.shown = undefined;
    this.#keep(session);
    return undefined;
  }

  /** The session has the key of `turn` already: what is kept of it in part is replaced. */
  #writeAgain(session: Session, turn: SaidTurn): TurnLate["why"] | undefined {
    const row = this.#sql.turnByKey.values(session.name, turn.key)[0];
    const kept = storedTurn(row as unknown as TurnRow);
    const isSame = kept.answer === turn.answer && kept.isPartial === turn.isPartial;
    if (isSame) return undefined;
    if (!kept.isPartial) return turn.claim !== "" && !turn.isPartial ? "answered" : undefined;
    this.#sql.removeTurn.run(session.id, turn.key);
    const made = this.#addTurn(session.id, session.turnCount, turn);
    this.#seenSeq = Number(made.lastInsertRowid);
    this.#sessions.delete(session.name);
    return undefined;
  }

  #addTurn(session: number, number: number, turn: SaidTurn) {
    return this.#sql.addTurn.run(
      session,
      number,
      turn.atMs,
      turn.isPartial ? 1 : 0,
      turn.key === "" ? null : turn.key,
      turn.query,
      turn.answer,
    );
  }

  /** The session, with a row. */
  #stored(ids: SessionIds, atMs: number): Session {
    const session = this.#session(ids.sessionId);
    if (session.id !== 0) return session;
    const { userId, roleId, groupId, joined } = keptIds(ids);
    const [row] = this.#sql.addSession.values(
      session.name,
      userId,
      roleId,
      groupId,
      atMs,
      joined,
    );
    [session.id, session.beganMs] = row as unknown as [number, number];
    return session;
  }

  #removeSome({ where, values }: IdFilter, done: Removing): void {
    let turnsLeft = REMOVE_TURNS;
    const rows = this.#database
      .query(`SELECT id, name FROM sessions WHERE ${where} LIMIT ${REMOVE_SESSIONS}`)
      .values(...values) as unknown as readonly (readonly [number, string])[];
    for (const [id, name] of rows) {
      const { changes } = this.#sql.removeTurns.run(id, turnsLeft);
      done.turns += changes;
      turnsLeft -= changes;
      this.#sessions.delete(name);
      if (turnsLeft === 0) return; // it may have more
      this.#sql.removeSession.run(id);
      this.#promptVersion++;
      done.sessions++;
    }
    done.isOver = rows.length < REMOVE_SESSIONS;
  }

  #prune(fromId: number, toId: number, beforeMs: number, done: { count: number }): void {
    const { changes } = this.#sql.pruneTurns.run(fromId, toId, beforeMs);
    const emptied = this.#sql.pruneSessions.run(fromId, toId, beforeMs);
    if (changes + emptied.changes > 0) this.#forgetCaches();
    done.count += changes;
  }

  /** The next look begins anew. */
  #forgetCaches(): void {
    this.#sessions.clear();
    this.#promptVersion++;
    this.#dataVersion = 0;
  }
}

function storedTurn([query, answer, isPartial, atMs]: TurnRow): StoredTurn {
  return { query, answer, isPartial: isPartial === 1, atMs };
}

function keptTurn([query, answer, isPartial, atMs, , , key]: TurnRow): KeptTurn {
  return { query, answer, isPartial: isPartial === 1, atMs, key };
}

/** Bytes of a session in memory: its texts twice (turns and messages share them), and its objects. */
function bytesOf({ name, turns, prompt }: Session): number {
  let units = name.length + (prompt === undefined ? 0 : prompt.kept.length + prompt.shared.length);
  for (const { query, answer } of turns) units += query.length + answer.length;
  return 400 + units * 2 + turns.length * 200;
}
