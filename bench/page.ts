/**
 * The results as one page with charts, which asks nobody for anything.
 *
 * @module
 */

import { IDLE_CASES, PACED_CASES, START_CASE, SWEEP_CASES } from "./cases.ts";
import { type Bar, barChart, type BarGroup, escape, type Line, lineChart } from "./charts.ts";
import { figuresOf } from "./figures.ts";
import { METHOD, noiseLine, roundsTable, STANDING_TEXT, table } from "./report.ts";
import {
  firstTool,
  median,
  type PacedRow,
  type Results,
  UPSTREAM_ITSELF,
  type WholeRow,
} from "./results.ts";
import type { Figure } from "./standing.ts";

const STYLE = `
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --soft: #5c6675; --line: #dde2e8;
  --panel: #f6f8fa; --weir: #0b6bcb; --peer: #a3adba; --good: #1a7f4b; --near: #9a6700;
  --bad: #c0392b; --c0: #0b6bcb; --c1: #1a9a8a; --c2: #c77d0a; --c3: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #e4e9f0; --soft: #98a3b3;
  --line: #2b333e; --panel: #1a2029; --weir: #58a6ff; --peer: #5b6675; --good: #4cc38a;
  --near: #e3b341; --bad: #ff7b72; --c0: #58a6ff; --c1: #4fd1c0; --c2: #f0a63a; --c3: #ff7b72; } }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: .95rem; margin: 0 0 .5rem; } p { margin: .25rem 0 .75rem; max-width: 52rem; }
.soft { color: var(--soft); } .grid { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); }
.card { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; }
.wide { overflow-x: auto; } .grid { align-items: start; } table { border-collapse: collapse; width: 100%; font-size: .87rem; }
th { text-align: left; color: var(--soft); font-weight: 500; } th, td { padding: .35rem .6rem .35rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } td.n { white-space: nowrap;
  font-variant-numeric: tabular-nums; } .met { color: var(--good); } .within { color: var(--near); }
.missed { color: var(--bad); } .disturbed, .shown { color: var(--soft); } svg { display: block; width: 100%; max-width: 34rem; height: auto; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); paint-order: stroke;
  stroke: var(--panel); stroke-width: 3px; } svg .soft { fill: var(--soft); }
svg .axis { stroke: var(--line); } svg .spread { stroke: var(--ink); stroke-width: 1.5; }
svg .goal { stroke: var(--bad); stroke-dasharray: 4 3; } ol { padding-left: 1.9rem; } li { margin: .15rem 0; }
details pre { overflow-x: auto; font-size: .75rem; line-height: 1.5; }
@media (max-width: 45rem) { body { padding: 1rem .75rem 3rem; } .card { padding: .75rem .6rem; }
  thead { display: none; } table, tbody, tr, td { display: block; } td { border: 0; padding: 0; }
  tr { border-bottom: 1px solid var(--line); padding: .5rem 0; } td.n { display: inline-block;
  margin-right: .75rem; } td.n:nth-child(2)::before { content: "wanted "; color: var(--soft); } }
`;

/** The whole page. */
export function htmlPage(results: Results): string {
  const { machine } = results;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const facts = `Commit ${machine.commit}, ${machine.date} UTC. ${machine.cpu}, ${machine.cores} ` +
    `cores, ${machine.memoryGib} GiB, Linux ${machine.kernel}. ${versions.join(", ")}. ` +
    `${results.rounds} rounds of ${results.secondsPerRun} s at 64 connections.`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>weir: what was measured</title>
<style>${STYLE}</style>
</head>
<body>
<h1>weir: what was measured</h1>
<p class="soft">${escape(facts)}</p>
<p>${escape(noiseLine(results))}</p>
${section("Wanted and measured", "", figures(figuresOf(results)))}
${
    section(
      "Processor time per request",
      "What one request costs the server's core: what decides. It holds when others use the machine " +
        "as well. The median of the rounds; the thin line goes from the smallest to the largest.",
      grid(processorTime(results.whole)),
    )
  }
${
    section(
      "Requests per second",
      "Where the client's core is full, this says how fast the client is.",
      grid(throughput(results.whole)),
    )
  }
${
    section(
      "Lateness",
      "How far from its due time each event came. The scale doubles and doubles again.",
      grid([
        sweep(results.paced),
        ...PACED_CASES.map(({ title }) => lateness(title, results.paced)),
      ]),
    )
  }
${section("Memory", "", grid(memory(results)))}
${section("Start", "", grid(startCharts(results)))}
${section("Method", "", `<ol>${METHOD.map((line) => `<li>${escape(line)}</li>`).join("")}</ol>`)}
<details><summary>Round by round</summary><pre>${escape(roundsTable(results.whole))}</pre></details>
<details><summary>Everything measured</summary><pre>${escape(table(results))}</pre></details>
</body>
</html>
`;
}

function section(title: string, lead: string, content: string): string {
  if (content === "") return "";
  const text = lead === "" ? "" : `<p class="soft">${escape(lead)}</p>`;
  return `<section><h2>${escape(title)}</h2>${text}${content}</section>`;
}

function grid(cards: readonly string[]): string {
  const shown = cards.filter((card) => card !== "");
  return shown.length === 0 ? "" : `<div class="grid">${shown.join("\n")}</div>`;
}

function card(title: string, chart: string): string {
  return `<div class="card"><h3>${escape(title)}</h3>${chart}</div>`;
}

function figures(rows: readonly Figure[]): string {
  if (rows.length === 0) return "";
  const lines = rows.map(({ title, wanted, measured, note, standing }) =>
    `<tr><td>${escape(title)}</td><td class="n">${escape(wanted)}</td>` +
    `<td class="n ${standing}">${escape(measured)}</td>` +
    `<td class="${standing}">${STANDING_TEXT[standing]}</td>` +
    `<td class="soft">${escape(note)}</td></tr>`
  );
  return `<div class="wide"><table><thead><tr><th>figure</th><th>wanted</th><th>measured</th>` +
    `<th></th><th>beside</th></tr></thead><tbody>${lines.join("\n")}</tbody></table></div>`;
}

function color(server: string): string {
  return server === "weir" ? "var(--weir)" : "var(--peer)";
}

/** One chart for each case: servers side by side, at every number of connections. */
function charts(
  rows: readonly WholeRow[],
  key: "requestsPerSecond" | "cpuUsPerRequest",
  format: (value: number) => string,
  isShown: (group: WholeRow) => boolean,
): readonly string[] {
  return [...Map.groupBy(rows.filter(isShown), ({ caseTitle }) => caseTitle)].map(
    ([title, ofCase]) => {
      const groups = [...Map.groupBy(ofCase, ({ connections }) => connections)]
        .toSorted(([one], [other]) => one - other)
        .map(([connections, servers]): BarGroup => ({
          title: `${grouped(connections)} connection${connections === 1 ? "" : "s"}`,
          bars: servers.map((row) => {
            const values = firstTool(row).map((result) => result[key]);
            const { server } = row;
            return {
              name: server,
              value: median(values),
              min: Math.min(...values),
              max: Math.max(...values),
              color: color(server),
            };
          }),
        }));
      return card(title, barChart(groups, { format, isLog: false, goal: undefined }));
    },
  );
}

function throughput(rows: readonly WholeRow[]): readonly string[] {
  return charts(rows, "requestsPerSecond", (value) => `${grouped(value)}/s`, () => true);
}

function processorTime(rows: readonly WholeRow[]): readonly string[] {
  return charts(
    rows,
    "cpuUsPerRequest",
    (value) => `${value.toFixed(1)} µs`,
    ({ server }) => server !== UPSTREAM_ITSELF,
  );
}

const PERCENTILES = [["p50", "p50"], ["p90", "p90"], ["p99", "p99"], ["p999", "p99.9"]] as const;

/** How lateness grows with the number of streams, at 20 events a second each. */
function sweep(rows: readonly PacedRow[]): string {
  const titles = new Set([...SWEEP_CASES, PACED_CASES[0]!].map(({ title }) => title));
  const ofServer = (name: string) =>
    rows.filter(({ caseTitle, server }) => server === name && titles.has(caseTitle))
      .toSorted((one, other) => one.streams - other.streams);
  const weir = ofServer("weir");
  if (weir.length < 2) return "";
  const points = (of: readonly PacedRow[], key: "p50" | "p90" | "p99" | "p999") =>
    of.map(({ streams, rounds }) => ({
      x: String(streams),
      y: median(rounds.map(({ found }) => found.report.latenessMs[key])),
    }));
  const lines: Line[] = PERCENTILES.map(([key, name], i) => ({
    name,
    color: `var(--c${i})`,
    isDashed: false,
    points: points(weir, key),
  }));
  const wheel = ofServer("bare wheel");
  if (wheel.length === weir.length) {
    lines.push({
      name: "bare wheel p99",
      color: "var(--soft)",
      isDashed: true,
      points: points(wheel, "p99"),
    });
  }
  return card(
    "weir, ms late over number of streams, 20 events/s each",
    lineChart(lines, {
      format: milliseconds,
      goal: PACED_CASES[0]!.latenessMsMax!,
      unit: "streams",
    }),
  );
}

function lateness(title: string, rows: readonly PacedRow[]): string {
  const ofCase = rows.filter(({ caseTitle }) => caseTitle === title);
  if (ofCase.length === 0) return "";
  const groups = ofCase.map(({ server, rounds }): BarGroup => ({
    title: server,
    bars: PERCENTILES.map(([key, name]) => {
      const values = rounds.map(({ found }) => found.report.latenessMs[key]);
      return {
        name,
        value: median(values),
        min: Math.min(...values),
        max: Math.max(...values),
        color: color(server),
      };
    }),
  }));
  const goal = PACED_CASES.find((work) => work.title === title)!.latenessMsMax;
  return card(
    goal === undefined ? title : `${title}; wanted at p99: ${goal} ms`,
    barChart(groups, { format: milliseconds, isLog: true, goal }),
  );
}

function memory({ idle, paced }: Results): readonly string[] {
  const bar = (name: string, value: number) => spreadBar(name, [value]);
  const format = (value: number) => `${value.toFixed(1)} KiB`;
  const cards = IDLE_CASES.flatMap(({ name, things, count, kibMax }) => {
    const bars = idle.filter((row) => row.name === name).map(({ server, rounds }) =>
      spreadBar(server, rounds.map(({ kibEach }) => kibEach))
    );
    return bars.length === 0 ? [] : [card(
      `${things}: KiB each above the idle process; wanted: ${kibMax} KiB`,
      barChart([{ title: `${grouped(count)} ${things}`, bars }], {
        format,
        isLog: false,
        goal: kibMax,
      }),
    )];
  });
  const groups = PACED_CASES.map(({ title, streams }): BarGroup => ({
    title,
    bars: paced.filter(({ caseTitle }) => caseTitle === title).map(({ server, rounds }) =>
      bar(server, median(rounds.map(({ peakRssKib }) => peakRssKib)) / streams)
    ),
  })).filter(({ bars }) => bars.length > 0);
  if (groups.length > 0) {
    cards.push(card(
      "speaking: the whole process at its peak, divided by the streams",
      barChart(groups, { format, isLog: false, goal: undefined }),
    ));
  }
  return cards;
}

function startCharts({ starts }: Results): readonly string[] {
  if (starts.length === 0) return [];
  const { readyMsMax, blockMsMax } = START_CASE;
  const wants = [
    { title: "until /health answers 200", key: "readyMs", goal: readyMsMax },
    {
      title: "longest block of the loop from the first answer on",
      key: "blockMs",
      goal: blockMsMax,
    },
  ] as const;
  return wants.map(({ title, key, goal }) => {
    const bars = starts.map((row) => spreadBar(row.server, row.starts.map((start) => start[key])));
    return card(
      `${title}; wanted: ${goal} ms`,
      barChart([{ title: "median of the starts", bars }], {
        format: milliseconds,
        isLog: false,
        goal,
      }),
    );
  });
}

/** The median, and a line from the smallest to the largest. */
function spreadBar(name: string, values: readonly number[]): Bar {
  return {
    name,
    value: median(values),
    // Memory that shrank is drawn as none.
    min: Math.max(0, Math.min(...values)),
    max: Math.max(...values),
    color: color(name),
  };
}

function milliseconds(value: number): string {
  return `${value >= 100 ? grouped(value) : value.toFixed(1)} ms`;
}

function grouped(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
