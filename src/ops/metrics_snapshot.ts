/**
 * The state of all metrics as plain data: it can be sent to another process as JSON, and those of
 * several processes can be merged into one.
 *
 * @module
 */

/** Label names and values of one series. */
export type Labels = Readonly<Record<string, string>>;

/** How the values of several processes become one. */
export type MergeRule = "sum" | "max" | "min";

/** One number. */
export interface NumberSeries {
  readonly labels: Labels;
  readonly value: number;
}

/** How often values came up, in cumulative buckets. */
export interface HistogramSeries {
  readonly labels: Labels;
  /** Upper ends of the buckets, rising; the last one, +Inf, is not listed: it holds `count`. */
  readonly bounds: readonly number[];
  /** `counts[i]` values were at most `bounds[i]`. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sum: number;
}

/** One metric with all its series. */
export type Family =
  | {
    readonly kind: "counter";
    readonly name: string;
    readonly help: string;
    readonly series: readonly NumberSeries[];
  }
  | {
    readonly kind: "gauge";
    readonly name: string;
    readonly help: string;
    readonly merge: MergeRule;
    readonly series: readonly NumberSeries[];
  }
  | {
    readonly kind: "histogram";
    readonly name: string;
    readonly help: string;
    readonly series: readonly HistogramSeries[];
  };

/** Everything one process, or one weir, has counted. */
export type MetricsSnapshot = readonly Family[];

/** What several processes have counted, as if they were one. */
export function mergeSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const merged = new Map<string, Family>();
  for (const snapshot of snapshots) {
    for (const family of snapshot) {
      const known = merged.get(family.name);
      merged.set(family.name, known === undefined ? family : mergeFamilies(known, family));
    }
  }
  return [...merged.values()];
}

/**
 * What of `snapshot` must not be forgotten when its process has died: counters and histograms. A
 * supervisor merges it into what it gathers from the living, so that no counter ever falls.
 */
export function countersOf(snapshot: MetricsSnapshot): MetricsSnapshot {
  return snapshot.filter(({ kind }) => kind !== "gauge");
}

/** Two versions of weir side by side may disagree about a metric: then the first one is right. */
function mergeFamilies(one: Family, other: Family): Family {
  if (one.kind === "histogram" && other.kind === "histogram") {
    return { ...one, series: mergeSeries(one.series, other.series, addHistograms) };
  }
  if (one.kind === "counter" && other.kind === "counter") {
    return { ...one, series: mergeSeries(one.series, other.series, byRule("sum")) };
  }
  if (one.kind === "gauge" && other.kind === "gauge") {
    return { ...one, series: mergeSeries(one.series, other.series, byRule(one.merge)) };
  }
  return one;
}

function mergeSeries<Series extends { readonly labels: Labels }>(
  one: readonly Series[],
  other: readonly Series[],
  join: (a: Series, b: Series) => Series,
): readonly Series[] {
  const merged = new Map(one.map((series) => [keyOf(series.labels), series]));
  for (const series of other) {
    const key = keyOf(series.labels);
    const known = merged.get(key);
    merged.set(key, known === undefined ? series : join(known, series));
  }
  return [...merged.values()];
}

/** The order in which labels were named makes no difference. */
function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const RULES: Readonly<Record<MergeRule, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  max: Math.max,
  min: Math.min,
};

function byRule(rule: MergeRule): (a: NumberSeries, b: NumberSeries) => NumberSeries {
  return (a, b) => ({ labels: a.labels, value: RULES[rule](a.value, b.value) });
}

/** Buckets are cumulative, so those that both have stay right when others are left out. */
function addHistograms(a: HistogramSeries, b: HistogramSeries): HistogramSeries {
  const shared = a.bounds.filter((bound) => b.bounds.includes(bound));
  const countOf = (series: HistogramSeries, bound: number) =>
    series.counts[series.bounds.indexOf(bound)]!;
  return {
    labels: a.labels,
    bounds: shared,
    counts: shared.map((bound) => countOf(a, bound) + countOf(b, bound)),
    count: a.count + b.count,
    sum: a.sum + b.sum,
  };
}
