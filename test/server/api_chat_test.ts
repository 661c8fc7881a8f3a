import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanEnv, launch, rawExchange, rawPost, REPOSITORY, type Weir } from "./launch.ts";
import { describeWith } from "./needs.ts";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

const HELLO = [{ role: "user", content: "你好" }];

/** The client of the FastAPI LLM service's manual, as it stands there but for the port. */
function snippet(name: string, { url }: Weir): string {
  const text = readFileSync(join(REPOSITORY, "test/server/snippets", name), "utf8");
  return text.replace("http://localhost:8000", url);
}

async function post(weir: Weir, body: unknown, headers: Record<string, string> = {}) {
  const response = await fetch(`${weir.url}/api/chat`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  return { response, status: response.status, text: await response.text() };
}

describe("POST /api/chat, answered by the mock", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.reply": '你好 "a" 🌊', "server.body_max_bytes": 5000 } });
  });
  afterAll(() => weir.stop());

  test("its bytes are those of the FastAPI LLM service, and nothing else", async () => {
    const { response, status, text } = await post(weir, { messages: HELLO });
    expect(status).toBe(200);
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    expect(text).toBe(
      'data: {"content":"你"}\n\n' + 'data: {"content":"好 "}\n\n' +
        'data: {"content":"\\"a\\" "}\n\n' + 'data: {"content":"🌊"}\n\n' + "data: [DONE]\n\n",
    );
  });

  test("max_tokens and stop cut the reply", async () => {
    const { text } = await post(weir, { messages: HELLO, stop: "a" });
    expect(text).toBe(
      'data: {"content":"你"}\n\ndata: {"content":"好 "}\n\ndata: {"content":"\\""}\n\n' +
        "data: [DONE]\n\n",
    );
    const cut = await post(weir, { messages: HELLO, max_tokens: 1 });
    expect(cut.text).toBe('data: {"content":"你"}\n\ndata: [DONE]\n\n');
  });

  const bad: readonly (readonly [string, unknown, number, string])[] = [
    ["no body", "", 422, '"type":"json_invalid"'],
    ["broken JSON", "{", 422, '"loc":["body",0]'],
    ["an empty object", {}, 422, '"type":"missing"'],
    ["a list", [], 422, '"type":"model_attributes_type"'],
    ["a wrong temperature", { messages: HELLO, temperature: 9 }, 422, '"type":"less_than_equal"'],
    ["nesting without end", "[".repeat(2000), 422, '"type":"json_invalid"'],
    ["a body above the limit", { messages: "x".repeat(6000) }, 413, "server.body_max_bytes"],
  ];
  for (const [name, body, expected, part] of bad) {
    test(`${name}: ${expected} in FastAPI's shape`, async () => {
      const { response, status, text } = await post(weir, body);
      expect(status).toBe(expected);
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect(Object.keys(JSON.parse(text))).toEqual(["detail"]);
      expect(text).toContain(part);
    });
  }

  test("another method is 405, another path below /api is 404, both with a detail", async () => {
    const wrong = await fetch(`${weir.url}/api/chat`, { method: "PUT" });
    expect(wrong.status).toBe(405);
    expect(wrong.headers.get("allow")).toBe("POST");
    expect(await wrong.json() as unknown).toEqual({ detail: "Method Not Allowed" });
    const unknown = await fetch(`${weir.url}/api/nothing`);
    expect(unknown.status).toBe(404);
    expect(await unknown.json() as unknown).toEqual({ detail: "Not Found" });
    const escaped = await fetch(`${weir.url}/%61pi/nope`);
    expect(await escaped.json() as unknown).toEqual({ detail: "Not Found" });
  });

  test("seeded garbage is never a 500", async () => {
    let state = 20261121;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    const atoms = [null, true, -1, 1e308, "", "x", [], {}, [null], { role: 1 }, { type: "text" }];
    const keys = ["messages", "model", "temperature", "stop", "max_tokens", "top_p", "n", "x"];
    for (let i = 0; i < 300; i++) {
      const body: Record<string, unknown> = { messages: HELLO };
      for (let j = random(4); j >= 0; j--) {
        const value = atoms[random(atoms.length)];
        body[keys[random(keys.length)]!] = random(3) === 0 ? [value] : value;
      }
      const { status } = await post(weir, body);
      expect([200, 422], JSON.stringify(body)).toContain(status);
    }
  });
});

describe("POST /api/chat with auth.token", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "auth.token": "the-token" } });
  });
  afterAll(() => weir.stop());

  for (const [header, expected] of [["Bearer the-token", 200], ["Bearer other", 401]] as const) {
    test(`${header} is ${expected}`, async () => {
      const { status } = await post(weir, { messages: HELLO }, { authorization: header });
      expect(status).toBe(expected);
    });
  }

  test("without one it is 401 as FastAPI says it", async () => {
    const { response, status, text } = await post(weir, { messages: HELLO });
    expect(status).toBe(401);
    expect(response.headers.get("www-authenticate")).toBe("Bearer");
    expect(JSON.parse(text).detail).toContain("Authorization: Bearer");
  });
});

describe("POST /api/chat, answered by an upstream", () => {
  let upstream: ToldUpstream;
  let weir: Weir;
  beforeAll(async () => {
    upstream = tellUpstream(({ body }) => {
      const { model } = JSON.parse(body) as { readonly model: string };
      if (model !== "refused") return undefined;
      const error = { message: "No such key", type: "x", param: null, code: "y" };
      return Response.json({ error }, { status: 401 });
    });
    weir = await launch({
      set: { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "sk-up", "llm.retries": 0 },
    });
  });
  afterAll(async () => {
    await weir.stop();
    upstream.stop();
  });

  test("the upstream gets the messages, the model and every other parameter", async () => {
    const index = upstream.requests.length;
    const parts = [{ type: "text", text: "水 " }, { type: "text", text: "🌊" }];
    const messages = [...HELLO, { role: "user", content: parts }];
    const asked = post(weir, { messages, temperature: 0.7, seed: 3, max_tokens: 9 });
    const told = await upstream.told(index);
    told.say("好");
    told.finish();
    expect((await asked).text).toBe('data: {"content":"好"}\n\ndata: [DONE]\n\n');
    expect(JSON.parse(upstream.requests[index]!.body)).toMatchObject({
      model: "gpt-3.5-turbo",
      messages,
      temperature: 0.7,
      seed: 3,
      max_tokens: 9,
      stream: true,
    });
  });

  test("the first packet is the first event: no comment stands before it", async () => {
    const index = upstream.requests.length;
    const asked = rawExchange(weir.port, rawPost("/api/chat", { messages: HELLO }));
    const told = await upstream.told(index);
    told.say("好");
    told.finish();
    expect(await asked).not.toContain("keep-alive\n\n");
  });

  test("what the upstream refuses is an error event and [DONE]", async () => {
    const { status, text } = await post(weir, { messages: HELLO, model: "refused" });
    expect(status).toBe(200);
    expect(text).toMatch(/^data: \{"error":"[^"]*No such key[^"]*"\}\n\ndata: \[DONE\]\n\n$/);
  });
});

describe("a key without a base URL", () => {
  test("answers /api/chat from api.openai.com, says so, and everything else from the mock", async () => {
    const weir = await launch({ env: { OPENAI_API_KEY: "sk-mine" } });
    try {
      expect(weir.output()).toContain(
        "proxy: /api/chat is answered by https://api.openai.com/v1 " +
          "(a key is set, and no llm.base_url)",
      );
      expect(weir.output()).toContain("mock: /v1/chat/completions");
      expect(await weir.health()).toMatchObject({
        source: "mock",
        api_key_configured: true,
        model: "gpt-3.5-turbo",
      });
      expect(JSON.stringify(await weir.health())).not.toContain("sk-mine");
    } finally {
      await weir.stop();
    }
  });

  test("is none in chat.source: mock", async () => {
    const weir = await launch({
      env: { OPENAI_API_KEY: "sk-mine" },
      set: { "chat.source": "mock" },
    });
    try {
      const { text } = await post(weir, { messages: HELLO });
      expect(text).toContain('data: {"content":"powered "}');
    } finally {
      await weir.stop();
    }
  });
});

const hasPython = Bun.spawnSync(["python3", "-c", "import requests"], {
  stderr: "ignore",
}).success;

describeWith(hasPython, "python3 with requests", "the manual's Python client", () => {
  for (const delayMs of [0, 5]) {
    test(`prints the reply, paced by ${delayMs} ms`, async () => {
      const weir = await launch({
        set: { "mock.reply": "你好，我是 a weir 🌊", "mock.delay_ms": delayMs },
      });
      try {
        const file = join(weir.folder, "client.py");
        writeFileSync(file, snippet("api_chat.py", weir));
        const child = Bun.spawn(["python3", file], {
          env: cleanEnv({ PYTHONIOENCODING: "utf-8" }),
          stdout: "pipe",
          stderr: "pipe",
        });
        const [output, errors] = await Promise.all([
          new Response(child.stdout).text(),
          new Response(child.stderr).text(),
        ]);
        expect(errors).toBe("");
        expect(output).toBe("你好，我是 a weir 🌊");
      } finally {
        await weir.stop();
      }
    });
  }
});
