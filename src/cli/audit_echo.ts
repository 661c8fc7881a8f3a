/**
 * A process that sends back what it is sent, to see how late this machine wakes others.
 *
 * @module
 */

import type { Echo } from "../load/audit/machine_watch.ts";

/** An echo that runs. */
export interface RunningEcho extends Echo {
  stop(): void;
}

/** Starts one; undefined where there is no program for it. */
export function startEcho(): RunningEcho | undefined {
  const program = Bun.which("cat");
  if (program === null) return undefined;
  const child = Bun.spawn([program], { stdin: "pipe", stdout: "pipe", stderr: "ignore" });
  const byte = new Uint8Array(1);
  const echo: RunningEcho = {
    onEcho: () => {},
    send() {
      child.stdin.write(byte);
      void child.stdin.flush();
    },
    stop: () => child.kill(),
  };
  void (async () => {
    for await (const _ of child.stdout) echo.onEcho();
  })();
  return echo;
}
