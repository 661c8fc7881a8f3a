import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, normalize, relative } from "node:path";

/** From the bottom up. Folders on one line are siblings. Files of src/ itself stand by name. */
const LAYERS = [
  ["lib"],
  ["config", "core"],
  ["dialects"],
  ["sources", "memory", "store", "shared", "workflows", "load", "ops", "deploy"],
  ["surfaces"],
  ["accounts.ts"],
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

function codeFiles(folder: string): string[] {
  return (readdirSync(folder, { recursive: true }) as string[]).filter((file) =>
    /\.tsx?$/.test(file)
  );
}

const FILES = codeFiles(SRC);

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
      expect(forbidden.exec(withoutComments(file))?.[0], `src/${file}`).toBeUndefined();
    }
  });

  const onlyIn: readonly (readonly [string, RegExp, readonly string[]])[] = [
    ["makes an exchange", /\bnew Exchange\(/, ["core/driver.ts"]],
    ["keeps frames", /\bnew FramesCache\(/, ["core/driver.ts"]],
    ["makes a web response", /\bnew Response\(|\bResponse\.json\(/, ["app.ts"]],
  ];
  for (const [what, pattern, homes] of onlyIn) {
    test(`nothing but ${homes.join(" and ")} ${what}, pages and clients aside`, () => {
      const exempt = what.includes("web") ? PAGES : [];
      const found = FILES.filter((file) =>
        !exempt.some((page) => file.startsWith(page)) && pattern.test(withoutComments(file))
      );
      expect(found.filter((file) => !homes.includes(file))).toEqual([]);
    });
  }

  test("nothing in core but core/web.ts knows requests, responses or headers of the web", () => {
    const found = FILES.filter((file) =>
      folderOf(file) === "core" && /\b(?:Request|Response|Headers)\b/.test(withoutComments(file))
    );
    expect(found).toEqual(["core/web.ts"]);
  });
});

/** Pages answer by themselves, and these ask others or read forms with `fetch`'s own types. */
const PAGES = [
  "cli/",
  "ops/health.ts",
  "ops/page.ts",
  "ops/ui/",
  "surfaces/admin/docs.ts",
  "surfaces/model_compose/runs.ts",
];

function withoutComments(file: string): string {
  return readFileSync(join(SRC, file), "utf8").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
}

describe("circles", () => {
  test("no file of src/ imports itself by way of others", () => {
    expect(circles()).toEqual([]);
  });
});

/** Every circle of imports, types included, once: the files of it in their order. */
function circles(): string[] {
  const graph = new Map(
    FILES.map((file) => [file, importsOf(file).filter((target) => FILES.includes(target))]),
  );
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (file: string, path: readonly string[]) => {
    const at = path.indexOf(file);
    if (at >= 0) return void found.push([...path.slice(at), file].join(" -> "));
    if (done.has(file)) return;
    for (const target of graph.get(file)!) walk(target, [...path, file]);
    done.add(file);
  };
  for (const file of FILES) walk(file, []);
  return found;
}

describe("comments", () => {
  const names = new Set(
    ["src", "test", "bench", "release", "docs"].flatMap((folder) =>
      (readdirSync(join(ROOT, folder), { recursive: true }) as string[]).map((file) =>
        basename(file)
      )
    ).concat(readdirSync(ROOT)),
  );
  /** A file as comments name it, with or without its folder. */
  const named = /(?<![\w./-])((?:[\w-]+\/)*[\w-]+\.(?:ts|md))\b/g;

  for (const folder of ["src", "test", "bench", "release"]) {
    test(`every file that a comment in ${folder}/ names exists`, () => {
      const missing = codeFiles(join(ROOT, folder)).flatMap((file) => {
        const text = readFileSync(join(ROOT, folder, file), "utf8");
        const comments = [...text.matchAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*/g)].join("\n");
        return [...comments.matchAll(named)].map(([, name]) => name!)
          .filter((name) => !exists(name, join(folder, dirname(file))))
          .map((name) => `${folder}/${file}: ${name}`);
      });
      expect(missing).toEqual([]);
    });
  }

  function exists(name: string, folder: string): boolean {
    if (!name.includes("/")) return names.has(name);
    return [folder, "src", "."].some((base) => existsSync(normalize(join(ROOT, base, name))));
  }
});
