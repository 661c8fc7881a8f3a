/**
 * Bun's process-wide cap on requests of `fetch` is 256, and a proxied stream holds its place for
 * life. Only the environment at start can raise it (docs/facts/runtime.md "fetch: 256 requests").
 *
 * @module
 */

import { ownWords, selfCommand } from "./self.ts";
import type { Terminal } from "./terminal.ts";

const VARIABLE = "BUN_CONFIG_MAX_HTTP_REQUESTS";
const CAP = "65535";

/** `env` with the cap raised, unless somebody has set it. */
export function withFetchCap(
  env: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  return { [VARIABLE]: CAP, ...env };
}

/** Starts this process anew, in its place, with the cap raised: it takes effect in no other way. */
export function raiseFetchCap(terminal: Terminal): void {
  if (process.env[VARIABLE] !== undefined) return;
  const command = selfCommand(ownWords());
  try {
    process.execve!(command[0]!, command, withFetchCap(process.env) as Record<string, string>);
  } catch {
    terminal.complain(
      "weir: warning: this system does not let weir start itself anew, so more than 256 proxied " +
        `requests at once will wait for each other. Start it with ${VARIABLE}=${CAP}`,
    );
  }
}
