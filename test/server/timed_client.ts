/**
 * A client on a raw socket that notes when each byte of an answer came.
 *
 * @module
 */

import { parseRaw, type RawResponse } from "./raw_client.ts";

/** An HTTP chunk of an answer, or all of a body that has none. */
export interface TimedPiece {
  readonly bytes: Buffer;
  /** When its last byte came: milliseconds since the request had been written. */
  readonly ms: number;
}

/** An answer, and when it came. */
export interface TimedResponse extends RawResponse {
  readonly pieces: readonly TimedPiece[];
  readonly endMs: number;
}

/** Sends `request`, which asks the server to close, and reads until it has. */
export async function timedExchange(
  port: number,
  request: string | Uint8Array,
): Promise<TimedResponse> {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const parts: Buffer[] = [];
  /** How many bytes there were at which time. */
  const arrivals: { readonly bytes: number; readonly ms: number }[] = [];
  let bytes = 0;
  let sentMs = 0;
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.write(request);
        sentMs = performance.now();
      },
      data(_socket, data) {
        parts.push(Buffer.from(data));
        bytes += data.length;
        arrivals.push({ bytes, ms: performance.now() - sentMs });
      },
      close: () => resolve(),
      error: () => {}, // `close` follows
    },
  });
  await closed;
  const all = Buffer.concat(parts);
  const response = parseRaw(all);
  const pieces = response.chunks.length > 0 ? response.chunks : [response.body];
  let at = 0;
  return {
    ...response,
    endMs: arrivals.at(-1)?.ms ?? 0,
    pieces: pieces.map((piece) => {
      at = all.indexOf(piece, at) + piece.length;
      return { bytes: piece, ms: arrivals.find(({ bytes }) => bytes >= at)?.ms ?? NaN };
    }),
  };
}
