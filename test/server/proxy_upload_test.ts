import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, type LaunchOptions, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CAN_MEASURE, processSize } from "./process_size.ts";
import { DONE, EVENT } from "./proxied.ts";
import { connect, parseRaw, type RawClient, type RawResponse } from "./raw_client.ts";
import { chunk, LAST_CHUNK, response, sseHead } from "./scripted_upstream.ts";
import {
  unchunked,
  type UploadPeer,
  type UploadUpstream,
  uploadUpstream,
} from "./upload_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const KILOBYTE = 1024;
const MEGABYTE = 1024 * KILOBYTE;
const LARGE_BYTES = 30 * MEGABYTE;

/** What would be a request if it were read as one. */
const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: weir\r\n\r\n";
const PROBE = "GET /probe HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";

const clean: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of clean.splice(0).reverse()) await end();
});

interface Rig {
  readonly weir: Weir;
  readonly upstream: UploadUpstream;
  /** A client that has sent `bytes`. */
  readonly client: (...bytes: readonly (string | Uint8Array)[]) => Promise<RawClient>;
}

async function rig(set: LaunchOptions["set"] = {}, isReading = true): Promise<Rig> {
  const upstream = uploadUpstream(isReading);
  clean.push(() => upstream.close());
  const weir = await launch({
    set: {
      "llm.base_url": `${upstream.url}/v1`,
      "llm.retries": 0,
      "server.keepalive_ms": 0,
      "server.body_timeout_ms": 600_000,
      "llm.headers_timeout_ms": 600_000,
      "ops.log": "requests",
      ...set,
    },
  });
  clean.push(() => weir.stop());
  return {
    weir,
    upstream,
    async client(...bytes) {
      const client = await connect(
        weir.port,
        Buffer.concat(bytes.map((piece) => Buffer.from(piece))),
      );
      clean.push(() => client.leave());
      return client;
    },
  };
}

/** A question of `bytes` bytes, whose text is requests. */
function question(bytes: number): Buffer {
  const text = (content: string) =>
    `{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":${content}}]}`;
  const frame = text('""').length;
  const body = Buffer.from(text(`"${" ".repeat(bytes - frame)}"`));
  const from = body.indexOf('"content":"') + 11;
  // The line ends of a request, although no JSON has such: nothing of this is to be read.
  for (let at = from; at + SMUGGLED.length < from + bytes - frame; at += SMUGGLED.length) {
    body.write(SMUGGLED, at, "latin1");
  }
  return body;
}

function headOf(framing: string, fields: readonly string[] = []): string {
  return [
    "POST /v1/chat/completions HTTP/1.1",
    "Host: weir",
    "Content-Type: application/json",
    framing,
    ...fields,
    "",
    "",
  ].join("\r\n");
}

const CHUNKED = "Transfer-Encoding: chunked";
const lengthOf = (body: Uint8Array) => `Content-Length: ${body.length}`;

/** `body` in chunks with extensions. */
function chunked(body: Buffer, size = 100_000): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const data = body.subarray(at, at + size);
    pieces.push(
      Buffer.from(`${data.length.toString(16)};ext=secret\r\n`),
      data,
      Buffer.from("\r\n"),
    );
  }
  return Buffer.concat(pieces);
}

const TRAILER = "0\r\nX-Trailer: secret\r\n\r\n";
const ANSWER = response("the answer", { "content-type": "text/plain" });

/** The first answer of `client`, once all of it is here. */
async function answerOf(client: RawClient): Promise<RawResponse> {
  return await waitFor(() => {
    const answer = client.text().includes("\r\n\r\n") && parseRaw(client.received());
    return answer && answer.isWhole && answer;
  }, "an answer");
}

function code({ body }: RawResponse): unknown {
  return (JSON.parse(body.toString()) as { error: { code: unknown } }).error.code;
}

/** Nothing but one POST has come on each connection to the upstream. */
function expectOneRequestEach({ peers }: UploadUpstream): void {
  for (const peer of peers) {
    expect(peer.head).toStartWith("post /v1/chat/completions http/1.1\r\n");
    const { length } = /\r\ncontent-length: (?<length>\d+)/.exec(peer.head)?.groups ?? {};
    if (length === undefined) continue;
    expect(peer.bytes - peer.head.length - 4).toBeLessThanOrEqual(Number(length));
  }
}

/** Sends a part of a body that goes up, and waits until the upstream has some of it. */
async function half(
  { upstream, client }: Rig,
  body: Buffer,
  fields: readonly string[] = [],
): Promise<{ readonly sender: RawClient; readonly peer: UploadPeer; readonly rest: Buffer }> {
  const middle = Math.floor(body.length / 2);
  const sender = await client(headOf(lengthOf(body), fields), body.subarray(0, middle));
  const peer = await upstream.peer(0);
  await peer.untilBody(middle);
  return { sender, peer, rest: body.subarray(middle) };
}

describe("a large body goes up while it comes", () => {
  for (const framing of ["length", "chunks"] as const) {
    test(`30 MB, with ${framing}, byte for byte`, async () => {
      const { weir, upstream, client } = await rig();
      const body = question(LARGE_BYTES);
      const isChunked = framing === "chunks";
      const middle = 10_000_000;
      const [first, rest] = [body.subarray(0, middle), body.subarray(middle)];
      const fields = ["X-Mine: 1", ...(isChunked ? ["Trailer: X-Trailer"] : [])];
      const sender = await client(
        headOf(isChunked ? CHUNKED : lengthOf(body), fields),
        isChunked ? chunked(first) : first,
      );
      const peer = await upstream.peer(0);
      await peer.untilBody(middle);
      sender.send(isChunked ? Buffer.concat([chunked(rest), Buffer.from(TRAILER)]) : rest);
      await peer.untilBody(body.length);
      if (isChunked) await waitFor(() => peer.body.subarray(-5).toString() === LAST_CHUNK);
      expect((isChunked ? unchunked(peer.body) : peer.body).equals(body)).toBe(true);
      expect(peer.head).toContain("\r\nx-mine: 1");
      expect(peer.head).toContain(
        isChunked ? "\r\ntransfer-encoding: chunked" : `\r\ncontent-length: ${body.length}`,
      );
      expect(peer.head).not.toContain("trailer");
      peer.send(ANSWER);
      expect((await answerOf(sender)).body.toString()).toBe("the answer");
      sender.send(PROBE);
      expect((await sender.closed).toString()).toContain("HTTP/1.1 404");
      await waitFor(() => weir.errors().includes('"model":"gpt-4o"'), "the model in the log");
    });
  }

  test("and the connection is used again once all of it has gone", async () => {
    const { upstream, client } = await rig();
    const body = question(MEGABYTE);
    const sender = await client(headOf(lengthOf(body)), body);
    const peer = await upstream.peer(0);
    await peer.untilBody(body.length);
    peer.send(ANSWER);
    await answerOf(sender);
    const small = question(KILOBYTE);
    sender.send(Buffer.concat([Buffer.from(headOf(lengthOf(small))), small]));
    await peer.untilBody(body.length + small.length);
    expect(upstream.peers.length).toBe(1);
  });

  test("a client that waits to be told so is told to go on", async () => {
    const both = await rig();
    const body = question(MEGABYTE);
    const sender = await both.client(headOf(lengthOf(body), ["Expect: 100-continue"]));
    await sender.until("HTTP/1.1 100 Continue\r\n\r\n");
    sender.send(body);
    const peer = await both.upstream.peer(0);
    await peer.untilBody(body.length);
    expect(peer.head).not.toContain("expect");
    peer.send(ANSWER);
    expect(await sender.until("the answer")).toContain("HTTP/1.1 200");
  });

  test("a small one goes up whole, with its length, however it came", async () => {
    const { upstream, client } = await rig();
    const body = question(10 * KILOBYTE);
    const sender = await client(headOf(CHUNKED), chunked(body.subarray(0, 1000)));
    sender.send(Buffer.concat([chunked(body.subarray(1000)), Buffer.from(TRAILER)]));
    const peer = await upstream.peer(0);
    await peer.untilBody(body.length);
    expect(peer.head).toContain(`\r\ncontent-length: ${body.length}`);
    expect(peer.body.equals(body)).toBe(true);
  });

  const HOLDING: readonly (readonly [what: string, set: LaunchOptions["set"]])[] = [
    ["routes", { "routes": '[{match: {model: "gpt-4o"}, to: [llm]}]' }],
    ["a model_id", { "llm.model_id": "gpt-4o" }],
    ["log_prompts", { "ops.log_prompts": true }],
  ];
  for (const [what, set] of HOLDING) {
    test(`but not with ${what}: it is held until it is whole`, async () => {
      const { upstream, client } = await rig(set);
      const body = question(4 * MEGABYTE);
      const sender = await client(headOf(CHUNKED), chunked(body.subarray(0, 3 * MEGABYTE)));
      await waitFor(() => sender.unsentBytes() === 0, "weir to read it");
      expect(upstream.peers.length).toBe(0);
      sender.send(Buffer.concat([chunked(body.subarray(3 * MEGABYTE)), Buffer.from(TRAILER)]));
      const peer = await upstream.peer(0);
      await peer.untilBody(body.length);
      expect(peer.head).toContain(`\r\ncontent-length: ${body.length}`);
      expect(peer.body.equals(body)).toBe(true);
    });
  }
});

describe("an upstream that answers before the body is over", () => {
  const REFUSAL = response("who are you", {}, "401 Who");

  test("its answer goes down at once, its connection closes, and the client's goes on", async () => {
    const both = await rig();
    const { sender, peer, rest } = await half(both, question(LARGE_BYTES));
    peer.send(REFUSAL);
    const answer = await answerOf(sender);
    expect([answer.status, answer.body.toString()]).toEqual([401, "who are you"]);
    await peer.untilClosed();
    sender.send(rest);
    sender.send(PROBE);
    const answers = (await sender.closed).toString().match(/HTTP\/1.1 \d+/g);
    expect(answers).toEqual(["HTTP/1.1 401", "HTTP/1.1 404"]);
    expectOneRequestEach(both.upstream);

    const body = question(MEGABYTE);
    const next = await both.client(headOf(lengthOf(body)), body);
    const other = await both.upstream.peer(1);
    await other.untilBody(body.length);
    expect(other.body.equals(body)).toBe(true);
    other.send(ANSWER);
    expect((await answerOf(next)).status).toBe(200);
  });

  test("of which nobody knows how long it is: the client's connection closes as well", async () => {
    const both = await rig();
    const body = question(8 * MEGABYTE);
    const sender = await both.client(headOf(CHUNKED), chunked(body));
    const peer = await both.upstream.peer(0);
    await peer.untilBody(body.length);
    peer.send(REFUSAL);
    const answer = await answerOf(sender);
    expect(answer.status).toBe(401);
    expect(answer.head).toContain("\r\nconnection: close");
    sender.send(Buffer.concat([chunked(body), Buffer.from(TRAILER + SMUGGLED)]));
    expect((await sender.closed).toString().match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 401"]);
    await peer.untilClosed();
  });

  test("and breaks off at once: what it said still arrives", async () => {
    const both = await rig();
    const { sender, peer, rest } = await half(both, question(LARGE_BYTES));
    sender.send(rest);
    peer.send(REFUSAL);
    peer.reset();
    const answer = await answerOf(sender);
    expect([answer.status, answer.body.toString()]).toEqual([401, "who are you"]);
    sender.send(PROBE);
    expect((await sender.closed).toString()).toContain("HTTP/1.1 404");
  });

  test("with a stream: the body still goes up, and both end in peace", async () => {
    const both = await rig();
    const body = question(LARGE_BYTES);
    const { sender, peer, rest } = await half(both, body);
    peer.send(sseHead());
    peer.send(chunk(EVENT));
    await sender.until(EVENT);
    sender.send(rest);
    await peer.untilBody(body.length);
    expect(peer.body.equals(body)).toBe(true);
    peer.send(Buffer.concat([chunk(DONE), Buffer.from(LAST_CHUNK)]));
    expect((await answerOf(sender)).body.toString()).toBe(EVENT + DONE);
    expect(peer.isClosed).toBe(false);
  });

  test("with a stream, whose client then breaks its body: it is aborted, and nobody says [DONE]", async () => {
    const both = await rig();
    const body = question(4 * MEGABYTE);
    const sender = await both.client(headOf(CHUNKED), chunked(body));
    const peer = await both.upstream.peer(0);
    await peer.untilBody(body.length);
    peer.send(sseHead());
    peer.send(chunk(EVENT));
    await sender.until(EVENT);
    sender.send(`zz\r\n${SMUGGLED}`);
    await peer.untilClosed();
    const said = (await sender.closed).toString();
    expect(said).toContain('data: {"error":');
    expect(said).not.toContain("[DONE]");
    expect(said.match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 200"]);
  });
});

describe("a body that will not be whole aborts the upstream", () => {
  for (const on_disconnect of ["cancel", "drain"]) {
    for (const how of ["leave", "finish"] as const) {
      test(`its client leaves (${how}, ${on_disconnect})`, async () => {
        const both = await rig({ "chat.on_disconnect": on_disconnect });
        const { sender, peer } = await half(both, question(4 * MEGABYTE));
        sender[how]();
        await peer.untilClosed();
        await waitFor(async () => (await both.weir.health())["streams_open"] === 0, "no stream");
        expectOneRequestEach(both.upstream);
      });
    }
  }

  test("its chunks are broken: 400", async () => {
    const both = await rig();
    const body = question(2 * MEGABYTE);
    const sender = await both.client(headOf(CHUNKED), chunked(body));
    const peer = await both.upstream.peer(0);
    await peer.untilBody(body.length);
    sender.send(`zz\r\n${SMUGGLED}`);
    await peer.untilClosed();
    expect(parseRaw(await sender.closed).status).toBe(400);
    expect(peer.body.subarray(-5).toString()).not.toBe(LAST_CHUNK);
  });

  test("it turns out to be too large: 413", async () => {
    const both = await rig({ "server.body_max_bytes": 3 * MEGABYTE });
    const body = question(2 * MEGABYTE);
    const sender = await both.client(headOf(CHUNKED), chunked(body));
    const peer = await both.upstream.peer(0);
    await peer.untilBody(body.length);
    sender.send(chunked(body));
    await peer.untilClosed();
    const answer = parseRaw(await sender.closed);
    expect([answer.status, code(answer)]).toEqual([413, "body_too_large"]);
    expect(peer.body.subarray(-5).toString()).not.toBe(LAST_CHUNK);
  });

  test("the rest does not come in time: 408", async () => {
    const both = await rig({ "server.body_timeout_ms": 2000 });
    const body = question(2 * MEGABYTE);
    const sender = await both.client(headOf(lengthOf(body)), body.subarray(0, MEGABYTE));
    const peer = await both.upstream.peer(0);
    await peer.untilClosed();
    const answer = parseRaw(await sender.closed);
    expect([answer.status, code(answer)]).toEqual([408, "body_slow"]);
  });

  test("the upstream takes nothing of it in time: 504", async () => {
    const both = await rig({ "llm.headers_timeout_ms": 500 }, false);
    const body = question(LARGE_BYTES);
    const sender = await both.client(headOf(lengthOf(body)), body);
    const answer = await answerOf(sender);
    expect([answer.status, code(answer)]).toEqual([504, "upstream_timeout"]);
    const peer = await both.upstream.peer(0);
    peer.resume();
    await peer.untilClosed();
  });
});

test("a slow upstream makes its clients wait, and fills no memory", async () => {
  const both = await rig({}, false);
  const body = question(LARGE_BYTES);
  const residentBytes = () => CAN_MEASURE ? processSize(both.weir.pid).residentBytes : 0;
  const before = residentBytes();
  const senders: RawClient[] = [];
  for (let i = 0; i < 8; i++) senders.push(await both.client(headOf(lengthOf(body)), body));
  await both.upstream.peer(senders.length - 1);
  const unsent = () => senders.reduce((sum, sender) => sum + sender.unsentBytes(), 0);
  let last = 0;
  await waitFor(() => {
    const isStill = unsent() === last;
    last = unsent();
    return isStill;
  }, "the clients to be held back");
  expect(residentBytes() - before).toBeLessThan(8 * 8 * MEGABYTE);
  for (const peer of both.upstream.peers) peer.resume();
  for (const peer of both.upstream.peers) {
    await peer.untilBody(body.length);
    expect(peer.body.equals(body)).toBe(true);
    peer.send(ANSWER);
  }
  for (const sender of senders) expect((await answerOf(sender)).status).toBe(200);
});

describe("another try", () => {
  const BUSY = response("busy", { "retry-after-ms": "1" }, "503 Busy");
  const RETRIES = { "llm.retries": 2 };

  test("begins with the first byte as long as no more than 1 MiB has gone", async () => {
    const both = await rig(RETRIES);
    const body = question(MEGABYTE);
    const sender = await both.client(headOf(lengthOf(body)), body);
    const first = await both.upstream.peer(0);
    await first.untilBody(body.length);
    first.send(BUSY);
    const second = await both.upstream.peer(1);
    await second.untilBody(body.length);
    expect(second.body.equals(body)).toBe(true);
    second.send(ANSWER);
    expect((await answerOf(sender)).status).toBe(200);
  });

  test("is made while the body still comes, too", async () => {
    const both = await rig(RETRIES);
    const body = question(MEGABYTE);
    const { sender, peer, rest } = await half(both, body);
    peer.send(BUSY);
    const second = await both.upstream.peer(1);
    await second.untilBody(body.length / 2);
    await peer.untilClosed();
    second.reset();
    const third = await both.upstream.peer(2);
    sender.send(rest);
    await third.untilBody(body.length);
    expect(third.body.equals(body)).toBe(true);
    third.send(ANSWER);
    expect((await answerOf(sender)).status).toBe(200);
  });

  test("is not made when more has gone: the client gets what the upstream said", async () => {
    const both = await rig(RETRIES);
    const body = question(3 * MEGABYTE);
    const sender = await both.client(headOf(lengthOf(body)), body);
    const peer = await both.upstream.peer(0);
    await peer.untilBody(body.length);
    peer.send(BUSY);
    const answer = await answerOf(sender);
    expect([answer.status, answer.body.toString()]).toEqual([503, "busy"]);
    expect(both.upstream.peers.length).toBe(1);
  });

  test("is not made then after a connection that broke, either: 502, which says so", async () => {
    const both = await rig(RETRIES);
    const { sender, peer, rest } = await half(both, question(6 * MEGABYTE));
    peer.reset();
    const answer = await answerOf(sender);
    expect([answer.status, code(answer)]).toEqual([502, "upstream_unreachable"]);
    expect(answer.body.toString()).toContain("It was not asked again: more of the body had gone");
    sender.send(rest);
    sender.send(PROBE);
    expect((await sender.closed).toString().match(/HTTP\/1.1 \d+/g)).toEqual([
      "HTTP/1.1 502",
      "HTTP/1.1 404",
    ]);
    expect(both.upstream.peers.length).toBe(1);
  });
});
