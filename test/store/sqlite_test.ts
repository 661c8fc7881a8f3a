import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openSqliteMemory } from "../../src/memory/sqlite.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { makeFolder, removeFolder } from "../memory/stores.ts";
import { said, storeOptions } from "../memory/tests.ts";
import { NOW_MS, stored, storeTests, used } from "./tests.ts";

const clock = () => performance.now();

function open(path: string) {
  return openSqliteStore({ path, clock, sleep: Bun.sleep });
}

storeTests("sqlite", () => {
  const folder = makeFolder();
  return Promise.resolve({
    open: () => open(join(folder, "weir.db")),
    dispose: () => removeFolder(folder),
  });
});

/** Works in a folder of its own. */
async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = makeFolder();
  try {
    await work(folder);
  } finally {
    removeFolder(folder);
  }
}

describe("the store in an SQLite file", () => {
  test("lies beside the memory, whichever of the two was there first", () =>
    inFolder(async (folder) => {
      for (const isFirst of [true, false]) {
        const path = join(folder, `${isFirst}.db`);
        const store = open(path);
        const keep = async () => {
          await store.addUsage([used("a")]);
          await store.changeKeys({ kind: "add", key: stored("ci", "a1") });
        };
        if (isFirst) await keep();
        const memory = openSqliteMemory({ ...storeOptions(), path, durability: "process", clock });
        await memory.commit(said("q", "a"));
        if (!isFirst) await keep();
        expect((await memory.turns("s", 9)).length).toBe(1);
        expect((await store.keys()).length).toBe(1);
        await memory.close();
        await store.close();
      }
    }));

  test("who looks makes no file, and no table in one that is there", () =>
    inFolder(async (folder) => {
      const path = join(folder, "weir.db");
      const store = open(path);
      await store.keys();
      expect(await store.pruneUsage(NOW_MS, 1, 1)).toBe(0);
      expect(existsSync(path)).toBe(false);
      const memory = openSqliteMemory({ ...storeOptions(), path, durability: "process", clock });
      await memory.commit(said("q", "a"));
      expect([await store.keysVersion(), await store.spent(NOW_MS)]).toEqual([0, []]);
      expect(await store.pruneUsage(NOW_MS, 1, 1)).toBe(0);
      const database = new Database(path);
      expect(database.query("SELECT name FROM sqlite_master WHERE name LIKE 'weir%'").all())
        .toEqual([]);
      database.close();
      await memory.close();
      await store.close();
    }));

  test("a file that goes takes its keys with it, and one that comes brings its own", () =>
    inFolder(async (folder) => {
      const path = join(folder, "weir.db");
      const store = open(path);
      await store.changeKeys({ kind: "add", key: stored("ci", "a1") });
      const other = open(join(folder, "other.db"));
      await other.changeKeys({ kind: "add", key: stored("dev", "d1") });
      await other.close();
      for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
      expect(await store.keys()).toEqual([]);
      renameSync(join(folder, "other.db"), path);
      expect((await store.keys()).map(({ name }) => name)).toEqual(["dev"]);
      await store.close();
    }));

  test("waits while another process writes, and holds up nobody", () =>
    inFolder(async (folder) => {
      const path = join(folder, "weir.db");
      const store = open(path);
      await store.addUsage([used("a")]);
      const other = new Database(path);
      other.run("BEGIN IMMEDIATE");
      let isKept = false;
      const kept = Promise.resolve(store.addUsage([used("b")])).then(() => isKept = true);
      for (let i = 0; i < 5; i++) await Bun.sleep(2);
      expect(isKept).toBe(false);
      other.run("COMMIT");
      await kept;
      other.close();
      await store.close();
    }));

  test("refuses tables, and rules of keys, that a newer weir has made", () =>
    inFolder(async (folder) => {
      const path = join(folder, "weir.db");
      const store = open(path);
      await store.changeKeys({ kind: "add", key: stored("ci", "a1") });
      const database = new Database(path);
      database.run(`UPDATE weir_keys SET rules = '{"models":["a"],"moon_phase":3}'`);
      expect(() => store.keys()).toThrow("the key ci is limited by: this weir knows no moon_phase");
      database.run("UPDATE weir_store SET value = 99 WHERE name = 'version'");
      database.close();
      const next = open(path);
      expect(() => next.keys()).toThrow("from a newer weir (version 99");
      await expect(Promise.resolve(next.addUsage([used("a")]))).rejects.toThrow(
        "from a newer weir",
      );
      await store.close();
      await next.close();
    }));
});
