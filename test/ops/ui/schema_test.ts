import { describe, expect, test } from "bun:test";
import { chunkKindOf, readSchemas } from "../../../src/ops/ui/schema.ts";

/** An output as the schema spells it → how its chunks are read. */
const OUTPUTS = [
  [{ type: "text", format: "sse-text" }, "text"],
  [{ type: "json", format: "sse-json" }, "json"],
  [{ type: "text", format: "sse-json" }, "json"],
  [{ type: "sse-text" }, "text"],
  [{ type: "sse-json" }, "json"],
  [{ type: "stream" }, "text"],
  [{ type: "stream", subtype: "json" }, "json"],
  [{ type: "event-stream", subtype: "text" }, "text"],
  [{ type: "json", format: "stream" }, "json"],
  [{ type: "text", format: "stream" }, "text"],
  [{ type: "string" }, "text"],
] as const;

describe("chunkKindOf()", () => {
  for (const [output, kind] of OUTPUTS) {
    test(`reads the chunks of ${JSON.stringify(output)} as ${kind}`, () => {
      const [schema] = readSchemas([{ workflow_id: "w", input: [], output: [output] }]);
      expect(chunkKindOf(schema!)).toBe(kind);
    });
  }
});

describe("readSchemas()", () => {
  test("takes an input for optional when the answer says so", () => {
    const input = [{ type: "text" }, { type: "text", required: false }];
    const [schema] = readSchemas([{ workflow_id: "w", input, output: [] }]);
    expect(schema!.inputs.map(({ isOptional }) => isOptional)).toEqual([undefined, true]);
  });

  test("fills in what the answer leaves out", () => {
    const [schema] = readSchemas([{
      workflow_id: "w",
      input: [{ name: "a", default: null }, { type: "number", default: 0 }],
      output: [{ variables: [{ type: "text" }] }],
    }]);
    const blank = { subtype: "", format: "", isList: false, initial: undefined, description: "" };
    expect(schema).toEqual({
      id: "w",
      title: "",
      description: "",
      isDefault: false,
      inputs: [
        { ...blank, name: "a", type: "string" },
        { ...blank, name: "", type: "number", initial: 0 },
      ],
      outputs: [{ ...blank, name: "", type: "json" }],
    });
  });

  test("survives what is no schema, and refuses what is no list", () => {
    expect(readSchemas([null, 1, {}]).map(({ id }) => id)).toEqual(["", "", ""]);
    expect(() => readSchemas({ detail: "x" })).toThrow(SyntaxError);
  });
});
