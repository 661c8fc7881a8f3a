/**
 * The outbox: a memory before a memory. A turn is safe on this machine before its `[DONE]` leaves,
 * and travels to the store when the store can take it.
 *
 *   commit ──▶ outbox file (SQLite) ──▶ delivery ──▶ store (Postgres, a memory server)
 *                    │                                 │
 *   apply  ◀── turns on their way, merged behind ◀── history
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import {
  type Applied,
  type ApplyRequest,
  type Backlog,
  type Caller,
  type Claim,
  type Claimed,
  countFitting,
  type HistoryMessage,
  type Memory,
  type MemoryHealth,
  messagesOf,
  type PageRequest,
  type Removed,
  type SaidTurn,
  type SessionIds,
  storable,
  type StoredTurn,
  type TurnsPage,
} from "../core/memory.ts";
import { nameOf } from "../core/session.ts";
import { Lock } from "../lib/process_lock.ts";
import { Delivery, type DeliveryOptions } from "./delivery.ts";
import { idFilter } from "./id_filter.ts";
import {
  type Dropped,
  OutboxFile,
  type OutboxFileOptions,
  type OutboxTurn,
} from "./outbox_file.ts";

/** What an outbox needs. */
export type OutboxOptions =
  & Omit<OutboxFileOptions, "lock">
  & Pick<DeliveryOptions, "store" | "random" | "sleep">
  & {
    readonly trim: Trim;
    /** Milliseconds that a turn with a claim waits for turns before it on their way to the store. */
    readonly timeoutMs: number;
  };

/** Holds a history with turns added to it to the limits of its store. */
export type Trim = (messages: readonly HistoryMessage[]) => readonly HistoryMessage[];

/**
 * Messages at the end of a history beyond those of the turns in question that are searched for
 * them: other nodes may have added some.
 */
const SEARCH_SLACK = 4;

/** Milliseconds that `remove` waits for turns that are on their way, and between its looks. */
const ARRIVAL_WAIT_MS = 10_000;
const ARRIVAL_LOOK_MS = 2;
const NEVER = new AbortController().signal;

/** Puts an outbox before `options.store`. */
export function openOutbox(options: OutboxOptions): Memory {
  return new Outbox(options);
}

class Outbox implements Memory {
  readonly name: string;
  readonly #file: OutboxFile;
  readonly #store: Memory;
  readonly #delivery: Delivery;
  readonly #options: OutboxOptions;

  constructor(options: OutboxOptions) {
    this.name = options.store.name;
    this.#options = options;
    this.#store = options.store;
    const lock = new Lock(`${options.path}.lock`);
    this.#file = new OutboxFile({ ...options, lock });
    this.#delivery = new Delivery({ ...options, file: this.#file, lock });
  }

  health(): MemoryHealth {
    return this.#file.health();
  }

  checkReady(sessionId?: string): void {
    this.#file.checkReady();
    if (sessionId !== undefined) this.#file.checkSession(storable(sessionId));
  }

  async apply(request: ApplyRequest, caller: Caller): Promise<Applied> {
    const key = storable(request.key);
    const outbox = this.#file.lastRemoval();
    const all = this.#file.recent(nameOf(request));
    const recent = key === "" ? all : all.filter((turn) => !turn.isPartial || turn.key !== key);
    const told = await this.#store.apply(request, caller);
    const applied = { ...told, mark: { store: told.mark.store, outbox } };
    if (recent.length === 0) return applied;
    const missing = this.#missing(applied.messages, recent, false);
    if (missing.length === 0) return applied;
    const messages = [...applied.messages, ...missing.flatMap(messagesOf)];
    return { ...applied, messages: this.#options.trim(messages) };
  }

  async commit(turn: SaidTurn): Promise<void> {
    if (turn.claim !== "" && this.#store.claim !== undefined) return await this.#bring(turn);
    await this.#file.add(turn);
    this.#delivery.wake();
  }

  /**
   * Brings a turn with a claim to the store itself, behind those of its session that are on their
   * way: only the store can tell whether another node has answered the key meanwhile.
   */
  async #bring(turn: SaidTurn): Promise<void> {
    const { clock, sleep, timeoutMs } = this.#options;
    const endMs = clock() + timeoutMs;
    while (this.#file.isWaiting(turn.sessionId)) {
      if (clock() > endMs) {
        throw new AppError(
          "unavailable",
          "The turns before this one have not reached their store: " +
            "ask again with the same Idempotency-Key",
          { headers: { "retry-after": "5" } },
        );
      }
      await sleep(ARRIVAL_LOOK_MS, NEVER);
    }
    await this.#store.commit(turn);
  }

  async claim(claim: Claim): Promise<Claimed> {
    const turn = this.#file.find(claim.sessionId, claim.key);
    if (turn !== undefined && !turn.isPartial) return { state: "kept", turn: storedTurn(turn) };
    // A store that knows no claims is asked by the processes that share this outbox.
    return await (this.#store.claim?.(claim) ?? this.#file.claim(claim));
  }

  release(claim: Claim): Promise<void> {
    return this.#store.release?.(claim) ?? this.#file.release(claim);
  }

  async named(sessionId: string): Promise<readonly string[]> {
    const name = storable(sessionId);
    const waiting = this.#file.named(name);
    if (waiting.includes(name)) return [name];
    const names = new Set([...waiting, ...await this.#store.named(name)]);
    return names.has(name) ? [name] : [...names].slice(0, 2);
  }

  async find(sessionId: string, key: string): Promise<StoredTurn | undefined> {
    const turn = this.#file.find(storable(sessionId), storable(key));
    return turn === undefined ? await this.#store.find(sessionId, key) : storedTurn(turn);
  }

  async turns(sessionId: string, limit: number): Promise<readonly StoredTurn[]> {
    const recent = this.#file.recent(storable(sessionId));
    const turns = await this.#store.turns(sessionId, limit);
    const missing = this.#missing(turns.flatMap(messagesOf), recent, turns.length < limit);
    return [...turns, ...missing.map(storedTurn)].slice(-limit);
  }

  /**
   * The newest page has what is on its way behind what the store has, the newest of it that fit: what
   * is older shows when it has arrived.
   */
  async page(sessionId: string, request: PageRequest): Promise<TurnsPage> {
    const recent = request.before === "" ? this.#file.recent(storable(sessionId)) : [];
    const sizes = recent.map(({ query, answer }) =>
      Buffer.byteLength(query) + Buffer.byteLength(answer)
    );
    const count = countFitting(sizes.toReversed(), request);
    const shown = recent.slice(recent.length - count);
    const bytes = sizes.slice(recent.length - count).reduce((sum, one) => sum + one, 0);
    const page = await this.#store.page(sessionId, {
      ...request,
      limit: Math.max(1, request.limit - count),
      bytesMax: request.bytesMax - bytes,
    });
    if (count === 0) return page;
    const isWhole = page.next === "";
    const missing = this.#missing(page.turns.flatMap(messagesOf), shown, isWhole);
    return { ...page, turns: [...page.turns, ...missing.map(storedTurn)] };
  }

  async remove(ids: SessionIds): Promise<Removed> {
    const filter = idFilter(ids, "session_id");
    if (filter === undefined) return { turns: 0, sessions: 0 };
    const dropped: Dropped = { turns: 0, sessions: new Set() };
    const endMs = this.#options.clock() + ARRIVAL_WAIT_MS;
    await this.#file.remove(ids, filter, dropped);
    // A turn that is on its way, perhaps from another process, would arrive behind the removal.
    while (this.#file.isSending(filter) && this.#options.clock() < endMs) {
      await this.#options.sleep(ARRIVAL_LOOK_MS, NEVER);
    }
    await this.#file.remove(ids, filter, dropped);
    let onlyHere = 0;
    for (const name of dropped.sessions) {
      if (!await this.#isStored(name)) onlyHere++;
    }
    const { turns, sessions } = await this.#store.remove(ids);
    return { turns: turns + dropped.turns, sessions: sessions + onlyHere };
  }

  async #isStored(name: string): Promise<boolean> {
    const names = await this.#store.named(name);
    return names.includes(name) || (await this.#store.turns(name, 1)).length > 0;
  }

  prune(beforeMs: number): Promise<number> {
    return this.#store.prune(beforeMs);
  }

  backlog(): Backlog {
    return this.#file.backlog();
  }

  async close(): Promise<void> {
    await this.#delivery.stop();
    this.#file.close();
    await this.#store.close();
  }

  /**
   * Those of `recent` that the history of the store does not show. `isWhole`: it is cut nowhere, so
   * that turns with the same words can be counted in it.
   */
  #missing(
    history: readonly HistoryMessage[],
    recent: readonly OutboxTurn[],
    isWhole: boolean,
  ): readonly OutboxTurn[] {
    // What was sent may be there or not (an answer that was lost, a server that takes its time), so
    // it is looked for. Turns arrive in order: the newest that is there has all before it.
    const isUnsent = recent.map((turn) => this.#delivery.isUnsent(turn));
    const askedCount = isUnsent.filter((isSure) => !isSure).length;
    const tail = isWhole ? history : history.slice(-(askedCount * 2 + SEARCH_SLACK));
    for (let i = recent.length - 1; i >= 0; i--) {
      if (isUnsent[i]) continue;
      const seen = timesShown(tail, recent[i]!);
      if (seen > 0 && (!isWhole || seen >= timesSaid(recent, i))) return recent.slice(i + 1);
    }
    return recent;
  }
}

function storedTurn({ query, answer, isPartial, atMs }: OutboxTurn): StoredTurn {
  return { query, answer, isPartial, atMs };
}

/** How often `turns` say the words of the one at `at`, up to that one. */
function timesSaid(turns: readonly OutboxTurn[], at: number): number {
  const { query, answer } = turns[at]!;
  let times = 0;
  for (let i = 0; i <= at; i++) {
    if (turns[i]!.query === query && turns[i]!.answer === answer) times++;
  }
  return times;
}

/** How often `messages` hold the messages of `turn`, one behind the other. */
function timesShown(messages: readonly HistoryMessage[], turn: StoredTurn): number {
  const wanted = messagesOf(turn);
  let times = 0;
  for (let at = messages.length - wanted.length; at >= 0; at--) {
    const isHere = wanted.every(({ role, content }, i) => {
      const message = messages[at + i]!;
      return message.role === role && message.content === content;
    });
    if (isHere) times++;
  }
  return times;
}
