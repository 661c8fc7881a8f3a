/**
 * One call to an upstream, all its tries together: how long each stage of it took. The upstream
 * writes it; its body's end ends it, or whoever gives the answer up. Logs, metrics and traces read
 * it.
 *
 * @module
 */

import { AppError, type ErrorCode } from "./errors.ts";
import type { Call, OpenUpstreamCall } from "./exchange.ts";
import { noteUsage, type Usage } from "./usage.ts";
import { traceparent } from "../lib/trace_context.ts";

/** The clock of one call. */
export class UpstreamCall implements OpenUpstreamCall {
  readonly exchange: Call;
  readonly host: string;
  readonly startMs: number;
  readonly spanId: string;
  method = "POST";
  attempts = 0;
  headersMs = -1;
  firstChunkMs = -1;
  durationMs = -1;
  status = 0;
  promptTokens = -1;
  completionTokens = -1;
  errorCode: ErrorCode | undefined = undefined;
  isAsked = false;
  #tryMs: number;

  constructor(exchange: Call, host: string) {
    this.exchange = exchange;
    this.host = host;
    this.#tryMs = this.startMs = exchange.engine.wheel.nowMs;
    if (exchange.askedMs < 0) exchange.askedMs = this.startMs;
    this.spanId = exchange.trace?.makeSpanId() ?? "";
    exchange.upstream = this;
  }

  /** The one under way for `call`, whose tries are one call together; else a new one. */
  static of(call: Call, host: string): UpstreamCall {
    const known = call.upstream;
    if (known instanceof UpstreamCall && known.host === host && known.durationMs < 0) return known;
    known?.end();
    return new UpstreamCall(call, host);
  }

  get heardMs(): number {
    return this.#tryMs + Math.max(this.headersMs, this.firstChunkMs);
  }

  /** A try begins now; the first one began with the call. */
  attempt(): void {
    this.isAsked = false;
    this.exchange.attempts++;
    if (++this.attempts > 1) this.#tryMs = this.#nowMs;
  }

  /** The last byte of the request has left. */
  sent(): void {
    this.isAsked = true;
  }

  /** What was asked is not answered: it costs nothing. */
  failed(): void {
    this.isAsked = false;
  }

  /** The head of a response is here. */
  head(status: number): void {
    if (status >= 300) this.failed();
    this.status = status;
    this.headersMs = this.#nowMs - this.#tryMs;
  }

  /** The first chunk of the body came along with the head. */
  chunkWithHead(): void {
    this.firstChunkMs = this.headersMs;
  }

  /** A chunk of the body is here; only the first one counts. */
  chunk(): void {
    if (this.firstChunkMs < 0) this.firstChunkMs = this.#nowMs - this.#tryMs;
  }

  /** The upstream told what the answer cost. */
  usage(usage: Usage): void {
    this.promptTokens = usage.promptTokens;
    this.completionTokens = usage.completionTokens;
    noteUsage(this.exchange, usage);
  }

  /** Headers that tell the upstream where it stands in the trace; none when nobody traces. */
  get traceHeaders(): Readonly<Record<string, string>> | undefined {
    const { trace } = this.exchange;
    return trace && { traceparent: traceparent(trace, this.spanId) };
  }

  /** Nothing more comes. Only the first call counts; `error` says what went wrong, if anything. */
  end(error?: unknown): void {
    if (this.durationMs >= 0) return;
    this.durationMs = this.#nowMs - this.startMs;
    if (error !== undefined) this.errorCode = upstreamCode(error);
    this.exchange.engine.watch({ kind: "upstream_ended", call: this });
  }

  get #nowMs(): number {
    return this.exchange.engine.wheel.nowMs;
  }
}

/** The code of an upstream's failure; undefined when weir itself gave the call up. */
function upstreamCode(error: unknown): ErrorCode | undefined {
  if (!(error instanceof AppError)) return "upstream_broken";
  return error.code.startsWith("upstream_") ? error.code : undefined;
}
