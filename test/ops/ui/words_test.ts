import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Word, WORDS } from "../../../src/ops/ui/words.ts";

const FOLDER = join(import.meta.dir, "../../../src/ops/ui");
const SOURCES = readdirSync(FOLDER)
  .filter((name) => /\.(ts|html)$/.test(name) && name !== "words.ts")
  .map((name) => readFileSync(join(FOLDER, name), "utf8"))
  .join("\n");

describe("WORDS", () => {
  for (const word of Object.keys(WORDS.en) as Word[]) {
    test(`${word} is used, and takes the same value in both languages`, () => {
      expect(SOURCES.includes(`"${word}"`)).toBe(true);
      expect(WORDS.zh[word].split("{}").length).toBe(WORDS.en[word].split("{}").length);
    });
  }
});
