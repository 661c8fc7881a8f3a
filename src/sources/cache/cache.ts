/**
 * Answers again what was answered before: a source in front of what a route leads to. Many equal questions
 * at a time are one to the upstream.
 *
 * @module
 */

import type { Answer, Ask, Source } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { CacheResult } from "../../core/facts.ts";
import type { Call } from "../../core/exchange.ts";
import type { Event } from "../../core/events.ts";
import type { AnswerCache } from "./answer_cache.ts";
import { type CacheKey, CacheKeys, type CacheScope } from "./cache_key.ts";
import { BYPASS, Flight, type FlightRules } from "./flight.ts";
import type { CachePace } from "./known_steps.ts";
import type { StoredAnswer } from "./stored_answer.ts";
import { type Wishes, wishesOf } from "./wishes.ts";

/** `cache` of a route. */
export interface CacheRules {
  readonly ttl_s: number;
  readonly scope: CacheScope;
  readonly pace: CachePace;
  readonly headers: readonly string[];
  readonly volatile: readonly string[];
}

/** Told by what came of a look. */
const ASKED: Readonly<Record<CacheResult, Event>> = {
  hit: { kind: "cache_asked", result: "hit" },
  miss: { kind: "cache_asked", result: "miss" },
  joined: { kind: "cache_asked", result: "joined" },
  bypass: { kind: "cache_asked", result: "bypass" },
};

/** The name under which a cache answers. */
const NAME = "cache";

/**
 * `source` behind `cache`, as `rules` say. `route`: what the route is, and where it leads: others' answers
 * are not its own.
 */
export function cached(
  source: Source,
  cache: AnswerCache,
  rules: CacheRules,
  route: string,
): Source {
  return new CachedSource(source, cache, rules, route);
}

class CachedSource implements Source {
  readonly name: string;
  readonly #source: Source;
  readonly #cache: AnswerCache;
  readonly #keys: CacheKeys;
  readonly #rules: FlightRules;

  constructor(
    source: Source,
    cache: AnswerCache,
    { ttl_s, scope, pace, headers, volatile }: CacheRules,
    route: string,
  ) {
    this.name = source.name;
    this.#source = source;
    this.#cache = cache;
    this.#keys = new CacheKeys({ scope, headers, volatile, route });
    this.#rules = { flights: new Map(), isForAll: scope === "all", ttlMs: ttl_s * 1000, pace };
  }

  answer(ask: Ask, call: Call): Answer | Promise<Answer> {
    const wishes = wishesOf(ask.wire?.fields.get("cache-control") ?? null);
    const key = wishes.noStore ? undefined : this.#keys.of(ask, call);
    if (key === undefined) return this.#alone(ask, call);
    const found = this.#find(key, ask, wishes);
    if (found !== undefined) return this.#hit(found, call);
    if (wishes.onlyIfCached) return this.#onlyKept(key, ask, call, wishes);
    return this.#ask(key, ask, call, wishes, false);
  }

  /** The cache has no part in it. */
  #alone(ask: Ask, call: Call): Answer | Promise<Answer> {
    call.cache = BYPASS;
    call.engine.watch(ASKED.bypass);
    return this.#source.answer(ask, call);
  }

  /** What is kept, and good enough. */
  #find({ digest }: CacheKey, { wire }: Ask, wishes: Wishes): StoredAnswer | undefined {
    if (wishes.noCache) return undefined;
    const found = this.#cache.get(digest);
    if (found === undefined || !found.fits(wire!.fields)) return undefined;
    const { nowMs } = this.#cache;
    const isGood = found.ageS(nowMs) <= wishes.maxAgeS &&
      found.leftMs(nowMs) >= wishes.minFreshS * 1000;
    return isGood ? found : undefined;
  }

  #hit(found: StoredAnswer, call: Call): Answer {
    call.engine.watch(ASKED.hit);
    call.source = call.target = NAME;
    call.isMetered = false;
    call.cache = {
      result: "hit",
      ageS: found.ageS(this.#cache.nowMs),
      isFree: true,
      idName: found.facts.idName,
    };
    return found.answer();
  }

  /** What others have kept, or an error. */
  async #onlyKept(key: CacheKey, ask: Ask, call: Call, wishes: Wishes): Promise<Answer> {
    const { digest, dialect } = key;
    if (this.#cache.isShared) await this.#cache.fetch(digest, dialect, this.#rules.pace);
    const found = this.#find(key, ask, wishes);
    if (found !== undefined) return this.#hit(found, call);
    call.cache = { result: "miss", ageS: -1, isFree: true, idName: "" };
    call.engine.watch(ASKED.miss);
    throw new AppError(
      "cache_missing",
      "Nothing that is kept answers this request, and it wants nobody else to be asked " +
        "(cache-control: only-if-cached)",
      { headers: { "x-should-retry": "false" } },
    );
  }

  /** Asks with all who ask the same. `isAgain`: that was tried before. */
  async #ask(
    key: CacheKey,
    ask: Ask,
    call: Call,
    wishes: Wishes,
    isAgain: boolean,
  ): Promise<Answer> {
    const { fields } = ask.wire!;
    const known = wishes.noCache ? undefined : this.#rules.flights.get(key.digest);
    const isJoining = known?.takes(fields) === true && known.ageS <= wishes.maxAgeS;
    const flight = isJoining ? known! : new Flight(this.#cache, key, this.#rules, ask, call);
    const joined = flight.join(fields, call, key.identity, isAgain);
    if (!isJoining) {
      const looks = this.#cache.isShared && !isAgain && !wishes.noCache;
      void flight.start(this.#source, ask, looks);
    }
    const tell = () => call.engine.watch(ASKED[call.cache!.result]);
    const outcome = await joined.catch((error) => {
      tell();
      throw error;
    });
    switch (outcome.kind) {
      case "answer":
        tell();
        return outcome.answer;
      case "alone":
        return await this.#alone(ask, call);
      case "again": {
        const found = this.#find(key, ask, wishes);
        return found === undefined
          ? await this.#ask(key, ask, call, wishes, true)
          : this.#hit(found, call);
      }
    }
  }
}
