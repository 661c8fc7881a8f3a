/**
 * Two runs beside each other as one page: what has become slower, and whether that can be chance.
 *
 * @module
 */

import { escaped } from "../page.ts";
import type { Picture } from "./browser/picture.ts";
import { chartPage, figure, type Said, saidList, table } from "./chart_page.ts";
import type { Comparison } from "./compare.ts";
import { type About, spreadOf, TITLES } from "./html.ts";
import { belowText, distribution } from "./pictures.ts";
import type { Stage } from "./run_file.ts";
import { percent, shown } from "./terminal.ts";

/** One stage of both. */
export interface ComparedPair {
  readonly before: Stage;
  readonly after: Stage;
  /** By the name of the load, or of both where they differ. */
  readonly load: string;
  readonly failedShares: readonly [number, number];
  readonly comparisons: readonly Comparison[];
  readonly isDoubtful: boolean;
}

/** The page. What `about` has found: in which the runs were not asked for the same. */
export function compareHtml(pairs: readonly ComparedPair[], about: About): string {
  const pictures: Picture[] = [];
  const parts = pairs.map((pair, at) => stage(pair, `s${at + 1}`, pairs.length > 1, pictures));
  const unlike = about.found.map((text) => ({ verdict: "void" as const, word: "unlike", text }));
  const all = pairs.flatMap((pair) => verdicts(pair, pairs.length > 1));
  return chartPage({
    title: `weir load compare: ${about.heading}`,
    header: `<h1>${escaped(about.heading)}</h1>\n<p class="dim">${escaped(about.under)}</p>`,
    main: [saidList([...unlike, ...all]), ...parts].join("\n"),
    pictures,
  });
}

/** What is worse, what is better, and what is to be doubted. */
function verdicts(pair: ComparedPair, hasName: boolean): readonly Said[] {
  const { load, failedShares: [before, after], comparisons, isDoubtful } = pair;
  const where = hasName ? `${load}: ` : "";
  const said: Said[] = [];
  if (after > before) {
    const text = `${where}${percent(after)} of the requests failed, and ${percent(before)} before.`;
    said.push({ verdict: "fail", word: "failed", text });
  }
  for (const { metric, change, verdict, tail } of comparisons) {
    const [p95, p99] = tail.changes.map(signed);
    for (
      const [found, changed] of [
        [verdict, `p50 ${signed(change)}`],
        [tail.verdict, `the tail: p95 ${p95}, p99 ${p99}`],
      ] as const
    ) {
      if (found !== "slower" && found !== "faster") continue;
      said.push({
        verdict: found === "slower" ? "fail" : "pass",
        word: found,
        text: `${where}${TITLES[metric]}: ${changed}, and that is no chance.`,
      });
    }
  }
  if (said.length === 0) {
    const text = comparisons.length === 0
      ? "No figure is in both: nothing can be compared."
      : "Nothing is slower or faster by more than can be chance, or matters.";
    said.push({ verdict: "note", word: "same", text: `${where}${text}` });
  }
  if (isDoubtful) {
    const text = `${where}one of the two is to be doubted: see its own report.`;
    said.push({ verdict: "void", word: "doubt", text });
  }
  return said;
}

function stage(pair: ComparedPair, id: string, hasName: boolean, pictures: Picture[]): string {
  const { before, after, load, failedShares, comparisons } = pair;
  const rows = comparisons.flatMap((one) => {
    const { metric, p50, p95, p99, change, chance, isPaired, verdict, tail } = one;
    const row = (name: string, pair: readonly [number, number], changed: number) => [
      `${TITLES[metric].toLowerCase()}, ${name}`,
      ...pair.map(shown),
      signed(changed),
    ];
    const judged = (share: number, found: string) => [
      share < 0.001 ? "below 0.1 %" : `${(100 * share).toFixed(1)} %`,
      { text: `${found}${isPaired ? "" : " (unpaired)"}` },
    ];
    const [change95, change99] = tail.changes;
    return [
      [...row("p50", p50, change), ...judged(chance, verdict)],
      [...row("p95", p95, change95), ...judged(tail.chance, `the tail: ${tail.verdict}`)],
      [...row("p99", p99, change99), "", { text: "" }],
    ];
  });
  const heads = ["ms", "before", "after", "change", "by chance", "verdict"];
  const figures = (["ttft", "itl", "tpot", "e2e"] as const).flatMap((name) => {
    const spreads = [
      { label: "before", spread: spreadOf(before.rounds, name) },
      { label: "after", spread: spreadOf(after.rounds, name) },
    ] as const;
    // The table has them of single requests: a distribution has three digits.
    const exact = comparisons.find(({ metric }) => metric === name);
    if (spreads.some(({ spread }) => spread.count === 0)) return [];
    const found = distribution(`${id}-spread-${name}`, spreads, undefined)!;
    pictures.push(found.picture);
    const words = spreads.map(({ label, spread }, at) =>
      `${label}: half within ${shown(exact?.p50[at] ?? spread.percentile(50)!)} ms, 99 % within ` +
      `${shown(exact?.p99[at] ?? spread.percentile(99)!)} ms`
    ).join("; ");
    return [figure(found.picture, TITLES[name], `${words}.`, `${words}.${belowText(found)}`)];
  });
  const [failedBefore, failedAfter] = failedShares.map(percent);
  return `<h2>${hasName ? escaped(load) : "What has changed"}</h2>
<p>Failed: ${failedBefore}, then ${failedAfter}.</p>
${rows.length === 0 ? "" : table("Before and after, in milliseconds", heads, rows)}
${
    figures.length === 0
      ? ""
      : `<h3>Distribution</h3>\n<div class="pair">\n${figures.join("\n")}\n</div>`
  }`;
}

/** "+41.2 %" */
function signed(change: number): string {
  return `${change < 0 ? "" : "+"}${(100 * change).toFixed(1)} %`;
}
