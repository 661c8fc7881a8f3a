/**
 * What one tool would have of a whole run: the values of each request, as the tool's report needs
 * them.
 *
 * @module
 */

import { eventMs, KIND, type RequestRecord } from "../record.ts";
import { interChunkMs } from "./aiperf.ts";
import type { CountTokens, RequestValues } from "./values.ts";

/** Samples of one metric that are kept; the tools keep all, and so does a run of that size. */
const SAMPLES_MAX = 20_000_000;

/** One request as its report has it. */
export interface GatheredRequest extends RequestValues {
  readonly outcome: RequestRecord["outcome"];
  readonly status: number;
  readonly failure: string;
  readonly sentMs: number;
  readonly endMs: number;
}

/** A run, seen by one tool. */
export class Gathered {
  readonly requests: GatheredRequest[] = [];
  /** Every gap between two events with content: what AIPerf calls inter-chunk latency. */
  readonly interChunkMs: number[] = [];
  /** Events with choices in each second. */
  readonly eventsInSecond = new Map<number, number>();
  readonly #read: (record: RequestRecord, count: CountTokens) => RequestValues;
  readonly #count: CountTokens;
  #samples = 0;

  /** `read`: the tool's definitions. */
  constructor(
    read: (record: RequestRecord, count: CountTokens) => RequestValues,
    count: CountTokens,
  ) {
    this.#read = read;
    this.#count = count;
  }

  /** True when there was more than is kept, and the report is of the first part. */
  get isCut(): boolean {
    return this.#samples > SAMPLES_MAX;
  }

  /** Adds a request; one that warms up is none. */
  observe(record: RequestRecord): void {
    if (record.isWarmup || this.isCut) return;
    const values = this.#read(record, this.#count);
    this.#samples += 8 + (values.itlMs?.length ?? 0);
    this.requests.push({
      ...values,
      outcome: record.outcome,
      status: record.status,
      failure: record.failure?.text ?? "",
      sentMs: record.sentMs,
      endMs: record.endMs,
    });
    if (!values.isSuccess) return;
    for (const gapMs of interChunkMs(record)) this.interChunkMs.push(gapMs);
    for (let i = 0; i < record.events; i++) {
      if ((record.eventKinds[i]! & KIND.choice) === 0) continue;
      const second = Math.floor(eventMs(record, i) / 1000);
      this.eventsInSecond.set(second, (this.eventsInSecond.get(second) ?? 0) + 1);
    }
  }

  /** Adds what others have gathered at the same time, or after it. */
  merge({ requests, interChunkMs, eventsInSecond }: GatheredParts): void {
    for (const one of requests) {
      if (this.isCut) break;
      this.#samples += 8 + (one.itlMs?.length ?? 0);
      this.requests.push({ ...one, sentMs: one.sentMs ?? NaN, endMs: one.endMs ?? NaN });
    }
    for (const gapMs of interChunkMs) this.interChunkMs.push(gapMs);
    for (const [second, events] of eventsInSecond) {
      this.eventsInSecond.set(second, (this.eventsInSecond.get(second) ?? 0) + events);
    }
  }

  /** For another process, as JSON. */
  toParts(): GatheredParts {
    const { requests, interChunkMs, eventsInSecond } = this;
    return { requests, interChunkMs, eventsInSecond: [...eventsInSecond] };
  }
}

/** What was gathered elsewhere. In JSON a time that is not known is null. */
export interface GatheredParts {
  readonly requests: readonly (Omit<GatheredRequest, "sentMs" | "endMs"> & {
    readonly sentMs: number | null;
    readonly endMs: number | null;
  })[];
  readonly interChunkMs: readonly number[];
  readonly eventsInSecond: Iterable<readonly [second: number, events: number]>;
}
