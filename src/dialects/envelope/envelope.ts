/**
 * The envelope of the streaming response service: `{"code":0,"msg":"success","data":{…}}`, as its
 * Go encoder writes it (docs/facts/systems.md "Envelope").
 *
 * @module
 */

import { DONE_EVENT } from "../../core/dialect.ts";
import { checkDepth, checkSize } from "../../core/depth.ts";
import { AppError } from "../../core/errors.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import type { Layout } from "../../core/frames.ts";
import type { SessionIds } from "../../core/memory.ts";
import type { Whole } from "../../core/surface.ts";
import { slipOf } from "../../lib/nearest.ts";
import type { RequestHead } from "../../lib/http1/request_head.ts";

/** Characters that Go's JSON encoder escapes and JavaScript's does not. */
const GO_ESCAPED = /[<>&\u2028\u2029]/g;
const GO_ESCAPES: Readonly<Record<string, string>> = {
  "<": "\\u003c",
  ">": "\\u003e",
  "&": "\\u0026",
  "\u2028": "\\u2028",
  "\u2029": "\\u2029",
};

/** `value` as compact JSON with Go's escapes. */
export function goJson(value: unknown): string {
  return JSON.stringify(value).replace(GO_ESCAPED, (char) => GO_ESCAPES[char]!);
}

/** An envelope as text. */
export function envelope(code: 0 | -1, msg: string, data: unknown = {}): string {
  return `{"code":${code},"msg":${goJson(msg)},"data":${goJson(data)}}`;
}

/**
 * The envelope of an answer's text, or of a piece of it; that of a whole answer tells its session.
 * Without a text it has no `content`.
 */
export function contentEnvelope(content: string, session_id?: string): string {
  const text = content === "" ? {} : { content };
  return envelope(0, "success", session_id === undefined ? text : { ...text, session_id });
}

const JSON_HEADERS = {
  "content-type": "application/json",
  "access-control-allow-origin": "*",
};

/** A whole envelope as a response; the original ends it with a line feed. */
export function envelopeAnswer(
  text: string,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Whole {
  return {
    kind: "whole",
    status,
    headers: { ...JSON_HEADERS, ...headers },
    body: `${text}\n`,
  };
}

/** How answers are streamed: one envelope per piece of text. */
export const ENVELOPE_LAYOUT: Layout = {
  key: "envelope",
  idLengths: [],
  writer: () => ({
    step: (step) =>
      step.kind === "delta" && step.block === "text" && step.text !== "" && step.choice === 0
        ? `data: ${contentEnvelope(step.text)}\n\n`
        : "",
    close: () => DONE_EVENT,
  }),
};

/** `error` in the middle of a stream. No end mark follows. */
export function envelopeErrorEvent({ message }: AppError): string {
  return `data: ${envelope(-1, `流式响应错误: ${message}`)}\n\n`;
}

/** The three texts of a refused `Authorization`, a blank behind each colon, as the original. */
const AUTH_TEXTS = {
  missing: `{"code": -1, "msg": "Authorization header required"}\n`,
  malformed: `{"code": -1, "msg": "Invalid authorization format"}\n`,
  wrong: `{"code": -1, "msg": "Invalid token"}\n`,
} as const;

/**
 * Who may not come in where envelopes are spoken. The original's answer to it is no JSON of its
 * encoder, so it carries its bytes.
 */
export class Unauthorized extends AppError {
  readonly text: string;

  constructor(verdict: keyof typeof AUTH_TEXTS) {
    super(`auth_${verdict}`, `Authorization: ${verdict}`);
    this.text = AUTH_TEXTS[verdict];
  }
}

/** @throws {Unauthorized} unless the header carries the token. */
export function checkEnvelopeToken(
  authorize: Authorize,
  { fields }: Pick<RequestHead, "fields">,
  exchange: Exchange,
): void {
  const verdict = authorize(fields, exchange);
  if (verdict !== "ok") throw new Unauthorized(verdict);
}

/** The 401 of every URL that speaks the envelope. */
export function unauthorizedAnswer({ text, status }: Unauthorized): Whole {
  return {
    kind: "whole",
    status,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "x-content-type-options": "nosniff",
      "access-control-allow-origin": "*",
    },
    body: text,
  };
}

/** A body of more than `bytesMax` bytes. */
export function envelopeTooLarge(bytesMax: number): AppError {
  return new AppError(
    "body_too_large",
    `参数解析错误: the body is over ${bytesMax} bytes (server.body_max_bytes)`,
  );
}

/** How sentences about a body begin. */
const BODY = "参数解析错误: the body";

/** @throws {AppError} when `text` is no JSON, nests too deep or has too many fields. */
export function parseEnvelopeJson(text: string): unknown {
  checkSize(text, BODY);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new AppError("body_broken", "参数解析错误: the body is not valid JSON");
  }
  checkDepth(text, body, BODY);
  return body;
}

/** A request's body as an object of fields. */
export type Fields = Readonly<Record<string, unknown>>;

/** @throws {AppError} when `body` is no JSON object. */
export function fieldsOf(body: unknown): Fields {
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Fields;
  throw new AppError("request_invalid", "参数解析错误: the body must be a JSON object");
}

/** Unknown fields that are looked at: a body may have thousands of them. */
const UNKNOWN_FIELDS_MAX = 100;

/**
 * Fields of other names are ignored, as the original does, unless one nearly is `known`: whoever
 * sends `userid` would talk in a session of nobody.
 *
 * @throws {AppError} that names the known one.
 */
export function checkNames(fields: Fields, known: readonly string[]): void {
  let unknown = 0;
  for (const name in fields) {
    if (known.includes(name)) continue;
    if (++unknown > UNKNOWN_FIELDS_MAX) return;
    const meant = slipOf(name, known);
    if (meant === undefined || Object.hasOwn(fields, meant)) continue;
    throw new AppError(
      "param_unknown",
      `参数解析错误: there is no field "${name}": did you mean "${meant}"?`,
      { param: name },
    );
  }
}

/**
 * A text field: absent and null are "", as in Go.
 *
 * @throws {AppError} when it is something else.
 */
export function textField(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === "string") return value;
  if (value === undefined || value === null) return "";
  throw new AppError(
    "param_type",
    `参数解析错误: ${name} must be a string, it is ${
      Array.isArray(value) ? "array" : typeof value
    }`,
    { param: name },
  );
}

/** The fields that say who talks with whom. */
export const ID_FIELDS = ["session_id", "user_id", "role_id", "group_id"] as const;

/** Who talks with whom. @throws {AppError} when an id is longer than a store takes, or damaged. */
export function idsOf(fields: Fields): SessionIds {
  return {
    sessionId: idField(fields, "session_id", SESSION_ID_BYTES_MAX),
    userId: idField(fields, "user_id", ID_BYTES_MAX),
    roleId: idField(fields, "role_id", ID_BYTES_MAX),
    groupId: idField(fields, "group_id", ID_BYTES_MAX),
  };
}

/**
 * Bytes of UTF-8 of a user, role or group, and of a session: a name made of all three, every byte of
 * them percent-encoded, is a session's id too, and Postgres has no index for more than 2,704.
 */
const ID_BYTES_MAX = 255;
const SESSION_ID_BYTES_MAX = 2400;

/** What no store keeps (see `storable`), or stands for bytes that are no UTF-8. */
const DAMAGED = /[\0\uFFFD\p{Surrogate}]/u;

function idField(fields: Fields, name: string, bytesMax: number): string {
  const id = textField(fields, name);
  // Whatever is damaged becomes the same: two people would share a session.
  if (DAMAGED.test(id)) {
    throw new AppError(
      "param_value",
      `参数解析错误: ${name} must be whole UTF-8 text: it has a NUL, half a surrogate pair, ` +
        "or the U+FFFD of one that was lost",
      { param: name },
    );
  }
  // No unit of UTF-16 has more than three bytes of UTF-8.
  if (id.length * 3 <= bytesMax) return id;
  const bytes = Buffer.byteLength(id);
  if (bytes <= bytesMax) return id;
  throw new AppError(
    "string_too_long",
    `参数解析错误: ${name} must have at most ${bytesMax} bytes: it has ${bytes}`,
    { param: name },
  );
}

/** A client's key is at most this long. */
const KEY_CHARS_MAX = 255;

/**
 * The request's `Idempotency-Key`; "" = none.
 *
 * @throws {AppError} when it is too long.
 */
export function idempotencyKey({ fields }: Pick<RequestHead, "fields">): string {
  const key = fields.get("idempotency-key") ?? "";
  if (key.length <= KEY_CHARS_MAX) return key;
  throw new AppError(
    "string_too_long",
    `Idempotency-Key must have at most ${KEY_CHARS_MAX} characters: it has ${key.length}`,
  );
}
