/**
 * The smallest HTTP proxy: requests in absolute form (RFC 9112 section 3.2.2) and `CONNECT`
 * tunnels, and a list of what it was asked.
 *
 * @module
 */

/** A running proxy. */
export interface ForwardProxy {
  readonly url: string;
  /** "POST http://…" or "CONNECT host:port", one per connection. */
  readonly asked: readonly string[];
  readonly close: () => void;
}

interface Side {
  /** The other socket, once there is one. */
  other: Bun.Socket<Side> | undefined;
  /** What waits for it, or for room in this one. */
  unsent: Uint8Array;
  /** What came before there was another side. */
  early: Uint8Array;
}

/** Starts a proxy on a free port. */
export function forwardProxy(): ForwardProxy {
  const asked: string[] = [];

  function flush(socket: Bun.Socket<Side>, bytes: Uint8Array): void {
    const all = Buffer.concat([socket.data.unsent, bytes]);
    socket.data.unsent = all.subarray(Math.max(0, socket.write(all)));
  }

  const handlers = {
    data(socket: Bun.Socket<Side>, bytes: Uint8Array) {
      if (socket.data.other !== undefined) flush(socket.data.other, bytes);
    },
    drain: (socket: Bun.Socket<Side>) => flush(socket, Buffer.alloc(0)),
    close: (socket: Bun.Socket<Side>) => void socket.data.other?.end(),
    error() {}, // `close` follows
  };

  async function begin(client: Bun.Socket<Side>): Promise<void> {
    const first = Buffer.from(client.data.early).toString("latin1");
    const [method = "", target = ""] = first.split(" ");
    asked.push(`${method} ${target}`);
    const url = new URL(method === "CONNECT" ? `http://${target}` : target);
    const upstream = await Bun.connect<Side>({
      hostname: url.hostname,
      port: Number(url.port),
      socket: handlers,
      data: { other: client, unsent: Buffer.alloc(0), early: Buffer.alloc(0) },
    });
    client.data.other = upstream;
    const early = Buffer.from(client.data.early).toString("latin1");
    if (method === "CONNECT") flush(client, Buffer.from("HTTP/1.1 200 OK\r\n\r\n"));
    else flush(upstream, Buffer.from(early.replace(url.origin, ""), "latin1"));
  }

  const server = Bun.listen<Side>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      ...handlers,
      open(socket) {
        socket.data = { other: undefined, unsent: Buffer.alloc(0), early: Buffer.alloc(0) };
      },
      data(socket, bytes) {
        if (socket.data.other !== undefined) return handlers.data(socket, bytes);
        const isFirst = socket.data.early.length === 0;
        socket.data.early = Buffer.concat([socket.data.early, bytes]);
        if (isFirst) void begin(socket);
      },
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    asked,
    close: () => server.stop(true),
  };
}
