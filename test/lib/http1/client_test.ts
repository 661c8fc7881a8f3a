import { afterEach, describe, expect, test } from "bun:test";
import { pieceOf } from "./piece_of.ts";
import { createServer as tlsServer } from "node:tls";
import type { AddressInfo } from "node:net";
import type { Http1Body } from "../../../src/lib/http1/body.ts";
import { Http1Client, type Http1ClientOptions } from "../../../src/lib/http1/client.ts";
import type { Http1Request } from "../../../src/lib/http1/call.ts";
import { STALE_MS } from "../../../src/lib/http1/connection.ts";
import { Http1Error } from "../../../src/lib/http1/error.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { timerAlarm, Wheel } from "../../../src/lib/wheel.ts";
import { canMakeCertificates, makeCertificate } from "../../server/certificate.ts";
import { waitFor } from "../../server/launch.ts";
import {
  type Act,
  act,
  chunk,
  headText,
  LAST_CHUNK,
  response,
  type Script,
  type ScriptedUpstream,
  scriptedUpstream,
  type ScriptedUpstreamOptions,
  sseHead,
  untilClosed,
} from "../../server/scripted_upstream.ts";

const clean: (() => void)[] = [];
afterEach(() => {
  for (const close of clean.splice(0)) close();
});

/** A client and the upstream it talks to. The wheel turns by hand where a clock is given. */
interface Pair {
  readonly client: Http1Client;
  readonly upstream: ScriptedUpstream;
}

function pair(
  script: Script | readonly Act[],
  options: Partial<Http1ClientOptions> = {},
  upstreamOptions: ScriptedUpstreamOptions = {},
): Pair {
  const play = typeof script === "function" ? script : () => script;
  const upstream = scriptedUpstream(play, upstreamOptions);
  const client = clientOf(upstream.url, options);
  clean.push(() => upstream.close());
  return { client, upstream };
}

function clientOf(origin: string, options: Partial<Http1ClientOptions> = {}): Http1Client {
  const wheel = new Wheel(() => performance.now(), timerAlarm());
  const client = new Http1Client({ origin, wheel, ...options });
  clean.push(() => client.close());
  return client;
}

/** A wheel whose clock the test moves. */
function handTurned() {
  let nowMs = 0;
  const wheel = new Wheel(() => nowMs, () => {});
  return {
    wheel,
    advance(ms: number) {
      nowMs += ms;
      wheel.turn();
    },
  };
}

/** False on a machine without an IPv6 loopback. */
function hasIpv6(): boolean {
  try {
    Bun.listen({ hostname: "::1", port: 0, socket: { data() {} } }).stop();
    return true;
  } catch {
    return false;
  }
}

const GET: Http1Request = { method: "GET", path: "/" };

async function text(client: Http1Client, request: Http1Request = GET): Promise<string> {
  const { body } = await client.request(request);
  return (await bytesOf(body)).toString();
}

/** The pieces of `body` as they come; leaving the loop early cancels it. */
async function* piecesOf(body: Http1Body): AsyncGenerator<Uint8Array, void> {
  try {
    for (let piece = await pieceOf(body); piece !== null; piece = await pieceOf(body)) yield piece;
  } finally {
    body.cancel();
  }
}

async function bytesOf(body: Http1Body): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(piecesOf(body)));
}

/** Until the kernel takes no more bytes from the upstream: two looks without a change. */
async function untilStill(upstream: ScriptedUpstream): Promise<void> {
  let before = 0;
  await waitFor(() => {
    const isStill = upstream.sentBytes === before && before > 0;
    before = upstream.sentBytes;
    return isStill;
  }, "the upstream to be held back");
}

async function failure(promise: Promise<unknown>): Promise<Http1Error> {
  const error = await promise.then(() => "no error", (thrown: unknown) => thrown);
  if (error instanceof Http1Error) return error;
  throw error;
}

describe("Http1Client sends", () => {
  test("method, path, headers and body as given, with host and content-length", async () => {
    const { client, upstream } = pair([act.send(response("ok"))]);
    const body = Buffer.from('{"content":"你好 🎉"}');
    await text(client, {
      method: "POST",
      path: "/v1/chat/completions?x=%20",
      fields: Fields.of([["Content-Type", "application/json"], ["authorization", "Bearer sk-1"]]),
      body,
    });
    const [request] = upstream.requests;
    expect(request!.head).toBe(
      "POST /v1/chat/completions?x=%20 HTTP/1.1\r\n" +
        `host: 127.0.0.1:${upstream.port}\r\n` +
        "Content-Type: application/json\r\nauthorization: Bearer sk-1\r\n" +
        `content-length: ${body.length}`,
    );
    expect(request!.body).toEqual(body);
  });

  test("its field lines byte for byte, although what they lie in is written over at once", async () => {
    const { client, upstream } = pair([act.send(response("ok"))]);
    const lines = "X-A:1\r\nx-a:  2 \r\nX-Empty:\r\n";
    const bytes = Buffer.from(`(${lines})`);
    const answer = text(client, { ...GET, fields: new Fields(bytes, 1, bytes.length - 1) });
    bytes.fill("-");
    await answer;
    const wanted = `GET / HTTP/1.1\r\nhost: 127.0.0.1:${upstream.port}\r\n${lines}`;
    expect(`${upstream.requests[0]!.head}\r\n`).toBe(wanted);
  });

  const LENGTHS: readonly [string, Uint8Array | null, string | undefined][] = [
    ["GET", null, undefined],
    ["DELETE", null, undefined],
    ["POST", null, "0"],
    ["PUT", new Uint8Array(0), "0"],
    ["GET", new Uint8Array(3), "3"],
  ];
  for (const [method, body, wanted] of LENGTHS) {
    test(`${method} with a body of ${body?.length ?? "no"} bytes: content-length ${wanted}`, async () => {
      const { client, upstream } = pair([act.send(response("ok"))]);
      await text(client, { method, path: "/", body });
      expect(upstream.requests[0]!.headers["content-length"]).toBe(wanted!);
    });
  }

  const REFUSED: readonly [string, Partial<Http1Request>][] = [
    ["a method with a blank", { method: "GE T" }],
    ["a path without a slash", { path: "v1" }],
    ["a path with a blank", { path: "/a b" }],
    ["a path with CR LF", { path: "/a\r\nb" }],
    ["a path that is not encoded", { path: "/你好" }],
  ];
  for (const [name, wrong] of REFUSED) {
    test(`nothing for ${name}`, async () => {
      const { client, upstream } = pair([act.send(response("ok"))]);
      await expect(client.request({ ...GET, ...wrong })).rejects.toThrow(TypeError);
      expect(client.connections).toBe(0);
      expect(upstream.opened).toBe(0);
    });
  }

  test("a body of 20 MB to an upstream that reads late, byte for byte", async () => {
    const reading = Promise.withResolvers<void>();
    const { client, upstream } = pair([act.send(response("ok"))], {}, {
      readsAfter: reading.promise,
    });
    const body = Buffer.alloc(20_000_000);
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE(i, i);
    const answer = text(client, { method: "POST", path: "/", body });
    await waitFor(() => upstream.open === 1);
    reading.resolve();
    expect(await answer).toBe("ok");
    expect(upstream.requests[0]!.body.equals(body)).toBeTrue();
    expect(client.idle).toBe(1);
  });
});

describe("Http1Client receives", () => {
  test("status, words, fields in their order, and a body", async () => {
    const { client } = pair([
      act.send(headText("429 Too Many Requests", { "Retry-After": "2", "content-length": "5" })),
      act.send("wait!"),
    ]);
    const answer = await client.request(GET);
    expect(answer.status).toBe(429);
    expect(answer.statusText).toBe("Too Many Requests");
    expect([...answer.fields]).toEqual([["Retry-After", "2"], ["content-length", "5"]]);
    expect(answer.fields.get("retry-after")).toBe("2");
    expect(answer.fields.get("retry-later")).toBeNull();
    expect((await bytesOf(answer.body)).toString()).toBe("wait!");
  });

  test("each write of the upstream as a piece of its own, cut inside a character or not", async () => {
    const emoji = Buffer.from("🎉");
    const sent = [
      "data: 你",
      emoji.subarray(0, 1),
      emoji.subarray(1),
      "\r\n\r",
      "\n",
      "data: [DONE]",
    ];
    const gates = sent.map(() => Promise.withResolvers<void>());
    const { client } = pair([
      act.send(sseHead()),
      ...sent.flatMap((bytes, i) => [act.send(chunk(bytes)), act.wait(gates[i]!.promise)]),
      act.send(LAST_CHUNK),
    ]);
    const { body } = await client.request(GET);
    const pieces: Buffer[] = [];
    for await (const piece of piecesOf(body)) {
      pieces.push(Buffer.from(piece));
      gates[pieces.length - 1]!.resolve();
    }
    expect(pieces).toEqual(sent.map((bytes) => Buffer.from(bytes)));
    expect(client.idle).toBe(1);
  });

  test("a compressed body as it is", async () => {
    const zipped = Bun.gzipSync(Buffer.from("data: 你好\n\n"));
    const { client } = pair([act.send(response(zipped, { "content-encoding": "gzip" }))]);
    const { body } = await client.request(GET);
    expect((await bytesOf(body)).equals(Buffer.from(zipped))).toBeTrue();
  });

  const BODILESS: readonly [string, string, string][] = [
    ["HEAD", "200 OK", "700"],
    ["GET", "204 No Content", "0"],
    ["GET", "304 Not Modified", "700"],
    ["GET", "200 OK", "0"],
  ];
  for (const [method, status, length] of BODILESS) {
    test(`no body for ${method} with ${status} and content-length ${length}`, async () => {
      const { client } = pair([act.send(headText(status, { "content-length": length }))]);
      for (let i = 0; i < 2; i++) {
        const { body } = await client.request({ method, path: "/" });
        expect(body.hasEnded).toBeTrue();
        expect(client.idle).toBe(1);
        expect((await bytesOf(body)).length).toBe(0);
      }
    });
  }

  test("a final head behind interim ones", async () => {
    const { client } = pair([
      act.send("HTTP/1.1 100 Continue\r\n\r\n"),
      act.send("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
      act.send(response("ok")),
    ]);
    expect(await text(client)).toBe("ok");
  });

  test("a body that ends with the connection", async () => {
    const { client } = pair([act.send(headText("200 OK", {})), act.send("all of it"), act.end]);
    expect(await text(client)).toBe("all of it");
    expect(client.connections).toBe(0);
  });

  test.skipIf(!hasIpv6())("from an IPv6 address", async () => {
    const upstream = scriptedUpstream(() => [act.send(response("six"))], { hostname: "::1" });
    clean.push(() => upstream.close());
    expect(await text(clientOf(`http://[::1]:${upstream.port}`))).toBe("six");
    expect(upstream.requests[0]!.headers["host"]).toBe(`[::1]:${upstream.port}`);
  });

  test("from a name that has more than one address", async () => {
    const { upstream } = pair([act.send(response("named"))]);
    expect(await text(clientOf(`http://localhost:${upstream.port}`))).toBe("named");
  });
});

describe("Http1Client keeps connections", () => {
  test("one carries any number of requests, one after the other", async () => {
    const { client, upstream } = pair(({ index }) => [act.send(response(String(index)))]);
    for (let i = 0; i < 50; i++) expect(await text(client)).toBe(String(i));
    expect(upstream.opened).toBe(1);
    expect(client.connections).toBe(1);
    expect(client.idle).toBe(1);
  });

  const CLOSED: readonly [string, readonly Act[]][] = [
    ["connection: close", [act.send(response("ok", { connection: "close" }))]],
    ["HTTP/1.0", [act.send("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")]],
    ["bytes behind the response", [act.send(response("ok")), act.send("HTTP/1.1 200 OK\r\n")]],
    ["bytes in the same packet", [act.send(Buffer.concat([response("ok"), Buffer.from("x")]))]],
    ["a keep-alive time below our margin", [
      act.send(response("ok", { "keep-alive": "timeout=1" })),
    ]],
  ];
  for (const [name, script] of CLOSED) {
    test(`not after ${name}`, async () => {
      const { client, upstream } = pair(script);
      expect(await text(client)).toBe("ok");
      await untilClosed(upstream);
      await waitFor(() => client.connections === 0);
      expect(await text(client)).toBe("ok");
      expect(upstream.opened).toBe(2);
    });
  }

  test("not when the upstream closes them, or speaks without being asked", async () => {
    for (const last of [act.end, act.reset, act.send("HTTP/1.1 408 Request Timeout\r\n\r\n")]) {
      const idle = Promise.withResolvers<void>();
      const { client } = pair([act.send(response("ok")), act.wait(idle.promise), last]);
      await text(client);
      expect(client.idle).toBe(1);
      idle.resolve();
      await waitFor(() => client.connections === 0 && client.idle === 0);
    }
  });

  test("not when the answer came before the end of the question", async () => {
    const { client, upstream } = pair([], {}, {
      onOpen: [act.send(response("413 at once")), act.stall],
      readsAfter: new Promise(() => {}),
    });
    const body = new Uint8Array(50_000_000);
    const answer = await client.request({ method: "POST", path: "/", body });
    expect((await bytesOf(answer.body)).toString()).toBe("413 at once");
    expect(client.connections).toBe(0);
    await waitFor(() => upstream.open <= 1); // it does not read, so it may not know yet
  });

  test("idle ones for idleMs, or shorter where the server says so", async () => {
    const { wheel, advance } = handTurned();
    const { client, upstream } = pair(
      ({ path }) => [act.send(response("ok", path === "/5" ? { "keep-alive": "timeout=5" } : {}))],
      { wheel, idleMs: 10_000 },
    );
    await text(client);
    advance(9_999);
    expect(client.idle).toBe(1);
    await text(client); // a use begins the time anew
    advance(9_999);
    expect(client.idle).toBe(1);
    advance(2);
    expect(client.idle).toBe(0);
    await untilClosed(upstream);
    await text(client, { method: "GET", path: "/5" });
    advance(4_001);
    expect(client.connections).toBe(0);
    expect(upstream.opened).toBe(2);
  });

  test("not more idle ones than idleMax", async () => {
    const gate = Promise.withResolvers<void>();
    const { client, upstream } = pair([act.wait(gate.promise), act.send(response("ok"))], {
      idleMax: 2,
    });
    const answers = Array.from({ length: 5 }, () => text(client));
    await waitFor(() => upstream.requests.length === 5);
    gate.resolve();
    await Promise.all(answers);
    expect(client.idle).toBe(2);
    expect(client.connections).toBe(2);
    await waitFor(() => upstream.open === 2);
  });

  test("not more than connectionsMax: further requests wait in their order, up to waitingMax", async () => {
    const gates = [0, 1, 2, 3].map(() => Promise.withResolvers<void>());
    const { client, upstream } = pair(
      ({ path, index }) => [act.wait(gates[index]!.promise), act.send(response(path))],
      { connectionsMax: 1, waitingMax: 2 },
    );
    const first = text(client, { method: "GET", path: "/1" });
    const second = text(client, { method: "GET", path: "/2" });
    const third = text(client, { method: "GET", path: "/3" });
    const refused = await failure(client.request(GET));
    expect(refused.code).toBe("pool_full");
    expect(refused.isRetryable).toBeTrue();
    expect(client.waiting).toBe(2);
    for (const gate of gates) gate.resolve();
    expect(await Promise.all([first, second, third])).toEqual(["/1", "/2", "/3"]);
    expect(upstream.opened).toBe(1);
    expect(upstream.requests.map(({ path }) => path)).toEqual(["/1", "/2", "/3"]);
  });

  test("a connection that fails makes room for whoever waits", async () => {
    const { client } = pair(({ index }) => index === 0 ? [act.reset] : [act.send(response("ok"))], {
      connectionsMax: 1,
    });
    const first = failure(client.request(GET));
    const second = text(client);
    expect((await first).code).toBe("closed_early");
    expect(await second).toBe("ok");
  });

  test("none after close: idle ones go at once, busy ones when they are done", async () => {
    const gate = Promise.withResolvers<void>();
    const { client, upstream } = pair(
      (
        { path },
      ) => [...(path === "/slow" ? [act.wait(gate.promise)] : []), act.send(response("ok"))],
      { connectionsMax: 2 },
    );
    const slow = text(client, { method: "GET", path: "/slow" });
    await text(client);
    const waiting = failure(Promise.all([
      client.request({ method: "GET", path: "/slow" }),
      client.request(GET),
    ]));
    await waitFor(() => upstream.requests.length === 3);
    client.close();
    expect((await waiting).code).toBe("client_closed");
    expect((await failure(client.request(GET))).code).toBe("client_closed");
    gate.resolve();
    expect(await slow).toBe("ok");
    await waitFor(() => client.idle === 0);
  });
});

describe("Http1Client and stale connections", () => {
  const body = Buffer.from("again");

  /** Asked twice over one connection, which ends `afterMs` behind the second question. */
  async function askedAgain(last: Act, afterMs: number, method: string, resend: "auto" | "never") {
    const { wheel, advance } = handTurned();
    const gate = Promise.withResolvers<void>();
    const { client, upstream } = pair(
      ({ index }) =>
        index === 1 ? [act.wait(gate.promise), last] : [act.send(response(`answer ${index}`))],
      { wheel, resend },
    );
    await text(client);
    const again = text(client, { method, path: "/", body: method === "POST" ? body : null });
    await waitFor(() => upstream.requests.length === 2, "the second question");
    advance(afterMs);
    gate.resolve();
    const outcome = await again.catch((error: unknown) => (error as Http1Error).code);
    return { outcome, requests: upstream.requests };
  }

  const MOMENTS: readonly (readonly [string, number, "auto" | "never", boolean])[] = [
    ["POST", 0, "auto", true],
    ["POST", STALE_MS, "auto", true],
    ["POST", STALE_MS + 1, "auto", false],
    ["POST", 500, "auto", false],
    ["GET", 500, "auto", true],
    ["DELETE", 500, "auto", false],
    ["POST", 0, "never", false],
    ["GET", 0, "never", false],
  ];
  for (const last of [act.reset, act.end]) {
    for (const [method, afterMs, resend, isSentAgain] of MOMENTS) {
      const what = isSentAgain ? "sends once more" : "never sends again";
      const how = `${last.kind} without a byte, ${afterMs} ms behind the write of a ${method}`;
      test(`${what} when a kept one ends (${how}, resend: ${resend})`, async () => {
        const { outcome, requests } = await askedAgain(last, afterMs, method, resend);
        expect(outcome).toBe(isSentAgain ? "answer 2" : "closed_early");
        expect(requests.map(({ connection }) => connection)).toEqual(
          isSentAgain ? [0, 0, 1] : [0, 0],
        );
        if (isSentAgain) expect(requests[2]!.body).toEqual(requests[1]!.body);
      });
    }
  }

  test("sends again whatever the clock says when it ends before all of it was written", async () => {
    const { wheel, advance } = handTurned();
    const { client, upstream } = pair([act.send(response("ok"))], { wheel });
    await text(client);
    upstream.close(); // which the client has not seen yet
    const script: Script = ({ body }) => [act.send(response(String(body.length)))];
    const next = scriptedUpstream(script, { port: upstream.port });
    clean.push(() => next.close());
    const answer = text(client, { method: "POST", path: "/", body: Buffer.alloc(20_000_000) });
    advance(500);
    expect(await answer).toBe("20000000");
  });

  test("loses none of a batch that meets stale ones, nor of those that wait behind it", async () => {
    const { wheel } = handTurned();
    const all = Promise.withResolvers<void>();
    const { client, upstream } = pair(({ index }) => {
      if (index === 7) all.resolve();
      return [act.wait(all.promise), act.send(response("ok"))];
    }, { wheel, connectionsMax: 8 });
    await Promise.all(Array.from({ length: 8 }, () => text(client)));
    expect(client.idle).toBe(8);
    upstream.close(); // all eight, which the client has not seen yet
    // This one closes behind each answer and does not say so: what is kept is stale at once.
    const script: Script = ({ body }) => [act.send(response(body)), act.end];
    const next = scriptedUpstream(script, { port: upstream.port });
    clean.push(() => next.close());
    const bodies = Array.from({ length: 24 }, (_, i) => `question ${i}`);
    const answers = bodies.map((body) =>
      text(client, { method: "POST", path: "/", body: Buffer.from(body) })
    );
    expect(client.idle).toBe(0);
    expect(await Promise.all(answers)).toEqual(bodies);
    expect(next.requests.length).toBe(24);
    expect(client.connections).toBeLessThanOrEqual(8);
  });

  test("sends once more only, and on a new connection", async () => {
    const { client, upstream } = pair(({ index }) =>
      index < 2 ? [act.wait(Promise.resolve()), act.send(response("ok"))] : [act.reset]
    );
    await Promise.all([text(client), text(client)]);
    expect(client.idle).toBe(2);
    const error = await failure(client.request(GET));
    expect(error.code).toBe("closed_early");
    expect(error.isRetryable).toBeTrue();
    expect(upstream.requests.length).toBe(4);
    expect(upstream.requests[3]!.connection).toBe(2);
  });

  test("sends once more only, and on a new connection though a kept one comes free first", async () => {
    const { client, upstream } = pair(
      ({ path }) => path === "/bad" ? [act.reset] : [act.send(response("ok"))],
      { connectionsMax: 1 },
    );
    await text(client);
    const first = failure(client.request({ method: "GET", path: "/bad" }));
    const second = text(client); // gets the place of the first, which then waits for it
    expect((await first).code).toBe("closed_early");
    expect(await second).toBe("ok");
    expect(upstream.requests.map(({ path, connection }) => [path, connection])).toEqual([
      ["/", 0],
      ["/bad", 0],
      ["/", 1],
      ["/bad", 2],
    ]);
  });

  test("never again when the connection was new", async () => {
    const { client, upstream } = pair([act.reset]);
    const error = await failure(client.request(GET));
    expect(error.code).toBe("closed_early");
    expect(error.isRetryable).toBeTrue();
    expect(upstream.requests.length).toBe(1);
  });

  test("never again when a byte of the answer was seen", async () => {
    const { client, upstream } = pair(({ index }) =>
      index === 0 ? [act.send(response("ok"))] : [act.send("H"), act.end]
    );
    await text(client);
    const error = await failure(client.request(GET));
    expect(error.code).toBe("closed_early");
    expect(error.hasBegun).toBeTrue();
    expect(error.isRetryable).toBeFalse();
    expect(upstream.requests.length).toBe(2);
  });
});

describe("Http1Client says what went wrong:", () => {
  const HEADS: readonly [string, readonly Act[], string, string][] = [
    ["no HTTP", [act.send("SSH-2.0-x\r\n"), act.stall], "malformed", "does not start with HTTP"],
    ["bare LF", [act.send("HTTP/1.1 200 OK\n\n"), act.stall], "malformed", "CR LF"],
    [
      "a huge head",
      [act.send("HTTP/1.1 200 OK\r\na: " + "x".repeat(2000)), act.stall],
      "head_too_large",
      "1000 bytes",
    ],
    ["FIN before the head", [act.end], "closed_early", "before its head"],
    [
      "RST in the head",
      [act.send("HTTP/1.1 200 OK\r\n"), act.reset],
      "closed_early",
      "before its head",
    ],
  ];
  for (const [name, script, code, says] of HEADS) {
    test(`${name} is ${code}`, async () => {
      const { client, upstream } = pair(script, { headBytesMax: 1000 });
      const error = await failure(client.request(GET));
      expect(error.code as string).toBe(code);
      expect(error.message).toContain(says);
      expect(client.connections).toBe(0);
      await untilClosed(upstream);
    });
  }

  const BODIES: readonly [string, readonly Act[], string][] = [
    ["FIN in a body with a length", [
      act.send(headText("200 OK", { "content-length": "9" }) + "half"),
      act.end,
    ], "closed_early"],
    ["RST in a body with a length", [
      act.send(headText("200 OK", { "content-length": "9" }) + "half"),
      act.reset,
    ], "closed_early"],
    [
      "FIN in a chunked body",
      [act.send(sseHead()), act.send(chunk("half")), act.end],
      "closed_early",
    ],
    [
      "RST in a chunked body",
      [act.send(sseHead()), act.send(chunk("half")), act.reset],
      "closed_early",
    ],
    ["RST in a body that ends with the connection", [
      act.send(headText("200 OK", {})),
      act.send("half"),
      act.reset,
    ], "closed_early"],
    ["a bad chunk size", [
      act.send(sseHead()),
      act.send(chunk("half")),
      act.send("zz\r\n"),
      act.stall,
    ], "malformed"],
  ];
  for (const [name, script, code] of BODIES) {
    test(`${name} is ${code}, behind what had come`, async () => {
      // The end comes when the first piece is read: a reset may overtake bytes in the kernel.
      const begun = Promise.withResolvers<void>();
      const { client, upstream } = pair([
        ...script.slice(0, -1),
        act.wait(begun.promise),
        script.at(-1)!,
      ]);
      const { body } = await client.request(GET);
      let got = "";
      const reading = (async () => {
        for await (const piece of piecesOf(body)) {
          got += Buffer.from(piece).toString();
          begun.resolve();
        }
      })();
      const error = await failure(reading);
      expect(got).toBe("half");
      expect(error.code as string).toBe(code);
      expect(error.hasBegun).toBeTrue();
      expect(error.isRetryable).toBeFalse();
      expect(client.connections).toBe(0);
      await untilClosed(upstream);
    });
  }

  test("a closed port is connect_failed", async () => {
    const { client, upstream } = pair([]);
    upstream.close();
    const error = await failure(client.request(GET));
    expect(error.code).toBe("connect_failed");
    expect(error.message).toContain(`127.0.0.1:${upstream.port}`);
    expect(error.isRetryable).toBeTrue();
    expect(client.connections).toBe(0);
    expect(client.orphans).toBe(0);
  });

  test("a name without address is connect_failed", async () => {
    const error = await failure(clientOf("http://no-such-name.invalid").request(GET));
    expect(error.code).toBe("connect_failed");
    expect(error.message).toContain("no-such-name.invalid");
  });

  test("a scheme that is not http is a TypeError", () => {
    expect(() => clientOf("ftp://localhost")).toThrow(TypeError);
  });
});

describe("Http1Body", () => {
  test("holds a reader's pace: what it does not take stays with the upstream", async () => {
    const big = new Uint8Array(64 * 1024 * 1024).fill(120);
    for (const way of ["read", "nobody"] as const) {
      const { client, upstream } = pair([act.send(response(big))]);
      const { body } = await client.request(GET);
      let got = way === "read" ? (await pieceOf(body))!.length : 0;
      await untilStill(upstream);
      expect(upstream.sentBytes, way).toBeLessThan(16 * 1024 * 1024);
      for await (const piece of piecesOf(body)) got += piece.length;
      expect(got, way).toBe(big.length);
      expect(client.idle, way).toBe(1);
      expect(await text(client, { method: "HEAD", path: "/" }), way).toBe("");
    }
  }, 60_000);

  test("frees its connection when the upstream is done, however slow the reader", async () => {
    const { client } = pair([act.send(response("all of it"))]);
    const { body } = await client.request(GET);
    expect(client.idle).toBe(1);
    expect(body.hasEnded).toBeTrue();
    expect(Buffer.from(body.whole()!).toString()).toBe("all of it");
  });

  test("next() gives what came in one packet in one piece", async () => {
    const packet = Buffer.concat([Buffer.from(sseHead()), chunk("a"), chunk("b"), chunk("c")]);
    const { client } = pair([act.send(packet), act.stall]);
    const { body } = await client.request(GET);
    expect(Buffer.from((await pieceOf(body))!).toString()).toBe("abc");
  });

  test("whole() gives all chunks of a body that came with its head", async () => {
    const sent = [sseHead(), chunk("data: 你\n\n"), chunk("data: [DONE]\n\n"), LAST_CHUNK];
    const { client } = pair([act.send(Buffer.concat(sent.map((bytes) => Buffer.from(bytes))))]);
    const { body } = await client.request(GET);
    expect(Buffer.from(body.whole()!).toString()).toBe("data: 你\n\ndata: [DONE]\n\n");
    expect(body.whole()).toBeUndefined();
    expect(client.idle).toBe(1);
  });

  test("whole() gives nothing for a body that is still coming, taken, or broken", async () => {
    const gate = Promise.withResolvers<void>();
    const { client } = pair([
      act.send(sseHead()),
      act.send(chunk("a")),
      act.wait(gate.promise),
      act.reset,
    ]);
    const { body } = await client.request(GET);
    expect(body.whole()).toBeUndefined();
    gate.resolve();
    await waitFor(() => body.hasEnded);
    expect(body.whole()).toBeUndefined();
    body.cancel();
    expect(body.whole()).toBeUndefined();
  });

  test("is behind its end when it was taken whole", async () => {
    const { client } = pair([act.send(response("ok"))]);
    const { body } = await client.request(GET);
    expect(Buffer.from(body.whole()!).toString()).toBe("ok");
    expect(await pieceOf(body)).toBeNull();
  });

  test("refuses a second read while one waits", async () => {
    const { client } = pair([act.send(sseHead()), act.stall]);
    const { body } = await client.request(GET);
    const reading = pieceOf(body);
    expect(() => pieceOf(body)).toThrow(TypeError);
    body.cancel();
    expect(await reading).toBeNull();
  });

  test("cancel closes the connection of a body that is not whole", async () => {
    const { client, upstream } = pair([act.send(sseHead()), act.send(chunk("x")), act.stall]);
    const { body } = await client.request(GET);
    expect(await pieceOf(body)).toEqual(Buffer.from("x"));
    body.cancel();
    body.cancel();
    await untilClosed(upstream);
    expect(await pieceOf(body)).toBeNull();
    expect(client.connections).toBe(0);
    expect(upstream.aborted).toBe(1);
  });

  test("cancel wakes a read that waits", async () => {
    const { client } = pair([act.send(sseHead()), act.stall]);
    const { body } = await client.request(GET);
    const reading = pieceOf(body);
    body.cancel();
    expect(await reading).toBeNull();
  });

  test("a loop that is left early closes the connection", async () => {
    const { client, upstream } = pair([act.send(sseHead()), act.send(chunk("x")), act.stall]);
    for await (const _piece of piecesOf((await client.request(GET)).body)) break;
    await untilClosed(upstream);
    expect(client.connections).toBe(0);
  });
});

describe("Http1Client aborts", () => {
  interface Window {
    readonly name: string;
    readonly script: readonly Act[];
    readonly options?: Partial<Http1ClientOptions>;
    /** Settles when the request is in its window. */
    readonly until?: (pair: Pair) => Promise<unknown>;
  }
  const headSent = [act.send(sseHead()), act.send(chunk("x")), act.stall];
  const WINDOWS: readonly Window[] = [
    { name: "while it connects", script: [act.stall] },
    {
      name: "while it waits for the head",
      script: [act.stall],
      until: ({ upstream }) => waitFor(() => upstream.requests.length === 1),
    },
    {
      name: "in the middle of the head",
      script: [act.send("HTTP/1.1 200 OK\r\nx"), act.stall],
      until: ({ upstream }) => waitFor(() => upstream.sentBytes > 10),
    },
  ];
  for (const { name, script, until } of WINDOWS) {
    test(name, async () => {
      const both = pair(script);
      const abort = new AbortController();
      const answer = failure(both.client.request({ ...GET, signal: abort.signal }));
      await until?.(both);
      abort.abort(new Error("the client left"));
      const error = await answer;
      expect(error.code).toBe("aborted");
      expect(error.cause).toEqual(new Error("the client left"));
      expect(error.isRetryable).toBeFalse();
      expect(both.client.connections).toBe(0);
      await waitFor(() => both.client.orphans === 0);
      await untilClosed(both.upstream);
    });
  }

  test("before anything was done", async () => {
    const { client, upstream } = pair(headSent);
    const error = await failure(client.request({ ...GET, signal: AbortSignal.abort() }));
    expect(error.code).toBe("aborted");
    expect(upstream.opened).toBe(0);
  });

  test("while it waits for a connection, and leaves the others alone", async () => {
    const gate = Promise.withResolvers<void>();
    const { client, upstream } = pair([act.wait(gate.promise), act.send(response("ok"))], {
      connectionsMax: 1,
    });
    const first = text(client);
    const abort = new AbortController();
    const second = failure(client.request({ ...GET, signal: abort.signal }));
    const third = text(client);
    expect(client.waiting).toBe(2);
    abort.abort();
    expect((await second).code).toBe("aborted");
    expect(client.waiting).toBe(1);
    gate.resolve();
    expect(await Promise.all([first, third])).toEqual(["ok", "ok"]);
    expect(upstream.requests.length).toBe(2);
  });

  test("while it sends a body that nobody reads", async () => {
    const { client, upstream } = pair([act.stall], {}, { readsAfter: new Promise(() => {}) });
    const abort = new AbortController();
    const body = new Uint8Array(50_000_000);
    const answer = failure(
      client.request({ method: "POST", path: "/", body, signal: abort.signal }),
    );
    await waitFor(() => upstream.open === 1);
    abort.abort();
    expect((await answer).code).toBe("aborted");
    expect(client.connections).toBe(0);
  });

  for (const way of ["while it is read", "between two reads", "before anybody reads"] as const) {
    test(`in the middle of the body (${way})`, async () => {
      const { client, upstream } = pair(headSent);
      const abort = new AbortController();
      const { body } = await client.request({ ...GET, signal: abort.signal });
      if (way === "before anybody reads") await waitFor(() => upstream.sentBytes > 100);
      else expect(await pieceOf(body)).toEqual(Buffer.from("x"));
      if (way !== "while it is read") abort.abort();
      const reading = failure(Promise.resolve(pieceOf(body)));
      abort.abort();
      expect((await reading).code).toBe("aborted");
      expect(client.connections).toBe(0);
      await untilClosed(upstream);
      expect(upstream.aborted).toBe(1);
    });
  }

  test("nothing when the response is whole: its connection stays", async () => {
    const { client } = pair([act.send(response("ok"))]);
    const abort = new AbortController();
    expect(await text(client, { ...GET, signal: abort.signal })).toBe("ok");
    abort.abort();
    expect(client.idle).toBe(1);
    expect(await text(client)).toBe("ok");
  });

  test("1 000 requests, each in another moment, and leaves no socket behind", async () => {
    const scripts: readonly (readonly Act[])[] = [
      [act.stall],
      [act.send("HTTP/1.1 200 OK\r\n"), act.stall],
      headSent,
      [act.send(sseHead()), act.send(chunk("y".repeat(100_000))), act.stall],
    ];
    const { client, upstream } = pair(({ index }) => scripts[index % scripts.length]!, {
      connectionsMax: 100,
      waitingMax: 1000,
    });
    const aborts: AbortController[] = [];
    let aborted = 0;
    const all = Array.from({ length: 1000 }, async (_, i) => {
      const abort = new AbortController();
      aborts.push(abort);
      try {
        const { body } = await client.request({ ...GET, signal: abort.signal });
        for await (const _piece of piecesOf(body)) if (i % 2 === 0) abort.abort();
      } catch (error) {
        if (!(error instanceof Http1Error) || error.code !== "aborted") throw error;
        aborted++;
      }
    });
    // Turn by turn, so that each is caught in another state.
    for (const abort of aborts) {
      await new Promise((resolve) => setImmediate(resolve));
      abort.abort();
    }
    await Promise.all(all);
    expect(aborted).toBe(1000);
    expect(client.connections).toBe(0);
    expect(client.waiting).toBe(0);
    await waitFor(() => client.orphans === 0);
    await untilClosed(upstream);
  });
});

const hasOpenssl = canMakeCertificates();

describe.skipIf(!hasOpenssl)("Http1Client over TLS (made with openssl)", () => {
  const ours = hasOpenssl ? makeCertificate(["DNS:localhost", "IP:127.0.0.1"]) : null!;
  const foreign = hasOpenssl ? makeCertificate(["DNS:other.example"]) : null!;

  test("trusts ca, checks the name, asks for it, and keeps the connection", async () => {
    const { client, upstream } = pair([act.send(response("safe 你好"))], { ca: ours.cert }, {
      tls: ours,
    });
    expect(await text(client)).toBe("safe 你好");
    expect(await text(client)).toBe("safe 你好");
    expect(upstream.opened).toBe(1);
    const byAddress = clientOf(`https://127.0.0.1:${upstream.port}`, { ca: ours.cert });
    expect(await text(byAddress)).toBe("safe 你好");
  });

  test("offers http/1.1 (ALPN) and the host's name (SNI)", async () => {
    const seen: unknown[] = [];
    const server = tlsServer({ ...ours, ALPNProtocols: ["h2", "http/1.1"] }, (socket) => {
      seen.push(socket.alpnProtocol, (socket as unknown as { servername: unknown }).servername);
      socket.on("error", () => {});
      socket.once("data", () => socket.write(response("ok")));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    clean.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    expect(await text(clientOf(`https://localhost:${port}`, { ca: ours.cert }))).toBe("ok");
    expect(seen).toEqual(["http/1.1", "localhost"]);
  });

  test("20 MB up and down, byte for byte", async () => {
    const { client } = pair(({ body }) => [act.send(response(body))], { ca: ours.cert }, {
      tls: ours,
    });
    const body = Buffer.alloc(20_000_000);
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE(i, i);
    const answer = await client.request({ method: "POST", path: "/", body });
    expect((await bytesOf(answer.body)).equals(body)).toBeTrue();
    expect(client.idle).toBe(1);
  });

  test("holds a slow reader's pace, and gives every byte", async () => {
    const big = Buffer.alloc(48 * 1024 * 1024);
    for (let i = 0; i < big.length; i += 4) big.writeUInt32LE(i, i);
    const { client, upstream } = pair([act.send(response(big))], { ca: ours.cert }, { tls: ours });
    const { body } = await client.request(GET);
    const pieces = [(await pieceOf(body))!];
    await untilStill(upstream);
    expect(upstream.sentBytes).toBeLessThan(16 * 1024 * 1024);
    for await (const piece of piecesOf(body)) pieces.push(piece);
    expect(Buffer.concat(pieces).equals(big)).toBeTrue();
    expect(client.idle).toBe(1);
  });

  const DISTRUSTED: readonly [string, string | undefined, "ours" | "foreign", RegExp][] = [
    ["a certificate nobody vouches for", undefined, "ours", /self.signed/],
    ["another authority", "foreign", "ours", /self.signed|unable to/],
    ["another name", "foreign", "foreign", /other\.example/],
    ["a ca that is no certificate", "no PEM", "ours", /CA/],
  ];
  for (const [name, ca, served, says] of DISTRUSTED) {
    test(`${name} is tls_failed, and no byte of the request is sent`, async () => {
      const { client, upstream } = pair([act.send(response("no"))], {
        ca: ca === "foreign" ? foreign.cert : ca,
      }, { tls: served === "ours" ? ours : foreign });
      const error = await failure(client.request(GET));
      expect(error.code).toBe("tls_failed");
      expect(error.message).toMatch(says);
      expect(error.isRetryable).toBeFalse();
      expect(client.connections).toBe(0);
      expect(client.orphans).toBe(0);
      expect(upstream.requests.length).toBe(0);
    });
  }

  test("a server without TLS is tls_failed", async () => {
    const { upstream } = pair([], {}, { onOpen: [act.send("HTTP/1.1 400 Bad Request\r\n\r\n")] });
    const error = await failure(clientOf(`https://localhost:${upstream.port}`).request(GET));
    expect(error.code).toBe("tls_failed");
  });

  test("a connection that ends within the handshake is connect_failed", async () => {
    const { upstream } = pair([], {}, { onOpen: [act.end] });
    const error = await failure(clientOf(`https://localhost:${upstream.port}`).request(GET));
    expect(error.code).toBe("connect_failed");
    expect(error.isRetryable).toBeTrue();
  });

  test("a handshake without end is timeout_connect", async () => {
    const { wheel, advance } = handTurned();
    const { upstream } = pair([act.stall]);
    const client = clientOf(`https://localhost:${upstream.port}`, { wheel, connectMs: 3_000 });
    const answer = failure(client.request(GET));
    await waitFor(() => upstream.open === 1);
    advance(2_999);
    expect(client.connections).toBe(1);
    advance(1);
    const error = await answer;
    expect(error.code).toBe("timeout_connect");
    expect(error.message).toContain("3000 ms");
    await untilClosed(upstream);
  });

  test("aborts within the handshake", async () => {
    const { upstream } = pair([act.stall]);
    const client = clientOf(`https://localhost:${upstream.port}`);
    const abort = new AbortController();
    const answer = failure(client.request({ ...GET, signal: abort.signal }));
    await waitFor(() => upstream.open === 1);
    abort.abort();
    expect((await answer).code).toBe("aborted");
    await untilClosed(upstream);
    expect(client.connections).toBe(0);
  });
});
