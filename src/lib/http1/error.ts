/**
 * What can go wrong with one HTTP/1.1 request, as a closed list.
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
  /** The response's head is longer than `headBytesMax`. */
  head_too_large: { mayRepeat: false },
  /** The bytes are not a response that can be read in only one way. */
  malformed: { mayRepeat: false },
  /** The caller's signal. Its reason is the `cause`. */
  aborted: { mayRepeat: false },
  /** The client was closed. */
  client_closed: { mayRepeat: false },
} as const satisfies Record<string, { readonly mayRepeat: boolean }>;

/** A row of the list. */
export type Http1ErrorCode = keyof typeof HTTP1_ERRORS;

/** A request without a whole response. Anything else that is thrown is a bug. */
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
