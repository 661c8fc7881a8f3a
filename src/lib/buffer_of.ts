/**
 * Bytes with the methods of a `Buffer`.
 *
 * @module
 */

/** `bytes` themselves: what a socket gives is a Buffer already, of its own, which may be kept. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
