/**
 * The few statistics that an audit needs.
 *
 * @module
 */

/** The value that a `share` (0 to 1) of `values` does not exceed; NaN when there are none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? sorted[0] ??
    NaN;
}

/** The middle one of `values`; NaN when there are none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** A line through points by least squares. */
export interface Line {
  readonly slope: number;
  /** Standard error of `slope`. */
  readonly error: number;
}

/** The line through `points`; undefined for fewer than three. */
export function fitLine(points: readonly (readonly [x: number, y: number])[]): Line | undefined {
  const count = points.length;
  if (count < 3) return undefined;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / count;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / count;
  let xx = 0;
  let xy = 0;
  for (const [x, y] of points) {
    xx += (x - meanX) ** 2;
    xy += (x - meanX) * (y - meanY);
  }
  if (xx === 0) return undefined;
  const slope = xy / xx;
  const rest = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, error: Math.sqrt(rest / (count - 2) / xx) };
}

/** Milliseconds as reports write them: "0.13 ms", "1 204 ms". */
export function ms(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const digits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0;
  return `${value.toFixed(digits).replace(/\B(?=(\d{3})+$)/g, digits === 0 ? " " : "")} ms`;
}

/** Bytes as reports write them: "512 B", "4.0 KiB", "64.0 MiB". */
export function bytesText(value: number): string {
  if (value < 1024) return `${value} B`;
  if (value < 1024 ** 2) return `${(value / 1024).toFixed(1)} KiB`;
  return `${(value / 1024 ** 2).toFixed(1)} MiB`;
}
