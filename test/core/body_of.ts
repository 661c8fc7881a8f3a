/**
 * The body of a request that a test sends.
 *
 * @module
 */

import type { RequestBody } from "../../src/core/body.ts";
import { BodyBytes } from "../../src/lib/http1/body_bytes.ts";
import type { Http1Error } from "../../src/lib/http1/error.ts";
import type { BodySink } from "../../src/lib/http1/server_exchange.ts";

/** A body that is here. */
export function bodyOf(bytes: string | Uint8Array = ""): RequestBody {
  const buffer = Buffer.from(bytes);
  const whole = new BodyBytes(buffer, 0, buffer.length);
  return {
    bodyLengthBytes: buffer.length,
    wholeBody: () => whole,
    flowBody() {
      throw new Error("It is whole");
    },
    pauseBody() {},
    resumeBody() {},
    dropBody() {},
    refuseBody() {},
  };
}

/** A body that comes when the test sends it. */
export class SentBody implements RequestBody {
  readonly bodyLengthBytes: number | undefined;
  /** True when nobody wants the rest. */
  isDropped = false;
  /** True when the connection ends with the answer. */
  isRefused = false;
  /** True while it is not to be handed on. */
  isPaused = false;
  #sink: BodySink | undefined = undefined;

  constructor(lengthBytes?: number) {
    this.bodyLengthBytes = lengthBytes;
  }

  /** True when somebody reads it. */
  get isFlowing(): boolean {
    return this.#sink !== undefined;
  }

  wholeBody(): undefined {
    return undefined;
  }

  flowBody(sink: BodySink): void {
    if (this.#sink !== undefined) throw new Error("It flows already");
    this.#sink = sink;
  }

  pauseBody(): void {
    this.isPaused = true;
  }

  resumeBody(): void {
    this.isPaused = false;
  }

  dropBody(): void {
    this.isDropped = true;
  }

  refuseBody(): void {
    this.isDropped = this.isRefused = true;
  }

  /** Sends a piece: its bytes, or so many of them. */
  send(piece: string | number | Uint8Array): void {
    const bytes = typeof piece === "number" ? Buffer.alloc(piece, "1") : Buffer.from(piece);
    if (!this.isDropped) this.#sink!.onBytes(bytes);
  }

  end(): void {
    if (!this.isDropped) this.#sink!.onBodyEnd();
  }

  /** The rest will not come. */
  breakOff(error?: Http1Error): void {
    if (!this.isDropped) this.#sink!.onBodyBroken(error);
  }
}
