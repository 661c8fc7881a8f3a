/**
 * `weir memory backup FILE`: a copy of the embedded memory, while weir runs.
 *
 * @module
 */

import { AppError } from "../core/errors.ts";
import { backupDatabase } from "../memory/database.ts";
import { sqlitePath } from "../lib/sqlite_file.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { readSettings, warn } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

/** @throws {Failure} when there is nothing to copy, or nowhere to copy it to. */
export const memory = defineCommand({
  name: "memory",
  summary: "copy the embedded memory to FILE, while weir runs",
  details: "A file that is there already is not overwritten.",
  operands: {
    action: { name: "backup", text: "what to do with the memory", choices: ["backup"] },
    file: { name: "FILE", text: "where the copy goes", completes: "files" },
  },
  flags: SETTING_FLAGS,
  examples: [
    { line: "weir memory backup copy.db", text: "the memory of the config in this folder" },
    {
      line: "weir memory backup other.db --set memory.url=sqlite://weir.db",
      text: "the memory in a certain file",
    },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.failed]: "the config is wrong, or there is nothing to copy, or nowhere to copy it to",
  },
  run({ flags, operands }, terminal) {
    const { config, folder, warnings } = readSettings(settingOptions(flags), terminal);
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
      backupDatabase(path, operands.file);
    } catch (error) {
      if (error instanceof AppError) throw new Failure(error.message);
      throw error;
    }
    terminal.print(`${path} is copied to ${operands.file}`);
    return EXIT.done;
  },
});
