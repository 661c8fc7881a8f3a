/**
 * The flags of every command that reads the config, and what they say.
 *
 * @module
 */

import { loadConfig } from "../config/config.ts";
import { asText, type FlagValues, listFlag, textFlag } from "./flags.ts";
import { EXIT, Failure } from "./terminal.ts";

/** A setting from a flag: it wins over the environment and the file. */
export interface Setting {
  /** The config key: "server.port". */
  readonly key: string;
  readonly value: string;
  /** The flag as the user typed it, where that is not `--set`. */
  readonly name?: string;
}

/** What the flags say that every command with a config takes. */
export interface SettingOptions {
  /** The config file; undefined = `config.yaml` in the current folder, if there is one. */
  readonly configFile: string | undefined;
  readonly settings: readonly Setting[];
  /** Workflow files, to be merged in this order; none = `model-compose.yml` here, if there is one. */
  readonly workflowFiles: readonly string[];
  /** Environment files, the later one wins; none = `.env`. */
  readonly envFiles: readonly string[];
  /** Variables that win over every environment. */
  readonly env: Readonly<Record<string, string>>;
}

/** The heading of these flags in the help of a command that has others besides. */
const GROUP = "Settings";

/** The flags of every command that reads the config. */
export const SETTING_FLAGS = {
  config: textFlag({
    short: "c",
    value: "FILE",
    text: "the config file",
    notes: ["default config.yaml here, if there is one"],
    completes: "files",
    group: GROUP,
  }),
  host: {
    ...textFlag({ value: "HOST", text: "the address to listen on", group: GROUP }),
    get notes() {
      return [`default ${defaultOf("host")}`];
    },
  },
  port: {
    ...textFlag({ value: "PORT", text: "the port to listen on, 0 = any free one", group: GROUP }),
    get notes() {
      return [`default ${defaultOf("port")}`];
    },
  },
  set: listFlag({
    value: "KEY=VALUE",
    text: "any setting: --set mock.delay_ms=0",
    group: GROUP,
    read: readSetting,
  }),
  file: listFlag({
    short: "f",
    value: "FILE",
    text: "a workflow file; several are merged",
    notes: ["default model-compose.yml or model-compose.yaml here, if there is one"],
    completes: "files",
    group: GROUP,
    read: asText,
  }),
  envFile: listFlag({
    value: "FILE",
    text: "read variables from FILE instead of .env",
    completes: "files",
    group: GROUP,
    read: asText,
  }),
  env: listFlag({
    short: "e",
    value: "NAME=VALUE",
    text: "a variable that wins over the environment",
    group: GROUP,
    read: readVariable,
  }),
} as const;

/** What the exit codes mean of every command that reads the config. */
export const SETTING_EXITS = {
  [EXIT.failed]: "the config or a workflow file is wrong: every problem is told",
  [EXIT.usage]: "the command line is wrong, or a file that -f or --env-file names cannot be read",
} as const;

/** What the values of these flags say. `--host` and `--port` win over `--set`. */
export function settingOptions(values: FlagValues<typeof SETTING_FLAGS>): SettingOptions {
  const { config, host, port, set, file, envFile, env } = values;
  return {
    configFile: config,
    settings: [
      ...set,
      ...(host === undefined ? [] : [{ key: "server.host", value: host, name: "--host" }]),
      ...(port === undefined ? [] : [{ key: "server.port", value: port, name: "--port" }]),
    ],
    workflowFiles: file,
    envFiles: envFile,
    env: Object.fromEntries(env),
  };
}

function readSetting(text: string): Setting {
  const at = text.indexOf("=");
  if (at > 0) return { key: text.slice(0, at), value: text.slice(at + 1) };
  throw new Failure(
    "--set needs key.path=value, for example --set mock.delay_ms=0",
    EXIT.usage,
  );
}

function readVariable(text: string): readonly [name: string, value: string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw new Failure(`Invalid env entry: ${text}. Write -e NAME=VALUE`, EXIT.usage);
}

/** What a setting is when nobody sets it: the config says that, and it is asked when help is. */
function defaultOf(key: "host" | "port"): string {
  const loaded = loadConfig({ env: {}, dotenv: {}, flags: [] });
  if (loaded.kind === "bad") {
    throw new Error(`The defaults are wrong: ${loaded.problems.join(", ")}`);
  }
  return String(loaded.config.server[key]);
}
