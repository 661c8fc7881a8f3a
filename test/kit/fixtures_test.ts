/**
 * Compiled is enough: the lines below are errors where the kit's types and the rules of files differ.
 */

import { expect, test } from "bun:test";
import type { Fixture, Match } from "../../kit/fixtures.ts";
import { ENTRY, type RawEntry, type RawMatch } from "../../src/sources/fixtures/schema.ts";

/** The keys of all members of a union. */
type Keys<T> = T extends unknown ? Exclude<keyof T, "$comment"> : never;
type Mapping<T> = Exclude<T, string | undefined>;
type KitAnswer = Mapping<Extract<Fixture, { readonly response: unknown }>["response"]>;
/** `T` without `readonly`, which zod's types do not know. */
type Writable<T> = T extends string | number | boolean | null | undefined ? T
  : { -readonly [Key in keyof T]: Writable<T[Key]> };

const CHECKS = [
  (fixture: Writable<Fixture>): RawEntry => fixture,
  (key: Keys<RawEntry>): Keys<Fixture> => key,
  (key: Keys<RawMatch>): Keys<Match> => key,
  (key: Keys<Mapping<RawEntry["response"]>>): Keys<KitAnswer> => key,
];

test("what the kit's types allow is what files may say", () => {
  expect(CHECKS).toHaveLength(4);
  const fixture: Fixture = { match: { userMessage: "Hi" }, response: { content: "Hello" } };
  expect(ENTRY.parse(fixture)).toEqual(fixture as RawEntry);
});
