import { describe, expect, test } from "bun:test";
import { chmodSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "../../src/core/errors.ts";
import type { Event } from "../../src/core/events.ts";
import type { Store, UsageRow } from "../../src/core/store.ts";
import { Spool } from "../../src/lib/spool.ts";
import { openSqliteStore } from "../../src/store/sqlite.ts";
import { UsageLog } from "../../src/store/usage_log.ts";
import { makeFolder, removeFolder } from "../memory/stores.ts";
import { cleanEnv, waitFor } from "../server/launch.ts";
import { NOW_MS, used } from "./tests.ts";

/** A store that takes usage as long as it is told to. */
class ToldStore implements Pick<Store, "addUsage"> {
  readonly rows = new Map<string, UsageRow>();
  isAway = false;
  additions = 0;
  /** It goes away behind so many additions. */
  goesAwayAfter = Infinity;

  addUsage(rows: readonly UsageRow[]): Promise<void> {
    if (this.additions++ >= this.goesAwayAfter) {
      this.isAway = true;
      this.goesAwayAfter = Infinity;
    }
    if (this.isAway) return Promise.reject(new AppError("store_failed", "away"));
    for (const row of rows) this.rows.set(row.id, row);
    return Promise.resolve();
  }
}

/** Works with a log in a folder of its own. */
async function withLog(
  work: (rig: {
    readonly store: ToldStore;
    readonly folder: string;
    readonly events: Event[];
    readonly open: () => UsageLog;
  }) => Promise<void>,
): Promise<void> {
  const folder = makeFolder();
  const store = new ToldStore();
  const events: Event[] = [];
  const open = () =>
    new UsageLog({
      store: store as unknown as Store,
      folder: join(folder, "usage"),
      uuid: () => Bun.randomUUIDv7(),
      watch: (event) => events.push(event),
    });
  try {
    await work({ store, folder: join(folder, "usage"), events, open });
  } finally {
    removeFolder(folder);
  }
}

describe("UsageLog", () => {
  test("gathers rows, and empties its file at the end", () =>
    withLog(async ({ store, folder, open }) => {
      const log = open();
      for (let i = 0; i < 100; i++) log.add(used(`r${i}`));
      expect(store.rows.size).toBe(0);
      await waitFor(() => store.rows.size === 100, "the rows");
      expect(store.additions).toBe(1);
      await log.close();
      expect(readdirSync(folder)).toEqual([]);
    }));

  test("keeps what the store does not take, and says so once", () =>
    withLog(async ({ store, events, open }) => {
      const log = open();
      store.isAway = true;
      log.add(used("a"));
      await expect(log.flush()).rejects.toMatchObject({ code: "store_failed" });
      await expect(log.flush()).rejects.toMatchObject({ code: "store_failed" });
      expect(log.trouble).toBe("away");
      store.isAway = false;
      await waitFor(() => store.rows.size === 1, "the next try");
      expect(log.trouble).toBe("");
      expect(events.map(({ kind }) => kind)).toEqual(["store_failed", "store_recovered"]);
      await log.close();
    }));

  test("more than memory holds waits in the file", () =>
    withLog(async ({ store, open }) => {
      const log = open();
      store.isAway = true;
      const count = 50_010;
      for (let i = 0; i < count; i++) log.add(used(`r${i}`));
      await expect(log.flush()).rejects.toThrow();
      expect(log.waiting.length).toBe(50_000);
      store.isAway = false;
      // What is in the file alone is not forgotten when the store goes just before it would take that.
      store.goesAwayAfter = store.additions + 50;
      await expect(log.flush()).rejects.toThrow();
      await expect(log.flush()).rejects.toThrow();
      store.isAway = false;
      await log.flush();
      expect(store.rows.size).toBe(count);
      await log.close();
    }));

  test("what a killed process has left is taken as long as the store can tell it is new", () =>
    withLog(async ({ store, folder, events }) => {
      const spool = new Spool(folder, "dead");
      for (const atMs of [1, 2, 3]) spool.add(JSON.stringify(used(`r${atMs}`, { atMs })));
      spool.close();
      const log = new UsageLog({
        store,
        folder,
        uuid: () => "next",
        watch: (event) => events.push(event),
        takenSinceMs: () => 2,
      });
      await log.recover();
      expect([...store.rows.keys()]).toEqual(["r2", "r3"]);
      expect(events).toEqual([{ kind: "usage_lost", count: 1 }]);
      await log.close();
    }));

  test("what is left when the store is away at the end is taken by the next one", () =>
    withLog(async ({ store, folder, open }) => {
      const log = open();
      store.isAway = true;
      log.add(used("a"));
      await log.close();
      expect(readdirSync(folder).length).toBe(2);
      const next = open();
      await expect(next.recover()).rejects.toMatchObject({ code: "store_failed" });
      expect(readdirSync(folder).some((name) => name.endsWith(".lines"))).toBe(true);
      store.isAway = false;
      await next.recover();
      expect([...store.rows.keys()]).toEqual(["a"]);
      expect(readdirSync(folder)).toEqual([]);
      await next.close();
    }));

  test("what a process that lives has in its file is its own", () =>
    withLog(async ({ store, open }) => {
      const [log, other] = [open(), open()];
      store.isAway = true;
      log.add(used("a"));
      store.isAway = false;
      await other.recover();
      expect(store.rows.size).toBe(0);
      await log.close();
      expect(store.rows.size).toBe(1);
      await other.close();
    }));

  test("a line that was cut off is no row", () =>
    withLog(async ({ store, folder, open }) => {
      const spool = new Spool(folder, "dead");
      spool.add(JSON.stringify(used("a")));
      spool.add('{"id":"b');
      spool.close();
      writeFileSync(join(folder, "dead.lines"), `${JSON.stringify(used("c"))}\n{"id":"d"`, {
        flag: "a",
      });
      await open().recover();
      expect([...store.rows.keys()]).toEqual(["a", "c"]);
    }));

  test("without a file, rows are kept as long as the process is, and it says so", () =>
    withLog(async ({ store, folder, events }) => {
      writeFileSync(folder, "no folder");
      chmodSync(folder, 0o600);
      const log = new UsageLog({
        store: store as unknown as Store,
        folder: join(folder, "below"),
        uuid: () => "x",
        watch: (event) => events.push(event),
      });
      log.add(used("a"));
      log.add(used("b"));
      expect(log.trouble).toStartWith("usage would be lost with this process: ");
      expect(events.map(({ kind }) => kind)).toEqual(["usage_unsafe"]);
      await log.close();
      expect(store.rows.size).toBe(2);
    }));

  test("ask() has everything before it with the store, and nothing more until it is answered", () =>
    withLog(async ({ store, open }) => {
      const log = open();
      log.add(used("a"));
      const { promise: asked, resolve: answer } = Promise.withResolvers<void>();
      const done = log.ask(async () => {
        const seen = store.rows.size;
        log.add(used("b"));
        void log.flush();
        await asked;
        return [seen, store.rows.size, log.waiting.length];
      });
      answer();
      expect(await done).toEqual([1, 1, 1]);
      await log.close();
      expect(store.rows.size).toBe(2);
    }));
});

test(
  "no row that was added is lost when its process is killed, and none counts twice",
  async () => {
    const folder = makeFolder();
    const path = join(folder, "weir.db");
    const spools = join(folder, "usage");
    const told: string[] = [];
    for (let round = 0; round < 6; round++) {
      const child = Bun.spawn(
        [
          process.execPath,
          "--no-env-file",
          join(import.meta.dir, "usage_process.ts"),
          path,
          spools,
        ],
        { env: cleanEnv(), stdout: "pipe", stderr: "inherit" },
      );
      let text = "";
      const read = (async () => {
        const decoder = new TextDecoder();
        for await (const bytes of child.stdout) text += decoder.decode(bytes, { stream: true });
      })();
      const enough = 500 + round * 911;
      await waitFor(() => text.split("\n").length > enough, "rows");
      child.kill("SIGKILL");
      await child.exited;
      await read;
      told.push(...text.split("\n").slice(0, -1));
    }
    const store = openSqliteStore({ path, clock: () => performance.now(), sleep: Bun.sleep });
    const log = new UsageLog({ store, folder: spools, uuid: () => "next", watch: () => {} });
    await log.recover();
    await log.recover();
    const [spent] = await store.spent(NOW_MS);
    await store.addUsage(told.map((id) => used(id))); // those that are there stay as they are
    expect((await store.spent(NOW_MS))[0]!.dayTokens).toBe(spent!.dayTokens);
    // At most the one row of each process that was added and not told.
    const unheard = spent!.dayTokens / 7 - told.length;
    expect(unheard).toBeGreaterThanOrEqual(0);
    expect(unheard).toBeLessThanOrEqual(6);
    await log.close();
    await store.close();
    removeFolder(folder);
  },
  120_000,
);
