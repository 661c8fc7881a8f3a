/**
 * `weir check`: is the config right, and what is in force?
 *
 * @module
 */

import { describeConfig } from "../config/describe.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { checkFixtures } from "./fixture_watch.ts";
import { readLatency } from "./latency_file.ts";
import { oddities } from "./introduction.ts";
import { routeLines } from "./route_lines.ts";
import { readServed, warn } from "./settings.ts";
import { EXIT } from "./terminal.ts";
import { readyTapes } from "./tape_ready.ts";
import { readTls } from "./tls_files.ts";
import { readKeys, readTokens } from "./token_files.ts";

/** Prints the effective config, where each setting came from, and no secret. */
export const check = defineCommand({
  name: "check",
  summary: "read the config and print what is in force, secrets masked",
  details:
    "Behind each setting stands where it comes from. Files of workflows and of fixtures are " +
    "checked, too.",
  operands: {
    file: {
      name: "FILE",
      text: "the config file, as --config names it",
      isOptional: true,
      completes: "files",
    },
  },
  flags: SETTING_FLAGS,
  examples: [
    { line: "weir check", text: "the config of this folder, or every default" },
    { line: "weir check config.yaml --set mock.delay_ms=0", text: "a file, and a flag besides" },
  ],
  exits: { ...SETTING_EXITS, [EXIT.done]: "nothing is wrong; what is odd is told as a warning" },
  run({ flags, operands }, terminal) {
    const options = settingOptions(flags);
    const configFile = options.configFile ?? operands.file;
    const settings = readServed({ ...options, configFile }, terminal);
    const { config, origins, file, warnings, workflows, workflowFiles } = settings;
    readTls(settings);
    readTokens(settings);
    readKeys(settings);
    readLatency(settings);
    checkFixtures(settings, terminal);
    warn([...warnings, ...oddities(config), ...readyTapes(settings, false)], terminal);
    terminal.print(`# ${file ?? "no config file"}: ok. In force:`);
    terminal.print(describeConfig(config, origins).trimEnd());
    const routes = routeLines(config);
    if (routes.length > 0) terminal.print(["# Routes:", ...routes].join("\n#   "));
    if (workflowFiles.length > 0) {
      const ids = workflows.workflows.map(({ id }) => id).join(", ");
      terminal.print(`# ${workflowFiles.join(", ")}: ok. Workflows: ${ids}`);
    }
    return EXIT.done;
  },
});
