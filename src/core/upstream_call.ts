/**
 * One call to an upstream, all its tries together: how long each stage of it took. Whoever makes the
 * call writes it; logs, metrics and traces read it.
 *
 * @module
 */

import { AppError, type ErrorCode } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { traceparent } from "../lib/trace_context.ts";

/** The clock of one call. Times are milliseconds; -1 = that stage was not reached, or not seen. */
export class UpstreamCall {
  readonly exchange: Exchange;
  /** Host and port of the upstream. */
  readonly host: string;
  readonly startMs: number;
  /** Tries so far. */
  attempts = 0;
  /** The span of this call: what the upstream takes for its parent; "" = nobody traces. */
  readonly spanId: string;
  /** From the last try's start to its response's head: a new connection's making is part of it. */
  headersMs = -1;
  /** From the last try's start to the first chunk of its body. */
  firstChunkMs = -1;
  /** From the first try's start to the end of the body, or to the failure. */
  durationMs = -1;
  /** The last status the upstream answered with; 0 = none. */
  status = 0;
  /** Token counts where the upstream told them; -1 = unknown. */
  promptTokens = -1;
  completionTokens = -1;
  errorCode: ErrorCode | undefined = undefined;
  #tryMs: number;

  constructor(exchange: Exchange, host: string) {
    this.exchange = exchange;
    this.host = host;
    this.#tryMs = this.startMs = exchange.engine.wheel.nowMs;
    this.spanId = exchange.trace?.makeSpanId() ?? "";
    exchange.upstream = this;
  }

  /** A try begins now; the first one began with the call. */
  attempt(): void {
    if (++this.attempts > 1) this.#tryMs = this.#nowMs;
  }

  /** The head of a response is here. */
  head(status: number): void {
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
  usage(promptTokens: number, completionTokens: number): void {
    this.exchange.promptTokens = this.promptTokens = promptTokens;
    this.exchange.completionTokens = this.completionTokens = completionTokens;
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
