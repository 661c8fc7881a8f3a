/**
 * Metrics in Prometheus' text format, version 0.0.4.
 *
 * @module
 */

import type { Family, HistogramSeries, Labels, MetricsSnapshot } from "./metrics_snapshot.ts";

/** The headers of that text. */
export const METRICS_HEADERS = {
  "content-type": "text/plain; version=0.0.4; charset=utf-8",
  "cache-control": "no-store",
} as const;

/** `snapshot` as text: help, type and series of one metric after the other. */
export function metricsText(snapshot: MetricsSnapshot): string {
  let text = "";
  for (const family of snapshot) {
    text += `# HELP ${family.name} ${escapeHelp(family.help)}\n`;
    text += `# TYPE ${family.name} ${family.kind}\n`;
    text += seriesText(family);
  }
  return text;
}

function seriesText(family: Family): string {
  if (family.kind === "histogram") {
    return family.series.map((series) => histogramText(family.name, series)).join("");
  }
  return family.series.map(({ labels, value }) => line(family.name, labels, value)).join("");
}

function histogramText(name: string, series: HistogramSeries): string {
  const { labels, bounds, counts, count, sum } = series;
  let text = "";
  for (const [i, bound] of bounds.entries()) {
    text += line(`${name}_bucket`, { ...labels, le: String(bound) }, counts[i]!);
  }
  text += line(`${name}_bucket`, { ...labels, le: "+Inf" }, count);
  return text + line(`${name}_sum`, labels, sum) + line(`${name}_count`, labels, count);
}

function line(name: string, labels: Labels, value: number): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${value}\n`;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
