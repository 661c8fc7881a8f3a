/**
 * A compressed body that passes, kept so that what it tells of its usage can be read when it is over: also
 * of one that breaks off.
 *
 * @module
 */

import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateSync,
  zstdDecompressSync,
} from "node:zlib";

/** Of a body as it comes; a larger one is counted by its length. */
const PACKED_BYTES_MAX = 256 * 1024;
/** Of what comes out of it. */
const BYTES_MAX = 16 * 1024 * 1024;

const ZLIB = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: BYTES_MAX };

/** How each coding is undone, a part of a body as well (RFC 9110 section 8.4.1). */
const CODINGS: ReadonlyMap<string, (bytes: Buffer) => Uint8Array> = new Map([
  ["gzip", (bytes: Buffer) => gunzipSync(bytes, ZLIB)],
  ["x-gzip", (bytes: Buffer) => gunzipSync(bytes, ZLIB)],
  ["deflate", (bytes: Buffer) => inflateSync(bytes, ZLIB)],
  ["br", (bytes: Buffer) =>
    brotliDecompressSync(bytes, {
      finishFlush: constants.BROTLI_OPERATION_FLUSH,
      maxOutputLength: BYTES_MAX,
    })],
  ["zstd", (bytes: Buffer) =>
    zstdDecompressSync(bytes, {
      finishFlush: constants.ZSTD_e_flush,
      maxOutputLength: BYTES_MAX,
    })],
]);

/** One such body. */
export class PackedBody {
  readonly #unpack: (bytes: Buffer) => Uint8Array;
  #pieces: Uint8Array[] = [];
  #bytes = 0;

  private constructor(unpack: (bytes: Buffer) => Uint8Array) {
    this.#unpack = unpack;
  }

  /** A body in `coding`, the field of its head; undefined = it is in none that can be undone here. */
  static of(coding: string | null): PackedBody | undefined {
    const unpack = CODINGS.get(coding?.trim().toLowerCase() ?? "");
    return unpack && new PackedBody(unpack);
  }

  /** Takes the next piece. */
  add(piece: Uint8Array): void {
    this.#bytes += piece.length;
    if (this.#bytes <= PACKED_BYTES_MAX) this.#pieces.push(piece.slice());
    else this.#pieces = [];
  }

  /** What has come so far, its compression undone; nothing where it is too large, or broken. */
  unpacked(): Uint8Array {
    if (this.#pieces.length === 0) return NOTHING;
    try {
      return this.#unpack(Buffer.concat(this.#pieces));
    } catch {
      return NOTHING; // its client finds that out, too
    }
  }
}

const NOTHING = new Uint8Array(0);
