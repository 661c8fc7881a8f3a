/**
 * Audits nginx (buffered and not), Portkey and weir with `weir audit`, and writes what it finds into
 * docs/audit.md, between its two marks: `bun run audit`, with names of presets for some of them only.
 *
 * Each takes two and a half minutes, all of them ten. A report is kept in `audit-results/`, and the page
 * is written anew behind each: what breaks off, or is not installed here, costs no result of another
 * gateway, and keeps the one that it had before.
 *
 * @module
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { PRESETS } from "../src/cli/audit_presets.ts";
import type { Verdict } from "../src/load/audit/finding.ts";
import type { JsonFinding, JsonReport } from "../src/load/audit/report_json.ts";
import { countsText } from "../src/load/audit/report_terminal.ts";

const ROOT = join(import.meta.dir, "..");
const PAGE = join(ROOT, "docs/audit.md");
const FOLDER = join(ROOT, "audit-results");
const BEGIN = "<!-- results: bun run audit -->";
const END = "<!-- end of results -->";

/** What a report is read from. It was written by another run of this program. */
const SCHEMA = 1;

/** A preset's report, or why there is none. */
interface Audited {
  readonly name: string;
  readonly report: JsonReport | undefined;
  readonly reason: string;
}

if (import.meta.main) {
  const named = process.argv.slice(2);
  const unknown = named.filter((name) => !PRESETS.some((preset) => preset === name));
  if (unknown.length > 0) {
    process.stderr.write(`There is no preset ${unknown.join(", ")}: ${PRESETS.join(", ")}\n`);
    process.exit(2);
  }
  const chosen = PRESETS.filter((name) => named.length === 0 || named.includes(name));
  process.stderr.write(`${chosen.length} audits, of about 2.5 minutes each\n`);
  mkdirSync(FOLDER, { recursive: true });
  const reasons = new Map<string, string>();
  for (const name of chosen) {
    const { report, reason } = await auditOne(name);
    if (report === undefined) reasons.set(name, reason);
    else writeFileSync(join(FOLDER, `${name}.json`), JSON.stringify(report));
    const audited = PRESETS.map((preset) => keptOf(preset, reasons.get(preset)));
    writeFileSync(PAGE, withResults(readFileSync(PAGE, "utf8"), resultsText(audited)));
  }
  for (const [name, reason] of reasons) process.stderr.write(`${name}: ${reason}\n`);
  process.exit(reasons.size > 0 ? 1 : 0);
}

/** What was found of `name` when it was last audited. */
function keptOf(name: string, reason = "it has not been yet"): Audited {
  const path = join(FOLDER, `${name}.json`);
  const report = existsSync(path)
    ? JSON.parse(readFileSync(path, "utf8")) as JsonReport
    : undefined;
  return report?.schema === SCHEMA
    ? { name, report, reason: "" }
    : { name, report: undefined, reason };
}

/** Whatever goes wrong is a reason. */
async function auditOne(name: string): Promise<Audited> {
  const child = Bun.spawn([
    process.execPath,
    "--no-env-file",
    join(ROOT, "main.ts"),
    "audit",
    "--preset",
    name,
    "--json",
  ], { stdout: "pipe", stderr: "inherit" });
  const output = await new Response(child.stdout).text();
  await child.exited;
  return auditedOf(name, output);
}

/** What `weir audit --json` has printed. */
export function auditedOf(name: string, output: string): Audited {
  let report: JsonReport;
  try {
    report = JSON.parse(output) as JsonReport;
  } catch {
    return { name, report: undefined, reason: "the audit broke off without a report" };
  }
  if (report.error !== null) return { name, report: undefined, reason: report.error };
  if (report.isInterrupted) return { name, report: undefined, reason: "it was interrupted" };
  return { name, report, reason: "" };
}

/**
 * `page` with `results` between its marks.
 *
 * @throws {Error} when it has no marks.
 */
export function withResults(page: string, results: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`docs/audit.md has no "${BEGIN}" … "${END}"`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${results}\n${page.slice(end)}`;
}

/** A table of all checks and gateways, then what each gateway was found to do. */
export function resultsText(audited: readonly Audited[]): string {
  const run = audited.flatMap(({ report }) => report === undefined ? [] : [report]);
  const absent = audited.filter(({ report }) => report === undefined);
  const [first] = run;
  if (first === undefined) return absent.map(({ name, reason }) => `${name}: ${reason}`).join("\n");
  return [
    `Audited one after the other, on ${cpus().length} cores (${cpus()[0]!.model.trim()}).`,
    "",
    `| check | ${run.map(titleOf).join(" | ")} |`,
    `| --- | ${run.map(() => "---").join(" | ")} |`,
    ...first.checks.map(({ name }) =>
      `| ${name} | ${run.map((report) => cellOf(report, name)).join(" | ")} |`
    ),
    "",
    ...run.flatMap(gatewayLines),
    ...absent.map(({ name, reason }) => `${name} was not audited: ${reason}\n`),
  ].join("\n");
}

/** The gateway without its address, which differs from run to run. */
function titleOf({ gateway }: JsonReport): string {
  return gateway.replace(/ \(http:.*\)$/, "");
}

function cellOf({ findings }: JsonReport, check: string): string {
  const own = findings.filter((one) => one.check === check);
  if (own.length === 0) return "not run";
  const words: Readonly<Record<Exclude<Verdict, "pass">, string>> = {
    fail: "failed",
    void: "void",
    note: "to note",
  };
  const parts = (["fail", "void", "note"] as const).flatMap((verdict) => {
    const count = own.filter((one) => one.verdict === verdict).length;
    if (count === 0) return [];
    const text = own.length === 1 ? words[verdict] : `${count} of ${own.length} ${words[verdict]}`;
    return [verdict === "fail" ? `**${text}**` : text];
  });
  return parts.length === 0 ? "passed" : parts.join(", ");
}

function gatewayLines(report: JsonReport): readonly string[] {
  const { counts, seconds, machineLateMsMax } = report;
  const told = (["fail", "void", "note"] as const).flatMap((verdict) =>
    report.findings.filter((one) => one.verdict === verdict)
  );
  // A report that was kept may be older than the members that are always there.
  const measured = report.findings.filter(({ verdict, direct, value }) =>
    verdict === "pass" && typeof direct === "string" && typeof value === "number"
  );
  return [
    `### ${titleOf(report)}`,
    "",
    `${report.startedAt.slice(0, 10)}: ${countsText(counts)} in ${
      Math.round(seconds)
    } s. The machine was at most ${Math.round(machineLateMsMax)} ms late.`,
    "",
    "| finding | verdict | measured |",
    "| --- | --- | --- |",
    ...[...told, ...measured].map((one) =>
      `| ${one.name} | ${one.verdict === "fail" ? "**fail**" : one.verdict} | ${measuredOf(one)} |`
    ),
    "",
  ];
}

function measuredOf({ measured, direct }: JsonFinding): string {
  const text = typeof direct !== "string" ? measured : `${measured} (direct: ${direct})`;
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
