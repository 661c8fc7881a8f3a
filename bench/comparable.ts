/**
 * Answers as they are compared: byte for byte, but for what differs from one to the next.
 *
 * @module
 */

import { maskVarying } from "../src/load/stream_probe.ts";

/** `body` as latin1 with ids and times masked, and pads left out. */
export function comparable(body: Uint8Array): string {
  return maskVarying(body).replace(/"obfuscation":"[^"]*"/g, `"obfuscation":""`);
}
