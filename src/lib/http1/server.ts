/**
 * An HTTP/1.1 server on raw sockets: plain or TLS, on a port or a socket file. It exists for one
 * reason: `Bun.serve` makes a `Request`, a promise of a body, `Headers` and a `Response` for each
 * answer, which together cost more than the answer (docs/facts/runtime.md "Bun.listen").
 *
 * HTTP/1.1 and 1.0, pipelining, `Expect: 100-continue`; no upgrades, no compression, no HTTP/2.
 *
 * @module
 */

import { WaitingLine } from "../waiting_line.ts";
import { WallSecond } from "../wall_second.ts";
import type { Wheel } from "../wheel.ts";
import { RequestHeadReader } from "./request_head.ts";
import {
  type ConnectionHost,
  type ConnectionLines,
  type Http1Handler,
  ServerConnection,
  type ServerSocket,
} from "./server_connection.ts";
import { Unread } from "./unread.ts";

/** Where a server listens. */
export type ServerPlace =
  | {
    readonly hostname: string;
    /** 0 = any free one. */
    readonly port: number;
    /** True when others listen on the same port. */
    readonly isShared: boolean;
  }
  /** The path of a socket file that does not exist. */
  | { readonly unix: string };

/** PEM texts. */
export interface ServerTls {
  readonly cert: string;
  readonly key: string;
}

/** A server's settings. */
export interface Http1ServerOptions {
  readonly place: ServerPlace;
  /** Undefined = plain HTTP. */
  readonly tls: ServerTls | undefined;
  readonly handler: Http1Handler;
  readonly wheel: Wheel;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Bytes of a head. Default 65 536. */
  readonly headBytesMax?: number;
  /** Bytes of a target: path and query. */
  readonly targetBytesMax: number;
  /** Milliseconds for a head, the TLS handshake with the first of them; up to a quarter more. */
  readonly headTimeoutMs: number;
  /** Milliseconds between two requests. */
  readonly idleTimeoutMs: number;
  /** Milliseconds that a client may take nothing of an answer that is whole. */
  readonly writeTimeoutMs: number;
  /** What clients leave unread, of this server and of others. Default: no limit. */
  readonly unread?: Unread;
  /** Connections at once: more are closed at once. Default: no limit. */
  readonly connectionsMax?: number;
  /** Told of what a handler throws, which is a bug. */
  readonly onBug: (error: Error) => void;
}

/** Milliseconds in which a client may send on behind its last answer, to throw it away. */
const LINGER_MS = 10_000;
/**
 * Milliseconds that a silent connection of a server that ends has for a request on its way, and a
 * connection that has had its end for what its client still sends.
 */
const STOP_GRACE_MS = 250;
/** So many times as long for a first request, behind a TLS handshake of two ways there and back. */
const FIRST_SWEEPS = 4;

/** A server that listens. */
export class Http1Server implements ConnectionHost {
  /** Who answers requests from now on. */
  handler: Http1Handler;
  readonly lines: ConnectionLines;
  readonly headBytesMax: number;
  readonly reader: RequestHeadReader;
  readonly unread: Unread;
  /** True: each connection ends behind its next answer. */
  isClosing = false;
  requestsOpen = 0;
  /** Connections that were closed at once, as there were as many as may be. */
  refused = 0;
  /** Connections that were taken. */
  accepted = 0;
  readonly #options: Http1ServerOptions;
  readonly #second: WallSecond;
  readonly #connections = new Set<ServerConnection>();
  readonly #listener: { readonly stop: (isForced?: boolean) => void };
  readonly #port: number;
  #isListening = true;
  #stopped: PromiseWithResolvers<void> | undefined = undefined;

  /** Listens. @throws {Error} the system's, with its `code`, when that cannot be. */
  constructor(options: Http1ServerOptions) {
    this.#options = options;
    this.handler = options.handler;
    this.#second = new WallSecond(options.wheel, options.wallMs);
    this.headBytesMax = options.headBytesMax ?? 65_536;
    this.unread = options.unread ?? new Unread(Infinity);
    const { wheel, headTimeoutMs, idleTimeoutMs, writeTimeoutMs, targetBytesMax, place, tls } =
      options;
    this.reader = new RequestHeadReader({ headBytesMax: this.headBytesMax, targetBytesMax });
    this.lines = {
      head: new WaitingLine(wheel, headTimeoutMs),
      idle: new WaitingLine(wheel, idleTimeoutMs),
      closing: new WaitingLine(wheel, STOP_GRACE_MS),
      write: new WaitingLine(wheel, writeTimeoutMs),
      linger: new WaitingLine(wheel, LINGER_MS),
    };
    const common = {
      socket: tls === undefined ? this.#handlers() : this.#secureHandlers(),
      allowHalfOpen: true,
      ...(tls === undefined ? {} : { tls: { cert: tls.cert, key: tls.key } }),
    };
    if ("unix" in place) {
      this.#listener = Bun.listen<ServerConnection>({ ...common, unix: place.unix });
      this.#port = 0;
    } else {
      const { hostname, port, isShared } = place;
      const options = { ...common, hostname, port, reusePort: isShared, exclusive: !isShared };
      const listener = Bun.listen<ServerConnection>(options);
      this.#listener = listener;
      this.#port = listener.port;
    }
  }

  /** 0 = a socket file. */
  get port(): number {
    return this.#port;
  }

  get isListening(): boolean {
    return this.#isListening;
  }

  /** Connections now. */
  get connections(): number {
    return this.#connections.size;
  }

  get second(): number {
    return this.#second.now;
  }

  onClosed(connection: ServerConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0 && !this.#isListening) this.#stopped?.resolve();
  }

  /** Nobody can connect any more; who waits in the queue is reset. Connections go on. */
  stopListening(): void {
    if (!this.#isListening) return;
    this.#isListening = false;
    this.#listener.stop();
  }

  /**
   * Stops accepting; each connection ends behind its next answer, and a silent one after a moment.
   * Resolves when all are closed. `isForced`: ends them at once. Who waits in the queue of connections
   * would be reset when listening ends: it ends when `arrived` settles, and not before the next turn of
   * the loop.
   */
  async stop(isForced = false, arrived?: Promise<void>): Promise<void> {
    this.isClosing = true;
    if (this.#stopped === undefined) {
      this.#stopped = Promise.withResolvers<void>();
      const close = () => {
        this.stopListening();
        // From here on, so that who was accepted last has as long as the others.
        let sweeps = 0;
        const sweeping = setInterval(() => this.#sweep(++sweeps), STOP_GRACE_MS);
        void this.#stopped!.promise.then(() => clearInterval(sweeping));
        if (this.#connections.size === 0) this.#stopped!.resolve();
      };
      void Promise.resolve(arrived).then(() => setImmediate(close));
    }
    if (isForced) {
      this.stopListening();
      for (const connection of this.#connections) connection.terminate();
      if (this.#connections.size === 0) this.#stopped.resolve();
    }
    await this.#stopped.promise;
  }

  /** Of a server that ends: closes what is silent, and, when it is all there is, what waits for its client. */
  #sweep(count: number): void {
    const isAnswering = this.requestsOpen > 0;
    for (const connection of this.#connections) {
      connection.closeIdle(count >= FIRST_SWEEPS);
      if (!isAnswering) connection.closeUnasked();
    }
  }

  #open(socket: ServerSocket): void {
    const { connectionsMax = Infinity } = this.#options;
    if (this.#connections.size >= connectionsMax) {
      this.refused++;
      return void socket.end();
    }
    this.accepted++;
    const connection = new ServerConnection(this, socket);
    socket.data = connection;
    this.#connections.add(connection);
  }

  #handlers(): Bun.SocketHandler<ServerConnection> {
    return {
      open: (socket) => this.#open(socket),
      data: (socket, bytes) => socket.data?.onData(bytes),
      drain: (socket) => socket.data?.onDrain(),
      end: (socket) => socket.data?.onFin(),
      close: (socket) => socket.data?.onClose(),
      error: (socket, error) => {
        // TLS that breaks has a code; anything else was thrown by a handler.
        if (!("code" in error)) this.#options.onBug(error);
        socket.terminate();
      },
    };
  }

  /** With a handler for the handshake `open` comes when TCP is connected: the limit runs from there. */
  #secureHandlers(): Bun.SocketHandler<ServerConnection> {
    return {
      ...this.#handlers(),
      handshake: (socket, isDone) => {
        if (!isDone) socket.terminate();
      },
    };
  }
}
