/**
 * What an audit says of a gateway: one finding for each thing that was tried.
 *
 * @module
 */

/**
 * `pass`: the limit held. `fail`: it did not. `note`: no failure, but whoever runs the gateway should
 * know. `void`: nothing can be said, since this machine was too late itself or the test could not run.
 */
export type Verdict = "pass" | "fail" | "note" | "void";

/** The verdicts, the worst first. */
export const VERDICTS: readonly Verdict[] = ["fail", "void", "note", "pass"];

/** One row of the report. */
export interface Finding {
  /** The check it belongs to, "cancel". */
  readonly check: string;
  /** "cancel/mid-stream-fin"; the check's own name when it has one finding only. */
  readonly name: string;
  readonly verdict: Verdict;
  /** What must hold, in words: "p50 at most 1 ms, p99 at most 5 ms". */
  readonly limit: string;
  /** What was found, in words. */
  readonly measured: string;
  /** The same without the gateway; undefined where there is nothing to compare. */
  readonly direct?: string | undefined;
  /** The number that was judged; undefined where none was. */
  readonly value?: number | undefined;
  /** Of `value`: "ms", "attempts", "bytes". */
  readonly unit?: string | undefined;
  /** The rawest that there is: bytes as they came, times. A line each. */
  readonly evidence: readonly string[];
  /** One sentence: how the gateway is mended. Empty for what passed. */
  readonly mend: string;
}

/** How many findings have each verdict. */
export function countVerdicts(findings: readonly Finding[]): Readonly<Record<Verdict, number>> {
  const counts = { pass: 0, fail: 0, note: 0, void: 0 };
  for (const { verdict } of findings) counts[verdict]++;
  return counts;
}
