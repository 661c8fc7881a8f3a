import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { decodeJwt } from "jose";
import { launch, run, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

const SECRET = "s3cret";
const HELLO = [{ role: "user", content: "你好 🌊" }];
const ASK = { model: "gpt-3.5-turbo", stream: true, messages: HELLO };

let weir: Weir;
beforeAll(async () => {
  weir = await launch({ set: { "auth.secret_key": SECRET, "server.body_max_bytes": 5000 } });
});
afterAll(() => weir.stop());

async function tokenOf(id = "1000", hour = "10", key = SECRET, from = weir): Promise<string> {
  const query = `id=${encodeURIComponent(id)}&hour=${hour}&key=${encodeURIComponent(key)}`;
  const answer = await (await fetch(`${from.url}/token?${query}`)).json() as {
    readonly token: string;
  };
  return answer.token;
}

function chat(authorization: string | undefined, body: unknown = ASK, from = weir) {
  return fetch(`${from.url}/chat`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(authorization === undefined ? {} : { authorization }),
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

describe("/token", () => {
  test("gives a token for so many hours, on a line of JSON", async () => {
    const response = await fetch(`${weir.url}/token?id=1000&hour=10&key=${SECRET}`);
    expect(response.status).toBe(200);
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    const text = await response.text();
    expect(text).toMatch(/^\{"token":"[\w-]+\.[\w-]+\.[\w-]+"\}\n$/);
    const claims = decodeJwt(JSON.parse(text).token);
    expect(Object.keys(claims)).toEqual(["exp", "jti"]);
    expect(claims.jti).toBe("1000");
    expect(Math.abs(claims.exp! - Date.now() / 1000 - 36_000)).toBeLessThan(60);
  });

  /** query → status, text */
  const cases: readonly (readonly [string, number, string])[] = [
    ["", 400, "Missing required parameters\n"],
    ["?id=1&hour=1", 400, "Missing required parameters\n"],
    ["?id=1&key=k", 400, "Missing required parameters\n"],
    ["?hour=1&key=k", 400, "Missing required parameters\n"],
    ["?id=1&hour=&key=k", 400, "Invalid param time\n"],
    ["?id=1&hour=1.5&key=k", 400, "Invalid param time\n"],
    ["?id=1&hour=0x10&key=k", 400, "Invalid param time\n"],
    ["?id=1&hour=ten&key=k", 400, "Invalid param time\n"],
    ["?id=1&hour=9223372036854775808&key=k", 400, "Invalid param time\n"],
    ["?id=1&hour=9223372036854775807&key=k", 503, "Create token failed\n"],
    ["?id=1&hour=1&key=", 503, "Create token failed\n"],
  ];
  for (const [query, status, text] of cases) {
    test(`${query || "no query"} is ${status} ${text.trim()}`, async () => {
      const response = await fetch(`${weir.url}/token${query}`);
      expect(response.status).toBe(status);
      expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
      expect(response.headers.get("x-content-type-options")).toBe("nosniff");
      expect(await response.text()).toBe(text);
    });
  }

  test("takes any sign of hours, an empty id, and POST", async () => {
    for (const hour of ["0", "-5", "%2B5"]) expect(await tokenOf("1", hour)).toBeString();
    expect(decodeJwt(await tokenOf(""))).not.toHaveProperty("jti");
    const posted = await fetch(`${weir.url}/token?id=1&hour=1&key=k`, { method: "POST" });
    expect(posted.status).toBe(200);
  });

  test("without auth.secret_key it says what to set, whatever key is given", async () => {
    const open = await launch();
    try {
      const response = await fetch(`${open.url}/token?id=1&hour=1&key=`);
      expect(response.status).toBe(503);
      expect(await response.text()).toBe("Create token failed: auth.secret_key is not set\n");
      expect((await chat(undefined, ASK, open)).status).toBe(200);
    } finally {
      await open.stop();
    }
  });
});

describe("weir token", () => {
  test("prints a token that the server takes", async () => {
    const { output, code } = await run(["token", "--id", "1000", "--hours", "10"], {
      files: { ".env": `SECRET_KEY=${SECRET}\n` },
    });
    expect(code).toBe(0);
    expect(decodeJwt(output.trim()).jti).toBe("1000");
    expect((await chat(output.trim())).status).toBe(200);
  });

  const faults: readonly (readonly [readonly string[], string, number])[] = [
    [[], "auth.secret_key is not set", 1],
    [["--hours", "ten", "--set", "auth.secret_key=k"], "--hours must be a whole number", 2],
    [["--id"], "--id", 2],
    [["--idd", "1"], "Unknown option", 2],
  ];
  for (const [args, text, exitCode] of faults) {
    test(`token ${args.join(" ")} fails with one sentence`, async () => {
      const { output, errors, code } = await run(["token", ...args]);
      expect(code).toBe(exitCode);
      expect(output).toBe("");
      expect(errors).toContain(text);
    });
  }
});

describe("/event", () => {
  test("sends two messages two seconds apart, and close", async () => {
    const startMs = performance.now();
    const response = await fetch(`${weir.url}/event?appId=1&page=4&pageSize=5`);
    expect(performance.now() - startMs).toBeGreaterThan(1990);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(await response.text()).toBe(
      "data: 0145\n\ndata: 1145\n\nevent: close\ndata: close\n\n",
    );
    expect(performance.now() - startMs).toBeGreaterThan(3990);
  }, TEST_MS_MAX);

  for (const query of ["", "?appId=1", "?appId=1&page=2", "?page=1&pageSize=2"]) {
    test(`/event${query} is 400`, async () => {
      const response = await fetch(`${weir.url}/event${query}`);
      expect(response.status).toBe(400);
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect(await response.text()).toBe("Missing required parameters\n");
    });
  }

  test("a line end in a parameter does not become an event", async () => {
    const query = "appId=1&page=2&pageSize=3%0A%0Adata:%20mine";
    expect((await fetch(`${weir.url}/event?${query}`)).status).toBe(400);
  });
});

describe("/chat", () => {
  test("speaks OpenAI's chunks to a fresh token, raw or behind Bearer, and to the secret", async () => {
    const token = await tokenOf();
    for (const header of [token, `Bearer ${token}`, SECRET]) {
      const response = await chat(header);
      expect(response.status).toBe(200);
      const text = await response.text();
      expect(text).toContain('"object":"chat.completion.chunk"');
      expect(text).toEndWith("data: [DONE]\n\n");
    }
  });

  test("refuses everybody else with 403 and no body", async () => {
    const [head, claims] = (await tokenOf()).split(".");
    const headers = [
      undefined,
      "wrong",
      `Basic ${SECRET}`,
      await tokenOf("1", "0"),
      await tokenOf("1", "-1"),
      await tokenOf("1", "10", "another-key"),
      `${head}.${claims}.`,
      `${Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url")}.${claims}.`,
    ];
    for (const header of headers) {
      const response = await chat(header);
      expect([header, response.status]).toEqual([header, 403]);
      expect(await response.text()).toBe("");
      expect(response.headers.get("access-control-allow-origin")).toBe("*");
      expect(response.headers.get("weir-error")).not.toContain(SECRET);
    }
  });

  const bad: readonly (readonly [string, unknown, number])[] = [
    ["no JSON", "not json", 400],
    ["nothing", "", 400],
    ["no model", { messages: HELLO }, 400],
    ["no messages", { model: "gpt-4o" }, 400],
    ["a number of messages", { model: "gpt-4o", messages: 7 }, 400],
    ["too much", { ...ASK, messages: [{ role: "user", content: "x".repeat(6000) }] }, 413],
  ];
  for (const [name, body, status] of bad) {
    test(`${name} is ${status} with OpenAI's error object`, async () => {
      const response = await chat(SECRET, body);
      expect(response.status).toBe(status);
      expect(await response.json()).toHaveProperty("error.message");
    });
  }

  test("a preflight allows what a page asks for", async () => {
    const response = await fetch(`${weir.url}/chat`, {
      method: "OPTIONS",
      headers: {
        "origin": "http://page.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,chat-type,content-type",
      },
    });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("access-control-allow-headers")).toContain("authorization");
    expect(response.headers.get("access-control-allow-headers")).toContain("chat-type");
  });

  test("nothing that was said or sent is in the log", async () => {
    const loud = await launch({ set: { "auth.secret_key": SECRET, "ops.log": "requests" } });
    try {
      const token = await tokenOf("1000", "10", SECRET, loud);
      await (await chat(token, ASK, loud)).text();
      await (await chat("another-secret", ASK, loud)).text();
      await fetch(`${loud.url}/token?id=1&hour=x&key=${SECRET}`);
      // Lines leave in batches: the last request's says that all are there.
      await waitFor(() => loud.errors().includes('"status":400'), "the last request's line");
      const log = loud.errors();
      const lines = log.trim().split("\n").map((line) => JSON.parse(line));
      expect(lines).toContainEqual(
        expect.objectContaining({ method: "POST", surface: "chat", status: 200 }),
      );
      expect(lines).toContainEqual(
        expect.objectContaining({ method: "GET", surface: "token", status: 400 }),
      );
      for (const secret of [SECRET, token, "another-secret", "你好"]) {
        expect(log).not.toContain(secret);
      }
    } finally {
      await loud.stop();
    }
  });
});

describe("auth.token without auth.secret_key", () => {
  test("closes /chat and /conv to everybody else", async () => {
    const closed = await launch({ set: { "auth.token": "the-token" } });
    try {
      expect((await chat(undefined, ASK, closed)).status).toBe(403);
      expect((await chat("", ASK, closed)).status).toBe(403);
      expect((await chat("the-token", ASK, closed)).status).toBe(200);
      const conv = await fetch(`${closed.url}/conv`, { headers: { "chat-type": "conversations" } });
      expect(conv.status).toBe(403);
    } finally {
      await closed.stop();
    }
  });
});

describe("/chat with an upstream of its own", () => {
  let upstream: ToldUpstream;
  let own: Weir;
  beforeAll(async () => {
    upstream = tellUpstream();
    own = await launch({
      files: {
        // The manual's own file: a value, and a remark behind it.
        ".env": `API_PROXY=${upstream.url.slice("http://".length)} # api代理地址\n` +
          `CHAT_API_KEY=sk-chat # apikey\nSECRET_KEY=${SECRET}\n`,
      },
    });
  });
  afterAll(async () => {
    await own.stop();
    upstream.stop();
  });

  test("it gets every field, the key and the token's id, and never the token", async () => {
    const token = await tokenOf("user-7", "10", SECRET, own);
    const body = JSON.stringify({ ...ASK, temperature: 0.1, tools: [], custom: { a: [1] } });
    const index = upstream.requests.length;
    const asked = fetch(`${own.url}/chat?trace=1`, {
      method: "POST",
      headers: { "content-type": "application/json", "authorization": token, "userid": "somebody" },
      body,
    });
    const told = await upstream.told(index);
    told.say("一");
    told.finish();
    const response = await asked;
    expect(response.status).toBe(200);
    expect(await response.text()).toEndWith("data: [DONE]\n\n");
    const seen = upstream.requests[index]!;
    expect(seen.path).toBe("/v1/chat/completions?trace=1");
    expect(seen.body).toBe(body);
    expect(seen.headers.get("authorization")).toBe("Bearer sk-chat");
    expect(seen.headers.get("userid")).toBe("user-7");
    expect(JSON.stringify([...seen.headers])).not.toContain(token);
  });

  test("the start says who answers what", () => {
    expect(own.output()).toContain(`proxy: /chat is answered by ${upstream.url}/v1`);
    expect(own.output()).toContain("mock: /v1/chat/completions answers");
  });

  test("when it is not there, the error names the key of the config to look at", async () => {
    const gone = tellUpstream();
    gone.stop();
    const lost = await launch({ set: { "chat.api_proxy": gone.url, "llm.retries": 0 } });
    try {
      const response = await fetch(`${lost.url}/chat`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(ASK),
      });
      expect(response.status).toBe(502);
      expect(response.headers.get("weir-error")).toContain("Check chat.api_proxy and");
    } finally {
      await lost.stop();
    }
  });
});
