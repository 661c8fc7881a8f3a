import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CountPage, countPageBytes, CountPageFull } from "../../src/lib/count_page.ts";

function page(slots: number): CountPage {
  return new CountPage(new Uint8Array(countPageBytes(slots)));
}

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

describe("CountPage", () => {
  test("counts each name by itself, and says what it was", () => {
    const counts = page(64);
    expect([counts.add("a"), counts.add("a"), counts.add("b"), counts.add("")]).toEqual([
      0,
      1,
      0,
      0,
    ]);
    expect([counts.get("a"), counts.get("b"), counts.get(""), counts.get("c")]).toEqual([
      2,
      1,
      1,
      0,
    ]);
    counts.set("c", 4_000_000_000);
    expect(counts.get("c")).toBe(4_000_000_000);
  });

  test("tells a thousand names apart, long ones that begin alike with them", () => {
    const counts = page(2048);
    const names = Array.from({ length: 1000 }, (_, i) => `${"x".repeat(i % 200)}/${i}`);
    names.forEach((name, i) => counts.set(name, i + 1));
    expect(names.map((name) => counts.get(name))).toEqual(names.map((_, i) => i + 1));
    expect(counts.size).toBe(1000);
  });

  test("resets what begins with a text, and nothing else", () => {
    const counts = page(64);
    for (const name of ["s/a", "s/b", "t/a", "s", "sé/a"]) counts.add(name);
    counts.reset("s/");
    expect(["s/a", "s/b", "t/a", "s", "sé/a"].map((name) => counts.get(name))).toEqual([
      0,
      0,
      1,
      1,
      1,
    ]);
    counts.reset("sé");
    expect(counts.get("sé/a")).toBe(0);
    counts.reset("");
    expect(counts.get("t/a")).toBe(0);
  });

  test("says when it is full, and takes names again once some are forgotten or count 0", () => {
    const counts = page(8);
    for (let i = 0; i < 8; i++) counts.add(`s/${i}`);
    expect(() => counts.add("more")).toThrow(CountPageFull);
    expect(counts.get("more")).toBe(0);
    counts.reset("s/3");
    expect(counts.add("more")).toBe(0);
    expect([counts.get("more"), counts.get("s/3"), counts.get("s/7")]).toEqual([1, 0, 1]);
    counts.forget("s/");
    expect([counts.size, counts.get("more")]).toEqual([1, 1]);
    for (let i = 0; i < 7; i++) expect(counts.add(`t/${i}`)).toBe(0);
  });

  test("names that come and go leave room, and are never mixed up", () => {
    const counts = page(16);
    for (let i = 0; i < 1000; i++) {
      expect([counts.add(`a${i}`), counts.add(`b${i}`), counts.add(`a${i}`)]).toEqual([0, 0, 1]);
      counts.remove(i % 2 === 0 ? `a${i}` : `b${i}`);
      expect(counts.get(i % 2 === 0 ? `b${i}` : `a${i}`)).toBe(i % 2 === 0 ? 1 : 2);
      counts.forget(i % 2 === 0 ? `b${i}` : `a${i}`);
      counts.remove("none");
      expect(counts.size).toBe(0);
    }
  });

  test("a lock that nobody gives back is taken over", () => {
    const bytes = new Uint8Array(countPageBytes(8));
    new Int32Array(bytes.buffer)[0] = 1;
    expect(new CountPage(bytes).add("a")).toBe(0);
  });

  test("several processes count in one page, and none of their counts is lost", async () => {
    const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
    folders.push(folder);
    const file = join(folder, "page");
    writeFileSync(file, new Uint8Array(countPageBytes(256)));
    const script = `
      import { CountPage } from ${
      JSON.stringify(join(import.meta.dir, "../../src/lib/count_page.ts"))
    };
      const counts = new CountPage(Bun.mmap(${JSON.stringify(file)}));
      for (let i = 0; i < 50_000; i++) counts.add("name " + i % 100);
    `;
    const children = Array.from({ length: 3 }, () => Bun.spawn([process.execPath, "-e", script]));
    const codes = await Promise.all(children.map((child) => child.exited));
    expect(codes).toEqual([0, 0, 0]);
    const counts = new CountPage(Bun.mmap(file));
    expect(Array.from({ length: 100 }, (_, i) => counts.get(`name ${i}`))).toEqual(
      new Array(100).fill(1500),
    );
    expect(counts.size).toBe(100);
  }, 60_000);
});
