/**
 * A head that comes in pieces, which is the rare case: a connection has one of these only while it
 * waits for the rest.
 *
 * @module
 */

import { CR, LF, VALUE } from "./bytes.ts";
import { type Http1Error, malformed, type Subject } from "./error.ts";

const HEAD_END = Buffer.from("\r\n\r\n");
const NO_BYTES = Buffer.alloc(0);

/** The bytes of a head so far. */
export class PartialHead {
  /** Longer than what is in it. */
  bytes: Buffer = NO_BYTES;
  /** How many of them are here. */
  length = 0;
  /** Where the field lines begin; 0 = the first line is not whole. */
  linesAt = 0;
  /** Empty lines before a request's head, which are dropped. */
  emptyLines = 0;
  /** True behind the CR of such a line. */
  isInEmptyLine = false;

  /** Adds what `bytes` have from `at`, as far as `bytesMax` in all allow. Gives how many that were. */
  add(bytes: Buffer, at: number, bytesMax: number): number {
    const taken = Math.min(bytesMax - this.length, bytes.length - at);
    const length = this.length + taken;
    if (this.bytes.length < length) {
      // Twice the need: a head that comes byte by byte is copied a few times and not always.
      const grown = Buffer.allocUnsafe(Math.min(bytesMax, 2 * length));
      this.bytes.copy(grown, 0, 0, this.length);
      this.bytes = grown;
    }
    bytes.copy(this.bytes, this.length, at, at + taken);
    this.length = length;
    return taken;
  }

  /** The offset behind the empty line that ends the head when there is one behind `before`; else -1. */
  endFrom(before: number): number {
    const from = Math.max(0, before - (HEAD_END.length - 1));
    const at = this.bytes.subarray(0, this.length).indexOf(HEAD_END, from);
    return at < 0 ? -1 : at + HEAD_END.length;
  }

  /**
   * The error about the first byte that may stand in no head, among those from `from` on; the ones
   * before `before` were looked at already. Undefined = there is none so far.
   */
  forbiddenFrom(from: number, before: number, subject: Subject): Http1Error | undefined {
    const { bytes, length } = this;
    // A line end may be cut between two pieces: its CR is looked at together with its LF.
    const isCut = before > from && bytes[before - 1] === CR;
    const to = bytes[length - 1] === CR ? length - 1 : length;
    return forbiddenIn(bytes, Math.max(from, isCut ? before - 1 : before), to, subject);
  }
}

/**
 * The error about the first byte from `from` to `to` that may not stand in a head: a control
 * character other than tab, or half of a line end. Undefined = there is none.
 */
export function forbiddenIn(
  bytes: Uint8Array,
  from: number,
  to: number,
  subject: Subject,
): Http1Error | undefined {
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (VALUE[byte] === 1) continue;
    if (byte === CR && at + 1 < bytes.length && bytes[at + 1] === LF) {
      at++;
      continue;
    }
    return malformed(
      subject,
      byte === CR || byte === LF
        ? "its head has a line end that is not CR LF"
        : "its head has a control character",
    );
  }
  return undefined;
}
