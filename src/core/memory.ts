/**
 * What remembers: the `Memory` interface, and what every store agrees on. A turn that is said is
 * committed; the next turn of its session applies what was committed before it.
 *
 * @module
 */

import type { Message } from "./turn.ts";
import { AppError, type AppErrorOptions } from "./errors.ts";

/** Who talks with whom. "" = not named. */
export interface SessionIds {
  /** As the request gives it, or the stored name of the session that it means (`meantSession`). */
  readonly sessionId: string;
  readonly userId: string;
  readonly roleId: string;
  readonly groupId: string;
}

/** What a request wants to know before the model is asked. */
export interface ApplyRequest extends SessionIds {
  readonly query: string;
  /** The character that the model plays; "" = what the session, or its user, said of it before. */
  readonly rolePrompt: string;
  /** The key of the turn that is asked; "" = none. What is kept of it in part is not shown. */
  readonly key: string;
}

/** One message of the history. */
export type HistoryMessage = Message & { readonly content: string };

/** Who waits for an answer. The signal is only taken by a memory that makes it wait. */
export interface Caller {
  readonly signal: AbortSignal;
}

/** What a memory knows for the next turn. */
export interface Applied {
  readonly systemPrompt: string;
  /** Oldest first. */
  readonly messages: readonly HistoryMessage[];
  /** What the turn that begins here is committed with. */
  readonly mark: Mark;
}

/**
 * Where the deletions stood when a turn began, in its store and in the outbox before it: a turn that
 * began before its session's deletion is not kept.
 */
export interface Mark {
  readonly store: number;
  readonly outbox: number;
}

/** The mark of a turn that begins with its commit: no deletion is behind it. */
export const NO_MARK: Mark = { store: Number.MAX_SAFE_INTEGER, outbox: Number.MAX_SAFE_INTEGER };

/** A request's wish to be the only one that answers a key of its session. Texts are storable. */
export interface Claim {
  readonly sessionId: string;
  readonly key: string;
  /** Nobody else has it. */
  readonly owner: string;
}

/** Milliseconds a claim holds unless it is renewed: then its process has died. */
export const CLAIM_MS = 10_000;

/**
 * What came of a claim. mine: nobody else may answer it; `turn` is what is kept of it in part. busy:
 * somebody else answers it now. kept: `turn` is the answer.
 */
export type Claimed =
  | { readonly state: "mine"; readonly turn: StoredTurn | undefined }
  | { readonly state: "busy" }
  | { readonly state: "kept"; readonly turn: StoredTurn };

/** One turn that was said, ready to be kept. Made by `saidTurn`. */
export interface SaidTurn extends SessionIds {
  /**
   * What makes it one turn however often it is sent: unique in its session. "" = sent once only.
   */
  readonly key: string;
  /** The owner of the claim on `key` that the turn was answered under; "" = there is none. */
  readonly claim: string;
  readonly mark: Mark;
  /** "" when the role spoke first. */
  readonly query: string;
  readonly answer: string;
  /** True when the client left and only what it was sent is kept. */
  readonly isPartial: boolean;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** A turn as a store gives it back. */
export interface StoredTurn {
  readonly query: string;
  readonly answer: string;
  readonly isPartial: boolean;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

/** Which turns of a session are asked for: the newest of those before `before` that fit. */
export interface PageRequest {
  /** Turns at the most. */
  readonly limit: number;
  /** Bytes of their texts at the most; a single turn may have more. */
  readonly bytesMax: number;
  /** The `next` of the page behind this one; "" = this is the newest. */
  readonly before: string;
}

/** Turns of a session, oldest first. */
export interface TurnsPage {
  readonly turns: readonly StoredTurn[];
  /** Where the page with older turns is asked for; "" = there are none. */
  readonly next: string;
}

/**
 * Anything that remembers. The embedded database, Postgres, a memory server, and the outbox that
 * stands before the last two.
 */
export interface Memory {
  /** A word for logs and health: "sqlite", "postgres", "http". */
  readonly name: string;

  /**
   * Throws when no turn can be taken now, or none of the session that is named, so that nobody is
   * answered whose turn would be lost.
   *
   * @throws {AppError} `unavailable`, with the reason.
   */
  checkReady(sessionId?: string): void;

  /**
   * The system prompt and the history for the next turn of a session.
   *
   * @throws {AppError} `memory_failed`.
   */
  apply(request: ApplyRequest, caller: Caller): Promise<Applied> | Applied;

  /**
   * Keeps `turn`. Settles when it survives the death of this process; turns of one session keep the
   * order of their commits. A `key` that its session has already is not kept again, but what is kept
   * of it in part is replaced.
   *
   * @throws {TurnLate} when the session was deleted since `mark`, or another answer is kept under
   *   the key of a turn with a claim.
   * @throws {TurnRefused} when the store will not take this turn.
   * @throws {AppError} when the store cannot take any turn now.
   */
  commit(turn: SaidTurn): Promise<void>;

  /**
   * Claims a key, or renews the claim. It is let go of by `release`, and by itself after `CLAIM_MS`.
   * Absent where the store has no word for it.
   */
  claim?(claim: Claim): Promise<Claimed>;

  release?(claim: Claim): Promise<void>;

  /**
   * The stored sessions that somebody may mean who names `sessionId`: the one of that very name,
   * or else two at the most whose ids are joined so (`joinedIds`). May also give both.
   */
  named(sessionId: string): Promise<readonly string[]> | readonly string[];

  /** The turn that was committed under `key`, if there is one. */
  find(
    sessionId: string,
    key: string,
  ): Promise<StoredTurn | undefined> | StoredTurn | undefined;

  /** Every turn of a session, oldest first, `limit` of the newest at the most. */
  turns(
    sessionId: string,
    limit: number,
  ): Promise<readonly StoredTurn[]> | readonly StoredTurn[];

  /** A page of a session's turns. Reads no more texts than are on it. */
  page(sessionId: string, request: PageRequest): Promise<TurnsPage> | TurnsPage;

  /**
   * Forgets every session whose ids are all that `ids` names, a part at a time: nobody waits for
   * the whole. Where it names none, nothing is forgotten.
   */
  remove(ids: SessionIds): Promise<Removed>;

  /** Forgets every turn from before `beforeMs` (since 1970). Gives their number. */
  prune(beforeMs: number): Promise<number>;

  /**
   * What is on its way to a store; absent where nothing ever is. Counts, so it is not for requests.
   */
  backlog?(): Backlog | undefined;

  /** How it is; absent where nothing can be told. For whoever asks for health: not for requests. */
  health?(): MemoryHealth | undefined;

  /** Writes what waits, and lets go of files and connections. */
  close(): Promise<void>;
}

/** What was forgotten. */
export interface Removed {
  readonly turns: number;
  readonly sessions: number;
}

/** How a memory server begins to say that no session has the ids of a removal. */
export const NOTHING_REMOVED = "没有匹配的会话";

/** Turns that are safe here and have not reached their store. */
export interface Backlog {
  readonly turns: number;
  /** When the oldest of them was said, in milliseconds since 1970; undefined = there is none. */
  readonly oldestAtMs: number | undefined;
}

/** How a memory is. */
export interface MemoryHealth {
  /** Why no turns are kept now, or that some were lost; "" = all is well. */
  readonly trouble: string;
  /** Turns that lie among the dead letters. */
  readonly deadLetters: number;
}

/** A store that will not take one turn, though it takes others. */
export class TurnRefused extends AppError {
  /** True when asking again is of no use: the turn itself is at fault. */
  readonly isForEver: boolean;

  constructor(message: string, isForEver: boolean, options: AppErrorOptions = {}) {
    super("memory_failed", message, options);
    this.isForEver = isForEver;
  }
}

/** A turn that came too late to be kept. */
export class TurnLate extends AppError {
  readonly why: "removed" | "answered";

  constructor(why: TurnLate["why"]) {
    super("conflict", LATE[why]);
    this.why = why;
  }
}

const LATE: Readonly<Record<TurnLate["why"], string>> = {
  removed: "The session was deleted while this was answered: the answer is not kept",
  answered: "Another answer to this Idempotency-Key was kept meanwhile: ask again to get that one",
};

/**
 * `text` as every store can keep it: a NUL, which Postgres refuses, and half a surrogate pair,
 * which UTF-8 has no bytes for, become U+FFFD.
 */
export function storable(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed();
  return whole.includes("\0") ? whole.replaceAll("\0", "\uFFFD") : whole;
}

/** `ids` made storable. */
export function saidIds(ids: SessionIds): SessionIds {
  return {
    sessionId: storable(ids.sessionId),
    userId: storable(ids.userId),
    roleId: storable(ids.roleId),
    groupId: storable(ids.groupId),
  };
}

/** `turn` with every text made storable. */
export function saidTurn(turn: SaidTurn): SaidTurn {
  return {
    ...saidIds(turn),
    key: storable(turn.key),
    claim: turn.claim,
    mark: turn.mark,
    query: storable(turn.query),
    answer: storable(turn.answer),
    isPartial: turn.isPartial,
    atMs: turn.atMs,
  };
}

/** How many of turns with so many `bytes`, newest first, are within `request`: one at least. */
export function countFitting(
  bytes: readonly number[],
  { limit, bytesMax }: Pick<PageRequest, "limit" | "bytesMax">,
): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i++) {
    total += bytes[i]!;
    if (i >= limit || (i > 0 && total > bytesMax)) return i;
  }
  return bytes.length;
}

/** The messages of one turn. A side that said nothing has none. */
export function messagesOf(turn: StoredTurn): readonly HistoryMessage[] {
  const messages: HistoryMessage[] = [];
  if (turn.query !== "") messages.push({ role: "user", content: turn.query });
  if (turn.answer !== "") messages.push({ role: "assistant", content: turn.answer });
  return messages;
}
