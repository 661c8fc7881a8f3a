/**
 * The report of an audit as JUnit XML: a suite for each check, a case for each finding. What is void
 * is skipped, what failed has its evidence.
 *
 * @module
 */

import type { AuditReport } from "./audit.ts";
import type { Finding } from "./finding.ts";

/** The XML. */
export function junitReport(report: AuditReport): string {
  const suites = report.checks.map(({ name }) => ({
    name,
    findings: report.findings.filter(({ check }) => check === name),
  })).filter(({ findings }) => findings.length > 0);
  const { counts, findings, seconds, startedAt } = report;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="weir audit" tests="${findings.length}" failures="${counts.fail}" skipped="${counts.void}" time="${seconds}">`,
    ...suites.flatMap((suite) => [
      `  <testsuite name="${escaped(suite.name)}" hostname="${
        escaped(report.gateway)
      }" timestamp="${startedAt}" tests="${suite.findings.length}" failures="${
        countOf(suite.findings, "fail")
      }" skipped="${countOf(suite.findings, "void")}" errors="0">`,
      ...suite.findings.flatMap(caseLines),
      "  </testsuite>",
    ]),
    "</testsuites>",
    "",
  ].join("\n");
}

function caseLines(one: Finding): readonly string[] {
  const head = `    <testcase classname="weir.audit.${escaped(one.check)}" name="${
    escaped(one.name)
  }">`;
  const text = [`limit: ${one.limit}`, ...one.evidence, one.mend].filter((line) => line !== "");
  const message = escaped(one.measured);
  switch (one.verdict) {
    case "fail":
      return [
        head,
        `      <failure type="${escaped(one.check)}" message="${message}">${
          escaped(text.join("\n"))
        }</failure>`,
        "    </testcase>",
      ];
    case "void":
      return [head, `      <skipped message="${message}"/>`, "    </testcase>"];
    default:
      return [
        head,
        `      <system-out>${escaped([one.measured, ...text].join("\n"))}</system-out>`,
        "    </testcase>",
      ];
  }
}

function countOf(findings: readonly Finding[], verdict: Finding["verdict"]): number {
  return findings.filter((one) => one.verdict === verdict).length;
}

/** Text for XML 1.0, which has no place for most control characters, not even escaped. */
function escaped(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "�")
    .replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
