/**
 * An upstream on raw sockets that plays a script: every byte, every silence and every way to break
 * off is the test's. Nothing here sleeps: a `wait` lasts until the test opens its gate.
 *
 * @module
 */

import { waitFor } from "./launch.ts";

/** One thing that the upstream does. */
export type Act =
  /** Sends these bytes; a string as UTF-8. One act is one write, but TCP may cut it. */
  | { readonly kind: "send"; readonly bytes: string | Uint8Array }
  /** Does nothing until the promise settles. */
  | { readonly kind: "wait"; readonly gate: Promise<unknown> }
  /** Closes in peace (FIN); what follows is not played. */
  | { readonly kind: "end" }
  /** Breaks off (RST). */
  | { readonly kind: "reset" }
  /** Says nothing more, and keeps the connection open until the client closes it. */
  | { readonly kind: "stall" };

/** Makes acts. */
export const act = {
  send: (bytes: string | Uint8Array): Act => ({ kind: "send", bytes }),
  wait: (gate: Promise<unknown>): Act => ({ kind: "wait", gate }),
  end: { kind: "end" } as Act,
  reset: { kind: "reset" } as Act,
  stall: { kind: "stall" } as Act,
} as const;

/** A request as it came. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Everything before the body, as it came. */
  readonly head: string;
  readonly body: Buffer;
  /** Counts the connections, from 0. */
  readonly connection: number;
  /** Counts the requests of all connections, from 0. */
  readonly index: number;
}

/** What is played for a request. Behind its last act the next request may come. */
export type Script = (request: SeenRequest) => readonly Act[];

/** A running upstream. */
export interface ScriptedUpstream {
  readonly port: number;
  /** "http://127.0.0.1:PORT", or "https://localhost:PORT". */
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  /** Connections that were ever opened. */
  readonly opened: number;
  /** Connections that are open now. */
  readonly open: number;
  /** Connections that the client closed while a script was not at its end. */
  readonly aborted: number;
  /** Requests whose script is not at its end. */
  readonly playing: number;
  /** Bytes that the system took from us. */
  readonly sentBytes: number;
  readonly close: () => void;
}

/** Further settings. */
export interface ScriptedUpstreamOptions {
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly hostname?: string;
  /** 0 or absent: any free one. */
  readonly port?: number;
  /** Played when a connection opens, before any request. */
  readonly onOpen?: readonly Act[];
  /** Reads nothing of a request before this settles. */
  readonly readsAfter?: Promise<unknown>;
}

interface Peer {
  readonly connection: number;
  received: Buffer;
  /** A script is running. */
  isPlaying: boolean;
  isClosed: boolean;
  /** Settles when the socket takes bytes again, or is gone. */
  drained: PromiseWithResolvers<void>;
}

/** A whole response: status line and fields as given, `content-length` added. */
export function response(
  body: string | Uint8Array,
  fields: Readonly<Record<string, string>> = {},
  status = "200 OK",
): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([
    Buffer.from(headText(status, { ...fields, "content-length": String(bytes.length) })),
    bytes,
  ]);
}

/** The head of a chunked SSE response. */
export function sseHead(fields: Readonly<Record<string, string>> = {}): string {
  return headText("200 OK", {
    "content-type": "text/event-stream; charset=utf-8",
    "transfer-encoding": "chunked",
    ...fields,
  });
}

/** Any head. */
export function headText(status: string, fields: Readonly<Record<string, string>>): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status}\r\n${lines.join("")}\r\n`;
}

/** `bytes` as one HTTP chunk. */
export function chunk(bytes: string | Uint8Array): Buffer {
  const data = Buffer.from(bytes);
  return Buffer.concat([
    Buffer.from(`${data.length.toString(16)}\r\n`),
    data,
    Buffer.from("\r\n"),
  ]);
}

/** What ends a chunked body. */
export const LAST_CHUNK = "0\r\n\r\n";

/** Starts an upstream on a free port. */
export function scriptedUpstream(
  script: Script,
  options: ScriptedUpstreamOptions = {},
): ScriptedUpstream {
  const requests: SeenRequest[] = [];
  const sockets = new Set<Bun.Socket<Peer>>();
  let opened = 0;
  let aborted = 0;
  let sentBytes = 0;

  async function send(socket: Bun.Socket<Peer>, bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length && !socket.data.isClosed;) {
      const written = socket.write(bytes, offset, bytes.length - offset);
      if (written < 0) return;
      offset += written;
      sentBytes += written;
      if (offset === bytes.length) return;
      socket.data.drained = Promise.withResolvers();
      await socket.data.drained.promise;
    }
  }

  async function play(socket: Bun.Socket<Peer>, acts: readonly Act[]): Promise<void> {
    const peer = socket.data;
    peer.isPlaying = true;
    for (const next of acts) {
      if (peer.isClosed) return;
      if (next.kind === "send") await send(socket, Buffer.from(next.bytes));
      else if (next.kind === "wait") await next.gate;
      else if (next.kind === "stall") return;
      else {
        peer.isPlaying = false;
        if (next.kind === "end") socket.end();
        else socket.terminate();
        return;
      }
    }
    peer.isPlaying = false;
    serve(socket);
  }

  /** Plays the script of the next request, once all of it is here. */
  function serve(socket: Bun.Socket<Peer>): void {
    const peer = socket.data;
    if (peer.isPlaying || peer.isClosed) return;
    const headEnd = peer.received.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    const head = peer.received.toString("latin1", 0, headEnd);
    const [requestLine = "", ...lines] = head.split("\r\n");
    const [method = "", path = ""] = requestLine.split(" ");
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    const bodyEnd = headEnd + 4 + Number(headers["content-length"] ?? 0);
    if (peer.received.length < bodyEnd) return;
    const body = Buffer.from(peer.received.subarray(headEnd + 4, bodyEnd));
    peer.received = Buffer.from(peer.received.subarray(bodyEnd));
    const { connection } = peer;
    const request = { method, path, headers, head, body, connection, index: requests.length };
    requests.push(request);
    void play(socket, script(request));
  }

  const server = Bun.listen<Peer>({
    hostname: options.hostname ?? "127.0.0.1",
    port: options.port ?? 0,
    ...(options.tls === undefined ? {} : { tls: options.tls }),
    socket: {
      open(socket) {
        socket.data = {
          connection: opened++,
          received: Buffer.alloc(0),
          isPlaying: false,
          isClosed: false,
          drained: Promise.withResolvers(),
        };
        sockets.add(socket);
        if (options.onOpen !== undefined) void play(socket, options.onOpen);
        if (options.readsAfter !== undefined) {
          socket.pause();
          void options.readsAfter.then(() => socket.resume());
        }
      },
      data(socket, bytes) {
        socket.data.received = Buffer.concat([socket.data.received, bytes]);
        serve(socket);
      },
      drain(socket) {
        socket.data.drained.resolve();
      },
      close(socket) {
        socket.data.isClosed = true;
        if (socket.data.isPlaying) aborted++;
        sockets.delete(socket);
        socket.data.drained.resolve();
      },
      error() {}, // a broken connection is what the test wants; `close` follows
    },
  });
  const host = options.tls === undefined ? "http://127.0.0.1" : "https://localhost";
  return {
    port: server.port,
    url: `${host}:${server.port}`,
    requests,
    get opened() {
      return opened;
    },
    get open() {
      return sockets.size;
    },
    get aborted() {
      return aborted;
    },
    get playing() {
      return [...sockets].filter(({ data }) => data.isPlaying).length;
    },
    get sentBytes() {
      return sentBytes;
    },
    close() {
      server.stop(true);
    },
  };
}

/** Waits until no connection to `upstream` is open. */
export async function untilClosed(upstream: ScriptedUpstream): Promise<void> {
  await waitFor(() => upstream.open === 0, "every connection to the upstream to close");
}
