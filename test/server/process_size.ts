/**
 * How much of the system a process holds: memory and open files. Linux only.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";

/** True where the numbers can be read. */
export const CAN_MEASURE: boolean = process.platform === "linux";

/** What a process holds. */
export interface ProcessSize {
  readonly residentBytes: number;
  /** Open files and sockets. */
  readonly fdCount: number;
}

/** Looks at the process `pid`. */
export function processSize(pid: number): ProcessSize {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))!;
  return {
    residentBytes: Number(kilobytes) * 1024,
    fdCount: readdirSync(`/proc/${pid}/fd`).length,
  };
}
