import { describe, expect, test } from "bun:test";
import { AppError } from "../../../src/core/errors.ts";
import { errorAnswer } from "../../../src/dialects/anthropic_messages/errors.ts";
import {
  limitError,
  rateLimitFields,
} from "../../../src/dialects/anthropic_messages/rate_limits.ts";
import { limitReached, outOfOrder } from "../../../src/dialects/openai/rate_limits.ts";

const AT_MS = Date.parse("2025-09-13T11:13:19.990Z");
const REQUESTS = { limit: 4000, remaining: 3999, resetMs: 15 };

describe("rateLimitFields()", () => {
  test("tells as recorded: tokens in thousands, and without those that were taken for the answer", () => {
    // A short question with max_tokens 1024.
    const tokens = { limit: 480_000, remaining: 478_970, resetMs: 128 };
    expect(
      rateLimitFields({ atMs: AT_MS, requests: REQUESTS, tokens, foretoldTokens: 1024 }),
    ).toEqual({
      "anthropic-ratelimit-requests-limit": "4000",
      "anthropic-ratelimit-requests-remaining": "3999",
      "anthropic-ratelimit-requests-reset": "2025-09-13T11:13:21Z",
      "anthropic-ratelimit-tokens-limit": "480000",
      "anthropic-ratelimit-tokens-remaining": "480000",
      "anthropic-ratelimit-tokens-reset": "2025-09-13T11:13:20Z",
    });
  });

  test("never tells more than the limit, nor a reset that is early", () => {
    const tokens = { limit: 1500, remaining: 1200, resetMs: 12_000 };
    const told = (foretoldTokens: number) =>
      rateLimitFields({ atMs: AT_MS, tokens, foretoldTokens });
    expect(told(5000)["anthropic-ratelimit-tokens-remaining"]).toBe("1500");
    expect(told(5000)["anthropic-ratelimit-tokens-reset"]).toBe("2025-09-13T11:13:20Z");
    expect(told(0)["anthropic-ratelimit-tokens-remaining"]).toBe("1000");
    expect(told(0)["anthropic-ratelimit-tokens-reset"]).toBe("2025-09-13T11:13:32Z");
    expect(told(0)["anthropic-ratelimit-requests-limit"]).toBeUndefined();
  });
});

describe("limitError()", () => {
  const reached = limitReached({
    by: "requests_per_min",
    model: "claude",
    limit: 50,
    used: 50,
    requested: 1,
    waitMs: 1200,
  });

  test("says a limit in this API's words, and the wait in whole seconds", () => {
    const error = limitError(reached, {
      atMs: AT_MS,
      requests: { limit: 50, remaining: 0, resetMs: 60_000 },
      foretoldTokens: 0,
      refusal: { by: "requests_per_min", limit: 50, waitMs: 1200 },
    });
    const { status, headers, body } = errorAnswer(error, "req_1");
    expect([status, JSON.parse(body as string)]).toEqual([429, {
      type: "error",
      error: {
        type: "rate_limit_error",
        message: "This request would exceed the rate limit of 50 requests per minute. Try again " +
          "in 2 s.",
      },
      request_id: "req_1",
    }]);
    expect(headers).toMatchObject({
      "retry-after": "2",
      "anthropic-ratelimit-requests-remaining": "0",
      "anthropic-ratelimit-requests-reset": "2025-09-13T11:14:20Z",
    });
    expect(headers).not.toHaveProperty("retry-after-ms");
  });

  test.each(
    [
      ["overloaded", 529, "overloaded_error", "Overloaded"],
      ["quota", 402, "billing_error", "Your credit balance is too low"],
      ["slow_down", 429, "rate_limit_error", "Requests have grown too fast"],
    ] as const,
  )("a provider in the state %s", (state, status, type, message) => {
    const answer = errorAnswer(limitError(outOfOrder(state), undefined), "req_1");
    expect(answer.status).toBe(status);
    const { error } = JSON.parse(answer.body as string);
    expect(error.type).toBe(type);
    expect(error.message).toStartWith(message);
  });

  test("leaves other errors as they are", () => {
    const error = new AppError("param_value", "x");
    expect(limitError(error, undefined)).toBe(error);
    expect(limitError(reached, undefined)).toBe(reached);
  });
});
