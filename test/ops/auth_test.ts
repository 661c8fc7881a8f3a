import { describe, expect, test } from "bun:test";
import type { Key } from "../../src/core/keys.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { apiKeyAuth, bearerAuth, type Verdict } from "../../src/ops/auth.ts";
import { keyFacts, ringOf } from "../keys.ts";

const KEYS = ringOf(
  keyFacts("one", "t-1"),
  keyFacts("two", "t-2"),
  keyFacts("over", "t-0", {}, Date.now()),
);

/** What each check says, and whose token it was. */
const CASES: readonly [Record<string, string>, bearer: Verdict, apiKey: Verdict, name?: string][] =
  [
    [{}, "missing", "missing"],
    [{ authorization: "Bearer t-1" }, "ok", "ok", "one"],
    [{ authorization: "Bearer t-3" }, "wrong", "wrong"],
    [{ authorization: "Bearer t-0" }, "wrong", "wrong"],
    [{ authorization: "t-1" }, "malformed", "malformed"],
    [{ "x-api-key": "t-2" }, "missing", "ok", "two"],
    [{ "x-api-key": "t-3" }, "missing", "wrong"],
    [{ "x-api-key": "" }, "missing", "missing"],
    [{ "x-api-key": "t-3", authorization: "Bearer t-1" }, "ok", "wrong"],
  ];

describe("bearerAuth() and apiKeyAuth()", () => {
  for (const [fields, bearer, apiKey, name] of CASES) {
    test(`${JSON.stringify(fields)} is ${bearer}, and ${apiKey}`, () => {
      const client = Fields.of(Object.entries(fields));
      expect(bearerAuth(KEYS)(client)).toBe(bearer);
      let whose: string | undefined;
      const holder = { takeKey: (key: Key) => void (whose = key.name) };
      expect(apiKeyAuth(KEYS)(client, holder)).toBe(apiKey);
      expect(whose).toBe(name);
    });
  }

  test("let everybody in where there is no token", () => {
    expect([bearerAuth(undefined)(Fields.NONE), apiKeyAuth(undefined)(Fields.NONE)]).toEqual([
      "ok",
      "ok",
    ]);
  });
});
