/**
 * The answers that are kept, and those that are on their way: bounded together, by their number and by
 * their bytes. One for a process; a store that several share stands behind it, where there is one.
 *
 * @module
 */

import type { DialectName } from "../../core/answer.ts";
import type { SharedBytes } from "../../core/shared.ts";
import { Lru } from "../../lib/lru.ts";
import { Ticket, type Wheel } from "../../lib/wheel.ts";
import type { PlayOptions } from "../tape/play.ts";
import { packAnswer, unpackAnswer } from "./packed_answer.ts";
import type { CachePace } from "./known_steps.ts";
import { type AnswerFacts, StoredAnswer } from "./stored_answer.ts";

/** The section `cache` of the config. */
export interface CacheLimits {
  readonly answers_max: number;
  readonly answers_max_bytes: number;
  /** Of one answer. */
  readonly answer_max_bytes: number;
}

/** What it needs. */
export interface AnswerCacheDeps extends Omit<PlayOptions, "speed" | "idleTimeoutMs"> {
  readonly limits: CacheLimits;
  /** Absent: this process alone keeps them. */
  readonly shared?: SharedBytes | undefined;
}

/** What is here now. */
export interface CacheReadings {
  readonly entries: number;
  /** With those of answers that are on their way. */
  readonly bytes: number;
}

/** What is dead is looked for so often: until then it takes room, and answers nothing. */
const SWEEP_MS = 10_000;

/** Keeps answers. */
export class AnswerCache {
  readonly limits: CacheLimits;
  readonly #deps: AnswerCacheDeps;
  readonly #answers: Lru<StoredAnswer>;
  readonly #sweep: Sweep;
  /** Bytes that are here of answers on their way. */
  #flyingBytes = 0;

  constructor(deps: AnswerCacheDeps) {
    this.limits = deps.limits;
    this.#deps = deps;
    const { answers_max: entriesMax, answers_max_bytes: bytesMax } = deps.limits;
    this.#answers = new Lru({ entriesMax, bytesMax });
    this.#sweep = new Sweep(deps.wheel, () => {
      const nowMs = deps.wallMs();
      this.#answers.sweep((answer) => answer.leftMs(nowMs) <= 0);
      return this.#answers.size > 0;
    });
  }

  get nowMs(): number {
    return this.#deps.wallMs();
  }

  get wheel(): Wheel {
    return this.#deps.wheel;
  }

  readings(): CacheReadings {
    return { entries: this.#answers.size, bytes: this.#answers.bytes + this.#flyingBytes };
  }

  /** The answer that is kept under `digest`; undefined = none is that still lives. */
  get(digest: string): StoredAnswer | undefined {
    const found = this.#answers.get(digest);
    if (found === undefined || found.leftMs(this.nowMs) > 0) return found;
    this.#answers.delete(digest);
    return undefined;
  }

  /** Keeps an answer, here and where others find it. */
  put(digest: string, facts: AnswerFacts, pace: CachePace): void {
    this.#keep(digest, facts, pace);
    this.#deps.shared?.put(sharedKey(digest), packAnswer(facts), facts.ttlMs);
  }

  /** True when there is a store behind it. */
  get isShared(): boolean {
    return this.#deps.shared !== undefined;
  }

  /** Looks for an answer that another one has kept, and keeps it here. Never rejects. */
  async fetch(
    digest: string,
    dialect: DialectName,
    pace: CachePace,
  ): Promise<StoredAnswer | undefined> {
    const bytes = await this.#deps.shared?.get(sharedKey(digest));
    if (bytes === undefined || bytes.length > 2 * this.limits.answer_max_bytes) return undefined;
    const facts = unpackAnswer(bytes, dialect);
    if (facts === undefined) return undefined;
    const answer = this.#keep(digest, facts, pace);
    return answer.leftMs(this.nowMs) > 0 ? answer : undefined;
  }

  #keep(digest: string, facts: AnswerFacts, pace: CachePace): StoredAnswer {
    const options = { ...this.#deps, idleTimeoutMs: 0 };
    const answer = new StoredAnswer(facts, pace, options);
    this.#answers.set(digest, answer, answer.byteLength);
    this.#makeRoom();
    this.#sweep.start();
    return answer;
  }

  /** Takes room for `bytes` of an answer on its way; false = there is none, whatever is forgotten. */
  reserve(bytes: number): boolean {
    if (this.#flyingBytes + bytes > this.limits.answers_max_bytes) return false;
    this.#flyingBytes += bytes;
    this.#makeRoom();
    return true;
  }

  release(bytes: number): void {
    this.#flyingBytes -= bytes;
  }

  #makeRoom(): void {
    this.#answers.shrink(this.limits.answers_max_bytes - this.#flyingBytes);
  }

  close(): void {
    this.#sweep.stop();
  }
}

function sharedKey(digest: string): string {
  return `cache:${digest}`;
}

/** Does some work again and again, for as long as there is some. */
class Sweep extends Ticket {
  readonly #wheel: Wheel;
  readonly #work: () => boolean;

  /** `work` gives false when there is none left. */
  constructor(wheel: Wheel, work: () => boolean) {
    super();
    this.#wheel = wheel;
    this.#work = work;
  }

  start(): void {
    if (this.dueTick < 0) this.#wheel.set(this, this.#wheel.nowMs + SWEEP_MS);
  }

  stop(): void {
    this.#wheel.cancel(this);
  }

  override run(): void {
    if (this.#work()) this.start();
  }
}
