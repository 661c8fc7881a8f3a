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

/** What the options of `serve` and `check` say. */
export interface SettingOptions {
  /** The config file; undefined = `config.yaml` in the current folder, if there is one. */
  readonly configFile: string | undefined;
  readonly settings: readonly Setting[];
}

/** Flags that stand for a command. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ["--version", "version"],
  ["-v", "version"],
  ["--help", "help"],
  ["-h", "help"],
]);

/** The command of `argv`: its first word, or `serve` when it starts with an option. */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const [first, ...rest] = argv;
  if (first === undefined) return { name: "serve", args: [] };
  const alias = ALIASES.get(first);
  if (alias !== undefined) return { name: alias, args: rest };
  if (first.startsWith("-")) return { name: "serve", args: argv };
  return { name: first, args: rest };
}

/**
 * The options of `serve` and `check`.
 *
 * @throws {Failure} for an unknown option, or one without its value.
 */
export function parseSettingOptions(args: readonly string[]): SettingOptions {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        config: { type: "string", short: "c" },
        host: { type: "string" },
        port: { type: "string" },
        set: { type: "string", multiple: true },
      },
    }));
  } catch (error) {
    throw new Failure(`${(error as Error).message}. Try: weir help`, 2);
  }
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
  return { configFile: values.config, settings };
}
