import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canMakeCertificates, makeCertificate } from "./certificate.ts";
import {
  cleanEnv,
  launch,
  type LaunchOptions,
  run,
  TEST_MS_MAX,
  waitFor,
  type Weir,
  weirCommand,
} from "./launch.ts";
import { act, chunk, sseHead } from "./scripted_upstream.ts";
import { CAN_MEASURE, processSize } from "./process_size.ts";
import { EVENT, proxied } from "./proxied.ts";
import { connect, exchange, parseRaw, rawChat, type RawClient } from "./raw_client.ts";

setDefaultTimeout(TEST_MS_MAX);

const CHAT = '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}';
const CLOSE = ["Connection: close"];

const running: { readonly stop: () => Promise<void> }[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.leave();
  for (const one of running.splice(0)) await one.stop();
});

async function start(set: LaunchOptions["set"], files: LaunchOptions["files"] = {}): Promise<Weir> {
  const weir = await launch({ set: { ...set }, files });
  running.push(weir);
  return weir;
}

async function open(weir: Weir, fields: readonly string[] = []): Promise<RawClient> {
  const client = await connect(weir.port, rawChat(CHAT, fields));
  clients.push(client);
  return client;
}

function errorCode(body: Buffer): unknown {
  return (JSON.parse(body.toString()) as { error: { code: unknown } }).error.code;
}

/** A paced answer lasts until its client leaves. */
const ENDLESS = { "mock.delay_ms": 600_000 };

describe("server.url_max_bytes", () => {
  test("a longer URL is refused with 414, and a shorter one is not", async () => {
    const weir = await start({ "server.url_max_bytes": 200 });
    const get = (path: string) =>
      exchange(weir.port, `GET ${path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n`);
    const long = await get(`/v1/models?${"a".repeat(300)}`);
    expect([long.status, errorCode(long.body)]).toEqual([414, "url_too_long"]);
    expect((await get("/v1/models?a")).status).toBe(200);
  });
});

describe("server.body_timeout_ms", () => {
  const LIMIT = { "server.body_timeout_ms": 200 };
  const ROWS: readonly (readonly [string, string])[] = [
    ["with a length", "Content-Length: 100\r\n\r\n{"],
    ["in chunks", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"],
  ];
  for (const [name, rest] of ROWS) {
    test(`a body ${name} that does not come is refused with 408, and the connection closes`, async () => {
      const weir = await start(LIMIT);
      const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: weir\r\n";
      const { status, body } = await exchange(weir.port, head + rest);
      expect([status, errorCode(body)]).toEqual([408, "body_slow"]);
      expect((await exchange(weir.port, rawChat(CHAT, CLOSE))).status).toBe(200);
    });
  }

  for (
    const [path, status] of [
      ["/v1/response", 408],
      ["/api/chat", 408],
      ["/api/workflows/runs", 408],
      ["/chat", 408],
      ["/conv", 408],
      ["/memory/apply", 200], // where every fault of a request is a 200 with a code
      ["/memory/upload", 200],
    ] as const
  ) {
    test(`${path} answers with ${status}, and the connection closes`, async () => {
      const weir = await start(LIMIT);
      const head = [
        `POST ${path} HTTP/1.1`,
        "Host: weir",
        "Content-Type: application/json",
        "Chat-Type: conversation",
        "Content-Length: 100",
        "",
        "{",
      ].join("\r\n");
      // Ends when weir closes: what comes later of the body would be read as the next request.
      const answer = await exchange(weir.port, head);
      expect(answer.status).toBe(status);
      expect(answer.head).toContain("\r\nconnection: close");
      expect(answer.body.toString()).toContain("server.body_timeout_ms");
    });
  }

  test("holds for a proxied body as well", async () => {
    const proxy = await proxied({ set: LIMIT });
    running.push(proxy);
    const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: weir\r\nContent-Length: 100\r\n\r\n{";
    expect((await exchange(proxy.weir.port, head)).status).toBe(408);
    expect(proxy.upstream.requests).toHaveLength(0);
  });
});

/** Bun's own limits, which weir relies on against clients that send slowly (slowloris). */
describe("server.head_timeout_ms", () => {
  const GET = "GET /health HTTP/1.1\r\nHost: weir\r\n";

  /** Sends a header field's letters one by one until the connection is closed. */
  async function drip(client: RawClient): Promise<Buffer> {
    const dripping = setInterval(() => client.send("a"), 50);
    let received: Buffer | undefined;
    void client.closed.then((bytes) => received = bytes);
    try {
      return await waitFor(() => received, "the connection to be closed");
    } finally {
      clearInterval(dripping);
    }
  }

  test("a further head that does not end is refused then, however steadily it comes", async () => {
    const weir = await start({ "server.head_timeout_ms": 1000 });
    const client = await connect(weir.port, `${GET}\r\n`);
    clients.push(client);
    await client.until("200 OK");
    client.send(`${GET}X-Slow: `);
    const answers = (await drip(client)).toString("latin1").match(/HTTP\/1.1 \d+/g);
    expect(answers).toEqual(["HTTP/1.1 200", "HTTP/1.1 408"]);
    expect((await weir.health())["status"]).toBe("ok");
  });

  test("the first head of a connection as well, in the dialect of its URL", async () => {
    const weir = await start({ "server.head_timeout_ms": 500 });
    const client = await connect(weir.port, "POST /v1/chat/completions HTTP/1.1\r\nX-Slow: ");
    clients.push(client);
    const { status, body } = parseRaw(await drip(client));
    expect([status, errorCode(body)]).toEqual([408, "head_slow"]);
    expect((await weir.health())["status"]).toBe("ok");
  });

  test("a connection that says nothing is closed then", async () => {
    const weir = await start({ "server.head_timeout_ms": 500 });
    const client = await connect(weir.port, "");
    clients.push(client);
    expect(await client.closed).toHaveLength(0);
  });
});

describe("server.idle_timeout_ms", () => {
  test("a connection without a further request is closed then", async () => {
    const weir = await start({ "server.idle_timeout_ms": 1000 });
    const client = await connect(weir.port, "GET /health HTTP/1.1\r\nHost: weir\r\n\r\n");
    clients.push(client);
    expect((await client.closed).toString("latin1").match(/HTTP\/1.1 /g)).toHaveLength(1);
  });
});

describe("server.connections_max", () => {
  const ROWS: readonly (readonly [files: number, settings: readonly string[], clients: number])[] =
    [
      [700, [], 444],
      [400, [], 200],
      // Each client may need a connection to the upstream.
      [700, ["--set", "llm.base_url=http://127.0.0.1:9/v1"], 222],
    ];
  for (const [files, settings, clients] of ROWS) {
    test(`over the ${clients} that ${files} files are enough for is told, ${settings}`, () => {
      const line = `ulimit -n ${files}; exec "$@"`;
      const check = ["check", "--set", "server.connections_max=5000", ...settings];
      const { exitCode, stderr } = Bun.spawnSync(
        ["bash", "-c", line, "bash", ...weirCommand(), ...check],
        { env: cleanEnv() },
      );
      expect([exitCode, stderr.toString()]).toEqual([
        0,
        expect.stringContaining(`this process has files for ${clients} clients`),
      ]);
    });
  }

  test("further connections are closed at once, until there is room again", async () => {
    const weir = await start({ "server.connections_max": 8 });
    const many = await Promise.all(
      Array.from({ length: 12 }, () => connect(weir.port, rawChat(CHAT))),
    );
    clients.push(...many);
    // The one of the health check may still be there.
    const isRefused = await Promise.all(
      many.map((client) =>
        Promise.race([client.closed.then(() => true), client.until("[DONE]").then(() => false)])
      ),
    );
    expect(isRefused.filter(Boolean).length).toBeWithin(4, 6);
    for (const client of many) client.leave();
    await waitFor(async () => {
      const client = await connect(weir.port, rawChat(CHAT, CLOSE));
      return (await client.closed).toString().includes("[DONE]");
    }, "an answer once there is room");
  });
});

describe("server.streams_max", () => {
  test("the workflow API is told in its own dialect", async () => {
    const weir = await start({ ...ENDLESS, "server.streams_max": 1 });
    await (await open(weir)).until("powered");
    const run = rawChat("{}", CLOSE).toString().replace(
      "/v1/chat/completions",
      "/api/workflows/runs",
    );
    const { status, body } = await exchange(weir.port, run);
    expect(status).toBe(503);
    expect(JSON.parse(body.toString())).toEqual({
      detail: expect.stringContaining("1 open streams"),
    });
  });

  test("one stream more is refused with 503 and retry-after; health still answers", async () => {
    const weir = await start({ ...ENDLESS, "server.streams_max": 3 });
    const three = await Promise.all([open(weir), open(weir), open(weir)]);
    await Promise.all(three.map((client) => client.until("powered")));
    const { status, head, body } = await exchange(weir.port, rawChat(CHAT, CLOSE));
    expect([status, errorCode(body)]).toEqual([503, "streams_full"]);
    expect(head).toContain("\r\nretry-after: 1");
    expect((await weir.health())["streams_open"]).toBe(3);
    three[0]!.leave();
    await waitFor(async () => (await weir.health())["streams_open"] === 2);
    await (await open(weir)).until("powered");
  });
});

describe("server.streams_per_client_max", () => {
  const LIMIT = { ...ENDLESS, "server.streams_per_client_max": 2 };

  test("one client's third stream is refused with 429, until one has ended", async () => {
    const weir = await start(LIMIT);
    const two = await Promise.all([open(weir), open(weir)]);
    await Promise.all(two.map((client) => client.until("powered")));
    const { status, head, body } = await exchange(weir.port, rawChat(CHAT, CLOSE));
    expect([status, errorCode(body)]).toEqual([429, "rate_limit_exceeded"]);
    expect(head).toContain("\r\nretry-after: 1");
    two[0]!.leave();
    await waitFor(async () => (await weir.health())["streams_open"] === 1);
    await (await open(weir)).until("powered");
  });

  test("whole answers, errors and clients that leave are not counted for ever", async () => {
    const weir = await start({ "server.streams_per_client_max": 1 });
    for (const body of [CHAT, "rubbish", CHAT, "{}", CHAT]) {
      expect((await exchange(weir.port, rawChat(body, CLOSE))).status).not.toBe(429);
    }
    const half = await connect(weir.port, rawChat(CHAT).subarray(0, 150));
    half.leave();
    await waitFor(async () =>
      (await exchange(weir.port, rawChat(CHAT, CLOSE))).status === 200 || null
    );
  });

  test("clients behind a trusted proxy are told apart, and a stranger's word counts for nothing", async () => {
    const trusting = await start({ ...LIMIT, "server.trusted_proxies": "[127.0.0.0/8]" });
    for (const name of ["203.0.113.1", "203.0.113.2"]) {
      const fields = [`X-Forwarded-For: ${name}`];
      const two = await Promise.all([open(trusting, fields), open(trusting, fields)]);
      await Promise.all(two.map((client) => client.until("powered")));
      const refused = await exchange(trusting.port, rawChat(CHAT, [...CLOSE, ...fields]));
      expect(refused.status).toBe(429);
    }
    const strict = await start(LIMIT);
    const two = await Promise.all([1, 2].map((i) => open(strict, [`X-Forwarded-For: 1.2.3.${i}`])));
    await Promise.all(two.map((client) => client.until("powered")));
    const third = await exchange(
      strict.port,
      rawChat(CHAT, [...CLOSE, "X-Forwarded-For: 1.2.3.3"]),
    );
    expect(third.status).toBe(429);
  });
});

describe("server.requests_waiting_max", () => {
  test("requests whose bodies do not come are bounded: 503", async () => {
    const weir = await start({ "server.requests_waiting_max": 5 });
    const half = rawChat(CHAT).subarray(0, 150);
    for (let i = 0; i < 6; i++) clients.push(await connect(weir.port, half));
    await waitFor(async () =>
      (await exchange(weir.port, rawChat(CHAT, CLOSE))).status === 503 || null
    );
    expect((await weir.health())["status"]).toBe("ok");
    for (const client of clients.splice(0)) client.leave();
    await waitFor(async () =>
      (await exchange(weir.port, rawChat(CHAT, CLOSE))).status === 200 || null
    );
  });
});

describe("server.bodies_max_bytes", () => {
  const MEGABYTE = 1024 * 1024;
  // What is held half stays held, however long the machine takes for the rest.
  const LIMIT = { "server.bodies_max_bytes": 16 * MEGABYTE, "server.body_timeout_ms": 600_000 };

  function large(path: string, bytes: number, fields: readonly string[] = []): Buffer {
    const text = CHAT.replace("hi", "x".repeat(bytes - CHAT.length));
    return Buffer.from(
      rawChat(text, fields).toString().replace("/v1/chat/completions", path),
    );
  }

  async function counted(weir: Weir, name: string): Promise<number> {
    const text = await (await fetch(`${weir.url}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  }

  test("half bodies of 400 MB leave memory flat; who is refused is told, and the rest goes on", async () => {
    const weir = await start(LIMIT);
    expect((await exchange(weir.port, large("/v1/chat/completions", MEGABYTE, CLOSE))).status)
      .toBe(200);
    const residentBytes = () => CAN_MEASURE ? processSize(weir.pid).residentBytes : 0;
    const before = residentBytes();
    const half = large("/v1/chat/completions", 8 * MEGABYTE).subarray(0, 4 * MEGABYTE);
    for (let i = 0; i < 100; i++) {
      clients.push(await connect(weir.port, half));
      await waitFor(() => clients.filter((one) => one.text() === "").length <= 4, "the refusals");
    }
    const waiting = clients.filter((client) => client.text() === "");
    expect(waiting.length).toBeGreaterThan(0);
    expect(residentBytes() - before).toBeLessThan(200 * MEGABYTE);
    const refused = clients.find((client) => client.text() !== "")!;
    const { status, head, body } = parseRaw(refused.received());
    expect([status, errorCode(body)]).toEqual([503, "bodies_full"]);
    expect(head).toContain("\r\nretry-after: 1");
    const errors = 'weir_errors_total{surface="v1_chat_completions",code="bodies_full"}';
    expect(await counted(weir, RegExp.escape(errors))).toBe(100 - waiting.length);
    expect(await counted(weir, "weir_limits_reached_total")).toBe(100 - waiting.length);
    expect((await exchange(weir.port, rawChat(CHAT, CLOSE))).status).toBe(200);

    for (const client of clients.splice(0)) client.leave();
    await waitFor(async () =>
      (await exchange(weir.port, large("/v1/chat/completions", 12 * MEGABYTE, CLOSE))).status ===
        200 || null
    );
  });

  test("bodies that are whole are not counted, and a refused one's connection goes on", async () => {
    const weir = await start(LIMIT);
    for (let i = 0; i < 6; i++) {
      const answer = await exchange(weir.port, large("/v1/chat/completions", 6 * MEGABYTE, CLOSE));
      expect(answer.status).toBe(200);
    }
    const half = large("/v1/chat/completions", 20 * MEGABYTE).subarray(0, 14 * MEGABYTE);
    let holder = await connect(weir.port, half);
    clients.push(holder);
    const health = "GET /health HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";
    await waitFor(async () => {
      if (holder.text() !== "") { // it came second to a small body that was on its way
        holder = await connect(weir.port, half);
        clients.push(holder);
      }
      const both = Buffer.concat([
        large("/v1/chat/completions", 4 * MEGABYTE),
        Buffer.from(health),
      ]);
      const client = await connect(weir.port, both);
      const answers = (await client.closed).toString().match(/HTTP\/1.1 \d+/g);
      return answers?.join() === "HTTP/1.1 503,HTTP/1.1 200" || null;
    });
  });

  test("each surface says it in its own dialect, and the proxy too", async () => {
    // With a model of its own a body is held until it is whole.
    const proxy = await proxied({ set: { ...LIMIT, "llm.model_id": "gpt-4o" } });
    running.push(proxy);
    const half = large("/v1/chat/completions", 20 * MEGABYTE).subarray(0, 15 * MEGABYTE);
    clients.push(await connect(proxy.weir.port, half));
    const refused = async (path: string) => {
      const { status, body } = await waitFor(async () => {
        const answer = await exchange(
          proxy.weir.port,
          large(path, 2 * MEGABYTE, [...CLOSE, "Chat-Type: conversation"]),
        );
        return answer.status === 503 && answer;
      }, path);
      expect(status).toBe(503);
      return JSON.parse(body.toString()) as unknown;
    };
    const sentence = expect.stringContaining("server.bodies_max_bytes");
    for (const path of ["/v1/chat/completions", "/chat"]) {
      expect(await refused(path)).toMatchObject({ error: { message: sentence } });
    }
    for (const path of ["/v1/response", "/memory/apply"]) {
      expect(await refused(path)).toMatchObject({ code: -1, msg: sentence });
    }
    for (const path of ["/api/chat", "/api/workflows/runs", "/conv"]) {
      expect(await refused(path)).toEqual({ detail: sentence });
    }
  });
});

describe("server.write_timeout_ms", () => {
  test("a proxied client that takes nothing is cut off, and its upstream stopped", async () => {
    const proxy = await proxied({ set: { "server.write_timeout_ms": 300 } });
    running.push(proxy);
    const block = chunk(`data: ${"x".repeat(1024 * 1024)}\n\n`);
    proxy.play(() => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      ...Array.from({ length: 100 }, () => act.send(block)),
      act.stall,
    ]);
    const client = await connect(proxy.weir.port, rawChat(CHAT, CLOSE), false);
    await waitFor(() => proxy.upstream.requests.length === 1);
    await waitFor(() => proxy.upstream.open === 0, "the upstream to be stopped");
    expect((await proxy.weir.health())["streams_open"]).toBe(0);
    client.resume();
    expect(parseRaw(await client.closed).isWhole).toBe(false);
    await waitFor(() => proxy.weir.errors().includes("timed_out"), "the log's line");
    expect(proxy.weir.errors()).toContain("reader_slow");
  });
});

describe("what weir listens on", () => {
  /** A path in a folder that goes away after the test. */
  async function socketPath(): Promise<string> {
    return join((await start({})).folder, "weir.sock");
  }

  function serveOnFile(path: string): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    const child = Bun.spawn([...weirCommand(), "serve", "--set", `server.unix=${path}`], {
      cwd: join(path, ".."),
      env: cleanEnv(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    running.push({
      async stop() {
        child.kill("SIGKILL");
        await child.exited;
      },
    });
    return child;
  }

  async function answers(path: string): Promise<boolean> {
    try {
      return (await fetch("http://localhost/v1/models", { unix: path } as RequestInit)).ok;
    } catch {
      return false;
    }
  }

  test("a socket file with its mode; a killed weir's file is taken over, a living one's is not", async () => {
    const path = await socketPath();
    const first = serveOnFile(path);
    await waitFor(() => answers(path));
    expect(statSync(path).mode & 0o777).toBe(0o660);
    const second = await run(["serve", "--set", `server.unix=${path}`]);
    expect(second.code).toBe(1);
    expect(second.errors).toContain("another process has it");
    expect(await answers(path)).toBe(true);
    first.kill("SIGKILL");
    await first.exited;
    expect(statSync(path).isSocket()).toBe(true);
    serveOnFile(path);
    await waitFor(() => answers(path));
  });

  test("a file that is no socket stays, and is named", async () => {
    const path = await socketPath();
    writeFileSync(path, "precious");
    const { code, errors } = await run(["serve", "--set", `server.unix=${path}`]);
    expect(code).toBe(1);
    expect(errors).toContain("something that is no socket is there");
    expect(await Bun.file(path).text()).toBe("precious");
  });

  test.skipIf(!canMakeCertificates())("TLS, with the certificate's files", async () => {
    const { cert, key } = makeCertificate(["DNS:localhost", "IP:127.0.0.1"]);
    const weir = await launch({
      set: { "server.tls_cert_file": "cert.pem", "server.tls_key_file": "key.pem" },
      files: { "cert.pem": cert, "key.pem": key },
      ca: cert,
    });
    running.push(weir);
    expect(weir.url).toStartWith("https://");
    const answer = await fetch(`${weir.url}/v1/models`, { tls: { ca: cert } } as RequestInit);
    expect(answer.status).toBe(200);
  });

  test("a certificate without its key is a problem of the config", async () => {
    const { code, errors } = await run(["check", "--set", "server.tls_cert_file=cert.pem"]);
    expect(code).toBe(1);
    expect(errors).toContain("the two belong together");
  });
});

describe("several tokens", () => {
  test("each opens the door, from the config or from a file, and none appears in the log", async () => {
    const weir = await start({ "ops.log": "requests" }, {
      "config.yaml": [
        "auth:",
        "  token_file: old.txt",
        "  tokens: [{name: blue, token: blue-secret}, {name: ci, token_file: ci.txt}]",
      ].join("\n"),
      "old.txt": "old-secret\n",
      "ci.txt": "  ci-secret\n",
    });
    const status = async (token: string) =>
      (await exchange(weir.port, rawChat(CHAT, [...CLOSE, `Authorization: Bearer ${token}`])))
        .status;
    for (const token of ["old-secret", "blue-secret", "ci-secret"]) {
      expect(await status(token)).toBe(200);
    }
    for (const token of ["secret", "blue-secre", "x"]) expect(await status(token)).toBe(401);
    await exchange(
      weir.port,
      "GET /token?key=query-secret HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n",
    );
    await waitFor(() => (weir.errors().match(/\n/g) ?? []).length >= 7);
    expect(weir.errors() + weir.output()).not.toMatch(/(?:old|blue|ci|query)-secret/);
  });

  test("a token file that is not there is named", async () => {
    const { code, errors } = await run(["serve", "--set", "auth.token_file=gone.txt"]);
    expect(code).toBe(1);
    expect(errors).toContain("gone.txt: there is no such file");
  });
});

describe("a drain", () => {
  test("closes a kept-alive connection with its next answer", async () => {
    const weir = await start({ ...ENDLESS, "server.drain_ms": 60_000 });
    const stream = await open(weir);
    await stream.until("powered");
    const idle = await connect(weir.port, "GET /v1/models HTTP/1.1\r\nHost: weir\r\n");
    clients.push(idle);
    // Bun takes a connection for busy once a head has begun.
    await weir.health();
    weir.kill("SIGTERM");
    await waitFor(() => weir.errors().includes("open streams have"));
    idle.send("\r\n");
    expect(parseRaw(await idle.closed).head).toContain("\r\nconnection: close");
  });
});
