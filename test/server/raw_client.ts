/**
 * A client on a raw socket: it sees every byte, knows how the connection ended, and can refuse to
 * read.
 *
 * @module
 */

import { waitFor } from "./launch.ts";

/** Where a server listens: a port of 127.0.0.1, the same with TLS, or a socket file. */
export type Target =
  | number
  | { readonly tlsPort: number }
  | { readonly unix: string };

/** One connection to weir. */
export interface RawClient {
  readonly send: (bytes: string | Uint8Array) => void;
  /** Bytes that the system has not taken yet. */
  readonly unsentBytes: () => number;
  /** Says that no more will be sent (FIN), and goes on reading. */
  readonly finish: () => void;
  /** Every byte so far. */
  readonly received: () => Buffer;
  /** Every byte so far, one character each. */
  readonly text: () => string;
  /** Waits until `part` has come, and gives everything so far. */
  readonly until: (part: string) => Promise<string>;
  /** Settles when the head of an answer has come, or the connection is closed. */
  readonly answered: Promise<void>;
  /** Settles when the connection is closed, with everything that came. */
  readonly closed: Promise<Buffer>;
  /** Leaves at once. */
  readonly leave: () => void;
  readonly pause: () => void;
  readonly resume: () => void;
}

/** Connects to `target`, whose certificate nobody checks, and sends `request`. */
export async function connect(
  target: Target,
  request: string | Uint8Array,
  isReading = true,
): Promise<RawClient> {
  const pieces: Buffer[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<Buffer>();
  const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
  let hasHead = false;
  const received = () => {
    if (pieces.length > 1) pieces.splice(0, pieces.length, Buffer.concat(pieces));
    return pieces[0] ?? Buffer.alloc(0);
  };
  let unsent: Uint8Array = Buffer.alloc(0);
  let isFinishing = false;
  const flush = (socket: Bun.Socket<undefined>) => {
    if (unsent.length > 0) unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
    if (!isFinishing || unsent.length > 0) return;
    isFinishing = false;
    socket.shutdown();
  };
  const handlers: Bun.SocketHandler<undefined> = {
    open(opened) {
      if (!isReading) opened.pause();
    },
    data(_socket, bytes) {
      pieces.push(Buffer.from(bytes));
      hasHead ||= received().includes("\r\n\r\n");
      if (hasHead) answer();
    },
    drain: flush,
    close() {
      answer();
      resolve(received());
    },
    error() {}, // a reset is one of the ends that tests look at; `close` follows
  };
  const socket = await dial(target, handlers);
  const text = () => received().toString("latin1");
  const send = (bytes: string | Uint8Array) => {
    unsent = Buffer.concat([unsent, Buffer.from(bytes)]);
    flush(socket);
  };
  send(request);
  return {
    send,
    unsentBytes: () => unsent.length,
    finish() {
      isFinishing = true;
      flush(socket);
    },
    received,
    text,
    async until(part) {
      const bytes = Buffer.from(part).toString("latin1");
      await waitFor(() => text().includes(bytes), `${part} in ${text().slice(-2000)}`);
      return text();
    },
    answered,
    closed,
    leave: () => void socket.terminate(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}

function dial(
  target: Target,
  socket: Bun.SocketHandler<undefined>,
): Promise<Bun.Socket<undefined>> {
  const hostname = "127.0.0.1";
  if (typeof target === "number") return Bun.connect({ hostname, port: target, socket });
  if ("unix" in target) return Bun.connect({ unix: target.unix, socket });
  return Bun.connect({
    hostname,
    port: target.tlsPort,
    tls: { rejectUnauthorized: false },
    socket,
  });
}

/** A response as it came over the wire. */
export interface RawResponse {
  readonly status: number;
  /** The status line and the fields, in lower case. */
  readonly head: string;
  readonly body: Buffer;
  /** HTTP chunks of a chunked body. */
  readonly chunks: readonly Buffer[];
  /** False when the body broke off: no last chunk, or fewer bytes than its length says. */
  readonly isWhole: boolean;
}

/** Takes the first response in `bytes` apart. */
export function parseRaw(bytes: Uint8Array): RawResponse {
  const all = Buffer.from(bytes);
  const headEnd = all.indexOf("\r\n\r\n");
  const head = all.toString("latin1", 0, headEnd).toLowerCase();
  const status = Number(head.slice(9, 12));
  const rest = all.subarray(headEnd + 4);
  if (!/\r\ntransfer-encoding: chunked/.test(head)) {
    const length = Number(/\r\ncontent-length: (\d+)/.exec(head)?.[1] ?? 0);
    const body = rest.subarray(0, length);
    return { status, head, body, chunks: [], isWhole: body.length === length };
  }
  const chunks: Buffer[] = [];
  for (let at = 0;;) {
    const sizeEnd = rest.indexOf("\r\n", at);
    const size = sizeEnd < 0 ? NaN : parseInt(rest.toString("latin1", at, sizeEnd), 16);
    const end = sizeEnd + 2 + size;
    const isHere = !Number.isNaN(size) && rest.length >= end + 2;
    if (!isHere || size === 0) {
      return { status, head, body: Buffer.concat(chunks), chunks, isWhole: isHere && size === 0 };
    }
    chunks.push(rest.subarray(sizeEnd + 2, end));
    at = end + 2;
  }
}

/** A raw POST of `body` as it is, on a connection that stays open. */
export function rawChat(body: string | Uint8Array, fields: readonly string[] = []): Buffer {
  const bytes = Buffer.from(body);
  const head = [
    "POST /v1/chat/completions HTTP/1.1",
    "Host: weir",
    "Content-Type: application/json",
    `Content-Length: ${bytes.length}`,
    ...fields,
    "",
    "",
  ].join("\r\n");
  return Buffer.concat([Buffer.from(head, "latin1"), bytes]);
}

/** One exchange on a connection of its own. */
export async function exchange(
  target: Target,
  request: string | Uint8Array,
): Promise<RawResponse> {
  const client = await connect(target, request);
  return parseRaw(await client.closed);
}
