/**
 * Takes an upstream's response and gives the same one, while it tells a call's clock what happens.
 *
 * @module
 */

import type { UpstreamCall } from "../core/upstream_call.ts";
import type { AbortLike } from "../lib/abort.ts";
import type { TransportResponse } from "./transport.ts";
import type { HeaderSource } from "./upstream_headers.ts";
import { UsageTail } from "./usage_tail.ts";

/** A response that is watched. */
export class WatchedResponse implements TransportResponse {
  readonly status: number;
  readonly fields: HeaderSource["fields"];
  readonly #response: TransportResponse;
  readonly #call: UpstreamCall;
  readonly #abort: AbortLike;
  readonly #tail = new UsageTail();

  /** `abort` knows why a body breaks off when weir itself broke it off. */
  constructor(response: TransportResponse, call: UpstreamCall, abort: AbortLike) {
    this.status = response.status;
    this.fields = response.fields;
    this.#response = response;
    this.#call = call;
    this.#abort = abort;
  }

  header(name: string): string | null {
    return this.#response.header(name);
  }

  whole(): Uint8Array | undefined {
    const body = this.#response.whole();
    if (body !== undefined) {
      this.#note(body);
      this.#note(null);
    }
    return body;
  }

  read(): Uint8Array | null | Promise<Uint8Array | null> {
    const read = this.#response.read();
    if (!(read instanceof Promise)) return this.#note(read);
    return read.then((chunk) => this.#note(chunk), (error) => {
      this.#call.end(this.#abort.aborted ? this.#abort.reason : error);
      throw error;
    });
  }

  cancel(): void {
    this.#call.end(this.#abort.aborted ? this.#abort.reason : undefined);
    this.#response.cancel();
  }

  #note(chunk: Uint8Array | null): Uint8Array | null {
    if (chunk === null) {
      const usage = this.#tail.read();
      if (usage !== undefined) this.#call.usage(usage.promptTokens, usage.completionTokens);
      this.#call.end();
    } else {
      this.#call.chunk();
      this.#tail.feed(chunk);
    }
    return chunk;
  }
}
