import { afterEach, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { rmSync } from "node:fs";
import { join } from "node:path";
import {
  launch,
  type LaunchOptions,
  makeFolder,
  run,
  TEST_MS_MAX,
  waitFor,
  type Weir,
} from "./launch.ts";
import { scriptedServer, TAKEN } from "../memory/scripted_server.ts";
import { remembered } from "./remembered.ts";

const DONE = "data: [DONE]\n\n";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function start(options: LaunchOptions = {}): Promise<Weir> {
  const weir = await launch(options);
  cleanups.push(() => weir.stop());
  return weir;
}

function folder(): string {
  const path = makeFolder();
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function ask(weir: Weir, query: string, sessionId = "s", more: object = {}) {
  const response = await fetch(`${weir.url}/v1/response`, {
    method: "POST",
    body: JSON.stringify({ query, session_id: sessionId, ...more }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

async function queries(weir: Weir, sessionId = "s"): Promise<string[]> {
  const response = await fetch(`${weir.url}/memory/messages`, {
    method: "POST",
    body: JSON.stringify({ session_id: sessionId }),
  });
  const { data } = await response.json() as {
    data: { messages: { role: string; content: string }[] };
  };
  return data.messages.filter(({ role }) => role === "user").map(({ content }) => content);
}

describe("a full disk", () => {
  /** Kibibytes that no file of this weir may outgrow. */
  const LIMIT_KIB = 200;
  const under = [
    "bash",
    "-c",
    // Without the trap the kernel would end the process instead of failing the write.
    `trap '' XFSZ; ulimit -S -f ${LIMIT_KIB}; exec "$@"`,
    "-",
  ];

  test(
    "ends streams without [DONE], refuses with 503, and is over when a write succeeds",
    async () => {
      const weir = await start({ under, set: { "ops.log": "errors" } });
      const long = "长".repeat(20_000);
      const kept: string[] = [];
      let failed = "";
      for (let i = 0; failed === "" && i < 20; i++) {
        const query = `${i} ${long}`;
        const { text } = await ask(weir, query);
        if (text.endsWith(DONE)) kept.push(query);
        else failed = text;
      }
      expect(kept.length).toBeGreaterThan(0);
      expect(failed).toStartWith(
        'data: {"code":0,"msg":"success","data":{"content":"powered "}}\n\n',
      );
      expect(failed).toMatch(
        /data: \{"code":-1,"msg":"流式响应错误: The memory takes no turns now: [^\n]*\n\n$/,
      );
      expect(failed).not.toContain("[DONE]");

      const refused = await ask(weir, "later");
      expect(refused.status).toBe(503);
      expect(refused.headers.get("retry-after")).toBe("1");
      expect(refused.text).toMatch(
        /^\{"code":-1,"msg":"The memory takes no turns now: [^"]*","data":\{\}\}\n$/,
      );
      expect((await ask(weir, "later", "s", { stream: false })).status).toBe(503);
      expect(weir.errors()).toContain("memory_write_failed");

      const raise = Bun.spawn(["prlimit", "--pid", String(weir.pid), "--fsize=unlimited"]);
      expect(await raise.exited).toBe(0);
      await waitFor(async () => (await ask(weir, "again")).text.endsWith(DONE));
      expect(await queries(weir)).toEqual([...kept, "again"]);
      expect(weir.errors()).toContain("memory_write_recovered");
    },
    30_000,
  );
});

describe("a database that is removed while weir runs", () => {
  for (const workers of [1, 2]) {
    test(
      `is noticed, and no [DONE] is shown for what is not kept (${workers} workers)`,
      async () => {
        const weir = await start({ set: { "server.workers": workers, "ops.log": "errors" } });
        for (let i = 0; i < 4; i++) expect((await ask(weir, `before ${i}`)).text).toEndWith(DONE);
        expect((await weir.health())["memory"]).toBe("ok");
        const path = join(weir.folder, "weir.db");
        for (const end of ["", "-wal", "-shm"]) rmSync(path + end);
        const done: string[] = [];
        for (let i = 0; i < 20; i++) {
          if ((await ask(weir, `after ${i}`)).text.endsWith(DONE)) done.push(`after ${i}`);
        }
        expect(remembered(path).get("s") ?? []).toEqual(done);
        expect(done.length).toBeGreaterThan(0);
        expect(weir.errors()).toContain("memory_file_vanished");
        expect(await weir.health()).toMatchObject({
          status: "degraded",
          memory: expect.stringContaining("was removed or replaced while weir ran"),
        });
        const { status } = await fetch(`${weir.url}/health`);
        expect(status).toBe(200);
      },
      TEST_MS_MAX,
    );
  }

  test("takes the outbox's place too: turns go on, and reach their store", async () => {
    const server = await start({});
    const near = await start({ set: { "memory.url": server.url, "ops.log": "errors" } });
    expect((await ask(near, "before")).text).toEndWith(DONE);
    await waitFor(async () => (await queries(server)).length === 1);
    const path = join(near.folder, "weir-outbox.db");
    for (const end of ["", "-wal", "-shm", ".lock"]) rmSync(path + end);
    expect((await ask(near, "after")).text).toEndWith(DONE);
    await waitFor(async () => (await queries(server)).length === 2);
    expect(near.errors()).toContain("memory_file_vanished");
    expect((await near.health())["status"]).toBe("degraded");
  }, TEST_MS_MAX);
});

describe("a folder in which no database can be made", () => {
  /** Takes the right to write from whoever runs weir: root has it everywhere. */
  const under = [
    "bash",
    "-c",
    process.getuid?.() === 0
      ? 'chmod 555 . && exec setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"'
      : 'chmod 555 . && exec "$@"',
    "-",
  ];

  test("is told at the start and by health; turns fail before they are answered", async () => {
    const weir = await start({ under });
    expect(weir.output()).toMatch(/^memory: \/v1\/response and \/memory\/\* fail: Cannot make/m);
    const health = await weir.health();
    expect(health).toMatchObject({ status: "degraded" });
    expect(health["memory"]).toMatch(/^Cannot make the memory file weir\.db: EACCES/);
    const answer = await ask(weir, "q");
    expect(answer.status).toBe(500);
    expect(answer.text).toMatch(/^{"code":-1,"msg":"Cannot open the memory file/);
    const mock = await fetch(`${weir.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "x" }] }),
    });
    expect(mock.status).toBe(200);
  }, TEST_MS_MAX);

  test("refuses the start where memory.url asks for it", async () => {
    const { code, errors } = await run([
      "serve",
      "--port",
      "0",
      "--set",
      "memory.url=sqlite://a/b",
    ]);
    expect(code).toBe(1);
    expect(errors).toMatch(/^weir: Cannot make the memory file a\/b: ENOENT/m);
  }, TEST_MS_MAX);
});

describe("two weirs on one database", () => {
  test("see each other's turns at once, and lose and double none", async () => {
    const url = `sqlite://${join(folder(), "weir.db")}`;
    const weirs = await Promise.all([1, 2].map(() => start({ set: { "memory.url": url } })));
    const asked: string[] = [];
    for (let i = 0; i < 20; i++) {
      const query = `q${i}`;
      expect((await ask(weirs[i % 2]!, query)).text).toEndWith(DONE);
      asked.push(query);
      for (const weir of weirs) expect(await queries(weir)).toEqual(asked);
    }
    const busy = Array.from({ length: 300 }, (_, i) => ask(weirs[i % 2]!, `b${i}`, `s${i % 5}`));
    for (const { text } of await Promise.all(busy)) expect(text).toEndWith(DONE);
    const found = await Promise.all([0, 1, 2, 3, 4].map((i) => queries(weirs[0]!, `s${i}`)));
    expect(found.flat().sort()).toEqual(Array.from({ length: 300 }, (_, i) => `b${i}`).sort());
  }, TEST_MS_MAX);

  test("keep the one turn of an Idempotency-Key that both were asked with", async () => {
    const path = join(folder(), "weir.db");
    const set = { "memory.url": `sqlite://${path}` };
    const weirs = await Promise.all([1, 2].map(() => start({ set })));
    await Promise.all(weirs.map((weir) =>
      fetch(`${weir.url}/v1/response`, {
        method: "POST",
        headers: { "idempotency-key": "k" },
        body: JSON.stringify({ query: "q", session_id: "s" }),
      }).then((response) => response.text())
    ));
    expect(await queries(weirs[0]!)).toEqual(["q"]);
  });
});

describe("a memory server that never takes the turns of one session", () => {
  const REFUSALS: readonly (readonly [number, "dead" | "waiting"])[] = [
    [413, "dead"],
    [500, "waiting"],
  ];
  for (const [status, fate] of REFUSALS) {
    test(`with ${status} holds up no other; what became of them is told`, async () => {
      const server = await scriptedServer(({ path, text }) => {
        if (path === "/memory/apply") {
          const data = { system_prompt: "", messages: [] };
          return { kind: "json", body: { code: 0, msg: "success", data } };
        }
        return text.includes("坏") ? { kind: "text", body: "", status } : {
          kind: "json",
          body: TAKEN,
        };
      });
      cleanups.push(() => server.stop());
      const weir = await start({ set: { "memory.url": server.url, "ops.log": "errors" } });
      expect((await ask(weir, "坏", "bad")).text).toEndWith(DONE);
      for (let i = 0; i < 5; i++) {
        expect((await ask(weir, `good ${i}`, `good ${i}`)).text).toEndWith(DONE);
      }
      const arrived = () =>
        server.calls.filter(({ path, text }) => path.endsWith("upload") && text.includes("good"));
      await waitFor(() => arrived().length === 5);
      const health = async () => (await weir.health())["dead_letters"];
      if (fate === "dead") await waitFor(async () => await health() === 1);
      else expect(await health()).toBeUndefined();
      const metrics = await (await fetch(`${weir.url}/metrics`)).text();
      const [letters, waiting] = fate === "dead" ? [1, 0] : [0, 1];
      expect(metrics).toContain(`\nweir_outbox_dead_letters ${letters}\n`);
      expect(metrics).toContain(`\nweir_outbox_turns ${waiting}\n`);
      await waitFor(() =>
        weir.errors().includes(fate === "dead" ? "turn_dead" : "delivery_retried")
      );
      expect(weir.errors()).not.toContain("坏");
    }, TEST_MS_MAX);
  }
});

describe("a weir whose memory is another weir", () => {
  test("shows a turn that is on its way, and delivers it when the other is back", async () => {
    const place = folder();
    const serverPath = join(place, "server.db");
    const token = { "auth.token": "" };
    const first = await start({ set: { ...token, "memory.url": `sqlite://${serverPath}` } });
    // A road whose end can be moved, since a port that was left may be taken by somebody else.
    let end = first.url;
    const seen: unknown[] = [];
    const road = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        const { pathname } = new URL(request.url);
        const body = await request.text();
        try {
          const answer = await fetch(end + pathname, { method: request.method, body });
          const text = await answer.text();
          if (pathname === "/memory/apply") seen.push(text);
          return new Response(text, { status: answer.status });
        } catch {
          return new Response("nobody there", { status: 502 });
        }
      },
    });
    cleanups.push(() => road.stop(true));
    const near = await start({
      set: { "memory.url": `http://127.0.0.1:${road.port}`, "ops.log": "off" },
    });
    expect((await ask(near, "one")).text).toEndWith(DONE);
    await waitFor(async () => (await queries(first)).length === 1);

    // The other one is killed while an answer is being given.
    const slow = await start({
      set: {
        "memory.url": `http://127.0.0.1:${road.port}`,
        "memory.outbox": join(near.folder, "weir-outbox.db"),
        "mock.delay_ms": 200,
        "ops.log": "off",
      },
    });
    const pending = ask(slow, "two");
    await waitFor(() => seen.length === 2);
    await first.stop();
    expect((await pending).text).toEndWith(DONE);
    const { status, text } = await ask(near, "refused");
    expect(status).toBe(500);
    expect(text).toContain("apply_memory");

    const second = await start({ set: { ...token, "memory.url": `sqlite://${serverPath}` } });
    end = second.url;
    await waitFor(async () => (await queries(second)).length === 2);
    expect(await queries(second)).toEqual(["one", "two"]);
    expect((await ask(near, "three")).text).toEndWith(DONE);
    await waitFor(async () => (await queries(second)).length === 3);
  }, TEST_MS_MAX);

  test("does not bring back a session that was deleted there meanwhile", async () => {
    const server = await start({});
    const near = await start({ set: { "memory.url": server.url, "mock.delay_ms": 300 } });
    expect((await ask(near, "one")).text).toEndWith(DONE);
    await waitFor(async () => (await queries(server)).length === 1);
    const response = await fetch(`${near.url}/v1/response`, {
      method: "POST",
      body: JSON.stringify({ query: "two", session_id: "s" }),
    });
    await fetch(`${server.url}/memory/delete`, {
      method: "DELETE",
      body: JSON.stringify({ session_id: "s" }),
    });
    await response.text();
    // What is said behind it arrives behind it.
    expect((await ask(near, "three")).text).toEndWith(DONE);
    await waitFor(async () => (await queries(server)).length > 0);
    expect(await queries(server)).toEqual(["three"]);
    expect((await near.health())["dead_letters"]).toBeUndefined();
  }, TEST_MS_MAX);

  test("leaves nothing behind when it is told to stop", async () => {
    const server = await start({});
    const near = await start({ set: { "memory.url": server.url } });
    for (let i = 0; i < 10; i++) await ask(near, `q${i}`);
    near.kill("SIGTERM");
    expect(await near.exited).toBe(0);
    const database = new Database(join(near.folder, "weir-outbox.db"), { readonly: true });
    const [waiting] = database.query("SELECT count(*) FROM turns WHERE delivered_ms IS NULL")
      .values()[0] as [number];
    database.close();
    expect((await queries(server)).length + waiting).toBe(10);
  });
});
