import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { Database } from "bun:sqlite";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  cleanEnv,
  launch,
  type LaunchOptions,
  rawExchange,
  rawPost,
  REPOSITORY,
  waitFor,
  type Weir,
  weirCommand,
} from "./launch.ts";

const PATH = "/v1/response";
const REPLY = "powered by openai";

/** Posts to `weir`; the answer's status and text. */
async function post(
  weir: Weir,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
  path = PATH,
) {
  const response = await fetch(weir.url + path, {
    method: path === "/memory/delete" ? "DELETE" : "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

/** The history of a session, as weir serves it. */
async function history(weir: Weir, sessionId: string): Promise<string[]> {
  const { text } = await post(weir, { session_id: sessionId }, {}, "/memory/messages");
  const { messages } = JSON.parse(text).data as { messages: { role: string; content: string }[] };
  return messages.map(({ role, content }) => `${role}: ${content}`);
}

/** What the original's web client makes of a stream: it splits every network chunk on line feeds. */
async function originalClient(weir: Weir, body: unknown): Promise<string> {
  const response = await fetch(weir.url + PATH, { method: "POST", body: JSON.stringify(body) });
  const decoder = new TextDecoder();
  let said = "";
  for await (const chunk of response.body!) {
    for (const line of decoder.decode(chunk).split("\n")) {
      if (!line.startsWith("data: ")) continue;
      try {
        const { code, data } = JSON.parse(line.slice(6));
        if (code === 0 && data.content) said += data.content;
      } catch {
        // [DONE]
      }
    }
  }
  return said;
}

/** Reads until `text` came, then leaves. */
async function leaveAfter(weir: Weir, body: unknown, text: string): Promise<void> {
  const leaving = new AbortController();
  const response = await fetch(weir.url + PATH, {
    method: "POST",
    body: JSON.stringify(body),
    signal: leaving.signal,
  });
  let seen = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body!) {
    seen += decoder.decode(chunk, { stream: true });
    if (seen.includes(text)) break;
  }
  leaving.abort();
}

describe("POST /v1/response with nothing configured", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch();
  });
  afterAll(() => weir.stop());

  const STREAM = ["powered ", "by ", "openai"]
    .map((word) => `data: {"code":0,"msg":"success","data":{"content":"${word}"}}\n\n`)
    .join("") + "data: [DONE]\n\n";

  test("makes no file until it is used", async () => {
    const fresh = await launch();
    const chat = { model: "m", messages: [{ role: "user", content: "x" }] };
    await post(fresh, chat, {}, "/v1/chat/completions");
    expect(existsSync(join(fresh.folder, "weir.db"))).toBe(false);
    await post(fresh, { query: "x", user_id: "u" });
    expect(existsSync(join(fresh.folder, "weir.db"))).toBe(true);
    await fresh.stop();
  });

  for (const stream of [undefined, true, null]) {
    test(`streams the original's bytes when stream is ${stream}`, async () => {
      const page = "http://localhost:3000";
      const asked = { query: "hi", user_id: "u", stream };
      const { status, headers, text } = await post(weir, asked, { origin: page });
      expect(status).toBe(200);
      expect(text).toBe(STREAM);
      expect(headers.get("content-type")).toBe("text/event-stream");
      expect(headers.get("cache-control")).toBe("no-cache");
      expect(headers.get("access-control-allow-origin")).toBe(page);
      expect(headers.get("access-control-allow-headers")).toBe("Cache-Control");
    });
  }

  test("answers in one piece when stream is false", async () => {
    const { status, headers, text } = await post(weir, { query: "hi", stream: false });
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("application/json");
    const id = headers.get("x-session-id")!;
    expect(text).toBe(
      `{"code":0,"msg":"success","data":{"content":"${REPLY}","session_id":"${id}"}}\n`,
    );
    expect(await history(weir, id)).toEqual(["user: hi", `assistant: ${REPLY}`]);
  });

  test("writes every event whole, a head of HTTP/1.1 before it", async () => {
    const answer = await rawExchange(weir.port, rawPost(PATH, { query: "hi", user_id: "u" }));
    expect(answer).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(answer).toContain(
      '\r\ndata: {"code":0,"msg":"success","data":{"content":"powered "}}\n\n',
    );
    expect(answer).toEndWith("data: [DONE]\n\n\r\n0\r\n\r\n");
  });

  test("is read by the original's client", async () => {
    expect(await originalClient(weir, { query: "hi", user_id: "web", stream: true })).toBe(REPLY);
  });

  test("answers the README's curl as it stands", async () => {
    const readme = readFileSync(join(REPOSITORY, "README.md"), "utf8");
    const [, command] = /```sh\n(curl [^`]*\/v1\/response[^`]*)```/.exec(readme) ?? [];
    const child = Bun.spawn(["sh", "-c", command!.replace("http://127.0.0.1:8080", weir.url)], {
      stdout: "pipe",
      stderr: "ignore",
    });
    expect(await new Response(child.stdout).text()).toBe(STREAM);
    expect(await history(weir, "u1_tiffany")).toEqual([
      "user: 你好，Tiffany",
      `assistant: ${REPLY}`,
    ]);
  });

  /** body → status and msg. */
  const BAD: readonly (readonly [string, number, string])[] = [
    ["", 400, "参数解析错误: the body is not valid JSON"],
    ["{", 400, "参数解析错误: the body is not valid JSON"],
    ["[]", 400, "参数解析错误: the body must be a JSON object"],
    ["null", 400, "参数解析错误: the body must be a JSON object"],
    ["{}", 400, "query is required"],
    ['{"query":""}', 400, "query is required"],
    ['{"query":null}', 400, "query is required"],
    ['{"query":1}', 400, "参数解析错误: query must be a string, it is number"],
    [
      '{"query":[{"type":"text","text":"x"}]}',
      400,
      "参数解析错误: query must be a string, it is array",
    ],
    [
      '{"query":"x","first_message":[{"type":"text","text":"x"}]}',
      400,
      "参数解析错误: first_message must be a string, it is array",
    ],
    ['{"query":"x","user_id":[]}', 400, "参数解析错误: user_id must be a string, it is array"],
    ['{"query":"x","stream":"no"}', 400, "参数解析错误: stream must be true or false"],
  ];
  for (const [body, status, msg] of BAD) {
    test(`refuses ${body || "an empty body"} with ${status}`, async () => {
      const answer = await post(weir, body);
      expect(answer.status).toBe(status);
      expect(answer.text).toBe(`${JSON.stringify({ code: -1, msg, data: {} })}\n`);
    });
  }

  /** path, a body → what is said of it; "" = it is taken. */
  const NAMES: readonly (readonly [string, Record<string, unknown>, string])[] = [
    [PATH, { userid: "u" }, 'there is no field "userid": did you mean "user_id"?'],
    [PATH, { sessionId: "s" }, 'there is no field "sessionId": did you mean "session_id"?'],
    [PATH, { roleid: "r" }, 'there is no field "roleid": did you mean "role_id"?'],
    [PATH, { rolePrompt: "p" }, 'there is no field "rolePrompt": did you mean "role_prompt"?'],
    [PATH, { query: undefined, qurey: "x" }, 'there is no field "qurey": did you mean "query"?'],
    [
      PATH,
      { stream: undefined, steam: false },
      'there is no field "steam": did you mean "stream"?',
    ],
    [PATH, { user_id: "u", userId: "u" }, ""],
    [PATH, { model: "m", user: "u", temperature: 1, metadata: {}, messages: [], "用户": 1 }, ""],
    ["/memory/apply", { userid: "u" }, 'there is no field "userid": did you mean "user_id"?'],
    ["/memory/upload", { message: [] }, 'there is no field "message": did you mean "messages"?'],
    ["/memory/delete", { userId: "u" }, 'there is no field "userId": did you mean "user_id"?'],
    ["/memory/messages", { session_id: "s", timestamp: "1", theme: 1 }, ""],
  ];
  for (const [path, fields, wanted] of NAMES) {
    test(`${path} ${wanted ? "refuses" : "takes"} ${JSON.stringify(fields)}`, async () => {
      const { status, text } = await post(weir, { query: "x", stream: false, ...fields }, {}, path);
      const { code, msg } = JSON.parse(text);
      expect(status).toBe(wanted !== "" && path === PATH ? 400 : 200);
      expect({ code, msg }).toEqual(
        wanted === "" ? { code: 0, msg: "success" } : { code: -1, msg: `参数解析错误: ${wanted}` },
      );
    });
  }

  test("remembers a session, oldest first, by the ids joined", async () => {
    const ids = { group_id: "g", user_id: "u1", role_id: "r" };
    await post(weir, { query: "一", ...ids });
    await post(weir, { query: "👋🏽 two", ...ids, stream: false });
    expect(await history(weir, "g_u1_r")).toEqual([
      "user: 一",
      `assistant: ${REPLY}`,
      "user: 👋🏽 two",
      `assistant: ${REPLY}`,
    ]);
  });

  /** What a request names → the session that its answer tells of. */
  const TOLD: readonly (readonly [Readonly<Record<string, string>>, string | null])[] = [
    [{ user_id: "told" }, "user_id=told"],
    [
      { role_id: "r", group_id: "群", user_id: "a&b" },
      "group_id=%E7%BE%A4&user_id=a%26b&role_id=r",
    ],
    [{ session_id: "my session" }, "my session"],
    [{ session_id: "user_id=told" }, "user_id=told"],
    [{ session_id: "told" }, "user_id=told"],
    // A header cannot carry it, and its client has it.
    [{ session_id: "会话" }, null],
    [{ session_id: " x" }, null],
  ];
  for (const stream of [true, false]) {
    for (const [ids, name] of TOLD) {
      test(`tells the session of ${JSON.stringify(ids)}, stream ${stream}`, async () => {
        const { headers, text } = await post(weir, { query: "hi", ...ids, stream });
        expect(headers.get("x-session-id")).toBe(name);
        expect(headers.get("access-control-expose-headers")).toBe("X-Session-ID");
        if (!stream) expect(JSON.parse(text).data.session_id).toBe(name ?? ids["session_id"]);
      });
    }
  }

  test("tells an id that it made up, and goes on with it", async () => {
    const first = await post(weir, { query: "one" });
    const session_id = first.headers.get("x-session-id")!;
    expect(session_id).toMatch(/^[0-9a-f-]{36}$/);
    await post(weir, { query: "two", session_id });
    expect(await history(weir, session_id)).toHaveLength(4);
  });

  /** Two people → whose ids were joined alike. */
  const ALIKE: readonly (readonly [Record<string, string>, Record<string, string>, string])[] = [
    [{ user_id: "a_b", role_id: "c" }, { user_id: "a", role_id: "b_c" }, "a_b_c"],
    [{ group_id: "p", user_id: "q" }, { user_id: "p", role_id: "q" }, "p_q"],
    [{ group_id: "x_y" }, { user_id: "x_y" }, "x_y"],
  ];
  for (const [one, other, joined] of ALIKE) {
    test(`keeps ${JSON.stringify(one)} and ${JSON.stringify(other)} apart`, async () => {
      const key = { "idempotency-key": `alike ${joined}` };
      await post(weir, { query: "of one", ...one }, key);
      // One session is joined so: it is found by that.
      await post(weir, { query: "joined", session_id: joined });
      expect((await post(weir, { query: "of another", ...other }, key)).status).toBe(200);
      const known = async (ids: Record<string, string>) => {
        const { text } = await post(weir, ids, {}, "/memory/apply");
        return (JSON.parse(text).data.messages as { role: string; content: string }[])
          .filter(({ role }) => role === "user").map(({ content }) => content);
      };
      expect(await known(one)).toEqual(["of one", "joined"]);
      expect(await known(other)).toEqual(["of another"]);
      const refused = await post(weir, { query: "whose?", session_id: joined });
      expect(refused.status).toBe(409);
      expect(JSON.parse(refused.text).msg).toStartWith(
        "生成 session_id 失败: this session_id is that of several",
      );
      const { text } = await post(weir, { session_id: joined }, {}, "/memory/messages");
      expect(JSON.parse(text)).toMatchObject({ code: -1 });
      expect(await known({ session_id: joined, ...other })).toEqual(["of another"]);
    });
  }

  test("keeps first_message before the first turn, once", async () => {
    const body = { query: "hi", session_id: "first", first_message: "我是 Tiffany" };
    await Promise.all([post(weir, body), post(weir, body)]);
    await post(weir, body);
    const kept = await history(weir, "first");
    expect(kept[0]).toBe("assistant: 我是 Tiffany");
    expect(kept.filter((line) => line.startsWith("user"))).toHaveLength(3);
    expect(kept).toHaveLength(7);
  });

  test("the same Idempotency-Key is one turn, and gets the kept answer", async () => {
    const key = { "idempotency-key": "k-1" };
    const body = { query: "hi", session_id: "idem" };
    const answers = await Promise.all(Array.from({ length: 8 }, () => post(weir, body, key)));
    for (const { text } of answers) {
      expect(text).toEndWith("data: [DONE]\n\n");
      expect(text.match(/"content":"[^"]*"/g)!.map((part) => part.slice(11, -1)).join("")).toBe(
        REPLY,
      );
    }
    const whole = await post(weir, { ...body, stream: false }, key);
    expect(JSON.parse(whole.text).data.content).toBe(REPLY);
    expect(await history(weir, "idem")).toEqual(["user: hi", `assistant: ${REPLY}`]);
    const other = await post(weir, { ...body, query: "other" }, key);
    expect(other.status).toBe(409);
    const session = await post(weir, { ...body, session_id: "idem2" }, key);
    expect(session.status).toBe(200);
    const nobody = { query: "no ids at all" };
    expect((await post(weir, nobody, key)).status).toBe(200);
    expect((await post(weir, nobody, key)).status).toBe(200);
    expect(await history(weir, "k-1")).toEqual([]);
    expect(await history(weir, "idempotency_key=k-1")).toHaveLength(2);
  });

  test("an Idempotency-Key over 255 characters is refused", async () => {
    const answer = await post(weir, { query: "x" }, { "idempotency-key": "k".repeat(256) });
    expect(answer.status).toBe(400);
  });

  /** field → the most bytes that it takes. */
  const IDS: readonly (readonly [string, number])[] = [
    ["session_id", 2400],
    ["user_id", 255],
    ["role_id", 255],
    ["group_id", 255],
  ];
  for (const [field, bytesMax] of IDS) {
    const paths = [PATH, "/memory/apply", "/memory/upload", "/memory/messages", "/memory/query"];
    for (const path of [...paths, "/memory/delete"]) {
      test(`${path} refuses a ${field} that is damaged, and takes an emoji`, async () => {
        const json = (id: string) =>
          `{"query":"q","messages":[{"role":"user","content":"q"}],"${field}":"${id}"}`;
        const ask = async (body: string | Uint8Array<ArrayBuffer>) => {
          const answer = await fetch(weir.url + path, {
            method: path === "/memory/delete" ? "DELETE" : "POST",
            body,
          });
          return { status: answer.status, text: await answer.text() };
        };
        const whole = (await ask(json("\\ud83d\\ude00水"))).text;
        expect(whole).not.toContain("参数解析错误");
        const notUtf8 = Buffer.concat([Buffer.from(json("a~b"))]);
        notUtf8[notUtf8.indexOf("~")] = 0xff;
        const bodies = ["\\ud800", "x\\udfff", "\\u0000", "\ufffd"].map(json);
        for (const body of [...bodies, notUtf8]) {
          const { status, text } = await ask(body);
          expect(status).toBe(path === PATH ? 400 : 200);
          expect(JSON.parse(text).code).toBe(-1);
          expect(JSON.parse(text).msg).toStartWith(`参数解析错误: ${field} must be whole UTF-8`);
        }
      });

      test(`${path} takes a ${field} of ${bytesMax} bytes, and says 400 to a longer one`, async () => {
        const body = { query: "q", messages: [{ role: "user", content: "q" }] };
        const ask = (id: string) => post(weir, { ...body, [field]: id }, {}, path);
        const full = "水".repeat(bytesMax / 3);
        expect((await ask(full)).status).not.toBe(400);
        for (const id of [`${full}a`, "x".repeat(6000)]) {
          const { status, text } = await ask(id);
          expect(status).toBe(400);
          expect(JSON.parse(text)).toEqual({
            code: -1,
            msg: `参数解析错误: ${field} must have at most ${bytesMax} bytes: it has ` +
              Buffer.byteLength(id),
            data: {},
          });
        }
      });
    }
  }

  test("serves /memory/apply, /memory/upload, /memory/query and /memory/delete", async () => {
    const ids = { session_id: "", user_id: "m", role_id: "", group_id: "" };
    const messages = [
      { role: "user", content: "a<b>" },
      { role: "assistant", content: "c" },
      { role: "user", content: "d" },
    ];
    const upload = await post(weir, { ...ids, messages }, {}, "/memory/upload");
    expect(upload.text).toMatch(
      /^\{"code":0,"msg":"消息已入队，任务ID：([0-9a-f-]{36})","data":\{"task_id":"\1"\}\}\n$/,
    );
    const body = { query: "q", ...ids, role_prompt: "You are {{char}}." };
    const apply = JSON.parse((await post(weir, body, {}, "/memory/apply")).text);
    expect(apply).toMatchObject({ code: 0, msg: "success", data: { messages } });
    expect(apply.data.system_prompt).toEndWith("## Role Setting\nYou are {{char}}.");
    const query = JSON.parse((await post(weir, { session_id: "m" }, {}, "/memory/query")).text);
    expect(query.data).toMatchObject({
      user_portrait: {},
      topic_summary: [],
      chat_events: { completed: [], todo: [] },
      session_messages: messages,
    });
    expect(query.data.current_time).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    const gone = JSON.parse((await post(weir, { session_id: "m" }, {}, "/memory/delete")).text);
    expect(gone).toMatchObject({
      code: 0,
      msg: "所有微服务数据删除成功",
      data: {
        session_id: "user_id=m",
        deleted: 2,
        sessions: 1,
        results: [{ service_name: "weir", success: true }],
      },
    });
    expect(await history(weir, "m")).toEqual([]);
  });

  /** A body of DELETE /memory/delete → sessions and turns, or the beginning of an error. */
  const DELETED: readonly (readonly [Record<string, string>, readonly number[] | string])[] = [
    [{ user_id: "d1" }, [2, 3]],
    [{ user_id: "d1", role_id: "r", session_id: "" }, [1, 2]],
    [{ session_id: "d1_r" }, [1, 2]],
    [{ role_id: "r", group_id: "d9" }, [1, 1]],
    [{ user_id: "d1", role_id: "other" }, "没有匹配的会话: no session has these ids"],
    [{ session_id: "d1_r", user_id: "d2" }, "没有匹配的会话: "],
    [{}, "生成 session_id 失败: "],
  ];
  for (const [body, wanted] of DELETED) {
    test(`DELETE /memory/delete of ${JSON.stringify(body)} says ${wanted}`, async () => {
      const user = { user_id: "d1", role_id: "r" };
      for (const ids of [user, user, { user_id: "d1" }, { group_id: "d9", role_id: "r" }]) {
        await post(weir, { query: "q", ...ids });
      }
      const { status, text } = await post(weir, body, {}, "/memory/delete");
      const { code, msg, data } = JSON.parse(text);
      expect(status).toBe(200);
      if (typeof wanted === "string") {
        expect(code).toBe(-1);
        expect(msg).toStartWith(wanted);
        expect(await history(weir, "d1_r")).toHaveLength(4);
      } else {
        expect({ code, sessions: data.sessions, deleted: data.deleted }).toEqual({
          code: 0,
          sessions: wanted[0],
          deleted: wanted[1],
        });
      }
      await post(weir, { user_id: "d1" }, {}, "/memory/delete");
      await post(weir, { group_id: "d9" }, {}, "/memory/delete");
    });
  }

  /** path, body → msg, all with HTTP 200 as the original. */
  const BAD_MEMORY: readonly (readonly [string, string, string])[] = [
    [
      "/memory/apply",
      '{"query":"x"}',
      "生成 session_id 失败: 无法生成 session_id，group_id, user_id, role_id 全为空",
    ],
    ["/memory/apply", "{", "参数解析错误: the body is not valid JSON"],
    ["/memory/upload", '{"user_id":"u"}', "参数解析错误: messages must be an array"],
    [
      "/memory/upload",
      '{"user_id":"u","messages":[1]}',
      "参数解析错误: the body must be a JSON object",
    ],
    [
      "/memory/upload",
      '{"user_id":"u","messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}',
      "参数解析错误: content must be a string, it is array",
    ],
  ];
  for (const [path, body, msg] of BAD_MEMORY) {
    test(`${path} refuses ${body} with code -1`, async () => {
      const answer = await post(weir, body, {}, path);
      expect(answer.status).toBe(200);
      expect(JSON.parse(answer.text)).toEqual({ code: -1, msg, data: {} });
    });
  }

  test("weir memory backup copies the memory while weir runs", async () => {
    await post(weir, { query: "hi", session_id: "backup" });
    const target = join(weir.folder, "copy.db");
    const child = Bun.spawn([...weirCommand(), "memory", "backup", target], {
      cwd: weir.folder,
      env: cleanEnv(),
      stdout: "pipe",
      stderr: "pipe",
    });
    expect(await new Response(child.stdout).text()).toContain("is copied to");
    expect(await child.exited).toBe(0);
    const copy = new Database(target, { readonly: true });
    const sql = "SELECT query, answer FROM turns WHERE session = " +
      "(SELECT id FROM sessions WHERE name = 'backup')";
    expect(copy.query(sql).values()).toEqual([["hi", REPLY]]);
    copy.close();
  });
});

describe("POST /v1/response with a token", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "auth.token": "sesame" } });
  });
  afterAll(() => weir.stop());

  /** Authorization → the original's 401 text. */
  const REFUSED: readonly (readonly [string | undefined, string])[] = [
    [undefined, "Authorization header required"],
    ["sesame", "Invalid authorization format"],
    ["bearer sesame", "Invalid authorization format"],
    ["Bearer  sesame", "Invalid authorization format"],
    ["Bearer wrong", "Invalid token"],
  ];
  for (const [authorization, msg] of REFUSED) {
    for (const path of [PATH, "/memory/apply"]) {
      test(`${path} refuses ${authorization ?? "no header"} with 401`, async () => {
        const headers: Record<string, string> = authorization ? { authorization } : {};
        const answer = await post(weir, "not even JSON", headers, path);
        expect(answer.status).toBe(401);
        expect(answer.text).toBe(`{"code": -1, "msg": "${msg}"}\n`);
        expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
        expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      });
    }
  }

  test("answers whoever has it", async () => {
    const answer = await post(weir, { query: "x" }, { authorization: "Bearer sesame" });
    expect(answer.status).toBe(200);
  });
});

describe("a client that leaves POST /v1/response in the middle", () => {
  const weirs: Weir[] = [];
  afterEach(async () => {
    for (const weir of weirs.splice(0)) await weir.stop();
  });

  async function start(set: LaunchOptions["set"]): Promise<Weir> {
    const weir = await launch({
      set: { "mock.reply": "one two three", "mock.delay_ms": 150, ...set },
    });
    weirs.push(weir);
    return weir;
  }

  test("has its answer kept whole by default", async () => {
    const weir = await start({});
    await leaveAfter(weir, { query: "q", session_id: "s" }, "one ");
    await waitFor(async () => (await history(weir, "s")).length === 2);
    expect(await history(weir, "s")).toEqual(["user: q", "assistant: one two three"]);
  });

  test("has what it was sent kept, marked, with on_disconnect: cancel", async () => {
    // The second word is far away, however late the client reads the first one.
    const weir = await start({ "response.on_disconnect": "cancel", "mock.delay_ms": 5000 });
    await leaveAfter(weir, { query: "q", session_id: "s" }, "one ");
    await waitFor(async () => (await history(weir, "s")).length === 2);
    expect(await history(weir, "s")).toEqual(["user: q", "assistant: one "]);
    const database = new Database(join(weir.folder, "weir.db"), { readonly: true });
    expect(database.query("SELECT is_partial FROM turns").values()).toEqual([[1]]);
    database.close();
  });
});

describe("POST /v1/response with an upstream", () => {
  /** What the upstream was asked. */
  let asked: Record<string, unknown>[] = [];
  let say: () => Response = () => new Response();
  let weir: Weir;
  let upstream: ReturnType<typeof Bun.serve>;

  const chunk = (delta: unknown, finish: string | null = null) =>
    `data: ${
      JSON.stringify({
        id: "1",
        object: "chat.completion.chunk",
        created: 1,
        model: "m",
        choices: [{ index: 0, delta, finish_reason: finish }],
      })
    }\n\n`;
  const sse = (...events: string[]) =>
    new Response(events.join(""), { headers: { "content-type": "text/event-stream" } });

  beforeAll(async () => {
    upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      async fetch(request) {
        asked.push(await request.json() as Record<string, unknown>);
        return say();
      },
    });
    weir = await launch({
      set: {
        "llm.base_url": `http://127.0.0.1:${upstream.port}/v1`,
        "llm.model_id": "the-model",
        "llm.retries": 0,
        "memory.system_prompt": "Be {{role_prompt}}.",
      },
    });
  });
  afterAll(async () => {
    await weir.stop();
    await upstream.stop(true);
  });
  afterEach(() => {
    asked = [];
  });

  const whole = () =>
    sse(
      chunk({ role: "assistant", content: "" }),
      chunk({ content: "你好" }),
      chunk({ content: " 👋" }),
      chunk({}, "stop"),
      "data: [DONE]\n\n",
    );

  test("sends prompt, history and query, and re-speaks the answer", async () => {
    say = whole;
    const body = { query: "one", session_id: "up", role_prompt: "Tiffany" };
    const first = await post(weir, body);
    expect(first.text).toBe(
      'data: {"code":0,"msg":"success","data":{"content":"你好"}}\n\n' +
        'data: {"code":0,"msg":"success","data":{"content":" 👋"}}\n\n' +
        "data: [DONE]\n\n",
    );
    const second = await post(weir, { ...body, query: "two", stream: false });
    expect(second.text).toBe(
      '{"code":0,"msg":"success","data":{"content":"你好 👋","session_id":"up"}}\n',
    );
    expect(asked.map(({ model, messages }) => ({ model, messages }))).toEqual([
      {
        model: "the-model",
        messages: [
          { role: "system", content: "Be Tiffany." },
          { role: "user", content: "one" },
        ],
      },
      {
        model: "the-model",
        messages: [
          { role: "system", content: "Be Tiffany." },
          { role: "user", content: "one" },
          { role: "assistant", content: "你好 👋" },
          { role: "user", content: "two" },
        ],
      },
    ]);
    expect(await history(weir, "up")).toHaveLength(4);
  });

  test("an upstream that refuses is one error event, or a 500", async () => {
    say = () => Response.json({ error: { message: "no such model" } }, { status: 404 });
    const body = { query: "q", session_id: "refused" };
    const streamed = await post(weir, body);
    expect(streamed.status).toBe(200);
    expect(streamed.text).toMatch(
      /^data: \{"code":-1,"msg":"流式响应错误: [^"]*no such model","data":\{\}\}\n\n$/,
    );
    const single = await post(weir, { ...body, stream: false });
    expect(single.status).toBe(500);
    expect(single.text).toMatch(
      /^\{"code":-1,"msg":"OpenAI调用失败: [^"]*no such model","data":\{\}\}\n$/,
    );
    expect(await history(weir, "refused")).toEqual([]);
  });

  test("an upstream that breaks off ends the stream with an error and without [DONE]", async () => {
    say = () => sse(chunk({ content: "half" }));
    const { text } = await post(weir, { query: "q", session_id: "broken" });
    expect(text).toMatch(
      /^data: \{"code":0[^\n]*"half"\}\}\n\ndata: \{"code":-1,"msg":"流式响应错误: [^\n]*\n\n$/,
    );
    expect(text).not.toContain("[DONE]");
    expect(await history(weir, "broken")).toEqual([]);
  });
});

describe("a client that leaves while an upstream speaks", () => {
  const cleanups: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  /** An upstream that says two words, and the third when `goOn` is called; and weir before it. */
  async function setUp(onDisconnect: string) {
    const state = { isCancelled: false, goOn: () => {} };
    const chunk = (content: string, finish: string | null = null) =>
      `data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"m","choices":[` +
      `{"index":0,"delta":{"content":"${content}"},"finish_reason":${
        JSON.stringify(finish)
      }}]}\n\n`;
    const upstream = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: () => {
        const encoder = new TextEncoder();
        const body = new ReadableStream({
          start(controller) {
            controller.enqueue(encoder.encode(chunk("one ") + chunk("two ")));
            state.goOn = () => {
              controller.enqueue(encoder.encode(`${chunk("three", "stop")}data: [DONE]\n\n`));
              controller.close();
            };
          },
          cancel: () => {
            state.isCancelled = true;
          },
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      },
    });
    cleanups.push(() => upstream.stop(true));
    const weir = await launch({
      set: {
        "llm.base_url": `http://127.0.0.1:${upstream.port}/v1`,
        "response.on_disconnect": onDisconnect,
      },
    });
    cleanups.push(() => weir.stop());
    await leaveAfter(weir, { query: "q", session_id: "s" }, "two ");
    return { weir, state };
  }

  test("lets it finish by default, and has the whole answer kept", async () => {
    const { weir, state } = await setUp("drain");
    expect(await history(weir, "s")).toEqual([]);
    state.goOn();
    await waitFor(async () => (await history(weir, "s")).length === 2);
    expect(await history(weir, "s")).toEqual(["user: q", "assistant: one two three"]);
    expect(state.isCancelled).toBe(false);
  });

  test("stops it with on_disconnect: cancel, and has what was sent kept", async () => {
    const { weir, state } = await setUp("cancel");
    await waitFor(() => state.isCancelled);
    await waitFor(async () => (await history(weir, "s")).length === 2);
    expect(await history(weir, "s")).toEqual(["user: q", "assistant: one two "]);
  });
});

describe("POST /v1/response with a memory server that is not there", () => {
  test("fails with the original's words and status 500", async () => {
    const weir = await launch({ set: { "server.main": 1 } });
    const { status, text } = await post(weir, { query: "q", session_id: "s" });
    expect(status).toBe(500);
    expect(text).toMatch(/^\{"code":-1,"msg":"调用apply_memory接口失败: .*","data":\{\}\}\n$/);
    const served = await post(weir, { session_id: "s" }, {}, "/memory/messages");
    expect(served.status).toBe(404);
    await weir.stop();
  });
});
