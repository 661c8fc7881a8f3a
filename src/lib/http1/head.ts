/**
 * The head of an HTTP/1.1 response: status line and fields, and what they say about the length of
 * the body. Strict, since two readings of one head are how responses get smuggled (RFC 9112 §11).
 *
 * @module
 */

import { CR, isDigit, isText, isWord, LF, SPACE, VALUE } from "./bytes.ts";
import { malformed } from "./error.ts";
import { contentLength, hasMember } from "./field_values.ts";
import type { Fields } from "./fields.ts";
import type { Framing } from "./framing.ts";

/** The head of one final response. */
export interface ResponseHead {
  readonly status: number;
  /** The words behind the status; may be empty. */
  readonly statusText: string;
  readonly fields: Fields;
  readonly framing: Framing;
  /** Bytes of the body when `framing` is "length", else 0. */
  readonly lengthBytes: number;
  /** True when the server keeps the connection open: HTTP/1.1 and no `connection: close`. */
  readonly keepsAlive: boolean;
  /** Milliseconds the server says it keeps an idle connection; Infinity = it does not say. */
  readonly keepAliveMs: number;
}

/** The first line of a response, without its CR LF. */
export interface StatusLine {
  readonly text: string;
  readonly isHttp10: boolean;
  readonly status: number;
  readonly statusText: string;
}

/** What every HTTP/1 response starts with. */
export const PREFIX = "HTTP/1.";
/** Where the status stands, and where it ends. */
const STATUS_AT = PREFIX.length + 2;
const STATUS_END = STATUS_AT + 3;

const KEEP_ALIVE_TIMEOUT = /(?:^|[,; \t])timeout=(\d{1,9})/i;

/** Most answers begin like the one before. */
let lastLine: StatusLine = { text: "", isHttp10: false, status: 0, statusText: "" };

/**
 * The status line that begins at `at`, when it is whole before `to` and good (RFC 9112 §4); else
 * undefined. Repeated ones are the same object.
 */
export function statusLineAt(bytes: Buffer, at: number, to: number): StatusLine | undefined {
  const lastEnd = at + lastLine.text.length;
  if (
    lastEnd > at && lastEnd + 1 < to && bytes[lastEnd] === CR && bytes[lastEnd + 1] === LF &&
    isText(bytes, at, lastEnd, lastLine.text)
  ) return lastLine;
  let end = at;
  while (end < to && VALUE[bytes[end]!] === 1) end++;
  if (end + 1 >= to || bytes[end] !== CR || bytes[end + 1] !== LF) return undefined;
  const text = bytes.toString("latin1", at, end);
  const minor = text[PREFIX.length];
  if (!text.startsWith(PREFIX) || (minor !== "0" && minor !== "1")) return undefined;
  if (text.charCodeAt(STATUS_AT - 1) !== SPACE || text.length < STATUS_END) return undefined;
  for (let i = STATUS_AT; i < STATUS_END; i++) if (!isDigit(text.charCodeAt(i))) return undefined;
  const status = Number(text.slice(STATUS_AT, STATUS_END));
  if (status < 100 || status > 599) return undefined;
  if (text.length > STATUS_END && text.charCodeAt(STATUS_END) !== SPACE) return undefined;
  lastLine = { text, isHttp10: minor === "0", status, statusText: text.slice(STATUS_END + 1) };
  return lastLine;
}

/**
 * What `line` and `fields` say. `isBodiless` is true for the answer to HEAD.
 *
 * @throws {Http1Error} malformed
 */
export function responseHead(line: StatusLine, fields: Fields, isBodiless: boolean): ResponseHead {
  const { isHttp10, status, statusText } = line;
  const { bytes } = fields;
  const lines = fields.scan();
  let lengths = 0;
  let lengthLine = -1;
  let codings = 0;
  let codingLine = -1;
  let keepsAlive = !isHttp10;
  let keepAliveMs = Infinity;
  for (let i = 0; i < lines.count; i++) {
    const nameAt = lines.nameAt(i);
    const nameEnd = lines.nameEnd(i);
    switch (nameEnd - nameAt) { // Only four names matter here, and their lengths tell most others.
      case 10:
        if (isWord(bytes, nameAt, nameEnd, "connection")) {
          if (hasMember(bytes, lines.valueAt(i), lines.valueEnd(i), "close")) keepsAlive = false;
        } else if (isWord(bytes, nameAt, nameEnd, "keep-alive")) {
          const value = bytes.toString("latin1", lines.valueAt(i), lines.valueEnd(i));
          const timeout = KEEP_ALIVE_TIMEOUT.exec(value);
          if (timeout !== null) keepAliveMs = Number(timeout[1]) * 1000;
        }
        break;
      case 14:
        if (!isWord(bytes, nameAt, nameEnd, "content-length")) break;
        lengthLine = lengths++ === 0 ? i : -1;
        break;
      case 17:
        if (!isWord(bytes, nameAt, nameEnd, "transfer-encoding")) break;
        codingLine = codings++ === 0 ? i : -1;
    }
  }
  let framing: Framing = "close";
  let lengthBytes = 0;
  if (isBodiless || status < 200 || status === 204 || status === 304) framing = "none";
  else if (codings > 0) {
    if (lengths > 0) throw broken("it has a content-length and a transfer-encoding");
    if (isHttp10) throw broken("it has a transfer-encoding although it is HTTP/1.0");
    if (
      codingLine < 0 ||
      !isWord(bytes, lines.valueAt(codingLine), lines.valueEnd(codingLine), "chunked")
    ) throw broken("its transfer-encoding is not chunked");
    framing = "chunked";
  } else if (lengths > 0) {
    framing = "length";
    lengthBytes = contentLength(fields, lengthLine, "response");
  } else keepsAlive = false;
  return { status, statusText, fields, framing, lengthBytes, keepsAlive, keepAliveMs };
}

function broken(what: string) {
  return malformed("response", what);
}
