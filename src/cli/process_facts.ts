/**
 * What this process tells about itself, and the last things it says.
 *
 * @module
 */

import { readFileSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import type { Histogram } from "../lib/histogram.ts";
import type { Labels } from "../ops/metrics_snapshot.ts";
import type { ProcessFacts } from "../ops/observer.ts";
import { commit, VERSION } from "./version.ts";

/** This process, as the observer sees it. */
export function processFacts(): ProcessFacts {
  let build: Labels | undefined;
  return {
    pid: process.pid,
    startedMs: Math.round(performance.timeOrigin),
    residentBytes: () => process.memoryUsage.rss(),
    cpuMs() {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    // Made when somebody asks: from source, git is asked for the commit.
    build: () => build ??= { version: VERSION, commit: commit(), bun: Bun.version },
    hostName: hostname(),
    isLogTerminal: process.stderr.isTTY === true,
    isLogColoured: process.stderr.isTTY === true && !process.env["NO_COLOR"],
    writeLog: (text, done) => void process.stderr.write(text, () => done()),
  };
}

/** Descriptors that are kept for files, upstreams and logs when many clients connect. */
const DESCRIPTORS_KEPT = 256;
let descriptors: number | undefined;

/**
 * Client connections that this process has descriptors for: behind the last one accepting would fail
 * again and again without a word (docs/facts/runtime.md "Bun.listen"). `asksUpstreams`: each of them
 * may need another one for the upstream that it is answered by. Infinity = nobody says.
 */
export function connectionsMax(asksUpstreams: boolean): number {
  const all = descriptors ??= descriptorsMax();
  // A process with few of them keeps half.
  const free = all - Math.min(DESCRIPTORS_KEPT, Math.floor(all / 2));
  return asksUpstreams ? Math.floor(free / 2) : free;
}

function descriptorsMax(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ??
      [];
    return soft === undefined ? Infinity : Number(soft);
  } catch {
    return Infinity; // no Linux
  }
}

/** Lines that a process leaves behind which ends at once. A reader that is gone, or slow, loses them. */
export function writeLast(text: string): void {
  try {
    if (text !== "") writeSync(2, text);
  } catch {
    // There is nowhere left to say so.
  }
}

/** What the instrument knows of its own error, at the end of a run; "" when no frame was paced. */
export function latenessText(latenessMs: Histogram): string {
  if (latenessMs.count === 0) return "";
  const { count, ...late } = latenessMs.summary();
  const [p50, p99, max] = [late.p50, late.p99, late.max].map((ms) => ms.toFixed(1));
  return `${count} paced frames left late by ${p50} ms (p50), ${p99} ms (p99), ${max} ms (max)`;
}
