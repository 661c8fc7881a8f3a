/**
 * How many requests of an open loop may be under way at once.
 *
 * @module
 */

import { connectionsMax } from "./process_facts.ts";

/** Most requests at once, unless it is said. */
export const PLACES_MAX = 20_000;

/**
 * Most requests at once of an open loop that `processes` send: where it is not said, no more than they
 * have descriptors for.
 */
export function placesOf(
  { maxConcurrency }: { readonly maxConcurrency: number | undefined },
  processes: number,
): number {
  return maxConcurrency ?? Math.min(PLACES_MAX, processes * connectionsMax(false));
}
