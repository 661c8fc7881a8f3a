/**
 * Finds the end of a body, of a response or of a request, and hands its bytes on as views of the
 * pieces the network gave: none is held back or merged with another. Chunks that came in one piece
 * are moved together in it, and leave as one.
 *
 *   begin ─▶ length ───────────────────────────────────────┐
 *     ├────▶ until close ──────────── finish ──────────────┤
 *     ├────▶ size ─▶ (extension) ─▶ data ─▶ CR LF ─▶ size  │
 *     │        └─ 0 ─▶ trailer ─▶ … ─▶ CR LF ──────────────┤
 *     └────▶ none ─────────────────────────────────────────┴─▶ done
 *
 * One file over 200 lines because the states share one cursor. Follows RFC 9112 §6 and §7 and takes
 * the strict side wherever they leave a choice.
 *
 * @module
 */

import { COLON, CR, cut, hexDigit, isBlank, isControl, LF, SEMICOLON, TOKEN } from "./bytes.ts";
import { Http1Error, malformed, type Subject } from "./error.ts";

/** How the end of a body is found (RFC 9112 §6.3). */
export type Framing =
  /** There is none: HEAD, 204, 304, whatever their fields say; a request without such fields. */
  | "none"
  /** `content-length`. */
  | "length"
  /** `transfer-encoding: chunked`. */
  | "chunked"
  /** It ends with the connection. Responses only. */
  | "close";

/** Takes a body. */
export interface BodySink {
  /** The body in one piece: a view of the bytes that were read, never empty. */
  onBody(bytes: Buffer): void;
}

/** Bytes of the line before a chunk: its size and extensions. */
export const CHUNK_LINE_BYTES_MAX = 4_096;
/** Hex digits of a chunk's size: below 2^52, so that the number is exact. */
const SIZE_DIGITS_MAX = 13;

const DONE = 0;
const LENGTH = 1;
const UNTIL_CLOSE = 2;
const SIZE = 3;
const BLANK_AFTER_SIZE = 4;
const EXTENSION = 5;
const SIZE_LF = 6;
const DATA = 7;
const DATA_CR = 8;
const DATA_LF = 9;
const TRAILER = 10;
const TRAILER_NAME = 11;
const TRAILER_VALUE = 12;
const TRAILER_LF = 13;
const LAST_LF = 14;

/** Who ends the connection too early. */
const SENDERS: Readonly<Record<Subject, string>> = { request: "client", response: "upstream" };

/** A reader of one body after the other. Holds no bytes. */
export class BodyDecoder {
  readonly #subject: Subject;
  #state = DONE;
  /** Bytes left of the body (length) or of the chunk (data); the size while it is read (size). */
  #bytesLeft = 0;
  #sizeDigits = 0;
  #lineBytes = 0;
  #trailerBytes = 0;
  #trailerBytesMax = 0;
  #headBytes = 0;

  constructor(subject: Subject) {
    this.#subject = subject;
  }

  /** True when the body is whole, and before the first one. */
  get isDone(): boolean {
    return this.#state === DONE;
  }

  /** Bytes that are still to come; Infinity = nobody knows (chunked, or until close). */
  get bytesLeft(): number {
    if (this.#state === LENGTH) return this.#bytesLeft;
    return this.#state === DONE ? 0 : Infinity;
  }

  /**
   * Begins a body. `lengthBytes` counts for "length" only. `trailerBytesMax` bounds the bytes of a
   * chunked body's trailer; where they share a limit with the head, `headBytes` of it are spent.
   */
  begin(framing: Framing, lengthBytes: number, trailerBytesMax: number, headBytes = 0): void {
    this.#bytesLeft = lengthBytes;
    this.#trailerBytes = this.#headBytes = headBytes;
    this.#trailerBytesMax = trailerBytesMax;
    switch (framing) {
      case "none":
        this.#state = DONE;
        break;
      case "length":
        this.#state = lengthBytes === 0 ? DONE : LENGTH;
        break;
      case "chunked":
        this.#beginSize();
        break;
      case "close":
        this.#state = UNTIL_CLOSE;
    }
  }

  /**
   * Reads `bytes` from `at`, gives the sink what is body in them, in one piece at the most, and
   * returns the offset behind what belongs to the body: all of them, unless it is done. Up to there
   * `bytes` are the decoder's and the sink's from now on: what is in them may be moved.
   *
   * @throws {Http1Error} malformed, head_too_large (the trailer); what came before the fault has
   * been given to the sink, the rest is lost.
   */
  read(bytes: Buffer, at: number, sink: BodySink): number {
    if (at >= bytes.length) return at;
    switch (this.#state) {
      case DONE:
        return at;
      case LENGTH: {
        const end = Math.min(bytes.length, at + this.#bytesLeft);
        this.#bytesLeft -= end - at;
        if (this.#bytesLeft === 0) this.#state = DONE;
        sink.onBody(cut(bytes, at, end));
        return end;
      }
      case UNTIL_CLOSE:
        sink.onBody(cut(bytes, at, bytes.length));
        return bytes.length;
      default:
        return this.#readChunked(bytes, at, sink);
    }
  }

  /**
   * The connection has ended. `isReset`: not in peace, so not even a body that ends with the
   * connection can be called whole.
   *
   * @throws {Http1Error} closed_early when the body is not whole.
   */
  finish(isReset: boolean = false): void {
    if (this.#state === UNTIL_CLOSE && !isReset) this.#state = DONE;
    if (this.#state === DONE) return;
    const subject = this.#subject;
    throw new Http1Error(
      "closed_early",
      `Cannot read the ${subject}: the ${
        SENDERS[subject]
      } closed the connection in the middle of ` +
        "the body",
    );
  }

  #beginSize(): void {
    this.#state = SIZE;
    this.#bytesLeft = 0;
    this.#sizeDigits = 0;
    this.#lineBytes = 0;
  }

  #readChunked(bytes: Buffer, at: number, sink: BodySink): number {
    // Where the chunks stand that were read so far; none while the end is 0.
    let dataFrom = 0;
    let dataTo = 0;
    try {
      while (at < bytes.length && this.#state !== DONE) {
        if (this.#state !== DATA) {
          this.#step(bytes[at++]!);
          continue;
        }
        const end = Math.min(bytes.length, at + this.#bytesLeft);
        this.#bytesLeft -= end - at;
        if (this.#bytesLeft === 0) this.#state = DATA_CR;
        if (dataTo === 0) {
          dataFrom = at;
          dataTo = end;
        } else {
          // 30 ns a chunk, where a view of each and a copy of all of them take 85.
          bytes.copyWithin(dataTo, at, end);
          dataTo += end - at;
        }
        at = end;
      }
    } finally {
      // What came before a fault is good.
      if (dataTo > 0) sink.onBody(cut(bytes, dataFrom, dataTo));
    }
    return at;
  }

  /** Reads one byte of framing. */
  #step(byte: number): void {
    switch (this.#state) {
      case SIZE:
        return this.#stepSize(byte);
      case BLANK_AFTER_SIZE:
        // RFC 9112 §7.1.1: blanks may stand before the semicolon of an extension, nowhere else.
        if (byte === SEMICOLON) this.#state = EXTENSION;
        else if (!isBlank(byte)) throw this.#malformed("it has a broken chunk size");
        return this.#countLine();
      case EXTENSION:
        if (byte === CR) this.#state = SIZE_LF;
        else if (isControl(byte)) throw this.#malformed("it has a broken chunk extension");
        return this.#countLine();
      case SIZE_LF:
        if (byte !== LF) throw this.#malformed("it has a chunk size that does not end in CR LF");
        this.#state = this.#bytesLeft === 0 ? TRAILER : DATA;
        return;
      case DATA_CR:
        if (byte !== CR) throw this.#malformed("it has a chunk that does not end in CR LF");
        this.#state = DATA_LF;
        return;
      case DATA_LF:
        if (byte !== LF) throw this.#malformed("it has a chunk that does not end in CR LF");
        return this.#beginSize();
      default:
        return this.#stepTrailer(byte);
    }
  }

  #stepSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit >= 0) {
      if (++this.#sizeDigits > SIZE_DIGITS_MAX) {
        throw this.#malformed("it has a chunk size too large");
      }
      this.#bytesLeft = this.#bytesLeft * 16 + digit;
    } else if (this.#sizeDigits === 0) {
      throw this.#malformed("it has a broken chunk size");
    } else if (byte === CR) {
      this.#state = SIZE_LF;
    } else if (byte === SEMICOLON) {
      this.#state = EXTENSION;
    } else if (isBlank(byte)) {
      this.#state = BLANK_AFTER_SIZE;
    } else {
      throw this.#malformed("it has a broken chunk size");
    }
    this.#countLine();
  }

  #countLine(): void {
    if (++this.#lineBytes > CHUNK_LINE_BYTES_MAX) {
      throw this.#malformed(`it has a chunk line longer than ${CHUNK_LINE_BYTES_MAX} bytes`);
    }
  }

  /** Trailer fields are checked and dropped: nothing may depend on them (RFC 9110 §6.5.1). */
  #stepTrailer(byte: number): void {
    if (++this.#trailerBytes > this.#trailerBytesMax) throw this.#trailerTooLarge();
    switch (this.#state) {
      case TRAILER:
        if (byte === CR) this.#state = LAST_LF;
        else if (TOKEN[byte] === 1) this.#state = TRAILER_NAME;
        else throw this.#malformed("it has a broken trailer");
        return;
      case TRAILER_NAME:
        if (byte === COLON) this.#state = TRAILER_VALUE;
        else if (TOKEN[byte] !== 1) throw this.#malformed("it has a broken trailer");
        return;
      case TRAILER_VALUE:
        if (byte === CR) this.#state = TRAILER_LF;
        else if (isControl(byte)) throw this.#malformed("it has a broken trailer");
        return;
      default: // TRAILER_LF, LAST_LF
        if (byte !== LF) throw this.#malformed("it has a trailer that does not end in CR LF");
        this.#state = this.#state === LAST_LF ? DONE : TRAILER;
    }
  }

  #malformed(what: string): Http1Error {
    return malformed(this.#subject, what);
  }

  #trailerTooLarge(): Http1Error {
    const what = this.#headBytes > 0 ? "its head and trailer are" : "its trailer is";
    return new Http1Error(
      "head_too_large",
      `Cannot read the ${this.#subject}: ${what} longer than ${this.#trailerBytesMax} bytes`,
    );
  }
}
