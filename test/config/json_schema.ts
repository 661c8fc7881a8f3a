/**
 * As much of JSON Schema as `config.schema.json` uses.
 *
 * @module
 */

/** A schema, or a part of one. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly propertyNames?: JsonSchema;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly description?: string;
  readonly default?: unknown;
  readonly title?: string;
  readonly $schema?: string;
}

const KNOWN: ReadonlySet<string> = new Set<keyof JsonSchema>([
  "type",
  "properties",
  "required",
  "additionalProperties",
  "propertyNames",
  "items",
  "anyOf",
  "enum",
  "const",
  "pattern",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "minItems",
  "maxItems",
  "description",
  "default",
  "title",
  "$schema",
]);

/**
 * What is wrong with `value`: "server.port: maximum", "server: prot" for a key that is unknown.
 *
 * @throws {Error} when `schema` uses a keyword that is not known here.
 */
export function faultsOf(schema: JsonSchema, value: unknown, path = ""): string[] {
  const strange = Object.keys(schema).find((keyword) => !KNOWN.has(keyword));
  if (strange !== undefined) throw new Error(`Cannot check the keyword ${strange}`);
  const faults: string[] = [];
  const check = (keyword: keyof JsonSchema, isRight: boolean) => {
    if (schema[keyword] !== undefined && !isRight) faults.push(`${path}: ${keyword}`);
  };
  const types = [schema.type ?? []].flat();
  check("type", types.some((type) => isOfType(type, value)));
  check("enum", schema.enum?.includes(value) === true);
  check("const", schema.const === value);
  check("anyOf", schema.anyOf?.some((each) => faultsOf(each, value).length === 0) === true);
  if (typeof value === "number") {
    check("minimum", value >= schema.minimum!);
    check("maximum", value <= schema.maximum!);
  } else if (typeof value === "string") {
    check("pattern", new RegExp(schema.pattern ?? "", "u").test(value));
    check("minLength", value.length >= schema.minLength!);
    check("maxLength", value.length <= schema.maxLength!);
  } else if (Array.isArray(value)) {
    check("minItems", value.length >= schema.minItems!);
    check("maxItems", value.length <= schema.maxItems!);
    for (const [index, item] of value.entries()) {
      faults.push(...faultsOf(schema.items ?? {}, item, inside(path, String(index))));
    }
  } else if (typeof value === "object" && value !== null) {
    faults.push(...fieldFaults(schema, value as Readonly<Record<string, unknown>>, path));
  }
  return faults;
}

function fieldFaults(
  schema: JsonSchema,
  fields: Readonly<Record<string, unknown>>,
  path: string,
): string[] {
  const { properties = {}, additionalProperties: more = true, required = [] } = schema;
  const missing = required.filter((key) => !Object.hasOwn(fields, key));
  return [
    ...missing.map((key) => `${path}: ${key} is missing`),
    ...Object.entries(fields).flatMap(([key, value]) => {
      const known = properties[key];
      if (known !== undefined) return faultsOf(known, value, inside(path, key));
      if (more === false) return [`${path}: ${key}`];
      const named = faultsOf(schema.propertyNames ?? {}, key, inside(path, key));
      return more === true ? named : [...named, ...faultsOf(more, value, inside(path, key))];
    }),
  ];
}

function inside(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    default: {
      const kind: string = typeof value;
      return kind === type;
    }
  }
}
