/**
 * `weir check`: is the config right, and what is in force?
 *
 * @module
 */

import { describeConfig } from "../config/describe.ts";
import { parseSettingOptions } from "./command_line.ts";
import { oddities } from "./introduction.ts";
import { readSettings, warn } from "./settings.ts";
import type { Terminal } from "./terminal.ts";
import { readTls } from "./tls_files.ts";

/** `weir check FILE` says the same as `weir check --config FILE`. */
function named(args: readonly string[]): readonly string[] {
  const [first, ...rest] = args;
  return first === undefined || first.startsWith("-") ? args : ["--config", first, ...rest];
}

/** Prints the effective config, where each setting came from, and no secret. Exit code 1 and every problem when bad. */
export function check(args: readonly string[], terminal: Terminal): number {
  const settings = readSettings(parseSettingOptions(named(args)), terminal);
  const { config, origins, file, warnings, workflows, workflowFiles } = settings;
  readTls(settings);
  warn([...warnings, ...oddities(config)], terminal);
  terminal.print(`# ${file ?? "no config file"}: ok. In force:`);
  terminal.print(describeConfig(config, origins).trimEnd());
  if (workflowFiles.length > 0) {
    const ids = workflows.workflows.map(({ id }) => id).join(", ");
    terminal.print(`# ${workflowFiles.join(", ")}: ok. Workflows: ${ids}`);
  }
  return 0;
}
