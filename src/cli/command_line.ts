/**
 * Reads a command line: the command's name, its options, and the settings they make.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Failure } from "./terminal.ts";

/** A command and its words. */
export interface CommandLine {
  readonly name: string;
  readonly args: readonly string[];
}

/** A setting from a flag: it wins over the environment and the file. */
export interface Setting {
  /** The config key: "server.port". */
  readonly key: string;
  readonly value: string;
  /** The flag as the user typed it, where that is not `--set`. */
  readonly name?: string;
}

/** What the options say that every command with a config takes. */
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

/** What `up` says besides. */
export interface UpOptions extends SettingOptions {
  readonly isDetached: boolean;
  readonly isVerbose: boolean;
}

/** What `run` says besides. */
export interface RunOptions extends SettingOptions {
  /** null = the default workflow. */
  readonly workflowId: string | null;
  /** JSON; "-" = it comes from standard input. */
  readonly input: string | undefined;
  /** The file for what would be printed. */
  readonly output: string | undefined;
  readonly isVerbose: boolean;
}

/** What `token` says besides. */
export interface TokenOptions extends SettingOptions {
  /** Who the token is for; "" = it names nobody. */
  readonly id: string;
  readonly hours: number;
}

/** Hours a token holds when nobody says otherwise. */
const TOKEN_HOURS = 24;

/** Flags that stand for a command. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["--version", "version"],
  ["-v", "version"],
  ["--help", "help"],
  ["-h", "help"],
]);

/**
 * The command of `argv`: its first word, or `serve` when it starts with an option. As with
 * model-compose, `-f FILE` may stand before the command.
 */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const at = wordsOfFiles(argv);
  if (at > 0 && at < argv.length && !argv[at]!.startsWith("-")) {
    return { name: argv[at]!, args: [...argv.slice(0, at), ...argv.slice(at + 1)] };
  }
  const [first, ...rest] = argv;
  if (first === undefined) return { name: "serve", args: [] };
  const alias = ALIASES.get(first);
  if (alias !== undefined) return { name: alias, args: rest };
  if (first.startsWith("-")) return { name: "serve", args: argv };
  return { name: first, args: rest };
}

/** How many words at the start of `argv` name workflow files. */
function wordsOfFiles(argv: readonly string[]): number {
  let at = 0;
  for (;;) {
    const word = argv[at] ?? "";
    if (word === "-f" || word === "--file") at += 2;
    else if (/^(-f.|--file=)/.test(word)) at += 1;
    else return at;
  }
}

const SETTING_FLAGS = {
  config: { type: "string", short: "c" },
  host: { type: "string" },
  port: { type: "string" },
  set: { type: "string", multiple: true },
  file: { type: "string", short: "f", multiple: true },
  "env-file": { type: "string", multiple: true },
  env: { type: "string", short: "e", multiple: true },
} as const;

/**
 * The options of `serve` and `check`.
 *
 * @throws {Failure} for an unknown option, or one without its value.
 */
export function parseSettingOptions(args: readonly string[]): SettingOptions {
  const { values } = parse(() =>
    parseArgs({ args: [...args], options: SETTING_FLAGS, strict: true })
  );
  return settingOptions(values);
}

/**
 * The options of `up`.
 *
 * @throws {Failure} for an unknown option, or one without its value.
 */
export function parseUpOptions(args: readonly string[]): UpOptions {
  const { values } = parse(() =>
    parseArgs({
      args: [...args],
      options: {
        ...SETTING_FLAGS,
        detach: { type: "boolean", short: "d" },
        verbose: { type: "boolean", short: "v" },
      },
    })
  );
  return {
    ...settingOptions(values),
    isDetached: values.detach ?? false,
    isVerbose: values.verbose ?? false,
  };
}

/**
 * The options of `run`, and the workflow it names.
 *
 * @throws {Failure} for an unknown option, one without its value, or a second workflow.
 */
export function parseRunOptions(args: readonly string[]): RunOptions {
  const { values, positionals } = parse(() =>
    parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...SETTING_FLAGS,
        input: { type: "string", short: "i" },
        output: { type: "string", short: "o" },
        verbose: { type: "boolean", short: "v" },
      },
    })
  );
  const [workflowId = null, ...more] = positionals;
  if (more.length > 0) {
    throw new Failure(`run takes one workflow: ${positionals.join(", ")}. Try: weir help`, 2);
  }
  return {
    ...settingOptions(values),
    workflowId,
    input: values.input,
    output: values.output,
    isVerbose: values.verbose ?? false,
  };
}

/**
 * The options of `token`.
 *
 * @throws {Failure} for an unknown option, one without its value, or hours that are no number.
 */
export function parseTokenOptions(args: readonly string[]): TokenOptions {
  const { values } = parse(() =>
    parseArgs({
      args: [...args],
      options: { ...SETTING_FLAGS, id: { type: "string" }, hours: { type: "string" } },
    })
  );
  const hours = values.hours ?? String(TOKEN_HOURS);
  if (!/^\d{1,9}$/.test(hours)) {
    throw new Failure(`--hours must be a whole number: it is "${hours}"`, 2);
  }
  return { ...settingOptions(values), id: values.id ?? "", hours: Number(hours) };
}

/** Turns what `parseArgs` throws into a failure. */
function parse<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new Failure(`${(error as Error).message}. Try: weir help`, 2);
  }
}

interface SettingValues {
  readonly config?: string | undefined;
  readonly host?: string | undefined;
  readonly port?: string | undefined;
  readonly set?: string[] | undefined;
  readonly file?: string[] | undefined;
  readonly "env-file"?: string[] | undefined;
  readonly env?: string[] | undefined;
}

function settingOptions(values: SettingValues): SettingOptions {
  const settings: Setting[] = (values.set ?? []).map((text) => {
    const at = text.indexOf("=");
    if (at <= 0) {
      throw new Failure("--set needs key.path=value, for example --set mock.delay_ms=0", 2);
    }
    return { key: text.slice(0, at), value: text.slice(at + 1) };
  });
  if (values.host !== undefined) {
    settings.push({ key: "server.host", value: values.host, name: "--host" });
  }
  if (values.port !== undefined) {
    settings.push({ key: "server.port", value: values.port, name: "--port" });
  }
  const env = Object.fromEntries((values.env ?? []).map((entry) => {
    const at = entry.indexOf("=");
    if (at <= 0) throw new Failure(`Invalid env entry: ${entry}. Write -e NAME=VALUE`, 2);
    return [entry.slice(0, at), entry.slice(at + 1)] as const;
  }));
  return {
    configFile: values.config,
    settings,
    workflowFiles: values.file ?? [],
    envFiles: values["env-file"] ?? [],
    env,
  };
}
