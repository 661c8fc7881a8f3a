/**
 * The body of a request that is sent while it still comes: what a client needs to know of it, and
 * how its pieces are framed.
 *
 * @module
 */

/** Sends a body. */
export interface UploadListener {
  /** After `next` had nothing: there is something now. */
  onMore(): void;
}

/** A body that comes while it is sent. Its sender asks for it, so that the sender sets the pace. */
export interface Http1Upload {
  /** Bytes as the request's head tells; undefined = it goes in chunks. */
  readonly lengthBytes: number | undefined;
  /** True when `start` begins with the first byte; false when part of what was sent was let go. */
  readonly canStart: boolean;
  /** From the first byte on for `listener`, and for nobody else. Only when it can. */
  start(listener: UploadListener): void;
  /**
   * The next piece, which must not change, and is never empty. Null = all of it was given; undefined
   * = nothing is here yet.
   */
  next(): Uint8Array | null | undefined;
  /** Nobody sends it, unless it is started again. Safe to call again. */
  stop(): void;
}

/** What ends a chunked body that has no trailer. */
export const LAST_CHUNK: Uint8Array = Buffer.from("0\r\n\r\n");

/** `piece` as one chunk: copied, so that it leaves in one write. */
export function chunkOf(piece: Uint8Array): Uint8Array {
  const line = `${piece.length.toString(16)}\r\n`;
  const bytes = Buffer.allocUnsafe(line.length + piece.length + 2);
  bytes.write(line, "latin1");
  bytes.set(piece, line.length);
  bytes.write("\r\n", line.length + piece.length, "latin1");
  return bytes;
}
