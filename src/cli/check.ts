/**
 * `weir check`: is the config right, and what is in force?
 *
 * @module
 */

import { describeConfig } from "../core/config_describe.ts";
import { readSettings } from "./settings.ts";
import type { Terminal } from "./terminal.ts";

/** Prints the effective config with its secrets masked. Exit code 1 and every problem when bad. */
export function check(args: readonly string[], terminal: Terminal): number {
  const { config, file } = readSettings(args, terminal);
  terminal.print(`# ${file ?? "no config file"}: ok. In force:`);
  terminal.print(describeConfig(config).trimEnd());
  return 0;
}
