/**
 * The config that `weir install` puts into its place: it says where a service may write, so that every
 * command which reads it finds the same memory.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { isMap, parseDocument } from "yaml";
import { type Config, loadConfig } from "../config/config.ts";
import { secretsOf } from "../config/describe.ts";
import { starterText } from "../config/documents.ts";
import { SETTING_ROWS } from "../config/schema.ts";
import { storeUrl } from "../store/open.ts";
import { readText, type Settings } from "./settings.ts";

/** The unit's StateDirectory=. */
const STATE_FOLDER = "/var/lib/weir";

/** What becomes of the config. */
export interface InstalledConfig {
  /** What is to be written; undefined = one is there, and stays. */
  readonly text: string | undefined;
  /** What is shown of it: a file may hold secrets. */
  readonly shown: string;
  /** Variables for the unit, which win over a config that is there and puts its memory beside itself. */
  readonly variables: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

/** Where memory and store are. */
type Stores = Pick<Config, "memory" | "store">;

/** Settings by their paths. */
export type Given = Readonly<Record<string, string | number | readonly string[]>>;

/**
 * The config for the place `target`: the file of `settings`, or one to begin with. `behind`: what
 * tells weir of the proxy in front of it.
 */
export function installedConfig(
  settings: Settings,
  target: string,
  behind: Given,
): InstalledConfig {
  const { file, config } = settings;
  if (existsSync(target)) return keptConfig(settings, target);
  if (file === undefined) return firstConfig(settings, behind);
  const text = readText(file, "the config");
  const places = { ...statePlaces(storesOf(text, file, config)), ...behind };
  const others = [...settings.origins].filter(([, origin]) =>
    origin !== "default" && !origin.startsWith(`${file}:`) && !origin.endsWith("_file")
  );
  const changes = Object.entries(places).map(([path, place]) =>
    `, with ${path}: ${valueText(place)}`
  );
  return {
    text: withSettings(text, places),
    shown: `# ${file}${changes.join("")}\n`,
    variables: {},
    warnings: others.map(([path, origin]) =>
      `${path} is not in ${file} and not written (${origin})`
    ),
  };
}

/** The config at `target` stays: where it does not say where to write, the unit does. */
function keptConfig({ config }: Settings, target: string): InstalledConfig {
  const places = statePlaces(storesOf(readText(target, "the config"), target, config));
  const all = Object.entries(places);
  return {
    text: undefined,
    shown: "# stays as it is\n",
    variables: Object.fromEntries(
      all.map(([path, place]) => [SETTING_ROWS.get(path)!.variable, place]),
    ),
    warnings: all.map(([path, place]) =>
      `the unit says ${path}: ${place}. Say so in ${target}, too, or other commands look elsewhere`
    ),
  };
}

/** Every default as a comment, and what flags and the environment have set; but no secret. */
function firstConfig({ config, origins }: Settings, behind: Given): InstalledConfig {
  const secrets = secretsOf(config).map((secret) => JSON.stringify(secret).slice(1, -1));
  const given = new Map<string, unknown>();
  const warnings: string[] = [];
  for (const [path, origin] of origins) {
    if (origin === "default") continue;
    const { keys } = SETTING_ROWS.get(path)!;
    const value = keys.reduce<unknown>(
      (node, key) => (node as Record<string, unknown>)[key],
      config,
    );
    const text = JSON.stringify(value);
    if (!secrets.some((secret) => text.includes(secret))) given.set(path, value);
    else if (origin !== `${path}_file`) {
      warnings.push(`${path} holds a secret and is not written (${origin})`);
    }
  }
  const places = { ...statePlaces(config), ...behind };
  for (const [path, place] of Object.entries(places)) given.set(path, place);
  const text = starterText(given);
  return { text, shown: text, variables: {}, warnings };
}

/** The stores that the config file `text` asks for, without flags and environment. */
function storesOf(text: string, name: string, config: Config): Stores {
  const loaded = loadConfig({ file: { name, text }, env: {}, dotenv: {}, flags: [] });
  return loaded.kind === "ok" ? loaded.config : config;
}

/** In the state directory, what is beside the config: a service may not write to /etc. */
function statePlaces({ memory, store }: Stores): Readonly<Record<string, string>> {
  const inState = (file: string) => join(STATE_FOLDER, basename(file));
  const url = isBeside(memory.url) ? `sqlite://${inState(fileOf(memory.url))}` : memory.url;
  const storeFile = storeUrl({ store, memory: { url } });
  return {
    ...(url === memory.url ? {} : { "memory.url": url }),
    ...(isBeside(storeFile) ? { "store.url": `sqlite://${inState(fileOf(storeFile))}` } : {}),
    // Turns on their way to a store elsewhere wait in a file, too, and usage beside it.
    ...(url.startsWith("sqlite://") || isAbsolute(memory.outbox)
      ? {}
      : { "memory.outbox": inState(memory.outbox || "weir-outbox.db") }),
  };
}

function fileOf(url: string): string {
  return url.slice("sqlite://".length);
}

/** True when `url` is of a file whose path counts from the config's folder. */
function isBeside(url: string): boolean {
  const isFile = url.startsWith("sqlite://") && fileOf(url) !== ":memory:";
  return isFile && !isAbsolute(fileOf(url));
}

/** The YAML `text` with `given`; its comments stay. */
function withSettings(text: string, given: Given): string {
  const all = Object.entries(given);
  if (all.length === 0) return text;
  const doc = parseDocument(text);
  for (const [path, value] of all) {
    const [section = "", key = ""] = path.split(".");
    if (isMap(doc.get(section))) doc.setIn([section, key], value);
    else doc.set(section, doc.createNode({ [key]: value }));
  }
  return doc.toString({ lineWidth: 0 });
}

function valueText(value: Given[string]): string {
  return typeof value === "object" ? `[${value.join(", ")}]` : String(value);
}
