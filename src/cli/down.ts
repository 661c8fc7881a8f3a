/**
 * `weir down`: stops the `weir up` of this folder.
 *
 * @module
 */

import { existsSync, rmSync, writeFileSync } from "node:fs";
import { defineCommand } from "./command.ts";
import { SETTING_FLAGS } from "./command_line.ts";
import { EXIT, Failure } from "./terminal.ts";
import { STOP_FILE } from "./up.ts";

/** How long a running weir may take to notice: it looks twice a second. */
const NOTICE_MS_MAX = 2500;
const LOOK_MS = 50;

/** Asks it to stop and waits until it has noticed. Open streams may still be finishing then. */
export const down = defineCommand({
  name: "down",
  summary: "stop what weir up has started in this folder",
  details: "It takes the flags of weir up, and needs none of them.",
  operands: {},
  flags: SETTING_FLAGS,
  examples: [{ line: "weir down", text: "in the folder where weir up was started" }],
  exits: {
    [EXIT.done]: "it stops; open streams may still be finishing",
    [EXIT.failed]: "there is no weir up in this folder",
  },
  async run(_call, terminal) {
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
    return EXIT.done;
  },
});
