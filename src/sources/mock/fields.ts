/**
 * The parts of a JSON Schema, which may be anything.
 *
 * @module
 */

/** Where the patterns of a schema stand that a text must not be long for (`guard`): a list of them. */
export const GUARDED = "weir:patterns";

/** A JSON object whose keys are not known. */
export type Fields = Readonly<Record<string, unknown>>;

/** `value` as an object; of anything else the empty one. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Fields
    : {};
}

/** `value` as a list; of anything else the empty one. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The names in a `type`. */
export function typesOf(type: unknown): readonly unknown[] {
  return Array.isArray(type) ? type : type === undefined ? [] : [type];
}
