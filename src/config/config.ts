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

import { contradictions } from "./contradictions.ts";
import { type ConfigFile, readFile } from "./file.ts";
import { type ConfigFlag, readEnvironment, readFlags, type Variables } from "./layers.ts";
import { checkGiven, type Given, inOrder } from "./problems.ts";
import { type Config, rowOf, SETTING_ROWS } from "./schema.ts";
import { schemasAlong } from "./shape.ts";

export type { ConfigFile } from "./file.ts";
export type { ConfigFlag } from "./layers.ts";
export type { Config, FaultRuleEntry, RouteEntry, UpstreamEntry } from "./schema.ts";

/** Everything a configuration is made of. */
export interface ConfigInput {
  /** Absent: there is no file, and every default holds. */
  readonly file?: ConfigFile;
  /** The environment of the process. An empty variable counts as not set. */
  readonly env: Variables;
  /** The `.env` beside the file, parsed. */
  readonly dotenv: Variables;
  /** In the order of the command line: of two for the same key the last one counts. */
  readonly flags: readonly ConfigFlag[];
  /**
   * What is in the files that the configuration of all others names. Only here a key may lead into a
   * list: "upstreams.0.api_key". They win over everything.
   */
  readonly credentials?: readonly HeldSetting[];
}

/** What a file holds, as a setting. */
export type HeldSetting = Omit<Required<ConfigFlag>, "value"> & {
  readonly value: string | readonly string[];
};

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
  for (const row of SETTING_ROWS.values()) values.set(row.path, row.initial);
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
  problems.push(...applyCredentials(input.credentials ?? [], values, origins));
  const config = frozenConfig(values);
  if (problems.length === 0) {
    problems.push(
      ...contradictions(config, (path, inner) => winners.get(path)!.place(inner).label),
    );
  }
  const warnings = layers.flatMap((layer) => inOrder(layer.warnings));
  if (problems.length > 0) return { kind: "bad", problems, warnings };
  return { kind: "ok", config, origins, warnings };
}

/** `server.main: 9100` is the short form of a memory server on this machine; a URL wins over it. */
function applyMain(values: Map<string, unknown>, origins: Map<string, string>): void {
  const port = values.get("server.main");
  if (port === 0 || origins.get("memory.url") !== "default") return;
  values.set("memory.url", `http://127.0.0.1:${port}`);
  origins.set("memory.url", `server.main, ${origins.get("server.main")}`);
}

/** Puts what files hold into the values. Gives what is wrong with it. */
function applyCredentials(
  credentials: readonly HeldSetting[],
  values: Map<string, unknown>,
  origins: Map<string, string>,
): readonly string[] {
  return credentials.flatMap(({ key, value, name }, at) => {
    const keys = key.split(".");
    const row = rowOf(keys)!;
    const inner = keys.slice(row.keys.length);
    const schema = schemasAlong(row.schema, inner).at(-1)!;
    const place = () => ({ at, label: `${name} ${key}` });
    const checked = checkGiven({ path: key, schema, value, isPartial: false, origin: name, place });
    if (checked.kind === "bad") return inOrder(checked.problems);
    values.set(row.path, withPart(values.get(row.path), inner, checked.value));
    if (inner.length === 0) origins.set(row.path, name);
    return [];
  });
}

/** A copy of `value` in which `part` stands under `path`. */
function withPart(value: unknown, [key, ...rest]: readonly string[], part: unknown): unknown {
  if (key === undefined) return part;
  const copy = (Array.isArray(value) ? [...value] : { ...value as object }) as Record<
    string,
    unknown
  >;
  copy[key] = withPart(copy[key], rest, part);
  return copy;
}

type Section = Record<string, unknown>;

function frozenConfig(values: ReadonlyMap<string, unknown>): Config {
  const config: Section = {};
  for (const { path, keys } of SETTING_ROWS.values()) {
    let section = config;
    for (const key of keys.slice(0, -1)) section = (section[key] ??= {}) as Section;
    // A copy: the defaults of the tree are shared by every configuration.
    section[keys.at(-1)!] = structuredClone(values.get(path));
  }
  // The loop above fills every row of the tree that the type is made from.
  return frozen(config) as Config;
}

function frozen(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  Object.values(value).forEach(frozen);
  return Object.freeze(value);
}
