/**
 * Which memory there is: the store that `memory.url` names, with an outbox before a store that lies
 * elsewhere, and with the retention that `memory.keep_days` asks for.
 *
 * @module
 */

import { accessSync, constants, existsSync } from "node:fs";
import { dirname } from "node:path";
import { AppError } from "../core/errors.ts";
import { trimHistory } from "../core/history.ts";
import {
  type Applied,
  type ApplyRequest,
  type Backlog,
  type Caller,
  type Claim,
  type Claimed,
  type Memory,
  type MemoryHealth,
  messagesOf,
  type SaidTurn,
  TurnRefused,
} from "../core/memory.ts";
import { inFolder, sqlitePath } from "../lib/sqlite_file.ts";
import { type Durability, reasonOf } from "./database.ts";
import { openHttpMemory, turnsOf } from "./http.ts";
import { openOutbox, type Trim } from "./outbox.ts";
import { openPostgresMemory } from "./postgres.ts";
import { openSqliteMemory, type StoreOptions } from "./sqlite.ts";

/** Milliseconds between two looks for turns that are too old. */
const PRUNE_EVERY_MS = 60 * 60 * 1000;
const DAY_MS = 24 * 60 * 60 * 1000;

/** The outbox's file where none is named. */
const OUTBOX_FILE = "weir-outbox.db";

/**
 * Milliseconds a turn that a memory server took is still shown from here: the streaming response
 * service queues what it takes, and shows it some time later.
 */
const HTTP_GRACE_MS = 60_000;

/** The `memory` section of the config. */
export interface MemoryConfig {
  readonly url: string;
  readonly durability: Durability;
  readonly timeout_ms: number;
  readonly outbox: string;
  readonly outbox_max_bytes: number;
  readonly keep_days: number;
}

/** What a memory needs from its process. */
export interface OpenOptions extends StoreOptions {
  readonly config: MemoryConfig;
  /** The bearer token for a memory server: the same as weir's own. */
  readonly token: string;
  /** The folder that relative paths count from. */
  readonly folder: string;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds that never go back. */
  readonly clock: () => number;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  readonly makeKey: () => string;
  /** Waits; settles early when `signal` aborts. */
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<unknown>;
}

/**
 * The memory that the config names. It is opened on first use, so that whoever only mocks never
 * sees a file of it.
 */
export function openMemory(options: OpenOptions): Memory {
  const { config, folder } = options;
  const name = storeName(config.url);
  if (name !== "sqlite") return new FirstUse(name, () => keepDays(openDistant(options), options));
  const path = sqlitePath(config.url, folder);
  const { durability } = config;
  return new FirstUse(
    name,
    () => keepDays(openSqliteMemory({ ...options, path, durability }), options),
    () => makingTrouble(config, folder),
  );
}

/** True when there may be turns to look after from the start: to deliver, or to forget. */
export function mayHaveTurns({ url }: Pick<MemoryConfig, "url">, folder: string): boolean {
  return storeName(url) !== "sqlite" || existsSync(sqlitePath(url, folder));
}

/** Why no memory can be made where `url` wants one that is not there yet; "" = nothing is known. */
export function makingTrouble({ url }: Pick<MemoryConfig, "url">, folder: string): string {
  if (mayHaveTurns({ url }, folder)) return "";
  const path = sqlitePath(url, folder);
  if (path === ":memory:") return "";
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
    return "";
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `Cannot make the memory file ${path}: ${reason}`;
  }
}

/** The word for the store of a URL. */
function storeName(url: string): "sqlite" | "http" | "postgres" {
  if (url.startsWith("sqlite://")) return "sqlite";
  return /^https?:/.test(url) ? "http" : "postgres";
}

/** A store on another machine, behind an outbox on this one. */
function openDistant(options: OpenOptions): Memory {
  const { config, folder, token, fetch } = options;
  const isHttp = storeName(config.url) === "http";
  const store = isHttp
    ? openHttpMemory({ baseUrl: config.url, token, timeoutMs: config.timeout_ms, fetch })
    : openPostgresMemory({ ...options, url: config.url, timeoutMs: config.timeout_ms });
  return openOutbox({
    ...options,
    store,
    path: inFolder(config.outbox || OUTBOX_FILE, folder),
    target: withoutSecrets(config.url),
    durability: config.durability,
    bytesMax: config.outbox_max_bytes,
    graceMs: isHttp ? HTTP_GRACE_MS : 0,
    keysKeepMs: isHttp ? DAY_MS : 0,
    timeoutMs: config.timeout_ms,
    // A memory server decides itself what the model should see.
    trim: isHttp ? (messages) => messages : trimmer(options),
  });
}

/** Holds a history with turns added to it to the limits of the config. */
export function trimmer(
  { limits, countTokens }: Pick<StoreOptions, "limits" | "countTokens">,
): Trim {
  return (messages) => trimHistory(turnsOf(messages), limits, countTokens).flatMap(messagesOf);
}

/** `url` without user, password and options: enough to tell one store from another. */
function withoutSecrets(url: string): string {
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** `memory`, with an hourly look for turns that are older than `memory.keep_days`. */
function keepDays(memory: Memory, options: OpenOptions): Memory {
  return options.config.keep_days === 0 ? memory : new Tidied(memory, options);
}

/** A memory that hands every question to another one. */
abstract class Handed implements Memory {
  abstract readonly name: string;
  protected abstract get memory(): Memory;

  checkReady(sessionId?: string): void {
    this.memory.checkReady(sessionId);
  }

  apply(...args: Parameters<Memory["apply"]>): ReturnType<Memory["apply"]> {
    return this.memory.apply(...args);
  }

  commit(...args: Parameters<Memory["commit"]>): ReturnType<Memory["commit"]> {
    return this.memory.commit(...args);
  }

  claim(claim: Claim): Promise<Claimed> {
    return this.memory.claim?.(claim) ?? Promise.resolve({ state: "mine", turn: undefined });
  }

  release(claim: Claim): Promise<void> {
    return this.memory.release?.(claim) ?? Promise.resolve();
  }

  named(...args: Parameters<Memory["named"]>): ReturnType<Memory["named"]> {
    return this.memory.named(...args);
  }

  find(...args: Parameters<Memory["find"]>): ReturnType<Memory["find"]> {
    return this.memory.find(...args);
  }

  turns(...args: Parameters<Memory["turns"]>): ReturnType<Memory["turns"]> {
    return this.memory.turns(...args);
  }

  page(...args: Parameters<Memory["page"]>): ReturnType<Memory["page"]> {
    return this.memory.page(...args);
  }

  remove(...args: Parameters<Memory["remove"]>): ReturnType<Memory["remove"]> {
    return this.memory.remove(...args);
  }

  prune(beforeMs: number): Promise<number> {
    return this.memory.prune(beforeMs);
  }

  backlog(): Backlog | undefined {
    return this.memory.backlog?.();
  }

  health(): MemoryHealth | undefined {
    return this.memory.health?.();
  }

  close(): Promise<void> {
    return this.memory.close();
  }
}

/** A memory that is opened when it is first needed, and that tells of turns which failed in it. */
class FirstUse extends Handed {
  readonly name: string;
  readonly #open: () => Memory;
  readonly #foresee: () => string;
  #memory: Memory | undefined = undefined;
  /** Why it could not be opened; "" = it was, or nobody has tried. */
  #trouble = "";
  /** Why a turn failed before it was answered, or when it was to be kept; "" = none has since. */
  #readTrouble = "";
  #commitTrouble = "";

  /** `foresee` tells why it could not be opened, before anybody tries; "" = it seems it could. */
  constructor(name: string, open: () => Memory, foresee = () => "") {
    super();
    this.name = name;
    this.#open = open;
    this.#foresee = foresee;
  }

  protected get memory(): Memory {
    if (this.#memory !== undefined) return this.#memory;
    try {
      this.#memory = this.#open();
      return this.#memory;
    } catch (error) {
      this.#trouble = reasonOf(error);
      throw error;
    }
  }

  override checkReady(sessionId?: string): void {
    this.#reading(() => super.checkReady(sessionId));
  }

  override apply(request: ApplyRequest, caller: Caller): Promise<Applied> | Applied {
    const applied = this.#reading(() => super.apply(request, caller), caller);
    if (!(applied instanceof Promise)) this.#readTrouble = "";
    else applied.then(() => this.#readTrouble = "", () => {});
    return applied;
  }

  override claim(claim: Claim): Promise<Claimed> {
    return this.#reading(() => super.claim(claim));
  }

  override named(sessionId: string): ReturnType<Memory["named"]> {
    return this.#reading(() => super.named(sessionId));
  }

  override find(...args: Parameters<Memory["find"]>): ReturnType<Memory["find"]> {
    return this.#reading(() => super.find(...args));
  }

  override async commit(turn: SaidTurn): Promise<void> {
    try {
      await super.commit(turn);
      this.#commitTrouble = "";
    } catch (error) {
      if (isTrouble(error)) this.#commitTrouble = reasonOf(error);
      throw error;
    }
  }

  /** Notes what `read` throws, unless its caller has left. */
  #reading<T>(read: () => T, caller?: Caller): T {
    const note = (error: unknown) => {
      if (isTrouble(error) && caller?.signal.aborted !== true) this.#readTrouble = reasonOf(error);
    };
    try {
      const answer = read();
      if (answer instanceof Promise) answer.catch(note);
      return answer;
    } catch (error) {
      note(error);
      throw error;
    }
  }

  /** Whoever only looks opens nothing. What cannot be counted, health tells of. */
  override backlog(): Backlog | undefined {
    try {
      return this.#memory?.backlog?.();
    } catch (error) {
      this.#readTrouble = reasonOf(error);
      return undefined;
    }
  }

  override health(): MemoryHealth | undefined {
    if (this.#memory !== undefined) return this.#healthOf(this.#memory);
    try {
      // What could not be opened may be there by now.
      if (this.#trouble !== "") return this.memory.health?.();
    } catch {
      // It is not.
    }
    return { trouble: this.#trouble || this.#foresee(), deadLetters: 0 };
  }

  #healthOf(memory: Memory): MemoryHealth {
    const failure = this.#readTrouble || this.#commitTrouble;
    const failed = failure === "" ? "" : `the last turn failed: ${failure}`;
    try {
      const { trouble = "", deadLetters = 0 } = memory.health?.() ?? {};
      return { trouble: trouble || failed, deadLetters };
    } catch (error) {
      return { trouble: `it cannot be read: ${reasonOf(error)}`, deadLetters: 0 };
    }
  }

  override close(): Promise<void> {
    return this.#memory?.close() ?? Promise.resolve();
  }
}

/** True when `error` may meet every turn: it is neither of one turn, nor of a queue that is full. */
function isTrouble(error: unknown): boolean {
  if (!(error instanceof AppError)) return true;
  if (error instanceof TurnRefused) return !error.isForEver;
  return error.code === "memory_failed" ||
    (error.code === "unavailable" && error.cause !== undefined);
}

/** A memory that forgets what is too old, as long as it is open. */
class Tidied extends Handed {
  readonly name: string;
  protected readonly memory: Memory;
  readonly #closing = new AbortController();
  readonly #done: Promise<void>;

  constructor(memory: Memory, options: OpenOptions) {
    super();
    this.name = memory.name;
    this.memory = memory;
    this.#done = this.#tidy(options);
  }

  override async close(): Promise<void> {
    this.#closing.abort();
    await this.#done;
    await this.memory.close();
  }

  async #tidy({ config, sleep, wallMs, watch }: OpenOptions): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        const count = await this.memory.prune(wallMs() - config.keep_days * DAY_MS);
        if (count > 0) watch({ kind: "turns_pruned", count });
      } catch (error) {
        watch({ kind: "prune_failed", cause: reasonOf(error) });
      }
      await sleep(PRUNE_EVERY_MS, signal);
    }
  }
}
