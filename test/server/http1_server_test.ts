/**
 * How weir behaves as an HTTP/1.1 server, where no single request is wrong: what belongs to a
 * connection, who waits for whom, and what becomes of clients that leave, stall or come in crowds.
 */

import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect as connectNet } from "node:net";
import { canMakeCertificates } from "./certificate.ts";
import { type Answer, parseAnswers } from "./http1_messages.ts";
import {
  type Kind,
  passedOn,
  type Rig,
  type Settings,
  startRig,
  untilClosed,
} from "./http1_rig.ts";
import { BODY_BYTES_MAX, CHAT, PROBE, SMUGGLED } from "./http1_table.ts";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { describeWith } from "./needs.ts";
import { CAN_MEASURE, processSize } from "./process_size.ts";
import { CAN_COUNT_CPU, cpuMsOf } from "./process_cpu.ts";
import { DONE, EVENT, gate, type Proxied, proxied, whole } from "./proxied.ts";
import { connect, rawChat, type RawClient, type Target } from "./raw_client.ts";
import { act, chunk, LAST_CHUNK, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const MEGABYTE = 1024 * 1024;
const HOST = "Host: weir\r\n";
const GET = `GET /health HTTP/1.1\r\n${HOST}\r\n`;
const KINDS = ["plain", "TLS", "unix"] as const satisfies Kind[];

const running: { readonly stop: () => unknown }[] = [];
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.leave();
  for (const one of running.splice(0).reverse()) await one.stop();
});

async function rigOf(kind: Kind, set: Settings = {}): Promise<Rig> {
  const rig = await startRig(kind, set);
  running.push(rig);
  return rig;
}

async function mock(options: Parameters<typeof launch>[0] = {}): Promise<Weir> {
  const weir = await launch(options);
  running.push(weir);
  return weir;
}

async function proxy(set: Settings = {}): Promise<Proxied> {
  const one = await proxied({ set });
  running.push(one);
  return one;
}

async function open(target: Target, request: string | Uint8Array): Promise<RawClient> {
  const client = await connect(target, request);
  clients.push(client);
  return client;
}

/** Every answer until weir closes. */
async function ask(
  target: Target,
  request: string | Uint8Array,
  methods: readonly string[] = [],
): Promise<Answer[]> {
  return parseAnswers(await untilClosed(await open(target, request)), methods);
}

/** The answers that are whole, of a connection that may still be open. */
function soFar(client: RawClient): Answer[] {
  const bytes = client.received();
  // A head that is not whole is read when it is.
  const end = bytes.lastIndexOf("\r\n\r\n");
  return end < 0 ? [] : parseAnswers(bytes).filter(({ isWhole }) => isWhole);
}

function statusesOf(answers: readonly Answer[]): number[] {
  return answers.map(({ status }) => status);
}

/** The head of a chat with fields of its own. */
function headOf(lines: readonly string[], version = "1.1"): string {
  return [
    `POST /v1/chat/completions HTTP/${version}`,
    "Host: weir",
    "Content-Type: application/json",
    ...lines,
    "",
    "",
  ].join("\r\n");
}

const LENGTH = `Content-Length: ${CHAT.length}`;

for (const kind of KINDS) {
  describe.skipIf(kind === "TLS" && !canMakeCertificates())(`an HTTP/1.1 server, ${kind}`, () => {
    test("says 100 when a client waits for it, and then reads the body", async () => {
      const { target } = await rigOf(kind);
      for (
        const [lines, body] of [
          [[LENGTH], CHAT],
          [
            ["Transfer-Encoding: chunked"],
            `${CHAT.length.toString(16)}\r\n${CHAT}\r\n0\r\n\r\n`,
          ],
        ] as const
      ) {
        const client = await open(target, headOf([...lines, "Expect: 100-continue"]));
        await client.until("\r\n\r\n");
        expect(client.text()).toStartWith("HTTP/1.1 100 ");
        client.send(body + PROBE);
        const answers = parseAnswers(await untilClosed(client));
        expect(answers.map(({ status, interim }) => [status, interim]))
          .toEqual([[200, [100]], [200, []]]);
      }
    });

    test("says no 100 when the body is there, or is refused, or the client is HTTP/1.0", async () => {
      const { target } = await rigOf(kind, { "server.body_max_bytes": BODY_BYTES_MAX });
      const expecting = ["Expect: 100-continue", "Connection: close"];
      const [there] = await ask(target, headOf([LENGTH, ...expecting]) + CHAT);
      expect([there?.status, there?.interim]).toEqual([200, []]);
      const tooLong = `Content-Length: ${BODY_BYTES_MAX + 1}`;
      const [refused] = await ask(target, headOf([tooLong, ...expecting]));
      expect([refused?.status, refused?.interim]).toEqual([413, []]);
      const old = await open(target, headOf([LENGTH, ...expecting], "1.0"));
      await ask(target, PROBE); // by then the head has been read
      old.send(CHAT);
      const [answer] = parseAnswers(await untilClosed(old));
      expect([answer?.status, answer?.interim]).toEqual([200, []]);
    });

    test("keeps a connection of HTTP/1.0 when it is asked to, and says so", async () => {
      const { target } = await rigOf(kind);
      const old = GET.replace("HTTP/1.1", "HTTP/1.0");
      const client = await open(
        target,
        old.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"),
      );
      await waitFor(() => soFar(client).length === 1, "the first answer");
      client.send(old);
      const answers = parseAnswers(await untilClosed(client));
      expect(statusesOf(answers)).toEqual([200, 200]);
      expect(answers[0]!.fields.get("connection")?.join().toLowerCase()).toBe("keep-alive");
    });

    test("ends a stream of HTTP/1.0 by closing, without chunks", async () => {
      const { target } = await rigOf(kind, { "mock.delay_ms": 1 });
      const [answer] = await ask(
        target,
        headOf([LENGTH, "Connection: keep-alive"], "1.0") + CHAT,
      );
      expect(answer?.status).toBe(200);
      expect(answer?.fields.has("transfer-encoding")).toBe(false);
      expect(answer?.body.toString()).toStartWith("data: {");
      expect(answer?.body.toString()).toEndWith(DONE);
    });

    test("answers HEAD with the length and without the body", async () => {
      const { target } = await rigOf(kind);
      for (const path of ["/v1/models", "/api/workflows"]) {
        const get = `GET ${path} HTTP/1.1\r\n${HOST}\r\n`;
        const [head, body, again] = await ask(
          target,
          get.replace("GET", "HEAD") + get + get.replace("GET", "HEAD") + PROBE,
          ["HEAD", "GET", "HEAD"],
        );
        expect(head?.status).toBe(200);
        expect(head?.fields.get("content-length")).toEqual([String(body!.body.length)]);
        expect(again?.fields.get("content-length")).toEqual(head!.fields.get("content-length"));
      }
    });

    test("sends neither a length nor chunks where there is no body", async () => {
      const { target } = await rigOf(kind);
      const preflight = [
        "OPTIONS /v1/chat/completions HTTP/1.1",
        "Host: weir",
        "Origin: http://page",
        "Access-Control-Request-Method: POST",
        "",
        "",
      ].join("\r\n");
      const answers = await ask(target, preflight + preflight + PROBE);
      expect(statusesOf(answers)).toEqual([204, 204, 200]);
      for (const { fields } of answers.slice(0, 2)) {
        expect([fields.has("content-length"), fields.has("transfer-encoding")])
          .toEqual([false, false]);
      }
    });

    test("answers a client that has said all it has to say and waits (nc -N)", async () => {
      const { target } = await rigOf(kind);
      const body = CHAT.replace('"stream":true', '"stream":false');
      const chat = headOf([`Content-Length: ${body.length}`]) + body;
      for (const request of [GET, chat, GET.repeat(3), GET.replace("1.1", "1.0")]) {
        const client = await open(target, request);
        client.finish();
        const answers = parseAnswers(await untilClosed(client));
        const count = request === GET.repeat(3) ? 3 : 1;
        expect(answers.map(({ status, isWhole }) => [status, isWhole]))
          .toEqual(Array.from({ length: count }, () => [200, true]));
      }
    });

    test("closes the connection of a client that leaves between two requests", async () => {
      const { target } = await rigOf(kind);
      const client = await open(target, GET);
      await waitFor(() => soFar(client).length === 1, "the answer");
      client.finish();
      expect(parseAnswers(await untilClosed(client))).toHaveLength(1);
    });

    test("answers a body above the limit while it still comes", async () => {
      const { target } = await rigOf(kind);
      const body = SMUGGLED.repeat(Math.ceil(40 * MEGABYTE / SMUGGLED.length));
      for (
        const request of [
          headOf([`Content-Length: ${body.length}`]) + body,
          headOf(["Transfer-Encoding: chunked"]) +
          `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
        ]
      ) {
        const answers = await ask(target, request + PROBE);
        expect(answers[0]?.status).toBe(413);
        expect(answers.map(({ isWhole }) => isWhole)).not.toContain(false);
        expect(statusesOf(answers.slice(1))).toEqual(answers.length > 1 ? [200] : []);
        expect(answers.map(({ body }) => body.toString()).join()).not.toContain("smuggled");
      }
    });

    test("answers a client without a key while its 30 MB still come", async () => {
      const { target } = await rigOf(kind, { "auth.token": "secret" });
      const body = SMUGGLED.repeat(Math.floor(30_000_000 / SMUGGLED.length));
      const answers = await ask(
        target,
        headOf([`Content-Length: ${body.length}`, "Connection: close"]) + body,
      );
      expect(statusesOf(answers)).toEqual([401]);
      expect(answers[0]!.isWhole).toBe(true);
      expect(JSON.parse(answers[0]!.body.toString())).toHaveProperty("error");
    });
  });
}

describe("a client that writes everything before it reads", () => {
  test("meets no reset, and finds the whole answer", async () => {
    const weir = await mock({ set: { "auth.token": "secret" } });
    const body = Buffer.alloc(MEGABYTE, " ");
    const { promise: ended, resolve, reject } = Promise.withResolvers<Buffer>();
    const pieces: Buffer[] = [];
    const socket = connectNet({ port: weir.port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", reject);
    socket.pause();
    socket.write(headOf([`Content-Length: ${body.length}`]));
    for (let at = 0; at < body.length; at += 65_536) {
      const { promise: written, resolve } = Promise.withResolvers<void>();
      socket.write(body.subarray(at, at + 65_536), () => resolve());
      await written;
    }
    socket.on("data", (bytes: Buffer) => pieces.push(bytes));
    socket.on("end", () => resolve(Buffer.concat(pieces)));
    socket.resume();
    // A server that had read all of it may keep the connection, and answers this one too.
    socket.write(PROBE);
    const answers = parseAnswers(await ended);
    expect(answers[0]?.status).toBe(401);
    expect(answers.map(({ isWhole }) => isWhole)).not.toContain(false);
    expect(answers.length).toBeLessThanOrEqual(2);
    socket.destroy();
  });
});

describe("a request that cannot be read", () => {
  const CHUNKED = "Transfer-Encoding: chunked";
  const ROWS: readonly (readonly [string, readonly string[], string])[] = [
    ["a blank before a colon", ["X : a"], ""],
    ["a length and chunks", ["Content-Length: 5", CHUNKED], "hello"],
    ["a length that is none", ["Content-Length: five"], "hello"],
    ["a bad chunk", [CHUNKED], "x\r\n"],
  ];
  for (const [name, lines, body] of ROWS) {
    test(`${name}: is refused in the dialect of its URL`, async () => {
      const weir = await mock();
      for (
        const [path, shape] of [
          ["/v1/chat/completions", { error: { message: expect.any(String) } }],
          ["/api/chat", { detail: expect.any(String) }],
          ["/api/workflows/runs", { detail: expect.any(String) }],
        ] as const
      ) {
        const bytes = (headOf(lines) + body).replace("/v1/chat/completions", path);
        const answers = await ask(weir.port, bytes + PROBE);
        expect([path, statusesOf(answers)]).toEqual([path, [400]]);
        expect(JSON.parse(answers[0]!.body.toString())).toMatchObject(shape);
        expect(answers[0]!.fields.get("content-type")?.join()).toStartWith("application/json");
        expect(answers[0]!.fields.get("connection")).toEqual(["close"]);
      }
    });
  }
});

describe("the date", () => {
  test("is that of the answer, in the one form that RFC 9110 5.6.7 lets be sent", async () => {
    const weir = await mock();
    const dateOf = async () => {
      const [answer] = await ask(weir.port, PROBE);
      return answer!.fields.get("date")!.join();
    };
    const first = await dateOf();
    expect(new Date(first).toUTCString()).toBe(first);
    await waitFor(async () => await dateOf() !== first, "another second");
    const [beforeMs, answered] = [Date.now(), new Date(await dateOf()).getTime()];
    // Whole seconds, and a clock of the server's that may tick once in a while.
    expect(answered).toBeGreaterThan(beforeMs - 5000);
    expect(answered).toBeLessThanOrEqual(Date.now());
  });
});

describe("an upgrade to a web socket", () => {
  test("is refused with 426, which names no protocol but HTTP/1.1", async () => {
    const weir = await mock();
    for (const path of ["/health", "/v1/chat/completions", "/nothing"]) {
      const [answer, ...others] = await ask(
        weir.port,
        [
          `GET ${path} HTTP/1.1`,
          "Host: weir",
          "Connection: keep-alive, Upgrade",
          "Upgrade: websocket",
          "Sec-WebSocket-Version: 13",
          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
          "",
          PROBE,
        ].join("\r\n"),
      );
      expect([path, answer?.status, answer?.isWhole]).toEqual([path, 426, true]);
      expect(["", "HTTP/1.1"]).toContain(answer!.fields.get("upgrade")?.join() ?? "");
      expect(statusesOf(others)).toEqual(others.length > 0 ? [200] : []);
    }
  });
});

describe("pipelined requests", () => {
  test("wait for a running stream, and are answered in their order", async () => {
    const { weir, upstream, play } = await proxy();
    const end = gate();
    play(({ index }) =>
      index > 0 ? whole(EVENT, DONE) : [
        act.send(sseHead()),
        act.send(chunk(EVENT)),
        act.wait(end.opened),
        act.send(chunk(DONE)),
        act.send(LAST_CHUNK),
      ]
    );
    const client = await open(weir.port, rawChat(CHAT));
    await client.until(EVENT);
    client.send(GET);
    client.send(rawChat(CHAT));
    client.send(PROBE.replace("/health", "/nothing"));
    await ask(weir.port, PROBE);
    expect(upstream.requests).toHaveLength(1);
    end.open();
    const answers = parseAnswers(await untilClosed(client));
    expect(statusesOf(answers)).toEqual([200, 200, 200, 404]);
    expect(answers[0]!.body.toString()).toBe(EVENT + DONE);
    expect(JSON.parse(answers[1]!.body.toString())).toHaveProperty("status");
    expect(answers[2]!.body.toString()).toBe(EVENT + DONE);
    expect(upstream.requests.map(passedOn)).toEqual([CHAT, CHAT]);
  });

  test("are answered in their order when the first one is slow to begin", async () => {
    const { weir, play } = await proxy();
    const begin = gate();
    play(() => [act.wait(begin.opened), ...whole(EVENT, DONE)]);
    const client = await open(weir.port, Buffer.concat([rawChat(CHAT), Buffer.from(PROBE)]));
    await ask(weir.port, PROBE);
    expect(client.text()).toBe("");
    begin.open();
    const answers = parseAnswers(await untilClosed(client));
    expect(statusesOf(answers)).toEqual([200, 200]);
    expect(answers[0]!.body.toString()).toBe(EVENT + DONE);
  });

  test("200 of them at once are all answered", async () => {
    const weir = await mock();
    const answers = await ask(weir.port, `${GET.repeat(100)}${rawChat(CHAT)}`.repeat(2) + PROBE);
    expect(answers).toHaveLength(203);
    expect(new Set(statusesOf(answers))).toEqual(new Set([200]));
  });
});

describe("a client that leaves", () => {
  for (const how of ["leave", "finish"] as const) {
    for (const kilobytes of [0, 1, 60]) {
      const behind = kilobytes === 0 ? "" : `, with ${kilobytes} KiB of requests behind it`;
      const name = how === "leave" ? "a reset" : "a FIN";
      test(`is noticed by ${name} while its stream runs${behind}`, async () => {
        const { weir, upstream, play } = await proxy();
        play(() => [act.send(sseHead()), act.send(chunk(EVENT)), act.stall]);
        const client = await open(weir.port, rawChat(CHAT));
        await client.until(EVENT);
        const others = rawChat(CHAT).toString().repeat(kilobytes * 5);
        client.send(others.slice(0, kilobytes * 1024));
        await ask(weir.port, PROBE); // by then the pipelined bytes have been read, or never are
        client[how]();
        await waitFor(() => upstream.aborted === 1, "the call of the upstream to be aborted");
        await waitFor(async () => (await weir.health())["streams_open"] === 0, "no open stream");
        expect(upstream.requests).toHaveLength(1);
      });
    }

    test(`is noticed by ${how === "leave" ? "a reset" : "a FIN"} before its answer begins`, async () => {
      const { weir, upstream, play } = await proxy();
      play(() => [act.stall]);
      const client = await open(weir.port, Buffer.concat([rawChat(CHAT), Buffer.from(GET)]));
      await waitFor(() => upstream.playing === 1, "the request");
      client[how]();
      await waitFor(() => upstream.aborted === 1, "the call of the upstream to be aborted");
    });
  }
});

describe("server.write_timeout_ms", () => {
  const COUNT = 10;
  /** As long as a config may be; each character is three bytes. */
  const REPLY = "€".repeat(1_000_000);
  const BODY = CHAT.replace('"stream":true', '"stream":false');
  /** A socket file holds some 200 KiB that nobody has read, TCP some megabytes. */
  const REQUESTS = { plain: 8, TLS: 8, unix: 1 } as const;

  for (const kind of KINDS) {
    const start = (timeoutMs: number) => {
      const set = { "server.write_timeout_ms": timeoutMs, "ops.log": "off" };
      return startRig(kind, set, `mock:\n  reply: ${REPLY}\n`);
    };
    const requests = Buffer.concat(Array.from({ length: REQUESTS[kind] }, () => rawChat(BODY)));
    const last = rawChat(BODY, ["Connection: close"]);
    const isSkipped = kind === "TLS" && !canMakeCertificates();

    test.skipIf(isSkipped || !CAN_MEASURE)(
      `cuts clients that take nothing of large whole answers, ${kind}`,
      async () => {
        const rig = await start(1000);
        running.push(rig);
        const [complete] = await ask(rig.target, last);
        expect([complete?.status, complete?.isWhole]).toEqual([200, true]);
        const before = processSize(rig.pid).fdCount;
        const slow = await Promise.all(Array.from({ length: COUNT }, async () => {
          const client = await open(rig.target, requests);
          await client.answered;
          client.pause();
          return client;
        }));
        await waitFor(() => processSize(rig.pid).fdCount <= before, "all of them to be cut");
        for (const client of slow) client.resume();
        for (const client of slow) {
          const { length } = await untilClosed(client);
          expect(length).toBeLessThan(REQUESTS[kind] * complete!.body.length);
        }
        const [after] = await ask(rig.target, last);
        expect([after?.status, after?.isWhole]).toEqual([200, true]);
      },
    );

    test.skipIf(isSkipped)(`spares a client that takes them slowly, ${kind}`, async () => {
      const rig = await start(20_000);
      running.push(rig);
      const client = await open(rig.target, Buffer.concat([requests, last]));
      await client.answered;
      for (let i = 0; i < 20; i++) {
        client.pause();
        await Bun.sleep(20);
        client.resume();
        await Bun.sleep(0);
      }
      expect(parseAnswers(await untilClosed(client)).map(({ isWhole }) => isWhole))
        .toEqual(Array.from({ length: REQUESTS[kind] + 1 }, () => true));
    });
  }
});

describe.skipIf(!canMakeCertificates())("a port with TLS", () => {
  /** The beginning of a ClientHello of 512 bytes. */
  const HALF_HELLO = Buffer.from("1603010200010001fc0303", "hex");

  for (const [name, bytes] of [["half a hello", HALF_HELLO], ["one byte", "\x16"]] as const) {
    test(`closes a connection that says ${name} and no more`, async () => {
      const { target } = await rigOf("TLS", { "server.head_timeout_ms": 1000 });
      const { tlsPort } = target as { readonly tlsPort: number };
      await untilClosed(await open(tlsPort, bytes));
      expect(statusesOf(await ask(target, PROBE))).toEqual([200]);
    });
  }

  test("does not leave a client that speaks without TLS waiting", async () => {
    const { target } = await rigOf("TLS");
    const { tlsPort } = target as { readonly tlsPort: number };
    const text = (await untilClosed(await open(tlsPort, GET))).toString("latin1");
    if (text.startsWith("HTTP/1.")) expect(text).toStartWith("HTTP/1.1 400 ");
    expect(statusesOf(await ask(target, PROBE))).toEqual([200]);
  });
});

/** Descriptors that a process may have: this one, and those that it starts. */
function descriptorsMax(): number {
  if (process.platform !== "linux") return 0;
  return Number(Bun.spawnSync(["sh", "-c", "ulimit -Hn"]).stdout.toString()) || Infinity;
}

/** A connection as light as it can be: thousands of them at once. */
interface Crowd {
  /** Connections whose answer has begun. */
  readonly answered: () => number;
  readonly closed: () => number;
  readonly leave: () => void;
}

/** Opens `count` connections, `step` at a time, and sends `request` on each. */
async function crowd(port: number, count: number, request: string, step = 100): Promise<Crowd> {
  let answered = 0;
  let closed = 0;
  const sockets: Bun.Socket<{ isAnswered: boolean }>[] = [];
  const socket: Bun.SocketHandler<{ isAnswered: boolean }> = {
    open: (one) => void one.write(request),
    data(one) {
      if (!one.data.isAnswered) answered++;
      one.data.isAnswered = true;
    },
    close: () => void closed++,
    error() {},
  };
  while (sockets.length < count) {
    sockets.push(
      ...await Promise.all(
        Array.from(
          { length: Math.min(step, count - sockets.length) },
          () => Bun.connect({ hostname: "127.0.0.1", port, data: { isAnswered: false }, socket }),
        ),
      ),
    );
  }
  return {
    answered: () => answered,
    closed: () => closed,
    leave() {
      for (const one of sockets) one.terminate();
    },
  };
}

const IDLE = 15_000;

describeWith(
  descriptorsMax() >= IDLE + 1000,
  `${IDLE + 1000} open files for each process (ulimit -n)`,
  `${IDLE} idle connections`,
  () => {
    test("are answered, stay, and leave room for one that speaks", async () => {
      const weir = await mock({
        under: ["sh", "-c", 'ulimit -n $(ulimit -Hn); exec "$@"', "sh"],
        set: { "ops.log": "off" },
      });
      await ask(weir.port, PROBE);
      const before = processSize(weir.pid);
      const idle = await crowd(weir.port, IDLE, GET);
      running.push({ stop: idle.leave });
      await waitFor(() => idle.answered() === IDLE, "every answer");
      expect(statusesOf(await ask(weir.port, rawChat(CHAT) + PROBE))).toEqual([200, 200]);
      expect(idle.closed()).toBe(0);
      const { residentBytes } = processSize(weir.pid);
      expect(residentBytes - before.residentBytes).toBeLessThan(IDLE * 16 * 1024);
      idle.leave();
      await waitFor(() => processSize(weir.pid).fdCount < before.fdCount + 10, "them to be gone");
      expect(statusesOf(await ask(weir.port, PROBE))).toEqual([200]);
    });
  },
);

describe.skipIf(!CAN_COUNT_CPU)("more connections than descriptors", () => {
  const LIMIT = 256;

  test("neither spin nor hang the server", async () => {
    const weir = await mock({
      under: ["sh", "-c", `ulimit -n ${LIMIT}; exec "$@"`, "sh"],
      set: { "ops.log": "off" },
    });
    const kept = await open(weir.port, GET);
    await waitFor(() => soFar(kept).length === 1, "the answer to the first one");
    const many = await crowd(weir.port, 2 * LIMIT, GET);
    running.push({ stop: many.leave });
    kept.send(GET);
    await waitFor(() => soFar(kept).length === 2, "the answer to the one that was there before");
    // Every one is accepted, and answered or closed at once: half of the descriptors are kept back.
    await waitFor(() => many.answered() + many.closed() >= 2 * LIMIT, "the end of the crowd");
    expect(many.answered()).toBeWithin(LIMIT / 2 - 8, LIMIT / 2 + 1);

    const [cpuBefore, before] = [cpuMsOf(weir.pid), performance.now()];
    await Bun.sleep(2000);
    const share = (cpuMsOf(weir.pid) - cpuBefore) / (performance.now() - before);
    expect(share).toBeLessThan(0.2); // a loop that accepts in vain takes a third of a core and more

    many.leave();
    await waitFor(async () => {
      const bytes = await untilClosed(await open(weir.port, PROBE));
      return bytes.toString("latin1").startsWith("HTTP/1.1 200 ");
    }, "an answer once there is room again");
  });
});
