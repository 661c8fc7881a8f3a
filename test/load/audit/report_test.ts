import { describe, expect, test } from "bun:test";
import { auditedOf, resultsText, withResults } from "../../../release/audit.ts";
import type { AuditReport } from "../../../src/load/audit/audit.ts";
import { shownEvidence } from "../../../src/load/audit/finding.ts";
import { htmlReport } from "../../../src/load/audit/report_html.ts";
import { type JsonReport, jsonReport } from "../../../src/load/audit/report_json.ts";
import { junitReport } from "../../../src/load/audit/report_junit.ts";
import { reportLines } from "../../../src/load/audit/report_terminal.ts";
import { settingsFor } from "../../../src/load/audit/settings.ts";
import { finding, shownBytes } from "../../../src/load/audit/rig.ts";

const REPORT: AuditReport = {
  schema: 1,
  gateway: 'nginx "1" (http://127.0.0.1:1/v1)',
  error: null,
  seed: 7,
  startedAt: "2026-11-28T20:00:00.000Z",
  seconds: 12.3,
  isInterrupted: false,
  failOn: "fail",
  isFailed: true,
  counts: { pass: 1, fail: 1, note: 1, void: 1 },
  machineLateMsMax: 4.5,
  checks: [
    { name: "bytes", title: "Are they?", seconds: 2 },
    { name: "limits", title: "Do they?", seconds: 0.5 },
  ],
  findings: [
    finding("bytes", { part: "a", verdict: "pass", limit: "l", measured: "the same", mend: "m" }),
    finding("bytes", {
      part: "b",
      verdict: "fail",
      limit: "none lost",
      measured: "1 lost | <b>",
      direct: "0 lost",
      value: 1,
      unit: "events",
      evidence: ["got \u0001 & ]]> more"],
      mend: "Keep them.",
    }),
    finding("limits", { part: "a", verdict: "note", limit: "l", measured: "other", mend: "m" }),
    finding("limits", { part: "b", verdict: "void", limit: "l", measured: "late", mend: "m" }),
  ],
};

test("what passed needs no mending; people are shown the beginning of the evidence", () => {
  expect(REPORT.findings[0]!.mend).toBe("");
  const evidence = Array.from({ length: 50 }, (_, i) => `line ${i}`);
  const one = finding("x", { verdict: "fail", limit: "", measured: "", mend: "", evidence });
  expect(one.evidence).toEqual(evidence);
  expect(shownEvidence(one)).toEqual([
    ...evidence.slice(0, 12),
    "… and 38 lines more in the JSON",
  ]);
  expect(shownEvidence({ ...one, evidence: ["x".repeat(300)] })).toEqual([`${"x".repeat(200)}…`]);
});

test("each finding of the JSON has all members, whatever there is to say", () => {
  const { findings } = JSON.parse(jsonReport(REPORT)) as JsonReport;
  const none = { direct: null, value: null, unit: null, evidence: [], settings: {} };
  expect(findings).toMatchObject([
    none,
    { direct: "0 lost", value: 1, unit: "events", settings: {} },
    none,
    none,
  ]);
  const members = "check name verdict limit measured direct value unit evidence mend settings"
    .split(" ");
  for (const one of findings) expect(Object.keys(one)).toEqual(members);
});

test("shownBytes() escapes what is not printable, and says where it was cut", () => {
  expect(shownBytes(Buffer.from("a\r\n\u0001é"))).toBe("a\\r\\n\\x01\\xc3\\xa9");
  expect(shownBytes("x".repeat(500), 100)).toBe(`…${"x".repeat(400)}`);
  expect(shownBytes("x".repeat(500), 100, 160)).toBe(`…${"x".repeat(160)}…`);
});

test("the terminal tells what failed first, in full, and the rest in a line each", () => {
  const lines = reportLines(REPORT);
  expect(lines.slice(1, 6)).toEqual([
    "FAIL  bytes/b: 1 lost | <b>",
    "      limit   none lost",
    "      direct  0 lost",
    "      | got \\x01 & ]]> more",
    "      mend    Keep them.",
  ]);
  expect(lines).toContain("pass  bytes/a   the same");
  expect(lines.at(-1)).toStartWith("1 failed, 1 void, 1 note, 1 passed in 12.3 s");
  expect(reportLines(REPORT, true)).toContain("pass  bytes/a: the same");
});

test("JUnit's XML has nothing that XML cannot have", () => {
  const xml = junitReport(REPORT);
  expect(xml).not.toContain("\u0001");
  const { XML } = Bun as unknown as { readonly XML: { parse(text: string): unknown } };
  expect(JSON.stringify(XML.parse(xml))).toContain("got � & ]]> more");
  expect(xml).toContain('tests="4" failures="1" errors="0" time="12.3"');
});

test("what makes the audit fail is told as a failure in every form", () => {
  const strict: AuditReport = { ...REPORT, failOn: "note" };
  expect(reportLines(strict).at(-1)).toEndWith("; 1 note counts as failed (--fail-on note)");
  expect(reportLines(strict)).toContain("note  limits/a: other");
  expect(junitReport(strict)).toContain('tests="4" failures="2" errors="0"');
  expect(junitReport(strict)).toContain('<failure type="limits" message="other">');
  expect(htmlReport(strict).match(/<details open>/g)).toHaveLength(3);
  expect(reportLines({ ...REPORT, failOn: "never" }).at(-1))
    .toEndWith("; none of it counts (--fail-on never)");
});

test("the page escapes what came from elsewhere", () => {
  const page = htmlReport(REPORT);
  expect(page).not.toContain("<b>1 lost");
  expect(page).toContain("1 lost | &#60;b&#62;");
  expect(page).not.toMatch(/<script|https?:\/\/(?!127)/);
});

test("a gateway's settings are told once in a report, and with each failure on the page", () => {
  const failed = (part: string) => ({
    ...finding("cancel", { part, verdict: "fail", limit: "l", measured: "m", mend: "Abort." }),
  });
  const findings = [failed("a"), failed("b")].map((one) => ({
    ...one,
    settings: settingsFor(one),
  }));
  const checks = [{ name: "cancel", title: "Does it?", seconds: 1 }];
  const report = { ...REPORT, checks, findings };
  const set = "haproxy: option abortonclose";
  expect(reportLines(report).filter((line) => line.includes(set)).length).toBe(1);
  expect(htmlReport(report).split(set).length).toBe(3);
  expect(junitReport(report).split(set).length).toBe(3);
});

test("what passed, is a note or was not cut has no setting that mends it", () => {
  const settings = (verdict: "pass" | "note" | "fail", value?: number) =>
    settingsFor(finding("silence", { verdict, limit: "l", measured: "m", mend: "", value }));
  expect(settings("pass")).toBeUndefined();
  expect(settings("note")).toBeUndefined();
  expect(settings("fail", 0)).toBeUndefined(); // comments were swallowed
  expect(settings("fail")?.nginx).toBe("proxy_read_timeout 300s;");
});

describe("docs/audit.md", () => {
  test("keeps why a gateway was not audited", () => {
    expect(auditedOf("x", "").reason).toBe("the audit broke off without a report");
    expect(auditedOf("x", JSON.stringify({ ...REPORT, error: "no node" })).reason).toBe("no node");
    expect(auditedOf("x", JSON.stringify({ ...REPORT, isInterrupted: true })).report)
      .toBeUndefined();
    expect(auditedOf("x", jsonReport(REPORT)).report).toMatchObject({ seconds: 12.3 });
  });

  const text = resultsText([
    { name: "nginx", report: JSON.parse(jsonReport(REPORT)) as JsonReport, reason: "" },
    { name: "portkey", report: undefined, reason: "It is not installed here" },
  ]);

  test("has a row for each check, and what is not as it should be", () => {
    expect(text).toContain(
      "| bytes | **1 of 2 failed** |\n| limits | 1 of 2 void, 1 of 2 to note |",
    );
    expect(text).toContain("| bytes/b | **fail** | 1 lost \\| &lt;b> (direct: 0 lost) |");
    expect(text).toContain("portkey was not audited: It is not installed here");
    expect(text).not.toContain("127.0.0.1");
  });

  test("keeps what stands around the results", () => {
    const page = withResults(
      "before\n<!-- results: bun run audit -->\nold\n<!-- end of results -->\nafter\n",
      "new",
    );
    expect(page).toBe(
      "before\n<!-- results: bun run audit -->\n\nnew\n<!-- end of results -->\nafter\n",
    );
    expect(() => withResults("no marks", "new")).toThrow("docs/audit.md has no");
  });
});
