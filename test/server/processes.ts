/**
 * What the kernel knows of processes: children, and whether one is still there.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";

/** The running children of process `pid`, oldest first. */
export function childrenOf(pid: number): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((child) => {
      const stat = statOf(child);
      return stat !== undefined && stat.parent === pid && stat.state !== "Z";
    }).sort((a, b) => a - b);
}

/** Is process `pid` there, and not only its entry? */
export function isRunning(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.state !== "Z";
}

/** proc_pid_stat(5): the name stands in brackets and may hold blanks. */
function statOf(pid: number): { readonly state: string; readonly parent: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: state!, parent: Number(parent) };
  } catch {
    return undefined; // it has just ended
  }
}
