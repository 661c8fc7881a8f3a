/**
 * Reading request bodies: never more than the limit, and never for longer than the limit.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { Waiting, WaitingLine } from "../lib/waiting_line.ts";
import type { Wheel } from "../lib/wheel.ts";

/** How reading a body can fail. */
export interface BodyErrors {
  /** The body is larger than the limit. */
  readonly tooLarge: () => AppError;
  /** The body is not JSON, or empty. */
  readonly broken: () => AppError;
}

/** What a body may be. One for the whole process. */
export class BodyLimits {
  readonly bytesMax: number;
  readonly timeoutMs: number;
  /** Bodies that are still coming. */
  readonly line: WaitingLine;

  /** A body may have `bytesMax` bytes, and `timeoutMs` to come (up to a quarter more). */
  constructor(wheel: Wheel, bytesMax: number, timeoutMs: number) {
    this.bytesMax = bytesMax;
    this.timeoutMs = timeoutMs;
    this.line = new WaitingLine(wheel, timeoutMs);
  }
}

/**
 * The body as JSON. A body that names its length is read natively in one go; one that does not is
 * counted while it is read. Rejects with an `AppError`: `errors.tooLarge()`, `errors.broken()`, or
 * `body_slow`.
 *
 * Not `async`: on the hot path each promise is some 2 % of a request.
 */
export function readJson(
  request: Request,
  limits: BodyLimits,
  errors: BodyErrors,
): Promise<unknown> {
  const length = request.headers.get("content-length");
  if (length === null) return readCountedJson(request, limits, errors);
  if (Number(length) > limits.bytesMax) return Promise.reject(errors.tooLarge());
  return inTime(request.json(), limits, errors.broken);
}

/**
 * What `use` makes of the body as JSON, or `fail` of whatever goes wrong: reading and answering in
 * one promise, where an `await` between them costs 3 % of a whole mock answer. Never rejects, as
 * long as `fail` does not throw.
 */
export function answerJson<Value>(
  request: Request,
  limits: BodyLimits,
  errors: BodyErrors,
  use: (body: unknown) => Value | Promise<Value>,
  fail: (error: unknown) => Value | Promise<Value>,
): Promise<Value> {
  const length = request.headers.get("content-length");
  if (length === null || Number(length) > limits.bytesMax) {
    return readJson(request, limits, errors).then(use).catch(fail);
  }
  return new Promise((resolve) => {
    const { line, timeoutMs } = limits;
    const waiting = new Waiting(() => resolve(fail(bodySlow(timeoutMs))));
    line.join(waiting);
    request.json().then((body) => {
      if (!line.leave(waiting)) return; // expired
      let value: Value | Promise<Value>;
      try {
        value = use(body);
      } catch (error) {
        return resolve(fail(error));
      }
      resolve(value instanceof Promise ? value.catch(fail) : value);
    }, () => {
      if (line.leave(waiting)) resolve(fail(errors.broken()));
    });
  });
}

async function readCountedJson(
  request: Request,
  limits: BodyLimits,
  errors: BodyErrors,
): Promise<unknown> {
  const bytes = await readBytes(request, limits, errors.tooLarge);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw errors.broken();
  }
}

/**
 * The body's bytes.
 *
 * @throws {AppError} `tooLarge()` above the limit, as soon as that is known; `body_slow`.
 */
export async function readBytes(
  request: Request,
  limits: BodyLimits,
  tooLarge: () => AppError,
): Promise<Uint8Array<ArrayBuffer>> {
  const length = request.headers.get("content-length");
  if (length !== null) {
    if (Number(length) > limits.bytesMax) throw tooLarge();
    return new Uint8Array(await inTime(request.arrayBuffer(), limits, incomplete));
  }
  const reader = request.body?.getReader();
  if (reader === undefined) return new Uint8Array();
  const pieces: Uint8Array[] = [];
  async function gather(): Promise<Uint8Array<ArrayBuffer>> {
    for (let bytes = 0;;) {
      const { done, value } = await reader!.read();
      if (done) return new Uint8Array(Buffer.concat(pieces));
      bytes += value.length;
      if (bytes > limits.bytesMax) throw tooLarge();
      pieces.push(value);
    }
  }
  try {
    return await inTime(gather(), limits, incomplete);
  } catch (error) {
    reader.cancel().catch(() => {}); // the answer is the error, however the rest ends
    throw error;
  }
}

/** `reading`'s value, or `body_slow` when it takes too long. What is no `AppError` is `broken()`. */
function inTime<Value>(
  reading: Promise<Value>,
  { line, timeoutMs }: BodyLimits,
  broken: () => AppError,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const waiting = new Waiting(() => reject(bodySlow(timeoutMs)));
    line.join(waiting);
    reading.then((value) => {
      line.leave(waiting);
      resolve(value);
    }, (error: unknown) => {
      line.leave(waiting);
      reject(error instanceof AppError ? error : broken());
    });
  });
}

/**
 * A body that did not come in time: 408. The connection closes with the answer, since the rest of
 * the body may still come, and would be read as the next request.
 */
function bodySlow(timeoutMs: number): AppError {
  return new AppError(
    "body_slow",
    `The request body was not complete after ${timeoutMs} ms (server.body_timeout_ms).`,
    { headers: { connection: "close" } },
  );
}

/** A body that broke off: whoever sent it has left, or does not speak HTTP. */
function incomplete(): AppError {
  return new AppError("body_broken", "The request body broke off before its end");
}

/** The query of a URL with its "?", or "". */
export function queryOf(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? "" : url.slice(at);
}
