import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Memory } from "../../src/core/memory.ts";
import { mayHaveTurns, type MemoryConfig, openMemory, sqlitePath } from "../../src/memory/open.ts";
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
