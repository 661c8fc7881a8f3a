import { pieceOf } from "./piece_of.ts";
import { afterEach, describe, expect, test } from "bun:test";
import { Abort } from "../../../src/lib/abort.ts";
import type { Http1Request } from "../../../src/lib/http1/call.ts";
import { Http1Client, type Http1ClientOptions } from "../../../src/lib/http1/client.ts";
import { Http1Error } from "../../../src/lib/http1/error.ts";
import type { Http1Upload, UploadListener } from "../../../src/lib/http1/upload.ts";
import { timerAlarm, Wheel } from "../../../src/lib/wheel.ts";
import { canMakeCertificates, makeCertificate } from "../../server/certificate.ts";
import { waitFor } from "../../server/launch.ts";
import { act, response, scriptedUpstream } from "../../server/scripted_upstream.ts";
import { unchunked, type UploadUpstream, uploadUpstream } from "../../server/upload_upstream.ts";

const clean: (() => void)[] = [];
afterEach(() => {
  for (const close of clean.splice(0)) close();
});

/** A body that comes when the test says so. */
class TestUpload implements Http1Upload {
  readonly lengthBytes: number | undefined;
  readonly #pieces: Uint8Array[] = [];
  #listener: UploadListener | undefined = undefined;
  #at = 0;
  #isWhole = false;
  canStart = true;
  starts = 0;
  stops = 0;

  constructor(lengthBytes?: number) {
    this.lengthBytes = lengthBytes;
  }

  /** Pieces that were taken since it was last started. */
  get taken(): number {
    return this.#at;
  }

  start(listener: UploadListener): void {
    this.#listener = listener;
    this.#at = 0;
    this.starts++;
  }

  next(): Uint8Array | null | undefined {
    const piece = this.#pieces[this.#at];
    if (piece === undefined) return this.#isWhole ? null : undefined;
    this.#at++;
    return piece;
  }

  stop(): void {
    if (this.#listener !== undefined) this.stops++;
    this.#listener = undefined;
  }

  push(piece: string | Uint8Array): void {
    this.#pieces.push(Buffer.from(piece));
    this.#listener?.onMore();
  }

  end(): void {
    this.#isWhole = true;
    this.#listener?.onMore();
  }
}

function pair(options: Partial<Http1ClientOptions> = {}, isReading = true) {
  const upstream = uploadUpstream(isReading);
  const wheel = new Wheel(() => performance.now(), timerAlarm());
  const client = new Http1Client({ origin: upstream.url, wheel, ...options });
  clean.push(() => client.close(), () => upstream.close());
  return { client, upstream };
}

function post(upload: Http1Upload, more: Partial<Http1Request> = {}): Http1Request {
  return { method: "POST", path: "/", upload, ...more };
}

const OK = response("ok");

async function said(client: Http1Client, request: Http1Request): Promise<string> {
  const { status, body } = await client.request(request);
  return `${status} ${Buffer.from(await pieceOf(body) ?? [])}`;
}

async function failure(promise: Promise<unknown>): Promise<Http1Error> {
  const error = await promise.then(() => "no error", (thrown: unknown) => thrown);
  if (error instanceof Http1Error) return error;
  throw error;
}

/** A request without a body, answered: its connection is kept then. */
async function keepOne(client: Http1Client, upstream: UploadUpstream): Promise<void> {
  const answer = said(client, { method: "GET", path: "/" });
  (await upstream.peer(upstream.peers.length)).send(OK);
  await answer;
}

describe("Http1Client, of a body that comes later", () => {
  for (const framing of ["length", "chunks"] as const) {
    test(`sends it while it comes, with ${framing}, and keeps the connection`, async () => {
      const { client, upstream } = pair();
      const upload = new TestUpload(framing === "length" ? 9 : undefined);
      const answer = said(client, post(upload));
      const peer = await upstream.peer(0);
      await waitFor(() => peer.head !== "");
      expect(peer.head).toContain(
        framing === "length" ? "\r\ncontent-length: 9" : "\r\ntransfer-encoding: chunked",
      );
      upload.push("one");
      await peer.untilBody(3);
      upload.push("two");
      upload.push("end");
      await peer.untilBody(9);
      upload.end();
      if (framing === "length") expect(peer.body.toString()).toBe("onetwoend");
      else {
        await waitFor(() => peer.body.toString().endsWith("\r\n0\r\n\r\n"));
        expect(unchunked(peer.body).toString()).toBe("onetwoend");
      }
      peer.send(OK);
      expect(await answer).toBe("200 ok");
      expect([client.idle, upload.starts, upload.stops]).toEqual([1, 1, 1]);
    });
  }

  test("asks for no more than the socket takes", async () => {
    const { client, upstream } = pair({}, false);
    const piece = Buffer.alloc(65_536, "x");
    const pieces = 30 * 16;
    const upload = new TestUpload(pieces * piece.length);
    for (let i = 0; i < pieces; i++) upload.push(piece);
    upload.end();
    const answer = said(client, post(upload));
    const peer = await upstream.peer(0);
    let last = 0;
    await waitFor(() => {
      const isStill = upload.taken === last && last > 0;
      last = upload.taken;
      return isStill;
    }, "the socket to be full");
    expect(upload.taken).toBeLessThan(pieces);
    peer.resume();
    await peer.untilBody(pieces * piece.length);
    peer.send(OK);
    expect(await answer).toBe("200 ok");
  });

  test.skipIf(!canMakeCertificates())("sends it over TLS in many parts", async () => {
    const tls = makeCertificate(["DNS:localhost"]);
    const upstream = scriptedUpstream(() => [act.send(OK)], { tls });
    const wheel = new Wheel(() => performance.now(), timerAlarm());
    const client = new Http1Client({ origin: upstream.url, wheel, ca: tls.cert });
    clean.push(() => client.close(), () => upstream.close());
    const pieces = Array.from({ length: 128 }, (_, i) => Buffer.alloc(65_536, i));
    const upload = new TestUpload(128 * 65_536);
    const answer = said(client, post(upload));
    for (const piece of pieces) upload.push(piece);
    upload.end();
    expect(await answer).toBe("200 ok");
    expect(upstream.requests[0]!.body.equals(Buffer.concat(pieces))).toBe(true);
  });

  test("that is given up: the connection is closed at once", async () => {
    const { client, upstream } = pair();
    const upload = new TestUpload(9);
    const signal = new Abort();
    const failed = failure(client.request(post(upload, { signal })));
    const peer = await upstream.peer(0);
    upload.push("one");
    await peer.untilBody(3);
    signal.abort(new Error("enough"));
    expect((await failed).code).toBe("aborted");
    await peer.untilClosed();
    expect([upload.stops, client.connections]).toEqual([1, 0]);
    upload.push("two"); // nobody is there to be told
    expect(upload.taken).toBe(1);
  });

  test("that is given up behind the head of its answer: the same", async () => {
    const { client, upstream } = pair();
    const upload = new TestUpload(9);
    const signal = new Abort();
    const response = client.request(post(upload, { signal }));
    const peer = await upstream.peer(0);
    peer.send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
    const { body } = await response;
    expect(Buffer.from(await pieceOf(body) ?? []).toString()).toBe("ha");
    signal.abort(new Error("enough"));
    const read = Promise.resolve(pieceOf(body));
    expect((await failure(read)).code).toBe("aborted");
    await peer.untilClosed();
    expect(upload.stops).toBe(1);
  });

  test("answered before it is over: the answer is whole, and the connection not used again", async () => {
    const { client, upstream } = pair();
    const upload = new TestUpload(9);
    const answer = said(client, post(upload));
    const peer = await upstream.peer(0);
    upload.push("one");
    await peer.untilBody(3);
    peer.send(response("no", {}, "401 Who"));
    expect(await answer).toBe("401 no");
    await peer.untilClosed();
    upload.push("twoend");
    upload.end();
    expect([client.connections, upload.stops, upload.taken]).toEqual([0, 1, 1]);
    expect(peer.body.toString()).toBe("one");
  });

  test("goes on a connection of its own, which cannot be stale", async () => {
    const { client, upstream } = pair();
    await keepOne(client, upstream);
    const answer = said(client, post(new TestUpload(1)));
    (await upstream.peer(1)).send(OK);
    expect(await answer).toBe("200 ok");
  });

  for (const canStart of [true, false]) {
    test(`on a stale one, where no other may be opened, ${canStart ? "begins anew" : "fails"}`, async () => {
      const { client, upstream } = pair({ connectionsMax: 1 });
      await keepOne(client, upstream);
      const upload = new TestUpload(9);
      const answer = said(client, post(upload));
      upload.push("one");
      await upstream.peers[0]!.untilBody(0);
      upload.canStart = canStart;
      upstream.peers[0]!.reset();
      if (!canStart) {
        expect((await failure(answer)).code).toBe("closed_early");
        expect([upload.starts, upload.stops]).toEqual([1, 1]);
        return;
      }
      const peer = await upstream.peer(1);
      upload.push("twoend");
      upload.end();
      await peer.untilBody(9);
      expect(peer.body.toString()).toBe("onetwoend");
      peer.send(OK);
      expect(await answer).toBe("200 ok");
      expect([upload.starts, upload.stops]).toEqual([2, 2]);
    });
  }
});
