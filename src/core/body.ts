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
import { bodiesFull, bodyBroken, bodySlow } from "./body_errors.ts";
import type { AppError } from "./errors.ts";
import { Upload, type UploadOrigin } from "./upload.ts";

/**
 * A body of up to so many bytes is never refused for the sake of the others, and is always read
 * whole: that not every upstream takes chunks is nobody's concern then.
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
  /** No bytes are handed on until `resumeBody`, which may hand them on at once. */
  pauseBody(): void;
  resumeBody(): void;
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

/** Takes a body: exactly one of them is called, once, but for an error of an upload. None may throw. */
export interface BodyReceiver {
  onBody(body: WholeBody): void;
  /**
   * It is large and still coming, and goes up meanwhile: the upload has all of it, and `here` is its
   * beginning. An error may follow. Only where the surface takes a "stream".
   */
  onUpload(upload: Upload, here: WholeBody): void;
  /** It is too large, slow, `bodies_full`, or `body_broken`: it broke off. */
  onBodyError(error: AppError): void;
}

/** Whoever wants a body. */
export interface BodyTaker {
  /** "stream": a large one need not be whole. */
  readonly takes: "nothing" | "body" | "stream";
  /** The body is larger than `bytesMax` bytes. */
  tooLarge(bytesMax: number): AppError;
}

/** Reads a body: to its end, unless it goes up meanwhile. */
export function readBody(
  body: RequestBody,
  limits: BodyLimits,
  taker: BodyTaker,
  receiver: BodyReceiver,
): void {
  const { bytesMax } = limits;
  const isTooLong = (body.bodyLengthBytes ?? 0) > bytesMax;
  const whole = isTooLong ? undefined : body.wholeBody();
  if (isTooLong || (whole?.byteLength ?? 0) > bytesMax) {
    body.refuseBody();
    receiver.onBodyError(taker.tooLarge(bytesMax));
  } else if (whole === undefined) {
    body.flowBody(new ComingBody(body, limits, taker, receiver));
  } else {
    receiver.onBody(whole);
  }
}

/** A body that is waited for. */
class ComingBody extends Waiting implements BodySink, UploadOrigin {
  readonly #body: RequestBody;
  readonly #limits: BodyLimits;
  readonly #taker: BodyTaker;
  #receiver: BodyReceiver | undefined;
  #pieces: Buffer[] = [];
  /** Set once it goes up. */
  #upload: Upload | undefined = undefined;
  /** Bytes that have come. */
  #bytes = 0;
  /** Bytes of them that are here. */
  #heldBytes = 0;

  constructor(body: RequestBody, limits: BodyLimits, taker: BodyTaker, receiver: BodyReceiver) {
    super();
    this.#body = body;
    this.#limits = limits;
    this.#taker = taker;
    this.#receiver = receiver;
    limits.line.join(this);
  }

  get bodyLengthBytes(): number | undefined {
    return this.#body.bodyLengthBytes;
  }

  onBytes(bytes: Buffer): void {
    const limits = this.#limits;
    this.#bytes += bytes.length;
    this.#heldBytes += bytes.length;
    limits.togetherBytes += bytes.length;
    if (this.#bytes > limits.bytesMax) {
      this.#body.refuseBody();
      return this.#fail(this.#taker.tooLarge(limits.bytesMax));
    }
    if (this.#isTooMuch) this.#upload?.forget(); // rather no second try than no first one
    if (this.#isTooMuch) return this.#fail(bodiesFull(limits.togetherBytesMax));
    if (this.#upload !== undefined) return this.#upload.push(bytes);
    this.#pieces.push(bytes);
    if (this.#taker.takes === "stream" && this.#bytes > SMALL_BYTES_MAX) this.#goUp();
  }

  onBodyEnd(): void {
    const upload = this.#upload;
    const receiver = this.#leave();
    if (upload !== undefined) return upload.finish();
    receiver?.onBody(this.#gather());
  }

  onBodyBroken(error: Http1Error | undefined): void {
    this.#leave()?.onBodyError(bodyBroken(error));
  }

  /** Of the upload. While the upstream lets it wait, the client has all the time. */
  pause(): void {
    this.#limits.line.leave(this);
    this.#body.pauseBody();
  }

  resume(): void {
    if (this.#receiver === undefined) return;
    this.#limits.line.join(this);
    this.#body.resumeBody();
  }

  release(bytes: number): void {
    if (this.#receiver === undefined) return;
    this.#heldBytes -= bytes;
    this.#limits.togetherBytes -= bytes;
  }

  drop(): void {
    if (this.#leave() !== undefined) this.#body.dropBody();
  }

  override expire(): void {
    this.#fail(bodySlow(this.#limits.timeoutMs));
  }

  /** True when there is no room for it beside the others. */
  get #isTooMuch(): boolean {
    const { togetherBytes, togetherBytesMax } = this.#limits;
    return togetherBytes > togetherBytesMax && this.#heldBytes > SMALL_BYTES_MAX &&
      this.#heldBytes !== togetherBytes;
  }

  /** It is too large to be waited for. */
  #goUp(): void {
    const here = this.#gather();
    this.#upload = new Upload(this);
    this.#upload.push(here.bytes());
    this.#receiver!.onUpload(this.#upload, here);
  }

  #gather(): WholeBody {
    const pieces = this.#pieces;
    this.#pieces = [];
    const whole = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    return new BodyBytes(whole, 0, whole.length);
  }

  #fail(error: AppError): void {
    const receiver = this.#leave();
    this.#body.dropBody();
    receiver?.onBodyError(error);
  }

  #leave(): BodyReceiver | undefined {
    const receiver = this.#receiver;
    if (receiver !== undefined) this.#limits.togetherBytes -= this.#heldBytes;
    this.#receiver = undefined;
    this.#limits.line.leave(this);
    return receiver;
  }
}

/** The query of a URL with its "?", or "". */
export function queryOf(url: string): string {
  const at = url.indexOf("?");
  return at < 0 ? "" : url.slice(at);
}
