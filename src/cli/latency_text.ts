/**
 * What is said of latency profiles: a fitted one as YAML with how well it fits, percentiles, and a
 * picture. Nothing is wider than a terminal of 80 columns, and nothing has a colour.
 *
 * @module
 */

import type { LatencyKey } from "../config/latency.ts";
import { quantile, sorted } from "../lib/sample.ts";
import type { Fit } from "../sources/physics/fit.ts";
import { counted, type FittedNumber } from "../sources/physics/fit_numbers.ts";
import { type Goodness, verdictOf } from "../sources/physics/goodness.ts";

/** Columns that everything fits into. */
const COLUMNS = 78;
/** Columns of the name of a quantity. */
const NAME_COLUMNS = 24;
/** Columns of a number. */
const NUMBER_COLUMNS = 9;
/** Rows of a picture. */
const ROWS = 14;
/** Columns of a picture's longest bar. */
const BAR_COLUMNS = 40;
/** Beyond this ratio of its ends an axis has equal ratios for equal steps. */
const RATIO_MAX = 8;

/** Numbers that no times tell, which the profile they are kept from has as well. */
const LOAD_KEYS = /^(?:batch_|load_factor|step_|prefill_|queue_|collapse_|cache_)/;

/** A number with as many digits as mean something: 0.0213, 4.25, 648, 12345. */
function figure(value: number): string {
  if (!Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toString();
  if (size >= 10) return value.toFixed(1);
  return size >= 1 ? value.toFixed(2) : value === 0 ? "0" : value.toPrecision(2);
}

function percentileName(share: number): string {
  return `p${Number((share * 100).toFixed(2))}`;
}

function row(name: string, cells: readonly string[], rest = ""): string {
  const numbers = cells.map((cell) => cell.padStart(NUMBER_COLUMNS)).join("");
  return `${name.padEnd(NAME_COLUMNS)}${numbers}${rest}`.trimEnd();
}

/** `text` in lines that fit, with room for the mark of a comment. */
export function wrapped(text: string, columns: number = COLUMNS - 2): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

/** How well a fit fits, in lines. */
export function goodnessLines(found: readonly Goodness[]): readonly string[] {
  const shares = [
    ...new Set(found.flatMap(({ percentiles }) => percentiles.map(({ share }) => share))),
  ];
  return [
    row("", shares.map(percentileName)),
    ...found.flatMap((one) => {
      const { what, unit, count, noun, percentiles } = one;
      const cells = (key: "data" | "model") =>
        shares.map((share) => {
          const found = percentiles.find((percentile) => percentile.share === share);
          return found === undefined ? "" : figure(found[key]);
        });
      return [
        `${what}, ${unit}: ${counted(count, noun)}`,
        row("  as measured", cells("data")),
        row("  as the profile has it", cells("model")),
        ...wrapped(verdictOf(one), COLUMNS - 4).map((line) => `  ${line}`),
      ];
    }),
  ];
}

/** The lines of a fitted profile's file, without how well it fits; `base`: what is kept is from it. */
export function profileLines({ numbers }: Fit, base: string): readonly string[] {
  const own = numbers.filter(({ key }) => !LOAD_KEYS.test(key));
  const others = numbers.filter(({ key }) => LOAD_KEYS.test(key)).map(({ key }) => key);
  const groups: FittedNumber[][] = [];
  for (const number of own) {
    const group = groups.at(-1);
    const isSame = group?.[0]?.origin === number.origin && group[0].why === number.why;
    if (isSame) group!.push(number);
    else groups.push([number]);
  }
  return [
    ...wrapped(
      `Not fitted, as such times do not tell them, and kept from ${base}: ${others.join(", ")}`,
    ).map(comment),
    `profile: ${base}`,
    ...groups.flatMap((group) => [
      ...wrapped(originText(group[0]!, base)).map(comment),
      ...group.map(({ key, value }) => `${key}: ${value}`),
    ]),
  ];
}

/** A line of a file that only people read. */
export function comment(line: string): string {
  return line === "" ? "#" : `# ${line}`;
}

function originText({ origin, why }: FittedNumber, base: string): string {
  switch (origin) {
    case "fitted":
      return `fitted: ${why}`;
    case "kept":
      return `KEPT from ${base}: ${why}`;
    case "assumed":
      return `ASSUMED: ${why}`;
  }
}

/** A quantity with all values that were drawn of it. */
export interface Quantity {
  readonly name: string;
  readonly values: readonly number[];
}

const SHOWN_SHARES = [0.5, 0.9, 0.95, 0.99, 0.999] as const;

/** Percentiles of quantities, in lines. */
export function percentileLines(quantities: readonly Quantity[]): readonly string[] {
  return [
    row("", SHOWN_SHARES.map(percentileName)),
    ...quantities.map(({ name, values }) => {
      const ascending = sorted(values);
      return row(name, SHOWN_SHARES.map((share) => figure(quantile(ascending, share))));
    }),
  ];
}

/**
 * How often values are where: a row of characters for each part of the axis, its length the share of
 * the values in it. What is above the last row, one value in a thousand, has a row of its own.
 */
export function pictureLines({ name, values }: Quantity): readonly string[] {
  const ascending = sorted(values);
  const count = ascending.length;
  const least = ascending[0]!;
  const most = quantile(ascending, 0.999);
  if (!(most > least)) return [`${name}: all of ${counted(count, "value")} are ${figure(least)}`];
  const isRatio = least > 0 && most / least > RATIO_MAX;
  const edge = (at: number) =>
    isRatio ? least * (most / least) ** (at / ROWS) : least + (most - least) * at / ROWS;
  const edges = Array.from({ length: ROWS + 1 }, (_, at) => edge(at));
  const counts = new Array<number>(ROWS + 1).fill(0);
  for (const value of ascending) {
    const at = edges.findIndex((_, at) => at === ROWS || value < edges[at + 1]!);
    counts[at]!++;
  }
  const longest = Math.max(...counts);
  const axis = isRatio
    ? `each row ${figure((most / least) ** (1 / ROWS))} times as wide as the one before`
    : `each row ${figure((most - least) / ROWS)} wide`;
  return [
    `${name}: ${counted(count, "value")}, ${axis}`,
    ...counts.map((one, at) => {
      const from = figure(edges[at]!).padStart(NUMBER_COLUMNS);
      const to = at === ROWS
        ? "and more".padStart(NUMBER_COLUMNS + 3)
        : ` - ${figure(edges[at + 1]!).padStart(NUMBER_COLUMNS)}`;
      const bar = "#".repeat(Math.round(BAR_COLUMNS * one / longest));
      const share = (100 * one / count).toFixed(1).padStart(5);
      return `${from}${to} |${bar.padEnd(BAR_COLUMNS)} ${share} %`;
    }),
  ];
}

/** A table of profiles: name, and some of its numbers. */
export function tableLines(
  profiles: Readonly<
    Record<string, Readonly<Record<LatencyKey, number>> & { readonly load: string }>
  >,
): readonly string[] {
  const head = ["first ms", "ms/token", "slow", "tokens/s", "load"];
  return [
    row("", head),
    ...Object.entries(profiles).map(([name, profile]) =>
      row(name, [
        figure(profile.first_token_ms),
        figure(profile.prompt_token_ms),
        `${figure(100 * profile.slow_share)} %`,
        figure(profile.tokens_per_s),
        profile.load,
      ])
    ),
  ];
}
