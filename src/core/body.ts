/**
 * Reading request bodies: never more than the limit, each and all together, and never for longer
 * than the limit.
 *
 * @module
 */

import { Waiting, WaitingLine } from "../lib/waiting_line.ts";
import type { Wheel } from "../lib/wheel.ts";
import { AppError } from "./errors.ts";

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

/** A body as it is wanted: its text, or its bytes. */
export type BodyForm = "text" | "bytes";

/**
 * Takes a body: exactly one of the two is called, once, unless it expires, which means that the body
 * was slow. None may throw.
 */
export interface BodyReceiver extends Waiting {
  /** The other form is empty. */
  onBody(text: string, bytes: Uint8Array<ArrayBuffer>): void;
  /** It is too large, `bodies_full`, or `body_broken`: it broke off. */
  onBodyError(error: AppError): void;
}

/** Says that a body is larger than `bytesMax` bytes. */
export interface TooLarge {
  tooLarge(bytesMax: number): AppError;
}

const NO_BYTES = new Uint8Array();

/**
 * Reads the body of `request`. One that says that it is small is read natively in one go; another one
 * is counted while it is read, which takes no longer. No promise of its own: on the hot path each is
 * some 2 % of a request.
 */
export function readBody(
  request: Request,
  form: BodyForm,
  limits: BodyLimits,
  dialect: TooLarge,
  receiver: BodyReceiver,
): void {
  const length = request.headers.get("content-length");
  if (length === null || Number(length) > limits.nativeBytesMax) {
    return readCounted(request, Number(length), form, limits, dialect, receiver);
  }
  const { line } = limits;
  line.join(receiver);
  const broken = () => {
    if (line.leave(receiver)) receiver.onBodyError(incomplete());
  };
  if (form === "text") {
    request.text().then((text) => {
      if (line.leave(receiver)) receiver.onBody(text, NO_BYTES);
    }, broken);
  } else {
    request.bytes().then((bytes) => {
      // A request's bytes are never shared memory: Bun's type leaves that open.
      if (line.leave(receiver)) receiver.onBody("", bytes as Uint8Array<ArrayBuffer>);
    }, broken);
  }
}

function readCounted(
  request: Request,
  length: number,
  form: BodyForm,
  limits: BodyLimits,
  dialect: TooLarge,
  receiver: BodyReceiver,
): void {
  const { line, bytesMax } = limits;
  if (length > bytesMax) return receiver.onBodyError(dialect.tooLarge(bytesMax));
  const reader = request.body?.getReader();
  if (reader === undefined) return receiver.onBody("", NO_BYTES);
  const waiting = new CountedBody(reader, receiver);
  line.join(waiting);
  gather(reader, limits, dialect).then((bytes) => {
    if (!line.leave(waiting)) return;
    if (form === "bytes") receiver.onBody("", bytes);
    else receiver.onBody(new TextDecoder().decode(bytes), NO_BYTES);
  }, (error: unknown) => {
    // The answer is the error, however the rest ends.
    reader.cancel().catch(() => {});
    if (line.leave(waiting)) {
      receiver.onBodyError(error instanceof AppError ? error : incomplete());
    }
  });
}

/** A body that is waited for while it is counted: when it is slow, the rest of it is not read. */
class CountedBody extends Waiting {
  readonly #reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "cancel">;
  readonly #receiver: BodyReceiver;

  constructor(
    reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "cancel">,
    receiver: BodyReceiver,
  ) {
    super();
    this.#reader = reader;
    this.#receiver = receiver;
  }

  override expire(): void {
    this.#reader.cancel().catch(() => {}); // the answer is the error, however the rest ends
    this.#receiver.expire();
  }
}

/** Everything from `reader`. What is here of it counts for as long as it is not everything. */
async function gather(
  reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read">,
  limits: BodyLimits,
  dialect: TooLarge,
): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return new Uint8Array(Buffer.concat(pieces));
      bytes += value.length;
      limits.togetherBytes += value.length;
      if (bytes > limits.bytesMax) throw dialect.tooLarge(limits.bytesMax);
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

/**
 * A body that did not come in time: 408. The connection closes with the answer, since the rest of
 * the body may still come, and would be read as the next request.
 */
export function bodySlow(timeoutMs: number): AppError {
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
