/**
 * One request and its answer, from the first byte in to the last byte out: what logs, metrics and
 * shutdown know of it.
 *
 * @module
 */

import type { TraceContext } from "../lib/trace_context.ts";
import type { Wheel } from "../lib/wheel.ts";
import { AppError, asAppError, clientLeft, LIMITS } from "./errors.ts";
import { type Outcome, outcomeOf, type Watch } from "./events.ts";
import type { UpstreamCall } from "./upstream_call.ts";

/** A response that is still being written. */
export interface OpenStream {
  /** Ends the stream now with `error` said in its dialect, and without its end mark. */
  fail(error: AppError): void;
}

/** Who asks. */
export interface Client {
  /** "" = unknown. */
  readonly address: string;
  /** True when its open requests are counted, this one with them. */
  isCounted: boolean;
}

/** Checks the `Authorization` header of a request, and notes at its exchange whose token it is. */
export type Authorize = (
  headers: Headers,
  exchange: Exchange,
) => "ok" | "missing" | "malformed" | "wrong";

/** What every surface and source shares in one process. Made in `app.ts`. */
export interface Engine {
  /** The one timer. */
  readonly wheel: Wheel;
  /** Every response that is still being written. */
  readonly streams: Set<OpenStream>;
  readonly watch: Watch;
  /** Milliseconds of silence after which a stream gets an SSE comment; 0 = never. */
  readonly keepaliveMs: number;
  /** Milliseconds that a client may take nothing of a stream whose buffer is full. */
  readonly writeTimeoutMs: number;
  /** Gives the client of a request, and counts it where clients are; absent: nobody asks. */
  readonly admit?: (request: Request) => Client | undefined;
  /** Begins the trace of a request; undefined = nobody traces, and no header is looked at. */
  readonly startTrace?: ((request: Request) => TraceContext) | undefined;
}

/** A client took nothing of its stream for too long: it is cut off, so nobody reads the sentence. */
export function readerSlow(writeTimeoutMs: number): AppError {
  return new AppError(
    "reader_slow",
    `The client took nothing of its stream for ${writeTimeoutMs} ms (server.write_timeout_ms)`,
  );
}

const NEVER = new AbortController().signal;

/** The life of one request. Its owner is the surface; whoever writes the last byte ends it. */
export class Exchange {
  readonly engine: Engine;
  /** The URL's name in logs and metrics: "v1_chat_completions". */
  readonly surface: string;
  readonly method: string;
  readonly startMs: number;
  /** Looked up only where the log or a limit needs it: that costs 1 to 2 µs. */
  readonly client: Client | undefined;
  /** The name of the token that the client showed; "" = it has none. */
  tokenName = "";
  /** The id the answer carries in `x-request-id`; "" where the dialect has none. */
  requestId = "";
  model = "";
  /** What answered: "mock", "proxy". */
  source = "";
  isStream = false;
  status = 0;
  /** Milliseconds from the start to the first byte of the answer's body; -1 = none yet. */
  firstByteMs = -1;
  durationMs = -1;
  bodyBytes = 0;
  /** Token counts where they are known; -1 = unknown. */
  promptTokens = -1;
  completionTokens = -1;
  outcome: Outcome | undefined = undefined;
  /** The error that ended it; undefined = none. Its sentence may repeat what the client sent. */
  error: AppError | undefined = undefined;
  /** Called once when the exchange ends, however it does: frees what the request held. */
  onEnd: (() => void) | undefined = undefined;
  /** Where it stands in a trace; undefined = nobody traces. */
  readonly trace: TraceContext | undefined;
  /** The last call to an upstream that it made. */
  upstream: UpstreamCall | undefined = undefined;
  /** What the client asked, shortened; "" unless `ops.log_prompts` wants it. */
  promptText = "";
  #request: Request | null;

  constructor(engine: Engine, surface: string, request: Request) {
    this.engine = engine;
    this.surface = surface;
    this.method = request.method;
    this.#request = request;
    this.startMs = engine.wheel.nowMs;
    this.client = engine.admit === undefined ? undefined : engine.admit(request);
    this.trace = engine.startTrace?.(request);
  }

  /**
   * Aborts when the client leaves before its response has begun; take it before `begin`. A mock
   * answer never touches it, and Bun then allocates none. Once a response streams, its stream's
   * `cancel` tells of the leaving.
   */
  get signal(): AbortSignal {
    return this.#request === null ? NEVER : this.#request.signal;
  }

  /**
   * Waits until `dueMs` of the wheel's clock, before the first byte; shutdown finds the wait among
   * the open streams.
   *
   * @throws {AppError} when the client leaves or shutdown ends the wait.
   */
  async until(dueMs: number): Promise<void> {
    const { wheel, streams } = this.engine;
    const abort = new AbortController();
    const waiting: OpenStream = { fail: (error) => abort.abort(error) };
    streams.add(waiting);
    const isTime = await wheel.until(dueMs, AbortSignal.any([abort.signal, this.signal]));
    streams.delete(waiting);
    if (!isTime) throw abort.signal.aborted ? abort.signal.reason : clientLeft();
  }

  /** Notes that the first byte of the body leaves now. An open stream must not hold its request. */
  begin(status: number): void {
    this.status = status;
    this.#request = null;
    if (this.firstByteMs < 0) this.firstByteMs = this.engine.wheel.nowMs - this.startMs;
  }

  /** An answer that leaves in one piece: `begin` and `end` with one look at the clock. */
  complete(status: number, bodyBytes: number): void {
    const { wheel, watch } = this.engine;
    this.status = status;
    this.bodyBytes = bodyBytes;
    this.durationMs = this.firstByteMs = wheel.nowMs - this.startMs;
    this.outcome = "completed";
    this.onEnd?.();
    watch({ kind: "exchange_ended", exchange: this });
  }

  /**
   * Ends the exchange with an error answer, and gives the error to answer with. What is no
   * `AppError` is a bug: the watchers get its stack, the client does not.
   */
  refuse(thrown: unknown): AppError {
    const error = asAppError(thrown);
    const hasLeft = this.#request?.signal.aborted === true;
    if (error.code === "internal" && !hasLeft) {
      this.engine.watch({ kind: "bug", where: this.surface, error: thrown });
    }
    this.begin(error.status);
    this.end(hasLeft ? "client_left" : outcomeOf(error), error);
    return error;
  }

  /** Tells the watchers. Only the first call counts. */
  end(outcome: Outcome, error?: AppError): void {
    if (this.outcome !== undefined) return;
    this.outcome = outcome;
    this.error = error;
    this.durationMs = this.engine.wheel.nowMs - this.startMs;
    const limit = error === undefined ? undefined : LIMITS[error.code];
    if (limit !== undefined) this.engine.watch({ kind: "limit_reached", limit });
    this.onEnd?.();
    this.engine.watch({ kind: "exchange_ended", exchange: this });
  }
}
