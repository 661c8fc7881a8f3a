/**
 * What can go wrong with one HTTP/1.1 request, sent or received, as a closed list.
 *
 * @module
 */

/** code → whether the same request may be sent again when no byte of a response was seen. */
export const HTTP1_ERRORS = {
  /** The name has no address, or nobody listens there, or the network has no way to it. */
  connect_failed: { mayRepeat: true },
  /** The connection, TLS included, was not ready within `connectMs`. */
  timeout_connect: { mayRepeat: true },
  /** The certificate is not to be trusted, or the other side does not speak TLS. */
  tls_failed: { mayRepeat: false },
  /** Every connection is busy and as many requests wait already as may. */
  pool_full: { mayRepeat: true },
  /** The connection ended before the response did. */
  closed_early: { mayRepeat: true },
  /** The head is longer than `headBytesMax`, or it has too many fields. */
  head_too_large: { mayRepeat: false },
  /** The bytes are not a message that can be read in only one way. */
  malformed: { mayRepeat: false },
  /** Of a request we read: its target is longer than `targetBytesMax`. */
  target_too_long: { mayRepeat: false },
  /** Of a request we read: neither HTTP/1.1 nor HTTP/1.0. */
  version_unsupported: { mayRepeat: false },
  /** Of a request we read: its transfer-encoding is not chunked. */
  coding_unsupported: { mayRepeat: false },
  /** Of a request we read: it expects something else than 100-continue. */
  expectation_failed: { mayRepeat: false },
  /** Of a request we read: its head was not complete in time. */
  head_slow: { mayRepeat: false },
  /** The caller's signal. Its reason is the `cause`. */
  aborted: { mayRepeat: false },
  /** The client was closed. */
  client_closed: { mayRepeat: false },
} as const satisfies Record<string, { readonly mayRepeat: boolean }>;

/** A row of the list. */
export type Http1ErrorCode = keyof typeof HTTP1_ERRORS;

/** What is read: the word in the sentences of errors. */
export type Subject = "request" | "response";

/** An error about bytes that are not HTTP. `what` goes on after "Cannot read the …: ". */
export function malformed(subject: Subject, what: string): Http1Error {
  return new Http1Error("malformed", `Cannot read the ${subject}: ${what}`);
}

/** What can be wrong with a request we read → the status that says so. */
export const REQUEST_FAULTS = {
  malformed: 400,
  head_slow: 408,
  target_too_long: 414,
  expectation_failed: 417,
  head_too_large: 431,
  coding_unsupported: 501,
  version_unsupported: 505,
} as const satisfies Partial<Record<Http1ErrorCode, number>>;

/** A row of that list. */
export type RequestFault = keyof typeof REQUEST_FAULTS;

/** The status that answers a request with this fault; undefined = nobody is there to be answered. */
export function requestFaultStatus(code: Http1ErrorCode): number | undefined {
  const faults: Partial<Record<Http1ErrorCode, number>> = REQUEST_FAULTS;
  return faults[code];
}

/** A request without a whole response, or a request that cannot be read. Anything else that is thrown is a bug. */
export class Http1Error extends Error {
  override readonly name = "Http1Error";
  readonly code: Http1ErrorCode;
  /** True once a byte of the response was seen: from then on the upstream has surely acted. */
  hasBegun = false;

  constructor(code: Http1ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }

  /** True when the same request may be sent again: nothing of a response was seen. */
  get isRetryable(): boolean {
    return !this.hasBegun && HTTP1_ERRORS[this.code].mayRepeat;
  }
}
