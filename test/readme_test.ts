import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SETTING_ROWS } from "../src/config/schema.ts";

const ROOT = join(import.meta.dir, "..");
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const ARCHITECTURE = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly scripts: Readonly<Record<string, string>>;
};

function found(pattern: RegExp): string[] {
  return [...new Set([...README.matchAll(pattern)].map(([, name]) => name!))];
}

describe("README", () => {
  for (const name of found(/(?:bun@1\.4\.5|bun) run ([a-z:-]+)/g)) {
    test(`"run ${name}" is a script`, () => expect(Object.keys(scripts)).toContain(name));
  }

  for (const path of found(/((?:src|test|bench)\/[\w./-]*)/g)) {
    test(`${path} exists`, () => expect(existsSync(join(ROOT, path))).toBe(true));
  }

  for (const key of found(/--set ([a-z]+(?:\.[a-z_]+)+)/g)) {
    test(`--set ${key} is a setting`, () => expect([...SETTING_ROWS.keys()]).toContain(key));
  }

  test("is at most 8 KiB, so that it is read", () => {
    expect(Buffer.byteLength(README)).toBeLessThanOrEqual(8192);
  });
});

describe("docs/architecture.md", () => {
  test("its map names every folder of src", () => {
    const folders = new Set(
      [...new Bun.Glob("*/*").scanSync(join(ROOT, "src"))].map((path) => path.split("/")[0]!),
    );
    for (const folder of folders) expect(ARCHITECTURE).toContain(`src/${folder}/`);
  });
});
