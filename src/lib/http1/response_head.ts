/**
 * Writes the heads of responses into one scratch buffer that all connections share: what is written
 * there leaves, or is copied, before anybody else writes.
 *
 * @module
 */

import type { HeaderBlock } from "./header_block.ts";

/** How the end of a response's body is told: by its length, by chunks, by the end of the connection. */
export type ResponseFraming = number | "chunked" | "close" | "none";

/** Bytes of the scratch buffer: a whole answer up to this size leaves in one write. */
const SCRATCH_BYTES = 131_072;
/** Room for a status line, the date, and what is said of connection and framing. */
const FRAME_BYTES_MAX = 512;

const CR = 0x0d;
const LF = 0x0a;
const CRLF = Buffer.from("\r\n");
const CHUNKED = Buffer.from("transfer-encoding: chunked\r\n");
const CLOSE = Buffer.from("connection: close\r\n");
const KEEP_ALIVE = Buffer.from("connection: keep-alive\r\n");
const LENGTH = Buffer.from("content-length: ");
/** The end of a chunked body. */
const LAST_CHUNK = Buffer.from("0\r\n\r\n");
const DIGITS = Buffer.from("0123456789abcdef");

/** Statuses with their words (RFC 9110 section 15), as far as weir or its upstreams use them. */
const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  206: "Partial Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  417: "Expectation Failed",
  422: "Unprocessable Content",
  424: "Failed Dependency",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  508: "Loop Detected",
  529: "Overloaded",
};

const statusLines = new Map<number, Buffer>();

function statusLine(status: number): Buffer {
  let line = statusLines.get(status);
  if (line === undefined) {
    line = Buffer.from(`HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`);
    statusLines.set(status, line);
  }
  return line;
}

/** Writes one response, or a piece of one, at a time. One for the whole process. */
export class Scratch {
  bytes = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  /** Bytes written. */
  length = 0;
  #second = 0;
  #date = Buffer.alloc(0);

  /** Begins anew, with room for `bytes` besides a head's frame. */
  reset(bytes: number): void {
    this.length = 0;
    const needed = bytes + FRAME_BYTES_MAX;
    if (needed > this.bytes.length) this.bytes = Buffer.allocUnsafeSlow(2 * needed);
  }

  /**
   * A head. `second`: seconds since 1970. `readers`: lines that say which pages may read the answer,
   * in place of what `fields` say of that. `also`: further lines, as latin1.
   */
  head(
    status: number,
    fields: HeaderBlock,
    framing: ResponseFraming,
    connection: "close" | "keep-alive" | "",
    second: number,
    readers: Buffer | null = null,
    also = "",
  ): void {
    this.#put(statusLine(status));
    const { bytes, length } = fields;
    if (readers === null) this.length += bytes.copy(this.bytes, this.length, 0, length);
    else {
      const [from, to] = fields.readersAt;
      this.length += bytes.copy(this.bytes, this.length, 0, from);
      this.length += bytes.copy(this.bytes, this.length, to, length);
      this.length += readers.copy(this.bytes, this.length);
    }
    if (also !== "") this.length += this.bytes.write(also, this.length, "latin1");
    if (!fields.hasDate) this.#put(this.#dateLine(second));
    if (connection !== "") this.#put(connection === "close" ? CLOSE : KEEP_ALIVE);
    if (framing === "chunked") this.#put(CHUNKED);
    else if (typeof framing === "number") {
      this.#put(LENGTH);
      this.#digits(framing, 10);
      this.#put(CRLF);
    }
    this.#put(CRLF);
  }

  /** Bytes of a body as they are. */
  raw(body: Uint8Array | string): void {
    if (typeof body === "string") this.length += this.bytes.write(body, this.length, "utf8");
    else this.#put(body);
  }

  /** What stands before a chunk of `byteLength` bytes, more than none. */
  chunkHead(byteLength: number): void {
    this.#digits(byteLength, 16);
    this.chunkEnd();
  }

  /** What stands behind a chunk. */
  chunkEnd(): void {
    // Not by `set`, a native call: there are two of these with each event of a paced stream.
    this.bytes[this.length++] = CR;
    this.bytes[this.length++] = LF;
  }

  /** The end of a chunked body. */
  lastChunk(): void {
    this.#put(LAST_CHUNK);
  }

  #put(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  #digits(value: number, base: 10 | 16): void {
    let end = this.length + 1;
    for (let rest = value; rest >= base; rest = Math.floor(rest / base)) end++;
    this.length = end;
    let rest = value;
    do {
      this.bytes[--end] = DIGITS[rest % base]!;
      rest = Math.floor(rest / base);
    } while (rest > 0);
  }

  /** RFC 9110 section 6.6.1. Made once a second. */
  #dateLine(second: number): Buffer {
    if (second !== this.#second) {
      this.#second = second;
      this.#date = Buffer.from(`date: ${new Date(second * 1000).toUTCString()}\r\n`);
    }
    return this.#date;
  }
}
