import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CAN_MEASURE, type ProcessSize, processSize } from "./process_size.ts";
import { type Proxied, proxied } from "./proxied.ts";
import { connect, exchange, parseRaw, rawChat, type RawClient } from "./raw_client.ts";

setDefaultTimeout(TEST_MS_MAX);

/** Every URL that reads a body. */
const SURFACES = [
  "/v1/chat/completions",
  "/v1/response",
  "/memory/apply",
  "/memory/upload",
  "/api/chat",
  "/api/workflows/runs",
  "/chat",
  "/conv",
  "/token",
] as const;

/** Further answers of some: a memory server says in a 200 what is wrong, others look at no body. */
const DIALECTS: Readonly<Record<string, readonly number[]>> = {
  "/memory/apply": [200],
  "/memory/upload": [200],
  "/conv": [400],
  "/token": [400],
};

/** The proxy passes a body on as it is: whether it is JSON, its upstream says. */
const PASSED: Readonly<Record<string, readonly number[]>> = {
  "/v1/chat/completions": [200],
  "/chat": [200],
};

const CHAT = '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hi"}]}';
const MEGABYTE = 1024 * 1024;
/** Times that each attack is made before the process is measured. */
const ROUNDS = 5;
const IDLE_SOCKETS = 5000;

/** What an attack must come to: one of these statuses, or a connection closed without an answer. */
type Ends = readonly (number | "closed" | "kept")[];

interface Attack {
  readonly name: string;
  readonly bytes: (path: string) => string | Uint8Array;
  readonly ends: Ends;
}

function head(path: string, fields: readonly string[], method = "POST"): string {
  return [`${method} ${path} HTTP/1.1`, "Host: weir", ...fields, "", ""].join("\r\n");
}

function post(path: string, body: string | Uint8Array, fields: readonly string[] = []): Buffer {
  const bytes = Buffer.from(body);
  const length = [`Content-Length: ${bytes.length}`, "Content-Type: application/json"];
  return Buffer.concat([Buffer.from(head(path, [...length, ...fields]), "latin1"), bytes]);
}

const CLOSE = ["Connection: close"];
const json = (body: string | Uint8Array) => (path: string) => post(path, body, CLOSE);
const chunked = (body: string) => (path: string) =>
  head(path, ["Transfer-Encoding: chunked", "Content-Type: application/json", ...CLOSE]) + body;
const framed = (fields: readonly string[], body = "{}") => (path: string) =>
  head(path, [...fields, "Content-Type: application/json"]) + body;
const plain = (bytes: string) => () => bytes;

/** Bodies that are JSON and mean harm: a surface may refuse them or not, but it answers. */
const ANSWERED: Ends = [200, 400, 401, 404, 422, 500];
/** What is no HTTP. */
const MALFORMED: Ends = [400];

const ATTACKS: readonly Attack[] = [
  // Bodies that are not what they seem.
  { name: "an empty body", bytes: json(""), ends: ANSWERED },
  { name: "half a JSON object", bytes: json('{"model":"gpt-4o","messages":['), ends: [400, 422] },
  { name: "100 000 arrays in each other", bytes: json("[".repeat(100_000)), ends: [400, 422] },
  {
    name: "100 000 closed arrays in each other",
    bytes: json(`{"messages":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
    ends: ANSWERED,
  },
  {
    name: "100 000 objects in each other",
    bytes: json(`${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`),
    ends: ANSWERED,
  },
  {
    name: "bytes that are no UTF-8",
    bytes: json(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0xc0, 0x22, 0x3a, 0x31, 0x7d])),
    ends: ANSWERED,
  },
  { name: "half an emoji", bytes: json(CHAT.replace("hi", "\\ud83c")), ends: ANSWERED },
  { name: "NUL in the body", bytes: json("{\0}"), ends: [400, 422] },
  { name: "NUL in a string", bytes: json(CHAT.replace("hi", "\\u0000")), ends: ANSWERED },
  { name: "duplicate keys", bytes: json(CHAT.replace("{", '{"model":"a",')), ends: ANSWERED },
  {
    name: "__proto__ and constructor",
    bytes: json(
      '{"__proto__":{"isAdmin":true},"constructor":{"prototype":{"x":1}},"model":"__proto__",' +
        '"messages":[{"role":"user","content":"hi","__proto__":{"role":"system"}}]}',
    ),
    ends: ANSWERED,
  },
  {
    name: "a number as large as they come",
    bytes: json(`{"n":${"9".repeat(400)}}`),
    ends: ANSWERED,
  },
  { name: "a million keys", bytes: json(`{${'"a":1,'.repeat(1_000_000)}"b":1}`), ends: ANSWERED },
  { name: "a JSON scalar", bytes: json("null"), ends: [400, 422, 200] },
  { name: "a compressed body", bytes: json(Bun.gzipSync(Buffer.from(CHAT))), ends: [400, 422] },
  // Lengths that lie.
  { name: "no length at all", bytes: framed(CLOSE, ""), ends: ANSWERED },
  { name: "a length below zero", bytes: framed(["Content-Length: -1"]), ends: MALFORMED },
  { name: "a length that is no number", bytes: framed(["Content-Length: 2x"]), ends: MALFORMED },
  { name: "a length in hex", bytes: framed(["Content-Length: 0x2"]), ends: MALFORMED },
  {
    name: "two lengths",
    bytes: framed(["Content-Length: 2", "Content-Length: 3"]),
    ends: MALFORMED,
  },
  {
    name: "a length and chunks",
    bytes: framed(["Content-Length: 2", "Transfer-Encoding: chunked"]),
    ends: MALFORMED,
  },
  {
    name: "a length beyond every limit",
    bytes: framed(["Content-Length: 99999999999999"]),
    ends: [413, 400],
  },
  {
    name: "a length far above what comes",
    bytes: framed(["Content-Length: 100000"]),
    ends: [408],
  },
  {
    name: "chunks of a bad size",
    bytes: chunked("zz\r\n{}\r\n0\r\n\r\n"),
    ends: [400, 422, "closed"],
  },
  {
    name: "a chunk too large to count",
    bytes: chunked("fffffffffffffffff\r\n{}"),
    ends: [400, 422, "closed"],
  },
  { name: "chunks that stop", bytes: chunked("1\r\n{\r\n"), ends: [408] },
  {
    name: "a chunk without its end",
    bytes: chunked("2\r\n{}xx0\r\n\r\n"),
    ends: [400, 422, "closed"],
  },
  // Heads that are none.
  { name: "a head of 70 KiB", bytes: framed([`X: ${"a".repeat(70_000)}`]), ends: [431] },
  {
    name: "300 header fields",
    bytes: framed(Array.from({ length: 300 }, (_, i) => `X${i}: b`)),
    ends: [431],
  },
  { name: "a blank in a field's name", bytes: framed(["X y: z"]), ends: MALFORMED },
  { name: "a NUL in a field", bytes: framed(["X: a\0b"]), ends: MALFORMED },
  { name: "a bare CR in a field", bytes: framed(["X: a\rY: b"]), ends: MALFORMED },
  { name: "a folded field", bytes: framed(["X: a\r\n folded"]), ends: MALFORMED },
  {
    name: "a field smuggled into a key",
    bytes: framed(["Authorization: Bearer a%0d%0aX-Evil: 1", "Content-Length: 2", ...CLOSE]),
    ends: ANSWERED,
  },
  { name: "no host", bytes: (path) => `POST ${path} HTTP/1.1\r\n\r\n`, ends: MALFORMED },
  {
    name: "lines without CR",
    bytes: (path) => `POST ${path} HTTP/1.1\nHost: x\n\n`,
    ends: [505, 400],
  },
  { name: "HTTP/0.9", bytes: plain("GET /\r\n"), ends: [400] },
  { name: "HTTP/3.7", bytes: (path) => `GET ${path} HTTP/3.7\r\nHost: x\r\n\r\n`, ends: [505] },
  {
    name: "HTTP/2 by prior knowledge",
    bytes: plain("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ends: [505],
  },
  {
    name: "a TLS greeting",
    bytes: plain("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ends: MALFORMED,
  },
  {
    name: "a method that nobody knows",
    bytes: (path) => head(path, CLOSE, "BREW"),
    ends: [404, 405],
  },
  // Other targets, other protocols.
  {
    name: "an upgrade to a web socket",
    bytes: (path) =>
      head(path, [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
      ], "GET"),
    ends: [426],
  },
  {
    name: "an upgrade to HTTP/2",
    bytes: (path) => head(path, ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"], "GET"),
    ends: [404, 405, "kept"],
  },
  {
    name: "a tunnel",
    bytes: plain(head("evil.example:443", CLOSE, "CONNECT")),
    ends: [400, 404, 405, 500],
  },
  { name: "the target *", bytes: plain(head("*", [], "OPTIONS")), ends: [204] },
  {
    name: "a whole URL as the target",
    bytes: (path) => post(`http://evil.example${path}`, "{}", CLOSE),
    ends: ANSWERED,
  },
  {
    name: "a path that climbs",
    bytes: plain(head("/../../../../etc/passwd", CLOSE, "GET")),
    ends: [404, 400],
  },
  {
    name: "a path that climbs in disguise",
    bytes: plain(head("/ui/%2e%2e/%2e%2e/%2fetc%2fpasswd", CLOSE, "GET")),
    ends: [404, 400],
  },
  {
    name: "%00 in a path",
    bytes: plain(head("/v1/models/%00%ff%c0", CLOSE, "GET")),
    ends: [200, 404, 400],
  },
  {
    name: "% without digits",
    bytes: plain(head("/v1/models/%", CLOSE, "GET")),
    ends: [200, 404, 400],
  },
  {
    name: "a URL above the limit",
    bytes: (path) => post(`${path}?${"a".repeat(10_000)}`, "{}", CLOSE),
    ends: [414],
  },
];

/** What became of a connection: the status of its answer, "closed" without one, "kept" open. */
async function outcome(port: number, bytes: string | Uint8Array): Promise<Ends[number]> {
  const client = await connect(port, bytes);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    client.leave();
  }, TEST_MS_MAX / 2);
  // Not polled: hundreds of them wait at once.
  await client.answered;
  clearTimeout(timer);
  if (isLate) throw new Error(`No answer to ${Buffer.from(bytes).toString("latin1", 0, 200)}`);
  client.leave();
  return client.received().length === 0 ? "closed" : parseRaw(client.received()).status;
}

async function isClosed(client: RawClient): Promise<boolean> {
  return await Promise.race([client.closed.then(() => true), Bun.sleep(1).then(() => false)]);
}

/** A normal request is answered as ever. */
async function expectSane(port: number): Promise<void> {
  const { status, body } = await exchange(port, rawChat(CHAT, CLOSE));
  expect(status).toBe(200);
  expect(body.toString()).toEndWith("data: [DONE]\n\n");
}

/** Waits until `weir` holds no more than before, but for `slackBytes` of memory. */
async function untilSmall(weir: Weir, before: ProcessSize, slackBytes: number): Promise<void> {
  if (!CAN_MEASURE) return;
  await waitFor(async () => {
    const { residentBytes, fdCount } = processSize(weir.pid);
    const isSmall = residentBytes < before.residentBytes + slackBytes &&
      fdCount <= before.fdCount + 5;
    if (!isSmall) await Bun.sleep(100);
    return isSmall;
  }, `memory and files to be back at ${JSON.stringify(before)}`);
}

const SETTINGS = { "server.body_timeout_ms": 300, "ops.log": "off" };

for (const kind of ["mock", "proxy"] as const) {
  describe(`a hostile client of the ${kind}`, () => {
    let weir: Weir;
    let proxy: Proxied | undefined;
    beforeAll(async () => {
      if (kind === "proxy") proxy = await proxied({ set: SETTINGS });
      weir = proxy?.weir ?? await launch({ set: SETTINGS });
    });
    afterAll(() => (proxy ?? weir).stop());

    for (const { name, bytes, ends } of ATTACKS) {
      for (const path of SURFACES) {
        test(`${name}: ${path} goes on`, async () => {
          const others = DIALECTS[path] ?? (kind === "proxy" ? PASSED[path] : undefined) ?? [];
          expect([...ends, ...others]).toContain(await outcome(weir.port, bytes(path)));
          await expectSane(weir.port);
        });
      }
    }

    test("a body above the limit is refused while it comes", async () => {
      const fields = ["Content-Length: 40000000", "Content-Type: application/json"];
      for (const path of SURFACES) {
        expect([413, ...DIALECTS[path] ?? []]).toContain(
          await outcome(weir.port, head(path, fields)) as number,
        );
      }
    });

    test("pipelined requests: each is answered, or the connection closes", async () => {
      const one = rawChat(CHAT);
      const client = await connect(weir.port, Buffer.concat(Array.from({ length: 20 }, () => one)));
      await waitFor(async () =>
        await isClosed(client) || client.text().split("data: [DONE]").length > 20
      );
      client.leave();
      await expectSane(weir.port);
    });

    test(`${IDLE_SOCKETS} idle sockets leave room for one that speaks`, async () => {
      await expectSane(weir.port);
      const before = CAN_MEASURE ? processSize(weir.pid) : { residentBytes: 0, fdCount: 0 };
      const idle: RawClient[] = [];
      for (let i = 0; i < IDLE_SOCKETS; i += 100) {
        // A byte each: a socket that says nothing never reaches the process (TCP_DEFER_ACCEPT).
        const some = Array.from({ length: 100 }, () => connect(weir.port, "P"));
        idle.push(...await Promise.all(some));
      }
      await expectSane(weir.port);
      for (const client of idle) client.leave();
      await untilSmall(weir, before, 64 * MEGABYTE);
      await expectSane(weir.port);
    });

    test(
      `everything again, ${ROUNDS} times at once: nothing is left open, memory is back`,
      async () => {
        for (let i = 0; i < 2; i++) await attackAll(); // the process grows to its working size first
        const before = CAN_MEASURE ? processSize(weir.pid) : { residentBytes: 0, fdCount: 0 };
        for (let i = 0; i < ROUNDS; i++) await attackAll();
        await waitFor(async () => (await weir.health())["streams_open"] === 0, "no open streams");
        await untilSmall(weir, before, 96 * MEGABYTE);
        await expectSane(weir.port);
      },
      ROUNDS * TEST_MS_MAX,
    );

    async function attackAll(): Promise<void> {
      await Promise.all(
        ATTACKS.flatMap(({ bytes }) => SURFACES.map((path) => outcome(weir.port, bytes(path)))),
      );
    }
  });
}
