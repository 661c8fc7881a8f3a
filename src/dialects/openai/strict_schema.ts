/**
 * The part of JSON Schema that `strict` takes, checked as the live API checks it
 * (docs/facts/openai_api.md "Strict schemas").
 *
 * @module
 */

import { isDeeper } from "../../lib/depth.ts";
import { isObject, type JsonObject } from "./check.ts";
import { echo, type Fault, refused } from "./faults.ts";

/** What is refused wherever it stands. */
const REFUSED: readonly string[] = [
  "oneOf",
  "allOf",
  "not",
  "dependentRequired",
  "dependentSchemas",
  "if",
  "then",
  "else",
];
const PROPERTIES_MAX = 5000;
const LEVELS_MAX = 10;
const NAMES_CHARS_MAX = 120_000;
const ENUM_VALUES_MAX = 1000;
/** An `enum` with more values than this has so many characters at the most. */
const LONG_ENUM_VALUES = 250;
const LONG_ENUM_CHARS_MAX = 15_000;
/** Deeper than any schema that the limits allow, references and lists counted. */
const JSON_DEPTH_MAX = 100;

/**
 * What is wrong with a strict `schema`, as the sentence behind "Invalid schema for …: "; undefined
 * when nothing is.
 */
export function strictProblem(schema: JsonObject): string | undefined {
  if (isDeeper(schema, JSON_DEPTH_MAX)) return tooDeep();
  if (schema["type"] !== "object") return otherRoot(schema["type"] ?? "None");
  if (schema["anyOf"] !== undefined) return inContext([], "'anyOf' is not permitted.");
  return new Walk().problem(schema, [], 1);
}

/** What is wrong with the parameters of a function; those of a strict one keep to more rules. */
export function functionFault({ name, parameters, strict }: JsonObject): Fault | undefined {
  const schema = isObject(parameters) ? parameters : {};
  const problem = strict === true ? strictProblem(schema) : rootProblem(schema);
  if (problem === undefined) return undefined;
  const say = () => `Invalid schema for function '${name}': ${problem}`;
  return { code: "function_parameters", path: ".parameters", say };
}

/** What is wrong with the schema of an answer that says it is strict. */
export function strictFormatFault({ name, schema, strict }: JsonObject): Fault | undefined {
  if (strict !== true) return undefined;
  const problem = strictProblem(isObject(schema) ? schema : {});
  return problem === undefined
    ? undefined
    : refused("", `Invalid schema for response_format '${name}': ${problem}`);
}

/**
 * What is wrong with what a function takes that is not strict: only that it is certainly no object is
 * held against it.
 */
function rootProblem({ type }: JsonObject): string | undefined {
  return typeof type === "string" && type !== "object" ? otherRoot(type) : undefined;
}

function otherRoot(type: unknown): string {
  return `schema must be a JSON Schema of 'type: "object"', got 'type: "${echo(String(type))}"'.`;
}

type Context = readonly string[];

class Walk {
  #properties = 0;
  #chars = 0;
  #enumValues = 0;

  problem(value: unknown, context: Context, level: number): string | undefined {
    if (!isObject(value)) return undefined;
    for (const keyword of REFUSED) {
      if (value[keyword] !== undefined) return inContext(context, `'${keyword}' is not permitted.`);
    }
    const { type, enum: values, items, anyOf } = value;
    if (
      type === undefined && anyOf === undefined && values === undefined &&
      value["$ref"] === undefined
    ) return inContext(context, "schema must have a 'type' key.");
    const properties = isObject(value["properties"]) ? value["properties"] : undefined;
    const isAnObject = properties !== undefined || hasType(value, "object");
    if (isAnObject && level > LEVELS_MAX) return tooDeep();
    const problem = isAnObject ? objectProblem(value, properties ?? {}, context) : undefined;
    return problem ?? this.#countProblem(properties ?? {}, values, context) ??
      this.#within("properties", properties, context, level + 1) ??
      this.#within("$defs", value["$defs"], context, level) ??
      this.#within("definitions", value["definitions"], context, level) ??
      this.#within("anyOf", Array.isArray(anyOf) ? { ...anyOf } : undefined, context, level) ??
      (hasType(value, "array") && items === undefined && value["prefixItems"] === undefined
        ? inContext(context, "array schema missing items.")
        : this.problem(items, [...context, "items"], level));
  }

  #within(
    keyword: string,
    schemas: unknown,
    context: Context,
    level: number,
  ): string | undefined {
    if (!isObject(schemas)) return undefined;
    for (const [name, schema] of Object.entries(schemas)) {
      const problem = this.problem(schema, [...context, keyword, name], level);
      if (problem !== undefined) return problem;
    }
    return undefined;
  }

  /** The live wording of these limits is not known. */
  #countProblem(properties: JsonObject, values: unknown, context: Context): string | undefined {
    const names = Object.keys(properties);
    this.#properties += names.length;
    for (const name of names) this.#chars += name.length;
    if (Array.isArray(values)) {
      let chars = 0;
      for (const one of values) chars += typeof one === "string" ? one.length : 0;
      this.#chars += chars;
      this.#enumValues += values.length;
      if (values.length > LONG_ENUM_VALUES && chars > LONG_ENUM_CHARS_MAX) {
        return inContext(
          context,
          `an enum of more than ${LONG_ENUM_VALUES} values exceeds the limit of ` +
            `${LONG_ENUM_CHARS_MAX} characters.`,
        );
      }
    }
    if (this.#properties > PROPERTIES_MAX) return tooMuch(PROPERTIES_MAX, "properties");
    if (this.#enumValues > ENUM_VALUES_MAX) return tooMuch(ENUM_VALUES_MAX, "enum values");
    return this.#chars > NAMES_CHARS_MAX
      ? tooMuch(NAMES_CHARS_MAX, "characters of names and enum values")
      : undefined;
  }
}

function objectProblem(
  value: JsonObject,
  properties: JsonObject,
  context: Context,
): string | undefined {
  if (value["additionalProperties"] !== false) {
    return inContext(context, "'additionalProperties' is required to be supplied and to be false.");
  }
  const required = Array.isArray(value["required"]) ? value["required"] : undefined;
  const wanted = new Set<unknown>(required);
  const absent = Object.keys(properties).find((name) => !wanted.has(name));
  if (absent !== undefined) {
    return inContext(
      context,
      "'required' is required to be supplied and to be an array including every key in " +
        `properties. Missing '${echo(absent)}'.`,
    );
  }
  const extra = required?.find((name) => !Object.hasOwn(properties, String(name)));
  return extra === undefined ? undefined : inContext(
    context,
    `'required' is required to be supplied and to be an array including every key in properties. ` +
      `Extra required key '${echo(String(extra))}' supplied.`,
  );
}

function hasType({ type }: JsonObject, wanted: string): boolean {
  return type === wanted || (Array.isArray(type) && type.includes(wanted));
}

/** The context is written as a tuple of Python. */
function inContext(context: Context, problem: string): string {
  const quoted = context.map((step) => `'${echo(step)}'`);
  const tuple = quoted.length === 1 ? `${quoted[0]},` : quoted.join(", ");
  return `In context=(${tuple}), ${problem}`;
}

function tooDeep(): string {
  return `schema exceeds the limit of ${LEVELS_MAX} levels of nesting.`;
}

function tooMuch(max: number, of: string): string {
  return `schema exceeds the limit of ${max} ${of}.`;
}
