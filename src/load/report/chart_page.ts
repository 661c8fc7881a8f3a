/**
 * What pages with pictures have in common: sheet, script, tables, and the places where pictures go.
 *
 * @module
 */

import UPLOT_LICENSE from "uplot/LICENSE" with { type: "text" };
import UPLOT from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import UPLOT_SHEET from "uplot/dist/uPlot.min.css" with { type: "text" };
import { escaped, page } from "../page.ts";
import CHARTS from "./browser/charts.js" with { type: "text" };
import type { Picture } from "./browser/picture.ts";
import { LANES_SHEET } from "./stream_lanes.ts";

const SHEET = `
:root { --one: #0b62c4; --two: #b35900; --grey: rgb(89 99 110 / 45%); --bad: #c1121f;
  --one-wash: rgb(11 98 196 / 18%); --two-wash: rgb(179 89 0 / 18%);
  --queue: #d9a441; --connect: #a7b4c2; --wait: #dfe5ec; }
@media screen and (prefers-color-scheme: dark) { :root:not([data-paper]) { --one: #7db8ff;
  --two: #f0b357; --grey: rgb(154 165 177 / 50%); --bad: #ff7b7b; --one-wash: rgb(125 184 255 / 20%);
  --two-wash: rgb(240 179 87 / 20%); --queue: #8a6420; --connect: #56636f; --wait: #2c3540; } }
h3 { font-size: .95rem; margin: 1.4rem 0 .3rem; } h4 { font-size: .9rem; margin: 0 0 .2rem; }
ul.said { list-style: none; padding: 0; margin: .8rem 0; }
ul.said li { display: grid; grid-template-columns: 4.5rem minmax(0, 1fr); gap: .6rem; padding: .2rem 0; }
ul.said li span + span { overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: .4rem 0;
  background: linear-gradient(to right, var(--bg) 40%, transparent) 0 0,
    linear-gradient(to left, var(--bg) 40%, transparent) 100% 0,
    linear-gradient(to right, var(--dim), transparent) 0 0,
    linear-gradient(to left, var(--dim), transparent) 100% 0;
  background-repeat: no-repeat; background-size: 3rem 100%, 3rem 100%, .5rem 100%, .5rem 100%;
  background-attachment: local, local, scroll, scroll; }
.wide:focus-visible { outline: 2px solid var(--note); outline-offset: 2px; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.wide table { min-width: 100%; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
td.text { white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
th { font-weight: 600; color: var(--dim); } thead th { white-space: normal; vertical-align: bottom; }
tbody th { color: var(--ink); font-weight: 400; }
td:last-child, th:last-child { padding-right: 0; }
figure { margin: 1rem 0; break-inside: avoid; min-width: 0; }
figcaption { font-size: .85rem; color: var(--dim); }
figure h4 { font-weight: 600; }
.chart { min-height: 214px; position: relative; } .chart.single { min-height: 190px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0 1.5rem; }
@media screen { .three { grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); } }
.pair figure { margin: .6rem 0; }
.stage { padding: 0 1rem 1rem; } .stage > h2:first-child { margin-top: .6rem; }
details > .wide, details > p { margin-left: .8rem; margin-right: .8rem; }
.u-legend { font-size: .8rem; color: var(--dim); text-align: left; margin: 0; }
.u-legend tbody { display: flex; flex-wrap: wrap; }
.u-legend th { font-weight: 400; border: 0; color: var(--dim); }
.u-legend td { border: 0; color: var(--ink); } .u-legend tr { margin-right: .8rem; }
.u-legend .u-marker { height: 0; width: 1.6em; background: none !important; }
.u-inline.u-live th::after { content: ""; }
.u-legend tr:first-child { order: 9; }
.u-legend tr:first-child, .single .u-legend { visibility: hidden; }
.single .u-legend { position: absolute; top: 0; right: 0; background: var(--bg); padding: 0 .3rem; }
.single .u-legend tr:last-child { margin-right: 0; }
.uplot:hover .u-legend tr:first-child, .single:hover .u-legend { visibility: visible; }
.u-series th { cursor: default; pointer-events: none; }
.errors { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1rem; margin: .4rem 0; }
.errors dt { font-weight: 650; text-align: right; font-variant-numeric: tabular-nums; }
.errors dd { margin: 0; overflow-wrap: anywhere; }
.about { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .2rem 1rem; font-size: .9rem; }
.about dt { color: var(--dim); } .about dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { .stage { padding: 0 .6rem .6rem; } th, td { padding-right: .5rem; } }
@media (scripting: none) { figure { display: none; } }
@media print { .pair { grid-template-columns: 1fr 1fr; } .wide { overflow: visible; background: none; } .wide table { font-size: 8pt; } .u-legend tr:first-child { display: none; } }
`;

/** uPlot with its licence, which has to go with it. */
const LIBRARY = `/*\n${UPLOT_LICENSE.trim()}\n*/\n${UPLOT.trim()}\n`;

/** A page with pictures; without any, nothing runs on it. */
export function chartPage(parts: {
  readonly title: string;
  readonly header: string;
  readonly main: string;
  readonly pictures: readonly Picture[];
}): string {
  const { title, header, main, pictures } = parts;
  const note =
    "<noscript><p>The pictures need JavaScript, which is off. The numbers stand in the tables.</p></noscript>";
  return page({
    title,
    header,
    main: pictures.length === 0 ? main : `${note}\n${main}`,
    sheet: UPLOT_SHEET + SHEET + LANES_SHEET,
    program: pictures.length === 0
      ? undefined
      : { library: LIBRARY, script: CHARTS, data: { pictures } },
  });
}

/** Where a picture goes, with what it shows in words. `title` and `words` are plain text. */
export function figure(picture: Picture, title: string, words: string, note = ""): string {
  const isSingle = picture.series.length === 1 ? " single" : "";
  return `<figure><h4>${escaped(title)}</h4>
<div class="chart${isSingle}" id="${picture.id}" role="img" aria-label="${
    escaped(`${title}. ${words}`)
  }"></div>
${note === "" ? "" : `<figcaption>${escaped(note)}</figcaption>`}</figure>`;
}

/** A cell: a number stands to the right, a text to the left and breaks. */
export type Cell = string | { readonly text: string };

/** A table of plain texts that scrolls by itself where it is too wide. The first cell heads its row. */
export function table(
  label: string,
  heads: readonly string[],
  rows: readonly (readonly Cell[])[],
): string {
  const head = heads.map((one, at) => {
    const isText = typeof rows[0]?.[at] === "object";
    return `<th scope="col"${isText ? ' class="text"' : ""}>${escaped(one)}</th>`;
  });
  const lines = rows.map(([first = "", ...rest]) =>
    `<tr><th scope="row">${escaped(textOf(first))}</th>${rest.map(cell).join("")}</tr>`
  );
  return `<div class="wide" tabindex="0" role="region" aria-label="${escaped(label)}"><table>
<thead><tr>${head.join("")}</tr></thead>
<tbody>
${lines.join("\n")}
</tbody></table></div>`;
}

function cell(value: Cell): string {
  return typeof value === "string"
    ? `<td>${escaped(value)}</td>`
    : `<td class="text"><bdi>${escaped(value.text)}</bdi></td>`;
}

function textOf(value: Cell): string {
  return typeof value === "string" ? value : value.text;
}

/** What is told first: a word for how bad it is, and a sentence. */
export interface Said {
  readonly verdict: "fail" | "void" | "pass" | "note";
  readonly word: string;
  readonly text: string;
}

/** A list of them. */
export function saidList(said: readonly Said[]): string {
  return `<ul class="said">${
    said.map(({ verdict, word, text }) =>
      `<li><span class="word ${verdict}">${word}</span><span>${escaped(text)}</span></li>`
    ).join("\n")
  }</ul>`;
}
