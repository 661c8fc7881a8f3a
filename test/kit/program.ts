/**
 * weir as one program that can be started by its path, from source or as an executable.
 *
 * @module
 */

import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolder, weirCommand } from "../server/launch.ts";

/** A new folder with a program `weir` in it. */
export function programFolder(): string {
  const folder = makeFolder();
  const words = weirCommand().map((word) => `'${word}'`).join(" ");
  // Its place takes the program itself: what is killed is weir.
  writeFileSync(join(folder, "weir"), `#!/bin/sh\nexec ${words} "$@"\n`);
  chmodSync(join(folder, "weir"), 0o755);
  return folder;
}
