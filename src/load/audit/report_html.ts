/**
 * The report of an audit as one page without scripts and without anything of elsewhere: readable on a
 * phone and in the dark.
 *
 * @module
 */

import { type AuditReport, worstFirst } from "./audit.ts";
import { type Finding, type Verdict, VERDICTS } from "./finding.ts";
import { summaryLine } from "./report_terminal.ts";

const WORDS: Readonly<Record<Verdict, string>> = {
  fail: "failed",
  void: "void",
  note: "note",
  pass: "passed",
};

const STYLE = `
:root { color-scheme: light dark; --bg: #fff; --ink: #1b1f24; --dim: #59636e; --line: #d8dee4;
  --soft: #f6f8fa; --fail: #c1121f; --void: #9a5b00; --note: #0b62c4; --pass: #18794e; }
@media (prefers-color-scheme: dark) { :root { --bg: #101418; --ink: #e6e9ed; --dim: #9aa5b1;
  --line: #2c343d; --soft: #191f26; --fail: #ff7b7b; --void: #f0b357; --note: #7db8ff; --pass: #5fd39a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.25rem 1rem 4rem; background: var(--bg);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
p { margin: .4rem 0; } .dim { color: var(--dim); }
.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(4.5rem, 1fr)); gap: .6rem;
  margin: 1rem 0; }
.counts div { border: 1px solid var(--line); border-radius: .5rem; padding: .5rem .8rem; }
.counts b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.fail b, .word.fail { color: var(--fail); } .void b, .word.void { color: var(--void); }
.note b, .word.note { color: var(--note); } .pass b, .word.pass { color: var(--pass); }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .4rem 0; }
details[open] { background: var(--soft); }
summary { display: grid; grid-template-columns: 4.5rem minmax(0, 1fr); gap: 0 .6rem; cursor: pointer;
  padding: .5rem .8rem; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary:focus-visible { outline: 2px solid var(--note); outline-offset: 2px; border-radius: .5rem; }
summary .text { grid-column: 2; overflow-wrap: anywhere; }
.word { font-weight: 650; } .name { font-weight: 650; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: 5.5rem minmax(0, 1fr); gap: .3rem .6rem; margin: 0;
  padding: .2rem .8rem .8rem; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem;
  background: var(--bg); font: 13px/1.45 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dt { margin-top: .3rem; } }
@media print { details { break-inside: avoid; } }
`;

/** The page. */
export function htmlReport(report: AuditReport): string {
  const { gateway, counts, startedAt, checks } = report;
  const bad = worstFirst(report).filter(({ verdict }) => verdict === "fail" || verdict === "void");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>weir audit: ${escaped(gateway)}</title>
<style>${STYLE}</style>
<body>
<header>
<h1>${escaped(gateway)}</h1>
<p class="dim">weir audit, ${escaped(startedAt)}</p>
</header>
<main>
<div class="counts">
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
  }
</main>
</body>
</html>
`;
}

function row(one: Finding, isOpen: boolean): string {
  const facts = ([
    ["limit", one.limit],
    ["direct", one.direct ?? ""],
    ["mend", one.mend],
  ] as const).filter(([, text]) => text !== "")
    .map(([name, text]) => `<dt>${name}</dt><dd>${escaped(text)}</dd>`);
  if (one.evidence.length > 0) {
    facts.push(`<dt>evidence</dt><dd><pre>${escaped(one.evidence.join("\n"))}</pre></dd>`);
  }
  return `<details${isOpen ? " open" : ""}><summary><span class="word ${one.verdict}">${
    WORDS[one.verdict]
  }</span><span class="name">${escaped(one.name)}</span><span class="text">${
    escaped(one.measured)
  }</span></summary><dl>${facts.join("")}</dl></details>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
}
