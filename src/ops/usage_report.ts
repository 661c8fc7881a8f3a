/**
 * Usage for whoever asks for it: what is asked, and the sums as JSON, as CSV and as a table.
 *
 * @module
 */

import {
  dayOf,
  monthOf,
  periodEndMs,
  USAGE_BY,
  type UsageBy,
  type UsageQuery,
  type UsageSum,
} from "../core/store.ts";

const DAY_MS = 86_400_000;
const NANOS = 1e9;
/** "2026-11-28", in UTC; a whole month; so many days with this one. */
const DATE = /^\d{4}-\d\d-\d\d$/;
const MONTH = /^\d{4}-\d\d$/;
const DAYS = /^([1-9]\d{0,4})d$/;

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
  const sinceDay = since === undefined ? monthOf(nowMs) : daysNamed(since, nowMs)?.first;
  if (sinceDay === undefined) return { word: "since", must: MUST_DATE };
  const untilDay = until === undefined ? dayOf(nowMs) : daysNamed(until, nowMs)?.last;
  if (untilDay === undefined) return { word: "until", must: MUST_DATE };
  if (untilDay < sinceDay) {
    return { word: "until", must: `no day before ${dayName(sinceDay)}, the first one` };
  }
  return { by: told, sinceDay, untilDay, key };
}

const MUST_DATE = "a day such as 2026-11-28, a month such as 2026-11, today, yesterday, " +
  "or so many days: 7d";

/** Days, counted as in `dayOf`. */
interface Days {
  readonly first: number;
  readonly last: number;
}

function daysNamed(text: string, nowMs: number): Days | undefined {
  const today = dayOf(nowMs);
  if (text === "today") return { first: today, last: today };
  if (text === "yesterday") return { first: today - 1, last: today - 1 };
  const count = DAYS.exec(text)?.[1];
  if (count !== undefined) return { first: today - Number(count) + 1, last: today };
  if (DATE.test(text)) {
    const day = dayNamed(text);
    return day === undefined ? undefined : { first: day, last: day };
  }
  const first = MONTH.test(text) ? dayNamed(`${text}-01`) : undefined;
  return first === undefined
    ? undefined
    : { first, last: dayOf(periodEndMs("month", first * DAY_MS)) - 1 };
}

function dayNamed(text: string): number | undefined {
  const atMs = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(atMs) || dayName(dayOf(atMs)) !== text ? undefined : dayOf(atMs);
}

/** "2026-11-28". */
export function dayName(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** A sum as JSON has it. `cost_usd`: null = nobody knows what any of it costs. */
export type ReportLine = Readonly<Record<string, string | number | null>>;

/** `sums`, each with what it is told apart by. */
export function reportLines(sums: readonly UsageSum[], { by }: UsageQuery): readonly ReportLine[] {
  return sums.map((sum) => ({
    ...(by.includes("day") ? { day: dayName(sum.day!) } : {}),
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

/** A longer name of a model is cut off in the table, in columns of a terminal. */
const NAME_WIDTH_MAX = 40;

/** `lines` as a table, with its heads, and the sum of several lines; none = there are no lines. */
export function reportTable(lines: readonly ReportLine[]): readonly string[] {
  const [first] = lines;
  if (first === undefined) return [];
  const names = Object.keys(first).filter((name) =>
    !OPTIONAL.has(name) || lines.some((line) => line[name] !== 0)
  );
  const isText = names.map((name) => typeof first[name] === "string");
  const told = lines.length === 1 ? lines : [...lines, totalOf(lines)];
  const rows = [names, ...told.map((line) => names.map((name) => shown(name, line[name]!)))];
  const widths = names.map((_, i) => Math.max(...rows.map((row) => Bun.stringWidth(row[i]!))));
  return rows.map((row) =>
    row.map((cell, i) => {
      const pad = " ".repeat(widths[i]! - Bun.stringWidth(cell));
      return isText[i] ? cell + pad : pad + cell;
    }).join("  ").trimEnd()
  );
}

/** All lines as one: "total" stands where the first text does. What nobody knows is no part of it. */
function totalOf(lines: readonly ReportLine[]): ReportLine {
  const [first] = lines;
  const total = Object.keys(first!).map((name, at) => {
    if (typeof first![name] === "string") return [name, at === 0 ? "total" : " "] as const;
    const known = lines.map((line) => line[name]).filter((value) => typeof value === "number");
    return [
      name,
      known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0),
    ] as const;
  });
  return Object.fromEntries(total);
}

const CHARACTERS = new Intl.Segmenter();

function shown(name: string, value: string | number | null): string {
  if (value === null) return "unknown";
  if (typeof value === "number") return name === "cost_usd" ? value.toFixed(6) : String(value);
  const text = value === "" ? "-" : value.replace(/\p{Cc}+/gu, " ");
  if (Bun.stringWidth(text) <= NAME_WIDTH_MAX) return text;
  let cut = "";
  for (const { segment } of CHARACTERS.segment(text)) {
    if (Bun.stringWidth(cut + segment) >= NAME_WIDTH_MAX) break;
    cut += segment;
  }
  return `${cut}…`;
}
