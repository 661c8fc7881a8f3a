/**
 * Rate limits as Anthropic's API tells of them (docs/facts/anthropic.md "Rate limits").
 *
 * @module
 */

import { AppError, type ErrorCode } from "../../core/errors.ts";
import type { Allowance, LimitKind, LimitNote } from "../../core/limits.ts";

/** What is left of tokens is told in thousands. */
const ROUNDED_TOKENS = 1000;

/**
 * The response headers that tell what is left. What is not said yet does not count, although it was taken:
 * recorded answers tell the same before their first word as behind their last.
 */
export function rateLimitFields(note: LimitNote): Record<string, string> {
  const { requests, tokens, foretoldTokens, atMs } = note;
  return {
    ...(requests === undefined ? {} : fieldsOf("requests", requests, requests.remaining, atMs)),
    ...(tokens === undefined ? {} : tokenFields(tokens, foretoldTokens, atMs)),
  };
}

function tokenFields({ limit, remaining, resetMs }: Allowance, foretold: number, atMs: number) {
  const left = Math.min(limit, remaining + foretold);
  const rounded = Math.min(limit, Math.round(left / ROUNDED_TOKENS) * ROUNDED_TOKENS);
  const untilFullMs = left === limit
    ? 0
    : resetMs * (limit - left) / Math.max(1, limit - remaining);
  return fieldsOf("tokens", { limit, remaining, resetMs: untilFullMs }, rounded, atMs);
}

function fieldsOf(
  name: string,
  { limit, resetMs }: Allowance,
  remaining: number,
  atMs: number,
): Record<string, string> {
  return {
    [`anthropic-ratelimit-${name}-limit`]: String(limit),
    [`anthropic-ratelimit-${name}-remaining`]: String(remaining),
    [`anthropic-ratelimit-${name}-reset`]: wholeSecond(atMs + resetMs),
  };
}

/** RFC 3339 in whole seconds, rounded up: who waits until then is not early. */
function wholeSecond(ms: number): string {
  return new Date(Math.ceil(ms / 1000) * 1000).toISOString().replace(".000", "");
}

const WORDS: Readonly<Record<LimitKind, string>> = {
  requests_per_min: "requests per minute",
  requests_per_day: "requests per day",
  tokens_per_min: "tokens per minute",
  tokens_per_day: "tokens per day",
  concurrent_max: "concurrent requests",
};

/** What a provider that is not in order says, where it is another thing than OpenAI's. */
const OUT_OF_ORDER: Readonly<
  Partial<Record<ErrorCode, { readonly status: number; readonly message: string }>>
> = {
  quota_exceeded: {
    status: 402,
    message: "Your credit balance is too low to access the API: there is no credit left",
  },
  overloaded: { status: 529, message: "Overloaded" },
};

const OF_LIMITS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "limit_requests",
  "limit_tokens",
  "key_requests",
  "key_tokens",
]);

/** `error` as this API says it, where it is one of limits. */
export function limitError(error: AppError, note: LimitNote | undefined): AppError {
  const other = OUT_OF_ORDER[error.code];
  if (other !== undefined) return new AppError(error.code, other.message, { status: other.status });
  const refusal = note?.refusal;
  if (refusal === undefined || !OF_LIMITS.has(error.code)) return error;
  const { by, limit, waitMs } = refusal;
  const advice = waitMs === Infinity
    ? "Reduce the prompt's length or max_tokens."
    : waitMs === undefined
    ? "Try again later."
    : `Try again in ${Math.ceil(waitMs / 1000)} s.`;
  const { "retry-after-ms": _, ...headers } = error.headers;
  return new AppError(
    error.code,
    `This request would exceed the rate limit of ${limit} ${WORDS[by]}. ${advice}`,
    { headers: { ...rateLimitFields(note!), ...headers } },
  );
}
