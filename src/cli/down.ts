/**
 * `weir down`: stops the `weir up` of this folder.
 *
 * @module
 */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { parseSettingOptions } from "./command_line.ts";
import { Failure, type Terminal } from "./terminal.ts";
import { STOP_FILE } from "./up.ts";

/** How long a running weir may take to notice: it looks twice a second. */
const NOTICE_MS_MAX = 2500;
const LOOK_MS = 50;

/** Asks it to stop and waits until it has noticed. Open streams may still be finishing then. */
export async function down(args: readonly string[], terminal: Terminal): Promise<number> {
  parseSettingOptions(args);
  writeFileSync(STOP_FILE, "");
  const endMs = performance.now() + NOTICE_MS_MAX;
  while (existsSync(STOP_FILE)) {
    if (performance.now() > endMs) {
      rmSync(STOP_FILE, { force: true });
      throw new Failure("There is no weir up in this folder");
    }
    await Bun.sleep(LOOK_MS);
  }
  terminal.print("weir stops: no new requests, open streams may finish");
  return 0;
}
