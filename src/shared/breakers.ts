/**
 * Breakers that several weirs share: who opens one tells the others, and they follow. They are told with
 * the beat of the connection, and not with requests.
 *
 * @module
 */

import type { BreakerShare, ToldBreaker } from "../core/breakers.ts";
import type { RedisLink } from "./redis_link.ts";
import { BEAT, TURN } from "./scripts.ts";

const US_PER_MS = 1000;
/** Who has not heard of it by then need not. */
const NOTE_MS = 60_000;

interface Joined {
  readonly breaker: ToldBreaker;
  readonly key: string;
  /** The number of the last note that was seen. */
  seen: number;
  /** How many notes of its own it has sent, and whether one is on its way. */
  written: number;
  writing: boolean;
}

/** Tells over `link`. `id` names this weir among all, without blanks. */
export class RedisBreakers implements BreakerShare {
  readonly #link: RedisLink;
  readonly #id: string;
  readonly #prefix: string;
  readonly #joined = new Map<string, Joined>();

  constructor(link: RedisLink, id: string, prefix: string) {
    this.#link = link;
    this.#id = id;
    this.#prefix = prefix;
  }

  join(name: string, breaker: ToldBreaker): void {
    const key = `${this.#prefix}breaker:${name}`;
    this.#joined.set(name, { breaker, key, seen: 0, written: 0, writing: false });
  }

  opened(name: string, openMs: number): void {
    void this.#note(name, "open", openMs);
  }

  closed(name: string): void {
    void this.#note(name, "closed", 0);
  }

  /** The beat: reads what others have told. Rejects when nobody can be asked, or nothing be written. */
  async beat(): Promise<void> {
    const all = [...this.#joined.values()];
    const before = all.map(({ written }) => written);
    const keys = [`${this.#prefix}beat`, ...all.map(({ key }) => key)];
    const [now, notes] = await this.#link.run(BEAT, keys, []) as [string, readonly string[]];
    for (const [i, joined] of all.entries()) {
      if (joined.writing || joined.written !== before[i]) continue; // this is older than what it knows
      this.#hear(joined, notes[i]!, Number(now));
    }
  }

  #hear(joined: Joined, note: string, nowUs: number): void {
    const [number, who, state, until] = note.split(" ");
    if (until === undefined || Number(number) === joined.seen) return;
    joined.seen = Number(number);
    if (who === this.#id) return;
    if (state === "closed") return joined.breaker.recover();
    const leftMs = (Number(until) - nowUs) / US_PER_MS;
    if (leftMs > 0) joined.breaker.follow(leftMs);
  }

  async #note(name: string, state: "open" | "closed", openMs: number): Promise<void> {
    const joined = this.#joined.get(name);
    if (joined === undefined || this.#link.state !== "ok") return;
    const own = ++joined.written;
    joined.writing = true;
    try {
      const args = [this.#id, state, openMs * US_PER_MS, Math.ceil(openMs) + NOTE_MS];
      await this.#link.run(TURN, [joined.key], args);
    } catch {
      // The others find out for themselves.
    } finally {
      if (joined.written === own) joined.writing = false;
    }
  }
}
