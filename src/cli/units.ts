/**
 * Values of flags with a unit, and counts and such values for people.
 *
 * @module
 */

import type { ReadValue } from "./flags.ts";
import { EXIT, Failure } from "./terminal.ts";

const MS: Readonly<Record<string, number>> = {
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const BYTES: Readonly<Record<string, number>> = { "": 1, kB: 1e3, MB: 1e6, GB: 1e9 };

/** A span of time, "90s", "30min", "12h", "30d", in milliseconds. */
export const readSpan: ReadValue<number> = (value, name) =>
  readWith(MS, value, name, "a number and s, min, h or d: 30d");

/** A size, "500kB", "100MB", in bytes. */
export const readSize: ReadValue<number> = (value, name) =>
  readWith(BYTES, value, name, "a number of bytes, or of kB, MB or GB: 100MB");

function readWith(
  units: Readonly<Record<string, number>>,
  value: string,
  name: string,
  wanted: string,
): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(value) ?? [];
  const factor = unit !== undefined && Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor !== undefined) return Number(digits) * factor;
  throw new Failure(`${name} must be ${wanted}. It is "${value}"`, EXIT.usage);
}

/** "812 B", "1.2 kB", "34 MB" */
export function sizeText(bytes: number): string {
  const unit = ["GB", "MB", "kB"].find((one) => bytes >= BYTES[one]!);
  if (unit === undefined) return `${bytes} B`;
  const count = bytes / BYTES[unit]!;
  return `${count.toFixed(count < 10 ? 1 : 0)} ${unit}`;
}

/** Microseconds as milliseconds: "0.350 ms", "1234.5 ms". */
export function msText(us: number): string {
  const ms = us / 1000;
  return `${ms.toFixed(ms < 10 ? 3 : 1)} ms`;
}

/** "1 tape", "2 tapes" */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
