/**
 * Errors in OpenAI's dialect: the body's bytes, the headers, and the standard sentences
 * (docs/facts/openai_api.md "Errors and headers" and "Faults and their words").
 *
 * The live API has two layouts. Its front answers what never reaches a model (401, broken JSON,
 * unknown model, unknown path); everything else comes from behind it.
 *
 * @module
 */

import { dataEvent } from "../../core/dialect.ts";
import { AppError, type ErrorCode, ERRORS } from "../../core/errors.ts";
import { KEY_PREFIX } from "../../core/keys.ts";
import type { Whole } from "../../core/surface.ts";
import type { Fields } from "../../lib/http1/fields.ts";

/** OpenAI's `openai-version` header: the same since 2020. */
export const OPENAI_VERSION = "2020-10-01";

/**
 * Characters shown at the start and at the end of a wrong key (docs/facts/openai_api.md "Wrong
 * keys").
 */
const KEY_HEAD_CHARS = 8;
const KEY_TAIL_CHARS = 4;
/** A key up to this long is repeated as it is: `ai`, `kk`. */
const KEY_SHORT_CHARS_MAX = 4;
/** A header may carry 16 KiB; so many stars say enough. */
const KEY_STARS_MAX = 256;
/** Longest name or path that an error repeats, in UTF-16 units. */
const ECHO_CHARS_MAX = 500;

/** What the front answers: indented by 4, with a newline, and without the headers of a model. */
const FRONT_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "auth_missing",
  "auth_malformed",
  "auth_wrong",
  "body_broken",
  "model_unknown",
  "path_unknown",
]);

/** The error object's four keys, in the order of every recorded body. */
interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
}

function bodyOf(error: AppError): ErrorBody {
  const { type, code } = errorWords(error);
  return { error: { message: error.message, type, param: error.param, code } };
}

/** What the API says to a status, where that is more than an invalid request or a server's error. */
const STATUS_WORDS: Readonly<Record<number, { readonly type: string; readonly code: string }>> = {
  401: { type: "invalid_request_error", code: "invalid_api_key" },
  429: { type: "requests", code: "rate_limit_exceeded" },
};

/** The `type` and the `code` of `error`. */
export function errorWords(
  { code, status, told }: Pick<AppError, "code" | "status" | "told">,
): { readonly type: string; readonly code: string | null } {
  if (told === undefined) return { type: ERRORS[code].type, code: ERRORS[code].apiCode };
  if (told.type !== undefined) return { type: told.type, code: told.code ?? null };
  const usual = STATUS_WORDS[status];
  return {
    type: usual?.type ?? (status < 500 ? "invalid_request_error" : "server_error"),
    code: told.code ?? usual?.code ?? null,
  };
}

/** The response body of `error`, byte for byte in the layout of its class. */
export function errorText(error: AppError): string {
  if (FRONT_CODES.has(error.code)) return `${JSON.stringify(bodyOf(error), null, 4)}\n`;
  return JSON.stringify(bodyOf(error), null, 2);
}

/** The response headers of `error`; its own headers come last and win. */
export function errorHeaders(
  error: AppError,
  requestId: string,
  processingMs = 1,
): Record<string, string> {
  const layout: Record<string, string> = FRONT_CODES.has(error.code)
    ? { "content-type": "application/json; charset=utf-8", "vary": "Origin" }
    : {
      "content-type": "application/json",
      "openai-version": OPENAI_VERSION,
      "openai-processing-ms": String(Math.max(1, Math.round(processingMs))),
      "access-control-expose-headers": "X-Request-ID",
    };
  return {
    ...layout,
    "x-request-id": requestId,
    "access-control-allow-origin": "*",
    ...error.headers,
  };
}

/**
 * `error` as OpenAI would answer it before the first byte of a stream. `requestId` is the whole
 * `x-request-id`, `req_` + 32 hex digits; `processingMs` the milliseconds since the request came.
 */
export function errorAnswer(error: AppError, requestId: string, processingMs = 1): Whole {
  return {
    kind: "whole",
    status: error.status,
    headers: errorHeaders(error, requestId, processingMs),
    body: errorText(error),
  };
}

/** `error` in the middle of a stream: one event, with no end mark after it. */
export function errorEvent(error: AppError): string {
  return dataEvent(bodyOf(error));
}

/** No `Authorization` header: 401. */
export function noKey(): AppError {
  return new AppError(
    "auth_missing",
    "You didn't provide an API key. You need to provide your API key in an Authorization header " +
      "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or as the password field (with " +
      "blank username) if you're accessing the API from your browser and are prompted for a " +
      "username and password. You can obtain an API key from " +
      "https://platform.openai.com/account/api-keys.",
  );
}

/**
 * A key that is not the right one: 401. `secrets` are the right ones: a wrong key that would show
 * one of them in its unmasked parts is all stars.
 */
export function wrongKey(key: string, secrets: readonly string[] = []): AppError {
  return new AppError(
    "auth_wrong",
    `Incorrect API key provided: ${maskedKey(key, secrets)}. ` +
      "You can find your API key at https://platform.openai.com/account/api-keys.",
  );
}

/**
 * First 8 and last 4 characters, stars for the rest. A key of 5 to 12 has no rest: the live rule
 * for those is unknown, and here they are stars but for their first two characters.
 */
function maskedKey(key: string, secrets: readonly string[]): string {
  // Of a key of weir's own nothing is told: it may be one that holds elsewhere, or did.
  if (key.startsWith(KEY_PREFIX)) return KEY_PREFIX + stars(key.length - KEY_PREFIX.length);
  let masked = key;
  if (key.length > KEY_HEAD_CHARS + KEY_TAIL_CHARS) {
    const hidden = stars(key.length - KEY_HEAD_CHARS - KEY_TAIL_CHARS);
    masked = key.slice(0, KEY_HEAD_CHARS) + hidden + key.slice(-KEY_TAIL_CHARS);
  } else if (key.length > KEY_SHORT_CHARS_MAX) {
    masked = key.slice(0, 2) + stars(key.length - 2);
  }
  const isTelling = secrets.some((secret) => secret !== "" && masked.includes(secret));
  return isTelling ? stars(key.length) : masked;
}

function stars(count: number): string {
  return "*".repeat(Math.min(count, KEY_STARS_MAX));
}

/** The error for a request whose key is not in order. */
export function keyError(
  verdict: "missing" | "malformed" | "wrong",
  fields: Pick<Fields, "get">,
  secrets: readonly string[],
): AppError {
  if (verdict !== "wrong") return noKey();
  return wrongKey((fields.get("authorization") ?? "").slice("Bearer ".length), secrets);
}

/** The body is not JSON, is empty, or is no JSON object: 400. */
export function brokenJson(): AppError {
  return new AppError(
    "body_broken",
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using " +
      "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was " +
      "not valid JSON. If you have trouble figuring out how to fix this, please contact us " +
      "through our help center at help.openai.com.)",
  );
}

/** The body names no model: 400. */
export function modelAbsent(): AppError {
  return new AppError("request_invalid", "you must provide a model parameter");
}

/** A model that `GET /v1/models/{id}` does not know: 404. */
export function modelNotListed(name: string): AppError {
  return new AppError("model_unknown", `The model '${shortened(name)}' does not exist`, {
    param: "model",
  });
}

/** A model that nobody may delete: 403. The sentence is ours, the live one is unknown. */
export function modelNotYours(name: string): AppError {
  return new AppError(
    "forbidden",
    `You may not delete the model '${shortened(name)}': only fine-tuned models can be deleted`,
    { param: "model" },
  );
}

/** A path that nobody serves: 404. `path` comes without its query. */
export function invalidUrl(method: string, path: string): AppError {
  return new AppError("path_unknown", `Invalid URL (${method} ${shortened(path)})`);
}

/** Any method but POST on a path that has only POST: 405. */
export function onlyPost(): AppError {
  return new AppError("method_wrong", "Only POST requests are accepted.", {
    headers: { allow: "POST" },
  });
}

/** A method that a path does not have: 405. `allow` lists those it has: "GET, HEAD". */
export function methodRefused(method: string, path: string, allow: string): AppError {
  return new AppError(
    "method_refused",
    `Not allowed to ${method} on ${shortened(path)}. ` +
      "(HINT: Perhaps you meant to use a different HTTP method?)",
    { headers: { allow } },
  );
}

/** A body longer than `bodyBytesMax` bytes: 413. The sentence is ours, the live one is unknown. */
export function bodyTooLarge(bodyBytesMax: number): AppError {
  return new AppError(
    "body_too_large",
    `The request body is larger than ${bodyBytesMax} bytes. ` +
      "Send a smaller one, or raise server.body_max_bytes.",
  );
}

function shortened(text: string): string {
  if (text.length <= ECHO_CHARS_MAX) return text.toWellFormed();
  return `${text.slice(0, ECHO_CHARS_MAX)}...`.toWellFormed();
}
