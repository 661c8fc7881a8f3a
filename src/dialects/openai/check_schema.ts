/**
 * The rules of `check.ts` as JSON Schema, for `/openapi.json`: one table both checks requests
 * and describes them.
 *
 * @module
 */

import type { Fields, Rule } from "./check.ts";

/** A JSON Schema (2020-12), as far as rules need it. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** What `rule` lets through. A check of its own lets the schema say nothing. */
export function schemaOf(rule: Rule): JsonSchema {
  const schema = plainSchema(rule);
  return rule.isNullable ? { anyOf: [schema, { type: "null" }] } : schema;
}

/** An object with these fields, and any others. */
export function objectSchema(fields: Fields): JsonSchema {
  const required = fields.filter(([, rule]) => rule.isRequired).map(([name]) => name);
  return {
    type: "object",
    properties: Object.fromEntries(fields.map(([name, rule]) => [name, schemaOf(rule)])),
    ...(required.length === 0 ? {} : { required }),
  };
}

function plainSchema(rule: Rule): JsonSchema {
  switch (rule.kind) {
    case "any":
    case "own":
      return {};
    case "boolean":
      return { type: "boolean" };
    case "integer":
      return { type: "integer", ...range(rule.liveMin ?? rule.min, rule.max) };
    case "decimal":
      return { type: "number", ...range(rule.min, rule.max) };
    case "string":
      return {
        type: "string",
        ...(rule.lengthMax === undefined ? {} : { maxLength: rule.lengthMax }),
      };
    case "choice":
      return { type: "string", enum: rule.live ?? rule.values };
    case "object":
      return objectSchema(rule.fields);
    case "tagged":
      return {
        oneOf: Object.entries(rule.tags).map(([tag, fields]) => {
          const { properties, required = [] } = objectSchema(fields) as {
            readonly properties: object;
            readonly required?: readonly string[];
          };
          return {
            type: "object",
            properties: { type: { type: "string", const: tag }, ...properties },
            required: ["type", ...required],
          };
        }),
      };
    case "list": {
      const min = rule.liveMin ?? rule.min;
      const max = rule.liveMax ?? rule.max;
      return {
        type: "array",
        items: schemaOf(rule.item),
        ...(min === undefined ? {} : { minItems: min }),
        ...(max === undefined ? {} : { maxItems: max }),
      };
    }
    case "either":
      return { anyOf: [schemaOf(rule.text), schemaOf(rule.other)] };
  }
}

function range(minimum: number | undefined, maximum: number | undefined): JsonSchema {
  return {
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
  };
}
