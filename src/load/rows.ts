/**
 * One row for each request of a run: what comparisons and pictures are made of. Columns, since a
 * million requests as objects take 100 MB more.
 *
 * @module
 */

import type { OwnValues } from "./metrics/own.ts";
import type { Outcome, RequestRecord } from "./record.ts";

/** Rows that are kept: beyond, a run has figures and no rows. */
const ROWS_MAX = 2_000_000;

/** The columns. Milliseconds; NaN = there is no such figure. */
export const ROW_COLUMNS = ["number", "due", "sent", "end", "ttft", "tpot", "e2e"] as const;

/** The name of a column. */
export type RowColumn = typeof ROW_COLUMNS[number];

const OUTCOMES: readonly Outcome[] = ["completed", "failed", "left", "unfinished"];

/** Rows in a file. null = there is no such figure. */
export type RowsFile = Readonly<Record<RowColumn, readonly (number | null)[]>> & {
  readonly outcome: readonly Outcome[];
};

/** The rows of a run. */
export class Rows {
  #columns = columnsOf(1024);
  #outcomes = new Uint8Array(1024);
  #length = 0;
  /** Rows that there was no place for. */
  leftOut = 0;

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /** A figure of a row. */
  get(row: number, column: RowColumn): number {
    return this.#columns[column][row]!;
  }

  /** How the request of a row ended. */
  outcomeOf(row: number): Outcome {
    return OUTCOMES[this.#outcomes[row]!]!;
  }

  /** Adds a request with the figures that were made of it. */
  push(
    record: Pick<RequestRecord, "number" | "dueMs" | "sentMs" | "endMs" | "outcome">,
    { ttftMs, tpotMs, e2eMs }: OwnValues,
  ): void {
    const at = this.#place();
    if (at < 0) return;
    const { number, due, sent, end, ttft, tpot, e2e } = this.#columns;
    number[at] = record.number;
    due[at] = record.dueMs;
    sent[at] = record.sentMs;
    end[at] = record.endMs;
    ttft[at] = ttftMs ?? NaN;
    tpot[at] = tpotMs ?? NaN;
    e2e[at] = e2eMs ?? NaN;
    this.#outcomes[at] = OUTCOMES.indexOf(record.outcome);
  }

  /** Adds all rows of another run. */
  merge(other: Rows): void {
    this.leftOut += other.leftOut;
    for (let row = 0; row < other.#length; row++) {
      const at = this.#place();
      if (at < 0) continue;
      for (const name of ROW_COLUMNS) this.#columns[name][at] = other.#columns[name][row]!;
      this.#outcomes[at] = other.#outcomes[row]!;
    }
  }

  /** For a file, to a microsecond. */
  toFile(): RowsFile {
    const rounded = (name: RowColumn) =>
      Array.from(
        this.#columns[name].subarray(0, this.#length),
        (value) => Number.isNaN(value) ? null : Math.round(1000 * value) / 1000,
      );
    const columns = Object.fromEntries(
      ROW_COLUMNS.map((name) => [name, rounded(name)]),
    ) as Record<RowColumn, (number | null)[]>;
    const outcome = Array.from({ length: this.#length }, (_, row) => this.outcomeOf(row));
    return { ...columns, outcome };
  }

  /** The rows that were written. */
  static read(file: RowsFile): Rows {
    const rows = new Rows();
    file.outcome.forEach((outcome, row) => {
      const at = rows.#place();
      if (at < 0) return;
      for (const name of ROW_COLUMNS) rows.#columns[name][at] = file[name][row] ?? NaN;
      rows.#outcomes[at] = Math.max(0, OUTCOMES.indexOf(outcome));
    });
    return rows;
  }

  /** The next free place; -1 = there is none. */
  #place(): number {
    if (this.#length === ROWS_MAX) {
      this.leftOut++;
      return -1;
    }
    if (this.#length === this.#outcomes.length) {
      const wider = columnsOf(2 * this.#length);
      for (const name of ROW_COLUMNS) wider[name].set(this.#columns[name]);
      const outcomes = new Uint8Array(2 * this.#length);
      outcomes.set(this.#outcomes);
      this.#columns = wider;
      this.#outcomes = outcomes;
    }
    return this.#length++;
  }
}

function columnsOf(length: number): Record<RowColumn, Float64Array> {
  return Object.fromEntries(
    ROW_COLUMNS.map((name) => [name, new Float64Array(length)]),
  ) as Record<RowColumn, Float64Array>;
}
