/**
 * An upstream that shows each request while it comes, and does nothing but what the test says: it
 * reads, stops reading, answers and closes when it is told to.
 *
 * @module
 */

import { waitFor } from "./launch.ts";

/** One connection to the upstream, and what has come on it. */
export class UploadPeer {
  readonly #socket: Bun.Socket<UploadPeer>;
  #pieces: Buffer[] = [];
  /** Bytes that have come, the head with them. */
  bytes = 0;
  /** The head, in lower case; "" until it is whole. */
  head = "";
  isClosed = false;

  constructor(socket: Bun.Socket<UploadPeer>) {
    this.#socket = socket;
  }

  take(bytes: Buffer): void {
    this.#pieces.push(Buffer.from(bytes));
    this.bytes += bytes.length;
    if (this.head !== "") return;
    const end = this.received.indexOf("\r\n\r\n");
    if (end > 0) this.head = this.received.toString("latin1", 0, end).toLowerCase();
  }

  /** Everything so far. */
  get received(): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0] ?? Buffer.alloc(0);
  }

  /** What has come behind the head, as it is framed. */
  get body(): Buffer {
    return this.received.subarray(this.head.length + 4);
  }

  /** Waits until `bytes` of the body have come, or more. */
  async untilBody(bytes: number): Promise<void> {
    await waitFor(
      () => this.head !== "" && this.bytes - this.head.length - 4 >= bytes,
      `${bytes} bytes of a body`,
    );
  }

  async untilClosed(): Promise<void> {
    await waitFor(() => this.isClosed, "the connection to the upstream to close");
  }

  /** Small answers only: nothing waits for the socket. */
  send(bytes: string | Uint8Array): void {
    this.#socket.write(bytes);
  }

  resume(): void {
    this.#socket.resume();
  }

  reset(): void {
    this.#socket.terminate();
  }
}

/** A running upstream. */
export interface UploadUpstream {
  readonly url: string;
  /** In the order in which they came. */
  readonly peers: readonly UploadPeer[];
  /** The connection of that number, once it is here. */
  readonly peer: (index: number) => Promise<UploadPeer>;
  readonly close: () => void;
}

/** Starts one on a free port. `isReading` false: each connection reads nothing until `resume`. */
export function uploadUpstream(isReading = true): UploadUpstream {
  const peers: UploadPeer[] = [];
  const server = Bun.listen<UploadPeer>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = new UploadPeer(socket);
        peers.push(socket.data);
        if (!isReading) socket.pause();
      },
      data: (socket, bytes) => socket.data.take(bytes),
      close(socket) {
        socket.data.isClosed = true;
      },
      error() {}, // a reset is what tests wait for; `close` follows
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    peers,
    peer: (index) => waitFor(() => peers[index], `connection ${index} to the upstream`),
    close: () => void server.stop(true),
  };
}

/** A chunked body without its frames. Throws when it is not whole, or has more than weir may send. */
export function unchunked(body: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0;;) {
    const lineEnd = body.indexOf("\r\n", at);
    const line = body.toString("latin1", at, lineEnd);
    if (lineEnd < 0 || !/^[0-9a-f]+$/.test(line)) throw new Error(`No chunk at ${at}: ${line}`);
    const from = lineEnd + 2;
    const to = from + parseInt(line, 16);
    if (body.toString("latin1", to, to + 2) !== "\r\n") throw new Error(`No end at ${to}`);
    at = to + 2;
    if (to > from) {
      chunks.push(body.subarray(from, to));
      continue;
    }
    if (at !== body.length) throw new Error(`Something follows: ${body.subarray(at, at + 99)}`);
    return Buffer.concat(chunks);
  }
}
