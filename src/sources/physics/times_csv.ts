/**
 * Times as a table: CSV (RFC 4180) with a row of names, separated by commas, semicolons or tabs.
 *
 * @module
 */

import { BadValue, columnsOf, type ReadTimes, type Times, TimesFault, timesOf } from "./times.ts";
import type { TimeUnit } from "./times.ts";

/** What may separate the cells; the one that the first row has most of does. */
const SEPARATORS = [",", ";", "\t"] as const;

/** A cell, and where it begins: both from 1. */
interface Cell {
  readonly text: string;
  readonly line: number;
  readonly column: number;
}

/**
 * The times in `text`, a table that is called `file`.
 *
 * @throws {TimesFault} with the place of what is wrong.
 */
export function readCsv(text: string, file: string, unit: TimeUnit | undefined): ReadTimes {
  const rows = new Rows(text, file);
  const header = rows.next();
  const fault = ({ line, column }: Cell, what: string) =>
    new TimesFault(`${file}:${line}:${column}: ${what}`);
  if (header === undefined) throw new TimesFault(`${file}:1:1: the file is empty`);
  const names = header.map((cell) => cell.text);
  if (names[0]!.trim().toLowerCase() === "metric" && names.some((name) => /^p\d+$/.test(name))) {
    throw fault(
      header[0]!,
      "it is a table of percentiles, from which nothing can be fitted: AIPerf writes each request " +
        "into profile_export.jsonl",
    );
  }
  let columns;
  try {
    columns = columnsOf(names, unit);
  } catch (error) {
    if (error instanceof TimesFault) throw fault(header[0]!, error.message);
    throw error;
  }
  const times: Times[] = [];
  let failed = 0;
  for (let row = rows.next(); row !== undefined; row = rows.next()) {
    if (row.length !== header.length) {
      throw fault(row[0]!, `it has ${row.length} cells, and the first row has ${header.length}`);
    }
    const cells = row;
    const values = [...columns].map(([at, column]) => [column, valueOf(cells[at]!)] as const);
    try {
      const read = timesOf(`${file}:${row[0]!.line}`, values);
      if (read === "it failed") failed++;
      else times.push(read);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      const [at] = [...columns].find(([, column]) => column === error.column)!;
      throw fault(row[at]!, error.message);
    }
  }
  const notes = failed === 0 ? [] : [`${failed} that failed are left out`];
  return { format: "CSV", times, notes };
}

/** A list, where the cell has one: "[12.5, 13]". */
function valueOf({ text }: Cell): unknown {
  const plain = text.trim();
  if (!plain.startsWith("[")) return plain;
  try {
    return JSON.parse(plain);
  } catch {
    return plain;
  }
}

/** Reads a table row by row; empty lines are none. */
class Rows {
  readonly #text: string;
  readonly #file: string;
  readonly #separator: string;
  #at = 0;
  #line = 1;
  /** Where the line begins. */
  #lineAt = 0;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
    const [first = ""] = text.split("\n", 1);
    const counts = SEPARATORS.map((one) => first.split(one).length);
    this.#separator = SEPARATORS[counts.indexOf(Math.max(...counts))]!;
  }

  next(): readonly Cell[] | undefined {
    while (this.#at < this.#text.length) {
      const row = this.#row();
      if (row.length > 1 || row[0]!.text.trim() !== "") return row;
    }
    return undefined;
  }

  #row(): readonly Cell[] {
    const row: Cell[] = [];
    for (;;) {
      const place = { line: this.#line, column: this.#at - this.#lineAt + 1 };
      row.push({ text: this.#cell(place), ...place });
      const mark = this.#text[this.#at++];
      if (mark === this.#separator) continue;
      if (mark === "\r" && this.#text[this.#at] === "\n") this.#at++;
      this.#line++;
      this.#lineAt = this.#at;
      return row;
    }
  }

  #cell({ line, column }: Omit<Cell, "text">): string {
    if (this.#text[this.#at] !== '"') {
      const from = this.#at;
      while (!this.#isEnd(this.#at)) this.#at++;
      return this.#text.slice(from, this.#at);
    }
    let text = "";
    for (;;) {
      const from = this.#at + 1;
      const end = this.#text.indexOf('"', from);
      if (end < 0) {
        throw new TimesFault(`${this.#file}:${line}:${column}: the quote is not closed`);
      }
      const part = this.#text.slice(from, end);
      for (let at = part.indexOf("\n"); at >= 0; at = part.indexOf("\n", at + 1)) {
        this.#line++;
        this.#lineAt = from + at + 1;
      }
      text += part;
      this.#at = end + 1;
      if (this.#text[this.#at] !== '"') break;
      text += '"';
    }
    if (this.#isEnd(this.#at)) return text;
    const at = `${this.#file}:${this.#line}:${this.#at - this.#lineAt + 1}`;
    throw new TimesFault(`${at}: nothing may stand behind the closing quote`);
  }

  #isEnd(at: number): boolean {
    const unit = this.#text[at];
    return unit === undefined || unit === this.#separator || unit === "\n" || unit === "\r";
  }
}
