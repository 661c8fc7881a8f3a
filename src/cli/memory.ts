/**
 * `weir memory backup FILE`: a copy of the embedded memory, while weir runs.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { backupDatabase } from "../memory/database.ts";
import { sqlitePath } from "../memory/open.ts";
import { parseSettingOptions } from "./command_line.ts";
import { readSettings, warn } from "./settings.ts";
import { Failure, type Terminal } from "./terminal.ts";

/** @throws {Failure} when there is nothing to copy, or nowhere to copy it to. */
export function memory(args: readonly string[], terminal: Terminal): number {
  const [action, target, ...options] = args;
  if (action !== "backup" || target === undefined || target.startsWith("-")) {
    throw new Failure("It is: weir memory backup FILE. Try: weir help", 2);
  }
  const { config, folder, warnings } = readSettings(parseSettingOptions(options), terminal);
  warn(warnings, terminal);
  const { url } = config.memory;
  if (!url.startsWith("sqlite://")) {
    const [kind] = url.split(":");
    throw new Failure(
      `Cannot back up the memory: it is not on this machine (memory.url is ${kind}://…). ` +
        (kind!.startsWith("postgres") ? "Try: pg_dump" : "Back up the memory server itself"),
    );
  }
  const path = sqlitePath(url, folder);
  try {
    backupDatabase(path, target);
  } catch (error) {
    if (error instanceof AppError) throw new Failure(error.message);
    throw error;
  }
  terminal.print(`${path} is copied to ${target}`);
  return 0;
}
