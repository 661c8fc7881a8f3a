/**
 * The report of an audit as lines: what failed first, with its evidence, then the rest in short.
 *
 * @module
 */

import { visible } from "../told.ts";
import { type AuditReport, worstFirst } from "./audit.ts";
import type { Finding, Verdict } from "./finding.ts";

/** How a verdict stands at the beginning of a line. */
const WORDS: Readonly<Record<Verdict, string>> = {
  fail: "FAIL",
  void: "void",
  note: "note",
  pass: "pass",
};

/** The lines of a report. `isLong`: what passed has its limit and its evidence too. */
export function reportLines(report: AuditReport, isLong = false): readonly string[] {
  const findings = worstFirst(report);
  const full = findings.filter(({ verdict }) => isLong || verdict === "fail" || verdict === "void");
  const short = findings.filter((one) => !full.includes(one));
  const width = Math.max(0, ...findings.map(({ name }) => name.length));
  return [
    "",
    ...full.flatMap((one) => [...fullLines(one), ""]),
    ...short.map((one) => `${WORDS[one.verdict]}  ${one.name.padEnd(width)}  ${one.measured}`),
    ...(short.length === 0 ? [] : [""]),
    summaryLine(report),
  ].map(visible);
}

/** "57 pass, 3 fail, 5 note, 0 void in 142 s". */
export function summaryLine({ counts, seconds, isInterrupted, machineLateMsMax }: AuditReport) {
  const { pass, fail, note, void: voids } = counts;
  return `${fail} failed, ${voids} void, ${note} notes, ${pass} passed in ${seconds} s; this machine was at most ${machineLateMsMax} ms late${
    isInterrupted ? "; interrupted, so that the rest was not tried" : ""
  }`;
}

function fullLines(one: Finding): readonly string[] {
  return [
    `${WORDS[one.verdict]}  ${one.name}: ${one.measured}`,
    `      limit   ${one.limit}`,
    ...(one.direct === undefined ? [] : [`      direct  ${one.direct}`]),
    ...one.evidence.map((line) => `      | ${line}`),
    ...(one.mend === "" ? [] : [`      mend    ${one.mend}`]),
  ];
}
