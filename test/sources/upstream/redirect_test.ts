import { describe, expect, test } from "bun:test";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { redirectError } from "../../../src/sources/upstream/redirect.ts";

const BASE = "https://api.example/v1";

/** Where a redirect leads, and what is said of it. */
const CASES: readonly (readonly [location: string, says: string])[] = [
  ["https://other.example/v1/chat/completions?key=sk-1#x", "https://other.example,"],
  ["http://other.example:8080/", "http://other.example:8080,"],
  ["//other.example/v1", "https://other.example,"],
  ["http://user:pass@other.example/v1", "http://other.example,"],
  ["http://api.example/v1", "http://api.example,"],
  ["/v2?key=sk-1", "another path of https://api.example,"],
  ["https://api.example:443/v1/", "another path of https://api.example,"],
  ["https://例え.example/", "https://xn--r8jz45g.example,"],
  ["http://[", "an address that is none,"],
  ["mailto:a@b.example", "an address that is none,"],
];

describe("redirectError()", () => {
  for (const [location, says] of CASES) {
    for (const status of [301, 302, 303, 307, 308]) {
      test(`${status} to ${location} names ${says.slice(0, -1)} and the setting`, () => {
        const fields = { get: (name: string) => name === "location" ? location : null };
        const error = redirectError({ status, fields }, BASE, "upstreams.0.base_url");
        expect(error?.code).toBe("upstream_broken");
        expect(error?.message).toContain(`status ${status}, a redirect to ${says}`);
        expect(error?.message).toContain("Check upstreams.0.base_url");
        expect(error?.message).not.toMatch(/sk-1|pass|user/);
      });
    }
  }

  for (const status of [200, 300, 304, 305, 400, 503]) {
    test(`${status} is none, whatever its location`, () => {
      const fields = Fields.of([["location", "http://other.example/"]]);
      expect(redirectError({ status, fields }, BASE, "llm.base_url")).toBeUndefined();
    });
  }

  test("a status of one that leads nowhere is none", () => {
    expect(redirectError({ status: 302, fields: Fields.NONE }, BASE, "llm.base_url"))
      .toBeUndefined();
  });
});
