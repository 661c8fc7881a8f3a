import { describe, expect, test } from "bun:test";
import { Fields } from "../../src/lib/http1/fields.ts";
import { apiKeyAuth, bearerAuth, type Verdict } from "../../src/ops/auth.ts";

const TOKENS = [{ name: "one", token: "t-1" }, { name: "two", token: "t-2" }];

/** What each check says, and whose token it was. */
const CASES: readonly [Record<string, string>, bearer: Verdict, apiKey: Verdict, name?: string][] =
  [
    [{}, "missing", "missing"],
    [{ authorization: "Bearer t-1" }, "ok", "ok", "one"],
    [{ authorization: "Bearer t-3" }, "wrong", "wrong"],
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
      expect(bearerAuth(TOKENS)(client)).toBe(bearer);
      const whose = { tokenName: "" };
      expect(apiKeyAuth(TOKENS)(client, whose)).toBe(apiKey);
      expect(whose.tokenName).toBe(name ?? "");
    });
  }

  test("let everybody in where there is no token", () => {
    expect([bearerAuth([])(Fields.NONE), apiKeyAuth([])(Fields.NONE)]).toEqual(["ok", "ok"]);
  });
});
