/**
 * Audits nginx (buffered and not), Portkey and weir with `weir audit`, and writes what it finds into
 * docs/audit.md, between its two marks: `bun run audit`, with names of presets for some of them only.
 * A gateway that is not installed here is said to be so, and nothing of it is written.
 *
 * @module
 */

import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { PRESETS } from "../src/cli/audit_presets.ts";
import type { AuditReport } from "../src/load/audit/audit.ts";
import type { Finding, Verdict } from "../src/load/audit/finding.ts";

const ROOT = join(import.meta.dir, "..");
const PAGE = join(ROOT, "docs/audit.md");
const BEGIN = "<!-- results: bun run audit -->";
const END = "<!-- end of results -->";

/** A preset's report, or why there is none. */
interface Audited {
  readonly name: string;
  readonly report: AuditReport | undefined;
  readonly reason: string;
}

if (import.meta.main) {
  const named = process.argv.slice(2);
  const audited: Audited[] = [];
  for (const name of PRESETS) {
    if (named.length === 0 || named.includes(name)) audited.push(await auditOne(name));
  }
  const page = readFileSync(PAGE, "utf8");
  writeFileSync(PAGE, withResults(page, resultsText(audited)));
}

async function auditOne(name: string): Promise<Audited> {
  const child = Bun.spawn([
    process.execPath,
    "--no-env-file",
    join(ROOT, "main.ts"),
    "audit",
    "--preset",
    name,
    "--json",
  ], { stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  process.stderr.write(`${name}:\n${errors}`);
  if (output === "") return { name, report: undefined, reason: errors.trim().split("\n").at(-1)! };
  return { name, report: JSON.parse(output) as AuditReport, reason: "" };
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
    `Audited on ${first.startedAt.slice(0, 10)}, one after the other, on ${cpus().length} cores (${
      cpus()[0]!.model.trim()
    }) that others used as well.`,
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
function titleOf({ gateway }: AuditReport): string {
  return gateway.replace(/ \(http:.*\)$/, "");
}

function cellOf({ findings }: AuditReport, check: string): string {
  const own = findings.filter((one) => one.check === check);
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

function gatewayLines(report: AuditReport): readonly string[] {
  const { counts, seconds, machineLateMsMax } = report;
  const told = (["fail", "void", "note"] as const).flatMap((verdict) =>
    report.findings.filter((one) => one.verdict === verdict)
  );
  const measured = report.findings.filter(({ verdict, direct, value }) =>
    verdict === "pass" && direct !== undefined && value !== undefined
  );
  return [
    `### ${titleOf(report)}`,
    "",
    `${counts.fail} failed, ${counts.void} void, ${counts.note} notes, ${counts.pass} passed in ${
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

function measuredOf({ measured, direct }: Finding): string {
  const text = direct === undefined ? measured : `${measured} (direct: ${direct})`;
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
