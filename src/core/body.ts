/**
 * Reading request bodies: never more than the limit, each and all together, and never for longer
 * than the limit.
 *
 * @module
 */

import type { Http1Error } from "../lib/http1/error.ts";
import { BodyBytes } from "../lib/http1/body_bytes.ts";
import type { BodySink } from "../lib/http1/server_exchange.ts";
import { Waiting, WaitingLine } from "../lib/waiting_line.ts";
import type { Wheel } from "../lib/wheel.ts";
import { AppError } from "./errors.ts";

/** A body of up to so many bytes is never refused for the sake of the others. */
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
  /** Bodies that are still coming. */
  readonly line: WaitingLine;
  /** Bytes that are here of bodies that are not whole yet. */
  togetherBytes = 0;

  constructor(wheel: Wheel, options: BodyOptions) {
    this.bytesMax = options.body_max_bytes;
    this.timeoutMs = options.body_timeout_ms;
    this.togetherBytesMax = options.bodies_max_bytes;
    this.line = new WaitingLine(wheel, this.timeoutMs);
  }
}

/** A request's body while it comes; what a server gives. */
export interface RequestBody {
  /** Bytes as its head tells; undefined = it does not. */
  readonly bodyLengthBytes: number | undefined;
  /** The whole body when it is here already, else undefined. Counts as taking it. */
  wholeBody(): WholeBody | undefined;
  /** Hands the body on as it comes, what is here at once. Called once. */
  flowBody(sink: BodySink): void;
  /** Nobody wants the rest. */
  dropBody(): void;
  /** The same, and it is too much to be read: the connection ends with the answer. */
  refuseBody(): void;
}

/** A body that is all here. Good until its answer begins. */
export interface WholeBody {
  readonly byteLength: number;
  /** As UTF-8, without a byte order mark. Decoded with each call. */
  text(): string;
  bytes(): Uint8Array<ArrayBuffer>;
}

/** Takes a body: exactly one of the two is called, once. None may throw. */
export interface BodyReceiver {
  onBody(body: WholeBody): void;
  /** It is too large, slow, `bodies_full`, or `body_broken`: it broke off. */
  onBodyError(error: AppError): void;
}

/** Says that a body is larger than `bytesMax` bytes. */
export interface TooLarge {
  tooLarge(bytesMax: number): AppError;
}

/** Reads a body to its end. */
export function readBody(
  body: RequestBody,
  limits: BodyLimits,
  dialect: TooLarge,
  receiver: BodyReceiver,
): void {
  const { bytesMax } = limits;
  const isTooLong = (body.bodyLengthBytes ?? 0) > bytesMax;
  const whole = isTooLong ? undefined : body.wholeBody();
  if (isTooLong || (whole?.byteLength ?? 0) > bytesMax) {
    body.refuseBody();
    receiver.onBodyError(dialect.tooLarge(bytesMax));
  } else if (whole === undefined) {
    body.flowBody(new ComingBody(body, limits, dialect, receiver));
  } else {
    receiver.onBody(whole);
  }
}

/** A body that is waited for. */
class ComingBody extends Waiting implements BodySink {
  readonly #body: RequestBody;
  readonly #limits: BodyLimits;
  readonly #dialect: TooLarge;
  #receiver: BodyReceiver | undefined;
  #pieces: Buffer[] = [];
  #bytes = 0;

  constructor(body: RequestBody, limits: BodyLimits, dialect: TooLarge, receiver: BodyReceiver) {
    super();
    this.#body = body;
    this.#limits = limits;
    this.#dialect = dialect;
    this.#receiver = receiver;
    limits.line.join(this);
  }

  onBytes(bytes: Buffer): void {
    const limits = this.#limits;
    this.#bytes += bytes.length;
    limits.togetherBytes += bytes.length;
    if (this.#bytes > limits.bytesMax) {
      this.#body.refuseBody();
      return this.#fail(this.#dialect.tooLarge(limits.bytesMax));
    }
    const isAlone = this.#bytes === limits.togetherBytes;
    const isFull = limits.togetherBytes > limits.togetherBytesMax;
    if (isFull && this.#bytes > SMALL_BYTES_MAX && !isAlone) {
      return this.#fail(bodiesFull(limits.togetherBytesMax));
    }
    this.#pieces.push(bytes);
  }

  onBodyEnd(): void {
    const whole = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
    this.#leave()?.onBody(new BodyBytes(whole, 0, whole.length));
  }

  onBodyBroken(error: Http1Error | undefined): void {
    this.#leave()?.onBodyError(bodyBroken(error));
  }

  override expire(): void {
    this.#fail(bodySlow(this.#limits.timeoutMs));
  }

  #fail(error: AppError): void {
    const receiver = this.#leave();
    this.#body.dropBody();
    receiver?.onBodyError(error);
  }

  #leave(): BodyReceiver | undefined {
    const receiver = this.#receiver;
    if (receiver !== undefined) this.#limits.togetherBytes -= this.#bytes;
    this.#receiver = undefined;
    this.#pieces = [];
    this.#limits.line.leave(this);
    return receiver;
  }
}

/** A body that did not come in time: 408. The connection closes with the answer. */
export function bodySlow(timeoutMs: number): AppError {
  return new AppError(
    "body_slow",
    `The request body was not complete after ${timeoutMs} ms (server.body_timeout_ms).`,
    { headers: { connection: "close" } },
  );
}

function bodiesFull(bytesMax: number): AppError {
  return new AppError(
    "bodies_full",
    `The server is reading ${bytesMax} bytes of request bodies already ` +
      "(server.bodies_max_bytes): try again",
    { headers: { "retry-after": "1" } },
  );
}

/** A body that broke off: whoever sent it has left, or does not speak HTTP. */
function bodyBroken(error: Http1Error | undefined): AppError {
  return new AppError(
    "body_broken",
    error?.message ?? "The request body broke off before its end",
  );
}

/** The query of a URL with its "?", or "". */
export function queryOf(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? "" : url.slice(at);
}
