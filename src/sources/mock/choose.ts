/**
 * Choices that are the same for the same seed.
 *
 * @module
 */

/** One of `count` possibilities: 0 ≤ n < count. `count` is 1 at least. */
export type Choose = (count: number) => number;

/** Always the first: the plainest. */
export const FIRST: Choose = () => 0;

/** Choices by chance that `seed` decides (Mulberry32). */
export function chooser(seed: number): Choose {
  let state = seed | 0;
  return (count) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor(((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32 * count);
  };
}

/** A number that `text` decides (FNV-1a): 0 to 2³² − 1. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
