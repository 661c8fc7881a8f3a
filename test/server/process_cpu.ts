/**
 * How long another process has had the processor. Linux only.
 *
 * @module
 */

import { readFileSync } from "node:fs";

/** True where the numbers can be read. */
export const CAN_COUNT_CPU: boolean = process.platform === "linux";

/** Linux tells it in hundredths of a second on every machine (USER_HZ). */
const TICK_MS = 10;

/** Milliseconds of processor time that process `pid` has had so far, on all cores. */
export function cpuMsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8");
  // proc_pid_stat(5): fields 14 and 15, counted behind the name, which may hold blanks.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
