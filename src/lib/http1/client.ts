/**
 * A client for one HTTP/1.1 origin on raw sockets, with a pool of kept connections. It exists for
 * one reason: between raw sockets it reaches some 0.9 of nginx, and `fetch` half of it, since `fetch`
 * hands every chunk from a network thread to ours. No redirects, no decompression, no cookies, no
 * proxies, no cap but its own: the bytes are the upstream's.
 *
 * @module
 */

import {
  abortedError,
  Call,
  type CallOwner,
  type Http1Receiver,
  type Http1Request,
  type Http1Response,
} from "./call.ts";
import { Connection, type ConnectionOwner, type Target } from "./connection.ts";
import { Http1Error } from "./error.ts";
import { HEAD_BYTES_MAX } from "./parser.ts";
import { Ticket, type Wheel } from "../wheel.ts";

/** A client's settings. */
export interface Http1ClientOptions {
  /** "https://api.example:8443"; what follows the port is ignored. */
  readonly origin: string;
  /** Waits for nothing by itself: time limits are tickets here. */
  readonly wheel: Wheel;
  /** PEM text of the authorities to trust instead of the system's. */
  readonly ca?: string | undefined;
  /** Connections, busy and idle ones together. Default 4 096. */
  readonly connectionsMax?: number;
  /** Idle connections. Default 256. */
  readonly idleMax?: number;
  /**
   * Milliseconds an idle connection is kept; less where the server says so. Default 4 000, below
   * the 5 s of Node's servers.
   */
  readonly idleMs?: number;
  /** Requests that wait for a connection. Default 1 024. */
  readonly waitingMax?: number;
  /** Milliseconds until a connection must be ready, TLS included. Default 10 000. */
  readonly connectMs?: number;
  /** Bytes of a response's head. Default 65 536. */
  readonly headBytesMax?: number;
  /**
   * auto: a request whose kept connection turns out to be stale is sent again. never: only when the
   * system took no byte of it, so that no server sees it twice. Default auto.
   */
  readonly resend?: "auto" | "never";
  /** What to tell a receiver instead of an error before its response. Default: the error. */
  readonly explain?: (error: Http1Error) => unknown;
}

/** A server closes an idle connection at its own time: stay this many milliseconds ahead of it. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

/** ALPN's wire form of "http/1.1": one byte of length, then the name. */
const ALPN = "\x08http/1.1";

/** Sends requests to one origin. Made once per upstream; `close` it at the end. */
export class Http1Client {
  readonly #target: Target;
  readonly #connectionsMax: number;
  readonly #idleMax: number;
  readonly #idleMs: number;
  readonly #waitingMax: number;
  readonly #connections = new Set<Connection>();
  /** The one used last is used next, so that the others grow old and go. */
  readonly #idle: Connection[] = [];
  readonly #waiting = new Set<Call>();
  readonly #sweep: Sweep;
  #orphans = 0;
  #isClosed = false;
  readonly #owner: ConnectionOwner = {
    onFree: (connection) => this.#onFree(connection),
    onClosed: (connection) => this.#onClosed(connection),
    onStale: (call) => this.#connect(call),
    onOrphan: (change) => {
      this.#orphans += change;
    },
  };
  readonly #callOwner: CallOwner;

  /** @throws {TypeError} when the origin is not an http or https URL. */
  constructor(options: Http1ClientOptions) {
    const url = new URL(options.origin);
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      throw new TypeError(`Cannot connect to ${url.protocol}//: only http and https are known`);
    }
    const isSecure = url.protocol === "https:";
    const port = url.port === "" ? (isSecure ? 443 : 80) : Number(url.port);
    this.#callOwner = {
      host: url.host,
      onWaitAborted: (call) => void this.#waiting.delete(call),
      explain: options.explain ?? ((error) => error),
    };
    this.#target = {
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port,
      name: `${url.hostname}:${port}`,
      tls: isSecure ? tlsOptions(options.ca) : undefined,
      wheel: options.wheel,
      connectMs: options.connectMs ?? 10_000,
      headBytesMax: options.headBytesMax ?? HEAD_BYTES_MAX,
      resends: options.resend !== "never",
    };
    this.#connectionsMax = options.connectionsMax ?? 4_096;
    this.#idleMax = options.idleMax ?? 256;
    this.#idleMs = options.idleMs ?? 4_000;
    this.#waitingMax = options.waitingMax ?? 1_024;
    this.#sweep = new Sweep(() => this.#closeOld());
  }

  /** Connections: being made, busy, idle. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Connections that wait for a request. */
  get idle(): number {
    return this.#idle.length;
  }

  /** Requests that wait for a connection. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Sockets that nobody wants any more while the system still tries to connect them. */
  get orphans(): number {
    return this.#orphans;
  }

  /**
   * Sends a request; settles with the head. A kept connection that closes without a byte of answer
   * at the write, or at most `STALE_MS` behind it, was stale: the request is then sent once more, on
   * a new one, and never otherwise. GET and HEAD, which do nothing, may take longer to fail.
   *
   * @throws {Http1Error} when there is no response (the promise rejects).
   * @throws {TypeError} when the request cannot be sent as it is (the promise rejects).
   */
  request(request: Http1Request): Promise<Http1Response> {
    return new Promise((resolve, reject) => {
      this.send(request, { onResponse: resolve, onError: reject });
    });
  }

  /** As `request`, without a promise. May call back at once. */
  send(request: Http1Request, receiver: Http1Receiver): void {
    const { explain } = this.#callOwner;
    if (request.signal?.aborted) return receiver.onError(explain(abortedError(request.signal)));
    if (this.#isClosed) return receiver.onError(explain(closedError()));
    let call: Call;
    try {
      call = new Call(request, receiver, this.#callOwner);
    } catch (error) {
      return receiver.onError(error);
    }
    // A kept connection may turn out to be stale when more of an upload has gone than is still here.
    const isFull = this.#connections.size >= this.#connectionsMax;
    const idle = call.upload === undefined || isFull ? this.#idle.pop() : undefined;
    if (idle !== undefined) idle.start(call);
    else this.#connect(call);
  }

  /**
   * Takes no further requests and fails those that wait. Idle connections close now, busy ones when
   * their response is whole.
   */
  close(): void {
    this.#isClosed = true;
    this.#target.wheel.cancel(this.#sweep);
    for (const connection of this.#idle.splice(0)) connection.close();
    for (const call of [...this.#waiting]) {
      this.#waiting.delete(call);
      call.fail(closedError());
    }
  }

  /** Opens a connection for `call`, or lets it wait for one. */
  #connect(call: Call): void {
    const { name } = this.#target;
    if (this.#connections.size < this.#connectionsMax) {
      if (this.#orphans >= this.#connectionsMax) {
        const message = `Cannot connect to ${name}: ${this.#orphans} earlier attempts still hang`;
        return call.fail(new Http1Error("connect_failed", message));
      }
      const connection = new Connection(this.#target, this.#owner, call);
      this.#connections.add(connection);
      connection.open();
    } else if (this.#waiting.size < this.#waitingMax) {
      this.#waiting.add(call);
    } else {
      const message =
        `Cannot connect to ${name}: ${this.#connectionsMax} connections are busy and ${this.#waitingMax} requests wait`;
      call.fail(new Http1Error("pool_full", message));
    }
  }

  #takeWaiting(): Call | undefined {
    for (const call of this.#waiting) {
      this.#waiting.delete(call);
      return call;
    }
    return undefined;
  }

  #onFree(connection: Connection): void {
    const [next] = this.#waiting;
    // A call that met a stale connection gets no kept one again: what closes makes room for a new one.
    if (next?.isRepeated) return connection.close();
    const call = this.#takeWaiting();
    if (call !== undefined) return connection.start(call);
    const { wheel } = this.#target;
    const keptMs = Math.min(this.#idleMs, connection.keepAliveMs - KEEP_ALIVE_MARGIN_MS);
    if (this.#isClosed || this.#idle.length >= this.#idleMax || keptMs <= 0) {
      return connection.close();
    }
    connection.idleUntilMs = wheel.nowMs + keptMs;
    this.#idle.push(connection);
    // Not moved by later uses: it looks again when it runs, so that a request costs no timer.
    if (this.#sweep.dueTick < 0) wheel.set(this.#sweep, connection.idleUntilMs);
  }

  #onClosed(connection: Connection): void {
    this.#connections.delete(connection);
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    const call = this.#takeWaiting();
    if (call !== undefined) this.#connect(call);
  }

  #closeOld(): void {
    const { wheel } = this.#target;
    const { nowMs } = wheel;
    let nextMs = Infinity;
    for (const connection of [...this.#idle]) {
      if (connection.idleUntilMs <= nowMs) connection.close();
      else nextMs = Math.min(nextMs, connection.idleUntilMs);
    }
    if (nextMs < Infinity) wheel.set(this.#sweep, nextMs);
  }
}

/** Looks for idle connections that are too old. */
class Sweep extends Ticket {
  readonly #run: () => void;

  constructor(run: () => void) {
    super();
    this.#run = run;
  }

  override run(): void {
    this.#run();
  }
}

/** The name to ask for (SNI) and to check is the host of the connection, which Bun takes by itself. */
function tlsOptions(ca: string | undefined): Bun.TLSOptions {
  const options = { rejectUnauthorized: true, ALPNProtocols: ALPN };
  return ca === undefined ? options : { ...options, ca };
}

function closedError(): Http1Error {
  return new Http1Error("client_closed", "Cannot send the request: the client is closed");
}
