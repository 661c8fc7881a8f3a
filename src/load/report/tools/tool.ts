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
  readonly sendingSeconds: number;
  /** Undefined = a closed loop. */
  readonly ratePerSecond: number | undefined;
  /** 1 = Poisson, Infinity = constant. */
  readonly burstiness: number;
  /** Undefined = an open loop without a limit. */
  readonly concurrency: number | undefined;
  readonly activeMax: number;
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

/** `name:` and its value at one column, as vLLM and SGLang print them. */
export function pair(name: string, value: number | string | undefined, digits = 2): string {
  const text = typeof value === "number" ? value.toFixed(digits) : value ?? "n/a";
  return `${name.padEnd(40)} ${text.padEnd(10)}`.trimEnd();
}

/** A title in the middle of a line of 50. */
export function ruled(title: string, mark: "=" | "-"): string {
  const left = Math.floor((50 - title.length) / 2);
  return `${mark.repeat(left)}${title}${mark.repeat(50 - title.length - left)}`;
}
