import { afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Memory, NO_MARK, NOTHING_REMOVED } from "../../src/core/memory.ts";
import { type Action, type Call, scriptedServer, TAKEN } from "./scripted_server.ts";
import {
  httpMemory,
  makeFolder,
  type MemoryServer,
  outboxBefore,
  removeFolder,
  serveMemory,
  sleep,
  until,
} from "./stores.ts";
import { ask, CALLER, HTTP_SKIPS, memoryTests, said, short, storeOptions } from "./tests.ts";

/** What the outbox can do although the protocol cannot. */
const OUTBOX_CAN = new Set([
  "find() gives the turn of a key",
  "claim() gives a key to one opening at a time, and tells what is kept",
  "commit() with a claim tells of another answer under its key",
  "commit() keeps the order of 100 turns that nobody waited for",
  "a closed memory keeps its turns for the next opening",
]);

memoryTests("http behind an outbox", () => {
  const folder = makeFolder();
  let server: MemoryServer | undefined;
  return Promise.resolve({
    open(options) {
      server ??= serveMemory(folder, options);
      return Promise.resolve(outboxBefore(httpMemory(server.url), folder, options));
    },
    async dispose() {
      await server?.stop();
      removeFolder(folder);
    },
  });
}, [
  ...HTTP_SKIPS.map(({ reason, tests }) => ({
    reason,
    tests: tests.filter((name) => !OUTBOX_CAN.has(name)),
  })),
  {
    reason: "the prompt is the server's, and does not count the turns on their way",
    tests: ["apply() tells in the prompt what is not shown"],
  },
  {
    reason: "the server's limit does not count the turns on their way",
    tests: [
      "apply() gives the newest turns within the limit of turns",
      "apply() gives the newest turns within the limit of tokens",
      "apply() with no turns allowed gives none",
    ],
  },
]);

describe("the outbox", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  /** A folder, a scripted server, and what opens an outbox before it. */
  async function setUp(answer: (call: Call) => Action) {
    const folder = makeFolder();
    cleanups.push(() => removeFolder(folder));
    const server = await scriptedServer(answer);
    cleanups.push(() => server.stop());
    const options = storeOptions();
    const open = (more: Parameters<typeof outboxBefore>[3] = {}): Memory => {
      const memory = outboxBefore(httpMemory(server.url, 3000), folder, options, more);
      let isOpen = true;
      const close = memory.close.bind(memory);
      memory.close = async () => {
        if (isOpen) await close();
        isOpen = false;
      };
      cleanups.push(() => memory.close());
      return memory;
    };
    const uploads = () =>
      server.calls.filter(({ path }) => path === "/memory/upload").map(({ body }) => {
        const messages = body["messages"] as { readonly content: string }[];
        return messages.map(({ content }) => content).join(">");
      });
    const rows = (sql: string) => {
      const database = new Database(join(folder, "outbox.db"), { readonly: true });
      const values = database.query(sql).values();
      database.close();
      return values;
    };
    return { folder, server, options, open, uploads, rows };
  }

  const applied = (messages: unknown): Action => ({
    kind: "json",
    body: { code: 0, msg: "success", data: { system_prompt: "p", messages } },
  });
  const taken: Action = { kind: "json", body: TAKEN };

  test("keeps turns while the server is away, shows them, and delivers them in order", async () => {
    let isThere = false;
    const { open, uploads } = await setUp(({ path }) => {
      if (path === "/memory/apply") return applied([]);
      return isThere ? taken : { kind: "cut" };
    });
    const memory = open();
    for (let i = 0; i < 5; i++) await memory.commit(said(`q${i}`, `a${i}`));
    await until(() => uploads().length >= 3);
    const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
    expect(messages.map(({ content }) => content)).toEqual(
      [0, 1, 2, 3, 4].flatMap((i) => [`q${i}`, `a${i}`]),
    );
    const failed = uploads().length;
    expect(new Set(uploads())).toEqual(new Set(["q0>a0"]));
    isThere = true;
    await until(() => uploads().slice(failed).length >= 5);
    expect(uploads().slice(-5)).toEqual(["q0>a0", "q1>a1", "q2>a2", "q3>a3", "q4>a4"]);
  });

  test("backlog() counts the turns that wait, and nothing once they are delivered", async () => {
    let isThere = false;
    const { open } = await setUp(() => isThere ? taken : { kind: "cut" });
    const memory = open();
    expect(memory.backlog?.()).toEqual({ turns: 0, oldestAtMs: undefined });
    const first = said("q0", "a0");
    await memory.commit(first);
    await memory.commit(said("q1", "a1"));
    expect(memory.backlog?.()).toEqual({ turns: 2, oldestAtMs: first.atMs });
    isThere = true;
    await until(() => memory.backlog?.()?.turns === 0);
  });

  test("sends a turn again with its key when the answer was lost", async () => {
    let count = 0;
    const { open, server } = await setUp(() => ++count === 1 ? { kind: "cut" } : taken);
    await open().commit(said("q", "a"));
    await until(() => server.calls.length === 2);
    const keys = server.calls.map(({ headers }) => headers["idempotency-key"]);
    expect(keys[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(keys[1]).toBe(keys[0]!);
  });

  test("delivers what the last process left", async () => {
    const { folder, open, uploads, server } = await setUp(() => taken);
    const away = outboxBefore(httpMemory("http://127.0.0.1:1"), folder, storeOptions());
    await away.commit(said("q", "a"));
    await away.close();
    open();
    await until(() => server.calls.length === 1);
    expect(uploads()).toEqual(["q>a"]);
  });

  test("puts a turn that is refused for ever among the dead letters, and goes on", async () => {
    const { open, uploads, rows, options } = await setUp(({ text }) =>
      text.includes("bad")
        ? { kind: "json", body: { code: -1, msg: "参数解析错误: bad", data: {} } }
        : taken
    );
    const memory = open();
    await memory.commit(said("bad", "1"));
    await memory.commit(said("good", "2"));
    await until(() => uploads().includes("good>2"));
    expect(rows("SELECT session_id, query, answer, reason FROM dead_letters")).toEqual([
      ["s", "bad", "1", "upload_memory接口返回错误: HTTP 200, code -1"],
    ]);
    expect(options.events).toEqual([
      {
        kind: "turn_dead",
        letter: 1,
        attempts: 1,
        cause: "upload_memory接口返回错误: HTTP 200, code -1",
      },
    ]);
  });

  test("a turn that is refused for now does not hold up other sessions", async () => {
    let isRefusing = true;
    const { open, uploads } = await setUp(({ text }) =>
      isRefusing && text.includes("busy")
        ? { kind: "json", body: { code: -1, msg: "入队失败: busy", data: {} } }
        : taken
    );
    const memory = open();
    await memory.commit(said("busy", "1"));
    await memory.commit(said("behind it", "2"));
    for (let i = 0; i < 300; i++) await memory.commit(said(`q${i}`, "a", { sessionId: `o${i}` }));
    await until(() => uploads().filter((text) => text.startsWith("q")).length === 300);
    expect(uploads()).not.toContain("behind it>2");
    isRefusing = false;
    await until(() => uploads().includes("behind it>2"));
    expect(uploads().indexOf("behind it>2")).toBeGreaterThan(uploads().lastIndexOf("busy>1"));
  });

  /** What a server says that repeats what it was sent, and its status. */
  const ECHOES: readonly Action[] = [
    { kind: "json", body: { code: -1, msg: "入队失败: 秘密 secret", data: {} } },
    { kind: "json", status: 400, body: { code: -1, msg: "秘密 secret", data: {} } },
    { kind: "json", status: 503, body: { code: -1, msg: "秘密 secret", data: {} } },
    { kind: "text", status: 500, body: "secret" },
    { kind: "text", body: "secret" },
  ];
  for (const action of ECHOES) {
    test(`${JSON.stringify(action)} is told without its words, in events and dead letters`, async () => {
      const { open, options, rows } = await setUp(() => action);
      await open().commit(said("q", "a"));
      await until(() => options.events.length > 0);
      const told = JSON.stringify([options.events, rows("SELECT reason FROM dead_letters")]);
      expect(told).toMatch(/HTTP \d\d\d/);
      expect(told).not.toMatch(/秘密|secret/);
    });
  }

  /**
   * An outbox before a store that never answers to sessions whose name begins with "hang", with a
   * clock that stands.
   */
  function setUpHanging() {
    const folder = makeFolder();
    cleanups.push(() => removeFolder(folder));
    const hanging: PromiseWithResolvers<void>[] = [];
    const sent: string[] = [];
    const store: Memory = {
      name: "http",
      checkReady() {},
      apply: () => ({ systemPrompt: "", messages: [], mark: NO_MARK }),
      commit({ sessionId, query }) {
        sent.push(query);
        if (!sessionId.startsWith("hang")) return Promise.resolve();
        const answer = Promise.withResolvers<void>();
        hanging.push(answer);
        return answer.promise;
      },
      named: () => [],
      find: () => undefined,
      turns: () => [],
      page: () => ({ turns: [], next: "" }),
      remove: () => Promise.resolve({ turns: 0, sessions: 0 }),
      prune: () => Promise.resolve(0),
      close: () => Promise.resolve(),
    };
    const time = { nowMs: 0 };
    const memory = outboxBefore(store, folder, storeOptions(), { clock: () => time.nowMs });
    cleanups.push(() => memory.close());
    const hang = async (count: number) => {
      await Promise.all(Array.from(
        { length: count },
        (_, i) => memory.commit(said(`h${i}`, "a", { sessionId: `hang ${i}` })),
      ));
    };
    const good = async () => {
      await Promise.all(Array.from(
        { length: 5 },
        (_, i) => memory.commit(said(`g${i}`, "a", { sessionId: `good ${i}` })),
      ));
    };
    const goodCount = () => sent.filter((query) => query.startsWith("g")).length;
    return { memory, hanging, sent, time, hang, good, goodCount };
  }

  test("sends of more than 2 s leave their places to others, 128 of them", async () => {
    const { memory, hanging, sent, time, hang, good, goodCount } = setUpHanging();
    await hang(40);
    await memory.commit(said("behind", "a", { sessionId: "hang 0" }));
    await until(() => hanging.length === 16);
    await good();
    await until(() => {
      time.nowMs += 2000;
      return goodCount() === 5;
    });
    await hang(160);
    // All places are taken: those of long sends, and those of the others.
    await until(() => {
      time.nowMs += 2000;
      return hanging.length === 128 + 16;
    });
    time.nowMs += 2000;
    await sleep(100);
    expect(hanging.length).toBe(128 + 16);
    expect(sent).not.toContain("behind");
    await until(() => {
      for (const { resolve } of hanging.splice(0)) resolve();
      return memory.backlog?.()?.turns === 0;
    });
    expect(sent.length).toBe(40 + 160 + 1 + 5);
    expect(sent.indexOf("behind")).toBeGreaterThan(sent.indexOf("h0"));
  });

  test("sends that are given up after more than 2 s do not tell that the store is away", async () => {
    const { hanging, time, hang, good, goodCount } = setUpHanging();
    await hang(13);
    for (let round = 0; round < 4; round++) {
      await until(() => {
        time.nowMs += 2000;
        return hanging.length === 13;
      });
      for (const { reject } of hanging.splice(0)) reject(new Error("no answer"));
      await until(() => {
        time.nowMs += 2000;
        return hanging.length > 0;
      });
    }
    time.nowMs += 2000;
    for (const { reject } of hanging.splice(0)) reject(new Error("no answer"));
    await good();
    // The clock stands: no pause is waited for.
    await until(() => goodCount() === 5);
  });

  /** A clock on which the longest back-off lasts 40 ms. */
  const fastClock = () => performance.now() * 200;

  const NEVER_TAKEN: readonly (readonly [string, Action])[] = [
    ["500", { kind: "json", status: 500, body: { code: -1, msg: "no", data: {} } }],
    ["500 without JSON", { kind: "text", status: 500, body: "<html>" }],
    ["a cut connection", { kind: "cut" }],
    ["half an answer", { kind: "half", body: TAKEN }],
    ["silence", { kind: "silence" }],
  ];
  for (const [what, action] of NEVER_TAKEN) {
    test(`sessions that only get ${what} hold up no other`, async () => {
      const { open, uploads } = await setUp(({ text }) => text.includes("bad") ? action : taken);
      const memory = open();
      const bad = (i: number, query: string) =>
        memory.commit(said(`bad ${query}`, "a", { sessionId: `bad ${i}` }));
      for (let i = 0; i < 20; i++) await bad(i, "one");
      await until(() => uploads().filter((text) => text.startsWith("bad")).length >= 5);
      for (let i = 0; i < 50; i++) {
        await memory.commit(said(`good ${i}`, "a", { sessionId: `good ${i}` }));
      }
      await until(() => uploads().filter((text) => text.startsWith("good")).length === 50, 10_000);
    });
  }

  test("long queues behind turns that fail hold up no other", async () => {
    const { open, uploads } = await setUp(({ text }) =>
      text.includes("bad") ? { kind: "text", status: 500, body: "" } : taken
    );
    const memory = open();
    for (let i = 0; i < 12; i++) {
      await Promise.all(Array.from(
        { length: 900 },
        () => memory.commit(said("bad", "a", { sessionId: `bad ${i}` })),
      ));
    }
    for (let i = 0; i < 20; i++) await memory.commit(said(`good ${i}`, "a"));
    await until(() => uploads().includes("good 19>a"), 10_000);
    const good = uploads().filter((text) => text.startsWith("good"));
    expect(good).toEqual(Array.from({ length: 20 }, (_, i) => `good ${i}>a`));
  });

  test("a turn that is refused while others are taken dies, and its session goes on", async () => {
    const { open, uploads, rows, options } = await setUp(({ text }) =>
      text.includes("bad")
        ? { kind: "json", status: 500, body: { code: -1, msg: "no", data: {} } }
        : taken
    );
    const memory = open({ clock: fastClock });
    await memory.commit(said("bad", "1"));
    await memory.commit(said("next", "2"));
    let count = 0;
    await until(async () => {
      await memory.commit(said(`good ${count++}`, "a", { sessionId: "other" }));
      return uploads().includes("next>2");
    });
    expect(rows("SELECT query, reason FROM dead_letters")).toEqual([
      ["bad", "upload_memory接口返回错误: HTTP 500, code -1"],
    ]);
    const dead = options.events.filter(({ kind }) => kind === "turn_dead");
    expect(dead).toEqual([
      {
        kind: "turn_dead",
        letter: 1,
        attempts: 12,
        cause: "upload_memory接口返回错误: HTTP 500, code -1",
      },
    ]);
  });

  test("no turn dies of a server that refuses them all, however long", async () => {
    let isThere = false;
    const { open, uploads, rows } = await setUp(() =>
      isThere ? taken : { kind: "json", status: 500, body: { code: -1, msg: "no", data: {} } }
    );
    const memory = open({ clock: fastClock });
    for (let i = 0; i < 5; i++) await memory.commit(said(`q${i}`, "a", { sessionId: `s${i}` }));
    // Each of the five far more often than twelve times.
    await until(() => uploads().length > 5 * 20);
    const counts = Map.groupBy(uploads(), (text) => text);
    for (const tries of counts.values()) expect(tries.length).toBeGreaterThan(5);
    expect(rows("SELECT count(*) FROM dead_letters")).toEqual([[0]]);
    isThere = true;
    await until(() => memory.backlog?.()?.turns === 0);
  });

  test("refuses a session of which a sixteenth of the outbox waits, and no other", async () => {
    const { open } = await setUp(() => ({ kind: "cut" }));
    const memory = open({ bytesMax: 16 * 100_000 });
    memory.checkReady("s");
    await memory.commit(said("水".repeat(20_000), "x".repeat(40_000)));
    expect(() => memory.checkReady("s")).toThrow(
      /This session takes no turns now: 1 of it, 100000 bytes, wait for their store/,
    );
    memory.checkReady("other");
  });

  test("refuses a session of which a thousand turns wait, and no other", async () => {
    const { open } = await setUp(() => ({ kind: "cut" }));
    const memory = open();
    await Promise.all(Array.from({ length: 1000 }, (_, i) => memory.commit(said(`q${i}`, "a"))));
    expect(() => memory.checkReady("s")).toThrow(/This session takes no turns now: 1000 of it/);
    memory.checkReady("other");
  });

  test("shows a turn that the server took and does not show yet, once", async () => {
    let shown: unknown[] = [];
    const { open, server } = await setUp(({ path }) =>
      path === "/memory/apply" ? applied(shown) : taken
    );
    const memory = open({ graceMs: 60_000 });
    const history = async () =>
      (await memory.apply(ask({ sessionId: "s" }), CALLER)).messages.map(({ content }) => content);
    await memory.commit(said("one", "1"));
    await memory.commit(said("two", "2"));
    await until(() => server.calls.length === 2);
    expect(await history()).toEqual(["one", "1", "two", "2"]);
    shown = [{ role: "user", content: "one" }, { role: "assistant", content: "1" }];
    expect(await history()).toEqual(["one", "1", "two", "2"]);
    shown = [
      ...shown,
      { role: "user", content: "two" },
      { role: "assistant", content: "2" },
      { role: "user", content: "from elsewhere" },
      { role: "assistant", content: "3" },
    ];
    expect(await history()).toEqual(["one", "1", "two", "2", "from elsewhere", "3"]);
  });

  test("refuses new requests with 503 when it is full, and takes them when it is not", async () => {
    let isThere = false;
    const { open } = await setUp(() => isThere ? taken : { kind: "cut" });
    const memory = open({ bytesMax: 1_048_576 });
    memory.checkReady();
    for (let i = 0; i < 12; i++) await memory.commit(said("q", "x".repeat(100_000)));
    expect(() => memory.checkReady()).toThrow(/1048576 bytes of them wait for its store/);
    expect(memory.health?.()?.trouble).toMatch(/1048576 bytes of them wait for its store/);
    isThere = true;
    await until(() => {
      try {
        memory.checkReady();
        return true;
      } catch {
        return false;
      }
    });
  });

  test("is shared by two processes: one delivers, both show what waits", async () => {
    let isThere = false;
    const { open, uploads, server } = await setUp(({ path }) => {
      if (path === "/memory/apply") return applied([]);
      return isThere ? taken : { kind: "cut" };
    });
    const [a, b] = [open(), open()];
    await b.commit(said("one", "1"));
    await a.commit(said("two", "2"));
    for (const memory of [a, b]) {
      const { messages } = await memory.apply(ask({ sessionId: "s" }), CALLER);
      expect(messages.map(({ content }) => content)).toEqual(["one", "1", "two", "2"]);
    }
    isThere = true;
    const before = server.calls.length;
    await until(() => uploads().includes("two>2"));
    expect(server.calls.slice(before).length).toBeLessThanOrEqual(3);
    await a.close();
    await b.commit(said("three", "3"));
    await until(() => uploads().includes("three>3")); // b has taken over
  }, 20_000);

  test("is refused to a weir with another store while it is in use, or while turns wait", async () => {
    const { open } = await setUp(() => ({ kind: "cut" }));
    const memory = open({ target: "http://one" });
    expect(() => open({ target: "http://two" })).toThrow(/another weir uses it for http:\/\/one/);
    await memory.commit(said("q", "a"));
    await memory.close();
    expect(() => open({ target: "http://two" })).toThrow(/turns for http:\/\/one wait in it/);
  });

  test("remove() forgets what waits, and what is dead, of whoever is named", async () => {
    const { open, rows } = await setUp(({ path, text }) => {
      if (path === "/memory/messages") return applied([]);
      if (path === "/memory/delete") {
        return { kind: "json", body: { code: -1, msg: `${NOTHING_REMOVED}: x`, data: {} } };
      }
      const isDead = text.includes("dead");
      return isDead ? { kind: "json", status: 400, body: { code: -1, msg: "x" } } : { kind: "cut" };
    });
    const memory = open();
    await memory.commit(said("dead", "0", { userId: "u", roleId: "d" }));
    await until(() => rows("SELECT 1 FROM dead_letters").length === 1);
    await memory.commit(said("one", "1", { userId: "u", roleId: "r" }));
    await memory.commit(said("two", "2", { userId: "u", roleId: "r" }));
    await memory.commit(said("three", "3", { sessionId: "s", userId: "u" }));
    await memory.commit(said("four", "4", { userId: "other" }));
    expect(await memory.remove(ask({ userId: "u" }))).toEqual({ turns: 4, sessions: 3 });
    expect(rows("SELECT session_id FROM turns")).toEqual([["user_id=other"]]);
    expect(rows("SELECT session_id FROM dead_letters")).toEqual([]);
    expect(await memory.remove(ask({ userId: "u" }))).toEqual({ turns: 0, sessions: 0 });
  });

  test("is taken over by another store once it is empty", async () => {
    const { open, rows } = await setUp(() => taken);
    const memory = open({ target: "http://one" });
    await memory.commit(said("q", "a"));
    await until(() => rows("SELECT 1 FROM turns WHERE delivered_ms IS NULL").length === 0);
    await memory.close();
    await open({ target: "http://two" }).close();
  });

  test("a file that vanishes is noticed; turns go on in a new one, and each is delivered", async () => {
    let isThere = false;
    const { open, uploads, rows, options, folder } = await setUp(() =>
      isThere ? taken : { kind: "cut" }
    );
    const memory = open();
    const other = open();
    await memory.commit(said("gone", "0"));
    for (const end of ["", "-wal", "-shm", ".lock"]) rmSync(join(folder, `outbox.db${end}`));
    await memory.commit(said("one", "1"));
    await other.commit(said("two", "2"));
    expect(rows("SELECT query FROM turns ORDER BY seq")).toEqual([["one"], ["two"]]);
    isThere = true;
    await until(() => uploads().includes("two>2"));
    await until(() => memory.backlog?.()?.turns === 0);
    expect(uploads().filter((text) => text === "one>1").length).toBeGreaterThan(0);
    expect(options.events.map(({ kind }) => kind)).toContain("memory_file_vanished");
    expect(memory.health?.()?.trouble).toMatch(/what it held is gone/);
  });

  test("remove() waits for a turn that another process is sending", async () => {
    const cameMs = new Map<string, number>();
    const { open, server } = await setUp(({ path }) => {
      cameMs.set(path, performance.now());
      if (path === "/memory/upload") return { kind: "late", afterMs: 150, body: TAKEN };
      const data = path === "/memory/messages" ? { messages: [] } : {};
      return { kind: "json", body: { code: 0, msg: "success", data } };
    });
    const sender = open();
    const remover = open();
    await sender.commit(said("one", "1"));
    await until(() => server.calls.length === 1);
    await remover.remove(ask({ sessionId: "s" }));
    // The turn was answered 150 ms after it came, and the removal came behind that.
    const waitedMs = cameMs.get("/memory/delete")! - cameMs.get("/memory/upload")!;
    expect(waitedMs).toBeGreaterThan(140);
    expect(short(await sender.turns("s", 10))).toEqual([]);
  });

  test("remove() forgets what waits, and what the server has", async () => {
    let isThere = false;
    const deleted: unknown[] = [];
    const { open, uploads } = await setUp(({ path, body }) => {
      if (path === "/memory/messages") {
        return { kind: "json", body: { code: 0, msg: "success", data: { messages: [] } } };
      }
      if (path === "/memory/delete") {
        deleted.push(body["session_id"]);
        return { kind: "json", body: { code: 0, msg: "success", data: {} } };
      }
      return isThere ? taken : { kind: "cut" };
    });
    const memory = open();
    await memory.commit(said("one", "1"));
    await memory.commit(said("two", "2", { sessionId: "other" }));
    await memory.remove(ask({ sessionId: "s" }));
    expect(deleted).toEqual(["s"]);
    expect(short(await memory.turns("s", 10))).toEqual([]);
    const before = uploads().length;
    isThere = true;
    await until(() => uploads().includes("two>2"));
    expect(uploads().slice(before)).not.toContain("one>1");
  });
});
