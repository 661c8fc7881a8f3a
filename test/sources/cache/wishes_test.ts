import { describe, expect, test } from "bun:test";
import { NO_WISHES, type Wishes, wishesOf } from "../../../src/sources/cache/wishes.ts";

describe("wishesOf()", () => {
  const cases: readonly (readonly [string | null, Partial<Wishes>])[] = [
    [null, {}],
    ["", {}],
    ["no-store", { noStore: true }],
    ["No-Cache", { noCache: true }],
    ["max-age=5", { maxAgeS: 5 }],
    ["max-age=0", { maxAgeS: 0, noCache: true }],
    ['max-age="7"', { maxAgeS: 7 }],
    ["max-age = 7", { maxAgeS: 7 }],
    ["max-age", { maxAgeS: 0, noCache: true }],
    ["max-age=soon", { maxAgeS: 0, noCache: true }],
    ["max-age=-1", { maxAgeS: 0, noCache: true }],
    ["min-fresh=3,only-if-cached", { minFreshS: 3, onlyIfCached: true }],
    ["min-fresh=x", { minFreshS: Infinity }],
    ["max-stale=60, no-transform, stale-if-error=5", {}],
    ['x="no-store"', {}],
    [" ,, no-store ,", { noStore: true }],
  ];
  for (const [field, wanted] of cases) {
    test(`reads ${field}`, () => expect(wishesOf(field)).toEqual({ ...NO_WISHES, ...wanted }));
  }
});
