/**
 * `weir check`: is the config right, and what is in force?
 *
 * @module
 */

import { describeConfig } from "../core/config_describe.ts";
import { readSettings, warn } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** Prints the effective config, where each setting came from, and no secret. Exit code 1 and every problem when bad. */
export function check(args: readonly string[], terminal: Terminal): number {
  const { config, origins, file, warnings } = readSettings(args, terminal);
  warn(warnings, terminal);
  terminal.print(`# ${file ?? "no config file"}: ok. In force:`);
  terminal.print(describeConfig(config, origins).trimEnd());
  return 0;
}
