/**
 * Errors in Anthropic's dialect (docs/facts/anthropic.md "Errors").
 *
 * @module
 */

import { AppError, type ErrorCode } from "../../core/errors.ts";
import type { Whole } from "../../core/surface.ts";
import type { Fault } from "../openai/faults.ts";
import { event } from "./events.ts";

/** The word of a status; what has none is an `api_error` from 500 on, else an invalid request. */
const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  402: "billing_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
  529: "overloaded_error",
};

/** All words of the API. */
const KNOWN: ReadonlySet<string> = new Set([
  ...Object.values(TYPES),
  "invalid_request_error",
  "api_error",
]);

/** What an upstream of another dialect says: its words mean something else here. */
const OF_OTHERS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "upstream_refused",
  "upstream_broken",
]);

function bodyOf({ code, status, message, param, told }: AppError) {
  const type = told?.type !== undefined && KNOWN.has(told.type) && !OF_OTHERS.has(code)
    ? told.type
    : TYPES[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
  const details = param === THREAD ? { details: NO_THREADS } : {};
  return { type: "error", error: { type, message, ...details } };
}

const THREAD = "thread";

/** What its client wants to hear before it sends the whole conversation in each request. */
const NO_THREADS = { error_code: "thread_unsupported_request", unsupported: [THREAD] };

/** A conversation that is to be kept for its next request: 400. */
export function noThreads(): AppError {
  return new AppError(
    "request_invalid",
    "thread: conversations are not kept here, send all messages in each request",
    { param: THREAD },
  );
}

/** `error` before the first byte of an answer. `requestId` is the whole `request-id`. */
export function errorAnswer(error: AppError, requestId: string): Whole {
  return {
    kind: "whole",
    status: error.status,
    headers: {
      "content-type": "application/json",
      "request-id": requestId,
      "access-control-allow-origin": "*",
      ...error.headers,
    },
    body: JSON.stringify({ ...bodyOf(error), request_id: requestId }),
  };
}

/** `error` in the middle of a stream. Nothing follows it. */
export function errorEvent(error: AppError): string {
  return event(JSON.stringify(bodyOf(error)), "error");
}

/** The error for a key that is not in order. */
export function keyError(verdict: "missing" | "malformed" | "wrong", isBearer: boolean): AppError {
  if (verdict === "missing") return new AppError("auth_missing", "x-api-key header is required");
  return new AppError("auth_wrong", isBearer ? "Invalid bearer token" : "invalid x-api-key");
}

/** The body is no JSON object: 400. */
export function brokenJson(): AppError {
  return new AppError("body_broken", "The request body is not valid JSON: it must be an object");
}

/** A model that nobody serves: 404. */
export function modelNotFound(name: string): AppError {
  return new AppError("model_unknown", `model: ${name.slice(0, 500).toWellFormed()}`);
}

/** A body longer than `bodyBytesMax` bytes: 413. */
export function bodyTooLarge(bodyBytesMax: number): AppError {
  return new AppError(
    "body_too_large",
    `Request exceeds the maximum size of ${bodyBytesMax} bytes: send a smaller one, or raise ` +
      "server.body_max_bytes.",
  );
}

/** What is wrong with the value at a path: 400. */
export function invalid(path: string, sentence: string): AppError {
  return new AppError("request_invalid", path === "" ? sentence : `${path}: ${sentence}`);
}

/** The error of a fault that a rule has found: "messages.0.role: Input should be 'user' or …". */
export function errorOf({ code, path, say, should }: Fault): AppError {
  return invalid(
    path.replaceAll(/\[(\d+)\]/g, ".$1"),
    code === "param_missing"
      ? "Field required"
      : should === undefined
      ? say(path)
      : `Input should be ${should.replace(/^an? (?=string|boolean|integer)/, "a valid ")}`,
  );
}
