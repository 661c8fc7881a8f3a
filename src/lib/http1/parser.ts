/**
 * Reads one HTTP/1.1 response at a time from whatever pieces the network gives.
 *
 *            ┌── 1xx ──┐
 *            ▼         │
 *   reset ─▶ head ─────┴─▶ body ─▶ done
 *
 * A head that comes whole is read where it lies, in one pass; one that comes in pieces, or has a
 * fault, is gathered first. Follows RFC 9112 and takes its strict side wherever it leaves a choice.
 *
 * @module
 */

import { isText } from "./bytes.ts";
import { Http1Error, malformed } from "./error.ts";
import { faultOf } from "./field_values.ts";
import { Fields, scanFields } from "./fields.ts";
import { BodyDecoder, type BodySink } from "./framing.ts";
import { PREFIX, type ResponseHead, responseHead, statusLineAt } from "./head.ts";
import { forbiddenIn, PartialHead } from "./partial_head.ts";

/** Takes what a parser reads. */
export interface ResponseSink extends BodySink {
  /** The final head; 1xx ones are skipped. */
  onHead(head: ResponseHead): void;
}

/** Bytes of all heads of a response (1xx included), and of its trailer, when nothing else is said. */
export const HEAD_BYTES_MAX = 65_536;

const HEAD = 0;
const BODY = 1;
const DONE = 2;
const STOPPED = 3;

/** A reader of responses on one connection. */
export class ResponseParser {
  readonly #sink: ResponseSink;
  readonly #headBytesMax: number;
  readonly #body = new BodyDecoder("response");
  #state = DONE;
  #isBodiless = false;
  /** A head that came in pieces; null while none has begun. */
  #partial: PartialHead | null = null;
  /** What is left for heads, then for the trailer. */
  #headBytesLeft = 0;
  /** True when bytes followed the end of the response: this connection cannot be trusted further. */
  hasExcess = false;

  constructor(sink: ResponseSink, headBytesMax: number = HEAD_BYTES_MAX) {
    this.#sink = sink;
    this.#headBytesMax = headBytesMax;
  }

  /** True when the response is whole. */
  get isDone(): boolean {
    return this.#state === DONE;
  }

  /** Begins a response. `isBodiless`: it answers a HEAD request. */
  reset(isBodiless: boolean): void {
    this.#state = HEAD;
    this.#isBodiless = isBodiless;
    this.#partial = null;
    this.#headBytesLeft = this.#headBytesMax;
    this.hasExcess = false;
  }

  /** Reads no further. */
  stop(): void {
    this.#state = STOPPED;
  }

  /**
   * Reads `bytes`. They are the parser's and the sink's from now on: it may move what is in them.
   *
   * @throws {Http1Error} malformed, head_too_large; then the rest of the response is lost.
   */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      switch (this.#state) {
        case HEAD:
          at = this.#readHead(bytes, at);
          break;
        case BODY:
          at = this.#body.read(bytes, at, this.#sink);
          // The sink may have stopped us.
          if (this.#state === BODY && this.#body.isDone) this.#state = DONE;
          break;
        case DONE:
          this.hasExcess = true;
          return;
        default: // STOPPED
          return;
      }
    }
  }

  /**
   * The connection has ended. `isReset`: not in peace, so not even a body that ends with the
   * connection can be called whole.
   *
   * @throws {Http1Error} closed_early when the response is not whole.
   */
  finish(isReset = false): void {
    if (this.#state === HEAD) {
      throw new Http1Error(
        "closed_early",
        "Cannot read the response: the upstream closed the connection before its head was complete",
      );
    }
    if (this.#state !== BODY) return;
    this.#body.finish(isReset);
    this.#state = DONE;
  }

  /** Reads a head that lies in one piece, and gives the offset behind what it read. */
  #readHead(bytes: Buffer, at: number): number {
    if (this.#partial !== null) return this.#readPartialHead(bytes, at);
    const end = this.#take(bytes, at, Math.min(bytes.length, at + this.#headBytesLeft));
    return end > 0 ? end : this.#readPartialHead(bytes, at);
  }

  /** Takes the head that begins at `at` if it is whole before `to` and good, and gives its end; or -1. */
  #take(bytes: Buffer, at: number, to: number): number {
    const line = statusLineAt(bytes, at, to);
    if (line === undefined) return -1;
    const linesAt = at + line.text.length + 2;
    const linesEnd = scanFields(bytes, linesAt, to);
    if (linesEnd < 0) return -1;
    const end = linesEnd + 2;
    this.#headBytesLeft -= end - at;
    const head = responseHead(line, Fields.ofScan(bytes, linesAt, linesEnd), this.#isBodiless);
    if (head.status < 200) {
      if (head.status !== 101) return end;
      throw malformed("response", "it switches protocols although nobody asked");
    }
    const spent = this.#headBytesMax - this.#headBytesLeft;
    this.#body.begin(head.framing, head.lengthBytes, this.#headBytesMax, spent);
    this.#state = this.#body.isDone ? DONE : BODY;
    this.#sink.onHead(head);
    return end;
  }

  /**
   * Gathers a head that comes in pieces, and looks at each byte as it comes: a server that does not
   * speak HTTP sends no empty line to wait for.
   */
  #readPartialHead(bytes: Buffer, at: number): number {
    const partial = this.#partial ??= new PartialHead();
    const before = partial.length;
    const taken = partial.add(bytes, at, this.#headBytesLeft);
    const end = partial.endFrom(before);
    if (end >= 0) {
      this.#partial = null;
      if (this.#take(partial.bytes, 0, end) < 0) throw faultIn(partial.bytes, end);
      return at + end - before;
    }
    const { length } = partial;
    if (!isText(partial.bytes, 0, Math.min(length, PREFIX.length), PREFIX.slice(0, length))) {
      throw notHttp();
    }
    const forbidden = partial.forbiddenFrom(0, before, "response");
    if (forbidden !== undefined) throw forbidden;
    if (taken < bytes.length - at || length === this.#headBytesLeft) {
      throw new Http1Error(
        "head_too_large",
        `Cannot read the response: its head is longer than ${this.#headBytesMax} bytes`,
      );
    }
    return bytes.length;
  }
}

/** What is wrong with a head that ends at `end`. Out of line: it may take its time. */
function faultIn(bytes: Buffer, end: number): Http1Error {
  if (!isText(bytes, 0, PREFIX.length, PREFIX)) return notHttp();
  const forbidden = forbiddenIn(bytes, 0, end - 4, "response");
  if (forbidden !== undefined) return forbidden;
  const line = statusLineAt(bytes, 0, end);
  if (line === undefined) return malformed("response", "its status line is broken");
  return malformed("response", faultOf(scanFields(bytes, line.text.length + 2, end)));
}

function notHttp(): Http1Error {
  return malformed("response", "it does not start with HTTP/1.");
}
