/**
 * Finds the config where a user put it: the file, the `.env` beside it, the environment, the flags.
 *
 * @module
 */

import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseEnv } from "node:util";
import { type Config, type ConfigOrigins, loadConfig } from "../config/config.ts";
import { defaultModel } from "../config/default_model.ts";
import { openRelay } from "../config/own_keys.ts";
import { builtinDefinition } from "../workflows/builtin.ts";
import type { Controller, Definition } from "../workflows/definition.ts";
import { load, type Loaded } from "../workflows/load.ts";
import { problemText } from "../workflows/source_text.ts";
import type { SettingOptions } from "./command_line.ts";
import { readCredentials } from "./credentials.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";

const DEFAULT_FILE = "config.yaml";
/** Where workflows are looked for when no `-f` names a file. */
export const WORKFLOW_FILES = ["model-compose.yml", "model-compose.yaml"];

/** The effective config and where its file is. */
export interface Settings {
  readonly config: Config;
  readonly origins: ConfigOrigins;
  /** The config file that was read; undefined = none. */
  readonly file: string | undefined;
  /** The folder that relative paths in the config count from. */
  readonly folder: string;
  /** `$CREDENTIALS_DIRECTORY`; "" = none. */
  readonly credentials: string;
  /** What is odd in it and yet no problem. Whoever uses the config prints them. */
  readonly warnings: readonly string[];
  readonly workflows: Definition;
  /** The workflow files that were read; none = the built-in workflow. */
  readonly workflowFiles: readonly string[];
}

/**
 * Reads everything. Warnings are printed here only when the config is bad: a process that starts
 * anew in its own place would say them twice.
 *
 * @throws {Failure} with every problem at once, one per line.
 */
export function readSettings(options: SettingOptions, terminal: Terminal): Settings {
  const { configFile, settings } = options;
  const file = configFile ?? (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined);
  const folder = file === undefined ? "." : dirname(file);
  const dotenv = options.envFiles.length === 0
    ? readDotenv(folder)
    : Object.assign({}, ...options.envFiles.map(readEnvFile)) as Record<string, string>;
  const env = { ...process.env, ...options.env };
  const input = {
    ...(file === undefined ? {} : { file: { name: file, text: readText(file, "the config") } }),
    env,
    dotenv,
    flags: settings,
  };
  const credentials = env["CREDENTIALS_DIRECTORY"] ?? "";
  let loaded = loadConfig(input);
  if (loaded.kind === "ok") {
    const folders = { folder, credentials, read: readText };
    const held = readCredentials(loaded.config, loaded.origins, folders);
    if (held.length > 0) loaded = loadConfig({ ...input, credentials: held });
  }
  const workflowFiles = options.workflowFiles.length > 0
    ? options.workflowFiles
    : WORKFLOW_FILES.filter((name) => existsSync(name)).slice(0, 1);
  const { definition, problems: faults }: Loaded = workflowFiles.length === 0
    ? { definition: null, problems: [] }
    : load(
      workflowFiles.map((name) => ({ file: name, text: readText(name, "the workflows", 2) })),
      { ...dotenv, ...process.env, ...options.env } as Record<string, string>,
    );
  const problems = [
    ...(loaded.kind === "bad" ? loaded.problems : []),
    ...faults.map(problemText),
  ];
  if (loaded.kind === "bad" || problems.length > 0) {
    warn(loaded.warnings, terminal);
    const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
    const what = loaded.kind === "bad" ? "config" : "workflow file";
    throw new Failure(
      `The ${what} has ${count}:\n${problems.map((line) => `  ${line}`).join("\n")}`,
    );
  }
  const workflows = definition ?? builtinDefinition(defaultModel(loaded.config));
  return {
    ...withController(loaded.config, loaded.origins, workflows.controller),
    file,
    folder,
    credentials,
    warnings: loaded.warnings,
    workflows,
    workflowFiles,
  };
}

/**
 * As `readSettings`, for whoever serves them or says how.
 *
 * @throws {Failure} also when strangers could spend a key of weir's own.
 */
export function readServed(
  options: SettingOptions,
  terminal: Terminal,
  { isSite }: { readonly isSite: boolean } = { isSite: false },
): Settings {
  const settings = readSettings(options, terminal);
  const problem = openRelay(settings.config, isSite);
  if (problem !== undefined) throw new Failure(`The config has 1 problem:\n  ${problem}`);
  return settings;
}

/** `config`, listening where the workflow file's controller says unless weir was told itself. */
function withController(
  config: Config,
  origins: ConfigOrigins,
  controller: Controller,
): { readonly config: Config; readonly origins: ConfigOrigins } {
  const server: Record<string, unknown> = { ...config.server };
  const from = new Map(origins);
  for (const key of ["host", "port"] as const) {
    if (controller[key] === null || origins.get(`server.${key}`) !== "default") continue;
    server[key] = controller[key];
    from.set(`server.${key}`, `the workflow file, controller.${key}`);
  }
  return {
    config: Object.freeze({ ...config, server: Object.freeze(server) as Config["server"] }),
    origins: from,
  };
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
export function readText(path: string, what: string, exitCode = 1): string {
  try {
    // A byte order mark, as some editors write it, is no part of the text.
    return readFileSync(path, "utf8").replace(/^\uFEFF/, "");
  } catch (error) {
    throw fileFailure(error, `Cannot read ${what} ${path}`, exitCode);
  }
}

/** The failure that `error` of a file is; `what` says what could not be done with it. */
export function fileFailure(error: unknown, what: string, exitCode: number = EXIT.failed): Failure {
  if (error instanceof Failure) return error;
  const { code } = error as { readonly code?: string };
  const reason = code === "ENOENT" ? "there is no such file" : code ?? String(error);
  return new Failure(`${what}: ${reason}`, exitCode);
}

/** The `.env` beside the config file, else in the current folder. Nothing in it is expanded. */
function readDotenv(folder: string): Record<string, string> {
  const file = [join(folder, ".env"), ".env"].find((path) => existsSync(path));
  return file === undefined ? {} : readEnvFile(file);
}

function readEnvFile(file: string): Record<string, string> {
  return parseEnv(readText(file, "the environment file", 2)) as Record<string, string>;
}
