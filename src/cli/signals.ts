/**
 * What signals mean to weir, the same for one process as for a supervisor with its workers.
 *
 * @module
 */

import { closeSync, openSync, readFileSync } from "node:fs";

/**
 * Calls `end` once for Ctrl-C, a supervisor, and a terminal that is closed, which `nohup` keeps from a
 * command: for whatever measures, and reports before it ends. A second signal ends it at once.
 */
export function onEnding(end: () => void): void {
  process.once("SIGINT", end);
  process.once("SIGTERM", end);
  if (!ignoresHangup()) process.once("SIGHUP", end);
}

/** Was this process started with SIGHUP ignored? Linux says so (proc(5)); elsewhere false. */
function ignoresHangup(): boolean {
  try {
    const [, mask = "0"] = /^SigIgn:\s*([\da-f]+)/m.exec(
      readFileSync("/proc/self/status", "latin1"),
    )!;
    return (BigInt(`0x${mask}`) & 1n) !== 0n;
  } catch {
    return false;
  }
}

/** What to do. Each is called any number of times, except `end`, which is called once. */
export interface SignalDuties {
  /** SIGTERM, SIGINT, or the terminal was closed: finish what is open, and end. */
  readonly end: () => void;
  /** A second one: end at once. */
  readonly endNow: () => void;
  /** SIGHUP: read the config again. */
  readonly reload: () => void;
  /** SIGUSR2: the program at the same path is a newer one. */
  readonly upgrade: () => void;
}

/** Does `duties` from now on. Gives the function that does what SIGTERM does. */
export function watchSignals({ end, endNow, reload, upgrade }: SignalDuties): () => void {
  let isEnding = false;
  function endOnce(): void {
    if (isEnding) return endNow();
    isEnding = true;
    end();
  }
  const hadTerminal = hasTerminal();
  process.on("SIGTERM", endOnce);
  process.on("SIGINT", endOnce);
  process.on("SIGHUP", () => {
    // The kernel says SIGHUP, too, when the terminal goes whose window somebody closed.
    if (hadTerminal && !hasTerminal()) endOnce();
    else if (!isEnding) reload();
  });
  process.on("SIGUSR2", () => {
    if (!isEnding) upgrade();
  });
  return endOnce;
}

/** Does this process have a controlling terminal (tty(4))? */
function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r"));
    return true;
  } catch {
    return false;
  }
}
