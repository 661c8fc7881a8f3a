/**
 * What people and their editors read of the tree: `config.yaml` with every setting, and its JSON
 * Schema.
 *
 * @module
 */

import { stringify } from "yaml";
import { z } from "zod";
import { ABOUT, shapeOf, type Unit } from "./shape.ts";
import { TREE } from "./tree.ts";

const SCHEMA_LINE = "# yaml-language-server: $schema=./config.schema.json";
const HEAD = [
  "# Every setting of weir with its default. What is left out keeps its default, so an empty file works too.",
  "# Precedence: flag > environment > .env > this file > default. The environment's names are made from the",
  "# path: server.port is WEIR_SERVER_PORT. `weir check` says what is wrong, and prints what is in force.",
];

/** Where meanings begin in `config.yaml`. */
const MEANING_COLUMN = 35;

const FLOW = { collectionStyle: "flow", flowCollectionPadding: false } as const;

const UNITS: Readonly<Record<Unit, string>> = {
  ms: "milliseconds",
  s: "seconds",
  bytes: "bytes",
  days: "days",
};

/** The text of `config.yaml`: every setting, its default and its meaning. */
export function exampleText(): string {
  const blocks = Object.entries(TREE.shape).map(([name, schema]) => {
    const shape = shapeOf(schema);
    if (shape.kind !== "fields") return [keyLine("", name, schema), ...entryLines(schema)];
    return sectionLines(
      "",
      [name],
      shape.fields,
      (before, keys, field) => keyLine(before, keys.at(-1)!, field),
    );
  });
  return textOf([[SCHEMA_LINE, ...HEAD], ...blocks]);
}

/** The lines of a section and of those in it; `line` writes a setting. */
function sectionLines(
  before: string,
  keys: readonly string[],
  fields: Readonly<Record<string, z.ZodType>>,
  line: (before: string, keys: readonly string[], schema: z.ZodType) => string,
): readonly string[] {
  const inner = `${before}  `;
  return [
    `${before}${keys.at(-1)}:`,
    ...Object.entries(fields).flatMap(([key, field]) => {
      const shape = shapeOf(field);
      const isSection = shape.kind === "fields" && !ABOUT.has(field);
      const path = [...keys, key];
      return isSection ? sectionLines(inner, path, shape.fields, line) : [line(inner, path, field)];
    }),
  ];
}

/**
 * The text of a config to begin with: every setting as a comment, with its default and its meaning. Those in
 * `given`, by their paths, are set.
 */
export function starterText(given: ReadonlyMap<string, unknown>): string {
  const line = (before: string, keys: readonly string[], schema: z.ZodType) => {
    const path = keys.join(".");
    const key = keys.at(-1)!;
    // JSON is YAML on one line.
    return given.has(path)
      ? described(`${before}${key}: ${JSON.stringify(given.get(path))}`, schema)
      : keyLine(`${before}# `, key, schema);
  };
  const blocks = Object.entries(TREE.shape).map(([name, schema]) => {
    const shape = shapeOf(schema);
    if (shape.kind !== "fields") return [line("", [name], schema), ...entryLines(schema)];
    return sectionLines("", [name], shape.fields, line);
  });
  return textOf([HEAD, ...blocks]);
}

function textOf(blocks: readonly (readonly string[])[]): string {
  return `${blocks.map((lines) => lines.join("\n")).join("\n\n")}\n`;
}

/** A key with its default, if it has one, and its meaning. */
function keyLine(before: string, key: string, schema: z.ZodType): string {
  const { success, data } = schema.safeParse(undefined);
  const value = success && data !== undefined ? ` ${stringify(data, FLOW).trim()}` : "";
  return described(`${before}${key}:${value}`, schema);
}

function described(text: string, schema: z.ZodType): string {
  return `${`${text} `.padEnd(MEANING_COLUMN)}# ${ABOUT.get(schema)!.meaning}`;
}

/** What an entry of a list has, as a comment. */
function entryLines(schema: z.ZodType): readonly string[] {
  const list = shapeOf(schema);
  const entry = list.kind === "list" ? shapeOf(list.item) : list;
  if (entry.kind !== "fields") return [];
  return Object.entries(entry.fields).map(([key, field], index) =>
    keyLine(index === 0 ? "# - " : "#   ", key, field)
  );
}

/** The text of `config.schema.json`, for editors: what `weir check` takes, as far as it can say so. */
export function jsonSchemaText(): string {
  const schema = z.toJSONSchema(TREE, {
    target: "draft-07", // the one that every editor knows
    io: "input",
    metadata: z.registry(),
    override: ({ zodSchema, jsonSchema, path }) => {
      const about = ABOUT.get(zodSchema);
      if (about !== undefined) {
        const unit = about.unit === undefined ? "" : `. In ${UNITS[about.unit]}.`;
        jsonSchema.description = `${about.meaning}${unit}`;
      }
      if (zodSchema instanceof z.ZodDefault) jsonSchema.default = zodSchema.def.defaultValue;
      // A text needs no quotes, whatever it looks like: 007, true.
      const isText = zodSchema instanceof z.ZodString && path.at(-1) !== "propertyNames";
      if (isText) Object.assign(jsonSchema, { type: ["string", "number", "boolean"] });
      // A section whose keys are all left out is an empty one, and every section may be left out.
      if (zodSchema instanceof z.ZodObject && !path.includes("items")) {
        if (path.length > 0) Object.assign(jsonSchema, { type: ["object", "null"] });
        delete jsonSchema.required;
      }
    },
  });
  return `${JSON.stringify({ title: "weir's config.yaml", ...schema }, null, 2)}\n`;
}
