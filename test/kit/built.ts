/**
 * The package as it is published, installed into a folder.
 *
 * @module
 */

import { join } from "node:path";
import { PACKAGE } from "../../release/package_name.ts";
import { makeFolder } from "../server/launch.ts";

/** A new folder whose programs find the package. */
export function buildKit(): string {
  const folder = makeFolder();
  const { exitCode, stderr } = Bun.spawnSync([
    process.execPath,
    "--no-env-file",
    join(import.meta.dir, "../../release/kit.ts"),
    "--out",
    join(folder, "node_modules", PACKAGE),
  ]);
  if (exitCode !== 0) throw new Error(`The kit cannot be built:\n${stderr}`);
  return folder;
}
