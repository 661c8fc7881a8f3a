/**
 * The report of an audit as JSON, for programs.
 *
 * @module
 */

import type { AuditReport } from "./audit.ts";
import type { Finding, Settings } from "./finding.ts";

/** A finding in which each member is there: null, or none, where there is nothing to say. */
export interface JsonFinding extends Omit<Finding, "direct" | "value" | "unit" | "settings"> {
  readonly direct: string | null;
  readonly value: number | null;
  readonly unit: string | null;
  readonly settings: Settings;
}

/** A report as it is read again. */
export interface JsonReport extends Omit<AuditReport, "findings"> {
  readonly findings: readonly JsonFinding[];
}

/** The report as `--json` prints it. */
export function jsonReport(report: AuditReport): string {
  const whole: JsonReport = { ...report, findings: report.findings.map(jsonFinding) };
  return JSON.stringify(whole, null, 2);
}

function jsonFinding(one: Finding): JsonFinding {
  const { direct, value, unit, evidence, mend, settings, ...rest } = one;
  return {
    ...rest,
    direct: direct ?? null,
    value: value ?? null,
    unit: unit ?? null,
    evidence,
    mend,
    settings: settings ?? {},
  };
}
