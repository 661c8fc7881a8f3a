/**
 * The upstream of an audit: a server on a plain socket that answers each request as its script says,
 * byte by byte, and keeps a ledger of all that came and went, with times.
 *
 * Which script a request belongs to is read from its body: every request of an audit carries a mark
 * of its own, and gateways pass on what a user has written.
 *
 * @module
 */

import { BodyDecoder } from "../../lib/http1/framing.ts";
import { headFields } from "./head_fields.ts";
import { answerForm, LastAnswer } from "./last_answer.ts";
import { type ConnectionEnds, endsOf } from "./probe_client.ts";

/** Of a request's head. */
const HEAD_BYTES_MAX = 256 * 1024;
/** Of a request's body: an audit sends far less. */
const BODY_BYTES_MAX = 16 * 1024 * 1024;

/** The mark of one request of the audit. */
export const MARK = /wa-[0-9a-f]{16}/;

/** What was written in one go. */
export interface LedgerWrite {
  /** When it was handed to the kernel. */
  readonly atMs: number;
  readonly bytes: Uint8Array;
}

/** How a connection ended, seen from the upstream. */
export type Leaving = "fin" | "reset" | "own";

/** What happens to a connection, seen from the upstream. */
export type ConnectionEvent = "opened" | "fin" | "reset" | "closed";

/** Answers one request. What it throws ends the connection. */
export type Script = (attempt: Attempt) => void | Promise<void>;

/** One request as it reached the upstream, and what was answered. */
export class Attempt {
  /** The number of its connection, and its own number on that. */
  readonly connection: number;
  readonly ordinal: number;
  /** When its last byte had come. */
  readonly arrivedMs: number;
  /** With its request line, as it came. */
  readonly headText: string;
  readonly body: Buffer;
  readonly writes: LedgerWrite[] = [];
  /** When the connection ended, and by whom; undefined = it has not. */
  leftMs: number | undefined;
  leaving: Leaving | undefined;
  readonly #socket: UpstreamSocket;
  /** Undefined = the connection is kept behind the answer. */
  readonly #last: LastAnswer | undefined;
  readonly #left = Promise.withResolvers<void>();

  constructor(socket: UpstreamSocket, ordinal: number, headText: string, body: Buffer) {
    this.#socket = socket;
    this.connection = socket.number;
    this.ordinal = ordinal;
    this.headText = headText;
    this.body = body;
    const form = answerForm(headText);
    this.#last = form.isLast ? new LastAnswer(form) : undefined;
    this.arrivedMs = performance.now();
  }

  /** Settles when the connection has ended. */
  get left(): Promise<void> {
    return this.#left.promise;
  }

  /** Both ends of the connection, the upstream's first. */
  get ends(): ConnectionEnds {
    return this.#socket.ends;
  }

  /** The values of the request's header `name`, in lower case. */
  fields(name: string): readonly string[] {
    return headFields(this.headText).filter(([key]) => key === name).map(([, value]) => value);
  }

  /**
   * Writes bytes as they are, in one go; to a request of HTTP/1.0 without their chunks. Nothing happens
   * once the connection has ended.
   */
  write(bytes: Uint8Array | string): void {
    this.#write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, true);
  }

  /** True when the kernel took all. */
  #write(bytes: Uint8Array, isNoted: boolean): boolean {
    if (this.leftMs !== undefined) return false;
    const last = this.#last;
    if (last === undefined) return this.#hand(bytes, isNoted);
    if (last.isDone) return true; // its connection ends
    const isTaken = this.#hand(last.take(bytes), isNoted);
    if (last.isDone) void this.cut();
    return isTaken;
  }

  #hand(bytes: Uint8Array, isNoted: boolean): boolean {
    if (bytes.length === 0) return true;
    if (isNoted) this.writes.push({ atMs: performance.now(), bytes });
    return this.#socket.write(bytes);
  }

  /**
   * Writes without a line in the ledger, and gives true when the kernel took all; else the caller
   * waits for `drained`.
   */
  pour(bytes: Uint8Array): boolean {
    return this.#write(bytes, false);
  }

  /** Settles when the kernel has taken all, or the connection has ended. */
  async drained(): Promise<void> {
    await Promise.race([this.#socket.drained(), this.left]);
  }

  /**
   * Ends the connection with a FIN, once all has been taken; with an RST in the middle of a body that
   * ends with the connection, which would look whole.
   */
  async cut(): Promise<void> {
    const last = this.#last;
    if (last !== undefined && this.leftMs === undefined) this.#hand(last.rest(), true);
    await this.drained();
    if (last?.wouldLookWhole === true) return this.reset();
    this.hasLeft("own");
    this.#socket.end();
  }

  /** Ends the connection with an RST. */
  reset(): void {
    this.hasLeft("own");
    this.#socket.reset();
  }

  /** The connection has ended. */
  hasLeft(leaving: Leaving): void {
    if (this.leftMs !== undefined) return;
    this.leftMs = performance.now();
    this.leaving = leaving;
    this.#left.resolve();
  }

  /** Waits, but not for one that has left: false then. */
  async pause(delayMs: number): Promise<boolean> {
    const slept = Promise.withResolvers<void>();
    const timer = setTimeout(slept.resolve, delayMs);
    await Promise.race([slept.promise, this.left]);
    clearTimeout(timer);
    return this.leftMs === undefined;
  }
}

/** One connection: what has come of a request, and what has not gone yet. */
class UpstreamSocket {
  readonly number: number;
  readonly #socket: Bun.Socket<UpstreamSocket>;
  readonly #onRequest: (socket: UpstreamSocket, headText: string, body: Buffer) => void;
  readonly #decoder = new BodyDecoder("request");
  #came: Buffer = Buffer.alloc(0);
  #headText: string | undefined;
  #body: Buffer[] = [];
  #bodyBytes = 0;
  /** Nothing is read behind the last request. */
  #isLast = false;
  #unsent: Uint8Array[] = [];
  #waiting: (() => void)[] = [];
  requests = 0;
  current: Attempt | undefined;
  /** Both ends, the upstream's first. */
  readonly ends: ConnectionEnds;
  /** True once the upstream has ended it: whatever comes then gets no answer. */
  hasEnded = false;

  constructor(
    number: number,
    socket: Bun.Socket<UpstreamSocket>,
    onRequest: (socket: UpstreamSocket, headText: string, body: Buffer) => void,
  ) {
    this.number = number;
    this.#socket = socket;
    this.#onRequest = onRequest;
    this.ends = endsOf(socket);
  }

  /** @throws {Error} what came is no request that can be read. */
  data(bytes: Buffer): void {
    if (this.#isLast) return;
    this.#came = this.#came.length === 0 ? bytes : Buffer.concat([this.#came, bytes]);
    while (!this.#isLast && (this.#came.length > 0 || this.#headText !== undefined)) {
      if (this.#headText === undefined) {
        const end = this.#came.indexOf("\r\n\r\n");
        if (end < 0) {
          if (this.#came.length > HEAD_BYTES_MAX) throw new Error("A head is too long");
          return;
        }
        this.#headText = this.#came.toString("latin1", 0, end);
        this.#came = this.#came.subarray(end + 4);
        const fields = headFields(this.#headText);
        const valueOf = (name: string) => fields.find(([key]) => key === name)?.[1];
        const length = Number(valueOf("content-length") ?? 0);
        const isChunked = valueOf("transfer-encoding")?.toLowerCase() === "chunked";
        this.#decoder.begin(isChunked ? "chunked" : "length", length, HEAD_BYTES_MAX, 0);
        // Nobody of HTTP/1.0 knows it (RFC 9110 10.1.1).
        if (valueOf("expect") !== undefined && !answerForm(this.#headText).isHttp10) {
          this.write(Buffer.from("HTTP/1.1 100 Continue\r\n\r\n"));
        }
      }
      if (!this.#decoder.isDone) {
        const at = this.#decoder.read(this.#came, 0, {
          onBody: (piece) => {
            this.#bodyBytes += piece.length;
            if (this.#bodyBytes > BODY_BYTES_MAX) throw new Error("A body is too long");
            this.#body.push(Buffer.from(piece));
          },
        });
        this.#came = this.#came.subarray(at);
        if (!this.#decoder.isDone) return;
      }
      const headText = this.#headText;
      const body = Buffer.concat(this.#body);
      this.#isLast = answerForm(headText).isLast;
      this.#headText = undefined;
      this.#body = [];
      this.#bodyBytes = 0;
      this.#onRequest(this, headText, body);
    }
  }

  /** What has come of a request that is not whole, as a line of evidence; undefined = nothing. */
  get unfinished(): string | undefined {
    if (this.#headText === undefined) {
      const { length } = this.#came;
      return length === 0 ? undefined : `${length} bytes of a head on connection ${this.number}`;
    }
    const length = headFields(this.#headText).find(([name]) => name === "content-length")?.[1];
    return `a head and ${this.#bodyBytes} of ${
      length ?? "more"
    } bytes of its body on connection ${this.number}`;
  }

  /** True when the kernel took all. */
  write(bytes: Uint8Array): boolean {
    if (this.#unsent.length > 0) {
      this.#unsent.push(bytes);
      return false;
    }
    const sent = Math.max(0, this.#socket.write(bytes, 0, bytes.length));
    if (sent < bytes.length) this.#unsent.push(bytes.slice(sent));
    return sent === bytes.length;
  }

  drain(): void {
    for (let piece = this.#unsent[0]; piece !== undefined; piece = this.#unsent[0]) {
      const sent = Math.max(0, this.#socket.write(piece, 0, piece.length));
      if (sent < piece.length) {
        this.#unsent[0] = piece.subarray(sent);
        return;
      }
      this.#unsent.shift();
    }
    for (const wake of this.#waiting.splice(0)) wake();
  }

  drained(): Promise<void> {
    if (this.#unsent.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  end(): void {
    this.hasEnded = true;
    this.#socket.end();
  }

  reset(): void {
    this.hasEnded = true;
    this.#socket.terminate();
  }
}

/** Requests with one mark, and how they are answered. */
export class Expectation {
  readonly attempts: Attempt[] = [];
  /** What had come of requests that were not whole when the client gave this one up, a line for each. */
  unfinished: readonly string[] = [];
  readonly script: Script;
  readonly #arrived = Promise.withResolvers<Attempt>();

  constructor(script: Script) {
    this.script = script;
  }

  /** Settles when the first request is here. */
  get arrived(): Promise<Attempt> {
    return this.#arrived.promise;
  }

  /** One more is here. */
  add(attempt: Attempt): void {
    this.attempts.push(attempt);
    this.#arrived.resolve(attempt);
  }
}

/** Addresses that stand for all of a machine. */
const EVERYWHERE: readonly string[] = ["0.0.0.0", "::"];

/** The server. */
export class ScriptedUpstream {
  readonly #expected = new Map<string, Expectation>();
  readonly #sockets = new Set<UpstreamSocket>();
  readonly #address: string;
  #listener: Bun.TCPSocketListener<UpstreamSocket>;
  /** Where this process reaches it. */
  readonly hostname: string;
  /** Connections that were ever opened. */
  connections = 0;
  /** Called for what happens to a connection. */
  onConnection: (number: number, event: ConnectionEvent) => void = () => {};
  /** Requests without a mark: what a gateway asks on its own, or has made of ours. */
  readonly strangers: string[] = [];

  private constructor(hostname: string, port: number) {
    this.hostname = EVERYWHERE.includes(hostname) ? "127.0.0.1" : hostname;
    this.#address = hostname;
    this.#listener = this.#open(port);
  }

  #open(port: number): Bun.TCPSocketListener<UpstreamSocket> {
    return Bun.listen<UpstreamSocket>({
      hostname: this.#address,
      port,
      socket: {
        open: (socket) => {
          socket.data = new UpstreamSocket(++this.connections, socket, this.#answer);
          this.#sockets.add(socket.data);
          this.onConnection(socket.data.number, "opened");
        },
        data: (socket, bytes) => {
          try {
            socket.data.data(bytes);
          } catch {
            socket.terminate();
          }
        },
        drain: (socket) => socket.data.drain(),
        end: (socket) => {
          socket.data.current?.hasLeft("fin");
          this.onConnection(socket.data.number, "fin");
        },
        close: (socket, error) => {
          this.#sockets.delete(socket.data);
          socket.data.current?.hasLeft(error === undefined ? "fin" : "reset");
          this.onConnection(socket.data.number, error === undefined ? "closed" : "reset");
        },
        error: (socket) => socket.data.current?.hasLeft("reset"),
      },
    });
  }

  /**
   * Listens.
   *
   * @throws {Error} the system's own, as when the port is taken.
   */
  static listen(hostname: string, port: number): ScriptedUpstream {
    return new ScriptedUpstream(hostname, port);
  }

  get port(): number {
    return this.#listener.port;
  }

  /** Requests with `mark` are answered by `script`, until `forget`. */
  expect(mark: string, script: Script): Expectation {
    const expectation = new Expectation(script);
    this.#expected.set(mark, expectation);
    return expectation;
  }

  /** What has come of requests that are not whole, a line for each. */
  unfinished(): readonly string[] {
    return [...this.#sockets].flatMap((socket) => socket.unfinished ?? []);
  }

  /** Requests with `mark` that come later are answered with 410. */
  forget(mark: string): void {
    this.#expected.delete(mark);
  }

  /**
   * While `work` runs nobody listens and every connection has been reset: whoever asks is refused.
   *
   * @throws {Error} the system's own, when it cannot listen again.
   */
  async refusing<Result>(work: () => Promise<Result>): Promise<Result> {
    const { port } = this;
    this.close();
    try {
      return await work();
    } finally {
      this.#listener = this.#open(port);
    }
  }

  /** Closes it and every connection. */
  close(): void {
    this.#listener.stop(true);
    for (const socket of this.#sockets) socket.reset();
  }

  readonly #answer = (socket: UpstreamSocket, headText: string, body: Buffer): void => {
    const attempt = new Attempt(socket, ++socket.requests, headText, body);
    socket.current = attempt;
    if (socket.hasEnded) attempt.hasLeft("own");
    const mark = MARK.exec(body.toString("latin1"))?.[0];
    const expectation = mark === undefined ? undefined : this.#expected.get(mark);
    if (expectation === undefined) {
      if (mark === undefined) this.strangers.push(headText);
      const text = mark === undefined ? '{"object":"list","data":[]}' : '{"error":"gone"}';
      const status = mark === undefined ? "200 OK" : "410 Gone";
      const head =
        `HTTP/1.1 ${status}\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n`;
      attempt.write(answerForm(headText).isBodiless ? head : head + text);
      return;
    }
    expectation.add(attempt);
    void (async () => {
      try {
        await expectation.script(attempt);
      } catch {
        attempt.reset();
      }
    })();
  };
}
