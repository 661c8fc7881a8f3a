/**
 * Rate limits as OpenAI's API tells of them (docs/facts/openai_api.md "Rate limits"). The sentences name
 * no organisation, as there is none; what clients read out of them stands where it does there.
 *
 * @module
 */

import { AppError, type ErrorCode } from "../../core/errors.ts";
import type { LimitKind, LimitNote, LimitRefusal, LimitState } from "../../core/limits.ts";

const MS_PER_S = 1000;
const MS_PER_MIN = 60_000;
const MS_PER_HOUR = 3_600_000;

/** Whole milliseconds as Go writes durations: `0s`, `120ms`, `8.64s`, `6m0s`, `1h2m3.5s`. */
export function goDuration(ms: number): string {
  if (ms === 0) return "0s";
  if (ms < MS_PER_S) return `${ms}ms`;
  const hours = Math.floor(ms / MS_PER_HOUR);
  const minutes = Math.floor(ms / MS_PER_MIN) % 60;
  const seconds = `${ms % MS_PER_MIN / MS_PER_S}s`;
  if (hours > 0) return `${hours}h${minutes}m${seconds}`;
  return minutes > 0 ? `${minutes}m${seconds}` : seconds;
}

/** The response headers that tell what is left. */
export function rateLimitFields({ requests, tokens }: LimitNote): Record<string, string> {
  // One by one: loops and names that are put together cost more than all that is said.
  const fields: Record<string, string> = {};
  if (requests !== undefined) fields["x-ratelimit-limit-requests"] = String(requests.limit);
  if (tokens !== undefined) fields["x-ratelimit-limit-tokens"] = String(tokens.limit);
  if (requests !== undefined) fields["x-ratelimit-remaining-requests"] = String(requests.remaining);
  if (tokens !== undefined) fields["x-ratelimit-remaining-tokens"] = String(tokens.remaining);
  if (requests !== undefined) fields["x-ratelimit-reset-requests"] = goDuration(requests.resetMs);
  if (tokens !== undefined) fields["x-ratelimit-reset-tokens"] = goDuration(tokens.resetMs);
  return fields;
}

/** Errors of limits: the answers that tell them have the headers, whatever others have. */
const OF_LIMITS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "limit_requests",
  "limit_tokens",
  "key_requests",
  "key_tokens",
]);

/** `error` with the headers of `note`, where an answer with it has them; `also`: a status that has, too. */
export function withRateLimits(
  error: AppError,
  note: LimitNote | undefined,
  also?: number,
): AppError {
  if (note === undefined) return error;
  const has = OF_LIMITS.has(error.code) || error.status === also;
  return has ? error.with({ ...rateLimitFields(note), ...error.headers }) : error;
}

/** How sentences call what is limited, and what they say is missing. */
const WORDS: Readonly<Record<LimitKind, readonly [code: ErrorCode, words: string]>> = {
  requests_per_min: ["limit_requests", "requests per min (RPM)"],
  requests_per_day: ["limit_requests", "requests per day (RPD)"],
  tokens_per_min: ["limit_tokens", "tokens per min (TPM)"],
  tokens_per_day: ["limit_tokens", "tokens per day (TPD)"],
  concurrent_max: ["limit_requests", "concurrent requests"],
};

/** A limit that a request would go beyond. */
export interface Reached extends LimitRefusal {
  readonly model: string;
  /** Whole units. */
  readonly used: number;
  readonly requested: number;
}

/** 429, with the wait in the sentence and in `retry-after` (whole seconds) and `retry-after-ms`. */
export function limitReached(
  { by, model, limit, used, requested, waitMs }: Reached,
): AppError {
  const [code, words] = WORDS[by];
  const name = model.slice(0, MODEL_CHARS_MAX).toWellFormed();
  const where = name === "" ? `on ${words}` : `for ${name} on ${words}`;
  if (waitMs === Infinity) {
    return new AppError(
      code,
      `Request too large ${where}: Limit ${limit}, Requested ${requested}. The input or output ` +
        "tokens must be reduced in order to run successfully.",
    );
  }
  const reached =
    `Rate limit reached ${where}: Limit ${limit}, Used ${used}, Requested ${requested}.`;
  if (waitMs === undefined) return new AppError(code, `${reached} Please try again later.`);
  return new AppError(code, `${reached} Please try again in ${goDuration(waitMs)}.`, {
    headers: {
      "retry-after": String(Math.ceil(waitMs / MS_PER_S)),
      "retry-after-ms": String(waitMs),
    },
  });
}

/** A longer name is cut off in sentences. UTF-16 units. */
const MODEL_CHARS_MAX = 256;

/** What a provider that is not in order says to everything. */
export function outOfOrder(state: Exclude<LimitState, "ok">): AppError {
  const [code, message] = OUT_OF_ORDER[state];
  return new AppError(code, message);
}

const OUT_OF_ORDER: Readonly<
  Record<Exclude<LimitState, "ok">, readonly [code: ErrorCode, message: string]>
> = {
  quota: [
    "quota_exceeded",
    "You exceeded your current quota, please check your plan and billing details. For more " +
    "information on this error, read the docs: " +
    "https://platform.openai.com/docs/guides/error-codes/api-errors.",
  ],
  overloaded: ["overloaded", "The engine is currently overloaded, please try again later"],
  slow_down: [
    "slow_down",
    "Requests have grown too fast: ask less often, and raise the rate by no more than half within " +
    "15 minutes",
  ],
};
