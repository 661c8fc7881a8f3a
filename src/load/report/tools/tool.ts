/**
 * What a tool's report is made of, and how its lines look.
 *
 * @module
 */

import type { Gathered, GatheredRequest } from "../../metrics/gathered.ts";
import type { Slo } from "../../slo.ts";

/** A run, as reports need it. */
export interface ToolRun {
  readonly gathered: Gathered;
  readonly model: string;
  readonly url: string;
  /** From the first request to the end of the last. */
  readonly seconds: number;
  /** Undefined = a closed loop. */
  readonly ratePerSecond: number | undefined;
  /** 1 = Poisson, Infinity = constant. */
  readonly burstiness: number;
  /** Undefined = an open loop without a limit. */
  readonly concurrency: number | undefined;
  readonly slo: Slo | undefined;
  readonly startedAt: Date;
  readonly isInterrupted: boolean;
}

/** JSON in the tool's own form. */
export type ToolJson = Readonly<Record<string, unknown>>;

/** A report: what the tool writes, and what it prints. */
export interface ToolReport {
  readonly json: ToolJson;
  readonly lines: readonly string[];
}

/** The requests that the tool counts as successes. */
export function successes({ gathered }: ToolRun): readonly GatheredRequest[] {
  return gathered.requests.filter(({ isSuccess }) => isSuccess);
}

/** The sum of what is there; 0 of nothing is a true sum. */
export function sumOf(values: readonly (number | undefined)[]): number {
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

/**
 * The most events that one second had, the seconds counted from the first request that was a success,
 * and each event that the tool has counted taken for a token: vLLM's and SGLang's "peak".
 */
export function peakOutput(good: readonly GatheredRequest[]): number {
  const firstMs = firstSentMs(good);
  const seconds = new Map<number, number>();
  for (const { sentMs, ttftMs, itlMs = [] } of good) {
    if (ttftMs === undefined) continue;
    let atMs = sentMs + ttftMs - firstMs;
    for (const gapMs of [0, ...itlMs]) {
      atMs += gapMs;
      const second = Math.floor(atMs / 1000);
      seconds.set(second, (seconds.get(second) ?? 0) + 1);
    }
  }
  return seconds.values().reduce((most, count) => Math.max(most, count), 0);
}

/** When the first of them was sent; Infinity = there is none. */
export function firstSentMs(requests: readonly GatheredRequest[]): number {
  return requests.reduce((least, { sentMs }) => Math.min(least, sentMs), Infinity);
}

/** `name:` and its value at one column, as vLLM and SGLang print them; a rate over no time is none. */
export function pair(name: string, value: number | string | undefined, digits = 2): string {
  const isNone = value === undefined || (typeof value === "number" && !Number.isFinite(value));
  const text = isNone ? "n/a" : typeof value === "number" ? value.toFixed(digits) : value;
  return `${name.padEnd(40)} ${text.padEnd(10)}`.trimEnd();
}

/** A title in the middle of a line of 50. */
export function ruled(title: string, mark: "=" | "-"): string {
  const left = Math.floor((50 - title.length) / 2);
  return `${mark.repeat(left)}${title}${mark.repeat(50 - title.length - left)}`;
}
