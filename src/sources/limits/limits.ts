/**
 * The limits of a provider that the mock plays: in front of the mock and of what fixtures answer. A request
 * takes its part when it comes, and is let in or told how long to wait.
 *
 * @module
 */

import type { Answer, Ask, Source } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { parseJsonBody } from "../../core/json_body.ts";
import {
  type Allowance,
  LIMIT_STATES,
  type LimitedBy,
  type LimitNote,
  type LimitState,
} from "../../core/limits.ts";
import { limitReached, outOfOrder, rateLimitFields } from "../../dialects/openai/rate_limits.ts";
import { type Draft, type Limiter, readingOf, type Refusal } from "../../lib/limiter.ts";
import { type Charge, chargeOf, inputTokens } from "./charge.ts";
import {
  ALL_RULES,
  type Key,
  type Limited,
  type LimitEntry,
  Rule,
  type Scope,
  WINDOWS_MS,
} from "./rules.ts";

/** Keys and models whose buckets are at hand; when there are more, all are looked up anew. */
const SCOPES_MAX = 4096;
/** A longer name is none of a model: it is cut off. */
const MODEL_CHARS_MAX = 256;
/** The paths whose answers have headers that tell of limits. */
const TELLING_PATHS: ReadonlySet<string> = new Set(["/embeddings"]);

/** One entry as it is now. */
export interface ShownLimit {
  readonly entry: number;
  readonly model: string;
  readonly key: string;
  readonly per: LimitEntry["per"];
  readonly state: LimitState;
  /** What is not as it was at first. */
  readonly buckets: readonly ShownBucket[];
}

/** One bucket, or those who are in at once. */
export interface ShownBucket {
  readonly limit: Limited["kind"] | "concurrent_max";
  /** The name of a token; of a key without a name, its beginning as a digest. "" = of all. */
  readonly key: string;
  readonly model: string;
  /** True: there was no room for names, and all further ones share it. */
  readonly shared?: true;
  readonly max: number;
  readonly remaining: number;
  readonly reset_ms?: number;
}

/** All limits of a config. */
export class Limits {
  readonly #rules: readonly Rule[];
  readonly #limiter: Limiter;
  readonly #wallMs: () => number;
  readonly #scopes = new Map<string, Scope | null>();
  readonly #keys = new Map<string, Key>();

  /** `wallMs` is the clock of `limiter`: milliseconds since 1970. */
  constructor(entries: readonly LimitEntry[], limiter: Limiter, wallMs: () => number) {
    this.#rules = entries.map((entry) => new Rule(entry));
    this.#limiter = limiter;
    this.#wallMs = wallMs;
    for (const { reserved } of this.#rules) for (const name of reserved) limiter.reserve(name);
  }

  /** `source` behind the limits. */
  readonly around = (source: Source): Source => ({
    name: source.name,
    answer: (ask, call) => {
      const scope = this.#scopeOf(ask, call);
      if (scope === null) return source.answer(ask, call);
      this.#admit(scope, ask, call);
      const answer = source.answer(ask, call);
      return answer instanceof Promise
        ? answer.then((answer) => told(answer, ask, call))
        : told(answer, ask, call);
    },
  });

  /** Notes at `call` how its limits are; nothing is taken. For a request that is refused before it asks. */
  readonly note = (model: string, call: Call): void => {
    const scope = this.#scope(this.#keyOf(call), model);
    if (scope !== null) call.limits = this.#noteOf(scope, 0);
  };

  /** What limits `call`, as its headers tell it. */
  noteOf(call: Call): { readonly note: LimitNote; readonly requests: Limited | undefined } | null {
    const scope = this.#scope(this.#keyOf(call), call.model);
    return scope === null ? null : { note: this.#noteOf(scope, 0), requests: scope.requests };
  }

  /** How all of them are now. */
  show(): readonly ShownLimit[] {
    return this.#rules.map((rule, entry) => ({
      entry,
      model: rule.entry.model,
      key: rule.entry.key,
      per: rule.entry.per,
      state: this.#stateOf(rule),
      buckets: this.#shown(rule),
    }));
  }

  /**
   * Switches entry number `entry`, undefined = all of them, to `state`, for every worker.
   *
   * @throws {AppError} when there is no such entry, or no room.
   */
  switch(entry: number | undefined, state: LimitState): void {
    const rules = entry === undefined ? this.#rules : this.#rules.slice(entry, entry + 1);
    if (rules.length === 0) {
      throw new AppError("param_value", `entry must be from 0 to ${this.#rules.length - 1}`, {
        param: "entry",
      });
    }
    for (const { stateName } of rules) {
      if (this.#limiter.mark(stateName, LIMIT_STATES.indexOf(state) + 1)) continue;
      throw new AppError("unavailable", "There is no room for states: too many limits are in use");
    }
  }

  /**
   * All buckets are full again, and every entry is in the state that the config says. Gives how many were
   * not.
   */
  reset(): number {
    const { length } = this.#limiter.entries(ALL_RULES);
    this.#limiter.fill(ALL_RULES);
    return length;
  }

  #shown(rule: Rule): readonly ShownBucket[] {
    const shown: ShownBucket[] = [];
    for (const { name, usedNs, inside } of this.#limiter.entries(rule.place)) {
      const read = rule.read(name);
      if (read === undefined) continue;
      const { kind, key, model, isRest } = read;
      const max = rule.entry[kind];
      if (max === 0) continue;
      const place = { limit: kind, key, model, ...(isRest ? { shared: true as const } : {}), max };
      if (kind === "concurrent_max") shown.push({ ...place, remaining: Math.max(0, max - inside) });
      else {
        const { remaining, resetMs } = readingOf(usedNs, max, WINDOWS_MS[kind]);
        shown.push({ ...place, remaining, reset_ms: resetMs });
      }
    }
    return shown;
  }

  #stateOf({ stateHash, entry }: Rule): LimitState {
    const mark = this.#limiter.markOf(stateHash);
    return LIMIT_STATES[mark - 1] ?? entry.state;
  }

  /** Takes what `ask` costs. @throws {AppError} when there is not so much. */
  #admit(scope: Scope, ask: Ask, call: Call): void {
    const state = this.#stateOf(scope.rule);
    if (state !== "ok") throw this.#refused(state, outOfOrder(state), call);
    const charge = scope.tokens === undefined ? NO_CHARGE : chargeFor(ask);
    const { gate } = scope;
    const drafts = scope.buckets.map((limited): Draft => ({
      bucket: limited.bucket,
      units: isOfTokens(limited) ? charge.input + charge.output : 1,
    }));
    const refusal = this.#limiter.take(drafts, gate);
    if (refusal !== undefined) this.#refuse(refusal, scope, ask, call);
    call.limits = this.#noteOf(scope, charge.output);
    const settles = ask.settlesTokens === true && scope.tokens !== undefined;
    if (gate === undefined && !settles) return;
    call.atEnd(() => {
      if (gate !== undefined) this.#limiter.leave(gate);
      if (settles) this.#settle(scope, charge, call);
    });
  }

  /** What was taken for the answer becomes what it has cost, where that is known. */
  #settle({ buckets }: Scope, { input, output }: Charge, call: Call): void {
    if (call.completionTokens < 0) return;
    const cost = call.promptTokens + call.completionTokens;
    for (const limited of buckets) {
      if (isOfTokens(limited)) this.#limiter.give(limited.bucket, input + output - cost);
    }
  }

  #refuse(refusal: Refusal, scope: Scope, ask: Ask, call: Call): never {
    if (refusal.kind === "full") {
      throw new AppError("unavailable", "Too many keys and models are limited at once: try again");
    }
    const isGate = refusal.kind === "gate";
    const reached = isGate
      ? undefined
      : scope.buckets.find(({ bucket }) => bucket === refusal.draft.bucket);
    const by = reached?.kind ?? "concurrent_max";
    const limit = isGate ? refusal.gate.max : refusal.draft.bucket.limit;
    const waitMs = isGate ? undefined : refusal.waitMs;
    // Headers tell of what was reached.
    const shown = reached === undefined
      ? {}
      : { [isOfTokens(reached) ? "tokens" : "requests"]: reached };
    call.limits = { ...this.#noteOf({ ...scope, ...shown }, 0), refusal: { by, limit, waitMs } };
    const error = limitReached({
      by,
      model: ask.model(),
      limit,
      used: Math.ceil(isGate ? refusal.inside : refusal.used),
      requested: isGate ? 1 : Math.ceil(refusal.draft.units),
      waitMs,
    });
    throw this.#refused(by, error, call);
  }

  #refused(by: LimitedBy, error: AppError, { engine }: Call): AppError {
    engine.watch({ kind: "limited", by });
    return error;
  }

  #noteOf({ requests, tokens }: Scope, foretoldTokens: number): LimitNote {
    const read = (limited: Limited): Allowance => this.#limiter.read(limited.bucket);
    return {
      atMs: this.#wallMs(),
      ...(requests === undefined ? {} : { requests: read(requests) }),
      ...(tokens === undefined ? {} : { tokens: read(tokens) }),
      foretoldTokens,
    };
  }

  /** What limits `ask`; null = nothing. */
  #scopeOf(ask: Ask, call: Call): Scope | null {
    return this.#scope(this.#keyOf(call), this.#modelOf(ask, call));
  }

  #modelOf(ask: Ask, call: Call): string {
    if (isPassed(ask)) return ask.model();
    try {
      return ask.turn().model;
    } catch (error) {
      this.note(ask.model(), call); // what is wrong with it is told with headers, too
      throw error;
    }
  }

  #scope(key: Key, name: string): Scope | null {
    const model = name.slice(0, MODEL_CHARS_MAX);
    const place = `${key.id} ${model}`;
    const known = this.#scopes.get(place);
    if (known !== undefined) return known;
    const rule = this.#rules.find((rule) => rule.fits(key, model));
    const scope = rule?.scope(key, model) ?? null;
    if (this.#scopes.size >= SCOPES_MAX) this.#scopes.clear();
    this.#scopes.set(place, scope);
    return scope;
  }

  /** Whose request it is: the name of the token that opened the door, else the key that was shown. */
  #keyOf({ tokenName, request }: Call): Key {
    if (tokenName !== "") return { name: tokenName, id: tokenName };
    const fields = request?.head.fields;
    const shown = fields?.get("x-api-key") ?? fields?.get("authorization") ?? "";
    const known = this.#keys.get(shown);
    if (known !== undefined) return known;
    const name = shown.replace(/^Bearer +/i, "");
    const id = name === "" ? "" : `sha256:${sha256(name).slice(0, 16)}`;
    const key = { name, id };
    if (this.#keys.size >= SCOPES_MAX) this.#keys.clear();
    this.#keys.set(shown, key);
    return key;
  }
}

/**
 * Makes the error of a limit that is reached, whatever is left: for a fault on purpose. The call's headers fit it;
 * they are of its own limits where it has some, else of 60 requests a minute. `waitMs` is what it tells to
 * wait; undefined = as long as one request takes to refill.
 */
export function limitFault(limits: Limits | undefined, wallMs: () => number) {
  return (call: Call, waitMs?: number): AppError => {
    const known = limits?.noteOf(call) ?? null;
    const { limit, windowMs } = known?.requests?.bucket ?? { limit: 60, windowMs: 60_000 };
    const by = known?.requests?.kind ?? "requests_per_min";
    const toldMs = Math.ceil(waitMs ?? windowMs / limit);
    // One request less than the limit would have to wait for nothing.
    const resetMs = Math.floor(windowMs - windowMs / limit) + toldMs;
    call.limits = {
      atMs: wallMs(),
      foretoldTokens: 0,
      ...known?.note,
      requests: { limit, remaining: 0, resetMs },
      refusal: { by, limit, waitMs: toldMs },
    };
    const { model } = call;
    return limitReached({ by, model, limit, used: limit, requested: 1, waitMs: toldMs });
  };
}

const NO_CHARGE: Charge = { input: 0, output: 0 };

function isOfTokens({ kind }: Limited): boolean {
  return kind === "tokens_per_min" || kind === "tokens_per_day";
}

function isPassed({ wire }: Ask): boolean {
  return wire?.dialect === "openai";
}

function chargeFor(ask: Ask): Charge {
  return isPassed(ask) ? { input: passedTokens(ask), output: 0 } : chargeOf(ask.turn());
}

/** Tokens of a body that holds no conversation; one that cannot be read has none. */
function passedTokens({ wire }: Ask): number {
  const text = wire?.body == null ? "" : new TextDecoder().decode(wire.body);
  try {
    const body = parseJsonBody(text, brokenBody);
    return typeof body === "object" && body !== null && "input" in body
      ? inputTokens(body.input)
      : 0;
  } catch (error) {
    if (error instanceof AppError) return 0; // its endpoint says what is wrong with it
    throw error;
  }
}

function brokenBody(): AppError {
  return new AppError("body_broken", "The body is no JSON");
}

/** An answer in OpenAI's own bytes has the headers in them. */
function told(answer: Answer, { wire }: Ask, { limits }: Call): Answer {
  if (answer.kind !== "relay" || limits === undefined || answer.status !== 200) return answer;
  if (!TELLING_PATHS.has(wire?.path.split("?", 1)[0] ?? "")) return answer;
  const { kind, status, fields, body } = answer;
  return { kind, status, fields: fields.with(rateLimitFields(limits)), body };
}

function sha256(text: string): string {
  return new Bun.CryptoHasher("sha256").update(text).digest("hex");
}
