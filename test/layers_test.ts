import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** From the bottom up. Folders on one line are siblings. Files of src/ itself stand by name. */
const LAYERS = [
  ["lib"],
  ["config", "core"],
  ["dialects"],
  ["sources", "memory", "workflows", "load", "ops", "deploy"],
  ["surfaces"],
  ["answerers.ts"],
  ["parts.ts"],
  ["handlers.ts"],
  ["app.ts"],
  ["cli"],
  ["cli.ts"],
];

const ROOT = join(import.meta.dir, "..");
const SRC = join(ROOT, "src");
const IMPORT = /(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*["'](\.[^"']+)["']/g;
const SIDE_EFFECT_OR_DYNAMIC = /\bimport\s*\(?\s*["'](\.[^"']+)["']/g;

function folderOf(path: string): string {
  return path.split("/")[0]!;
}

function layerOf(path: string): number {
  return LAYERS.findIndex((folders) => folders.includes(folderOf(path)));
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), "utf8");
  return [...text.matchAll(IMPORT), ...text.matchAll(SIDE_EFFECT_OR_DYNAMIC)].map(([, specifier]) =>
    relative(SRC, join(SRC, dirname(file), specifier!))
  );
}

const FILES = (readdirSync(SRC, { recursive: true }) as string[]).filter((file) =>
  /\.tsx?$/.test(file)
);

describe("layers", () => {
  test("there are files to look at", () => expect(FILES.length).toBeGreaterThan(10));

  for (const file of FILES) {
    test(`src/${file} imports only from its own folder or a lower layer`, () => {
      expect(layerOf(file), `src/${file}: its folder is in no layer`).toBeGreaterThanOrEqual(0);
      for (const target of importsOf(file)) {
        if (folderOf(target) === folderOf(file)) continue;
        const isBelow = layerOf(target) >= 0 && layerOf(target) < layerOf(file);
        expect(isBelow || target.startsWith("../package.json"), `may not know ${target}`).toBe(
          true,
        );
      }
    });
  }

  test("core reaches for no network, no disk and no clock of its own", () => {
    const forbidden =
      /\bfetch\(|Bun\.(serve|file|connect)|node:(fs|net|http)|Date\.now|performance\.now|Math\.random|setTimeout|setInterval/;
    for (const file of FILES.filter((name) => folderOf(name) === "core")) {
      const code = readFileSync(join(SRC, file), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
      expect(forbidden.exec(code)?.[0], `src/${file}`).toBeUndefined();
    }
  });
});
