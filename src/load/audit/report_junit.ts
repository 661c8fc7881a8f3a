/**
 * The report of an audit as JUnit XML: a suite for each check, a case for each finding. What is void
 * is skipped, what failed has its evidence, and so have notes where those make the audit fail; a gateway that cannot be audited is one error. It has what
 * the schema of Jenkins' xUnit plugin (junit-10.xsd) has, and no more.
 *
 * @module
 */

import type { AuditReport } from "./audit.ts";
import { countsAsFailure, type Finding, settingLines, shownEvidence } from "./finding.ts";

/** A suite, and what its cases have in common. */
interface Suite {
  readonly name: string;
  readonly seconds: number;
  readonly errors: number;
  readonly failures: number;
  readonly skipped: number;
  /** The elements of each. */
  readonly cases: readonly (readonly string[])[];
}

/** The XML. */
export function junitReport(report: AuditReport): string {
  const suites = report.error === null
    ? report.checks.flatMap((check) => checkSuite(report, check))
    : [errorSuite(report.error)];
  const sum = (count: (suite: Suite) => number) =>
    suites.reduce((total, suite) => total + count(suite), 0);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    element("testsuites", {
      name: "weir audit",
      tests: sum(({ cases }) => cases.length),
      failures: sum(({ failures }) => failures),
      errors: sum(({ errors }) => errors),
      time: report.seconds,
    }, ">"),
    ...suites.flatMap((suite) => [
      `  ${
        element("testsuite", {
          name: suite.name,
          hostname: hostOf(report.gateway),
          // Seconds and no zone, which is UTC: some schemas take nothing finer.
          timestamp: report.startedAt.slice(0, 19),
          time: suite.seconds,
          tests: suite.cases.length,
          failures: suite.failures,
          errors: suite.errors,
          skipped: suite.skipped,
        }, ">")
      }`,
      ...suite.cases.flat(),
      "  </testsuite>",
    ]),
    "</testsuites>",
    "",
  ].join("\n");
}

function errorSuite(error: string): Suite {
  const content = element("error", { type: "not audited", message: error }, "/>");
  return {
    name: "audit",
    seconds: 0,
    errors: 1,
    failures: 0,
    skipped: 0,
    cases: [caseLines("weir.audit", "it can be audited", 0, content)],
  };
}

/** None for a check without findings. A case's time is its share of the check's: all are made at once. */
function checkSuite(
  { findings, failOn }: AuditReport,
  { name, seconds }: AuditReport["checks"][number],
): readonly Suite[] {
  const own = findings.filter(({ check }) => check === name);
  if (own.length === 0) return [];
  const isFailure = ({ verdict }: Finding) =>
    verdict === "fail" || countsAsFailure(verdict, failOn);
  const share = Math.round((seconds ?? 0) / own.length * 1000) / 1000;
  return [{
    name,
    seconds: seconds ?? 0,
    errors: 0,
    failures: own.filter(isFailure).length,
    skipped: own.filter(({ verdict }) => verdict === "void").length,
    cases: own.map((one) =>
      caseLines(`weir.audit.${one.check}`, partOf(one), share, contentOf(one, isFailure(one)))
    ),
  }];
}

/** What stands behind the check's name, which the class has. */
function partOf({ check, name }: Finding): string {
  return name.startsWith(`${check}/`) ? name.slice(check.length + 1) : name;
}

function caseLines(
  classname: string,
  name: string,
  time: number,
  content: string,
): readonly string[] {
  return [
    `    ${element("testcase", { classname, name, time }, ">")}`,
    `      ${content}`,
    "    </testcase>",
  ];
}

function contentOf(one: Finding, isFailure: boolean): string {
  const { measured: message, check } = one;
  const settings = settingLines(one).map((line) => `set ${line}`);
  const text = [`limit: ${one.limit}`, ...shownEvidence(one), one.mend, ...settings]
    .filter((line) => line !== "").join("\n");
  if (isFailure) {
    return `${element("failure", { type: check, message }, ">")}${escaped(text)}</failure>`;
  }
  if (one.verdict === "void") return element("skipped", { message }, "/>");
  return `<system-out>${escaped(`${message}\n${text}`)}</system-out>`;
}

function element(
  name: string,
  attributes: Readonly<Record<string, string | number>>,
  end: ">" | "/>",
): string {
  const words = Object.entries(attributes).map(([key, value]) =>
    `${key}="${escaped(String(value))}"`
  );
  return `<${[name, ...words].join(" ")}${end}`;
}

/** The host of a gateway's URL, which may stand in brackets behind a title. */
function hostOf(gateway: string): string {
  return /https?:\/\/([^/\s)]+)/.exec(gateway)?.[1] ?? gateway;
}

/** Text for XML 1.0, which has no place for most control characters, not even escaped. */
function escaped(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g, "�")
    .replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
