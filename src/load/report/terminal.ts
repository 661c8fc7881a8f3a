/**
 * A report as lines for people: what failed, what was measured, how far it is to be believed.
 *
 * @module
 */

import { counted } from "../../lib/counted.ts";
import type { Parts } from "../doubt.ts";
import { remarkLines } from "../remarks.ts";
import { SHARES } from "../spread.ts";
import type { SpreadName } from "../tally.ts";
import type { LoadReport, ReportedSpread } from "./report.ts";

/** Failures that are listed; the rest is counted. */
const ERRORS_SHOWN = 12;

/** How the rows of the table are called. Rows that would say the same twice are left out. */
const ROWS: readonly (readonly [SpreadName, string])[] = [
  ["ttft_ms", "first token, ms"],
  ["first_event_ms", "  first event"],
  ["first_text_ms", "  first text"],
  ["first_reasoning_ms", "  first reasoning"],
  ["itl_ms", "between tokens, ms"],
  ["tpot_ms", "per output token, ms"],
  ["e2e_ms", "whole answer, ms"],
  ["service_ttft_ms", "first token, as sent"],
  ["service_e2e_ms", "whole answer, as sent"],
  ["queue_ms", "waited in the client, ms"],
  ["connect_ms", "connect, ms"],
];

/** The rows that only differ from others where requests had to wait in the client. */
const AS_SENT: ReadonlySet<SpreadName> = new Set(["service_ttft_ms", "service_e2e_ms", "queue_ms"]);
/** Waits in the client below this show in no figure. */
const QUEUE_MS_MIN = 1;

/** All lines. */
export function reportLines(report: LoadReport): readonly string[] {
  return [
    "",
    ...failedLines(report),
    "",
    ...measuredLines(report),
    "",
    ...believeLines(report),
  ];
}

/** What no other tool says: what failed, and how far the figures are to be believed. */
export function judgementLines(report: LoadReport): readonly string[] {
  return [...failedLines(report), ...believeLines(report)];
}

function failedLines(report: LoadReport): readonly string[] {
  const { requests, is_interrupted, saturated_after_s } = report;
  const { sent, completed, failed, left, unfinished, not_sent = 0, errors } = requests;
  const parts = [
    `${completed} of ${sent} requests completed`,
    `${failed} failed`,
    ...(left > 0 ? [`${left} left by the client`] : []),
    ...(unfinished > 0 ? [`${unfinished} unfinished`] : []),
    ...(not_sent > 0 ? [`${not_sent} more were due and never sent`] : []),
  ];
  const listed = errors.slice(0, ERRORS_SHOWN);
  const rest = errors.slice(ERRORS_SHOWN).reduce((sum, { count }) => sum + count, 0);
  return [
    ...(is_interrupted ? ["Interrupted: this is what there was until then."] : []),
    ...(saturated_after_s === null ? [] : [
      `Stopped early, after ${
        shown(saturated_after_s)
      } s: the server was saturated, and its queue grew.`,
    ]),
    `${parts.join(", ")}.`,
    ...listed.map(({ phase, status, text, count }) =>
      `${String(count).padStart(8)}  ${phase}${status === null ? "" : `, status ${status}`}${
        text === "" ? "" : `: ${text}`
      }`
    ),
    ...(rest > 0 ? [`${String(rest).padStart(8)}  others`] : []),
  ];
}

function measuredLines(report: LoadReport): readonly string[] {
  const rows = figureRows(report);
  const heads = ["p50", "p90", "p95", "p99", "p99.9", "max", "mean"];
  const isEmpty = report.requests.completed + report.requests.left === 0;
  return [
    ...(isEmpty ? ["No figures of the server: nothing was completed."] : []),
    ...(rows.length === 0 ? [] : [
      `${"".padEnd(26)}${heads.map((head) => head.padStart(9)).join("")}`,
      ...rows.flatMap(([title, spread]) => rowLines(title, spread)),
      "",
    ]),
    ...rateLines(report),
  ];
}

/** The distributions that are worth a row, with their titles. */
export function figureRows(report: LoadReport): readonly (readonly [string, ReportedSpread])[] {
  const hasWaited = (report.queue_ms?.p99 ?? 0) >= QUEUE_MS_MIN;
  return ROWS.flatMap(([name, title]) => {
    const spread = report[name];
    if (spread === null || (AS_SENT.has(name) && !hasWaited)) return [];
    return isSame(name, spread, report) ? [] : [[title, spread] as const];
  });
}

/** First event and first text are the first token in most streams: they are shown where they differ. */
function isSame(name: SpreadName, { p50, max }: ReportedSpread, { ttft_ms }: LoadReport): boolean {
  if (name !== "first_event_ms" && name !== "first_text_ms") return false;
  return ttft_ms !== null && ttft_ms.p50 === p50 && ttft_ms.max === max;
}

function rowLines(title: string, spread: ReportedSpread): readonly string[] {
  const { p50, p90, p95, p99, p999, max, mean } = spread;
  const rows = [[title, ...[p50, p90, p95, p99, p999, max, mean].map(shown)], ...boundRows(spread)];
  return rows.map(([name = "", ...cells]) =>
    `${name.padEnd(26)}${cells.map((cell) => cell.padStart(9)).join("")}`
  );
}

/** Between which values each percentile lies, where there are rounds: a title, and a cell for each. */
export function boundRows({ ci95 }: ReportedSpread): readonly (readonly string[])[] {
  if (ci95 === undefined) return [];
  return ["at least (95 %)", "at most (95 %)"].map((title, at) => [
    `  ${title}`,
    ...Object.keys(SHARES).map((share) => {
      const bound = ci95[share as keyof typeof SHARES]?.[at];
      return bound === undefined ? "" : shown(bound);
    }),
  ]);
}

/** Rates, goodput and connections, each a line. */
export function rateLines(report: LoadReport): readonly string[] {
  const isEmpty = report.requests.completed + report.requests.left === 0;
  const { seconds, goodput, output_tokens_per_second: tokens, connections, events } = report;
  const rate = (value: number | null, unit: string) =>
    value === null ? [] : [`${shown(value)} ${unit}`];
  const rates = [
    ...rate(report.requests.completed === 0 ? null : report.requests_per_second, "answers/s"),
    ...rate(tokens.told, "tokens/s (the server's count)"),
    ...rate(tokens.own, "tokens/s (own count)"),
    ...rate(events.per_second, "events/s"),
  ];
  const slo = goodput === null
    ? []
    : [`goodput: ${shown(goodput.requests_per_second)} answers/s, ${goodputText(report)}`];
  return [
    ...(rates.length === 0 || isEmpty ? [] : [`${rates.join(", ")}, over ${shown(seconds)} s`]),
    ...slo,
    `${counted(connections.opened, "connection")} opened, ${
      counted(connections.requests_on_kept, "request")
    } on kept ones, ` +
    `${connections.at_once_max} at once at most; ${report.bytes} bytes` +
    (events.per_read === null ? "" : `, ${events.per_read.toFixed(2)} events a read`),
    ...remarkLines(report.requests.remarks),
  ];
}

/** "94.42 % of all requests kept ttft 300 ms": of which requests, and which limits. */
export function goodputText({ goodput, requests, doubt }: LoadReport): string {
  const { share, of_requests, not_judged, slo_ms } = goodput!;
  const apart = [
    ...(not_judged > 0 ? [`, without ${not_judged} that have none of these figures`] : []),
    ...(requests.left > 0 ? [", those of clients that left by the figures they have"] : []),
  ];
  const all = apart.length === 0
    ? "all requests"
    : `${counted(of_requests, "request")}${apart.join("")},`;
  const limits = Object.entries(slo_ms);
  const judged = limits.filter(([name]) => !doubt.unjudged.some((one) => one === name));
  const told = judged.length === 0 ? limits : judged;
  return `${percent(share)} of ${all} kept ` +
    told.map(([name, ms]) => `${name} ${ms} ms`).join(", ");
}

/** The verdict, then the reasons, and last the facts. */
export function believeLines(report: LoadReport): readonly string[] {
  const { doubt, rounds, requests, processes } = report;
  const { late_ms, cpu_share, connect_ms_min, limit, reasons, notes = [], is_doubtful } = doubt;
  const { ttft_parts_ms } = doubt;
  const late = late_ms.itl ?? late_ms.ttft;
  const facts = [
    ...(late === null
      ? []
      : [`times too long by at most ${shown(late.p50)} ms (p50), ${shown(late.p99)} ms (p99)`]),
    `${percent(cpu_share)} of a core used${
      processes > 1 ? `, by the busiest of ${processes} processes` : ""
    }`,
    ...(connect_ms_min === null ? [] : [`the fastest connect took ${shown(connect_ms_min)} ms`]),
    ...(rounds > 1 ? [`${rounds} rounds`] : []),
  ];
  const limits = {
    client: "the client",
    server: "the server",
    network_or_server: "the network or the server",
    none: "neither: all that was asked was sent, and answered at that rate",
  };
  const hasFigures = requests.completed + requests.left > 0;
  return [
    is_doubtful
      ? "How far to believe it: with doubt."
      : `How far to believe it: nothing speaks against it${notes.length > 0 ? ", but:" : "."}`,
    ...[...reasons, ...notes].map((reason) => `  ${reason}`),
    ...(ttft_parts_ms === null ? [] : [`  ${partsText(ttft_parts_ms)}`]),
    `  ${facts.join(", ")}${hasFigures ? `; the limit was ${limits[limit]}` : ""}`,
  ];
}

/** Who had which part of half of the times to the first token. */
function partsText({ client, network, server }: Parts): string {
  return `of ${
    shown(client + network + server)
  } ms to the first token (p50) the client had at most ` +
    `${shown(client)} ms, the way there and back at most ${shown(network)} ms, the server the rest`;
}

/** Three digits that count. */
export function shown(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** What is nearly all of it must not look like all of it. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0.9 && share < 1 ? 2 : 0)} %`;
}
