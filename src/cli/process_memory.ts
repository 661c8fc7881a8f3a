/**
 * The memory of another process on this machine, as Linux tells it.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";

/** Resident bytes of `pid` and of all that it has started; undefined where they cannot be read. */
export function residentBytes(pid: number): number | undefined {
  let kib: number | undefined;
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    kib = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  } catch {
    return undefined;
  }
  return kib * 1024 + childrenOf(pid).reduce((sum, child) => sum + (residentBytes(child) ?? 0), 0);
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").trim().split(" ")
        .filter((word) => word !== "").map(Number)
    );
  } catch {
    return [];
  }
}
