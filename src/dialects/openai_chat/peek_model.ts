/**
 * The model that a request names, in a body that is none of weir's business otherwise.
 *
 * @module
 */

import { checkDepth, checkSize } from "../../core/depth.ts";

/** Bodies above this are not searched for their model's name. */
const PEEK_BYTES_MAX = 1024 * 1024;
const NAME_BYTES_MAX = 200;
const KEY = Buffer.from('"model"');
/** How every letter of that key begins, where it is written as an escape. */
const ESCAPED = Buffer.from("\\u006");
/** Bytes before it in a body that names it first. */
const OPENING_BYTES_MAX = 16;

const OPEN = 0x7b;
const COLON = 0x3a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * The first model that a body names, for logs and traces; "" = none found. It is looked for and not
 * parsed, which takes a tenth of the time.
 */
export function peekModel(body: Uint8Array<ArrayBuffer> | null): string {
  if (body === null || body.length > PEEK_BYTES_MAX) return "";
  // Inside a text its quotes would be escaped, so this is a key.
  const key = indexOf.call(body, KEY);
  if (key < 0) return "";
  const colon = behindBlanks(body, key + KEY.length);
  const from = behindBlanks(body, colon + 1);
  if (body[colon] !== COLON || body[from] !== QUOTE) return "";
  let to = from + 1;
  while (body[to] !== QUOTE) {
    if (to === body.length || to - from > NAME_BYTES_MAX || body[to] === BACKSLASH) return "";
    to++;
  }
  return utf8Slice.call(body, from + 1, to);
}

/** Those of `Buffer` take any bytes; a `Buffer` made around them costs more than they do. */
const { indexOf, utf8Slice } = Buffer.prototype as unknown as {
  readonly indexOf: (this: Uint8Array, bytes: Uint8Array, from?: number) => number;
  readonly utf8Slice: (this: Uint8Array, from: number, to: number) => string;
};

function behindBlanks(bytes: Uint8Array, at: number): number {
  for (;; at++) {
    const byte = bytes[at];
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return at;
  }
}

/**
 * The model of a body that names it first, as most clients do, and nowhere else says the word: whoever reads
 * its JSON finds the same, and nothing of it need be parsed, which takes ten times as long. "" = it is
 * another one.
 */
export function firstModel(body: Uint8Array<ArrayBuffer>): string {
  const key = indexOf.call(body, KEY);
  if (key < 0 || key > OPENING_BYTES_MAX || indexOf.call(body, KEY, key + 1) >= 0) return "";
  const open = behindBlanks(body, 0);
  if (body[open] !== OPEN || behindBlanks(body, open + 1) !== key) return "";
  return indexOf.call(body, ESCAPED) >= 0 ? "" : peekModel(body);
}

/**
 * The model that a body names, whatever else it holds and however it is spelled; "" = none, or it is
 * no JSON object, unless it begins like one that names it first. What decides something asks for this one.
 */
export function namedModel(body: Uint8Array<ArrayBuffer> | null): string {
  return body === null ? "" : firstModel(body) || (modelOf(body) ?? "");
}

/**
 * `body` as it came, or with `model` when it names none: put in front where there is no such key,
 * in place of an empty name or null where there is.
 *
 * @throws {AppError} 400 when it names none and nests too deep or has too many fields.
 */
export function withModel(
  body: Uint8Array<ArrayBuffer> | null,
  model: string,
): Uint8Array<ArrayBuffer> | null {
  if (model === "" || body === null || modelOf(body) !== "") return body;
  const text = new TextDecoder().decode(body);
  checkSize(text);
  const value = JSON.parse(text) as object;
  checkDepth(text, value); // JSON.stringify recurses
  if ("model" in value) return new TextEncoder().encode(JSON.stringify({ ...value, model }));
  const open = body.indexOf(0x7b); // "{"
  const isEmpty = /^\s*\}/.test(new TextDecoder().decode(body.subarray(open + 1, open + 64)));
  const key = Buffer.from(`"model":${JSON.stringify(model)}${isEmpty ? "" : ","}`);
  const named = new Uint8Array(body.length + key.length);
  named.set(body.subarray(0, open + 1));
  named.set(key, open + 1);
  named.set(body.subarray(open + 1), open + 1 + key.length);
  return named;
}

/**
 * The model that a JSON body names; "" = it is an object that names none; undefined = it cannot be
 * told, so the upstream says what is wrong with it.
 */
function modelOf(body: Uint8Array): string | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    const model = "model" in value ? value.model ?? "" : "";
    return typeof model === "string" ? model : undefined;
  } catch {
    return undefined;
  }
}
