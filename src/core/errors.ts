/**
 * Every error that is an answer, in one closed table. Each surface speaks it in its own dialect.
 *
 * @module
 */

/**
 * code → HTTP status, and the `type` and `code` words of OpenAI's error object
 * (docs/facts/openai_api.md "Faults and their words"). A code whose `apiCode` is null carries null
 * there, as the real API does.
 */
export const ERRORS = {
  // What the client sent.
  auth_missing: { status: 401, type: "invalid_request_error", apiCode: null },
  auth_malformed: { status: 401, type: "invalid_request_error", apiCode: null },
  auth_wrong: { status: 401, type: "invalid_request_error", apiCode: "invalid_api_key" },
  forbidden: { status: 403, type: "invalid_request_error", apiCode: "forbidden" },
  body_broken: { status: 400, type: "invalid_request_error", apiCode: null },
  body_slow: { status: 408, type: "invalid_request_error", apiCode: "body_slow" },
  body_too_large: { status: 413, type: "invalid_request_error", apiCode: "body_too_large" },
  url_too_long: { status: 414, type: "invalid_request_error", apiCode: "url_too_long" },
  request_malformed: { status: 400, type: "invalid_request_error", apiCode: null },
  head_slow: { status: 408, type: "invalid_request_error", apiCode: "head_slow" },
  head_too_large: { status: 431, type: "invalid_request_error", apiCode: "head_too_large" },
  expectation_failed: {
    status: 417,
    type: "invalid_request_error",
    apiCode: "expectation_failed",
  },
  upgrade_refused: { status: 426, type: "invalid_request_error", apiCode: "upgrade_refused" },
  coding_unsupported: {
    status: 501,
    type: "invalid_request_error",
    apiCode: "coding_unsupported",
  },
  version_unsupported: {
    status: 505,
    type: "invalid_request_error",
    apiCode: "version_unsupported",
  },
  request_invalid: { status: 400, type: "invalid_request_error", apiCode: null },
  param_missing: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "missing_required_parameter",
  },
  param_unknown: { status: 400, type: "invalid_request_error", apiCode: "unknown_parameter" },
  param_type: { status: 400, type: "invalid_request_error", apiCode: "invalid_type" },
  param_value: { status: 400, type: "invalid_request_error", apiCode: "invalid_value" },
  value_unsupported: { status: 400, type: "invalid_request_error", apiCode: "unsupported_value" },
  param_unsupported: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "unsupported_parameter",
  },
  function_parameters: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "invalid_function_parameters",
  },
  array_empty: { status: 400, type: "invalid_request_error", apiCode: "empty_array" },
  array_too_long: { status: 400, type: "invalid_request_error", apiCode: "array_above_max_length" },
  string_empty: { status: 400, type: "invalid_request_error", apiCode: "empty_string" },
  string_too_long: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "string_above_max_length",
  },
  object_too_large: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "object_above_max_properties",
  },
  property_name_too_long: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "property_name_above_max_length",
  },
  integer_too_small: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "integer_below_min_value",
  },
  integer_too_large: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "integer_above_max_value",
  },
  decimal_too_small: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "decimal_below_min_value",
  },
  decimal_too_large: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "decimal_above_max_value",
  },
  tokens_too_many: {
    status: 400,
    type: "max_tokens_per_request",
    apiCode: "max_tokens_per_request",
  },
  model_unknown: { status: 404, type: "invalid_request_error", apiCode: "model_not_found" },
  /** As the Responses API says it. */
  model_requested_unknown: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "model_not_found",
  },
  previous_unknown: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "previous_response_not_found",
  },
  /** It is here, and what it goes on from is not: nobody else knows better. */
  previous_lost: {
    status: 400,
    type: "invalid_request_error",
    apiCode: "previous_response_not_found",
  },
  path_unknown: { status: 404, type: "invalid_request_error", apiCode: null },
  not_found: { status: 404, type: "invalid_request_error", apiCode: "not_found" },
  object_unknown: { status: 404, type: "invalid_request_error", apiCode: null },
  method_wrong: { status: 405, type: "invalid_request_error", apiCode: "method_not_supported" },
  method_refused: { status: 405, type: "invalid_request_error", apiCode: null },
  /** What somebody wrote as an answer: it has words of its own. */
  scripted: { status: 500, type: "server_error", apiCode: null },
  fixture_missing: { status: 404, type: "invalid_request_error", apiCode: "fixture_missing" },
  /** Nobody has recorded an answer, and nobody else is asked. */
  tape_missing: { status: 404, type: "invalid_request_error", apiCode: "tape_missing" },
  /** Nothing is kept, and nobody else is to be asked (RFC 9111 section 5.2.1.7). */
  cache_missing: { status: 504, type: "invalid_request_error", apiCode: "cache_missing" },
  conflict: { status: 409, type: "invalid_request_error", apiCode: "conflict" },
  // What a key of weir's own may not.
  key_forbidden: { status: 403, type: "invalid_request_error", apiCode: "key_forbidden" },
  key_requests: { status: 429, type: "requests", apiCode: "rate_limit_exceeded" },
  key_tokens: { status: 429, type: "tokens", apiCode: "rate_limit_exceeded" },
  key_budget: { status: 429, type: "insufficient_quota", apiCode: "insufficient_quota" },
  too_many: { status: 429, type: "requests", apiCode: "rate_limit_exceeded" },
  client_streams_full: { status: 429, type: "requests", apiCode: "rate_limit_exceeded" },
  // Limits that the mock plays, as the live API has them (docs/facts/openai_api.md "Rate limits").
  limit_requests: { status: 429, type: "requests", apiCode: "rate_limit_exceeded" },
  limit_tokens: { status: 429, type: "tokens", apiCode: "rate_limit_exceeded" },
  quota_exceeded: { status: 429, type: "insufficient_quota", apiCode: "insufficient_quota" },
  slow_down: { status: 429, type: "rate_limit_error", apiCode: "slow_down" },
  overloaded: {
    status: 503,
    type: "service_unavailable_error",
    apiCode: "server_is_overloaded",
  },
  reader_slow: { status: 408, type: "invalid_request_error", apiCode: "reader_slow" },
  unread_full: { status: 503, type: "server_error", apiCode: "unread_full" },
  // Faults on purpose that are not to be had.
  fault_refused: { status: 400, type: "invalid_request_error", apiCode: "fault_refused" },
  fault_impossible: { status: 400, type: "invalid_request_error", apiCode: "fault_impossible" },
  // What the upstream did.
  upstream_unreachable: { status: 502, type: "server_error", apiCode: "upstream_unreachable" },
  upstream_refused: { status: 502, type: "server_error", apiCode: "upstream_refused" },
  upstream_broken: { status: 502, type: "server_error", apiCode: "upstream_broken" },
  upstream_timeout: { status: 504, type: "server_error", apiCode: "upstream_timeout" },
  /** It answers as many as it may at once, and too many wait. */
  upstream_full: { status: 503, type: "server_error", apiCode: "upstream_full" },
  /** It has failed too often, and is left alone for a while. */
  upstream_open: { status: 503, type: "server_error", apiCode: "upstream_open" },
  loop_detected: { status: 508, type: "server_error", apiCode: "loop_detected" },
  // What this process is.
  workflow_failed: { status: 500, type: "server_error", apiCode: "workflow_failed" },
  memory_failed: { status: 500, type: "server_error", apiCode: "memory_failed" },
  store_failed: { status: 500, type: "server_error", apiCode: "store_failed" },
  unavailable: { status: 503, type: "server_error", apiCode: "unavailable" },
  streams_full: { status: 503, type: "server_error", apiCode: "streams_full" },
  bodies_full: { status: 503, type: "server_error", apiCode: "bodies_full" },
  requests_full: { status: 503, type: "server_error", apiCode: "requests_full" },
  shutting_down: { status: 503, type: "server_error", apiCode: "shutting_down" },
  internal: { status: 500, type: "server_error", apiCode: null },
} as const satisfies Record<
  string,
  { readonly status: number; readonly type: string; readonly apiCode: string | null }
>;

/** A row of the table. */
export type ErrorCode = keyof typeof ERRORS;

/** The config key of the limit that an error tells of: what `limit_reached` counts. */
export const LIMITS: Readonly<Partial<Record<ErrorCode, string>>> = {
  url_too_long: "server.url_max_bytes",
  body_too_large: "server.body_max_bytes",
  head_slow: "server.head_timeout_ms",
  body_slow: "server.body_timeout_ms",
  reader_slow: "server.write_timeout_ms",
  streams_full: "server.streams_max",
  client_streams_full: "server.streams_per_client_max",
  requests_full: "server.requests_waiting_max",
  bodies_full: "server.bodies_max_bytes",
  unread_full: "server.unread_max_bytes",
};

/** What an error may carry besides its sentence. */
export interface AppErrorOptions extends ErrorOptions {
  /** The parameter at fault, as OpenAI's `param` spells it: "messages[0].role". */
  readonly param?: string;
  /** Response headers that belong to this error: `retry-after`, `allow`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The status an upstream answered with, when it differs from the table's. */
  readonly status?: number;
  /** The message without what it quotes of an upstream; absent = it quotes nothing. */
  readonly plain?: string;
  readonly told?: ErrorWords | undefined;
}

/** The words of an error object that are told in place of the table's. */
export interface ErrorWords {
  /** Absent: what the status says in the dialect that it is told in. */
  readonly type?: string;
  readonly code?: string;
}

/**
 * An error that is an answer. Anything else that is thrown is a bug, and is answered 500.
 *
 * The message is one sentence for the person at the other end; it never carries a secret.
 */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
  /** The message for logs and health, which quote no upstream. */
  readonly plain: string;
  /** Of an error that somebody wrote as an answer, or that an upstream gave as one. */
  readonly told: ErrorWords | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options);
    this.code = code;
    this.param = options.param ?? null;
    this.headers = options.headers ?? {};
    this.status = options.status ?? ERRORS[code].status;
    this.plain = options.plain ?? message;
    this.told = options.told;
  }

  /** The same error with these response headers besides its own. */
  with(headers: Readonly<Record<string, string>>): AppError {
    return this.#as({ headers: { ...this.headers, ...headers } });
  }

  /** The same error, each of its texts as `mask` gives it. */
  masked(mask: (text: string) => string): AppError {
    const { message, plain, param, told, headers } = this;
    const { type, code } = told ?? {};
    return this.#as({
      message: mask(message),
      plain: mask(plain),
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, text]) => [name, mask(text)]),
      ),
      ...(param === null ? {} : { param: mask(param) }),
      told: told && {
        ...(type === undefined ? {} : { type: mask(type) }),
        ...(code === undefined ? {} : { code: mask(code) }),
      },
    });
  }

  #as({ message = this.message, ...options }: AppErrorOptions & { readonly message?: string }) {
    const { code, param, status, cause, plain, told, headers } = this;
    const own = { status, plain, told, cause, headers, ...(param === null ? {} : { param }) };
    return new AppError(code, message, { ...own, ...options });
  }
}

/** This process ends, or another one has taken its place. */
export function shuttingDown(): AppError {
  return new AppError("shutting_down", "The server is shutting down: try again");
}

/** The reason with which everything ends whose client has gone. Nobody reads its text. */
export function clientLeft(): AppError {
  return new AppError("unavailable", "The client closed the connection");
}

/** `error` as an `AppError`: itself, or an `internal` one with `error` as its cause. */
export function asAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return new AppError(
    "internal",
    "The server had an error while processing your request. Sorry about that!",
    { cause: error },
  );
}
