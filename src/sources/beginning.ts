/**
 * How an answer begins: with a word, or with an error, or not at all.
 *
 * @module
 */

import type { Ending, Relay } from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { isPlainEventStream } from "../core/relay_headers.ts";
import { SseCutter } from "../lib/sse_cutter.ts";

/** More is read of no first event: what is so long is no error. */
const READ_BYTES_MAX = 256 * 1024;

/** Looks at the first bytes of one answer. */
export class Beginning {
  /** False: whatever comes first is its word. */
  readonly #isStream: boolean;
  /** Made for a stream that does not come in events. */
  #cutter: SseCutter | undefined = undefined;
  /** True: an answer without a word is none. */
  readonly #mustSpeak: boolean;
  #bytes = 0;

  /** Of `relay`, an answer to `call`. A compressed stream is not looked into. */
  constructor({ status, fields }: Relay, { request }: Call) {
    const isStream = isPlainEventStream(fields);
    this.#isStream = isStream;
    this.#mustSpeak = status === 200 && (request?.head.method ?? "POST") === "POST" &&
      (isStream || JSON_TYPE.test(fields.get("content-type") ?? ""));
  }

  /**
   * Takes the next bytes: gives null while there is no word, undefined once it is here, and the error
   * that stands in its place.
   */
  feed(bytes: Buffer): AppError | null | undefined {
    if (bytes.length === 0) return null;
    this.#bytes += bytes.length;
    if (!this.#isStream) return undefined;
    const isFirst = this.#bytes === bytes.length;
    const event = (isFirst ? plainEvent(bytes) : undefined) ??
      firstEvent(this.#cutter ??= new SseCutter(), bytes);
    if (event !== undefined) return errorIn(event);
    return this.#bytes > READ_BYTES_MAX ? undefined : null;
  }

  /** The body has ended without a word: gives the error that this is; undefined = it is none. */
  end(ending: Ending): AppError | undefined {
    return ending === "end" && !this.#mustSpeak ? undefined : brokenOff();
  }

  /** Takes a body that is here: gives the error that it is; undefined = it is none. */
  whole(bytes: Buffer): AppError | undefined {
    const error = this.feed(bytes);
    return error === null ? this.end("end") : error;
  }
}

const JSON_TYPE = /^application\/json\b/i;

function brokenOff(): AppError {
  return new AppError("upstream_broken", "The upstream broke its answer off before it began");
}

/** Words for the type of an event that is an error, as all dialects have them. */
const ERROR_TYPES: ReadonlySet<unknown> = new Set(["error", "response.failed"]);

/** So much is cut at a time: what is behind the first event is nobody's business here. */
const STEP_BYTES = 256;

/** The first event of a stream that begins with it, as nearly all do; undefined = it begins otherwise. */
function plainEvent(bytes: Buffer): Buffer | undefined {
  if (bytes[0] !== D && bytes[0] !== E) return undefined;
  const end = bytes.indexOf("\n\n");
  if (end < 0 || end > STEP_BYTES * 16) return undefined;
  const event = bytes.subarray(0, end + 2);
  const isPlain = !event.includes(CR) && /^(?:event:[^\n]*\n)?data:/.test(event.toString("latin1"));
  return isPlain ? event : undefined;
}

const [D, E, CR] = [0x64, 0x65, 0x0d];
const ERROR = Buffer.from("error");
const FAILED = Buffer.from("failed");

/** The first event that `bytes` complete; undefined = none. */
function firstEvent(cutter: SseCutter, bytes: Buffer): Buffer | undefined {
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    const parts = cutter.feed(bytes.subarray(at, at + STEP_BYTES));
    const event = parts.find(({ isEvent }) => isEvent);
    if (event !== undefined) return event.bytes;
  }
  return undefined;
}

/** True when `event`, a whole one, is an error in any of the dialects. */
export function isErrorEvent(event: Buffer): boolean {
  return errorIn(event) !== undefined;
}

/** The error that `event` is; undefined = it is none. */
function errorIn(event: Buffer): AppError | undefined {
  // Most events have not even the word.
  if (!event.includes(ERROR) && !event.includes(FAILED)) return undefined;
  const text = event.toString();
  const lines = text.split(/\r\n|\r|\n/);
  const data = lines.filter((line) => line.startsWith("data:"))
    .map((line) => line.slice("data:".length)).join("\n");
  const value = parsed(data);
  const error = errorOf(value) ?? (lines.some((line) => ERROR_LINE.test(line)) ? value : undefined);
  if (error === undefined) return undefined;
  const status = statusOf(error);
  return new AppError(
    "upstream_broken",
    "The upstream began its stream with an error",
    status === undefined ? {} : { status },
  );
}

const ERROR_LINE = /^event: ?error *$/;

/** What says that `value` is an error; undefined = nothing does. */
function errorOf(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  if ("type" in value && ERROR_TYPES.has(value.type)) {
    const { error, response } = value as { readonly error?: unknown; readonly response?: unknown };
    return error ?? (response as { readonly error?: unknown } | null | undefined)?.error ?? value;
  }
  if (!("error" in value) || value.error === null || value.error === false) return undefined;
  const says = "choices" in value && Array.isArray(value.choices) && value.choices.length > 0;
  return says ? undefined : value.error;
}

/** Words of errors that are no failure of whoever tells them. */
const STATUSES: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
};

/** The status that an error would have had as an answer, as far as it says so. */
function statusOf(error: unknown): number | undefined {
  const { status, code, type } = Object(error) as Readonly<Record<string, unknown>>;
  for (const told of [status, code]) {
    if (typeof told === "number" && told >= 400 && told <= 599) return told;
  }
  return [code, type].map((word) => typeof word === "string" ? STATUSES[word] : undefined)
    .find((known) => known !== undefined);
}

function parsed(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
