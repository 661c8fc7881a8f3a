import { afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { join } from "node:path";
import type { Memory } from "../../src/core/memory.ts";
import { meantSession } from "../../src/core/session.ts";
import { openDatabase } from "../../src/memory/database.ts";
import { JOINED_SQL } from "../../src/memory/joined_names.ts";
import { OUTBOX_MIGRATIONS } from "../../src/memory/outbox_file.ts";
import { openSqliteMemory } from "../../src/memory/sqlite.ts";
import { MIGRATIONS } from "../../src/memory/sqlite_statements.ts";
import { clock, makeFolder, outboxBefore, removeFolder, until } from "./stores.ts";
import { ask, CALLER, said, short, storeOptions } from "./tests.ts";

/** Sessions of an older weir: name, user, role, group → the name of today. */
const OLD: readonly (readonly [string, string, string, string, string])[] = [
  ["u1_tiffany", "u1", "tiffany", "", "user_id=u1&role_id=tiffany"],
  ["群_u_r", "u", "r", "群", "group_id=%E7%BE%A4&user_id=u&role_id=r"],
  ["u", "u", "", "", "user_id=u"],
  ["s1", "u1", "tiffany", "", "s1"],
  ["u1_tiffany_x", "u1", "tiffany", "", "u1_tiffany_x"],
  ["made-up", "", "", "", "made-up"],
];

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function folder(): string {
  const path = makeFolder();
  cleanups.push(() => removeFolder(path));
  return path;
}

/** A file of an older weir, with a turn in each of its sessions. */
function oldFile(path: string): Database {
  const old = openDatabase(path, "process", MIGRATIONS.slice(0, 2));
  for (const [name, userId, roleId, groupId] of OLD) addOld(old, name, userId, roleId, groupId);
  cleanups.push(() => old.close());
  return old;
}

function addOld(old: Database, name: string, userId: string, roleId: string, groupId: string) {
  old.query("INSERT INTO sessions (name, user_id, role_id, group_id, began_ms) VALUES (?,?,?,?,0)")
    .run(name, userId, roleId, groupId);
  old.query(
    "INSERT INTO turns (session, number, at_ms, is_partial, key, query, answer) " +
      "VALUES (last_insert_rowid(), 1, 0, 0, 'k', ?, 'old')",
  ).run(name);
}

function open(path: string): Memory {
  const options = { ...storeOptions(), path, durability: "process", clock } as const;
  const memory = openSqliteMemory(options);
  cleanups.push(() => memory.close());
  return memory;
}

describe("an embedded memory of an older weir", () => {
  for (const [name, userId, roleId, groupId, wanted] of OLD) {
    test(`has "${name}" of ${[groupId, userId, roleId]} as "${wanted}"`, async () => {
      const path = join(folder(), "weir.db");
      oldFile(path);
      const memory = open(path);
      expect(short(await memory.turns(wanted, 10))).toEqual([`${name}>old`]);
      // Whoever names it as before finds it.
      const asked = ask({ sessionId: name });
      expect((await meantSession(memory, asked)).sessionId).toBe(wanted);
    });
  }

  test("is migrated by two processes at once, and by one that finds it half done", async () => {
    const path = join(folder(), "weir.db");
    const old = oldFile(path);
    old.transaction(() => {
      for (let i = 0; i < 2500; i++) addOld(old, `u${i}_r`, `u${i}`, "r", "");
    })();
    const code = `import { openSqliteMemory } from "./src/memory/sqlite.ts";
      import { storeOptions } from "./test/memory/tests.ts";
      openSqliteMemory({ ...storeOptions(), path: ${JSON.stringify(path)},
        durability: "process", clock: () => 0 }).close();`;
    const start = () =>
      Bun.spawn([process.execPath, "--no-env-file", "-e", code], { stderr: "inherit" });
    const killed = start();
    await Bun.sleep(0);
    const others = [start(), start()];
    killed.kill("SIGKILL");
    expect(await Promise.all(others.map(({ exited }) => exited))).toEqual([0, 0]);
    const memory = open(path);
    expect(old.query(`SELECT name FROM sessions WHERE name = (${JOINED_SQL})`).values()).toEqual(
      [],
    );
    for (const i of [0, 999, 1000, 2499]) {
      expect(short(await memory.turns(`user_id=u${i}&role_id=r`, 10))).toEqual([`u${i}_r>old`]);
    }
  }, 30_000);

  test("has no role's prompt any more: it was everybody's", async () => {
    const path = join(folder(), "weir.db");
    const old = oldFile(path);
    old.run("INSERT INTO roles VALUES ('tiffany', 'whose?')");
    const memory = open(path);
    const told = async () =>
      (await memory.apply(ask({ userId: "u1", roleId: "tiffany" }), CALLER)).systemPrompt;
    expect(await told()).not.toContain("whose?");
    // A process of the older weir may go on.
    old.run("INSERT INTO roles VALUES ('tiffany', 'whose?')");
    expect(await told()).not.toContain("whose?");
  });

  test("that still runs has its new sessions merged into those of today", async () => {
    const path = join(folder(), "weir.db");
    const old = oldFile(path);
    const memory = open(path);
    await memory.commit(said("before", "1", { userId: "u9", roleId: "r", key: "k" }));
    addOld(old, "u9_r", "u9", "r", "");
    old.run("UPDATE turns SET key = 'other' WHERE query = 'u9_r'");
    addOld(old, "u8_r", "u8", "r", "");
    const shown = async (of: Memory, userId: string) =>
      (await of.apply(ask({ userId, roleId: "r" }), CALLER)).messages.map(({ content }) => content);
    expect(await shown(memory, "u8")).toEqual([]);
    const later = open(path);
    for (const each of [memory, later]) {
      expect(await shown(each, "u8")).toEqual(["u8_r", "old"]);
      expect(await shown(each, "u9")).toEqual(["before", "1", "u9_r", "old"]);
    }
    await memory.commit(said("after", "2", { userId: "u9", roleId: "r" }));
    const { systemPrompt } = await later.apply(ask({ userId: "u9", roleId: "r" }), CALLER);
    expect(systemPrompt).toContain("has 3 turns so far");
  });

  test("finds what it looks for by an index", () => {
    const path = join(folder(), "weir.db");
    open(path);
    const database = new Database(path);
    const plan = (sql: string) => JSON.stringify(database.query(`EXPLAIN QUERY PLAN ${sql}`).all());
    expect(plan(`SELECT id FROM sessions WHERE name = (${JOINED_SQL}) LIMIT 9`))
      .toContain("sessions_renamed");
    expect(
      plan("SELECT name FROM sessions WHERE joined = ? AND joined <> '' ORDER BY name LIMIT 2"),
    )
      .toContain("SEARCH sessions USING COVERING INDEX sessions_joined");
    database.close();
  });
});

describe("an outbox of an older weir", () => {
  test("delivers to the sessions of today, and keeps their order", async () => {
    const place = folder();
    const path = join(place, "outbox.db");
    const old = openDatabase(path, "process", OUTBOX_MIGRATIONS.slice(0, 1));
    const insert = old.query(
      "INSERT INTO turns (session_id, user_id, role_id, group_id, key, has_client_key, query, " +
        "answer, is_partial, at_ms) VALUES (?, ?, ?, ?, ?, 0, ?, 'old', 0, 0)",
    );
    for (const [name, userId, roleId, groupId] of OLD) {
      for (const i of [1, 2]) insert.run(name, userId, roleId, groupId, `k${i}`, `${name} ${i}`);
    }
    old.run(
      "INSERT INTO dead_letters (session_id, user_id, role_id, group_id, key, query, answer, " +
        "is_partial, at_ms, died_ms, reason) VALUES ('u_r', 'u', 'r', '', 'k', 'q', 'a', 0, 0, 0, '')",
    );
    old.close();
    const store = open(join(place, "store.db"));
    let isAway = true;
    const commit: Memory["commit"] = (turn) =>
      isAway ? Promise.reject(new Error("away")) : store.commit(turn);
    const behind: Memory = Object.assign(Object.create(store), {
      commit,
      turns: store.turns.bind(store),
      named: store.named.bind(store),
      apply: store.apply.bind(store),
      close: () => Promise.resolve(),
    });
    const memory = outboxBefore(behind, place, storeOptions());
    cleanups.push(() => memory.close());
    expect(await memory.named("u1_tiffany")).toContain("user_id=u1&role_id=tiffany");
    for (const [name, , , , wanted] of OLD) {
      const waiting = [`${name} 1>old`, `${name} 2>old`];
      expect(short(await memory.turns(wanted, 10))).toEqual(waiting);
    }
    isAway = false;
    for (const [name, , , , wanted] of OLD) {
      await until(async () => (await store.turns(wanted, 10)).length === 2);
      expect(short(await store.turns(wanted, 10))).toEqual([`${name} 1>old`, `${name} 2>old`]);
    }
    const file = new Database(path, { readonly: true });
    expect(file.query("SELECT session_id FROM dead_letters").values()).toEqual([
      ["user_id=u&role_id=r"],
    ]);
    file.close();
  });
});
