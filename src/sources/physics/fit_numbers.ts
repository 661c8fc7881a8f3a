/**
 * The numbers of a fitted profile on their way: where each is from, and what is needed for it.
 *
 * @module
 */

import type { LatencyKey } from "../../config/latency.ts";

/** Fewer requests tell no median. */
export const MEDIAN_MIN = 5;
/** Fewer requests tell no spread. */
export const SPREAD_MIN = 20;
/** More requests are not looked at: every n-th is. */
export const REQUESTS_MAX = 10_000;

/** Where a number of the profile is from. */
export type Origin =
  /** The times tell it. */
  | "fitted"
  /** The times do not tell it: it is that of the profile which others are kept from. */
  | "kept"
  /** The times do not tell it, and the one that would be kept does not go with them. */
  | "assumed";

/** A number of the profile. */
export interface FittedNumber {
  readonly key: LatencyKey | "load";
  readonly value: number | string;
  readonly origin: Origin;
  /** Of how many what, or why it was not fitted. */
  readonly why: string;
}

/** Where numbers go. */
export interface Said {
  put(origin: Origin, why: string, values: Partial<Record<LatencyKey, number>>): void;
  keep(why: string, ...keys: readonly LatencyKey[]): void;
  note(text: string): void;
}

/** Every n-th of `all`, so that there are at most `countMax`. */
export function thinned<T>(all: readonly T[], countMax: number): readonly T[] {
  const step = Math.ceil(all.length / countMax);
  return step <= 1 ? all : all.filter((_, at) => at % step === 0);
}

/** "1 gap", "20 gaps". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
