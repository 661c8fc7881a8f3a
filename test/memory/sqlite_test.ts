import { describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Memory } from "../../src/core/memory.ts";
import { backupDatabase, openDatabase } from "../../src/memory/database.ts";
import { openSqliteMemory } from "../../src/memory/sqlite.ts";
import { MIGRATIONS } from "../../src/memory/sqlite_statements.ts";
import { seeded } from "../seeded.ts";
import { ask, CALLER, memoryTests, said, short, START_MS, storeOptions } from "./tests.ts";

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

/** Removes a database with what lies beside it. */
function removeAll(path: string): void {
  for (const end of ["", "-wal", "-shm"]) rmSync(path + end, { force: true });
}

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

  test("prune() forgets what a role was told to be in a session without turns", async () => {
    await withMemory(async (memory) => {
      const told = async (rolePrompt: string) =>
        (await memory.apply(ask({ sessionId: "s", rolePrompt }), CALLER)).systemPrompt;
      await told("bard");
      await memory.commit(said("x", "y", { sessionId: "other" }));
      expect(await told("")).toContain("Role: bard");
      expect(await memory.prune(START_MS + 1)).toBe(1);
      expect(await told("")).not.toContain("Role:");
    });
  });

  /** What a process that has just opened the file shows of a session, and what another one does. */
  async function expectSame(
    known: Memory,
    path: string,
    sessionId: string,
    why: string,
  ): Promise<void> {
    const options = { ...storeOptions({ turnsMax: 3 }), path, durability: "process" } as const;
    const fresh = openSqliteMemory({ ...options, clock: () => 0 });
    const request = ask({ sessionId, roleId: "r" });
    const [wanted, found] = await Promise.all(
      [fresh, known].map((memory) => memory.apply(request, CALLER)),
    );
    await fresh.close();
    expect(found, why).toEqual(wanted!);
  }

  for (const seed of [1, 2, 3, 4, 5]) {
    test(`two processes show the same, whatever either of them does (seed ${seed})`, async () => {
      const random = seeded(seed);
      const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
      const folder = makeFolder();
      const path = join(folder, "weir.db");
      const options = { ...storeOptions({ turnsMax: 3 }), path, durability: "process" } as const;
      const processes = [1, 2].map(() => openSqliteMemory({ ...options, clock: () => 0 }));
      for (let i = 0; i < 150; i++) {
        const memory = pick(processes);
        const sessionId = pick(["a", "b", "c"]);
        const act = random();
        let what = "commit";
        if (act < 0.6) {
          const turns = Array.from({ length: pick([1, 1, 2, 5]) }, (_, k) => `q${i}.${k}`);
          await Promise.all(
            turns.map((query) => memory.commit(said(query, "水", { sessionId, atMs: i }))),
          );
        } else if (act < 0.7) {
          what = "remove";
          await memory.remove(ask({ sessionId }));
        } else if (act < 0.8) {
          what = "prune";
          await memory.prune(i - 20);
        } else {
          what = "role";
          const rolePrompt = pick(["bard", "smith"]);
          await memory.apply(ask({ sessionId, roleId: "r", rolePrompt }), CALLER);
          await memory.commit(said(`q${i}`, "a", { sessionId, atMs: i }));
        }
        const seen = pick(["a", "b", "c"]);
        await expectSame(pick(processes), path, seen, `step ${i}, ${what} of ${sessionId}`);
      }
      for (const memory of processes) await memory.close();
      rmSync(folder, { recursive: true });
    }, 30_000);
  }

  test("catches up with a process that wrote thousands of turns meanwhile", async () => {
    await withMemory(async (memory, path) => {
      const options = { ...storeOptions({ turnsMax: 3 }), path, durability: "process" } as const;
      const known = openSqliteMemory({ ...options, clock: () => 0 });
      await known.commit(said("first", "1"));
      for (const count of [10, 3000]) {
        await Promise.all(
          Array.from({ length: count }, (_, i) => memory.commit(said(`q${i}`, "a"))),
        );
        await expectSame(known, path, "s", `${count} turns`);
      }
      await known.close();
    });
  });

  test("a role is what was said of it last, by whichever process", async () => {
    await withMemory(async (memory, path) => {
      const options = { ...storeOptions(), path, durability: "process" } as const;
      const other = openSqliteMemory({ ...options, clock: () => 0 });
      for (
        const [process, rolePrompt] of [[memory, "bard"], [other, "smith"], [
          memory,
          "bard",
        ]] as const
      ) {
        await process.apply(ask({ sessionId: "s", roleId: "r", rolePrompt }), CALLER);
        await process.commit(said("q", "a"));
      }
      const { systemPrompt } = await other.apply(ask({ sessionId: "s", roleId: "r" }), CALLER);
      expect(systemPrompt).toContain("Role: bard");
      await other.close();
    });
  });

  test("opens a file of the version before, and hears of what is removed from it", async () => {
    const folder = makeFolder();
    const path = join(folder, "weir.db");
    const old = openDatabase(path, "process", MIGRATIONS.slice(0, 1));
    old.run("INSERT INTO sessions VALUES (1, 's', '', '', '', 0)");
    old.run("INSERT INTO turns VALUES (1, 1, 1, 0, 0, NULL, 'one', '1')");
    const options = { ...storeOptions(), path, durability: "process" } as const;
    const memory = openSqliteMemory({ ...options, clock: () => 0 });
    const shown = async () => (await memory.apply(ask({ sessionId: "s" }), CALLER)).messages.length;
    expect(await shown()).toBe(2);
    old.run("DELETE FROM turns");
    expect(await shown()).toBe(0);
    old.close();
    await memory.close();
    rmSync(folder, { recursive: true });
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

  /** What is done to the file → what is remembered of the turn before it. */
  const VANISHING: readonly (readonly [string, (path: string) => void, string[]])[] = [
    ["removed", (path) => rmSync(path), []],
    ["removed with its log", (path) => removeAll(path), []],
    ["replaced by an older copy", (path) => {
      removeAll(path);
      copyFileSync(`${path}.copy`, path);
    }, ["old>0"]],
    ["left without its log", (path) => rmSync(`${path}-wal`), ["old>0", "one>1"]],
  ];
  for (const [what, vanish, before] of VANISHING) {
    for (const isIdle of [false, true]) {
      const when = isIdle ? "between two turns" : "while a turn is written";
      test(`a file that is ${what} ${when} is noticed, and no turn is kept there`, async () => {
        const folder = makeFolder();
        const path = join(folder, "weir.db");
        const options = storeOptions();
        let nowMs = 1000;
        const memory = openSqliteMemory({
          ...options,
          path,
          durability: "process",
          clock: () => nowMs,
        });
        const other = openSqliteMemory({
          ...options,
          path,
          durability: "process",
          clock: () => nowMs,
        });
        await memory.commit(said("old", "0"));
        backupDatabase(path, `${path}.copy`);
        await memory.commit(said("one", "1"));
        const kept = isIdle ? Promise.resolve() : memory.commit(said("two", "2"));
        vanish(path);
        nowMs += 1000;
        await kept;
        if (isIdle) memory.checkReady();
        const wanted = isIdle ? before : [...before, "two>2"];
        expect(short(await memory.turns("s", 10))).toEqual(wanted);
        const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
        expect(messages.map(({ content }) => content)).toEqual(
          wanted.flatMap((turn) => turn.split(">")),
        );
        await other.commit(said("three", "3"));
        await memory.commit(said("four", "4"));
        const all = [...wanted, "three>3", "four>4"];
        for (const one of [memory, other]) expect(short(await one.turns("s", 10))).toEqual(all);
        expect(options.events.map(({ kind }) => kind)).toContain("memory_file_vanished");
        expect(memory.health?.()?.trouble).toMatch(/removed (or replaced )?while weir ran/);
        await memory.close();
        await other.close();
        const fresh = openSqliteMemory({
          ...options,
          path,
          durability: "process",
          clock: () => 0,
        });
        expect(short(await fresh.turns("s", 10))).toEqual(all);
        await fresh.close();
        rmSync(folder, { recursive: true });
      });
    }
  }

  test("a folder that is gone takes no turns, and takes them again when it is back", async () => {
    const parent = makeFolder();
    const folder = join(parent, "data");
    mkdirSync(folder);
    const path = join(folder, "weir.db");
    const options = storeOptions();
    let nowMs = 1000;
    const clock = () => nowMs;
    const memory = openSqliteMemory({ ...options, path, durability: "process", clock });
    await memory.commit(said("one", "1"));
    rmSync(folder, { recursive: true });
    for (let i = 0; i < 2; i++) {
      const late = memory.commit(said("two", "2"));
      expect(await late.catch((error) => error)).toMatchObject({ code: "unavailable" });
      nowMs += 1000;
      expect(() => memory.checkReady()).toThrow(/The memory takes no turns now: Cannot open/);
      expect(memory.health?.()?.trouble).toMatch(/^it takes no turns now: Cannot open the memory/);
    }
    mkdirSync(folder);
    nowMs += 1000;
    memory.checkReady();
    await memory.commit(said("three", "3"));
    expect(short(await memory.turns("s", 10))).toEqual(["three>3"]);
    expect(memory.health?.()?.trouble).toMatch(/what it held is gone/);
    await memory.close();
    rmSync(parent, { recursive: true });
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
