/**
 * The head of an HTTP/1.1 response: status line and fields, and what they say about the length of
 * the body. Strict, since two readings of one head are how responses get smuggled (RFC 9112 §11).
 *
 * @module
 */

import { Http1Error } from "./error.ts";

/** Name as it was sent, and value without the blanks around it. One character is one byte. */
export type Field = readonly [name: string, value: string];

/** How the end of a body is found (RFC 9112 §6.3). */
export type Framing =
  /** HEAD, 204, 304: there is none, whatever the fields say. */
  | "none"
  /** `content-length`. */
  | "length"
  /** `transfer-encoding: chunked`. */
  | "chunked"
  /** It ends with the connection. */
  | "close";

/** The head of one final response. */
export interface ResponseHead {
  readonly status: number;
  /** The words behind the status; may be empty. */
  readonly statusText: string;
  /** In their order, repeated ones included. */
  readonly fields: readonly Field[];
  readonly framing: Framing;
  /** Bytes of the body when `framing` is "length", else 0. */
  readonly lengthBytes: number;
  /** True when the server keeps the connection open: HTTP/1.1 and no `connection: close`. */
  readonly keepsAlive: boolean;
  /** Milliseconds the server says it keeps an idle connection; Infinity = it does not say. */
  readonly keepAliveMs: number;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: (.*))?$/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const DIGITS = /^\d+$/;
/** Whole lines without control characters. A third of the time that looking for `FORBIDDEN` takes. */
const CLEAN = /^[\t\x20-\x7e\x80-\xff]*(?:\r\n[\t\x20-\x7e\x80-\xff]*)*$/;
/** A control character other than tab, or half of a line end. */
const FORBIDDEN = /[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
const KEEP_ALIVE_TIMEOUT = /(?:^|[,; \t])timeout=(\d{1,9})/i;

/** What every HTTP/1 response starts with. */
export const PREFIX = "HTTP/1.";

/** An error about bytes that are not HTTP. `what` goes on after "Cannot read the response: ". */
export function malformed(what: string): Http1Error {
  return new Http1Error("malformed", `Cannot read the response: ${what}`);
}

/** The error about byte number `at` of `text` when that may not stand in a head; else undefined. */
export function forbiddenIn(text: string): Http1Error | undefined {
  const at = text.search(FORBIDDEN);
  if (at < 0) return undefined;
  return malformed(
    text[at] === "\r" || text[at] === "\n"
      ? "its head has a line end that is not CR LF"
      : "its head has a control character",
  );
}

/**
 * Reads `text`: a head as latin1, without the empty line that ends it. `isBodiless` is true for the
 * answer to HEAD.
 *
 * @throws {Http1Error} malformed
 */
export function parseHead(text: string, isBodiless: boolean): ResponseHead {
  if (!text.startsWith(PREFIX)) throw malformed("it does not start with HTTP/1.");
  if (!CLEAN.test(text)) throw forbiddenIn(text) ?? malformed("its head is broken");
  let lineEnd = text.indexOf("\r\n");
  if (lineEnd < 0) lineEnd = text.length;
  const { isHttp10, status, statusText } = statusLineOf(text.slice(0, lineEnd));
  const fields: Field[] = [];
  let length: string | undefined;
  let coding: string | undefined;
  let keepsAlive = !isHttp10;
  let keepAliveMs = Infinity;
  for (let at = lineEnd + 2; at < text.length; at = lineEnd + 2) {
    lineEnd = text.indexOf("\r\n", at);
    if (lineEnd < 0) lineEnd = text.length;
    const colon = text.indexOf(":", at);
    const name = text.slice(at, colon < 0 || colon > lineEnd ? lineEnd : colon);
    if (colon < 0 || colon > lineEnd || !NAME.test(name)) throw brokenField(text.charCodeAt(at));
    const value = trimmed(text, colon + 1, lineEnd);
    fields.push([name, value]);
    // Only four names matter here, and their lengths tell most others apart without a copy.
    if (name.length === 14 && name.toLowerCase() === "content-length") {
      length = joined(length, value);
    } else if (name.length === 17 && name.toLowerCase() === "transfer-encoding") {
      coding = joined(coding, value);
    } else if (name.length === 10) {
      const lower = name.toLowerCase();
      if (lower === "connection" && hasToken(value, "close")) keepsAlive = false;
      if (lower === "keep-alive") {
        const timeout = KEEP_ALIVE_TIMEOUT.exec(value);
        if (timeout !== null) keepAliveMs = Number(timeout[1]) * 1000;
      }
    }
  }
  let framing: Framing;
  let lengthBytes = 0;
  if (isBodiless || status < 200 || status === 204 || status === 304) framing = "none";
  else if (coding !== undefined) {
    if (length !== undefined) throw malformed("it has a content-length and a transfer-encoding");
    if (isHttp10) throw malformed("it has a transfer-encoding although it is HTTP/1.0");
    if (coding.toLowerCase() !== "chunked") throw malformed("its transfer-encoding is not chunked");
    framing = "chunked";
  } else if (length !== undefined) {
    framing = "length";
    lengthBytes = parseLength(length);
  } else {
    framing = "close";
  }
  if (framing === "close") keepsAlive = false;
  return { status, statusText, fields, framing, lengthBytes, keepsAlive, keepAliveMs };
}

interface StatusLine {
  readonly text: string;
  readonly isHttp10: boolean;
  readonly status: number;
  readonly statusText: string;
}

/** Most answers begin like the one before. */
let lastStatusLine: StatusLine | undefined;

function statusLineOf(text: string): StatusLine {
  if (lastStatusLine?.text === text) return lastStatusLine;
  const line = STATUS_LINE.exec(text);
  if (line === null) throw malformed("its status line is broken");
  lastStatusLine = {
    text,
    isHttp10: line[1] === "0",
    status: Number(line[2]),
    statusText: line[3] ?? "",
  };
  return lastStatusLine;
}

function brokenField(first: number): Http1Error {
  const isFolded = first === 0x20 || first === 0x09;
  return malformed(isFolded ? "its head has a folded line" : "its head has a broken field");
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before},${value}`;
}

function hasToken(value: string, token: string): boolean {
  const lower = value.toLowerCase();
  return lower === token || lower.split(",").some((part) => part.trim() === token);
}

/** Without blanks and tabs at both ends. `trim` would also eat 0xA0, the last byte of an "à". */
function trimmed(text: string, from: number, to: number): string {
  while (from < to && isBlank(text.charCodeAt(from))) from++;
  while (to > from && isBlank(text.charCodeAt(to - 1))) to--;
  return text.slice(from, to);
}

function isBlank(char: number): boolean {
  return char === 0x20 || char === 0x09;
}

/** RFC 9110 §8.6: the same number several times is that number, anything else is an attack. */
function parseLength(value: string): number {
  const [first = "", ...others] = value.split(",").map((part) => trimmed(part, 0, part.length));
  if (!DIGITS.test(first)) throw malformed("its content-length is not a number");
  if (others.some((other) => other !== first)) throw malformed("it has two content-lengths");
  const length = Number(first);
  if (!Number.isSafeInteger(length)) throw malformed("its content-length is too large");
  return length;
}
