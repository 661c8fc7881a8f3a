/**
 * Finds the config where a user put it: the file, the `.env` beside it, the environment, the flags.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseEnv } from "node:util";
import { type Config, type ConfigOrigins, loadConfig } from "../core/config.ts";
import { parseSettingOptions } from "./command_line.ts";
import { Failure, type Terminal } from "./terminal.ts";

const DEFAULT_FILE = "config.yaml";

/** The effective config and where its file is. */
export interface Settings {
  readonly config: Config;
  readonly origins: ConfigOrigins;
  /** The config file that was read; undefined = none. */
  readonly file: string | undefined;
  /** The folder that relative paths in the config count from. */
  readonly folder: string;
  /** What is odd in it and yet no problem. Whoever uses the config prints them. */
  readonly warnings: readonly string[];
}

/**
 * Reads everything. Warnings are printed here only when the config is bad: a process that starts
 * anew in its own place would say them twice.
 *
 * @throws {Failure} with every problem at once, one per line.
 */
export function readSettings(args: readonly string[], terminal: Terminal): Settings {
  const { configFile, settings } = parseSettingOptions(args);
  const file = configFile ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined);
  const folder = file === undefined ? "." : dirname(file);
  const loaded = loadConfig({
    ...(file === undefined ? {} : { file: { name: file, text: readText(file, "the config") } }),
    env: process.env,
    dotenv: readDotenv(folder),
    flags: settings,
  });
  if (loaded.kind === "bad") {
    warn(loaded.warnings, terminal);
    const { problems } = loaded;
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    throw new Failure(
      `The config has ${count}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
  }
  const { config, origins, warnings } = loaded;
  return { config, origins, file, folder, warnings };
}

/** Prints warnings, one line each. */
export function warn(warnings: readonly string[], terminal: Terminal): void {
  for (const warning of warnings) terminal.complain(`weir: warning: ${warning}`);
}

/**
 * The text of the file at `path`; `what` names it in the error.
 *
 * @throws {Failure} when it cannot be read.
 */
export function readText(path: string, what: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as { readonly code?: string };
    const reason = code === "ENOENT" ? "there is no such file" : code ?? String(error);
    throw new Failure(`Cannot read ${what} ${path}: ${reason}`);
  }
}

/** The `.env` beside the config file, else in the current folder. Nothing in it is expanded. */
function readDotenv(folder: string): Record<string, string> {
  const file = [join(folder, ".env"), ".env"].find((path) => existsSync(path));
  return file === undefined
    ? {}
    : parseEnv(readText(file, "the environment file")) as Record<string, string>;
}
