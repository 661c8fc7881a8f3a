/**
 * What pictures of a run are made of: numbers only. A run of a million requests is drawn with a few
 * thousand points; what is largest is always among them, and lines are of all requests.
 *
 * @module
 */

import { seeded } from "../../lib/seeded.ts";
import type { Rows } from "../rows.ts";
import type { Spread } from "../spread.ts";
import type { Picture, PictureMark, PictureSeries } from "./browser/picture.ts";
import type { LoadReport } from "./report.ts";

/** What is drawn of single requests. */
export const DRAWN = ["ttft", "tpot", "e2e"] as const;

/** A figure that each request has. */
export type Drawn = typeof DRAWN[number];

/** Requests that a line needs in each of its intervals. */
const INTERVAL_REQUESTS = 40;
const INTERVALS_MAX = 120;
/** A line through fewer would show less than the dots. */
const INTERVALS_MIN = 4;
/** Moments in which a failure shows: more of them would be one bar. */
const MOMENTS = 120;
/** Of a longer tail the middle would be a line at the bottom. */
const LINEAR_MAX = 12;
/** What is below has this place on a logarithmic axis, which has no 0. */
const LEAST_MS = 0.001;
const BARS = 48;
/** The axis of a distribution begins with this percentile; what is below is in its first bar. */
export const SHORTEST = 1;
/** A bar is no narrower than this share of its time: twice what distributions tell apart. */
const FINEST = 0.002;
/** Times below are not told apart: 10 µs. */
const LOWEST_MS = 0.01;

/**
 * The requests of all rounds, one round behind the other, as columns in the order of being due: of a
 * million, objects would take 300 MB.
 */
export interface Timeline {
  /** When each was due, in seconds after the start of the first round. */
  readonly x: Float64Array;
  /** Milliseconds; NaN = it has no such figure. */
  readonly figures: Readonly<Record<Drawn, Float64Array>>;
  /** 1 = it failed. */
  readonly failed: Uint8Array;
  /** Where rounds begin, in seconds; the first one does at 0. */
  readonly starts: readonly number[];
  readonly seconds: number;
  /** Requests that the run has kept no row of. */
  readonly leftOut: number;
}

/** Puts the rows of rounds behind each other. */
export function timelineOf(rounds: readonly Rows[]): Timeline {
  const count = rounds.reduce((sum, rows) => sum + rows.length, 0);
  const x = new Float64Array(count);
  const failed = new Uint8Array(count);
  const figures = {
    ttft: new Float64Array(count),
    tpot: new Float64Array(count),
    e2e: new Float64Array(count),
  };
  const starts: number[] = [];
  let [offset, at] = [0, 0];
  for (const rows of rounds) {
    if (rows.length === 0) continue;
    const due = (row: number) => rows.get(row, "due");
    const order = Uint32Array.from({ length: rows.length }, (_, row) => row)
      .sort((a, b) => due(a) - due(b));
    const first = due(order[0]!);
    let last = first;
    starts.push(offset);
    for (const row of order) {
      x[at] = offset + (due(row) - first) / 1000;
      failed[at] = rows.outcomeOf(row) === "failed" ? 1 : 0;
      for (const name of DRAWN) figures[name][at] = rows.get(row, name);
      const end = rows.get(row, "end");
      last = Math.max(last, due(row), Number.isNaN(end) ? -Infinity : end);
      at++;
    }
    offset += (last - first) / 1000;
  }
  const leftOut = rounds.reduce((sum, rows) => sum + rows.leftOut, 0);
  return { x, figures, failed, starts, seconds: offset, leftOut };
}

/** A picture over time, and what of it is a sample. */
export interface OverTime {
  readonly picture: Picture;
  readonly shown: number;
  readonly all: number;
}

/**
 * A figure of each request by when it was due: dots, at most some `dotsMax`, with lines of half of
 * them and nine in ten. Undefined = no request has it.
 */
export function overTime(
  id: string,
  timeline: Timeline,
  drawn: Drawn,
  options: { readonly dotsMax: number; readonly limitMs: number | undefined },
): OverTime | undefined {
  const { starts, seconds } = timeline;
  const found = valuesOf(timeline, drawn);
  const { x, y } = found;
  if (x.length === 0) return undefined;
  const intervals = seconds === 0 ? [] : intervalsOf(x.length);
  const yIsLog = isLong(y);
  const dots = sampled(y, intervals, options.dotsMax);
  const series: PictureSeries[] = [{
    label: "a request",
    tone: "grey",
    shape: "dots",
    ...apart(dots.map((at) => ({ x: x[at]!, y: yIsLog ? Math.max(LEAST_MS, y[at]!) : y[at]! }))),
  }];
  if (intervals.length > 0) {
    const line = (share: number) =>
      apart(intervals.map(([from, to]) => ({
        x: (x[from]! + x[to - 1]!) / 2,
        y: quantile(y.subarray(from, to), share),
      })));
    series.push({ label: "half within", tone: "one", shape: "line", ...line(0.5) });
    series.push({ label: "9 in 10 within", tone: "two", shape: "dashes", ...line(0.9) });
  }
  const failed = failures(timeline);
  if (failed.length > 0) {
    const crosses = apart(failed.map((x) => ({ x, y: 0 })));
    series.push({ label: "failed", tone: "bad", shape: "crosses", ...crosses });
  }
  const { limitMs } = options;
  const marks: PictureMark[] = [
    ...starts.slice(1).map((at, i) => ({ axis: "x" as const, at, label: `round ${i + 2}` })),
    ...(limitMs === undefined ? [] : [{ axis: "y" as const, at: limitMs, label: "limit" }]),
  ];
  const picture: Picture = {
    id,
    xLabel: "seconds since the start",
    yLabel: "ms",
    xIsLog: false,
    yIsLog,
    xRange: [0, seconds],
    series,
    marks,
  };
  return { picture, shown: dots.length, all: x.length };
}

/** A line of the table that stands for such pictures. */
export interface Interval {
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly requests: number;
  readonly failed: number;
  /** p50 and the largest; undefined = no request has it. */
  readonly figures: Readonly<Record<Drawn, readonly [p50: number, max: number] | undefined>>;
}

/** The run in at most `count` equal intervals of time; those in which nothing was due are left out. */
export function intervalRows(timeline: Timeline, count: number): readonly Interval[] {
  const { x, figures, failed, seconds } = timeline;
  const rows: Interval[] = [];
  let from = 0;
  for (let at = 0; at < count; at++) {
    const endsAt = at === count - 1 ? Infinity : ((at + 1) * seconds) / count;
    let to = from;
    while (to < x.length && x[to]! < endsAt) to++;
    const figure = (drawn: Drawn) => {
      const values = figures[drawn].subarray(from, to).filter((value) => !Number.isNaN(value));
      return values.length === 0
        ? undefined
        : [quantile(values, 0.5), quantile(values, 1)] as const;
    };
    if (to > from) {
      rows.push({
        fromSeconds: (at * seconds) / count,
        toSeconds: ((at + 1) * seconds) / count,
        requests: to - from,
        failed: failed.subarray(from, to).reduce((sum, one) => sum + one, 0),
        figures: { ttft: figure("ttft"), tpot: figure("tpot"), e2e: figure("e2e") },
      });
    }
    from = to;
  }
  return rows;
}

/** Distributions over each other. */
export interface Spreads {
  readonly label: string;
  readonly spread: Spread;
}

/** A picture of distributions. */
export interface Distribution {
  readonly picture: Picture;
  /** The largest share of one that is shorter than what the axis begins with: the first bar has it. */
  readonly below: number;
}

/** How often which times were measured, in percent of all. Undefined = nothing was. */
export function distribution(
  id: string,
  spreads: readonly Spreads[],
  limitMs: number | undefined,
): Distribution | undefined {
  const some = spreads.filter(({ spread }) => spread.count > 0);
  if (some.length === 0) return undefined;
  // Events of one read have no time between them: a logarithm would show little else.
  const least = (1 - FINEST) * Math.min(...some.map(({ spread }) => spread.percentile(SHORTEST)!));
  const largest = Math.max(...some.map(({ spread }) => spread.percentile(100)!));
  // Distributions have three digits: where all is the same, finer bars would show only these.
  const most = Math.max(largest, 1.02 * least, least + LOWEST_MS);
  const isLog = most > 4 * Math.max(LOWEST_MS, least);
  const low = (spread: Spread) => spread.counts([0, edges[0]!])[0]! / spread.count;
  const edges = isLog ? logEdges(Math.max(LOWEST_MS, least), most) : evenEdges(least, most);
  const shapes = [["one", "steps"], ["two", "steps"]] as const;
  const single = some.length === 1 ? some[0]!.spread : undefined;
  const picture: Picture = {
    id,
    xLabel: "ms",
    yLabel: "%",
    xIsLog: isLog,
    yIsLog: false,
    xRange: [edges[0]!, edges.at(-1)!],
    series: some.map(({ label, spread }, at) => {
      // What is below the first edge is told with the first bar: a logarithm has no 0.
      const counts = spread.counts([0, ...edges.slice(1, -1), Infinity]);
      const [tone, shape] = shapes[at % shapes.length]!;
      const y = counts.map((count) => rounded((100 * count) / spread.count));
      return { label, tone, shape, x: edges, y: [...y, y.at(-1)!] };
    }),
    marks: [
      ...(single === undefined ? [] : [
        { axis: "x" as const, at: single.percentile(50)!, label: "p50" },
        { axis: "x" as const, at: single.percentile(99)!, label: "p99" },
      ]),
      ...(limitMs === undefined || limitMs > most
        ? []
        : [{ axis: "x" as const, at: limitMs, label: "limit" }]),
    ],
  };
  return { picture, below: Math.max(...some.map(({ spread }) => low(spread))) };
}

/** What the caption of a distribution says where its first bar has more than it should. */
export function belowText({ picture, below }: Distribution): string {
  return below <= SHORTEST / 100
    ? ""
    : ` ${(100 * below).toFixed(1)} % are below ${
      Number(picture.xRange![0].toPrecision(3))
    } ms: they are in the first bar.`;
}

/** A figure of several loads by the answers a second that came of them. Undefined = fewer than two. */
export function rateAgainst(
  id: string,
  reports: readonly LoadReport[],
  name: "ttft_ms" | "tpot_ms" | "e2e_ms",
  limitMs: number | undefined,
): Picture | undefined {
  const found = reports.flatMap((report) => {
    const { requests_per_second: x, requests } = report;
    const spread = report[name];
    return spread === null || x === null || requests.completed === 0 ? [] : [{ x, spread }];
  }).sort((a, b) => a.x - b.x);
  if (found.length < 2) return undefined;
  const values = found.flatMap(({ spread }) => [spread.p50, spread.p99]);
  const line = (share: "p50" | "p99") =>
    apart(found.map(({ x, spread }) => ({ x, y: spread[share] })));
  return {
    id,
    xLabel: "answers a second",
    yLabel: "ms",
    xIsLog: found.at(-1)!.x > 30 * Math.max(found[0]!.x, 1e-3),
    yIsLog: isLong(values),
    series: [
      { label: "p50", tone: "one", shape: "points", ...line("p50") },
      { label: "p99", tone: "two", shape: "dashed points", ...line("p99") },
    ],
    marks: limitMs === undefined ? [] : [{ axis: "y", at: limitMs, label: "limit" }],
  };
}

/** Those that have a figure. */
function valuesOf(
  { x, figures }: Timeline,
  drawn: Drawn,
): { readonly x: Float64Array; readonly y: Float64Array } {
  const all = figures[drawn];
  return {
    x: x.filter((_, at) => !Number.isNaN(all[at])),
    y: all.filter((value) => !Number.isNaN(value)),
  };
}

type Range = readonly [from: number, to: number];

/** Equal numbers of requests that follow each other; [] = there are too few for a line. */
function intervalsOf(requests: number): readonly Range[] {
  const count = Math.min(INTERVALS_MAX, Math.floor(requests / INTERVAL_REQUESTS));
  const edge = (at: number) => Math.floor((at * requests) / count);
  return count < INTERVALS_MIN
    ? []
    : Array.from({ length: count }, (_, at) => [edge(at), edge(at + 1)] as const);
}

/** As many as there may be, by chance; the largest of each interval is always among them. */
function sampled(y: Float64Array, intervals: readonly Range[], most: number): readonly number[] {
  if (y.length <= most) return Array.from(y, (_, at) => at);
  const random = seeded(1);
  const kept = new Set(intervals.map(([from, to]) => {
    let largest = from;
    for (let at = from; at < to; at++) if (y[at]! > y[largest]!) largest = at;
    return largest;
  }));
  const share = Math.max(0, most - kept.size) / y.length;
  const chosen: number[] = [];
  for (let at = 0; at < y.length; at++) if (kept.has(at) || random() < share) chosen.push(at);
  return chosen;
}

/** The moments in which requests failed, in seconds. */
function failures({ x, failed, seconds }: Timeline): readonly number[] {
  const cells = new Set<number>();
  const width = seconds / MOMENTS || 1;
  for (let at = 0; at < x.length; at++) if (failed[at] === 1) cells.add(Math.floor(x[at]! / width));
  return [...cells].sort((a, b) => a - b).map((cell) => (cell + 0.5) * width);
}

/** Moved apart where two have the same x, by a millionth: none may be lost. */
function apart(
  values: readonly { readonly x: number; readonly y: number }[],
): Pick<PictureSeries, "x" | "y"> {
  let before = -Infinity;
  const x = values.map((value) => {
    before = Math.max(Math.round(1e6 * value.x) / 1e6, Math.round(1e6 * before + 1) / 1e6);
    return before;
  });
  return { x, y: values.map(({ y }) => rounded(y)) };
}

/** The value that a share of `values` does not exceed. */
function quantile(values: Float64Array, share: number): number {
  return values.toSorted()[Math.ceil(share * values.length) - 1]!;
}

/** True: the largest is so far from the middle that an even scale would show nothing else. */
function isLong(values: ArrayLike<number>): boolean {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted[Math.floor(sorted.length / 2)]!;
  return sorted.at(-1)! > LINEAR_MAX * Math.max(LOWEST_MS, middle);
}

function logEdges(from: number, to: number): readonly number[] {
  const [low, high] = [Math.log(from / 1.1), Math.log(to * 1.001)];
  return Array.from(
    { length: BARS + 1 },
    (_, at) => rounded(Math.exp(low + ((high - low) * at) / BARS)),
  );
}

function evenEdges(from: number, to: number): readonly number[] {
  const reach = (to - from) * 1.001;
  const bars = Math.min(BARS, Math.max(8, Math.floor(reach / (FINEST * to))));
  return Array.from(
    { length: bars + 1 },
    (_, at) => Number((from + (reach * at) / bars).toPrecision(9)),
  );
}

/** Five digits that count: none more can be seen. */
function rounded(value: number): number {
  return Number(value.toPrecision(5));
}
