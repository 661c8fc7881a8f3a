import { afterEach, describe, expect, test } from "bun:test";
import { NO_MARK, type SessionIds, TurnRefused } from "../../src/core/memory.ts";
import { meantSession } from "../../src/core/session.ts";
import { type Action, type ScriptedServer, scriptedServer, TAKEN } from "./scripted_server.ts";
import { httpMemory, makeFolder, type MemoryServer, removeFolder, serveMemory } from "./stores.ts";
import { ask, CALLER, HTTP_SKIPS, memoryTests, said } from "./tests.ts";

memoryTests("http, served by weir", () => {
  const folder = makeFolder();
  let server: MemoryServer | undefined;
  return Promise.resolve({
    open(options) {
      server ??= serveMemory(folder, options);
      return Promise.resolve(httpMemory(server.url));
    },
    async dispose() {
      await server?.stop();
      removeFolder(folder);
    },
  });
}, HTTP_SKIPS);

describe("a memory server that", () => {
  let server: ScriptedServer | undefined;
  afterEach(() => server?.stop());

  async function applied(action: Action, timeoutMs?: number) {
    server = await scriptedServer(() => action);
    const memory = httpMemory(server.url, timeoutMs);
    return await memory.apply(ask({ userId: "u", query: "q", rolePrompt: "r" }), CALLER);
  }

  const data = { system_prompt: "p", messages: null };

  test("gets the original's bytes for apply", async () => {
    await applied({ kind: "json", body: { code: 0, msg: "success", data } });
    const [call] = server!.calls;
    expect(`${call!.method} ${call!.path}`).toBe("POST /memory/apply");
    expect(call!.headers).toMatchObject({
      "authorization": "Bearer secret",
      "content-type": "application/json",
    });
    expect(call!.text).toBe(
      '{"query":"q","session_id":"","user_id":"u","role_id":"","group_id":"","role_prompt":"r"}',
    );
  });

  /** What a request names → the session_id that is sent, and the other ids beside it. */
  const SESSIONS: readonly (readonly [Partial<SessionIds>, string, string])[] = [
    [{ userId: "u", roleId: "r" }, "", "u r "],
    [{ groupId: "g" }, "", "  g"],
    [{ sessionId: "s" }, "s", "  "],
    [{ sessionId: "s", userId: "u" }, "s", "u  "],
    // A name that weir has told: the server knows that session by its ids.
    [{ sessionId: "user_id=u&role_id=r" }, "", "u r "],
    [{ sessionId: "u_r" }, "u_r", "  "],
    [{ sessionId: "u_r", userId: "u", roleId: "r" }, "", "u r "],
  ];
  for (const [ids, sessionId, others] of SESSIONS) {
    test(`is asked for session "${sessionId}" where one names ${JSON.stringify(ids)}`, async () => {
      server = await scriptedServer(() => ({
        kind: "json",
        body: { code: 0, msg: "success", data: { ...data, messages: [] } },
      }));
      const memory = httpMemory(server.url);
      const meant = { ...ask(), ...await meantSession(memory, ask(ids)) };
      await memory.apply(meant, CALLER);
      await memory.commit(said("q", "a", meant));
      await memory.turns(meant.sessionId, 1);
      const [applied, uploaded, listed] = server.calls.map(({ text }) => JSON.parse(text));
      for (const body of [applied, uploaded]) {
        expect(body.session_id).toBe(sessionId);
        expect([body.user_id, body.role_id, body.group_id].join(" ")).toBe(others);
      }
      // A list is asked for by the name alone.
      expect(listed.session_id).toBe(sessionId);
    });
  }

  test("that finds several sessions refuses the turn for ever", async () => {
    const msg = "生成 session_id 失败: this session_id is that of several sessions";
    server = await scriptedServer(() => ({
      kind: "json",
      status: 409,
      body: { code: -1, msg, data: {} },
    }));
    const turn = said("q", "a", { sessionId: "a_b_c", mark: { store: 1, outbox: 1 } });
    const error = await httpMemory(server.url).commit(turn).catch((e) => e);
    expect(error).toBeInstanceOf(TurnRefused);
    expect(error.isForEver).toBe(true);
  });

  test("has a user in its URL gets that and no token, and is told of without it", async () => {
    server = await scriptedServer(() => ({ kind: "json", body: TAKEN }));
    const withUser = (url: string) => url.replace("://", "://weir:p%40ss@");
    await httpMemory(withUser(server.url)).commit(said("你好", "👋", { userId: "u", key: "k" }));
    const basic = `Basic ${Buffer.from("weir:p@ss").toString("base64")}`;
    expect(server.calls[0]!.headers["authorization"]).toBe(basic);
    server.stop();
    const gone = httpMemory(withUser(server.url)).turns("u", 1);
    const error = await Promise.resolve(gone).then(String, (thrown: Error) => thrown.message);
    expect(error).toContain(server.url);
    expect(error).not.toMatch(/weir:|p%40ss|p@ss/);
  });

  test("gets the original's bytes for upload, and a key", async () => {
    server = await scriptedServer(() => ({ kind: "json", body: TAKEN }));
    await httpMemory(server.url).commit(said("你好", "👋", { userId: "u", key: "k" }));
    const [call] = server.calls;
    expect(`${call!.method} ${call!.path}`).toBe("POST /memory/upload");
    expect(call!.headers["idempotency-key"]).toBe("k");
    expect(call!.text).toBe(
      '{"session_id":"","user_id":"u","role_id":"","group_id":"","messages":[' +
        '{"role":"user","content":"你好"},{"role":"assistant","content":"👋"}]}',
    );
  });

  test("gives null for messages has none", async () => {
    expect(await applied({ kind: "json", body: { code: 0, msg: "success", data } })).toEqual({
      systemPrompt: "p",
      messages: [],
      mark: NO_MARK,
    });
  });

  test("gives more than it must is read for what it must", async () => {
    const messages = [
      { role: "user", content: "a", created_at: "2026-01-01 00:00:00", timestamp: "1" },
      { role: "tool", content: "dropped" },
      { role: "assistant", content: "" },
      { role: "system", content: "kept" },
      "nonsense",
    ];
    const body = { code: 0, msg: "success", data: { ...data, messages, more: 1 }, trace: "x" };
    expect((await applied({ kind: "json", body })).messages).toEqual([
      { role: "user", content: "a" },
      { role: "system", content: "kept" },
    ]);
  });

  const APPLY_ERRORS: readonly (readonly [string, Action, RegExp])[] = [
    [
      "answers code -1",
      { kind: "json", body: { code: -1, msg: "生成 system_prompt 失败: x", data: {} } },
      /^apply_memory接口返回错误: 生成 system_prompt 失败: x$/,
    ],
    [
      "refuses the token",
      { kind: "text", body: '{"code": -1, "msg": "Invalid token"}\n', status: 401 },
      /^apply_memory接口返回错误: Invalid token$/,
    ],
    [
      "quotes the token",
      { kind: "json", body: { code: -1, msg: "not Bearer secret!", data: {} }, status: 403 },
      /^apply_memory接口返回错误: not Bearer \*\*\*!$/,
    ],
    [
      "answers no JSON",
      { kind: "text", body: "<html>502</html>", status: 502 },
      /^解析apply_memory响应失败: .*HTTP 502/,
    ],
    [
      "answers other JSON",
      { kind: "json", body: { ok: true } },
      /^解析apply_memory响应失败: there is no "code" in it/,
    ],
    [
      "breaks off in the middle",
      { kind: "half", body: { code: 0, msg: "success", data } },
      /^(调用|解析)apply_memory/,
    ],
    ["closes the connection", { kind: "cut" }, /^调用apply_memory接口失败: http:.*/],
    [
      "says nothing",
      { kind: "silence" },
      /^调用apply_memory接口失败: http:\S+ gave no answer within 150 ms$/,
    ],
    [
      "is too slow",
      { kind: "late", afterMs: 5000, body: { code: 0, msg: "success", data } },
      /gave no answer within 150 ms$/,
    ],
  ];
  for (const [what, action, message] of APPLY_ERRORS) {
    test(`${what} fails apply() with the original's words`, async () => {
      const isLate = action.kind === "silence" || action.kind === "late";
      const error = await applied(action, isLate ? 150 : undefined).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: "memory_failed", status: 500 });
      expect(error.message).toMatch(message);
    });
  }

  test("is not there fails apply() with the original's words", async () => {
    const memory = httpMemory("http://127.0.0.1:1");
    await expect(Promise.resolve(memory.apply(ask(), CALLER))).rejects.toThrow(
      /^调用apply_memory接口失败: /,
    );
  });

  test("a client that leaves ends the wait for it", async () => {
    server = await scriptedServer(() => ({ kind: "silence" }));
    const leaving = new AbortController();
    const pending = httpMemory(server.url).apply(ask(), { signal: leaving.signal });
    leaving.abort();
    await expect(Promise.resolve(pending)).rejects.toThrow(/调用apply_memory接口失败/);
  });

  /** What it answers to an upload → refused for ever, refused for now, or not there. */
  const COMMIT_ERRORS: readonly (readonly [Action, "for ever" | "for now" | "away"])[] = [
    [{ kind: "json", body: { code: -1, msg: "参数解析错误: x", data: {} } }, "for ever"],
    [{ kind: "json", body: { code: -1, msg: "生成 session_id 失败: x", data: {} } }, "for ever"],
    [{ kind: "json", status: 400, body: { code: -1, msg: "x", data: {} } }, "for ever"],
    [{ kind: "json", status: 413, body: { code: -1, msg: "x", data: {} } }, "for ever"],
    [{ kind: "json", body: { code: -1, msg: "入队失败: redis", data: {} } }, "for now"],
    [{ kind: "json", status: 503, body: { code: -1, msg: "full", data: {} } }, "away"],
    [{ kind: "json", status: 401, body: { code: -1, msg: "Invalid token" } }, "away"],
    [{ kind: "text", body: "", status: 500 }, "for now"],
    [{ kind: "json", status: 500, body: { code: -1, msg: "x", data: {} } }, "for now"],
    [{ kind: "text", body: "<html>413</html>", status: 413 }, "for ever"],
    [{ kind: "json", status: 409, body: { code: -1, msg: "x", data: {} } }, "for ever"],
    [{ kind: "text", body: "<html>404</html>", status: 404 }, "away"],
    [{ kind: "json", status: 429, body: { code: -1, msg: "slow down" } }, "away"],
    [{ kind: "text", body: "<html>502</html>", status: 502 }, "away"],
    [{ kind: "text", body: "<html>ok</html>" }, "away"],
    [{ kind: "half", body: TAKEN }, "away"],
    [{ kind: "cut" }, "away"],
    [{ kind: "silence" }, "away"],
  ];
  for (const [action, kind] of COMMIT_ERRORS) {
    test(`answers an upload with ${JSON.stringify(action)} is ${kind}`, async () => {
      server = await scriptedServer(() => action);
      const timeoutMs = action.kind === "silence" ? 100 : undefined;
      const error = await httpMemory(server.url, timeoutMs).commit(said("q", "a")).catch((e) => e);
      expect(error).toMatchObject({ code: "memory_failed" });
      const seen = !(error instanceof TurnRefused)
        ? "away"
        : error.isForEver
        ? "for ever"
        : "for now";
      expect(seen).toBe(kind);
    });
  }
});
