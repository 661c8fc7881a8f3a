/**
 * What one tool would have of a whole run: the values of each request, as the tool's report needs
 * them.
 *
 * @module
 */

import { type Phase, type RequestRecord, wasNeverSent } from "../record.ts";
import { interChunkMs } from "./aiperf.ts";
import { type CountTokens, known, type RequestValues } from "./values.ts";

/** Samples of one metric that are kept; the tools keep all, and so does a run of that size. */
const SAMPLES_MAX = 20_000_000;

/** One request as its report has it. */
export interface GatheredRequest extends RequestValues {
  readonly outcome: RequestRecord["outcome"];
  readonly status: number;
  readonly phase: Phase | undefined;
  readonly failure: string;
  readonly sentMs: number;
  readonly endMs: number;
}

/** A run, seen by one tool. */
export class Gathered {
  readonly requests: GatheredRequest[] = [];
  /** Every gap between two events with content: what AIPerf calls inter-chunk latency. */
  readonly interChunkMs: number[] = [];
  readonly #read: (record: RequestRecord, count: CountTokens) => RequestValues;
  readonly #count: CountTokens;
  #samples = 0;
  /** Rounds have clocks of their own: one begins where the one before has ended. */
  #startMs = 0;
  #endMs = 0;

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

  /** Another round begins. */
  nextRound(): void {
    this.#startMs = this.#endMs;
  }

  /** Adds a request; one that warms up is none, nor is one that never went out. */
  observe(record: RequestRecord): void {
    if (record.isWarmup || wasNeverSent(record) || this.isCut) return;
    const values = this.#read(record, this.#count);
    this.#samples += 8 + (values.itlMs?.length ?? 0);
    this.requests.push({
      ...values,
      outcome: record.outcome,
      status: record.status,
      phase: record.failure?.phase,
      failure: record.failure?.text ?? "",
      sentMs: this.#startMs + record.sentMs,
      endMs: this.#startMs + record.endMs,
    });
    this.#endMs = Math.max(this.#endMs, this.#startMs + (known(record.endMs) ?? 0));
    if (!values.isSuccess) return;
    for (const gapMs of interChunkMs(record)) this.interChunkMs.push(gapMs);
  }

  /** Adds what others have gathered of this round. */
  merge({ requests, interChunkMs }: GatheredParts): void {
    for (const { more = {}, ...one } of requests) {
      if (this.isCut) break;
      this.#samples += 8 + (one.itlMs?.length ?? 0);
      const sentMs = this.#startMs + (one.sentMs ?? NaN);
      const endMs = this.#startMs + (one.endMs ?? NaN);
      const values = Object.entries(more).map(([name, value]) => [name, value ?? undefined]);
      this.requests.push({ ...one, more: Object.fromEntries(values), sentMs, endMs });
      this.#endMs = Math.max(this.#endMs, known(endMs) ?? 0);
    }
    for (const gapMs of interChunkMs) this.interChunkMs.push(gapMs);
  }

  /** For another process, as JSON. */
  toParts(): GatheredParts {
    const { requests, interChunkMs } = this;
    return { requests, interChunkMs };
  }
}

/** What was gathered elsewhere. In JSON a number that is none is null. */
export interface GatheredParts {
  readonly requests: readonly (Omit<GatheredRequest, "sentMs" | "endMs" | "more"> & {
    readonly sentMs: number | null;
    readonly endMs: number | null;
    readonly more?: Readonly<Record<string, number | null | undefined>> | undefined;
  })[];
  readonly interChunkMs: readonly number[];
}
