import { afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Memory } from "../../src/core/memory.ts";
import { sqlitePath } from "../../src/lib/sqlite_file.ts";
import { mayHaveTurns, type MemoryConfig, openMemory } from "../../src/memory/open.ts";
import { type Action, scriptedServer } from "./scripted_server.ts";
import { clock, makeFolder, removeFolder, sleep, until } from "./stores.ts";
import { ask, CALLER, said, short, START_MS, storeOptions } from "./tests.ts";

const CONFIG: MemoryConfig = {
  url: "sqlite://weir.db",
  durability: "process",
  timeout_ms: 1000,
  outbox: "",
  outbox_max_bytes: 1_000_000_000,
  keep_days: 0,
};

const DAY_MS = 24 * 60 * 60 * 1000;

describe("openMemory()", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  function open(folder: string, config: Partial<MemoryConfig> = {}) {
    const options = storeOptions();
    const memory: Memory = openMemory({
      ...options,
      config: { ...CONFIG, ...config },
      token: "",
      folder,
      fetch,
      clock,
      random: () => 0,
      makeKey: () => Bun.randomUUIDv7(),
      // An hour passes at once.
      sleep: (delayMs, signal) => sleep(Math.min(delayMs, 10), signal),
    });
    let isOpen = true;
    const close = memory.close.bind(memory);
    memory.close = async () => {
      if (isOpen) await close();
      isOpen = false;
    };
    cleanups.push(() => memory.close());
    return { memory, options };
  }

  function folder(): string {
    const path = makeFolder();
    cleanups.push(() => removeFolder(path));
    return path;
  }

  test("makes the embedded file on first use and not before", async () => {
    const place = folder();
    const { memory } = open(place);
    expect(existsSync(join(place, "weir.db"))).toBe(false);
    await memory.commit(said("one", "1"));
    expect(existsSync(join(place, "weir.db"))).toBe(true);
    expect((await memory.apply(ask({ sessionId: "s" }), CALLER)).messages).toHaveLength(2);
    expect(short(await memory.turns("s", 5))).toEqual(["one>1"]);
  });

  test("tells in health of a file that fails every turn", async () => {
    const place = folder();
    const before = open(place).memory;
    await before.commit(said("one", "1"));
    await before.close();
    const path = join(place, "weir.db");
    const database = new Database(path);
    database.run("PRAGMA wal_checkpoint(TRUNCATE)");
    const roots = database.query(
      "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'turns' AND rootpage > 0",
    );
    const pages = roots.values().map(([root]) => Number(root));
    const [[pageBytes]] = database.query("PRAGMA page_size").values() as [[number]];
    database.close();
    const bytes = readFileSync(path);
    for (const page of pages) bytes.fill(0, (page - 1) * pageBytes, page * pageBytes);
    writeFileSync(path, bytes);
    const { memory } = open(place);
    expect(memory.health?.()?.trouble).toBe("");
    expect(() => memory.apply(ask({ sessionId: "s" }), CALLER)).toThrow(/SQLITE_CORRUPT/);
    for (let look = 0; look < 2; look++) {
      expect(memory.health?.()?.trouble).toBe(
        "the last turn failed: Cannot read the memory: " +
          "database disk image is malformed (SQLITE_CORRUPT)",
      );
    }
    expect(memory.backlog?.()).toBeUndefined();
  });

  test("tells in health of a turn that could not be kept, until one is", async () => {
    const place = folder();
    const { memory } = open(place);
    await memory.commit(said("one", "1"));
    const database = new Database(join(place, "weir.db"));
    cleanups.push(() => database.close());
    database.run(
      "CREATE TRIGGER broken BEFORE INSERT ON turns BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    await expect(memory.commit(said("two", "2"))).rejects.toThrow(/SQLITE_CONSTRAINT/);
    // The disk takes writes: only the turns fail.
    await until(() => {
      try {
        memory.checkReady();
        return true;
      } catch {
        return false;
      }
    });
    expect(memory.health?.()?.trouble).toMatch(/^the last turn failed: .*SQLITE_CONSTRAINT/);
    database.run("DROP TRIGGER broken");
    await memory.commit(said("three", "3"));
    expect(memory.health?.()?.trouble).toBe("");
  });

  test("tells in health of a store that is away, without its words, until it answers", async () => {
    let action: Action = { kind: "json", body: { code: -1, msg: "secret", data: {} } };
    const server = await scriptedServer(() => action);
    cleanups.push(() => server.stop());
    const { memory } = open(folder(), { url: server.url });
    const apply = async (signal = CALLER.signal) => {
      await Promise.resolve(memory.apply(ask({ sessionId: "s" }), { signal })).catch(() => {});
      return memory.health?.()?.trouble;
    };
    expect(await apply()).toBe(
      "the last turn failed: apply_memory接口返回错误: HTTP 200, code -1",
    );
    action = { kind: "json", body: { code: 0, msg: "success", data: { messages: [] } } };
    expect(await apply()).toBe("");
    action = { kind: "cut" };
    expect(await apply()).toMatch(/^the last turn failed: 调用apply_memory接口失败/);
    action = { kind: "json", body: { code: 0, msg: "success", data: { messages: [] } } };
    expect(await apply()).toBe("");
    // These are of one request.
    action = { kind: "json", body: { code: -1, msg: "参数解析错误: x", data: {} } };
    expect(await apply()).toBe("");
    expect(await apply(AbortSignal.abort())).toBe("");
  });

  test("forgets turns older than keep_days, and tells of it", async () => {
    const place = folder();
    const { memory, options } = open(place, { keep_days: 2 });
    await memory.commit(said("old", "1", { atMs: START_MS - 3 * DAY_MS }));
    await memory.commit(said("new", "2", { atMs: START_MS - 1 * DAY_MS }));
    await until(async () => (await memory.turns("s", 5)).length === 1);
    expect(short(await memory.turns("s", 5))).toEqual(["new>2"]);
    await until(() => options.events.length > 0);
    expect(options.events).toEqual([{ kind: "turns_pruned", count: 1 }]);
  });

  for (
    const [url, name] of [["http://127.0.0.1:1", "http"], [
      "postgres://u:p@127.0.0.1:1/w",
      "postgres",
    ]] as const
  ) {
    test(`puts an outbox before ${name}, beside the config`, async () => {
      const place = folder();
      const { memory } = open(place, { url });
      expect(memory.name).toBe(name);
      await memory.commit(said("one", "1"));
      expect(existsSync(join(place, "weir-outbox.db"))).toBe(true);
    });
  }

  test("takes the outbox that is named", async () => {
    const place = folder();
    const { memory } = open(place, { url: "http://127.0.0.1:1", outbox: "a b.db" });
    await memory.commit(said("one", "1"));
    expect(existsSync(join(place, "a b.db"))).toBe(true);
  });

  test("two weirs with different stores in one folder are told so", () => {
    const place = folder();
    open(place, { url: "http://127.0.0.1:1" }).memory.checkReady();
    const other = open(place, { url: "postgres://u:secret@127.0.0.1:1/weir" }).memory;
    expect(() => other.checkReady()).toThrow(
      /another weir uses it for http:\/\/127\.0\.0\.1:1\/\. Name another file in memory\.outbox/,
    );
  });
});

describe("mayHaveTurns()", () => {
  const CASES = [
    ["sqlite://none.db", false],
    ["sqlite://there.db", true],
    ["http://127.0.0.1:9100", true],
    ["postgres://u:p@db/weir", true],
  ] as const;
  for (const [url, wanted] of CASES) {
    test(`of ${url} is ${wanted}`, () => {
      const place = makeFolder();
      writeFileSync(join(place, "there.db"), "");
      expect(mayHaveTurns({ url }, place)).toBe(wanted);
      removeFolder(place);
    });
  }
});

describe("sqlitePath()", () => {
  const CASES = [
    ["sqlite://weir.db", "/etc/weir", "/etc/weir/weir.db"],
    ["sqlite://data/weir.db", ".", "data/weir.db"],
    ["sqlite:///var/lib/weir.db", "/etc/weir", "/var/lib/weir.db"],
    ["sqlite:///数据/我 的.db", ".", "/数据/我 的.db"],
    ["sqlite://:memory:", ".", ":memory:"],
  ] as const;
  for (const [url, place, wanted] of CASES) {
    test(`of ${url} in ${place} is ${wanted}`, () => expect(sqlitePath(url, place)).toBe(wanted));
  }
});
