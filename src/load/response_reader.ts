/**
 * Reads HTTP/1.1 responses as they come off a socket, for measuring: it hands on the body where it
 * lies, says where each chunk of the server ended, and copies nothing.
 *
 *   HTTP/1.1 200 OK⏎…⏎⏎  14f⏎ data: {…}⏎⏎ ⏎  0⏎⏎
 *                    head()   data()        cut()  end(true)
 *
 * It knows the three framings of a body (chunked, length, until the end of the connection) and one
 * response per connection. It does not judge what a client need not: use it to measure a server
 * that is already known to be correct.
 *
 * @module
 */

/** Bytes of a head at most. */
const HEAD_BYTES_MAX = 64 * 1024;
/** Digits of a chunk size at most: 4 GiB. */
const SIZE_DIGITS_MAX = 8;

const CR = 0x0d;
const LF = 0x0a;

/** How a body ends. */
export type Framing = "chunked" | "length" | "close";

/** What a head says. Header names are in lower case. */
export interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly framing: Framing;
}

/** What happens to a response, in this order. */
export interface ResponseSink {
  head(head: Head): void;
  /** Bytes `from` to before `to` of `bytes` belong to the body. They are the caller's to keep. */
  data(bytes: Uint8Array, from: number, to: number): void;
  /** The server ended a chunk here. Never called with another framing than `chunked`. */
  cut(): void;
  /** Once: `isWhole` is false when the response broke off, and `reason` says how. */
  end(isWhole: boolean, reason: string): void;
}

type State =
  | "head"
  | "size"
  | "extension"
  | "chunk"
  | "after"
  | "trailer"
  | "length"
  | "close"
  | "end";

/** One response. Feed it what the socket gives, and close it when the connection ends. */
export class ResponseReader {
  readonly #sink: ResponseSink;
  #state: State = "head";
  #headText = "";
  /** Bytes of the chunk or the body still to come. */
  #left = 0;
  #sizeDigits = 0;
  /** Bytes of the trailer line read so far. */
  #lineBytes = 0;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** True once `end` was called. */
  get isOver(): boolean {
    return this.#state === "end";
  }

  /** Takes what was read. What follows the end of the response is ignored. */
  feed(bytes: Uint8Array): void {
    let at = this.#state === "head" ? this.#readHead(bytes) : 0;
    while (at < bytes.length && this.#state !== "end") {
      switch (this.#state) {
        case "chunk": {
          const to = Math.min(bytes.length, at + this.#left);
          this.#left -= to - at;
          this.#sink.data(bytes, at, to);
          if (this.#left === 0) this.#state = "after";
          at = to;
          break;
        }
        case "length": {
          const to = Math.min(bytes.length, at + this.#left);
          this.#left -= to - at;
          this.#sink.data(bytes, at, to);
          if (this.#left === 0) this.#end(true, "");
          at = to;
          break;
        }
        case "close":
          this.#sink.data(bytes, at, bytes.length);
          at = bytes.length;
          break;
        default:
          this.#readFraming(bytes[at++]!);
      }
    }
  }

  /** The connection has ended. */
  close(): void {
    if (this.#state === "end") return;
    if (this.#state === "close") this.#end(true, "");
    else this.#end(false, this.#state === "head" ? "no answer" : "broke off");
  }

  /** One byte of what lies between chunks. */
  #readFraming(byte: number): void {
    switch (this.#state) {
      case "size": {
        const digit = hexDigit(byte);
        if (digit >= 0 && this.#sizeDigits < SIZE_DIGITS_MAX) {
          this.#left = this.#left * 16 + digit;
          this.#sizeDigits++;
        } else if (this.#sizeDigits > 0 && byte === LF) {
          this.#beginChunk();
        } else if (this.#sizeDigits > 0 && (byte === CR || byte === 0x3b)) {
          this.#state = "extension";
        } else {
          this.#end(false, "bad chunk size");
        }
        return;
      }
      case "extension":
        if (byte === LF) this.#beginChunk();
        return;
      case "after":
        if (byte === LF) {
          this.#state = "size";
          this.#sizeDigits = 0;
          this.#sink.cut();
        } else if (byte !== CR) {
          this.#end(false, "bad chunk end");
        }
        return;
      case "trailer":
        if (byte === LF && this.#lineBytes === 0) this.#end(true, "");
        else if (byte === LF) this.#lineBytes = 0;
        else if (byte !== CR) this.#lineBytes++;
        return;
    }
  }

  #beginChunk(): void {
    this.#state = this.#left === 0 ? "trailer" : "chunk";
    this.#lineBytes = 0;
  }

  /** Collects the head; gives the offset behind it, or the end of `bytes` when it is not whole. */
  #readHead(bytes: Uint8Array): number {
    const before = this.#headText.length;
    this.#headText += Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
    const end = this.#headText.indexOf("\r\n\r\n");
    if (end < 0) {
      if (this.#headText.length > HEAD_BYTES_MAX) this.#end(false, "oversized head");
      return bytes.length;
    }
    const head = parseHead(this.#headText.slice(0, end));
    this.#headText = "";
    if (head === undefined) {
      this.#end(false, "bad head");
      return bytes.length;
    }
    this.#left = head.framing === "length" ? Number(head.headers.get("content-length")) : 0;
    this.#state = head.framing === "chunked" ? "size" : head.framing;
    this.#sink.head(head);
    if (head.framing === "length" && this.#left === 0) this.#end(true, "");
    return end + 4 - before;
  }

  #end(isWhole: boolean, reason: string): void {
    this.#state = "end";
    this.#sink.end(isWhole, reason);
  }
}

function parseHead(text: string): Head | undefined {
  const lines = text.split("\r\n");
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(lines[0]!)?.[1];
  if (status === undefined) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":");
    if (colon <= 0) return undefined;
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  let framing: Framing = "close";
  if (headers.get("transfer-encoding")?.toLowerCase() === "chunked") framing = "chunked";
  else if (/^\d+$/.test(headers.get("content-length") ?? "")) framing = "length";
  return { status: Number(status), headers, framing };
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
