/**
 * What follows from the tree of settings: the type `Config`, and a row for each setting with the
 * names by which the environment and flags call it.
 *
 * @module
 */

import type { z } from "zod";
import { ABOUT, shapeOf } from "./shape.ts";
import { TREE } from "./tree.ts";

/** Checked values are read-only, down to the last list. */
type Frozen<Value> = Value extends object ? { readonly [Key in keyof Value]: Frozen<Value[Key]> }
  : Value;

/** The checked settings, deeply frozen. A part takes its own section only: `Config["mock"]`. */
export type Config = Frozen<z.output<typeof TREE>>;

/** One of `upstreams`. */
export type UpstreamEntry = Config["upstreams"][number];
/** An entry of `faults.rules`. */
export type FaultRuleEntry = Config["faults"]["rules"][number];

/** One of `routes`. */
export type RouteEntry = Config["routes"][number];

/** A setting: what one layer gives whole. A list of the top level is one, and each key of a section. */
export interface SettingRow {
  /** "server.port"; "upstreams" for a list of the top level. */
  readonly path: string;
  /** `path` in its parts. */
  readonly keys: readonly string[];
  /** "WEIR_SERVER_PORT" */
  readonly variable: string;
  readonly schema: z.ZodType;
  /** What holds when nobody says otherwise. */
  readonly initial: unknown;
  readonly meaning: string;
}

function rowsOf(schema: z.ZodType, keys: readonly string[]): readonly SettingRow[] {
  const shape = shapeOf(schema);
  // What has a meaning as a whole is one setting, which a layer gives whole; the rest are sections.
  if (shape.kind === "fields" && !ABOUT.has(schema)) {
    return Object.entries(shape.fields).flatMap(([key, field]) => rowsOf(field, [...keys, key]));
  }
  const variable = ["WEIR", ...keys].join("_").toUpperCase();
  const { meaning } = ABOUT.get(schema)!;
  const initial = schema.parse(undefined);
  return [{ path: keys.join("."), keys, variable, schema, initial, meaning }];
}

/** The settings in the order of the tree, by path. */
export const SETTING_ROWS: ReadonlyMap<string, SettingRow> = new Map(
  rowsOf(TREE, []).map((row) => [row.path, row]),
);

/** The setting that `keys` lead to, or into: ["upstreams", "0", "name"] leads into `upstreams`. */
export function rowOf(keys: readonly string[]): SettingRow | undefined {
  for (let count = 1; count <= keys.length; count++) {
    const row = SETTING_ROWS.get(keys.slice(0, count).join("."));
    if (row !== undefined) return row;
  }
  return undefined;
}

/** Environment names that people already have → path. The WEIR_ name of the same setting wins. */
export const KNOWN_VARIABLES: ReadonlyMap<string, string> = new Map([
  ["OPENAI_API_KEY", "llm.api_key"],
  ["OPENAI_BASE_URL", "llm.base_url"],
  ["PORT", "server.port"],
  ["API_PROXY", "chat.api_proxy"],
  ["CHAT_API_KEY", "chat.api_key"],
  ["UNOFFICIAL_PROXY", "conv.unofficial_proxy"],
  ["ACCESS_TOKEN", "conv.access_token"],
  ["SECRET_KEY", "auth.secret_key"],
  ["OTEL_EXPORTER_OTLP_ENDPOINT", "ops.otlp_endpoint"],
]);
