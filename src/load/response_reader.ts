/**
 * Reads HTTP/1.1 responses as they come off a socket, for measuring: it hands on the body where it
 * lies, says where each chunk of the server ended, and copies nothing.
 *
 *   HTTP/1.1 200 OK⏎…⏎⏎  14f⏎ data: {…}⏎⏎ ⏎  0⏎⏎
 *                    head()   data()        cut()  end(true)
 *
 * It knows the three framings of a body (chunked, length, until the end of the connection), and
 * reads one response after the other of a connection that is kept. It does not judge what a client
 * need not: what it does not understand is an answer that is not whole.
 *
 * @module
 */

/** Bytes of a head at most. */
const HEAD_BYTES_MAX = 64 * 1024;
/** Bytes between two chunks, or behind the last one, at most. */
const LINE_BYTES_MAX = 64 * 1024;
/** Answers of status 1xx before the answer itself, at most. */
const INTERIM_MAX = 32;
/** Digits of a chunk size at most: 4 GiB. */
const SIZE_DIGITS_MAX = 8;

const HEAD_END = Buffer.from("\r\n\r\n");
/** Behind the last line: an empty one, whose CR may be missing as well as that before it. */
const BLANK_LINE = /\n\r?\n/;
const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;
const SEMICOLON = 0x3b;

/** How a body ends. */
export type Framing = "chunked" | "length" | "close";

/** What a head says. Header names are in lower case. */
export interface Head {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly framing: Framing;
  /** The server will read another request from this connection. */
  readonly keepsAlive: boolean;
  /** One header, found where it stands; "" = it is not there. `name` is in lower case. */
  field(name: string): string;
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
  | "blanks"
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
  /** Bytes of the extension, or of all trailers. */
  #extraBytes = 0;
  #interims = 0;
  #hasExcess = false;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** True once `end` was called. */
  get isOver(): boolean {
    return this.#state === "end";
  }

  /** True when bytes came that no response of these belongs to. */
  get hasExcess(): boolean {
    return this.#hasExcess;
  }

  /** The next response of the same connection. */
  reset(): void {
    this.#state = "head";
    this.#headText = "";
    this.#hasExcess = false;
    this.#left =
      this.#sizeDigits =
      this.#lineBytes =
      this.#interims =
        0;
  }

  /** Takes what was read. What follows the end of the response is ignored. */
  feed(bytes: Uint8Array): void {
    if (this.#state === "end") this.#hasExcess = true;
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
    if (at < bytes.length) this.#hasExcess = true;
  }

  /** The connection has ended. */
  close(): void {
    if (this.#state === "end") return;
    if (this.#state === "close") this.#end(true, "");
    else {
      const isNothing = this.#state === "head" && this.#headText === "";
      this.#end(false, isNothing ? "no answer" : "broke off");
    }
  }

  /** One byte of what lies between chunks. */
  #readFraming(byte: number): void {
    switch (this.#state) {
      case "size": {
        const digit = hexDigit(byte);
        if (digit >= 0 && this.#sizeDigits < SIZE_DIGITS_MAX) {
          this.#left = this.#left * 16 + digit;
          this.#sizeDigits++;
        } else if (this.#sizeDigits > 0) {
          this.#extraBytes = 0;
          this.#endSize(byte);
        } else {
          this.#end(false, "bad chunk size");
        }
        return;
      }
      case "blanks":
        this.#endSize(byte);
        return;
      case "extension":
        if (byte === LF) this.#beginChunk();
        else if (++this.#extraBytes > LINE_BYTES_MAX) this.#end(false, "oversized line");
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
        if (++this.#extraBytes > LINE_BYTES_MAX) this.#end(false, "oversized line");
        else if (byte === LF && this.#lineBytes === 0) this.#end(true, "");
        else if (byte === LF) this.#lineBytes = 0;
        else if (byte !== CR) this.#lineBytes++;
        return;
    }
  }

  /**
   * What stands behind the digits of a size. White space may (RFC 9112, 7.1.1; old servers pad sizes):
   * of an answer that is read to its end, nobody can make two.
   */
  #endSize(byte: number): void {
    if (byte === LF) this.#beginChunk();
    else if (byte === CR || byte === SEMICOLON) this.#state = "extension";
    else if (byte !== SPACE && byte !== TAB) this.#end(false, "bad chunk size");
    else if (++this.#extraBytes > LINE_BYTES_MAX) this.#end(false, "oversized line");
    else this.#state = "blanks";
  }

  #beginChunk(): void {
    this.#state = this.#left === 0 ? "trailer" : "chunk";
    this.#lineBytes = this.#extraBytes = 0;
  }

  /** Collects the head; gives the offset behind it, or the end of `bytes` when it is not whole. */
  #readHead(bytes: Uint8Array): number {
    // Line ends before the first line are none of it: some servers leave one behind a body.
    const skipped = this.#headText === "" ? lineEnds(bytes) : 0;
    if (skipped > 0) return skipped + this.#readHead(bytes.subarray(skipped));
    const before = this.#headText.length;
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    // A body that came along is not decoded.
    const headEnd = before === 0 ? buffer.indexOf(HEAD_END) : -1;
    this.#headText += buffer.toString("latin1", 0, headEnd < 0 ? buffer.length : headEnd + 4);
    const blank = BLANK_LINE.exec(this.#headText);
    if (!"HTTP/1.".startsWith(this.#headText.slice(0, 7))) {
      this.#end(false, "bad head");
      return bytes.length;
    }
    if (blank === null) {
      if (this.#headText.length > HEAD_BYTES_MAX) this.#end(false, "oversized head");
      return bytes.length;
    }
    const behind = blank.index + blank[0].length - before;
    const head = parseHead(this.#headText.slice(0, blank.index).trimEnd());
    this.#headText = "";
    if (typeof head === "string") {
      this.#end(false, head);
      return bytes.length;
    }
    // 100 and 103 come before the response itself; behind 101 there is none.
    if (head.status < 200) {
      if (++this.#interims > INTERIM_MAX || head.status === 101) {
        this.#end(false, head.status === 101 ? "switched" : "interim heads");
        return bytes.length;
      }
      return behind + this.#readHead(bytes.subarray(behind));
    }
    this.#left = head.bodyBytes;
    this.#state = head.framing === "chunked" ? "size" : head.framing;
    this.#sink.head(head);
    if (head.framing === "length" && this.#left === 0) this.#end(true, "");
    return behind;
  }

  #end(isWhole: boolean, reason: string): void {
    this.#state = "end";
    this.#sink.end(isWhole, reason);
  }
}

/** Heads are read as often as answers come: their fields become a map when somebody wants it. */
class ReadHead implements Head {
  readonly status: number;
  readonly framing: Framing;
  readonly keepsAlive: boolean;
  /** Where the framing is a length. */
  readonly bodyBytes: number;
  /** Why the body cannot be read; "" = it can. */
  readonly fault: string;
  readonly #text: string;
  readonly #lower: string;
  #headers: Map<string, string> | undefined = undefined;

  constructor(text: string) {
    this.#text = text;
    this.status = Number(text.slice(9, 12));
    const lower = text.toLowerCase();
    this.#lower = lower;
    const connection = fieldIn(lower, lower, "connection");
    const coding = fieldIn(lower, lower, "transfer-encoding");
    const length = fieldIn(lower, lower, "content-length");
    const isChunked = coding === "chunked";
    const isKept = text[7] === "1" ? connection !== "close" : connection === "keep-alive";
    // Of a length beside chunks, somebody on the way may believe the length.
    this.keepsAlive = isKept && !(isChunked && length !== "");
    const isBodiless = this.status === 204 || this.status === 304;
    const framing = isChunked ? "chunked" : length === "" ? "close" : "length";
    this.framing = isBodiless ? "length" : framing;
    this.bodyBytes = isBodiless || framing !== "length" ? 0 : Number(length);
    this.fault = !isChunked && coding !== "" && coding !== "identity"
      ? "bad coding"
      : framing === "length" && !isOneLength(lower, length)
      ? "bad length"
      : "";
  }

  field(name: string): string {
    return fieldIn(this.#text, this.#lower, name);
  }

  get headers(): ReadonlyMap<string, string> {
    if (this.#headers === undefined) {
      this.#headers = new Map();
      for (const line of this.#text.split("\r\n").slice(1)) {
        const colon = line.indexOf(":");
        this.#headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
      }
    }
    return this.#headers;
  }
}

/** A field of `text`, which is `lower` in lower case; "" = it is not there. */
function fieldIn(text: string, lower: string, name: string): string {
  const at = lower.indexOf(`\r\n${name}:`);
  if (at < 0) return "";
  const from = at + name.length + 3;
  const end = lower.indexOf("\r\n", from);
  return text.slice(from, end < 0 ? text.length : end).trim();
}

/** A status line, and lines with a colon behind their first character. */
const HEAD = /^HTTP\/1\.[01] \d{3}[^\r\n]*(?:\r\n[^:\r\n \t][^:\r\n]*:[^\r\n]*)*$/;

/** Why it is none, where it is none. */
function parseHead(text: string): ReadHead | string {
  if (!HEAD.test(text)) {
    // Line ends without CR, and lines that go on in the next one: clients have to bear both.
    const strict = text.replace(/\r?\n/g, "\r\n").replace(/\r\n[ \t]+/g, " ");
    return strict !== text && HEAD.test(strict) ? parseHead(strict) : "bad head";
  }
  const head = new ReadHead(text);
  return head.fault === "" ? head : head.fault;
}

const LENGTH = "\r\ncontent-length:";

/** A number, and no other one somewhere else; the same one again does no harm. */
function isOneLength(lower: string, length: string): boolean {
  if (!/^\d+$/.test(length)) return false;
  if (lower.indexOf(LENGTH) === lower.lastIndexOf(LENGTH)) return true;
  const [, ...all] = lower.split(LENGTH);
  return all.every((rest) => rest.split("\r\n")[0]!.trim() === length);
}

/** How many bytes of line ends it begins with. */
function lineEnds(bytes: Uint8Array): number {
  let at = 0;
  while (bytes[at] === CR || bytes[at] === LF) at++;
  return at;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
