import { describe, expect, test } from "bun:test";
import { askOf, type Source } from "../../../src/core/answer.ts";
import { AppError } from "../../../src/core/errors.ts";
import type { Event } from "../../../src/core/events.ts";
import { Exchange } from "../../../src/core/exchange.ts";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { parseChatRequest } from "../../../src/dialects/openai_chat/request.ts";
import { parseCompletion } from "../../../src/dialects/openai_completions/request.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import type { RequestHead } from "../../../src/lib/http1/request_head.ts";
import { Limiter, limiterBytes } from "../../../src/lib/limiter.ts";
import { chargeOf, inputTokens } from "../../../src/sources/limits/charge.ts";
import { limitFault, Limits } from "../../../src/sources/limits/limits.ts";
import type { LimitEntry } from "../../../src/sources/limits/rules.ts";
import { makeEngine } from "../upstream/rig.ts";

const START_MS = Date.UTC(2026, 10, 28);

const SCRIPT = { name: "said", steps: [] };
const MOCK: Source = {
  name: "mock",
  answer: () => ({ kind: "script", script: SCRIPT, model: "m" }),
};

function entry(given: Partial<LimitEntry>): LimitEntry {
  return {
    ...{ model: "*", key: "*", per: "key_and_model", state: "ok" },
    ...{ requests_per_min: 0, requests_per_day: 0, tokens_per_min: 0, tokens_per_day: 0 },
    concurrent_max: 0,
    ...given,
  };
}

interface Asked extends Partial<Turn> {
  /** What stands in `Authorization`. */
  readonly key?: string;
  readonly token?: string;
  readonly settles?: true;
}

function rig(entries: readonly Partial<LimitEntry>[], inner = MOCK, slots = 256) {
  const clock = { ms: START_MS };
  const events: Event[] = [];
  const engine = makeEngine((event) => void events.push(event));
  const limiter = new Limiter(new Uint8Array(limiterBytes(slots)), () => clock.ms);
  const limits = new Limits(entries.map(entry), limiter, () => clock.ms);
  const source = limits.around(inner);

  /** Asks; the call goes on. */
  function ask({ key, token = "", settles, ...turn }: Asked = {}) {
    const call = new Exchange(engine, "test", { method: "POST" });
    call.tokenName = token;
    const fields = key === undefined ? Fields.NONE : Fields.of([["authorization", key]]);
    call.request = { head: { fields } as RequestHead, text: "" };
    const asked = { ...askOf({ ...EMPTY_TURN, model: "gpt-4o", ...turn }) };
    try {
      source.answer(settles ? { ...asked, settlesTokens: true } : asked, call);
      return { call, error: undefined };
    } catch (error) {
      return { call, error: error as AppError };
    }
  }

  return { limits, ask, clock, events, engine };
}

function chat(body: object): Turn {
  return parseChatRequest({ model: "gpt-4o", ...body }, "live", true);
}

describe("chargeOf()", () => {
  test.each([
    // What was taken in recordings, and how many of them the estimate misses.
    ["Say this is a test", { max_tokens: 50 }, 57, 0],
    ["What's the weather like in San Francisco?", {}, 13, 0],
    ["Add 5 and 7", {}, 5, 0],
    ["Count r's in strawberry", {}, 9, 1],
    ["Tell me a joke about opentelemetry", {}, 13, 2],
  ])("of %p with %p is %i in a recording", (content, params, recorded, missed) => {
    const { input, output } = chargeOf(chat({ messages: [{ role: "user", content }], ...params }));
    expect(recorded - Math.ceil(input + output)).toBe(missed);
  });

  test("of a part of a token is taken, too: the recorded reset of 57 tokens is that of 56.5", () => {
    const { ask } = rig([{ tokens_per_min: 200_000 }]);
    const messages = [{ role: "user", content: "Say this is a test" }];
    const { call } = ask({ messages, tokensMax: 50 });
    expect(call.limits?.tokens).toMatchObject({ remaining: 199_943, resetMs: 16 });
  });

  test("counts the answer once for each choice, and as long as the request says at the most", () => {
    const messages = [{ role: "user", content: "1234" }];
    expect(chargeOf(chat({ messages, n: 3, max_completion_tokens: 100 }))).toEqual({
      input: 3,
      output: 300,
    });
    const complete = (body: object) =>
      chargeOf(parseCompletion(JSON.stringify({ model: "m", ...body }), "live", () => "12345"));
    // The recorded one took 9, with the default of 16 tokens that was not said.
    expect(complete({ prompt: "Tell me a joke about opentelemetry" })).toEqual({
      input: 8.5,
      output: 0,
    });
    expect(complete({ prompt: ["12345", "1"], max_tokens: 10, n: 2, best_of: 3 })).toEqual({
      input: 1.5,
      output: 60,
    });
    expect(complete({ prompt: [1, 2, 3], max_tokens: 16 })).toEqual({ input: 3, output: 16 });
  });

  test("of what holds no conversation: texts by their characters, tokens by their number", () => {
    expect(inputTokens("12345")).toBe(1.25);
    expect(inputTokens(["1", "12345"])).toBe(1.5);
    expect(inputTokens([1, 2, 3])).toBe(3);
    expect(inputTokens([[1, 2], [3]])).toBe(3);
    expect(inputTokens([{ type: "text", text: "12345" }])).toBe(1.25);
    expect(inputTokens(undefined)).toBe(0);
  });
});

describe("Limits", () => {
  test("lets in what there is room for, and tells the rest how long to wait", () => {
    const { ask, clock, events } = rig([{ requests_per_min: 2, tokens_per_min: 30_000 }]);
    const first = ask({ tokensMax: 100 });
    expect(first.error).toBeUndefined();
    expect(first.call.limits).toMatchObject({
      requests: { limit: 2, remaining: 1, resetMs: 30_000 },
      tokens: { limit: 30_000, remaining: 29_898, resetMs: 204 },
      foretoldTokens: 100,
    });
    ask();
    clock.ms += 10_000;
    const { error, call } = ask();
    expect(error?.message).toContain("Please try again in 20s.");
    expect(error).toMatchObject({ code: "limit_requests", headers: { "retry-after-ms": "20000" } });
    expect(call.limits?.refusal).toEqual({ by: "requests_per_min", limit: 2, waitMs: 20_000 });
    expect(events).toContainEqual({ kind: "limited", by: "requests_per_min" });
    clock.ms += 20_000;
    expect(ask().error).toBeUndefined();
  });

  test("each key and model has its own; the first entry that fits counts", () => {
    const { ask } = rig([
      { model: "gpt-4*", key: "sk-free*", requests_per_min: 1 },
      { model: "gpt-4*", requests_per_min: 2 },
    ]);
    const passed = (asked: Asked) =>
      Array.from({ length: 4 }, () => ask(asked).error).filter((error) => error === undefined)
        .length;
    expect(passed({ key: "Bearer sk-free-1" })).toBe(1);
    expect(passed({ key: "Bearer sk-free-2" })).toBe(1);
    expect(passed({ key: "bearer  sk-free-2" })).toBe(0);
    expect(passed({ key: "Bearer sk-free-1", model: "gpt-4.1" })).toBe(1);
    expect(passed({ key: "Bearer sk-paid" })).toBe(2);
    expect(passed({})).toBe(2);
    // The name of a token counts, and not what the client shows.
    expect(passed({ token: "sk-free-blue", key: "Bearer secret" })).toBe(1);
    expect(passed({ model: "o3" })).toBe(4);
  });

  test.each(
    [
      ["all", [3, 0, 0]],
      ["model", [3, 0, 3]],
      ["key", [3, 3, 0]],
      ["key_and_model", [3, 3, 3]],
    ] as const,
  )("per: %s", (per, wanted) => {
    const { ask } = rig([{ per, requests_per_min: 3 }]);
    const passed = (asked: Asked) =>
      Array.from({ length: 4 }, () => ask(asked).error).filter((error) => error === undefined)
        .length;
    expect([
      passed({ key: "a" }),
      passed({ key: "b" }),
      passed({ key: "a", model: "o3" }),
    ]).toEqual([...wanted]);
  });

  test("takes nothing of one limit where another one is reached", () => {
    const { ask } = rig([{ requests_per_min: 10, requests_per_day: 20, tokens_per_min: 120 }]);
    expect(ask({ tokensMax: 90 }).error).toBeUndefined();
    expect(ask({ tokensMax: 90 }).error?.code).toBe("limit_tokens");
    const { call } = ask();
    // Headers tell of the day where requests are limited by the day.
    expect(call.limits?.requests).toMatchObject({ limit: 20, remaining: 18 });
    for (let i = 0; i < 8; i++) ask();
    // A refusal tells of the limit that was reached.
    const refused = ask();
    expect(refused.error?.message).toContain("requests per min (RPM): Limit 10");
    expect(refused.call.limits?.requests).toMatchObject({ limit: 10, remaining: 0 });
  });

  test("a request that is larger than the limit is told so", () => {
    const { ask } = rig([{ tokens_per_min: 100 }]);
    expect(ask({ tokensMax: 99 }).error?.message).toBe(
      "Request too large for gpt-4o on tokens per min (TPM): Limit 100, Requested 101. The input or " +
        "output tokens must be reduced in order to run successfully.",
    );
  });

  test("gives a place back when the exchange ends, and the words of an answer where it settles", () => {
    const { ask } = rig([{ concurrent_max: 1, tokens_per_min: 1000 }]);
    const first = ask({ tokensMax: 500, settles: true });
    expect(ask({ tokensMax: 1 }).error).toMatchObject({ code: "limit_requests", headers: {} });
    first.call.promptTokens = 12;
    first.call.completionTokens = 30;
    first.call.end("completed");
    const second = ask({ tokensMax: 500 });
    // 42 of the first, and 502 of the second.
    expect(second.call.limits?.tokens?.remaining).toBe(1000 - 42 - 502);
    second.call.complete(200, 0);
    second.call.release();
    expect(ask({ tokensMax: 0 }).call.limits?.tokens?.remaining).toBe(1000 - 42 - 502 - 2);
  });

  test("what fails behind the limits has taken its part, and holds no place", () => {
    const failing: Source = {
      name: "mock",
      answer() {
        throw new AppError("model_unknown", "x");
      },
    };
    const { ask } = rig([{ concurrent_max: 1, requests_per_min: 10 }], failing);
    const { call, error } = ask();
    call.refuse(error);
    expect(ask().error?.code).toBe("model_unknown");
    expect(call.limits?.requests?.remaining).toBe(9);
  });

  test("a provider that is out of order answers nothing, until it is switched or reset", () => {
    const { ask, limits, events } = rig([{ model: "gpt-4*", state: "overloaded" }, { model: "*" }]);
    expect(ask().error).toMatchObject({ code: "overloaded", status: 503 });
    expect(events.at(-1)).toEqual({ kind: "limited", by: "overloaded" });
    limits.switch(0, "ok");
    expect(ask().error).toBeUndefined();
    limits.switch(undefined, "quota");
    expect(ask().error).toMatchObject({ code: "quota_exceeded", status: 429 });
    expect(ask({ model: "o3" }).error).toMatchObject({ code: "quota_exceeded" });
    expect(limits.show().map(({ state }) => state)).toEqual(["quota", "quota"]);
    limits.reset();
    expect(limits.show().map(({ state }) => state)).toEqual(["overloaded", "ok"]);
    limits.switch(1, "slow_down");
    expect(ask({ model: "o3" }).error).toMatchObject({ code: "slow_down", status: 429 });
    expect(() => limits.switch(2, "ok")).toThrow("entry must be from 0 to 1");
  });

  test("shows what is left of each, and no key", () => {
    const { ask, limits, clock } = rig([{ requests_per_min: 60, concurrent_max: 5 }]);
    ask({ key: "Bearer sk-secret" });
    ask({ token: "blue", model: "a|b" });
    clock.ms += 500;
    const [{ buckets } = { buckets: [] }] = limits.show();
    const digest = "sha256:" +
      new Bun.CryptoHasher("sha256").update("sk-secret").digest("hex").slice(0, 16);
    expect(buckets).toHaveLength(4);
    const place = { max: 60, remaining: 59, reset_ms: 500, limit: "requests_per_min" } as const;
    expect(buckets).toContainEqual({ ...place, key: digest, model: "gpt-4o" });
    expect(buckets).toContainEqual({ ...place, key: "blue", model: "a|b" });
    const gate = { limit: "concurrent_max", key: "blue", model: "a|b", max: 5, remaining: 4 };
    expect(buckets as unknown[]).toContainEqual(gate);
    expect(JSON.stringify(limits.show())).not.toContain("secret");
    expect(limits.reset()).toBe(4);
    // Who is in, stays in.
    expect(limits.show()[0]?.buckets.map(({ limit }) => limit)).toEqual([
      "concurrent_max",
      "concurrent_max",
    ]);
  });

  test("when there is no room for more keys, all further ones share one limit", () => {
    const { ask, limits } = rig([{ requests_per_min: 5 }], MOCK, 8);
    const passed = Array.from({ length: 50 }, (_, i) => ask({ key: `key ${i}` }))
      .filter(({ error }) => error === undefined).length;
    // Eight slots, of which the state and the rest have one each.
    expect(passed).toBe(6 + 5);
    expect(limits.show()[0]?.buckets).toContainEqual({
      ...{ limit: "requests_per_min", key: "", model: "", shared: true },
      ...{ max: 5, remaining: 0, reset_ms: 60_000 },
    });
  });

  test("tells a fault's 429 by the limits that there are, or by one that is made up", () => {
    const { limits, engine } = rig([{ requests_per_min: 120, tokens_per_min: 1000 }]);
    const make = (own: Limits | undefined, waitMs?: number) => {
      const call = new Exchange(engine, "test", { method: "POST" });
      call.model = "m";
      return { call, error: limitFault(own, () => START_MS)(call, waitMs) };
    };
    const own = make(limits, 500);
    expect(own.error).toMatchObject({
      status: 429,
      headers: { "retry-after": "1", "retry-after-ms": "500" },
    });
    expect(own.call.limits).toMatchObject({
      requests: { limit: 120, remaining: 0, resetMs: 60_000 },
      tokens: { limit: 1000, remaining: 1000 },
      refusal: { by: "requests_per_min", limit: 120, waitMs: 500 },
    });
    const made = make(undefined, 2500);
    expect(made.error.message).toContain(
      "Limit 60, Used 60, Requested 1. Please try again in 2.5s.",
    );
    expect(made.call.limits).toMatchObject({ atMs: START_MS, requests: { remaining: 0 } });
    expect(make(undefined).error).toMatchObject({
      code: "limit_requests",
      headers: { "retry-after": "1", "retry-after-ms": "1000" },
    });
  });
});
