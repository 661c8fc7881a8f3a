/**
 * Takes an upstream's response and gives the same one, while it tells a call's clock what happens.
 *
 * @module
 */

import type { UpstreamCall } from "../core/upstream_call.ts";
import type { TransportResponse } from "./transport.ts";
import { UsageTail } from "./usage_tail.ts";

/** `response`, watched. `abort` knows why a body breaks off when weir itself broke it off. */
export function watchedResponse(
  response: TransportResponse,
  call: UpstreamCall,
  abort: AbortController,
): TransportResponse {
  const tail = new UsageTail();
  const note = (chunk: Uint8Array | null): Uint8Array | null => {
    if (chunk === null) {
      const usage = tail.read();
      if (usage !== undefined) call.usage(usage.promptTokens, usage.completionTokens);
      call.end();
    } else {
      call.chunk();
      tail.feed(chunk);
    }
    return chunk;
  };
  const fail = (error: unknown): never => {
    call.end(abort.signal.aborted ? abort.signal.reason : error);
    throw error;
  };
  return {
    status: response.status,
    fields: response.fields,
    header: (name) => response.header(name),
    whole() {
      const body = response.whole();
      if (body !== undefined) {
        note(body);
        note(null);
      }
      return body;
    },
    read() {
      const read = response.read();
      return read instanceof Promise ? read.then(note, fail) : note(read);
    },
    cancel() {
      call.end(abort.signal.aborted ? abort.signal.reason : undefined);
      response.cancel();
    },
  };
}
