/**
 * Usage for whoever asks for it: what is asked, and the sums as JSON, as CSV and as a table.
 *
 * @module
 */

import {
  dayOf,
  monthOf,
  USAGE_BY,
  type UsageBy,
  type UsageQuery,
  type UsageSum,
} from "../core/store.ts";

const DAY_MS = 86_400_000;
const NANOS = 1e9;
/** "2026-11-28", in UTC. */
const DATE = /^\d{4}-\d\d-\d\d$/;

/** What may be said of a report; undefined = it is not. */
export interface ReportWords {
  readonly by: string | undefined;
  readonly since: string | undefined;
  readonly until: string | undefined;
  readonly key: string | undefined;
}

/** What is wrong with one of them. */
export interface ReportFault {
  readonly word: keyof ReportWords;
  /** "must be …" goes on with it. */
  readonly must: string;
}

/** What `words` ask for: of this month by key, unless they say something else. */
export function readReport(words: ReportWords, nowMs: number): UsageQuery | ReportFault {
  const { by = "key", since, until, key } = words;
  const told = by.split(",").map((one) => one.trim()).filter((one) => one !== "");
  if (!told.every((one): one is UsageBy => (USAGE_BY as readonly string[]).includes(one))) {
    return { word: "by", must: `some of ${USAGE_BY.join(", ")}, with commas between them` };
  }
  const sinceDay = since === undefined ? monthOf(nowMs) : dayNamed(since);
  if (sinceDay === undefined) return { word: "since", must: MUST_DATE };
  const untilDay = until === undefined ? dayOf(nowMs) : dayNamed(until);
  if (untilDay === undefined) return { word: "until", must: MUST_DATE };
  return { by: told, sinceDay, untilDay, key };
}

const MUST_DATE = "a date such as 2026-11-28";

function dayNamed(text: string): number | undefined {
  const atMs = DATE.test(text) ? Date.parse(`${text}T00:00:00Z`) : NaN;
  return Number.isNaN(atMs) || nameOf(dayOf(atMs)) !== text ? undefined : dayOf(atMs);
}

function nameOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** A sum as JSON has it. `cost_usd`: null = nobody knows what any of it costs. */
export type ReportLine = Readonly<Record<string, string | number | null>>;

/** `sums`, each with what it is told apart by. */
export function reportLines(sums: readonly UsageSum[], { by }: UsageQuery): readonly ReportLine[] {
  return sums.map((sum) => ({
    ...(by.includes("day") ? { day: nameOf(sum.day!) } : {}),
    ...(by.includes("key") ? { key: sum.key! } : {}),
    ...(by.includes("model") ? { model: sum.model! } : {}),
    requests: sum.requests,
    estimated: sum.estimated,
    tokens_in: sum.promptTokens,
    tokens_cached: sum.cachedTokens,
    tokens_out: sum.completionTokens,
    tokens_reasoning: sum.reasoningTokens,
    unknown_tokens: sum.unknownTokens,
    cost_usd: sum.requests === sum.unknownCosts ? null : sum.costNanos / NANOS,
    unknown_costs: sum.unknownCosts,
  }));
}

/** `lines` as CSV (RFC 4180), with their names in the first one; "" = there are none. */
export function reportCsv(lines: readonly ReportLine[]): string {
  const [first] = lines;
  if (first === undefined) return "";
  const rows = [Object.keys(first), ...lines.map((line) => Object.values(line).map(cellOf))];
  return rows.map((row) => `${row.join(",")}\r\n`).join("");
}

/** A client may name a model as it likes: no spreadsheet is to take the name for a formula. */
function cellOf(value: string | number | null): string {
  if (typeof value === "number") return String(value);
  const text = (value ?? "unknown").replace(/^(?=[=+\-@\t\r])/, "'");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Columns of the table for people: what there is none of is left out. */
const OPTIONAL: ReadonlySet<string> = new Set([
  "estimated",
  "tokens_cached",
  "tokens_reasoning",
  "unknown_tokens",
  "unknown_costs",
]);

/** `lines` as a table, its heads with it; none = there are no lines. */
export function reportTable(lines: readonly ReportLine[]): readonly string[] {
  const names = Object.keys(lines[0] ?? {}).filter((name) =>
    !OPTIONAL.has(name) || lines.some((line) => line[name] !== 0)
  );
  if (names.length === 0) return [];
  const rows = [names, ...lines.map((line) => names.map((name) => shown(name, line[name]!)))];
  const widths = names.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const isText = names.map((name) => typeof lines[0]![name] === "string");
  return rows.map((row) =>
    row.map((cell, i) => isText[i] ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))
      .join("  ").trimEnd()
  );
}

function shown(name: string, value: string | number | null): string {
  if (value === null) return "unknown";
  if (typeof value === "number") return name === "cost_usd" ? value.toFixed(6) : String(value);
  return value === "" ? "-" : value.replace(/\p{Cc}+/gu, " ");
}
