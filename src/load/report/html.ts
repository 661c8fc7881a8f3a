/**
 * The report of a load as one page: what was wrong, what was measured, how far to believe it.
 *
 * @module
 */

import { escaped } from "../page.ts";
import type { Rows } from "../rows.ts";
import { Spread } from "../spread.ts";
import type { Picture } from "./browser/picture.ts";
import { chartPage, figure, type Said, saidList, table } from "./chart_page.ts";
import {
  belowText,
  distribution,
  DRAWN,
  type Drawn,
  intervalRows,
  overTime,
  rateAgainst,
  SHORTEST,
  timelineOf,
} from "./pictures.ts";
import type { LoadReport } from "./report.ts";
import type { Stage } from "./run_file.ts";
import { cut, streamLanes } from "./stream_lanes.ts";
import {
  believeLines,
  boundRows,
  figureRows,
  goodputText,
  percent,
  rateLines,
  shown,
} from "./terminal.ts";

/** What is known of a run besides its stages. */
export interface About {
  /** What was measured: a URL without its secrets. */
  readonly heading: string;
  /** A line beneath it. */
  readonly under: string;
  /** How it was run. */
  readonly facts: readonly (readonly [name: string, value: string])[];
  /** What all stages together have found. */
  readonly found: readonly string[];
  /** The share of all requests that must keep the limits of an SLO. */
  readonly goodShareMin: number;
  /** Takes secrets out of what a server has said. */
  readonly clean: (text: string) => string;
}

/** Dots of all pictures of a page together: a few hundred kilobytes. */
const DOTS_MAX = 24_000;
const DOTS_LEAST = 150;
/** Rows of errors that are told. */
const ERRORS_SHOWN = 40;
/** Rows of the table that stands for the pictures over time. */
const INTERVALS = 10;
/** So few stages are open at once. */
const OPEN_MAX = 3;

/** The names of pictures, by the figures that requests have. */
export const TITLES: Readonly<Record<Drawn | "itl", string>> = {
  ttft: "First token",
  itl: "Between tokens",
  tpot: "Per output token",
  e2e: "Whole answer",
};

/** The page. */
export function htmlReport(stages: readonly Stage[], about: About): string {
  const pictures: Picture[] = [];
  const reports = stages.map(({ report }) => report);
  const isSingle = stages.length === 1;
  const dots = Math.max(DOTS_LEAST, Math.floor(DOTS_MAX / (3 * Math.max(1, stages.length))));
  const bodies = stages.map((stage, at) =>
    stageBody(stage, `s${at + 1}`, dots, about.clean, !isSingle, pictures)
  );
  const parts = [
    counts(reports),
    saidList(verdicts(reports, about)),
    errors(reports, about.clean),
    ...(isSingle ? bodies : [
      loads(stages, pictures),
      ...bodies.map((body, at) => folded(reports[at]!, body, stages.length <= OPEN_MAX)),
    ]),
    aboutList(about),
  ];
  const under = isSingle ? `${reports[0]!.load}; ${about.under}` : about.under;
  return chartPage({
    title: `weir load: ${about.heading}`,
    header: `<h1>${escaped(about.heading)}</h1>\n<p class="dim">${escaped(under)}</p>`,
    main: parts.filter((part) => part !== "").join("\n"),
    pictures,
  });
}

type Counted = "sent" | "completed" | "failed" | "left" | "unfinished";

function total(reports: readonly LoadReport[], name: Counted): number {
  return reports.reduce((sum, { requests }) => sum + requests[name], 0);
}

function counts(reports: readonly LoadReport[]): string {
  const card = (name: Counted, verdict: string, isAlways: boolean) => {
    const count = total(reports, name);
    const tone = count > 0 ? verdict : "";
    return count === 0 && !isAlways
      ? ""
      : `<div class="${tone}"><b>${escaped(grouped(count))}</b>${
        name === "left" ? "left early" : name
      }</div>`;
  };
  const cards = [
    card("failed", "fail", true),
    card("unfinished", "void", false),
    card("left", "note", false),
    card("completed", "pass", true),
    card("sent", "", true),
  ];
  return `<div class="counts">\n${cards.filter((one) => one !== "").join("\n")}\n</div>`;
}

/** What is to be known before any figure. */
function verdicts(
  reports: readonly LoadReport[],
  { found, goodShareMin }: About,
): readonly Said[] {
  const sent = total(reports, "sent");
  const failed = total(reports, "failed");
  const completed = total(reports, "completed");
  const said: Said[] = [];
  if (reports.some((report) => report.is_interrupted)) {
    said.push({ verdict: "void", word: "broken off", text: "This is what there was until then." });
  }
  for (const { load, saturated_after_s } of reports) {
    if (saturated_after_s === null) continue;
    const where = reports.length > 1 ? `${load}: ` : "";
    const text = `${where}After ${
      shown(saturated_after_s)
    } s: the server was saturated, and its queue grew.`;
    said.push({ verdict: "void", word: "stopped", text });
  }
  if (sent === 0) said.push({ verdict: "void", word: "nothing", text: "No request was measured." });
  else if (failed > 0) {
    const text = `${grouped(failed)} of ${grouped(sent)} requests, ${failedShare(failed / sent)}` +
      (completed === 0 ? ": there are no figures of the server." : ".");
    said.push({ verdict: "fail", word: "failed", text });
  } else said.push({ verdict: "pass", word: "passed", text: "No request failed." });
  // A search looks for a load that does not keep them: that it finds one is no failure.
  if (found.length === 0) said.push(...limitsSaid(reports, goodShareMin));
  for (const text of found) said.push({ verdict: "note", word: "found", text });
  const doubted = reports.filter(({ doubt }) => doubt.is_doubtful);
  const reasons = [...new Set(doubted.flatMap(({ doubt }) => doubt.reasons))];
  if (doubted.length === 0) {
    said.push({ verdict: "pass", word: "trust", text: "Nothing speaks against these figures." });
  } else if (reports.length === 1) {
    for (const text of reasons) said.push({ verdict: "void", word: "doubt", text });
  } else {
    said.push({
      verdict: "void",
      word: "doubt",
      text: `${doubted.length} of ${reports.length} loads to be doubted: each says why.`,
    });
  }
  return said;
}

/** What is hardly any must not look like none. */
function failedShare(share: number): string {
  return share < 0.01 ? `${Number((100 * share).toPrecision(1))} %` : percent(share);
}

/** Whether the limits of an SLO were kept. */
function limitsSaid(reports: readonly LoadReport[], goodShareMin: number): readonly Said[] {
  const judged = reports.flatMap((report) =>
    report.goodput === null ? [] : [{ goodput: report.goodput, report }]
  );
  const [first] = judged;
  if (first === undefined) return [];
  const limits = Object.entries(first.goodput.slo_ms).map(([name, ms]) => `${name} ${ms} ms`)
    .join(", ");
  const missed = judged.filter(({ goodput }) => goodput.share < goodShareMin);
  const { requests_per_second: rate } = first.goodput;
  const wanted = `${Number((100 * goodShareMin).toFixed(3))} %`;
  const one = `${goodputText(first.report)}, ${wanted} are wanted: ` +
    `${shown(rate)} good answers a second.`;
  const all = `${judged.length - missed.length} of ${judged.length} loads kept ${limits} for ` +
    `${wanted} of their requests.`;
  return [{
    verdict: missed.length === 0 ? "pass" : "fail",
    word: missed.length === 0 ? "kept" : "missed",
    text: judged.length === 1 ? one : all,
  }];
}

function errors(reports: readonly LoadReport[], clean: (text: string) => string): string {
  const all = reports.flatMap(({ load, requests }) =>
    requests.errors.map((error) => ({ load, ...error }))
  ).sort((a, b) => b.count - a.count);
  if (all.length === 0) return "";
  const rest = all.slice(ERRORS_SHOWN).reduce((sum, { count }) => sum + count, 0);
  const rows = all.slice(0, ERRORS_SHOWN).map(({ load, phase, status, text, count }) => {
    const where = [
      ...(reports.length > 1 ? [load] : []),
      `while in ${phase}`,
      ...(status === null ? [] : [`status ${status}`]),
    ].join(", ");
    return `<dt>${escaped(grouped(count))}</dt><dd><bdi>${
      escaped(cut(clean(text)))
    }</bdi> <span class="dim">${escaped(where)}</span></dd>`;
  });
  return `<h2>What failed</h2>
<dl class="errors">
${rows.join("\n")}
${rest > 0 ? `<dt>${grouped(rest)}</dt><dd>others</dd>` : ""}
</dl>`;
}

/** Rate against latency, and the table of all loads. */
function loads(stages: readonly Stage[], pictures: Picture[]): string {
  const reports = stages.map(({ report }) => report);
  const figures = (["ttft", "tpot", "e2e"] as const).flatMap((name) => {
    const limit = stages.find(({ slo }) => slo?.[name] !== undefined)?.slo?.[name];
    const picture = rateAgainst(`rate-${name}`, reports, `${name}_ms`, limit);
    if (picture === undefined) return [];
    pictures.push(picture);
    const words = "p50 and p99 by answers a second. The table has the numbers.";
    return [figure(picture, TITLES[name], words)];
  });
  const ms = (value: number | undefined) => value === undefined ? "" : shown(value);
  const hasSlo = reports.some(({ goodput }) => goodput !== null);
  const rows = reports.map((report) => [
    { text: report.load },
    report.requests_per_second === null || report.requests.completed === 0
      ? ""
      : shown(report.requests_per_second),
    ms(report.ttft_ms?.p50),
    ms(report.ttft_ms?.p99),
    ms(report.tpot_ms?.p50),
    ms(report.tpot_ms?.p99),
    ms(report.e2e_ms?.p50),
    ms(report.e2e_ms?.p99),
    ms(report.output_tokens_per_second.told ?? report.output_tokens_per_second.own ?? undefined),
    ...(hasSlo ? [report.goodput === null ? "" : percent(report.goodput.share)] : []),
    grouped(report.requests.failed),
    report.doubt.is_doubtful ? "doubt" : "",
  ]);
  const heads = [
    "load",
    "answers/s",
    "first token p50",
    "p99",
    "per token p50",
    "p99",
    "whole p50",
    "p99",
    "tokens/s",
    ...(hasSlo ? ["good"] : []),
    "failed",
    "",
  ];
  return `<h2>Rate against latency</h2>
${figures.length === 0 ? "" : `<div class="pair three">\n${figures.join("\n")}\n</div>`}
${table("All loads, times in ms", heads, rows)}
<p class="dim">Times are milliseconds. A figure that there is not is left out.</p>`;
}

function folded(report: LoadReport, body: string, isOpen: boolean): string {
  const { requests, requests_per_second: rate, ttft_ms, e2e_ms, doubt } = report;
  const first = ttft_ms ?? e2e_ms;
  const words = [
    ...(requests.failed > 0 ? [`${grouped(requests.failed)} failed`] : []),
    ...(rate === null || requests.completed === 0 ? [] : [`${shown(rate)} answers/s`]),
    ...(first === null
      ? ["no figures"]
      : [`${ttft_ms === null ? "whole answer" : "first token"} p50 ${shown(first.p50)} ms`]),
    ...(doubt.is_doubtful ? ["to be doubted"] : []),
  ];
  return `<details${isOpen ? " open" : ""}><summary><span class="name">${
    escaped(report.load)
  }</span> <span class="dim">${escaped(words.join(", "))}</span></summary>
<div class="stage">
${body}
</div></details>`;
}

function stageBody(
  stage: Stage,
  id: string,
  dots: number,
  clean: (text: string) => string,
  hasReasons: boolean,
  pictures: Picture[],
): string {
  const { report, streams = [] } = stage;
  const lanes = streams.length === 0
    ? ""
    : `<h2>Single streams</h2>\n${streamLanes(streams, clean)}`;
  return [
    figures(report),
    over(stage, id, dots, pictures),
    distributions(stage, id, pictures),
    lanes,
    believe(report, hasReasons),
  ].filter((part) => part !== "").join("\n");
}

function figures(report: LoadReport): string {
  const rows = figureRows(report).flatMap(([title, spread]) => {
    const { p50, p90, p95, p99, p999, max, mean } = spread;
    const bounds = boundRows(spread).map(([name = "", ...cells]) => [
      `\u2003${name.trim()}`,
      ...cells,
      ...["", ""], // none is known of the longest and the mean
    ]);
    return [[title, ...[p50, p90, p95, p99, p999, max, mean].map(shown)], ...bounds];
  });
  const lines = rateLines(report).map((line) => `<p>${escaped(line)}</p>`).join("\n");
  if (rows.length === 0) return `<h2>Figures</h2>\n${lines}`;
  const heads = ["", "p50", "p90", "p95", "p99", "p99.9", "max", "mean"];
  return `<h2>Figures</h2>\n${table("Figures in milliseconds", heads, rows)}\n${lines}`;
}

function rowsOf({ rounds }: Stage): readonly Rows[] {
  return rounds.map(({ tally }) => tally.rows);
}

function over(stage: Stage, id: string, dotsMax: number, pictures: Picture[]): string {
  const timeline = timelineOf(rowsOf(stage));
  const shownFigures = DRAWN.flatMap((name) => {
    const found = overTime(`${id}-time-${name}`, timeline, name, {
      dotsMax,
      limitMs: stage.slo?.[name],
    });
    if (found === undefined) return [];
    pictures.push(found.picture);
    const spread = stage.report[`${name}_ms`];
    const words = spread === null
      ? ""
      : `Half within ${shown(spread.p50)} ms, the longest ${shown(spread.max)} ms.`;
    const hasCrosses = found.picture.series.some(({ shape }) => shape === "crosses");
    const note = [
      ...(found.shown === found.all ? [] : [
        `Each dot is a request: ${grouped(found.shown)} of ${
          grouped(found.all)
        }, drawn by chance, ` +
        "the slowest of each moment among them. The lines are of all.",
      ]),
      ...(hasCrosses ? ["Where a cross is, requests failed."] : []),
    ].join(" ");
    return [figure(found.picture, TITLES[name], words, note)];
  });
  if (shownFigures.length === 0) return "";
  const ms = (pair: readonly [number, number] | undefined) =>
    pair === undefined ? ["", ""] : pair.map(shown);
  const has = DRAWN.filter((name) => stage.report[`${name}_ms`] !== null);
  const short = (seconds: number) => Number(seconds.toPrecision(3));
  const rows = intervalRows(timeline, INTERVALS).map((one) => [
    `${short(one.fromSeconds)} to ${short(one.toSeconds)}`,
    grouped(one.requests),
    grouped(one.failed),
    ...has.flatMap((name) => ms(one.figures[name])),
  ]);
  const heads = [
    "seconds",
    "requests",
    "failed",
    ...has.flatMap((name) => [`${TITLES[name].toLowerCase()} p50`, "max"]),
  ];
  const left = timeline.leftOut === 0
    ? ""
    : `<p class="dim">${
      grouped(timeline.leftOut)
    } requests came after the first two million: they are ` +
      "in the figures, and not here.</p>";
  return `<h2>Over time</h2>
${shownFigures.join("\n")}
${left}<details><summary>The same as a table</summary>
${table("Latency over time", heads, rows)}
</details>`;
}

function distributions({ rounds, slo }: Stage, id: string, pictures: Picture[]): string {
  const shownFigures = (["ttft", "itl", "tpot", "e2e"] as const).flatMap((name) => {
    const spread = spreadOf(rounds, name);
    const found = distribution(`${id}-spread-${name}`, [{ label: "share", spread }], slo?.[name]);
    if (found === undefined) return [];
    pictures.push(found.picture);
    const [half, most, max] = [50, 99, 100].map((share) => shown(spread.percentile(share)!));
    const words = `Half within ${half} ms, 99 % within ${most} ms, the longest ${max} ms`;
    const note = `${words}; ${grouped(spread.count)} values.${belowText(found)}`;
    return [figure(found.picture, TITLES[name], `${words}.`, note)];
  });
  return shownFigures.length === 0 ? "" : `<h2>Distribution</h2>
<p class="dim">Shares of all values. The shortest ${SHORTEST} % may lie below the axis: they are in the first bar.</p>
<div class="pair">\n${shownFigures.join("\n")}\n</div>`;
}

/** A distribution over all rounds. */
export function spreadOf(rounds: Stage["rounds"], name: Drawn | "itl"): Spread {
  const spread = new Spread();
  for (const { tally } of rounds) spread.merge(tally.spreads[`${name}_ms`]);
  return spread;
}

/** `hasReasons`: they are told here; else they stand at the top of the page. */
function believe(report: LoadReport, hasReasons: boolean): string {
  const { reasons } = report.doubt;
  const [verdict = "", ...lines] = believeLines(report).map((line) => line.trim());
  const facts = lines.filter((line) => !reasons.includes(line));
  const said = reasons.map((text) => ({ verdict: "void" as const, word: "doubt", text }));
  return `<h2>How far to believe it</h2>
<p>${sentence(verdict.replace("How far to believe it: ", ""))}</p>
${hasReasons && said.length > 0 ? saidList(said) : ""}
${facts.map((line) => `<p class="dim">${sentence(`${line}.`)}</p>`).join("\n")}`;
}

/** As HTML, with a capital. */
function sentence(text: string): string {
  return escaped(text.charAt(0).toUpperCase() + text.slice(1));
}

function aboutList({ facts }: About): string {
  if (facts.length === 0) return "";
  const items = facts.map(([name, value]) =>
    `<dt>${escaped(name)}</dt><dd><bdi>${escaped(value)}</bdi></dd>`
  );
  return `<h2>How it was run</h2>\n<dl class="about">${items.join("\n")}</dl>`;
}

/** "1 234 567": a thin space, which reads the same everywhere. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
