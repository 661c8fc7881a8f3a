import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dir, "../../../src/ops/ui");
const CSS = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".css"))
  .map((name) => readFileSync(join(FOLDER, name), "utf8"))
  .join("\n");
const THEMES = ["light", "dark"] as const;

/** What stands on what → the least contrast (WCAG 2.2: 1.4.3 for text, 1.4.11 for fields). */
const PAIRS = [
  ["ink", "ground", 4.5],
  ["ink", "sheet", 4.5],
  ["soft", "ground", 4.5],
  ["soft", "sheet", 4.5],
  ["soft", "sunk", 4.5],
  ["accent", "ground", 4.5],
  ["accent", "sheet", 4.5],
  ["accent", "accent-wash", 4.5],
  ["accent-ink", "accent", 4.5],
  ["bad", "bad-wash", 4.5],
  ["bad", "ground", 4.5],
  ["edge", "sheet", 3],
  ["edge", "ground", 3],
] as const;

function colour(name: string, theme: number): string {
  const pair = new RegExp(`--${name}: light-dark\\((#\\w{6}), (#\\w{6})\\)`).exec(CSS)!;
  return pair[1 + theme]!;
}

/** WCAG 2.2, "relative luminance". */
function luminance(hex: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function contrast(a: string, b: string): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light! + 0.05) / (dark! + 0.05);
}

describe("the sheets", () => {
  for (const [front, back, least] of PAIRS) {
    for (const [i, theme] of THEMES.entries()) {
      test(`${front} on ${back} is readable in the ${theme} theme`, () => {
        expect(contrast(colour(front, i), colour(back, i))).toBeGreaterThanOrEqual(least);
      });
    }
  }

  test("loads nothing from elsewhere", () => {
    expect(CSS).not.toMatch(/url\(|@import/);
  });
});
