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
/** Moments in which a failure shows: more of them would be one bar. */
const MOMENTS = 120;
/** Of a longer tail the middle would be a line at the bottom. */
const LINEAR_MAX = 12;
const BARS = 48;
/** The axis of a distribution begins with this percentile; what is below is in its first bar. */
export const SHORTEST = 1;
/** A bar is no narrower than this share of its time: twice what distributions tell apart. */
const FINEST = 0.002;
/** Times below are not told apart: 10 µs. */
const LOWEST_MS = 0.01;

/** One request, in its place in time. */
interface Point {
  /** Seconds after the start of the first round. */
  readonly x: number;
  readonly row: number;
  readonly rows: Rows;
}

/** The requests of all rounds, one round behind the other. */
export interface Timeline {
  readonly points: readonly Point[];
  /** Where rounds begin, in seconds; the first one does at 0. */
  readonly starts: readonly number[];
  readonly seconds: number;
  /** Requests that the run has kept no row of. */
  readonly leftOut: number;
}

/** Puts the rows of rounds behind each other. */
export function timelineOf(rounds: readonly Rows[]): Timeline {
  const points: Point[] = [];
  const starts: number[] = [];
  let offset = 0;
  for (const rows of rounds) {
    let [first, last] = [Infinity, 0];
    for (let row = 0; row < rows.length; row++) {
      first = Math.min(first, rows.get(row, "due"));
      const end = rows.get(row, "end");
      last = Math.max(last, Number.isNaN(end) ? rows.get(row, "due") : end);
    }
    if (first === Infinity) continue;
    starts.push(offset);
    for (let row = 0; row < rows.length; row++) {
      points.push({ x: offset + (rows.get(row, "due") - first) / 1000, row, rows });
    }
    offset += (last - first) / 1000;
  }
  points.sort((a, b) => a.x - b.x);
  const leftOut = rounds.reduce((sum, rows) => sum + rows.leftOut, 0);
  return { points, starts, seconds: offset, leftOut };
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
  const { points, starts, seconds } = timeline;
  const found = points.filter(({ row, rows }) => !Number.isNaN(rows.get(row, drawn)))
    .map(({ x, row, rows }) => ({ x, y: Math.max(0, rows.get(row, drawn)) }));
  if (found.length === 0) return undefined;
  const intervals = intervalsOf(found, seconds);
  const dots = sampled(found, intervals, options.dotsMax);
  const series: PictureSeries[] = [
    { label: "a request", tone: "grey", shape: "dots", ...apart(dots) },
  ];
  if (intervals.length > 1) {
    const middle = (values: readonly { readonly x: number }[]) =>
      (values[0]!.x + values.at(-1)!.x) / 2;
    const line = (share: number) =>
      apart(intervals.map((one) => ({ x: middle(one), y: quantile(one, share) })));
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
    yIsLog: isLong(found.map(({ y }) => y)),
    xRange: [0, seconds],
    series,
    marks,
  };
  return { picture, shown: dots.length, all: found.length };
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
  const { points, seconds } = timeline;
  const width = seconds / count || 1;
  return Array.from({ length: count }, (_, at) => {
    const isLast = at === count - 1;
    const within = points.filter(({ x }) => x >= at * width && (isLast || x < (at + 1) * width));
    const figure = (drawn: Drawn) => {
      const values = within.map(({ row, rows }) => rows.get(row, drawn))
        .filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
      return values.length === 0
        ? undefined
        : [values[Math.ceil(values.length / 2) - 1]!, values.at(-1)!] as const;
    };
    return {
      fromSeconds: at * width,
      toSeconds: (at + 1) * width,
      requests: within.length,
      failed: within.filter(({ row, rows }) => rows.outcomeOf(row) === "failed").length,
      figures: { ttft: figure("ttft"), tpot: figure("tpot"), e2e: figure("e2e") },
    };
  }).filter(({ requests }) => requests > 0);
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

type Values = readonly { readonly x: number; readonly y: number }[];

/** Equal numbers of requests that follow each other; [] = there are too few for a line. */
function intervalsOf(found: Values, seconds: number): readonly Values[] {
  const count = Math.min(INTERVALS_MAX, Math.floor(found.length / INTERVAL_REQUESTS));
  if (count < 2 || seconds === 0) return [];
  return Array.from(
    { length: count },
    (_, at) =>
      found.slice(
        Math.floor((at * found.length) / count),
        Math.floor(((at + 1) * found.length) / count),
      ),
  );
}

/** As many as there may be, by chance; the largest of each interval is always among them. */
function sampled(found: Values, intervals: readonly Values[], most: number): Values {
  if (found.length <= most) return found;
  const random = seeded(1);
  const kept = new Set(
    intervals.map((one) => one.reduce((largest, point) => point.y > largest.y ? point : largest)),
  );
  const share = Math.max(0, most - kept.size) / found.length;
  return found.filter((point) => kept.has(point) || random() < share);
}

/** The moments in which requests failed, in seconds. */
function failures({ points, seconds }: Timeline): readonly number[] {
  const cells = new Set<number>();
  const width = seconds / MOMENTS || 1;
  for (const { x, row, rows } of points) {
    if (rows.outcomeOf(row) === "failed") cells.add(Math.floor(x / width));
  }
  return [...cells].sort((a, b) => a - b).map((cell) => (cell + 0.5) * width);
}

/** Moved apart where two have the same x, by a millionth: none may be lost. */
function apart(values: Values): Pick<PictureSeries, "x" | "y"> {
  let before = -Infinity;
  const x = values.map((value) => {
    before = Math.max(Math.round(1e6 * value.x) / 1e6, Math.round(1e6 * before + 1) / 1e6);
    return before;
  });
  return { x, y: values.map(({ y }) => rounded(y)) };
}

function quantile(values: Values, share: number): number {
  const sorted = Float64Array.from(values, ({ y }) => y).sort();
  return sorted[Math.ceil(share * sorted.length) - 1]!;
}

/** True: the largest is so far from the middle that an even scale would show nothing else. */
function isLong(values: readonly number[]): boolean {
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
