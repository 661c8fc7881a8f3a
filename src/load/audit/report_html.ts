/**
 * The report of an audit as one page without scripts and without anything of elsewhere: readable on a
 * phone and in the dark.
 *
 * @module
 */

import { escaped, page } from "../page.ts";
import { type AuditReport, worstFirst } from "./audit.ts";
import { type Finding, settingLines, shownEvidence, type Verdict, VERDICTS } from "./finding.ts";
import { isWrong, summaryLine } from "./report_terminal.ts";

const WORDS: Readonly<Record<Verdict, string>> = {
  fail: "failed",
  void: "void",
  note: "note",
  pass: "passed",
};

const SHEET = `
details[open] { background: var(--soft); }
summary { display: grid; grid-template-columns: 4.5rem minmax(0, 1fr); gap: 0 .6rem; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary .text { grid-column: 2; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); gap: .3rem .6rem; margin: 0;
  padding: .2rem .8rem .8rem; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--bg); font: 13px/1.45 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .3rem; } }
`;

/** The page. */
export function htmlReport(report: AuditReport): string {
  const { gateway, counts, startedAt, checks, error } = report;
  const bad = worstFirst(report).filter(({ verdict }) => isWrong(verdict, report.failOn));
  return page({
    title: `weir audit: ${gateway}`,
    sheet: SHEET,
    header: `<h1>${escaped(gateway)}</h1>
<p class="dim">weir audit, ${escaped(startedAt)}, seed ${report.seed}</p>`,
    main: error !== null
      ? `<h2>It cannot be audited</h2>\n<p>${escaped(error)}.</p>`
      : `<div class="counts">
${
        VERDICTS.map((verdict) =>
          `<div class="${verdict}"><b>${counts[verdict]}</b>${WORDS[verdict]}</div>`
        ).join("\n")
      }
</div>
<p>${escaped(summaryLine(report))}.</p>
${
        bad.length === 0
          ? "<p>Nothing failed.</p>"
          : `<h2>What is wrong</h2>\n${bad.map((one) => row(one, true)).join("\n")}`
      }
${
        checks.map(({ name, title }) => {
          const rest = report.findings.filter((one) => one.check === name && !bad.includes(one));
          return rest.length === 0
            ? ""
            : `<h2>${escaped(title)}</h2>\n${rest.map((one) => row(one, false)).join("\n")}`;
        }).filter((part) => part !== "").join("\n")
      }`,
  });
}

function row(one: Finding, isOpen: boolean): string {
  const facts = ([
    ["limit", one.limit],
    ["direct", one.direct ?? ""],
    ["mend", one.mend],
  ] as const).filter(([, text]) => text !== "")
    .map(([name, text]) => `<dt>${name}</dt><dd>${escaped(text)}</dd>`);
  const settings = settingLines(one);
  if (settings.length > 0) {
    facts.push(`<dt>set</dt><dd>${settings.map(escaped).join("<br>")}</dd>`);
  }
  if (one.evidence.length > 0) {
    facts.push(`<dt>evidence</dt><dd><pre>${escaped(shownEvidence(one).join("\n"))}</pre></dd>`);
  }
  return `<details${isOpen ? " open" : ""}><summary><span class="word ${one.verdict}">${
    WORDS[one.verdict]
  }</span><span class="name">${escaped(one.name)}</span><span class="text">${
    escaped(one.measured)
  }</span></summary><dl>${facts.join("")}</dl></details>`;
}
