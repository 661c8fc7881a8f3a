import { describe, expect, test } from "bun:test";
import { backoffMs, retryAfterMs } from "../../src/lib/backoff.ts";

describe("backoffMs()", () => {
  for (
    const [attempt, longest] of [[1, 500], [2, 1000], [3, 2000], [5, 8000], [9, 8000]] as const
  ) {
    test(`attempt ${attempt} waits between ${longest * 0.75} and ${longest} ms`, () => {
      expect(backoffMs(attempt, () => 0)).toBe(longest);
      expect(backoffMs(attempt, () => 0.999)).toBeCloseTo(longest * 0.75025, 3);
    });
  }
});

describe("retryAfterMs()", () => {
  const wallMs = Date.parse("2026-11-21T00:00:00Z");
  const cases: readonly (readonly [Record<string, string>, number | undefined])[] = [
    [{}, undefined],
    [{ "retry-after": "" }, undefined],
    [{ "retry-after": "soon" }, undefined],
    [{ "retry-after": "2" }, 2000],
    [{ "retry-after": "0.25" }, 250],
    [{ "retry-after": "-3" }, 0],
    [{ "retry-after": "61" }, Infinity],
    [{ "retry-after-ms": "12.5", "retry-after": "9" }, 12.5],
    [{ "retry-after-ms": "x", "retry-after": "9" }, 9000],
    [{ "retry-after": "Sat, 21 Nov 2026 00:00:05 GMT" }, 5000],
    [{ "retry-after": "Sat, 21 Nov 2026 01:00:00 GMT" }, Infinity],
    [{ "retry-after": "Fri, 20 Nov 2026 00:00:00 GMT" }, 0],
  ];
  for (const [headers, expected] of cases) {
    test(`${JSON.stringify(headers)} asks for ${expected}`, () => {
      expect(retryAfterMs(new Headers(headers), wallMs)).toBe(expected);
    });
  }
});
