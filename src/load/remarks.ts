/**
 * What is odd about a request and no failure, and is told: one row for each. Bits of a record.
 *
 * @module
 */

/** The bits. */
export const REMARK = {
  /** It was sent again on a new connection. */
  resent: 1,
  /** Its last event had no blank line. */
  looseEnd: 2,
  /** The server's count of tokens cannot be true, and is not used. */
  oddUsage: 4,
} as const;

/** How many requests had each. */
export type Remarks = Readonly<Record<RemarkName, number>>;
export type RemarkName = keyof typeof TEXTS;

/** By its name in reports: the bit, and what a report says behind their number. */
const TEXTS = {
  resent: [
    REMARK.resent,
    "were sent again, as clients do: a kept connection was closed before a byte of the answer came",
  ],
  loose_end: [
    REMARK.looseEnd,
    "had an end mark without a blank line behind it: strict clients do not see it",
  ],
  odd_usage: [
    REMARK.oddUsage,
    "told a count of tokens that cannot be, negative or none for a text: it is not used",
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
    .map((name) => `${remarks[name]} requests ${TEXTS[name][1]}`);
}
