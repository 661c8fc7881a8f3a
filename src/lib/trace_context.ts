/**
 * Trace Context (W3C Recommendation, "traceparent" and "tracestate"): where a request stands in a
 * trace that began elsewhere, and what the next hop is told.
 *
 * @module
 */

/** A place in a trace. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** The caller's span, 16 hexadecimal digits; "" = this is the first one. */
  readonly parentId: string;
  /** Our own span, 16 hexadecimal digits. */
  readonly spanId: string;
  /** Makes the id of a span below ours. */
  readonly makeSpanId: () => string;
  /** False: the trace is passed on and nobody keeps it. */
  readonly isSampled: boolean;
  /** The `tracestate` header as it came; "" = none. */
  readonly state: string;
}

/** What a `traceparent` header says. */
export interface TraceParent {
  readonly traceId: string;
  readonly spanId: string;
  readonly isSampled: boolean;
}

/** Version 00; a later one may have more fields behind these, and 255 is forbidden. */
const TRACEPARENT =
  /^(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:$|(?!^00)-)/;
const ZEROS = /^0+$/;
/** The flag that says that the caller keeps its part of the trace. */
const SAMPLED = 1;
/** A longer `tracestate` need not be passed on (section 3.3.1.5). */
const STATE_CHARS_MAX = 512;

/** The header's content; undefined when it is none, so that a trace of our own begins. */
export function parseTraceparent(header: string | null): TraceParent | undefined {
  if (header === null) return undefined;
  const match = TRACEPARENT.exec(header);
  if (match === null) return undefined;
  const [, version, traceId, spanId, flags] = match;
  if (version === "00" && header.length !== 55) return undefined;
  if (ZEROS.test(traceId!) || ZEROS.test(spanId!)) return undefined;
  return { traceId: traceId!, spanId: spanId!, isSampled: (parseInt(flags!, 16) & SAMPLED) !== 0 };
}

/** The `traceparent` that tells the next hop about `context`, whose parent there is `spanId`. */
export function traceparent({ traceId, isSampled }: TraceContext, spanId: string): string {
  return `00-${traceId}-${spanId}-${isSampled ? "01" : "00"}`;
}

/** `header` as it may be passed on; "" where it is absent or too long. */
export function traceState(header: string | null): string {
  return header === null || header.length > STATE_CHARS_MAX ? "" : header;
}
