import { describe, expect, test } from "bun:test";
import type { Tool } from "../../src/core/turn.ts";
import { toolText } from "../../src/sources/tool_text.ts";

function toolOf(parameters: unknown, description = ""): Tool {
  return { kind: "function", name: "moor", description, parameters, isStrict: false };
}

/** What stands between the lines that are always there. */
function told(tool: Tool): string {
  const [, text] = /^namespace functions \{\n\n([^]*)\n\n\} \/\/ namespace functions$/.exec(
    toolText([tool], 10_000),
  )!;
  return text!;
}

function typeOf(schema: unknown, $defs: unknown = {}): string {
  const text = told(toolOf({ properties: { a: schema }, required: ["a"], $defs }));
  return /^type moor = \(_: \{\s*(?:\/\/ .*\n)?a: ([^]*?),?\s*\}\) => any;$/.exec(text)![1]!;
}

describe("toolText()", () => {
  const types: readonly (readonly [unknown, string])[] = [
    [{ type: "string" }, "string"],
    [{ type: "number" }, "number"],
    [{ type: "integer" }, "number"],
    [{ type: "boolean" }, "boolean"],
    [{ type: "null" }, "null"],
    [{}, "any"],
    [null, "any"],
    [{ type: "array", items: { type: "string" } }, "string[]"],
    [{ type: "array" }, "any[]"],
    [{ type: "string", enum: ["oak", '"elm"'] }, '"oak" | "\\"elm\\""'],
    [{ enum: [1, null, {}] }, "1 | null | any"],
    [{ const: "oak" }, '"oak"'],
    [{ anyOf: [{ type: "string" }, { type: "null" }] }, "string | null"],
    [{ oneOf: [{ type: "string" }, { type: "null" }] }, "string | null"],
    [{ allOf: [{ $ref: "#/$defs/Ship" }] }, "string"],
    [{ type: ["integer", "null"] }, "number | null"],
    [{ $ref: "#/$defs/Ship" }, "string"],
    [{ $ref: "#/$defs/a~1b" }, "number"],
    [{ $ref: "#/$defs/none" }, "any"],
    [
      {
        type: "object",
        properties: { x: { type: "number" }, y: { type: "number" } },
        required: ["x"],
      },
      "{\nx: number,\ny?: number,\n}",
    ],
    [{ type: "object" }, "{\n}"],
  ];
  const defs = { Ship: { type: "string", title: "Ship" }, "a/b": { type: "number" } };
  for (const [schema, text] of types) {
    test(`${JSON.stringify(schema)} is ${text}`, () => expect(typeOf(schema, defs)).toBe(text));
  }

  const functions: readonly (readonly [string, Tool, string])[] = [
    ["no parameters", toolOf(undefined), "type moor = () => any;"],
    ["no properties", toolOf({ type: "object", properties: {} }), "type moor = () => any;"],
    [
      "bare parameters stand in one line",
      toolOf({ properties: { a: { type: "number" }, b: { type: "string", description: "  " } } }),
      "type moor = (_: { a?: number, b?: string }) => any;",
    ],
    [
      "descriptions and defaults",
      toolOf({
        properties: {
          place: { type: "string", description: " Where to \n   moor. " },
          unit: { enum: ["m", "ft"], default: "m" },
          knots: { type: "integer", default: 3 },
        },
        required: ["place"],
      }, "\n  Moors the ship.\n\n    At once.\n"),
      "// Moors the ship.\n\nAt once.\ntype moor = (_: {\n// Where to\nmoor.\nplace: string,\n" +
      'unit?: "m" | "ft", // default: "m"\nknots?: number, // default: 3\n}) => any;',
    ],
    [
      "a custom tool takes a text",
      { ...toolOf(undefined), kind: "custom" },
      "type moor = (_: { input: string }) => any;",
    ],
  ];
  for (const [name, tool, text] of functions) {
    test(name, () => expect(told(tool)).toBe(text));
  }

  test("several tools stand one behind the other", () => {
    expect(toolText([toolOf({}), { ...toolOf({}), name: "sail" }], 1000)).toBe(
      "namespace functions {\n\ntype moor = () => any;\n\ntype sail = () => any;\n\n" +
        "} // namespace functions",
    );
  });

  const endless: Readonly<Record<string, object>> = {
    "refers to itself": { $ref: "#" },
    "refers to itself twice": { anyOf: [{ $ref: "#/properties/a" }, { $ref: "#/properties/a" }] },
    "has itself twice": {
      type: "object",
      properties: { b: { $ref: "#/properties/a" }, c: { $ref: "#/properties/a" } },
    },
    "is a list of itself": { type: "array", items: { $ref: "#/properties/a" } },
  };
  for (const [name, schema] of Object.entries(endless)) {
    test(`ends where a schema ${name}`, () => {
      const text = toolText([toolOf({ properties: { a: schema }, type: "object" })], 5000);
      expect(text.length).toBeLessThan(6000);
    });
  }
});
