/**
 * Checks a JSON value against a rule. One walker for every kind of rule, so it is one file.
 *
 * A check allocates nothing while the value is right: a fault carries its path from the inside
 * out, so no path is spelled before there is a fault. Recursion follows the rule's depth, never
 * the value's, so a deeply nested body cannot exhaust the stack.
 *
 * @module
 */

import { type Fault, missing, under, unknownKey, wrongChoice, wrongType } from "./faults.ts";

/** `spec`: types and limits of OpenAI's schema. `live`: what the live API refuses as well. */
export type Level = "spec" | "live";

/** What a value must be. */
export type Rule =
  & (
    | { readonly kind: "any" }
    | { readonly kind: "boolean" }
    /** `liveMin` is a limit the schema does not have. */
    | {
      readonly kind: "integer";
      readonly min?: number;
      readonly max?: number;
      readonly liveMin?: number;
    }
    | { readonly kind: "decimal"; readonly min: number; readonly max: number }
    /** `isName`: on `live` 1 to 64 characters of [a-zA-Z0-9_-]. */
    | { readonly kind: "string"; readonly lengthMax?: number; readonly isName?: true }
    /** `live` = the values the live API lists, where they are not the schema's. */
    | {
      readonly kind: "choice";
      readonly values: readonly string[];
      readonly live?: readonly string[];
    }
    /** `isClosed`: on `live` other keys are refused. */
    | { readonly kind: "object"; readonly fields: Fields; readonly isClosed?: true }
    /** An object whose further fields hang on its key `type`. `tags`: in the order of the text. */
    | { readonly kind: "tagged"; readonly tags: Readonly<Record<string, Fields>> }
    /** `liveMin` and `liveMax` hold where the schema has no such limit. */
    | {
      readonly kind: "list";
      readonly item: Rule;
      readonly of: "objects" | "strings";
      readonly min?: number;
      readonly max?: number;
      readonly liveMin?: number;
      readonly liveMax?: number;
    }
    /** A string (with its own rule) or something else (with its own rule). */
    | {
      readonly kind: "either";
      readonly text: Rule;
      readonly other: Rule;
      readonly expected: string;
    }
    | {
      readonly kind: "own";
      readonly check: (value: unknown, level: Level) => Fault | undefined;
    }
  )
  & {
    /** True: null is as good as absent. */
    readonly isNullable?: true;
    /** True: a missing field of an object is a fault. */
    readonly isRequired?: true;
  };

/** The known fields of an object, in the order they are checked. */
export type Fields = readonly (readonly [name: string, rule: Rule])[];

/** A JSON object whose keys are not known yet. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Longest function name, in characters. */
const NAME_CHARS_MAX = 64;
const NAME = /^[a-zA-Z0-9_-]+$/;

/** Is `value` an object, neither null nor an array? */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** "Invalid 'stop': array too long. …" or "… empty array. …", or nothing when the length is right. */
export function checkCount(count: number, min: number, max: number): Fault | undefined {
  if (count < min) {
    const say = (path: string) =>
      `Invalid '${path}': empty array. Expected an array with minimum length ${min}, ` +
      "but got an empty array instead.";
    return { code: "array_empty", path: "", say };
  }
  if (count <= max) return undefined;
  const say = (path: string) =>
    `Invalid '${path}': array too long. Expected an array with maximum length ${max}, ` +
    `but got an array with length ${count} instead.`;
  return { code: "array_too_long", path: "", say };
}

/** "Invalid 'metadata.k': string too long. …", or nothing when the length is right. */
export function checkLength(text: string, max: number): Fault | undefined {
  const length = charCount(text, max);
  if (length <= max) return undefined;
  const say = (path: string) =>
    `Invalid '${path}': string too long. Expected a string with maximum length ${max}, ` +
    `but got a string with length ${length} instead.`;
  return { code: "string_too_long", path: "", say };
}

/** A longer text is measured in UTF-16 units: counting 32 MB would block for some 20 ms. */
const COUNTED_CHARS_MAX = 65_536;

/** Characters of `text`, each pair as one; a text within `max` either way is not counted. */
export function charCount(text: string, max: number): number {
  if (text.length <= max || text.length > COUNTED_CHARS_MAX) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

/** What is wrong with `value` under `rule`; undefined when it is right. `value` is not undefined. */
export function check(value: unknown, rule: Rule, level: Level): Fault | undefined {
  if (value === null && rule.isNullable) return undefined;
  switch (rule.kind) {
    case "any":
      return undefined;
    case "boolean":
      return typeof value === "boolean" ? undefined : wrongType("a boolean", value);
    case "integer": {
      if (!Number.isInteger(value)) return wrongType("an integer", value);
      const min = level === "live" ? rule.liveMin ?? rule.min : rule.min;
      return checkRange(value as number, "integer", min, rule.max);
    }
    case "decimal":
      if (typeof value !== "number") return wrongType("a decimal", value);
      return checkRange(value, "decimal", rule.min, rule.max);
    case "string":
      if (typeof value !== "string") return wrongType("a string", value);
      if (rule.lengthMax !== undefined) return checkLength(value, rule.lengthMax);
      return rule.isName && level === "live" ? checkName(value) : undefined;
    case "choice": {
      if (typeof value !== "string") return wrongType("a string", value);
      const values = level === "live" ? rule.live ?? rule.values : rule.values;
      return values.includes(value) ? undefined : wrongChoice(value, values);
    }
    case "object":
      if (!isObject(value)) return wrongType("an object", value);
      return (rule.isClosed && level === "live" ? checkKeys(value, rule.fields) : undefined) ??
        checkFields(value, rule.fields, level);
    case "tagged":
      return checkTagged(value, rule.tags, level);
    case "list": {
      if (!Array.isArray(value)) return wrongType(`an array of ${rule.of}`, value);
      return checkList(value, rule, level);
    }
    case "either":
      if (typeof value === "string") return check(value, rule.text, level);
      if (
        typeof value !== "object" || value === null || Array.isArray(value) !== isListRule(rule)
      ) {
        return wrongType(rule.expected, value);
      }
      return check(value, rule.other, level);
    case "own":
      return rule.check(value, level);
  }
}

/** What is wrong with the known fields of `value`: the first one in the table's order. */
export function checkFields(value: JsonObject, fields: Fields, level: Level): Fault | undefined {
  for (const [name, rule] of fields) {
    const field = value[name];
    if (field === undefined) {
      if (rule.isRequired) return missing(`.${name}`);
      continue;
    }
    const fault = check(field, rule, level);
    if (fault !== undefined) return under(`.${name}`, fault);
  }
  return undefined;
}

function isListRule(rule: Rule & { readonly kind: "either" }): boolean {
  return rule.other.kind === "list";
}

function checkKeys(value: JsonObject, fields: Fields): Fault | undefined {
  for (const key in value) {
    if (fields.some(([name]) => name === key)) continue;
    return under(".", unknownKey(key, []));
  }
  return undefined;
}

function checkTagged(
  value: unknown,
  tags: Readonly<Record<string, Fields>>,
  level: Level,
): Fault | undefined {
  if (!isObject(value)) return wrongType("an object", value);
  const tag = value["type"];
  if (tag === undefined) return missing(".type");
  if (typeof tag !== "string") return under(".type", wrongType("a string", tag));
  if (!Object.hasOwn(tags, tag)) return under(".type", wrongChoice(tag, Object.keys(tags)));
  return checkFields(value, tags[tag]!, level);
}

function checkList(
  value: readonly unknown[],
  rule: Rule & { readonly kind: "list" },
  level: Level,
): Fault | undefined {
  const isLive = level === "live";
  const min = (isLive ? rule.liveMin : undefined) ?? rule.min ?? 0;
  const max = (isLive ? rule.liveMax : undefined) ?? rule.max ?? Infinity;
  const fault = checkCount(value.length, min, max);
  if (fault !== undefined) return fault;
  for (let i = 0; i < value.length; i++) {
    const fault = check(value[i], rule.item, level);
    if (fault !== undefined) return under(`[${i}]`, fault);
  }
  return undefined;
}

function checkRange(
  value: number,
  kind: "integer" | "decimal",
  min: number | undefined,
  max: number | undefined,
): Fault | undefined {
  if (min !== undefined && value < min) {
    const say = (path: string) =>
      `Invalid '${path}': ${kind} below minimum value. ` +
      `Expected a value >= ${min}, but got ${value} instead.`;
    return { code: `${kind}_too_small`, path: "", say, should: `greater than or equal to ${min}` };
  }
  if (max === undefined || value <= max) return undefined;
  const say = (path: string) =>
    `Invalid '${path}': ${kind} above maximum value. ` +
    `Expected a value <= ${max}, but got ${value} instead.`;
  return { code: `${kind}_too_large`, path: "", say, should: `less than or equal to ${max}` };
}

function checkName(name: string): Fault | undefined {
  if (name === "") {
    const say = (path: string) =>
      `Invalid '${path}': empty string. Expected a string with minimum length 1, ` +
      "but got an empty string instead.";
    return { code: "string_empty", path: "", say };
  }
  const fault = checkLength(name, NAME_CHARS_MAX);
  if (fault !== undefined || NAME.test(name)) return fault;
  const say = (path: string) =>
    `Invalid '${path}': string does not match pattern. ` +
    "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.";
  return { code: "param_value", path: "", say };
}
