import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupDatabase } from "../../src/memory/database.ts";
import { openSqliteMemory } from "../../src/memory/sqlite.ts";
import { ask, CALLER, memoryTests, said, short, storeOptions } from "./tests.ts";

function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), "weir-memory-"));
}

memoryTests("sqlite", () => {
  const folder = makeFolder();
  return Promise.resolve({
    open: (options) =>
      Promise.resolve(openSqliteMemory({
        ...options,
        path: join(folder, "weir.db"),
        durability: "process",
        clock: performance.now.bind(performance),
      })),
    dispose: () => Promise.resolve(rmSync(folder, { recursive: true })),
  });
});

describe("the embedded memory", () => {
  async function withMemory(
    run: (memory: ReturnType<typeof openSqliteMemory>, path: string) => unknown,
    durability: "process" | "power" = "process",
  ): Promise<void> {
    const folder = makeFolder();
    const path = join(folder, "weir.db");
    const clock = () => performance.now();
    const memory = openSqliteMemory({ ...storeOptions(), path, durability, clock });
    try {
      await run(memory, path);
    } finally {
      await memory.close();
      rmSync(folder, { recursive: true });
    }
  }

  test("apply() and commit() of one loop turn are one transaction", async () => {
    await withMemory(async (memory, path) => {
      const watcher = new Database(path);
      const version = () =>
        watcher.query<{ data_version: number }, []>("PRAGMA data_version").get()!.data_version;
      const before = version();
      await Promise.all(Array.from({ length: 50 }, (_, i) => memory.commit(said(`q${i}`, "a"))));
      expect(version()).toBe(before + 1);
      watcher.close();
    });
  });

  test("commit() waits for another process that writes, and loses nothing", async () => {
    await withMemory(async (memory, path) => {
      const other = new Database(path);
      other.run("BEGIN IMMEDIATE");
      let isKept = false;
      const kept = memory.commit(said("one", "1")).then(() => isKept = true);
      await Bun.sleep(30);
      expect(isKept).toBe(false);
      other.run("COMMIT");
      await kept;
      expect(short(await memory.turns("s", 10))).toEqual(["one>1"]);
      other.close();
    });
  });

  test("prune() forgets what another process has pruned already", async () => {
    await withMemory(async (memory, path) => {
      await memory.commit(said("old", "1", { atMs: 1 }));
      await memory.commit(said("new", "2", { atMs: 9 }));
      const shown = async () => await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect((await shown()).messages).toHaveLength(4);
      const options = { ...storeOptions(), path, durability: "process", clock: () => 0 } as const;
      const other = openSqliteMemory(options);
      expect(await other.prune(5)).toBe(1);
      await other.close();
      expect(await memory.prune(5)).toBe(0);
      expect((await shown()).messages.map(({ content }) => content)).toEqual(["new", "2"]);
    });
  });

  test("backupDatabase() copies what is committed while turns are written", async () => {
    await withMemory(async (memory, path) => {
      await memory.commit(said("one", "1"));
      const target = `${path}.backup`;
      void memory.commit(said("two", "2"));
      backupDatabase(path, target);
      const copy = new Database(target, { readonly: true });
      expect(copy.query("SELECT query FROM turns").values()).toEqual([["one"]]);
      copy.close();
      expect(() => backupDatabase(path, target)).toThrow(/the file exists already/);
      expect(() => backupDatabase(`${path}.none`, `${path}.b2`)).toThrow(/there is no such file/);
    });
  });

  test("durability power commits too", async () => {
    await withMemory(async (memory) => {
      await memory.commit(said("one", "1"));
      expect(short(await memory.turns("s", 10))).toEqual(["one>1"]);
    }, "power");
  });

  test("a file of a newer weir is refused", async () => {
    await withMemory((_memory, path) => {
      const other = new Database(path);
      other.run("PRAGMA user_version = 99");
      other.close();
      expect(() =>
        openSqliteMemory({
          ...storeOptions(),
          path,
          durability: "process",
          clock: () => 0,
        })
      ).toThrow(/written by a newer weir \(version 99/);
    });
  });

  test("a file that is no database is refused", () => {
    const folder = makeFolder();
    const options = { ...storeOptions(), durability: "process", clock: () => 0 } as const;
    expect(() => openSqliteMemory({ ...options, path: folder })).toThrow(/Cannot open the memory/);
    rmSync(folder, { recursive: true });
  });
});
