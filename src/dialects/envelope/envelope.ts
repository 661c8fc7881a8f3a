/**
 * System 000's envelope: `{"code":0,"msg":"success","data":{…}}`, as its Go encoder writes it
 * (facts/systems.md 000.2 to 000.4).
 *
 * @module
 */

import { type Dialect, DONE_EVENT } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import type { SessionIds } from "../../core/memory.ts";
import type { BodyErrors } from "../../core/body.ts";

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

/** The envelope of an answer's text, or of a piece of it. Without a text it has no `content`. */
export function contentEnvelope(content: string): string {
  return envelope(0, "success", content === "" ? {} : { content });
}

const JSON_HEADERS = {
  "content-type": "application/json",
  "access-control-allow-origin": "*",
};

/** A whole envelope as a response; the original ends it with a line feed. */
export function envelopeResponse(text: string, status = 200, headers = {}): Response {
  return new Response(`${text}\n`, { status, headers: { ...JSON_HEADERS, ...headers } });
}

/** The stream's dialect: one envelope per piece of text. */
export class EnvelopeDialect implements Dialect {
  open(): string {
    return "";
  }

  text(text: string): string {
    return `data: ${contentEnvelope(text)}\n\n`;
  }

  end(): string {
    return DONE_EVENT;
  }

  error(error: AppError): string {
    return `data: ${envelope(-1, `流式响应错误: ${error.message}`)}\n\n`;
  }
}

/** The three texts of a refused `Authorization`, a blank behind each colon, as the original. */
const AUTH_TEXTS = {
  missing: `{"code": -1, "msg": "Authorization header required"}\n`,
  malformed: `{"code": -1, "msg": "Invalid authorization format"}\n`,
  wrong: `{"code": -1, "msg": "Invalid token"}\n`,
} as const;

/** The 401 of every URL that speaks the envelope. */
export function unauthorized(verdict: keyof typeof AUTH_TEXTS): Response {
  return new Response(AUTH_TEXTS[verdict], {
    status: 401,
    headers: {
      "content-type": "text/plain; charset=utf-8",
      "x-content-type-options": "nosniff",
      "access-control-allow-origin": "*",
    },
  });
}

/** How reading a body fails in this dialect. */
export function envelopeBodyErrors(bodyBytesMax: number): BodyErrors {
  return {
    tooLarge: () =>
      new AppError(
        "body_too_large",
        `参数解析错误: the body is over ${bodyBytesMax} bytes (server.body_max_bytes)`,
      ),
    broken: () => new AppError("body_broken", "参数解析错误: the body is not valid JSON"),
  };
}

/** A request's body as an object of fields. */
export type Fields = Readonly<Record<string, unknown>>;

/** @throws {AppError} when `body` is no JSON object. */
export function fieldsOf(body: unknown): Fields {
  if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Fields;
  throw new AppError("request_invalid", "参数解析错误: the body must be a JSON object");
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

/** Who talks with whom. */
export function idsOf(fields: Fields): SessionIds {
  return {
    sessionId: textField(fields, "session_id"),
    userId: textField(fields, "user_id"),
    roleId: textField(fields, "role_id"),
    groupId: textField(fields, "group_id"),
  };
}

/** A client's key is at most this long. */
const KEY_CHARS_MAX = 255;

/**
 * The request's `Idempotency-Key`; "" = none.
 *
 * @throws {AppError} when it is too long.
 */
export function idempotencyKey(request: Request): string {
  const key = request.headers.get("idempotency-key") ?? "";
  if (key.length <= KEY_CHARS_MAX) return key;
  throw new AppError(
    "param_value",
    `Idempotency-Key must have at most ${KEY_CHARS_MAX} characters: it has ${key.length}`,
  );
}
