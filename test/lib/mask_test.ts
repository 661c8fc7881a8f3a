import { describe, expect, test } from "bun:test";
import { masker } from "../../src/lib/mask.ts";

describe("masker()", () => {
  const mask = masker(["sk-verysecret1234", "sk-verysecret1234-more", "abc", "blue"]);
  const ROWS: readonly (readonly [string, string])[] = [
    ["nothing", "nothing"],
    ["wrong: sk-verysecret1234.", "wrong: ***."],
    ["sk-verysecret1234-more and blue", "*** and ***"],
    ["an abc stays", "an abc stays"],
    ["cut off: sk-verysec", "cut off: ***"],
    ["cut off: sk-very", "cut off: sk-very"],
    ["sk-verysec in the middle", "sk-verysec in the middle"],
  ];
  for (const [text, masked] of ROWS) {
    test(`${text} is ${masked}`, () => expect(mask(text)).toBe(masked));
  }
});
