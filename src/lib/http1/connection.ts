/**
 * One connection to an upstream: it connects, carries one call at a time, and says what became of
 * it. While it connects it is a ticket on the wheel: its time limit.
 *
 * @module
 */

import { Http1Error } from "./error.ts";
import type { Call, Carrier } from "./call.ts";
import type { ResponseHead } from "./head.ts";
import { ResponseParser, type ResponseSink } from "./parser.ts";
import { Ticket, type Wheel } from "../wheel.ts";

/** Where connections go, and how. */
export interface Target {
  /** A name or an address; an IPv6 one without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** "host:port" for messages. */
  readonly name: string;
  /** Undefined = plain TCP. */
  readonly tls: Bun.TLSOptions | undefined;
  readonly wheel: Wheel;
  readonly connectMs: number;
  readonly headBytesMax: number;
  /** False: what the server may have seen is never sent again. */
  readonly resends: boolean;
}

/**
 * Milliseconds behind the write within which a kept connection that closes without a byte was stale:
 * its server had closed it before. One that had read the request would have needed longer to fail.
 */
export const STALE_MS = 5;

/** Whoever keeps connections. Each connection ends with exactly one `onClosed`. */
export interface ConnectionOwner {
  /** Its response is whole, and it can carry the next call. */
  onFree(connection: Connection): void;
  /** Its socket is gone, or was given up while the system still tries to connect it. */
  onClosed(connection: Connection): void;
  /** It was free before, and had closed before the server read `call`, which may be sent again. */
  onStale(call: Call): void;
  /** +1: the system still tries to connect a socket that nobody wants any more; -1: no longer. */
  onOrphan(change: 1 | -1): void;
}

/** One socket. Made with the call that it is opened for. */
export class Connection extends Ticket implements Carrier, ResponseSink {
  readonly #target: Target;
  readonly #owner: ConnectionOwner;
  readonly #parser: ResponseParser;
  #socket: Bun.Socket<Connection> | null = null;
  #call: Call | null;
  /** The body in the bytes that are read now. */
  #piece: Uint8Array | null = null;
  #isConnecting = false;
  #isReady = false;
  #isClosed = false;
  #isPaused = false;
  #isOrphan = false;
  #keepsAlive = false;
  /** What the server says about idle connections, in milliseconds. */
  #keepAliveMs = Infinity;
  /** True once a call was carried to its end. */
  #isUsed = false;
  /** The request of the call is written. */
  #isSent = false;
  /** When that was, on the wheel's clock. Only of a connection that is used again. */
  #sentMs = 0;
  /** The piece of its payload that is written now, and how far. */
  #payloadIndex = 0;
  #payloadOffset = 0;
  /** The system has taken a byte of the call. */
  #hasWritten = false;
  /** When this connection should be closed if it is still idle then. Written by its owner. */
  idleUntilMs = 0;

  constructor(target: Target, owner: ConnectionOwner, call: Call) {
    super();
    this.#target = target;
    this.#owner = owner;
    this.#parser = new ResponseParser(this, target.headBytesMax);
    this.#call = call;
    call.carrier = this;
  }

  /** Milliseconds the server keeps this connection when it is idle; Infinity = it did not say. */
  get keepAliveMs(): number {
    return this.#keepAliveMs;
  }

  /** Connects. What follows is said to the call and to the owner. */
  open(): void {
    const { hostname, port, tls, wheel, connectMs } = this.#target;
    this.#isConnecting = true;
    wheel.set(this, wheel.nowMs + connectMs);
    const options = { hostname, port, data: this };
    try {
      const opening = tls === undefined
        ? Bun.connect<Connection>({ ...options, socket: PLAIN })
        : Bun.connect<Connection>({ ...options, tls, socket: SECURE });
      opening.catch(() => {}); // `connectError` has said it.
    } catch (cause) {
      this.#isConnecting = false;
      const what = this.#cannot(cause instanceof Error ? cause.message : String(cause));
      this.#fail(new Http1Error("tls_failed", what, cause));
    }
  }

  /** Sends `call`. Only for a connection that is free. */
  start(call: Call): void {
    this.#call = call;
    call.carrier = this;
    this.#parser.reset(call.isBodiless);
    this.#isSent = this.#hasWritten = false;
    this.#payloadIndex = 0;
    this.#payloadOffset = 0;
    if (call.upload !== undefined) call.startUpload();
    this.#write();
  }

  /** Of the call's upload: more of it is here. */
  onMore(): void {
    if (!this.#isClosed && this.#call !== null) this.#write();
  }

  /** Closes an idle connection, politely. */
  close(): void {
    if (this.#isClosed) return;
    this.#leave();
    this.#socket?.end();
  }

  /** The wheel's call: the time to connect is over. */
  override run(): void {
    const { name, connectMs } = this.#target;
    const message = `Cannot connect to ${name}: not ready after ${connectMs} ms`;
    this.#fail(new Http1Error("timeout_connect", message));
  }

  #pause(): void {
    if (this.#isPaused || this.#isClosed) return;
    this.#isPaused = true;
    this.#socket!.pause();
  }

  resume(): void {
    if (!this.#isPaused || this.#isClosed) return;
    this.#isPaused = false;
    this.#socket!.resume();
  }

  abandon(): void {
    this.#call = null;
    this.#terminate();
  }

  onHead(head: ResponseHead): void {
    this.#keepsAlive = head.keepsAlive;
    this.#keepAliveMs = head.keepAliveMs;
    const call = this.#call!;
    // A stream may last for minutes: it must not hold the megabytes of its question.
    if (this.#isSent) call.payload = NO_PAYLOAD;
    call.begin(head);
  }

  /** Of the parser. It waits for the end of the read, which tells whether it is the last piece. */
  onBody(bytes: Uint8Array): void {
    this.#piece = bytes;
  }

  /** Of the socket: TCP is connected. */
  onOpen(socket: Bun.Socket<Connection>): void {
    this.#isConnecting = false;
    this.#socket = socket;
    if (this.#isClosed) return void socket.terminate();
    socket.setNoDelay(true);
    if (this.#target.tls === undefined) this.#ready();
  }

  /** Of the socket: TLS is ready, or will never be. */
  onHandshake(isTrusted: boolean, error: Error | null): void {
    if (this.#isClosed) return;
    if (isTrusted) return this.#ready();
    // A reset in the middle of a handshake says nothing about trust: it may be tried again.
    const code = (error as { readonly code?: unknown } | null)?.code;
    const isReset = code === "ECONNRESET" || code === "EPIPE";
    const what = this.#cannot(error?.message ?? "the TLS handshake failed");
    this.#fail(new Http1Error(isReset ? "connect_failed" : "tls_failed", what, error));
  }

  /** Of the socket: there will be none. */
  onConnectError(error: Error): void {
    this.#isConnecting = false;
    this.#adopt();
    this.#fail(new Http1Error("connect_failed", this.#cannot(error.message), error));
  }

  onData(bytes: Buffer): void {
    const call = this.#call;
    if (call === null) return this.#terminate(); // Nobody asked: the next answer would be wrong.
    call.hasBegun = true;
    this.#read(call, bytes);
    call.deliver();
  }

  #read(call: Call, bytes: Buffer): void {
    const wasBlocked = call.body !== null && call.body.isBlocked;
    let fault: Http1Error | undefined;
    try {
      this.#parser.push(bytes);
    } catch (error) {
      fault = asHttp1Error(error);
    }
    const piece = this.#piece;
    this.#piece = null;
    if (this.#parser.isDone && fault === undefined) return this.#complete(call, piece);
    if (piece !== null) call.push(piece);
    if (this.#call !== call) return; // It was given up by its reader.
    if (fault !== undefined) return this.#fail(fault);
    // A body whose reader is not there yet gets one read of grace: most take it in the same turn,
    // and pausing costs two system calls.
    if (wasBlocked && call.body!.isBlocked) this.#pause();
  }

  onDrain(): void {
    if (this.#call !== null && this.#isReady && !this.#isSent) this.#write();
  }

  /** Of the socket: it is gone. `error` is undefined when the other side closed it in peace. */
  onClose(error: Error | undefined): void {
    this.#adopt();
    if (this.#isClosed) return;
    const call = this.#call;
    this.#call = null;
    this.#leave();
    if (call === null) return;
    if (!this.#isReady) {
      const what = this.#cannot(error?.message ?? "the connection was closed at once");
      return call.fail(new Http1Error("connect_failed", what, error));
    }
    if (this.#isUsed && this.#isUnread(call)) {
      call.repeat();
      return this.#owner.onStale(call);
    }
    try {
      this.#parser.finish(error !== undefined);
    } catch (early) {
      return call.fail(asHttp1Error(early));
    }
    call.end(null);
  }

  /**
   * True when the server has not read `call`, as far as that can be told, and it can be sent again.
   * The kernel takes what is written to a connection that the other side has closed already.
   */
  #isUnread(call: Call): boolean {
    if (call.hasBegun || !call.mayRepeat) return false;
    const { resends, wheel } = this.#target;
    if (!resends) return !this.#hasWritten;
    return !this.#isSent || call.isSafe || wheel.nowMs - this.#sentMs <= STALE_MS;
  }

  /** Of the socket: TLS broke, or a handler threw, which is a bug that may not get lost. */
  onError(error: Error): void {
    const isBug = !("code" in error);
    if (isBug && this.#call === null) {
      queueMicrotask(() => {
        throw error;
      });
    }
    const message = `Cannot read the response: ${error.message}`;
    this.#fail(new Http1Error("closed_early", message, error));
  }

  #ready(): void {
    this.#isReady = true;
    this.#target.wheel.cancel(this);
    this.start(this.#call!);
  }

  /** Writes as much of the payload as the socket takes; `onDrain` goes on. */
  #write(): void {
    const call = this.#call!;
    while (this.#writePayload(call.payload)) {
      if (call.isPayloadLast) {
        this.#isSent = true;
        if (this.#isUsed) this.#sentMs = this.#target.wheel.nowMs;
        return call.sent();
      }
      this.#payloadIndex = 0;
      if (!call.continueUpload()) return; // `onMore` goes on.
    }
  }

  /** False: the socket has not taken all of it. */
  #writePayload(payload: readonly Uint8Array[]): boolean {
    while (this.#payloadIndex < payload.length) {
      const piece = payload[this.#payloadIndex]!;
      const left = piece.length - this.#payloadOffset;
      const written = this.#socket!.write(piece, this.#payloadOffset, left);
      if (written < 0) return false; // Closed: `onClose` says so.
      if (written > 0) this.#hasWritten = true;
      this.#payloadOffset += written;
      if (written < left) return false;
      this.#payloadIndex++;
      this.#payloadOffset = 0;
    }
    return true;
  }

  /** The response of `call` is whole. */
  #complete(call: Call, last: Uint8Array | null): void {
    this.#call = null;
    this.#isUsed = true;
    // An answer before the end of its question: the rest must not become the next request.
    if (this.#isSent && this.#keepsAlive && !this.#parser.hasExcess) {
      this.resume();
      call.carrier = null;
      this.#owner.onFree(this);
    } else {
      this.#terminate();
    }
    call.end(last);
  }

  #fail(error: Http1Error): void {
    const call = this.#call;
    this.#call = null;
    this.#terminate();
    call?.fail(error);
  }

  /** Closes at once, with a reset: an upstream that still works on the answer notices it. */
  #terminate(): void {
    if (this.#isClosed) return;
    this.#parser.stop();
    if (this.#socket !== null) {
      this.#leave();
      this.#socket.terminate();
      return;
    }
    // Bun cannot call a connect off: `onOpen` or `onConnectError` will find nobody waiting.
    if (this.#isConnecting) {
      this.#isOrphan = true;
      this.#owner.onOrphan(1);
    }
    this.#leave();
  }

  /** The system has come to an end with a connect that nobody waited for. */
  #adopt(): void {
    if (!this.#isOrphan) return;
    this.#isOrphan = false;
    this.#owner.onOrphan(-1);
  }

  #leave(): void {
    this.#isClosed = true;
    this.#target.wheel.cancel(this);
    this.#owner.onClosed(this);
  }

  #cannot(what: string): string {
    return `Cannot connect to ${this.#target.name}: ${what}`;
  }
}

/** What is thrown while bytes are read is an `Http1Error`; all else is a bug and stays visible. */
function asHttp1Error(error: unknown): Http1Error {
  if (error instanceof Http1Error) return error;
  throw error;
}

const NO_PAYLOAD: readonly Uint8Array[] = [];

const PLAIN: Bun.SocketHandler<Connection> = {
  open: (socket) => socket.data.onOpen(socket),
  data: (socket, bytes) => socket.data.onData(bytes),
  drain: (socket) => socket.data.onDrain(),
  close: (socket, error) => socket.data.onClose(error),
  connectError: (socket, error) => socket.data.onConnectError(error),
  error: (socket, error) => socket.data.onError(error),
};

const SECURE: Bun.SocketHandler<Connection> = {
  ...PLAIN,
  handshake: (socket, isTrusted, error) => socket.data.onHandshake(isTrusted, error),
};
