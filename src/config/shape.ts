/**
 * What a tree of zod schemas says about itself: how it is built, what each part of it means, and
 * which parts are secret.
 *
 * @module
 */

import { z } from "zod";

/** How a value is shown: not at all, a URL without its password, or as it is. */
export type Shows = "plain" | "secret" | "url";

/** What people are told about a setting, and what they are not shown. */
export interface About {
  /** One line for people: what it does, its range and what its limits mean. */
  readonly meaning: string;
  /**
   * Absent: plain. It holds for what is below as well: a secret mapping shows its keys only. Of a
   * secret list of entries, masks hide what is secret in an entry, and messages hide all of it.
   */
  readonly shows?: Shows;
  /** What a number counts. Its name says it too. */
  readonly unit?: Unit;
}

/** Units of settings, as their names end. */
export type Unit = "ms" | "s" | "bytes" | "days";

/** Everything that is said about the schemas of the tree. */
export const ABOUT = z.registry<About>();

/** How a schema is built: what a reader of YAML has to look for. */
export type Shape =
  | { readonly kind: "fields"; readonly fields: Readonly<Record<string, z.ZodType>> }
  | { readonly kind: "list"; readonly item: z.ZodType }
  | { readonly kind: "mapping"; readonly value: z.ZodType }
  /** A scalar that stays as it is written: 007, True. */
  | { readonly kind: "text" }
  /** A scalar of YAML's own types. */
  | { readonly kind: "typed" };

/** The shape of `schema`, whether it must be there or not, without its default and what is done to its value afterwards. */
export function shapeOf(schema: z.ZodType): Shape {
  const isWrapped = schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional;
  if (isWrapped) return shapeOf(schema.def.innerType as z.ZodType);
  if (schema instanceof z.ZodPipe) return shapeOf(schema.def.in as z.ZodType);
  if (schema instanceof z.ZodObject) return { kind: "fields", fields: schema.shape };
  if (schema instanceof z.ZodArray) return { kind: "list", item: schema.element as z.ZodType };
  if (schema instanceof z.ZodRecord) {
    return { kind: "mapping", value: schema.valueType as z.ZodType };
  }
  const isText = schema instanceof z.ZodString || schema instanceof z.ZodEnum;
  return { kind: isText ? "text" : "typed" };
}

/** The schemas from `schema` down to what is under `path`, as far as the tree goes. */
export function schemasAlong(schema: z.ZodType, path: readonly PropertyKey[]): z.ZodType[] {
  const along = [schema];
  for (const key of path) {
    const shape = shapeOf(along.at(-1)!);
    const next = shape.kind === "fields"
      ? shape.fields[String(key)]
      : shape.kind === "list"
      ? shape.item
      : shape.kind === "mapping"
      ? shape.value
      : undefined;
    if (next === undefined) break;
    along.push(next);
  }
  return along;
}

/** May what stands under `path` be secret? A value in place of a list or of an entry may be. */
export function mayBeSecret(schema: z.ZodType, path: readonly PropertyKey[]): boolean {
  const along = schemasAlong(schema, path);
  return along.some((each) => ABOUT.get(each)?.shows === "secret") || holdsSecret(along.at(-1)!);
}

function holdsSecret(schema: z.ZodType): boolean {
  if (ABOUT.get(schema)?.shows === "secret") return true;
  const shape = shapeOf(schema);
  if (shape.kind === "fields") return Object.values(shape.fields).some(holdsSecret);
  return shape.kind === "list" && holdsSecret(shape.item);
}

/** A copy of `value`, which `schema` has checked, with each scalar changed by how it is shown. */
export function mapScalars(
  schema: z.ZodType,
  value: unknown,
  change: (scalar: unknown, shows: Shows) => unknown,
  above: Shows = "plain",
): unknown {
  const about = ABOUT.get(schema);
  const shows = about === undefined ? above : about.shows ?? "plain";
  const shape = shapeOf(schema);
  const part = (of: z.ZodType, inner: unknown) => mapScalars(of, inner, change, shows);
  switch (shape.kind) {
    case "fields": {
      const given = value as Readonly<Record<string, unknown>>;
      return Object.fromEntries(
        Object.entries(shape.fields).filter(([key]) => given[key] !== undefined) // may be left out
          .map(([key, field]) => [key, part(field, given[key])]),
      );
    }
    case "list":
      return (value as readonly unknown[]).map((item) => part(shape.item, item));
    case "mapping":
      return Object.fromEntries(
        Object.entries(value as object).map(([key, inner]) => [key, part(shape.value, inner)]),
      );
    default:
      return change(value, shows);
  }
}
