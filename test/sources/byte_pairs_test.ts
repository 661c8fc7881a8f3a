import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as cl100k from "gpt-tokenizer/encoding/cl100k_base";
import * as o200k from "gpt-tokenizer/encoding/o200k_base";
import { layTable } from "../../release/encoding.ts";
import { BytePairs, type EncodingName, ENCODINGS } from "../../src/sources/byte_pairs.ts";
import clRanks from "gpt-tokenizer/bpeRanks/cl100k_base";
import o2Ranks from "gpt-tokenizer/bpeRanks/o200k_base";
import { seeded } from "../seeded.ts";

const SRC = join(import.meta.dir, "..", "..", "src");
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

const LIBRARY = { cl100k_base: cl100k, o200k_base: o200k } as const;
const RANKS = { cl100k_base: clRanks, o200k_base: o2Ranks } as const;
const NAMES = Object.keys(ENCODINGS) as EncodingName[];

function tableOf(name: EncodingName): Buffer {
  return readFileSync(join(SRC, "sources", `${name}.bin`));
}

const PAIRS = Object.fromEntries(
  NAMES.map((name) => [name, new BytePairs(tableOf(name), ENCODINGS[name])]),
) as Readonly<Record<EncodingName, BytePairs>>;

/** As the library says it: the count, the tokens, and the first `tokensMax` of them as a text. */
function expectLibrarys(name: EncodingName, text: string, tokensMax: number): void {
  const pairs = PAIRS[name];
  const { encode, decode } = LIBRARY[name];
  const tokens = encode(text, PLAIN);
  const ends: number[] = [];
  expect(pairs.encode(text, Infinity, ends).tokens, JSON.stringify(text)).toBe(tokens.length);
  expect(ends, JSON.stringify(text)).toEqual(characterEnds(text, tokens, name));
  const cut = decode(tokens.slice(0, tokensMax));
  // The library keeps half a character for its next call; the rest takes it out of there.
  decode(tokens.slice(tokensMax));
  const { units } = pairs.encode(text, tokensMax);
  expect(text.slice(0, units).toWellFormed(), `${tokensMax} of ${JSON.stringify(text)}`).toBe(cut);
}

/** Where `tokens` end in `text`, in UTF-16 units, without the ends within a character. */
function characterEnds(text: string, tokens: readonly number[], name: EncodingName): number[] {
  const unitsAt = new Map<number, number>();
  let bytes = 0;
  let units = 0;
  for (const character of text) {
    bytes += Buffer.byteLength(character);
    units += character.length;
    unitsAt.set(bytes, units);
  }
  let end = 0;
  return tokens.flatMap((token) => {
    end += Buffer.from(RANKS[name][token] as string).length;
    return unitsAt.get(end) ?? [];
  });
}

for (const name of NAMES) {
  test(`${name}.bin is what bun run encoding lays`, () => {
    expect(tableOf(name).equals(layTable(name))).toBe(true);
  });

  describe(`BytePairs.encode() of ${name}`, () => encodes(name));
}

function encodes(name: EncodingName): void {
  test(`counts and cuts ${TEXTS} texts of words and signs as gpt-tokenizer does`, () => {
    const random = seeded(SEED);
    for (let n = 0; n < TEXTS; n++) {
      const length = Math.floor(random() * random() * 40);
      const pieces = Array.from(
        { length },
        () => PIECES[Math.floor(random() * PIECES.length)]!,
      );
      expectLibrarys(name, pieces.join(""), Math.floor(random() * length));
    }
  });

  for (const end of [0x80, 0x800, 0x1_0000, 0x11_0000]) {
    test(`and ${TEXTS / 4} texts of any characters below U+${end.toString(16)}`, () => {
      const random = seeded(SEED);
      for (let n = 0; n < TEXTS / 4; n++) {
        const length = Math.floor(random() * 24);
        const codes = Array.from({ length }, () => Math.floor(random() * end));
        const text = String.fromCodePoint(...codes).replaceAll("\ufeff", "");
        expectLibrarys(name, text, Math.floor(random() * length));
      }
    });
  }

  for (const file of ["cli/server.ts", "ops/ui/index.html", "deploy/grafana.json"]) {
    test(`and src/${file}`, () => {
      const text = readFileSync(join(SRC, file), "utf8");
      expectLibrarys(name, text, 100);
    });
  }

  test("merges a word of 3000 letters", () => {
    const random = seeded(SEED);
    const codes = Array.from({ length: 3000 }, () => 97 + Math.floor(random() * 26));
    expectLibrarys(name, String.fromCharCode(...codes), 700);
  });

  test("no tokens are no text", () => {
    expect(PAIRS[name].encode("", 0)).toEqual({ tokens: 0, units: 0 });
    expect(PAIRS[name].encode("river", 0)).toEqual({ tokens: 0, units: 0 });
  });
}

test("the mark U+FEFF is one token within a word too, where the library counts two", () => {
  const pairs = PAIRS.o200k_base;
  expect(pairs.encode("\ufeff")).toEqual({ tokens: 1, units: 1 });
  const text = " 'ー\ufeff";
  expect([pairs.encode(text).tokens, o200k.countTokens(text, PLAIN)]).toEqual([3, 4]);
});

test("a word above wordBytesMax is not merged: every four of its bytes are a token", () => {
  const pairs = new BytePairs(tableOf("o200k_base"), ENCODINGS.o200k_base, 8);
  const ends: number[] = [];
  // "a", then 28 bytes: a blank and nine characters of three, some of which are cut at a fourth.
  expect(pairs.encode("a 深い川は静かに流れ", Infinity, ends)).toEqual({ tokens: 8, units: 11 });
  expect(ends).toEqual([1, 3, 7, 11]);
  expect(pairs.encode("a 深い川は静かに流れ", 3)).toEqual({ tokens: 3, units: 4 });
});

describe("BytePairs.decode()", () => {
  for (const name of NAMES) {
    test(`of ${name} gives the text that the library has cut into tokens`, () => {
      for (
        const text of [
          "",
          "Hello 你好 🌊 wörld\n\n  x()",
          ...PIECES.map((one) => one.toWellFormed()),
        ]
      ) {
        expect(PAIRS[name].decode(LIBRARY[name].encode(text, PLAIN))).toBe(text);
      }
    });

    test(`of ${name} knows what is no token`, () => {
      expect(PAIRS[name].decode([0])).toBe("!");
      for (const token of [-1, 1.5, 199_998, 1e9]) {
        expect(PAIRS[name].decode([0, token])).toBeUndefined();
      }
    });
  }
});
