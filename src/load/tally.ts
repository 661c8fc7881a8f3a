/**
 * What the records of one run add up to. It grows with the distributions and with one row for each
 * request, never with the events.
 *
 * @module
 */

import { connectMsOf, eachGap, ownValues } from "./metrics/own.ts";
import {
  type CountTokens,
  known,
  ownTokens,
  promptTokensOf,
  toldTokens,
} from "./metrics/values.ts";
import {
  countOf,
  firstOf,
  KIND,
  MEASURED,
  type Outcome,
  type RequestRecord,
  TOKENS,
  wasNeverSent,
} from "./record.ts";
import { addRemarks, noRemarks, type Remarks, remarksIn } from "./remarks.ts";
import { Rows, type RowsFile } from "./rows.ts";
import { judged, type Slo, sloFigures } from "./slo.ts";
import { Spread, type SpreadFile } from "./spread.ts";

/**
 * The distributions of a run, by the names that reports have for them. Those that begin with `unread`
 * are bounds of the error of others: how long a first token's request, connection and bytes, or the
 * bytes at either end of a gap, may have lain there before the client looked.
 */
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
  "unread_first_ms",
  "unread_gap_ms",
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

/** Failures that are told apart; more are counted as one. */
const ERRORS_MAX = 64;

/** A longer text is not remembered. */
const REMEMBERED_BYTES_MAX = 4096;
const NO_TEXT = Buffer.alloc(0);

/** How a tally counts. */
export interface TallyOptions {
  /** Undefined = there are none. */
  readonly slo: Slo | undefined;
  /** Undefined = own tokens are not counted. */
  readonly countTokens: CountTokens | undefined;
}

/** The records of one run, added up. */
export class Tally {
  readonly #options: TallyOptions;
  /** The text that was counted last, and what was found. */
  #lastText = NO_TEXT;
  #lastTokens: number | undefined = undefined;
  readonly spreads: Readonly<Record<SpreadName, Spread>> = Object.fromEntries(
    SPREADS.map((name) => [name, new Spread()]),
  ) as Record<SpreadName, Spread>;
  readonly outcomes: Record<Outcome, number> = { completed: 0, failed: 0, left: 0, unfinished: 0 };
  readonly errors = new Map<string, ErrorCount>();
  /** What was odd and no failure. */
  readonly remarks = noRemarks();
  readonly rows = new Rows();
  /** Answers that were held against the limits, and those of them that keep all. */
  judged = 0;
  good = 0;
  /** Requests that were due and never went out. */
  notSent = 0;
  warmup = 0;
  /** Of the fastest connection, those that were made to warm up included; undefined = none was made. */
  connectMsMin: number | undefined = undefined;
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

  constructor(options: TallyOptions) {
    this.#options = options;
  }

  /** Requests that went out, warm-up left out. */
  get sent(): number {
    const { completed, failed, left, unfinished } = this.outcomes;
    return completed + failed + left + unfinished;
  }

  /** Adds a request. Gives the tokens of its answer by own count; undefined = they were not counted. */
  observe(record: RequestRecord): number | undefined {
    this.#connected(connectMsOf(record));
    if (record.isWarmup) {
      this.warmup++;
      return undefined;
    }
    const { outcome, failure } = record;
    if (wasNeverSent(record)) this.notSent++;
    else this.outcomes[outcome]++;
    for (const name of remarksIn(record.remarks)) this.remarks[name]++;
    this.events += record.events;
    this.comments += countOf(record, KIND.comment);
    this.reads += record.reads;
    this.bytes += record.bodyBytes;
    if (failure !== undefined) this.#fail(failure.phase, failure.status ?? null, failure.text);
    // A server that says 0, or less, of what it has answered has not counted.
    const told = atLeastOne(toldTokens(record));
    const { countTokens, slo } = this.#options;
    const { inside, whole: isWhole } = MEASURED[outcome];
    const own = countTokens === undefined || !isWhole ? undefined : atLeastOne(this.#count(record));
    const values = ownValues(record, told ?? own);
    if (!Number.isNaN(record.sentMs)) this.spreads.queue_ms.record(values.queueMs);
    this.#record("connect_ms", values.connectMs);
    this.#record("ttft_ms", values.ttftMs);
    this.#record("first_event_ms", values.firstEventMs);
    this.#record("first_text_ms", values.firstTextMs);
    this.#record("first_reasoning_ms", values.firstReasoningMs);
    this.#record("service_ttft_ms", values.serviceTtftMs);
    this.#record("tpot_ms", values.tpotMs);
    this.#record("e2e_ms", values.e2eMs);
    this.#record("service_e2e_ms", values.serviceE2eMs);
    if (inside) {
      this.spreads.unread_first_ms.record(unreadMs(record));
      const { itl_ms, unread_gap_ms } = this.spreads;
      let largestGapMs: number | undefined;
      eachGap(record, (gapMs, offMs) => {
        itl_ms.record(gapMs);
        unread_gap_ms.record(offMs);
        largestGapMs = Math.max(largestGapMs ?? 0, gapMs);
      });
      if (slo !== undefined) {
        const verdict = judged(slo, sloFigures(values, largestGapMs));
        if (verdict !== "none") this.judged++;
        if (verdict === "kept") this.good++;
      }
    }
    if (isWhole) {
      this.promptTokens += promptTokensOf(record) ?? 0;
      if (told !== undefined) {
        this.toldTokens += told;
        this.toldAnswers++;
      }
      if (own !== undefined) {
        this.ownTokens += own;
        this.ownAnswers++;
      }
    }
    this.rows.push(record, values);
    return own;
  }

  /** Own tokens of an answer. Those of a mock are all the same: they are counted once. */
  #count(record: RequestRecord): number | undefined {
    const { text, textBytes } = record;
    const last = this.#lastText;
    const isSame = textBytes === last.length && textBytes > 0 && !record.isTextCut &&
      last.compare(text, 0, textBytes, 0, textBytes) === 0;
    if (isSame) return this.#lastTokens;
    this.#lastTokens = ownTokens(record, this.#options.countTokens!);
    this.#lastText = textBytes > REMEMBERED_BYTES_MAX
      ? NO_TEXT
      : Buffer.from(text.subarray(0, textBytes));
    return this.#lastTokens;
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
    this.#connected(other.connectMsMin);
    addRemarks(this.remarks, other.remarks);
    this.rows.merge(other.rows);
  }

  /** Counts requests as failed of which nothing is known: whoever has sent them is gone. */
  lose(count: number, text: string): void {
    this.outcomes.failed += count;
    this.#fail("client", null, text, count);
  }

  #connected(ms: number | undefined): void {
    if (ms !== undefined) this.connectMsMin = Math.min(ms, this.connectMsMin ?? Infinity);
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

  /** For a file. */
  toFile(): TallyFile {
    return {
      outcomes: this.outcomes,
      errors: [...this.errors.values()],
      remarks: this.remarks,
      spreads: Object.fromEntries(
        SPREADS.filter((name) => this.spreads[name].count > 0)
          .map((name) => [name, this.spreads[name].toFile()]),
      ),
      sums: Object.fromEntries(SUMS.map((name) => [name, this[name]])) as TallyFile["sums"],
      connectMsMin: this.connectMsMin,
      rows: this.rows.toFile(),
    };
  }

  /** The tally that was written. */
  static read(file: TallyFile): Tally {
    const tally = new Tally({ slo: undefined, countTokens: undefined });
    Object.assign(tally.outcomes, file.outcomes);
    for (const { phase, status, text, count } of file.errors) {
      tally.#fail(phase, status, text, count);
    }
    for (const name of SPREADS) {
      const written = file.spreads[name];
      if (written !== undefined) tally.spreads[name].merge(Spread.read(written));
    }
    for (const name of SUMS) tally[name] = file.sums[name] ?? 0;
    tally.#connected(file.connectMsMin);
    addRemarks(tally.remarks, file.remarks ?? {});
    tally.rows.merge(Rows.read(file.rows));
    return tally;
  }
}

/** How much too long the time to the first token may be, or to the whole of an answer without any. */
function unreadMs(record: RequestRecord): number {
  const first = firstOf(record, TOKENS);
  const read = first < 0 ? record.reads - 1 : record.eventRead[first]!;
  return record.sendLateMs + record.openLateMs + (read < 0 ? 0 : record.readLateMs[read]!);
}

/** A count of tokens that says that there were some. */
function atLeastOne(tokens: number | undefined): number | undefined {
  return tokens !== undefined && tokens > 0 ? tokens : undefined;
}

/** A tally in a file. */
export interface TallyFile {
  readonly outcomes: Readonly<Record<Outcome, number>>;
  readonly errors: readonly ErrorCount[];
  /** Missing in older files. */
  readonly remarks?: Partial<Remarks>;
  readonly spreads: Readonly<Partial<Record<SpreadName, SpreadFile>>>;
  readonly sums: Readonly<Record<typeof SUMS[number], number>>;
  /** Undefined = no connection was made, or the file is older. */
  readonly connectMsMin?: number | undefined;
  readonly rows: RowsFile;
}

const SUMS = [
  "judged",
  "good",
  "notSent",
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
] as const;
