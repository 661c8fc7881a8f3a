/**
 * The report of an audit as lines: what failed first, with its evidence, then the rest in short.
 *
 * @module
 */

import { counted } from "../../lib/counted.ts";
import { visible } from "../told.ts";
import { type AuditReport, worstFirst } from "./audit.ts";
import {
  countsAsFailure,
  type FailOn,
  type Finding,
  settingLines,
  shownEvidence,
  type Verdict,
} from "./finding.ts";

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
  const full = findings.filter(({ verdict }) => isLong || isWrong(verdict, report.failOn));
  const short = findings.filter((one) => !full.includes(one));
  const width = Math.max(0, ...findings.map(({ name }) => name.length));
  const said = new Set<string>();
  return [
    "",
    ...full.flatMap((one) => [...fullLines(one, said), ""]),
    ...short.map((one) => `${WORDS[one.verdict]}  ${one.name.padEnd(width)}  ${one.measured}`),
    ...(short.length === 0 ? [] : [""]),
    summaryLine(report),
  ].map(visible);
}

/** True when `verdict` is told in full: it failed, is void, or makes the audit fail. */
export function isWrong(verdict: Verdict, failOn: FailOn): boolean {
  return verdict === "fail" || verdict === "void" || countsAsFailure(verdict, failOn);
}

/** "3 failed, 0 void, 5 notes, 57 passed in 142 s; this machine was at most 3 ms late". */
export function summaryLine(report: AuditReport): string {
  const { error, counts, seconds, isInterrupted, machineLateMsMax } = report;
  if (error !== null) return `Nothing was audited: ${error}`;
  return `${
    countsText(counts)
  } in ${seconds} s; this machine was at most ${machineLateMsMax} ms late${
    isInterrupted ? "; interrupted, so that the rest was not tried" : ""
  }${failOnText(report)}`;
}

/** Why the exit code is not what the counts say; "" where it is. */
function failOnText({ counts, failOn }: AuditReport): string {
  if (failOn === "note" && counts.note > 0) {
    return `; ${counted(counts.note, "note")} ${
      counts.note === 1 ? "counts" : "count"
    } as failed (--fail-on note)`;
  }
  return failOn === "never" && counts.fail > 0 ? "; none of it counts (--fail-on never)" : "";
}

/** "3 failed, 0 void, 1 note, 57 passed". */
export function countsText({ pass, fail, note, void: voids }: AuditReport["counts"]): string {
  return `${fail} failed, ${voids} void, ${counted(note, "note")}, ${pass} passed`;
}

/** `said`: what was told how to mend, and is not told again. */
function fullLines(one: Finding, said: Set<string>): readonly string[] {
  const settings = settingLines(one).filter((line) => !said.has(`${one.check} ${line}`));
  for (const line of settings) said.add(`${one.check} ${line}`);
  return [
    `${WORDS[one.verdict]}  ${one.name}: ${one.measured}`,
    `      limit   ${one.limit}`,
    ...(one.direct === undefined ? [] : [`      direct  ${one.direct}`]),
    ...shownEvidence(one).map((line) => `      | ${line}`),
    ...(one.mend === "" ? [] : [`      mend    ${one.mend}`]),
    ...settings.map((line) => `      set     ${line}`),
  ];
}
