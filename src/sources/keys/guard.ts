/**
 * What each key may ask, and how much: in front of all that answers. A request that may come in takes its
 * part of the key's limits at once, whoever then answers and however often one is asked; what its tokens
 * really were is settled when the answer has ended.
 *
 * @module
 */

import type { Answer, Ask, Source } from "../../core/answer.ts";
import { AppError, clientLeft } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import type { BudgetPeriod, Key, KeyRefusal } from "../../core/keys.ts";
import type { KeyLimits, LimitKind, LimitNote } from "../../core/limits.ts";
import { periodEndMs } from "../../core/store.ts";
import { rateLimitFields as anthropicFields } from "../../dialects/anthropic_messages/rate_limits.ts";
import { limitReached, rateLimitFields } from "../../dialects/openai/rate_limits.ts";
import { Bucket, type Draft, Gate, type Refusal, type Taker } from "../../lib/limiter.ts";
import { globOf } from "../glob.ts";
import { chargeOf } from "../limits/charge.ts";
import { BUCKET_KINDS, type BucketKind, WINDOWS_MS } from "../limits/rules.ts";
import { MODEL_CHARS_MAX } from "../route.ts";
import { isForLater, modelNamed } from "./model_of.ts";
import { checkRoute } from "./routes.ts";

/** Bytes of a token in a body, roughly. */
const TOKEN_BYTES = 4;
const NANOS = 1e9;

/** The first word of all names in the limiter: others share it. */
const TOPIC = "key";
/** No room is kept for names that have none: their requests are told to come again. */
const REST = `${TOPIC}|rest`;

/** How answers tell of limits: to OpenAI's clients, and to Anthropic's. */
const TOLD: Omit<KeyLimits, "note"> = { prefix: "x-ratelimit-", fieldsOf: rateLimitFields };
const TOLD_TO_ANTHROPIC: Omit<KeyLimits, "note"> = {
  prefix: "anthropic-ratelimit-",
  fieldsOf: anthropicFields,
};

/** What it needs. */
export interface GuardDeps {
  readonly limiter: Taker;
  /** What a key has spent of its budget's period; undefined = nobody knows yet. */
  readonly spent: (
    key: string,
    per: BudgetPeriod,
  ) => { readonly tokens: number; readonly nanos: number } | undefined;
  /** True when what the model costs is known. */
  readonly isPriced: (model: string) => boolean;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
}

/** The limits of one key, ready to be taken from. */
interface Limits {
  readonly models: readonly RegExp[];
  readonly buckets: readonly { readonly kind: BucketKind; readonly bucket: Bucket }[];
  readonly gate: Gate | undefined;
  /** What headers tell of. */
  readonly requests: Bucket | undefined;
  readonly tokens: Bucket | undefined;
}

/** Guards sources. */
export class KeyGuard {
  readonly #deps: GuardDeps;
  readonly #limits = new WeakMap<Key, Limits>();

  constructor(deps: GuardDeps) {
    this.#deps = deps;
  }

  /**
   * `source` behind the keys of its clients. Who has none was let in without. `isRouted`: routes decide
   * in it who answers.
   */
  around(source: Source, isRouted: boolean): Source {
    return {
      name: source.name,
      answer: (ask, call) => {
        const { key } = call;
        if (key === undefined || !key.isLimited) return source.answer(ask, call);
        if (!isRouted) checkRoute("", call);
        return this.#answer(source, key, ask, call);
      },
    };
  }

  #answer(source: Source, key: Key, ask: Ask, call: Call): Answer | Promise<Answer> {
    const limits = this.#limitsOf(key);
    if (ask.wire?.upload !== undefined) throw tryAgain("keys with limits were added just now");
    if (isForLater(ask)) {
      const why =
        `The key ${key.name} may ask for nothing in the background: what is said is counted`;
      throw this.#refused(
        "path",
        new AppError("key_forbidden", why, { param: "background" }),
        call,
      );
    }
    this.#checkModel(key, limits, ask, call);
    this.#checkBudget(key, ask, call);
    const drafts = draftsOf(limits, ask);
    const refusal = this.#deps.limiter.take(drafts, limits.gate);
    if (!(refusal instanceof Promise)) {
      this.#enter(refusal, drafts, key, limits, call);
      return this.#asked(source, limits, ask, call);
    }
    return refusal.then((refusal) => {
      this.#enter(refusal, drafts, key, limits, call);
      if (call.outcome !== undefined) {
        call.release();
        throw clientLeft();
      }
      return this.#asked(source, limits, ask, call);
    });
  }

  /** Asks `source`; what limits it is told with the answer. */
  #asked(source: Source, limits: Limits, ask: Ask, call: Call): Answer | Promise<Answer> {
    const { requests, tokens } = limits;
    const isTold = requests !== undefined || tokens !== undefined;
    const note = isTold ? this.#noteOf(limits) : undefined;
    if (note !== undefined) {
      const isAnthropic = ask.wire?.dialect === "anthropic_messages";
      const { prefix, fieldsOf } = isAnthropic ? TOLD_TO_ANTHROPIC : TOLD;
      call.keyLimits = { note, prefix, fieldsOf };
    }
    return source.answer(ask, call);
  }

  #checkModel(key: Key, { models }: Limits, ask: Ask, call: Call): void {
    if (models.length === 0) return;
    const model = modelNamed(ask);
    const isName = model.length <= MODEL_CHARS_MAX;
    if (isName && models.some((glob) => glob.test(model))) return;
    const what = model === ""
      ? "no model is named"
      : `the model '${shortened(model)}' is none of them`;
    throw this.#refused(
      "model",
      new AppError("key_forbidden", `The key ${key.name} may use some models only, and ${what}`, {
        param: "model",
      }),
      call,
    );
  }

  /** @throws {AppError} when the budget is spent. What is open now may go beyond it. */
  #checkBudget({ name, rules }: Key, ask: Ask, call: Call): void {
    const { budget_per: per, budget_tokens, budget_usd } = rules;
    if (budget_tokens === 0 && budget_usd === 0) return;
    const spent = this.#deps.spent(name, per);
    if (spent === undefined) throw tryAgain("what the key has spent cannot be looked up");
    if (budget_usd > 0 && !this.#deps.isPriced(ask.model())) {
      const why = `The key ${name} has a budget in money, and nobody knows what the model ` +
        `'${shortened(ask.model())}' costs: choose another one, or have it said in weir's prices`;
      throw this.#refused("budget", new AppError("key_forbidden", why, { param: "model" }), call);
    }
    const isOver = budget_tokens > 0 && spent.tokens >= budget_tokens;
    const isPoor = budget_usd > 0 && spent.nanos >= budget_usd * NANOS;
    if (!isOver && !isPoor) return;
    const used = isOver
      ? `${spent.tokens} of ${budget_tokens} tokens`
      : `${(spent.nanos / NANOS).toFixed(6)} of ${budget_usd} US dollars`;
    const end = new Date(periodEndMs(per, this.#deps.wallMs())).toISOString().replace(".000", "");
    throw this.#refused(
      "budget",
      new AppError(
        "key_budget",
        `The budget of the key ${name} for this ${per} is spent (${used}): it begins anew at ${end}`,
        { headers: { "x-should-retry": "false" } },
      ),
      call,
    );
  }

  /** Of a request whose `drafts` were taken: settles them at its end. @throws {AppError} for a refusal. */
  #enter(
    refusal: Refusal | undefined,
    drafts: readonly Draft[],
    key: Key,
    limits: Limits,
    call: Call,
  ): void {
    if (refusal !== undefined) throw this.#limited(refusal, key, limits, call);
    const { limiter } = this.#deps;
    const { buckets, gate } = limits;
    call.atEnd(() => {
      if (gate !== undefined) limiter.leave(gate);
      const cost = Math.max(0, call.promptTokens) + Math.max(0, call.completionTokens);
      for (const [i, { kind, bucket }] of buckets.entries()) {
        if (isOfTokens(kind)) limiter.give(bucket, drafts[i]!.units - cost);
      }
    });
  }

  #limited(refusal: Refusal, key: Key, limits: Limits, call: Call): AppError {
    if (refusal.kind === "full") return tryAgain("too many keys are limited at once");
    const isGate = refusal.kind === "gate";
    const by: LimitKind = isGate
      ? "concurrent_max"
      : limits.buckets.find(({ bucket }) => bucket === refusal.draft.bucket)!.kind;
    const limit = isGate ? refusal.gate.max : refusal.draft.bucket.limit;
    const waitMs = isGate ? undefined : refusal.waitMs;
    call.limits = { ...this.#noteOf(limits), refusal: { by, limit, waitMs } };
    const { message, headers } = limitReached({
      by,
      model: `the key ${key.name}`,
      limit,
      used: Math.ceil(isGate ? refusal.inside : refusal.used),
      requested: isGate ? 1 : refusal.draft.units,
      waitMs,
    });
    const code = isOfTokens(by) ? "key_tokens" : "key_requests";
    return this.#refused(by, new AppError(code, message, { headers }), call);
  }

  #refused(by: KeyRefusal, error: AppError, { engine }: Call): AppError {
    engine.watch({ kind: "key_refused", by });
    return error;
  }

  #noteOf({ requests, tokens }: Limits): LimitNote {
    const { limiter, wallMs } = this.#deps;
    const note: { -readonly [Key in keyof LimitNote]: LimitNote[Key] } = {
      atMs: wallMs(),
      foretoldTokens: 0,
    };
    if (requests !== undefined) note.requests = limiter.read(requests);
    if (tokens !== undefined) note.tokens = limiter.read(tokens);
    return note;
  }

  #limitsOf(key: Key): Limits {
    const known = this.#limits.get(key);
    if (known !== undefined) return known;
    const { name, rules } = key;
    const buckets = BUCKET_KINDS.filter((kind) => rules[kind] > 0).map((kind) => ({
      kind,
      bucket: new Bucket(`${TOPIC}|${kind}|${name}`, REST, rules[kind], WINDOWS_MS[kind]),
    }));
    const bucketOf = (wanted: BucketKind) => buckets.find(({ kind }) => kind === wanted)?.bucket;
    const limits = {
      models: rules.models.map((glob) => globOf(glob)),
      buckets,
      gate: rules.concurrent_max === 0
        ? undefined
        : new Gate(`${TOPIC}|concurrent|${name}`, REST, rules.concurrent_max),
      requests: bucketOf("requests_per_min") ?? bucketOf("requests_per_day"),
      tokens: bucketOf("tokens_per_min") ?? bucketOf("tokens_per_day"),
    };
    this.#limits.set(key, limits);
    return limits;
  }
}

/** What the request costs. */
function draftsOf({ buckets }: Limits, ask: Ask): readonly Draft[] {
  const input = inputOf(ask);
  return buckets.map(({ kind, bucket }) => ({
    bucket,
    // One that is larger than the limit is let in when nothing was taken, and leaves a debt.
    units: isOfTokens(kind) ? Math.min(input, bucket.limit) : 1,
  }));
}

function isOfTokens(kind: LimitKind): boolean {
  return kind === "tokens_per_min" || kind === "tokens_per_day";
}

/** Tokens of the question, roughly: nothing is parsed for it that goes up as it is. */
function inputOf(ask: Ask): number {
  const body = ask.wire?.body;
  if (body !== undefined) return Math.ceil((body?.length ?? 0) / TOKEN_BYTES);
  return Math.ceil(chargeOf(ask.turn()).input);
}

function tryAgain(why: string): AppError {
  return new AppError("unavailable", `Try again: ${why}`, { headers: { "retry-after": "1" } });
}

/** Longest name that an error repeats, in UTF-16 units. */
const ECHO_CHARS_MAX = 200;

function shortened(name: string): string {
  return (name.length > ECHO_CHARS_MAX ? `${name.slice(0, ECHO_CHARS_MAX)}...` : name)
    .toWellFormed();
}
