import { describe, expect, test } from "bun:test";
import { cpuMs } from "../../cpu_ms.ts";
import { strictProblem } from "../../../src/dialects/openai/strict_schema.ts";

/** A closed object with these properties, all of them required. */
function closed(properties: Record<string, unknown>, more: Record<string, unknown> = {}) {
  const required = Object.keys(properties);
  return { type: "object", properties, required, additionalProperties: false, ...more };
}

const TEXT = { type: "string" };
const OPEN = "'additionalProperties' is required to be supplied and to be false.";
const REQUIRED =
  "'required' is required to be supplied and to be an array including every key in properties. ";

/** `levels` objects inside one another. */
function nested(levels: number): Record<string, unknown> {
  return levels === 1 ? closed({}) : closed({ a: nested(levels - 1) });
}

describe("strictProblem()", () => {
  const wrong: readonly (readonly [string, Record<string, unknown>, string])[] = [
    ["an open root", { ...closed({}), additionalProperties: true }, `In context=(), ${OPEN}`],
    ["a silent root", { type: "object" }, `In context=(), ${OPEN}`],
    [
      "an open property",
      closed({ etymology: { type: "object", properties: {} } }),
      `In context=('properties', 'etymology'), ${OPEN}`,
    ],
    [
      "open items",
      closed({ facts: { type: "array", items: { type: "object" } } }),
      `In context=('properties', 'facts', 'items'), ${OPEN}`,
    ],
    [
      "an open definition",
      closed({ a: { $ref: "#/$defs/a" } }, { $defs: { a: { type: "object" } } }),
      `In context=('$defs', 'a'), ${OPEN}`,
    ],
    [
      "an open alternative",
      closed({ a: { anyOf: [TEXT, { type: "object" }] } }),
      `In context=('properties', 'a', 'anyOf', '1'), ${OPEN}`,
    ],
    [
      "an object that may be null",
      closed({ a: { type: ["object", "null"] } }),
      `In context=('properties', 'a'), ${OPEN}`,
    ],
    [
      "an optional property",
      { ...closed({ a: TEXT, params: TEXT }), required: ["a"] },
      `In context=(), ${REQUIRED}Missing 'params'.`,
    ],
    [
      "no list of the required ones",
      { ...closed({ a: TEXT }), required: undefined },
      `In context=(), ${REQUIRED}Missing 'a'.`,
    ],
    [
      "one that is required and not there",
      { ...closed({ a: TEXT }), required: ["a", "relations"] },
      `In context=(), ${REQUIRED}Extra required key 'relations' supplied.`,
    ],
    ...["oneOf", "allOf", "not", "if", "dependentRequired"].map((keyword) =>
      [
        `${keyword} in a property`,
        closed({ data: { ...TEXT, [keyword]: [] } }),
        `In context=('properties', 'data'), '${keyword}' is not permitted.`,
      ] as const
    ),
    [
      "a root that is no object",
      { type: "array", items: TEXT },
      `schema must be a JSON Schema of 'type: "object"', got 'type: "array"'.`,
    ],
    [
      "a root of alternatives",
      { anyOf: [closed({})] },
      `schema must be a JSON Schema of 'type: "object"', got 'type: "None"'.`,
    ],
    [
      "a property without a type",
      closed({ version: { const: 1 } }),
      "In context=('properties', 'version'), schema must have a 'type' key.",
    ],
    [
      "an array of anything",
      closed({ a: { type: "array" } }),
      "In context=('properties', 'a'), array schema missing items.",
    ],
    ["eleven levels", nested(11), "schema exceeds the limit of 10 levels of nesting."],
    ["a thousand levels", nested(1000), "schema exceeds the limit of 10 levels of nesting."],
    [
      "too many properties",
      closed(Object.fromEntries(Array.from({ length: 5001 }, (_, i) => [`p${i}`, TEXT]))),
      "schema exceeds the limit of 5000 properties.",
    ],
    [
      "too long names",
      closed({ ["x".repeat(120_001)]: TEXT }),
      "schema exceeds the limit of 120000 characters of names and enum values.",
    ],
    [
      "too many values",
      closed({ a: { type: "string", enum: Array.from({ length: 1001 }, (_, i) => `${i}`) } }),
      "schema exceeds the limit of 1000 enum values.",
    ],
    [
      "too long values",
      closed({
        a: { type: "string", enum: Array.from({ length: 251 }, () => "x".repeat(60)) },
      }),
      "In context=('properties', 'a'), an enum of more than 250 values exceeds the limit of 15000 characters.",
    ],
  ];
  for (const [name, schema, problem] of wrong) {
    test(`refuses ${name}`, () => expect(strictProblem(schema)).toBe(problem));
  }

  const right: readonly (readonly [string, Record<string, unknown>])[] = [
    ["nothing", closed({})],
    ["ten levels", nested(10)],
    [
      "alternatives",
      closed({ a: { anyOf: [TEXT, { type: "null" }] }, b: { type: ["string", "null"] } }),
    ],
    ["bounds", closed({ a: { type: "string", pattern: "^a$", format: "email" } })],
    ["an enum without a type", closed({ a: { enum: ["x", "y"] } })],
    [
      "recursion",
      closed({ next: { anyOf: [{ $ref: "#" }, { type: "null" }] } }),
    ],
  ];
  for (const [name, schema] of right) {
    test(`takes ${name}`, () => expect(strictProblem(schema)).toBeUndefined());
  }

  test("many names take no time: they are not each looked for among all", () => {
    const names = Array.from({ length: 60_000 }, (_, i) => `n${i}`);
    const schema = {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, TEXT])),
      required: names.toReversed(),
      additionalProperties: false,
    };
    const before = cpuMs();
    expect(strictProblem(schema)).toBe("schema exceeds the limit of 5000 properties.");
    expect(cpuMs() - before).toBeLessThan(1000);
  });
});
