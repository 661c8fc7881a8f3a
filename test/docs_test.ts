import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { SETTING_ROWS } from "../src/config/schema.ts";

const ROOT = join(import.meta.dir, "..");
const PAGES = filesOf("*.md", "docs/**/*.md", "bench/*.md");
const SOURCES = filesOf("src/**/*.ts", "test/**/*.ts", "bench/**/*.ts", "release/**/*.ts");

/** Paths below the repository, in their order. */
function filesOf(...patterns: string[]): string[] {
  return patterns.flatMap((pattern) => [...new Bun.Glob(pattern).scanSync(ROOT)]).sort();
}

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** `markdown` without its code: what is in there is no link and no heading. */
function prose(markdown: string): string {
  return markdown.replace(/^```[^]*?^```$/gm, "").replace(
    /`[^`\n]*`/g,
    (code) => code.replace(/[[\]()]/g, ""),
  );
}

/** The headings of a page, without their marks. */
function headingsOf(path: string): string[] {
  return [...prose(textOf(path)).matchAll(/^#+ (.+)$/gm)].map(([, heading]) => heading!);
}

/** A heading as the fragment of a URL, as code hosts make it. */
function slug(heading: string): string {
  return heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, "").replace(/\s/g, "-");
}

/** `[text](target)`, but for targets elsewhere. */
function linksOf(path: string): string[] {
  return [...prose(textOf(path)).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** A comment may be broken over lines; a citation in it is one text. */
function unbroken(source: string): string {
  return source.replace(/\n\s*(?:\*|\/\/)\s+/g, " ");
}

/** `docs/….md "Heading"` → page and heading. */
function citationsOf(source: string): [page: string, heading: string][] {
  return [...unbroken(source).matchAll(/(docs\/[\w/-]+\.md) "([^"]+)"/g)]
    .map(([, page, heading]) => [page!, heading!]);
}

describe("pages", () => {
  test("there are pages to look at", () => expect(PAGES.length).toBeGreaterThan(20));

  for (const page of PAGES) {
    test(`every link of ${page} points to something`, () => {
      for (const target of linksOf(page)) {
        const [path, fragment] = target.split("#") as [string, string?];
        const file = path === "" ? page : join(dirname(page), path);
        expect(existsSync(join(ROOT, file)), `${target}: there is no ${file}`).toBe(true);
        if (fragment === undefined) continue;
        expect(headingsOf(file).map(slug), `${target}: no such heading`).toContain(fragment);
      }
    });
  }

  for (const page of PAGES.filter((path) => path.startsWith("docs/"))) {
    test(`the settings, scripts and files that ${page} names exist`, () => {
      const text = textOf(page);
      for (const [, key] of text.matchAll(/--set ([a-z]+(?:\.[a-z_]+)+)/g)) {
        expect([...SETTING_ROWS.keys()]).toContain(key!);
      }
      for (const [, path] of text.matchAll(/`((?:src|test|bench)\/[\w./-]*)`/g)) {
        expect(existsSync(join(ROOT, path!)), path).toBe(true);
      }
    });
  }

  test("every decision is in the list of decisions", () => {
    const listed = linksOf("docs/decisions/README.md");
    for (const page of filesOf("docs/decisions/[0-9]*.md")) {
      expect(listed).toContain(page.slice("docs/decisions/".length));
    }
  });
});

describe("citations of pages", () => {
  const cited = [...SOURCES, ...PAGES].flatMap((source) =>
    citationsOf(textOf(source)).map((citation) => [source, ...citation] as const)
  );

  test("there are some", () => expect(cited.length).toBeGreaterThan(0));

  for (const [source, page, heading] of cited) {
    test(`${source}: ${page} has "${heading}"`, () => {
      expect(existsSync(join(ROOT, page)), `there is no ${page}`).toBe(true);
      expect(headingsOf(page)).toContain(heading);
    });
  }
});
