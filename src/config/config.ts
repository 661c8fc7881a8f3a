/**
 * The configuration: texts in, one frozen `Config` or every problem out. Whoever calls does the
 * reading of files, flags and environment.
 *
 * Precedence: flag > environment > .env > file > default. A setting is taken whole from the highest
 * of them that gives it: lists and mappings are not merged. What is given lower down must be right
 * too, since the day the higher one goes away is a bad day to find out.
 *
 * @module
 */

import { type ConfigFile, readFile, readValue } from "./file.ts";
import {
  checkGiven,
  type Given,
  inOrder,
  type Layer,
  type Problem,
  shownKey,
  unknownPath,
  unknownVariable,
} from "./problems.ts";
import { type Config, KNOWN_VARIABLES, SETTING_ROWS, type SettingRow } from "./schema.ts";

export type { ConfigFile } from "./file.ts";
export type { Config } from "./schema.ts";

/** A setting from the command line: `--set server.port=0`, or a flag that stands for one. */
export interface ConfigFlag {
  /** "server.port" */
  readonly key: string;
  readonly value: string;
  /** How messages call it, for example "--port"; without it "--set server.port". */
  readonly name?: string;
}

/** Everything a configuration is made of. */
export interface ConfigInput {
  /** Absent: there is no file, and every default holds. */
  readonly file?: ConfigFile;
  /** The environment of the process. An empty variable counts as not set. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The `.env` beside the file, parsed. */
  readonly dotenv: Readonly<Record<string, string | undefined>>;
  /** In the order of the command line: of two for the same key the last one counts. */
  readonly flags: readonly ConfigFlag[];
}

/** Where each setting came from, by path: "default", "config.yaml:3:9", "WEIR_SERVER_PORT", … */
export type ConfigOrigins = ReadonlyMap<string, string>;

/** A configuration that can be used, or everything that is wrong with it. */
export type ConfigResult =
  | {
    readonly kind: "ok";
    readonly config: Config;
    readonly origins: ConfigOrigins;
    readonly warnings: readonly string[];
  }
  | {
    readonly kind: "bad";
    readonly problems: readonly string[];
    readonly warnings: readonly string[];
  };

/** Variables that weir sets for processes of its own. */
const INTERNAL_PREFIX = "WEIR_INTERNAL_";

/**
 * What Kubernetes puts into every container beside a Service named "weir": WEIR_SERVICE_HOST,
 * WEIR_PORT=tcp://10.0.0.1:8080, WEIR_PORT_8080_TCP_ADDR and so on. Nobody wrote those.
 */
const KUBERNETES_NAME =
  /^WEIR_(?:SERVICE_(?:HOST|PORT)(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)$/;

/** Makes the configuration. Pure; never throws for bad input; no message shows a secret. */
export function loadConfig(input: ConfigInput): ConfigResult {
  // From the lowest to the highest: each one overwrites what those before it said.
  const layers = [
    ...(input.file === undefined ? [] : [readFile(input.file)]),
    readEnvironment(input.dotenv, ".env "),
    readEnvironment(input.env, ""),
    readFlags(input.flags),
  ];
  const values = new Map<string, unknown>();
  for (const row of SETTING_ROWS.values()) values.set(row.path, row.setting.initial);
  const winners = new Map<string, Given>();
  const problems: string[] = [];
  for (const layer of layers) {
    const found = [...layer.problems];
    for (const given of layer.given) {
      const checked = checkGiven(given);
      if (checked.kind === "bad") {
        found.push(...checked.problems);
        continue;
      }
      values.set(given.path, checked.value);
      winners.set(given.path, given);
    }
    problems.push(...inOrder(found));
  }
  const origins = new Map<string, string>();
  for (const path of values.keys()) origins.set(path, winners.get(path)?.origin ?? "default");
  applyMain(values, origins);
  if (problems.length === 0) problems.push(...contradictions(values, winners));
  const warnings = layers.flatMap((layer) => inOrder(layer.warnings));
  if (problems.length > 0) return { kind: "bad", problems, warnings };
  return { kind: "ok", config: frozenConfig(values), origins, warnings };
}

/** `server.main: 9100` is the short form of a memory server on this machine; a URL wins over it. */
function applyMain(values: Map<string, unknown>, origins: Map<string, string>): void {
  const port = values.get("server.main");
  if (port === 0 || origins.get("memory.url") !== "default") return;
  values.set("memory.url", `http://127.0.0.1:${port}`);
  origins.set("memory.url", `server.main, ${origins.get("server.main")}`);
}

const TLS_PAIRS = [
  ["server.tls_cert_file", "server.tls_key_file"],
  ["server.tls_key_file", "server.tls_cert_file"],
] as const;

/** Settings that are right one by one and cannot hold together. */
function contradictions(
  values: ReadonlyMap<string, unknown>,
  winners: ReadonlyMap<string, Given>,
): readonly string[] {
  const problems: string[] = [];
  const label = (path: string) => winners.get(path)?.place([]).label;
  if (values.get("chat.source") === "proxy" && values.get("llm.base_url") === "") {
    problems.push(
      `${label("chat.source")}: must be auto or mock while llm.base_url is empty: it is "proxy"`,
    );
  }
  if (values.get("server.unix") !== "" && values.get("server.workers") !== 1) {
    problems.push(
      `${label("server.unix")}: must be empty while server.workers is not 1: processes can share ` +
        "a port, and no socket file. Set server.workers: 1, or let nginx use the port",
    );
  }
  for (const [path, other] of TLS_PAIRS) {
    if (values.get(path) === "" || values.get(other) !== "") continue;
    problems.push(`${label(path)}: must be empty while ${other} is: the two belong together`);
  }
  const file = values.get("memory.system_prompt_file");
  if (file !== "" && values.get("memory.system_prompt") !== "") {
    problems.push(
      `${label("memory.system_prompt_file")}: must be empty while memory.system_prompt is set: ` +
        `it is ${JSON.stringify(file)}`,
    );
  }
  return problems;
}

function frozenConfig(values: ReadonlyMap<string, unknown>): Config {
  const config: Record<string, Record<string, unknown>> = {};
  for (const { section, key, path } of SETTING_ROWS.values()) {
    const value = values.get(path);
    // A copy: the defaults of the table are shared by every configuration.
    const owned = typeof value === "object" ? Object.freeze(structuredClone(value)) : value;
    (config[section] ??= {})[key] = owned;
  }
  for (const section of Object.values(config)) Object.freeze(section);
  // The loop above fills every row of the table that the type is made from.
  return Object.freeze(config) as unknown as Config;
}

/** One environment; `prefix` says in messages which one. */
function readEnvironment(
  variables: Readonly<Record<string, string | undefined>>,
  prefix: string,
): Layer {
  const given: Given[] = [];
  const problems: Problem[] = [];
  const known = new Map<string, string>();
  const isSet = (name: string) => (variables[name] ?? "") !== "";
  // The names people already have come first, so that the WEIR_ ones replace them.
  for (const [name, path] of KNOWN_VARIABLES) if (isSet(name)) known.set(path, name);
  for (const row of SETTING_ROWS.values()) {
    if (isSet(row.variable)) known.set(row.path, row.variable);
  }
  const names = Object.keys(variables);
  for (const [path, name] of known) {
    const label = `${prefix}${name}`;
    const row = SETTING_ROWS.get(path)!;
    given.push(readRaw(row, variables[name]!, label, names.indexOf(name)));
  }
  const settable = new Set([...SETTING_ROWS.values()].map((row) => row.variable));
  for (const [at, name] of names.entries()) {
    if (!name.startsWith("WEIR_") || settable.has(name) || !isSet(name)) continue;
    if (name.startsWith(INTERNAL_PREFIX) || isFromKubernetes(name, variables[name]!)) continue;
    problems.push({ at, text: `${prefix}${shownKey(name)}: ${unknownVariable(name)}` });
  }
  return { given, problems, warnings: [] };
}

/** WEIR_PORT alone may also be somebody's guess at WEIR_SERVER_PORT: its value tells. */
function isFromKubernetes(name: string, value: string): boolean {
  if (name === "WEIR_PORT") return /^(?:tcp|udp|sctp):\/\//.test(value);
  return KUBERNETES_NAME.test(name);
}

function readFlags(flags: readonly ConfigFlag[]): Layer {
  const given = new Map<string, Given>();
  const problems: Problem[] = [];
  for (const [at, flag] of flags.entries()) {
    const row = SETTING_ROWS.get(flag.key.toLowerCase());
    if (row === undefined) {
      problems.push({ at, text: `--set ${shownKey(flag.key)}: ${unknownPath(flag.key)}` });
    } else {
      given.set(row.path, readRaw(row, flag.value, flag.name ?? "--set", at));
    }
  }
  return { given: [...given.values()], problems, warnings: [] };
}

/** A value that came as a string: text as it is, anything else read as YAML. */
function readRaw(row: SettingRow, raw: string, origin: string, at: number): Given {
  const { reads } = row.setting;
  // What is no YAML either stays a string, which no setting of another type accepts.
  const read = reads === "text" ? { value: raw } : readValue(raw, reads === "texts");
  return {
    path: row.path,
    value: read === undefined ? raw : read.value,
    origin: origin === "--set" ? `--set ${row.path}` : origin,
    place: (inner) => ({
      at,
      label: `${origin} ${[row.path, ...inner.map((key) => shownKey(String(key)))].join(".")}`,
    }),
  };
}
