/**
 * Traces: one span for each request, and one below it for its call to an upstream. Names follow the
 * semantic conventions of OpenTelemetry for HTTP and for generative AI (1.41).
 *
 * The span that is the inference carries the `gen_ai.*` attributes: the call where there is one,
 * else the request. Were they on both, whoever adds up tokens would count them twice.
 *
 * @module
 */

import type { CallFacts, ExchangeFacts, UpstreamFacts } from "../core/facts.ts";
import type { Event } from "../core/events.ts";
import type { Fields } from "../lib/http1/fields.ts";
import { parseTraceparent, type TraceContext, traceState } from "../lib/trace_context.ts";
import type { Attributes, Span } from "./otlp.ts";

/** What a tracer needs. */
export interface TracerOptions {
  /** Takes finished spans: an `OtlpSender`. */
  readonly sender: { add(span: Span): void };
  /** The share of traces that begin here and are kept, 0 to 1. A caller's own decision wins. */
  readonly sampleRatio: number;
  /** Where weir listens. */
  readonly host: string;
  readonly port: number;
  readonly random: () => number;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => void;
  /** The clock of the wheel, and the time of day. */
  readonly clock: () => number;
  readonly wallMs: () => number;
}

/** Longest model name in a span, in UTF-16 units. */
const MODEL_CHARS_MAX = 200;

/** Begins traces, and makes spans of what has ended. */
export class Tracer {
  readonly #options: TracerOptions;
  readonly #makeSpanId = () => this.#hex(8);

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /** Where a request with `fields` stands: in its caller's trace, or at the start of one. */
  start(fields: Pick<Fields, "get">): TraceContext {
    const { sampleRatio, random } = this.#options;
    const makeSpanId = this.#makeSpanId;
    const parent = parseTraceparent(fields.get("traceparent"));
    if (parent === undefined) {
      const isSampled = sampleRatio >= 1 || random() < sampleRatio;
      const traceId = this.#hex(16);
      return { traceId, parentId: "", spanId: makeSpanId(), isSampled, state: "", makeSpanId };
    }
    const { traceId, spanId: parentId, isSampled } = parent;
    const state = traceState(fields.get("tracestate"));
    return { traceId, parentId, spanId: makeSpanId(), isSampled, state, makeSpanId };
  }

  #hex(bytes: number): string {
    const target = new Uint8Array(bytes);
    this.#options.randomBytes(target);
    return target.toHex();
  }

  /** Takes an event: the watcher. */
  record(event: Event): void {
    if (event.kind === "exchange_ended") this.#exchangeEnded(event.exchange);
    else if (event.kind === "upstream_ended") this.#upstreamEnded(event.call);
  }

  #exchangeEnded(exchange: ExchangeFacts): void {
    const { trace, method, surface, status, outcome, upstream } = exchange;
    if (trace === undefined || !trace.isSampled) return;
    const { sender, host, port } = this.#options;
    sender.add({
      ...this.#times(exchange.startMs, exchange.durationMs),
      traceId: trace.traceId,
      spanId: trace.spanId,
      parentId: trace.parentId,
      traceState: trace.state,
      name: `${method} ${surface}`,
      kind: "server",
      attributes: {
        "http.request.method": method,
        "http.response.status_code": status === 0 ? undefined : status,
        "http.response.body.size": exchange.bodyBytes,
        "server.address": host,
        "server.port": port,
        "error.type": exchange.error?.code ?? errorStatus(status, 500),
        "weir.surface": surface,
        "weir.outcome": outcome!,
        "weir.source": exchange.source === "" ? undefined : exchange.source,
        "weir.request_id": exchange.requestId === "" ? undefined : exchange.requestId,
        "weir.cache": exchange.cache?.result,
        "weir.first_byte_ms": exchange.firstByteMs < 0 ? undefined : exchange.firstByteMs,
        ...(upstream === undefined ? inference(exchange, method, exchange, "weir") : {}),
      },
      isError: status >= 500 || ERRORS.has(outcome!),
    });
  }

  #upstreamEnded(call: UpstreamFacts): void {
    const { exchange, status, errorCode, attempts, firstChunkMs, method } = call;
    const { trace } = exchange;
    if (trace === undefined || !trace.isSampled) return;
    const { hostname, port } = hostParts(call.host);
    const model = inference(exchange, method, call, "openai");
    this.#options.sender.add({
      ...this.#times(call.startMs, call.durationMs),
      traceId: trace.traceId,
      spanId: call.spanId,
      parentId: trace.spanId,
      traceState: trace.state,
      name: "gen_ai.operation.name" in model ? `chat ${modelOf(exchange)}`.trimEnd() : method,
      kind: "client",
      attributes: {
        "http.request.method": method,
        "http.response.status_code": status === 0 ? undefined : status,
        "http.request.resend_count": attempts > 1 ? attempts - 1 : undefined,
        "server.address": hostname,
        "server.port": port,
        "error.type": errorCode ?? errorStatus(status, 400),
        ...model,
        "gen_ai.response.time_to_first_chunk": exchange.isStream && firstChunkMs >= 0
          ? firstChunkMs / 1000
          : undefined,
      },
      isError: errorCode !== undefined || status >= 400,
    });
  }

  #times(
    startMs: number,
    durationMs: number,
  ): { readonly startMs: number; readonly endMs: number } {
    const { wallMs, clock } = this.#options;
    const atMs = startMs + (wallMs() - clock());
    return { startMs: atMs, endMs: atMs + durationMs };
  }
}

const ERRORS: ReadonlySet<string> = new Set(["upstream_failed", "timed_out", "failed"]);

/** What an answer of a model is described by. Nothing for a request that asks no model. */
function inference(
  exchange: Pick<CallFacts, "source" | "model" | "isStream">,
  method: string,
  counts: { readonly promptTokens: number; readonly completionTokens: number },
  provider: string,
): Attributes {
  if (exchange.source === "" || method !== "POST") return {};
  const model = modelOf(exchange);
  return {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": provider,
    "gen_ai.request.model": model === "" ? undefined : model,
    "gen_ai.request.stream": exchange.isStream,
    "gen_ai.usage.input_tokens": counts.promptTokens < 0 ? undefined : counts.promptTokens,
    "gen_ai.usage.output_tokens": counts.completionTokens < 0 ? undefined : counts.completionTokens,
  };
}

function modelOf({ model }: Pick<CallFacts, "model">): string {
  return model.slice(0, MODEL_CHARS_MAX).toWellFormed();
}

/** `error.type` where no code of our own says more: the status, from `lowest` on. */
function errorStatus(status: number, lowest: number): string | undefined {
  return status >= lowest ? String(status) : undefined;
}

function hostParts(host: string): { readonly hostname: string; readonly port: number } {
  const at = host.lastIndexOf(":");
  return { hostname: host.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(host.slice(at + 1)) };
}
