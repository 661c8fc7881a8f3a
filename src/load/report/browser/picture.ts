/**
 * Pictures as a report hands them to the script in it.
 *
 * @module
 */

/** A colour of the page: they come in an order that the colour-blind can tell apart. */
export type Tone = "one" | "two" | "grey" | "bad";

/** One thing in a picture. */
export interface PictureSeries {
  readonly label: string;
  readonly tone: Tone;
  /** Shapes differ as colours do. `crosses` stand at the bottom: they have no value. */
  readonly shape: "line" | "dashes" | "points" | "dashed points" | "dots" | "steps" | "crosses";
  /** Rising, no two the same. */
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** A line across a picture. */
export interface PictureMark {
  readonly axis: "x" | "y";
  readonly at: number;
  readonly label: string;
}

/** A picture. It is drawn into the element that has `id`. */
export interface Picture {
  readonly id: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xIsLog: boolean;
  readonly yIsLog: boolean;
  /** What the axis shows at least; undefined: what the values need. */
  readonly xRange?: readonly [number, number] | undefined;
  readonly series: readonly PictureSeries[];
  readonly marks: readonly PictureMark[];
}
