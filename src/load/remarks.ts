/**
 * What is odd about a request and no failure, and is told: one row for each. Bits of a record.
 *
 * @module
 */

import { counted } from "../lib/counted.ts";

/** The bits. */
export const REMARK = {
  /** It was sent again on a new connection. */
  resent: 1,
  /** Its last event had no blank line. */
  looseEnd: 2,
  /** The server's count of tokens cannot be true, and is not used. */
  oddUsage: 4,
  /** The server's count of tokens is far from what was said, and is used. */
  farUsage: 8,
} as const;

/** How many requests had each. */
export type Remarks = Readonly<Record<RemarkName, number>>;
export type RemarkName = keyof typeof TEXTS;

/** By its name in reports: the bit, and what a report says behind their number. */
const TEXTS = {
  resent: [
    REMARK.resent,
    "sent again, as clients do: a kept connection was closed before a byte of the answer came",
  ],
  loose_end: [
    REMARK.looseEnd,
    "with an end mark without a blank line behind it: strict clients do not see it",
  ],
  odd_usage: [
    REMARK.oddUsage,
    "with a count of tokens that cannot be, negative, none for a text or beyond what can be made in " +
    "that time: it is not used",
  ],
  far_usage: [
    REMARK.farUsage,
    "with more tokens, as the server counts, than bytes were said (unless it reasons and does not " +
    "tell how much), or with one for a hundred bytes and more: figures by that count may be wrong",
  ],
} as const;

const NAMES = Object.keys(TEXTS) as readonly RemarkName[];

/** The names of the bits of a record. */
export function remarksIn(bits: number): readonly RemarkName[] {
  return bits === 0 ? [] : NAMES.filter((name) => (bits & TEXTS[name][0]) !== 0);
}

/** None of any. */
export function noRemarks(): Record<RemarkName, number> {
  return Object.fromEntries(NAMES.map((name) => [name, 0])) as Record<RemarkName, number>;
}

/** Adds `more`, which may know fewer names. */
export function addRemarks(to: Record<RemarkName, number>, more: Partial<Remarks>): void {
  for (const name of NAMES) to[name] += more[name] ?? 0;
}

/** A line for each that there was. */
export function remarkLines(remarks: Remarks): readonly string[] {
  return NAMES.filter((name) => remarks[name] > 0)
    .map((name) => `${counted(remarks[name], "request")} ${TEXTS[name][1]}`);
}
