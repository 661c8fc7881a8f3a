/**
 * Reading request bodies: never more than the limit, each and all together, and never for longer
 * than the limit.
 *
 * @module
 */

import { AppError } from "./errors.ts";
import { Waiting, WaitingLine } from "../lib/waiting_line.ts";
import type { Wheel } from "../lib/wheel.ts";

/** How reading a body can fail. */
export interface BodyErrors {
  /** The body is larger than the limit. */
  readonly tooLarge: () => AppError;
  /** The body is not JSON, or empty. */
  readonly broken: () => AppError;
}

/**
 * A body of up to so many bytes is small: it is read natively, not counted, and never refused for
 * the sake of the others. `server.requests_waiting_max` bounds how many of them there are.
 */
const SMALL_BYTES_MAX = 65_536;

/** What bodies may be; from the `server` section of the config. */
export interface BodyOptions {
  readonly body_max_bytes: number;
  readonly body_timeout_ms: number;
  readonly bodies_max_bytes: number;
}

/** What bodies may be, and how much of them is here. One for the whole process. */
export class BodyLimits {
  /** Bytes of one body. */
  readonly bytesMax: number;
  /** Time for a body to come; up to a quarter more. */
  readonly timeoutMs: number;
  /** Bytes of all bodies together that are not small and not whole yet; one alone may have more. */
  readonly togetherBytesMax: number;
  /** A body of so many bytes is read natively. */
  readonly nativeBytesMax: number;
  /** Bodies that are still coming. */
  readonly line: WaitingLine;
  /** Bytes that are here of bodies that are counted while they come. */
  togetherBytes = 0;

  constructor(wheel: Wheel, options: BodyOptions) {
    this.bytesMax = options.body_max_bytes;
    this.timeoutMs = options.body_timeout_ms;
    this.togetherBytesMax = options.bodies_max_bytes;
    this.nativeBytesMax = Math.min(SMALL_BYTES_MAX, this.bytesMax);
    this.line = new WaitingLine(wheel, this.timeoutMs);
  }
}

/**
 * The body as JSON. A body that says that it is small is read natively in one go; another one is
 * counted while it is read, which takes no longer. Rejects with an `AppError`: `errors.tooLarge()`,
 * `errors.broken()`, `bodies_full` or `body_slow`.
 *
 * Not `async`: on the hot path each promise is some 2 % of a request.
 */
export function readJson(
  request: Request,
  limits: BodyLimits,
  errors: BodyErrors,
): Promise<unknown> {
  return isSmall(request, limits)
    ? inTime(request.json(), limits, errors.broken)
    : readCountedJson(request, limits, errors);
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
  if (!isSmall(request, limits)) return readJson(request, limits, errors).then(use).catch(fail);
  return answerRead(request.json(), limits, errors.broken, use, fail);
}

/** As `answerJson`, with the body's bytes as they came. */
export function answerBytes<Value>(
  request: Request,
  limits: BodyLimits,
  errors: BodyErrors,
  use: (body: Uint8Array<ArrayBuffer>) => Value | Promise<Value>,
  fail: (error: unknown) => Value | Promise<Value>,
): Promise<Value> {
  if (!isSmall(request, limits)) {
    return readBytes(request, limits, errors.tooLarge).then(use).catch(fail);
  }
  return answerRead(bytesOf(request), limits, incomplete, use, fail);
}

/** What `use` makes of what `reading` gives in time, or `fail` of whatever goes wrong. */
function answerRead<Body, Value>(
  reading: Promise<Body>,
  { line, timeoutMs }: BodyLimits,
  broken: () => AppError,
  use: (body: Body) => Value | Promise<Value>,
  fail: (error: unknown) => Value | Promise<Value>,
): Promise<Value> {
  return new Promise((resolve) => {
    const waiting = new SlowBody(() => resolve(fail(bodySlow(timeoutMs))));
    line.join(waiting);
    reading.then((body) => {
      if (!line.leave(waiting)) return; // expired
      let value: Value | Promise<Value>;
      try {
        value = use(body);
      } catch (error) {
        return resolve(fail(error));
      }
      // Not `resolve(value.catch(fail))`: to take over a promise takes two turns more.
      if (value instanceof Promise) value.then(resolve, (error) => resolve(fail(error)));
      else resolve(value);
    }, () => {
      if (line.leave(waiting)) resolve(fail(broken()));
    });
  });
}

/** A request's bytes are never shared memory: Bun's type leaves that open. */
function bytesOf(request: Request): Promise<Uint8Array<ArrayBuffer>> {
  return request.bytes() as Promise<Uint8Array<ArrayBuffer>>;
}

/** A body that is waited for. */
class SlowBody extends Waiting {
  readonly #refuse: () => void;

  constructor(refuse: () => void) {
    super();
    this.#refuse = refuse;
  }

  override expire(): void {
    this.#refuse();
  }
}

/** A body that says that it is small. */
function isSmall(request: Request, limits: BodyLimits): boolean {
  const length = request.headers.get("content-length");
  return length !== null && Number(length) <= limits.nativeBytesMax;
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
 * @throws {AppError} `tooLarge()` above the limit, as soon as that is known; `bodies_full`;
 *   `body_slow`.
 */
export async function readBytes(
  request: Request,
  limits: BodyLimits,
  tooLarge: () => AppError,
): Promise<Uint8Array<ArrayBuffer>> {
  if (isSmall(request, limits)) return await inTime(bytesOf(request), limits, incomplete);
  if (Number(request.headers.get("content-length")) > limits.bytesMax) throw tooLarge();
  const reader = request.body?.getReader();
  if (reader === undefined) return new Uint8Array();
  try {
    return await inTime(gather(reader, limits, tooLarge), limits, incomplete);
  } catch (error) {
    reader.cancel().catch(() => {}); // the answer is the error, however the rest ends
    throw error;
  }
}

/** Everything from `reader`. What is here of it counts for as long as it is not everything. */
async function gather(
  reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read">,
  limits: BodyLimits,
  tooLarge: () => AppError,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return new Uint8Array(Buffer.concat(pieces));
      bytes += value.length;
      limits.togetherBytes += value.length;
      if (bytes > limits.bytesMax) throw tooLarge();
      const isAlone = bytes === limits.togetherBytes;
      if (limits.togetherBytes > limits.togetherBytesMax && bytes > SMALL_BYTES_MAX && !isAlone) {
        throw bodiesFull(limits.togetherBytesMax);
      }
      pieces.push(value);
    }
  } finally {
    limits.togetherBytes -= bytes;
  }
}

/** `reading`'s value, or `body_slow` when it takes too long. What is no `AppError` is `broken()`. */
function inTime<Value>(
  reading: Promise<Value>,
  { line, timeoutMs }: BodyLimits,
  broken: () => AppError,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const waiting = new SlowBody(() => reject(bodySlow(timeoutMs)));
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

/** The connection stays: the rest of the body is read and thrown away, so the answer arrives. */
function bodiesFull(bytesMax: number): AppError {
  return new AppError(
    "bodies_full",
    `The server is reading ${bytesMax} bytes of request bodies already ` +
      "(server.bodies_max_bytes): try again",
    { headers: { "retry-after": "1" } },
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
