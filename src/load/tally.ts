/**
 * What the records of one run add up to. It grows with the distributions and with one row for each
 * request, never with the events.
 *
 * @module
 */

import { eachGap, ownValues } from "./metrics/own.ts";
import {
  type CountTokens,
  known,
  ownTokens,
  promptTokensOf,
  toldTokens,
} from "./metrics/values.ts";
import { countOf, KIND, type Outcome, type RequestRecord } from "./record.ts";
import { keeps, type Slo } from "./slo.ts";
import { Spread } from "./spread.ts";

/** The distributions of a run, by the names that reports have for them. */
export const SPREADS = [
  "ttft_ms",
  "itl_ms",
  "tpot_ms",
  "e2e_ms",
  "first_event_ms",
  "first_text_ms",
  "first_reasoning_ms",
  "service_ttft_ms",
  "service_e2e_ms",
  "queue_ms",
  "connect_ms",
] as const;

/** The name of a distribution. */
export type SpreadName = typeof SPREADS[number];

/** How often requests failed in the same way. */
export interface ErrorCount {
  readonly phase: string;
  /** null = there was no head. */
  readonly status: number | null;
  readonly text: string;
  count: number;
}

/** Rows that are kept: beyond, a run has figures and no rows. */
const ROWS_MAX = 2_000_000;
/** Failures that are told apart; more are counted as one. */
const ERRORS_MAX = 64;

/** How a tally counts. */
export interface TallyOptions {
  /** Undefined = there are none. */
  readonly slo: Slo | undefined;
  /** Undefined = own tokens are not counted. */
  readonly countTokens: CountTokens | undefined;
}

/** One request in few words: for comparisons and charts. */
export interface Row {
  readonly dueMs: number;
  readonly sentMs: number;
  readonly endMs: number;
  readonly ttftMs: number | undefined;
  readonly tpotMs: number | undefined;
  readonly e2eMs: number | undefined;
  readonly outcome: Outcome;
}

/** The records of one run, added up. */
export class Tally {
  readonly #options: TallyOptions;
  readonly spreads: Readonly<Record<SpreadName, Spread>> = Object.fromEntries(
    SPREADS.map((name) => [name, new Spread()]),
  ) as Record<SpreadName, Spread>;
  readonly outcomes: Record<Outcome, number> = { completed: 0, failed: 0, left: 0, unfinished: 0 };
  readonly errors = new Map<string, ErrorCount>();
  readonly rows: Row[] = [];
  /** Completed requests that keep the limits. */
  good = 0;
  warmup = 0;
  events = 0;
  comments = 0;
  reads = 0;
  bytes = 0;
  promptTokens = 0;
  /** Tokens as the server told them, and how many completed answers told. */
  toldTokens = 0;
  toldAnswers = 0;
  /** Tokens as counted here, and of how many completed answers. */
  ownTokens = 0;
  ownAnswers = 0;
  rowsLeftOut = 0;

  constructor(options: TallyOptions) {
    this.#options = options;
  }

  /** Requests that were due, warm-up left out. */
  get sent(): number {
    const { completed, failed, left, unfinished } = this.outcomes;
    return completed + failed + left + unfinished;
  }

  /** Adds a request. */
  observe(record: RequestRecord): void {
    if (record.isWarmup) {
      this.warmup++;
      return;
    }
    const { outcome, failure } = record;
    this.outcomes[outcome]++;
    this.events += record.events;
    this.comments += countOf(record, KIND.comment);
    this.reads += record.reads;
    this.bytes += record.bodyBytes;
    if (failure !== undefined) this.#fail(failure.phase, failure.status ?? null, failure.text);
    const told = toldTokens(record);
    const { countTokens, slo } = this.#options;
    const isWhole = outcome === "completed";
    const own = countTokens === undefined || !isWhole ? undefined : ownTokens(record, countTokens);
    const values = ownValues(record, told ?? own);
    if (!Number.isNaN(record.sentMs)) this.spreads.queue_ms.record(values.queueMs);
    this.#record("connect_ms", values.connectMs);
    // A failure has no latency: a fast refusal would make the figures better.
    if (outcome === "completed" || outcome === "left") {
      this.#record("ttft_ms", values.ttftMs);
      this.#record("first_event_ms", values.firstEventMs);
      this.#record("first_text_ms", values.firstTextMs);
      this.#record("first_reasoning_ms", values.firstReasoningMs);
      this.#record("service_ttft_ms", values.serviceTtftMs);
    }
    let largestGapMs = 0;
    if (outcome === "completed" || outcome === "left") {
      const { itl_ms } = this.spreads;
      eachGap(record, (gapMs) => {
        itl_ms.record(gapMs);
        if (gapMs > largestGapMs) largestGapMs = gapMs;
      });
    }
    if (isWhole) {
      this.#record("tpot_ms", values.tpotMs);
      this.#record("e2e_ms", values.e2eMs);
      this.#record("service_e2e_ms", values.serviceE2eMs);
      this.promptTokens += promptTokensOf(record) ?? 0;
      if (told !== undefined) {
        this.toldTokens += told;
        this.toldAnswers++;
      }
      if (own !== undefined) {
        this.ownTokens += own;
        this.ownAnswers++;
      }
      if (slo !== undefined && keeps(slo, values, largestGapMs)) this.good++;
    }
    this.#keep({
      dueMs: record.dueMs,
      sentMs: record.sentMs,
      endMs: record.endMs,
      ttftMs: values.ttftMs,
      tpotMs: isWhole ? values.tpotMs : undefined,
      e2eMs: isWhole ? values.e2eMs : undefined,
      outcome,
    });
  }

  /** Adds what another run of the same kind has counted. */
  merge(other: Tally): void {
    for (const name of SPREADS) this.spreads[name].merge(other.spreads[name]);
    for (const name of Object.keys(this.outcomes) as Outcome[]) {
      this.outcomes[name] += other.outcomes[name];
    }
    for (const { phase, status, text, count } of other.errors.values()) {
      this.#fail(phase, status, text, count);
    }
    for (const name of SUMS) this[name] += other[name];
    for (const row of other.rows) this.#keep(row);
  }

  #fail(phase: string, status: number | null, text: string, count = 1): void {
    const isNew = !this.errors.has(`${phase} ${status} ${text}`);
    const said = isNew && this.errors.size >= ERRORS_MAX ? "and others" : text;
    const key = `${phase} ${status} ${said}`;
    const known = this.errors.get(key);
    if (known === undefined) this.errors.set(key, { phase, status, text: said, count });
    else known.count += count;
  }

  #record(name: SpreadName, ms: number | undefined): void {
    if (known(ms) !== undefined) this.spreads[name].record(ms!);
  }

  #keep(row: Row): void {
    if (this.rows.length < ROWS_MAX) this.rows.push(row);
    else this.rowsLeftOut++;
  }
}

const SUMS = [
  "good",
  "warmup",
  "events",
  "comments",
  "reads",
  "bytes",
  "promptTokens",
  "toldTokens",
  "toldAnswers",
  "ownTokens",
  "ownAnswers",
  "rowsLeftOut",
] as const;
