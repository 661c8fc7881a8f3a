import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { countTokens, decode, encode } from "gpt-tokenizer/encoding/o200k_base";
import { layTable } from "../../release/encoding.ts";
import { BytePairs } from "../../src/sources/byte_pairs.ts";
import { seeded } from "../seeded.ts";

const SRC = join(import.meta.dir, "..", "..", "src");
const TABLE = readFileSync(join(SRC, "sources", "o200k_base.bin"));
const PLAIN = { disallowedSpecial: new Set<string>() };
const SEED = 7;
const TEXTS = 20_000;

/** What texts are made of. U+FEFF has a test of its own: the library counts it wrongly. */
// deno-fmt-ignore
const PIECES = [
  "a", "the", "Xyz", "XYZ", "camelCase", "snake_case", "'s", "'LL", "function", "const ", "=>",
  " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "\u200b", "\u2028", "\x00", "\x7f", "\x80",
  "<|endoftext|>", "<|", "0", "12", "3456", "½", "Ⅷ", "٣", "/", "//", "://", "()", "{}", "-", "---",
  "=====", "Ünï", "é", "e\u0301", "ß", "ǅ", "ʰ", "ΑΒγ", "привет", " мир", "ئۇيغۇر", "हिन्दी", "한국어",
  "你", "好", "世界", "ひらがな", "カタカナ", "𠜎", "🌊", "🧜🏽‍♀️", "😀😀", "\ud800", "\udc00", "\ufffd",
];

const pairs = new BytePairs(TABLE);

/** As the library says it: the count, and the first `tokensMax` tokens as a text. */
function expectLibrarys(text: string, tokensMax: number): void {
  const tokens = encode(text, PLAIN);
  expect(pairs.encode(text).tokens, JSON.stringify(text)).toBe(tokens.length);
  const cut = decode(tokens.slice(0, tokensMax));
  // The library keeps half a character for its next call; the rest takes it out of there.
  decode(tokens.slice(tokensMax));
  const { units } = pairs.encode(text, tokensMax);
  expect(text.slice(0, units).toWellFormed(), `${tokensMax} of ${JSON.stringify(text)}`).toBe(cut);
}

describe("o200k_base.bin", () => {
  test("is what bun run encoding lays", () => expect(TABLE.equals(layTable())).toBe(true));
});

describe("BytePairs.encode()", () => {
  test(`counts and cuts ${TEXTS} texts of words and signs as gpt-tokenizer does`, () => {
    const random = seeded(SEED);
    for (let n = 0; n < TEXTS; n++) {
      const length = Math.floor(random() * random() * 40);
      const pieces = Array.from(
        { length },
        () => PIECES[Math.floor(random() * PIECES.length)]!,
      );
      expectLibrarys(pieces.join(""), Math.floor(random() * length));
    }
  });

  for (const end of [0x80, 0x800, 0x1_0000, 0x11_0000]) {
    test(`and ${TEXTS / 4} texts of any characters below U+${end.toString(16)}`, () => {
      const random = seeded(SEED);
      for (let n = 0; n < TEXTS / 4; n++) {
        const length = Math.floor(random() * 24);
        const codes = Array.from({ length }, () => Math.floor(random() * end));
        const text = String.fromCodePoint(...codes).replaceAll("\ufeff", "");
        expectLibrarys(text, Math.floor(random() * length));
      }
    });
  }

  for (const file of ["cli/server.ts", "ops/ui/index.html", "deploy/grafana.json"]) {
    test(`and src/${file}`, () => {
      const text = readFileSync(join(SRC, file), "utf8");
      expectLibrarys(text, 100);
    });
  }

  test("merges a word of 3000 letters", () => {
    const random = seeded(SEED);
    const codes = Array.from({ length: 3000 }, () => 97 + Math.floor(random() * 26));
    expectLibrarys(String.fromCharCode(...codes), 700);
  });

  test("the mark U+FEFF is one token within a word too, where the library counts two", () => {
    expect(pairs.encode("\ufeff")).toEqual({ tokens: 1, units: 1 });
    const text = " 'ー\ufeff";
    expect([pairs.encode(text).tokens, countTokens(text, PLAIN)]).toEqual([3, 4]);
  });

  test("no tokens are no text", () => {
    expect(pairs.encode("", 0)).toEqual({ tokens: 0, units: 0 });
    expect(pairs.encode("river", 0)).toEqual({ tokens: 0, units: 0 });
  });
});
