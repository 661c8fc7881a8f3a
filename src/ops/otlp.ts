/**
 * Sends spans to a collector: OTLP over HTTP with JSON bodies (OpenTelemetry protocol 1.x).
 *
 * Own code instead of the official packages: importing those takes 69 ms of a start that has 100,
 * and 30 MB on disk, for what is one POST of JSON.
 *
 * A request never waits for this: spans queue, the queue has a limit, what does not fit is counted.
 *
 * @module
 */

import type { Watch } from "../core/events.ts";
import { backoffMs, retryAfterMs } from "../lib/backoff.ts";
import { Ticket, type Wheel } from "../lib/wheel.ts";

/** Spans that wait at the most: the standard's own default. A span is some 700 bytes of JSON. */
const QUEUE_SPANS_MAX = 2048;
/** Spans in one POST: the standard's own default. */
const BATCH_SPANS = 512;
/** A span waits this long for others at the most. */
const WAIT_MS = 2000;
/** Longest wait for the collector's answer. */
const TIMEOUT_MS = 10_000;
/** Tries of one batch before it is given up. */
const TRIES_MAX = 5;
/** Statuses that mean "again later"; any other failure is for good. */
const RETRIED: ReadonlySet<number> = new Set([429, 502, 503, 504]);

/** The value of an attribute. */
export type AttributeValue = string | number | boolean;

/** Names and values; undefined ones are left out. */
export type Attributes = Readonly<Record<string, AttributeValue | undefined>>;

/** One finished span. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** "" = the first of its trace. */
  readonly parentId: string;
  readonly traceState: string;
  readonly name: string;
  readonly kind: "server" | "client";
  /** Milliseconds since 1970. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly isError: boolean;
}

/** What a sender needs. Time and chance are arguments. */
export interface OtlpOptions {
  /** "http://collector:4318", or the whole URL when it ends in /v1/traces. */
  readonly endpoint: string;
  /** Sent along with each POST: keys of a hosted collector. */
  readonly headers: Readonly<Record<string, string>>;
  /** What is true of all spans: "service.name" and the like. */
  readonly resource: Attributes;
  readonly version: string;
  readonly wheel: Wheel;
  readonly watch: Watch;
  readonly random: () => number;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
}

/** How a POST went. */
type Sent = { readonly kind: "ok" } | {
  readonly kind: "again" | "refused";
  readonly cause: string;
  /** The wait that the collector asks for; Infinity = longer than anybody waits here. */
  readonly askedMs?: number | undefined;
};

/** Collects spans and sends them. */
export class OtlpSender extends Ticket {
  readonly #options: OtlpOptions;
  readonly #url: string;
  #queue: Span[] = [];
  #sending: Promise<void> | undefined = undefined;
  #hasFailed = false;
  #exported = 0;
  #dropped = 0;

  constructor(options: OtlpOptions) {
    super();
    this.#options = options;
    const { endpoint } = options;
    this.#url = endpoint.endsWith("/v1/traces") ? endpoint : `${endpoint}/v1/traces`;
  }

  /** Spans the collector has taken. */
  get exported(): number {
    return this.#exported;
  }

  /** Spans that were lost. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Takes a span, or drops it when too many wait. */
  add(span: Span): void {
    if (this.#queue.length >= QUEUE_SPANS_MAX) {
      this.#dropped++;
      return;
    }
    this.#queue.push(span);
    if (this.#queue.length >= BATCH_SPANS) this.#send();
    else if (this.dueTick < 0 && this.#sending === undefined) this.#wait();
  }

  /** Sends what waits, for `limitMs` at the most. Spans that come later are sent as ever. */
  async flush(limitMs: number): Promise<void> {
    const { wheel } = this.#options;
    const endMs = wheel.nowMs + limitMs;
    while (this.#queue.length > 0 && wheel.nowMs < endMs) {
      this.#send();
      await Promise.race([this.#sending, wheel.until(endMs)]);
    }
  }

  override run(): void {
    this.#send();
  }

  #wait(): void {
    const { wheel } = this.#options;
    wheel.set(this, wheel.nowMs + WAIT_MS);
  }

  #send(): void {
    if (this.#sending !== undefined || this.#queue.length === 0) return;
    this.#options.wheel.cancel(this);
    this.#sending = this.#sendBatch().finally(() => {
      this.#sending = undefined;
      if (this.#queue.length >= BATCH_SPANS) this.#send();
      else if (this.#queue.length > 0) this.#wait();
    });
  }

  /** Sends the first spans of the queue, until they are taken or given up. */
  async #sendBatch(): Promise<void> {
    const { wheel, random, watch } = this.#options;
    const batch = this.#queue.slice(0, BATCH_SPANS);
    const body = JSON.stringify(this.#request(batch));
    for (let attempt = 1;; attempt++) {
      const sent = await this.#post(body);
      if (sent.kind === "ok") {
        this.#exported += batch.length;
        if (this.#hasFailed) watch({ kind: "trace_export_recovered" });
        this.#hasFailed = false;
        break;
      }
      if (!this.#hasFailed) watch({ kind: "trace_export_failed", cause: sent.cause });
      this.#hasFailed = true;
      const waitMs = sent.askedMs ?? backoffMs(attempt, random);
      if (sent.kind === "refused" || attempt === TRIES_MAX || waitMs === Infinity) {
        this.#dropped += batch.length;
        break;
      }
      await wheel.until(wheel.nowMs + waitMs);
    }
    this.#queue = this.#queue.slice(batch.length);
  }

  async #post(body: string): Promise<Sent> {
    const { fetch, headers, wallMs } = this.#options;
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { ...headers, "content-type": "application/json" },
        body,
        redirect: "error",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      await response.body?.cancel();
      if (response.ok) return { kind: "ok" };
      const cause = `status ${response.status}`;
      if (!RETRIED.has(response.status)) return { kind: "refused", cause };
      return { kind: "again", cause, askedMs: retryAfterMs(response.headers, wallMs()) };
    } catch (error) {
      const { code, message } = error as { readonly code?: string; readonly message: string };
      return { kind: "again", cause: code ?? message };
    }
  }

  /** `ExportTraceServiceRequest` of the protocol, in its JSON form. */
  #request(spans: readonly Span[]): unknown {
    const { resource, version } = this.#options;
    return {
      resourceSpans: [{
        resource: { attributes: keyValues(resource) },
        scopeSpans: [{ scope: { name: "weir", version }, spans: spans.map(jsonSpan) }],
      }],
    };
  }
}

/** Numbers of the protocol's enumerations. */
const KINDS = { server: 2, client: 3 } as const;
const STATUS_ERROR = 2;

function jsonSpan(span: Span): unknown {
  return {
    traceId: span.traceId,
    spanId: span.spanId,
    ...(span.parentId === "" ? {} : { parentSpanId: span.parentId }),
    ...(span.traceState === "" ? {} : { traceState: span.traceState }),
    name: span.name,
    kind: KINDS[span.kind],
    startTimeUnixNano: nanoseconds(span.startMs),
    endTimeUnixNano: nanoseconds(span.endMs),
    attributes: keyValues(span.attributes),
    status: span.isError ? { code: STATUS_ERROR } : {},
  };
}

/** 64-bit numbers are texts in the protocol's JSON; a double is good for microseconds until 2255. */
function nanoseconds(ms: number): string {
  return `${Math.round(ms * 1000)}000`;
}

function keyValues(attributes: Attributes): readonly unknown[] {
  return Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: anyValue(value) }]
  );
}

function anyValue(value: AttributeValue): unknown {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
