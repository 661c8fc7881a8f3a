/**
 * The first line of a request: `METHOD SP target SP HTTP/1.x CR LF`, one space each (RFC 9112 §3).
 *
 * It is read from left to right, and a fault depends on the bytes up to it alone: however the
 * network cuts the line, it is the same fault, and it is seen when its byte comes. One file over
 * 200 lines with all that a target may be.
 *
 * @module
 */

import {
  COLON,
  CR,
  hexDigit,
  HOST,
  isControl,
  isDigit,
  isText,
  isWord,
  LF,
  PATH,
  QUESTION,
  SLASH,
  SPACE,
  TARGET,
  TOKEN,
} from "./bytes.ts";
import { Http1Error, malformed } from "./error.ts";

/** Bytes of a method. The longest registered one, UPDATEREDIRECTREF, has 17. */
export const METHOD_BYTES_MAX = 32;
const PORT_MAX = 65_535;
const PORT_DIGITS_MAX = 5;

/** What stands behind the target: "HTTP/d.d" and CR LF, 0 for a digit. */
const VERSION = Buffer.from("HTTP/\0.\0\r\n", "latin1");
const MAJOR_AT = 5;
const MINOR_AT = 7;

/**
 * What `readRequestLine` found. There is one for all, good until the next call; -1 and "" stand for
 * what it did not come to.
 */
class RequestLine {
  method = "";
  /** Where the target begins. */
  targetFrom = -1;
  /** Behind what is read of the target. */
  targetTo = -1;
  /** True for "http://…": host and port go before the path. */
  isAbsolute = false;
  isHttp10 = false;

  /** Nothing is known of a line. */
  clear(): void {
    this.method = "";
    this.targetFrom = this.targetTo = -1;
    this.isAbsolute = false;
  }
}

/** The line read last. */
export const requestLine: RequestLine = new RequestLine();

/**
 * Reads the line that begins at `at` into `requestLine`, and gives the offset behind it; -1 = its end
 * does not stand before `to`.
 *
 * @throws {Http1Error} malformed, target_too_long, version_unsupported
 */
export function readRequestLine(
  bytes: Buffer,
  at: number,
  to: number,
  targetBytesMax: number,
): number {
  const line = requestLine;
  line.clear();
  let end = at;
  const methodTo = Math.min(to, at + METHOD_BYTES_MAX + 1);
  while (end < methodTo && TOKEN[bytes[end]!] === 1) end++;
  if (end - at > METHOD_BYTES_MAX) throw broken("its method is too long");
  if (end === to) return -1;
  if (bytes[end] !== SPACE || end === at) throw brokenAt(bytes[end]!);
  const method = line.method = methodOf(bytes, at, end);
  const from = line.targetFrom = ++end;
  const targetTo = Math.min(to, from + targetBytesMax + 1);
  while (end < targetTo && PATH[bytes[end]!] === 1) end++;
  if (bytes[end] === QUESTION) { while (end < targetTo && TARGET[bytes[end]!] === 1) end++; }
  line.targetTo = Math.min(end, from + targetBytesMax);
  if (end - from > targetBytesMax) {
    throw new Http1Error(
      "target_too_long",
      `Cannot read the request: its target is longer than ${targetBytesMax} bytes`,
    );
  }
  if (end === to) return -1;
  if (bytes[end] !== SPACE || end === from) throw brokenAt(bytes[end]!);
  const isPath = bytes[from] === SLASH;
  line.isAbsolute = !isPath && method !== "CONNECT" && hostAt(bytes, from, end) > 0;
  const versionAt = end + 1;
  for (let i = 0; i < VERSION.length; i++) {
    if (versionAt + i === to) return -1;
    const byte = bytes[versionAt + i]!;
    const wanted = VERSION[i]!;
    if (wanted === 0 ? !isDigit(byte) : byte !== wanted) throw brokenAt(byte);
  }
  const minor = bytes[versionAt + MINOR_AT]! - 0x30;
  if (bytes[versionAt + MAJOR_AT] !== 0x31 || minor > 1) {
    throw new Http1Error(
      "version_unsupported",
      "Cannot read the request: it is neither HTTP/1.1 nor HTTP/1.0",
    );
  }
  line.isHttp10 = minor === 0;
  if (method === "CONNECT") {
    if (!isHost(bytes, from, end, true)) throw broken("its target is no host and port");
  } else if (
    !isPath && !line.isAbsolute && !(method === "OPTIONS" && isText(bytes, from, end, "*"))
  ) throw broken("its target is neither a path nor a URL");
  return versionAt + VERSION.length;
}

/** The target of `requestLine`, or what was read of it before a fault: path and query. */
export function targetOf(bytes: Buffer): string {
  const { targetFrom, targetTo, isAbsolute } = requestLine;
  if (targetFrom < 0) return "";
  if (!isAbsolute) return textOf(bytes, targetFrom, targetTo);
  const hostFrom = hostAt(bytes, targetFrom, targetTo);
  const pathFrom = authorityEnd(bytes, hostFrom, targetTo);
  if (pathFrom === targetTo) return "/";
  const path = textOf(bytes, pathFrom, targetTo);
  return bytes[pathFrom] === SLASH ? path : `/${path}`;
}

/**
 * True for `host[:port]` (RFC 9112 §3.2, RFC 3986 §3.2): a name, an IPv4 address, or an IPv6 one in
 * brackets. `needsPort`: as CONNECT wants it.
 */
export function isHost(bytes: Uint8Array, from: number, to: number, needsPort = false): boolean {
  let at = from;
  if (bytes[at] === 0x5b && at < to) { // [
    at++;
    while (at < to && (hexDigit(bytes[at]!) >= 0 || bytes[at] === COLON || bytes[at] === 0x2e)) {
      at++;
    }
    if (at === to || at === from + 1 || bytes[at] !== 0x5d) return false; // ]
    at++;
  } else {
    while (at < to) {
      if (HOST[bytes[at]!] === 1) at++;
      else if (isEscape(bytes, at, to)) at += 3;
      else break;
    }
    if (at === from) return false;
  }
  if (at === to) return !needsPort;
  if (bytes[at] !== COLON || to - ++at > PORT_DIGITS_MAX || (needsPort && at === to)) return false;
  let port = 0;
  for (; at < to; at++) {
    if (!isDigit(bytes[at]!)) return false;
    port = port * 10 + bytes[at]! - 0x30;
  }
  return port <= PORT_MAX;
}

function isEscape(bytes: Uint8Array, at: number, to: number): boolean {
  return bytes[at] === 0x25 && at + 2 < to && hexDigit(bytes[at + 1]!) >= 0 &&
    hexDigit(bytes[at + 2]!) >= 0;
}

/** Where the host of a URL begins that stands from `from` to `to`; -1 = it is no http(s) URL. */
function hostAt(bytes: Uint8Array, from: number, to: number): number {
  for (const scheme of ["http://", "https://"]) {
    const at = from + scheme.length;
    if (at >= to || !isWord(bytes, from, at, scheme)) continue;
    return isHost(bytes, at, authorityEnd(bytes, at, to)) ? at : -1;
  }
  return -1;
}

/** Where path or query of a URL begin. */
function authorityEnd(bytes: Uint8Array, from: number, to: number): number {
  let at = from;
  while (at < to && bytes[at] !== SLASH && bytes[at] !== 0x3f) at++;
  return at;
}

/** Methods by their length: none of these is made again for each request. */
const METHODS: readonly (readonly string[])[] = [
  [],
  [],
  [],
  ["GET", "PUT"],
  ["POST", "HEAD"],
  ["PATCH", "TRACE"],
  ["DELETE"],
  ["OPTIONS", "CONNECT"],
];

function methodOf(bytes: Buffer, from: number, to: number): string {
  const known = METHODS[to - from];
  if (known !== undefined) {
    for (const method of known) if (isText(bytes, from, to, method)) return method;
  }
  return bytes.toString("latin1", from, to);
}

/** Targets seen last, by a hash of their bytes: a client asks for the same few over and over. */
const targets: string[] = new Array(16).fill("");
/** What is kept of them is 16 times this at the most. */
const KEPT_CHARS_MAX = 256;

function textOf(bytes: Buffer, from: number, to: number): string {
  const length = to - from;
  if (length === 0 || length > KEPT_CHARS_MAX) return bytes.toString("latin1", from, to);
  const slot = (length * 7 + bytes[to - 1]! + bytes[from + (length >> 1)]! * 3) & 15;
  const last = targets[slot]!;
  if (isText(bytes, from, to, last)) return last;
  return targets[slot] = bytes.toString("latin1", from, to);
}

function brokenAt(byte: number): Http1Error {
  const isLineEnd = byte === CR || byte === LF;
  return broken(
    isControl(byte) && !isLineEnd
      ? "its head has a control character"
      : "its request line is broken",
  );
}

function broken(what: string): Http1Error {
  return malformed("request", what);
}
