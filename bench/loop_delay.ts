/**
 * How late weir's event loop was, by its own metric: what tells an event that had to wait from one
 * that was held back.
 *
 * @module
 */

const METRIC = "weir_event_loop_delay_seconds_bucket";

/** What the metric has counted: the upper edge of each bucket in seconds, and how many are below. */
export type LoopDelays = readonly (readonly [edgeS: number, below: number])[];

/** Reads it. Empty when the server has no such metric: a peer. */
export async function readLoopDelays(origin: string): Promise<LoopDelays> {
  try {
    const response = await fetch(`${origin}/metrics`, { keepalive: false });
    return loopDelays(await response.text());
  } catch {
    return []; // a server that does not know the path may do anything
  }
}

/** The buckets in a text of metrics. */
export function loopDelays(text: string): LoopDelays {
  return text.split("\n").filter((line) => line.startsWith(METRIC)).map((line) => {
    const edge = /le="([^"]+)"/.exec(line)?.[1] ?? "+Inf";
    return [edge === "+Inf" ? Infinity : Number(edge), Number(line.slice(line.lastIndexOf(" ")))];
  });
}

/**
 * The most that the loop was late between two readings, in milliseconds, rounded up to the edge of
 * a bucket. Undefined when nothing was counted.
 */
export function latestMs(before: LoopDelays, after: LoopDelays): number | undefined {
  const counted = (i: number) => after[i]![1] - (before[i]?.[1] ?? 0);
  const all = after.length === 0 ? 0 : counted(after.length - 1);
  if (all === 0) return undefined;
  return 1000 * after[after.findIndex((_, i) => counted(i) === all)]![0];
}
