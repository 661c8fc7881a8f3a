/**
 * How one load is divided between processes and machines: each knows the whole of it and takes its own
 * part, so that all parts together are the whole, request by request. Pure.
 *
 *   open loop     arrivals take turns: request n is of shard n % N
 *   closed loop   places take turns, and requests the places: request n is of place n % C, place p of
 *                 shard p % N. A shard without a place has no request.
 *
 * @module
 */

/** Which part of a load it is. */
export interface Shard {
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

/** All of it. */
export const WHOLE: Shard = { index: 0, count: 1 };

/** What a shard has of `count` things that are dealt out in turn: the first ones have one more. */
export function shareOf(count: number, { index, count: shards }: Shard): number {
  if (!Number.isFinite(count)) return count;
  return Math.floor(count / shards) + (index < count % shards ? 1 : 0);
}

/** The part that is the `part` of a shard's own. */
export function within(shard: Shard, part: Shard): Shard {
  return { index: shard.index + part.index * shard.count, count: shard.count * part.count };
}

/** Which of the whole's requests are a shard's. */
export interface Part {
  /** How many of the first `total` ones. */
  countOf(total: number): number;
  /** The number, in the whole, of its own request number `own`. */
  numberOf(own: number): number;
}

/** `cycle`: how many take turns: the places of a closed loop, the shards of an open one. */
export function partOf(shard: Shard, cycle: number = shard.count): Part {
  const { index, count } = shard;
  const places = shareOf(cycle, shard);
  return {
    countOf(total) {
      if (places === 0 || !Number.isFinite(total)) return places === 0 ? 0 : total;
      return Math.floor(total / cycle) * places + shareOf(total % cycle, shard);
    },
    numberOf: (own) => Math.floor(own / places) * cycle + (own % places) * count + index,
  };
}

/** The times of a shard's own arrivals, out of those of the whole. */
export function* timesOf(
  whole: Iterator<number, unknown, void>,
  { index, count }: Shard,
): Generator<number, void, void> {
  for (let number = 0;; number++) {
    const { value, done } = whole.next();
    if (done === true) return;
    if (number % count === index) yield value as number;
  }
}
