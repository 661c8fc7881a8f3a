import { describe, expect, test } from "bun:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { misfitOf } from "../../../src/sources/mock/generate.ts";
import { Judge } from "../../../src/sources/mock/judge.ts";
import { Steps } from "../../../src/sources/mock/work.ts";

/** Whether `value` keeps `schema`, as another judge says. */
function ajvSays(schema: unknown, value: unknown): boolean {
  const ajv = new Ajv2020({ strict: false });
  (addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
  return ajv.validate(schema as object, value) as boolean;
}

const TREE = {
  $dynamicAnchor: "n",
  type: "object",
  properties: { k: { type: "array", items: { $dynamicRef: "#n" } } },
};
const A = { properties: { a: { type: "integer" } } };

/** A schema, and values that keep it and do not. */
const ROWS: readonly (readonly [unknown, ...unknown[]])[] = [
  [TREE, { k: [] }, { k: [{ k: [{}] }] }, { k: ["k"] }, { k: [{ k: [1] }] }],
  // The outermost anchor counts, so that a closed tree is closed all through.
  [
    {
      $id: "https://example.com/closed",
      $dynamicAnchor: "n",
      $ref: "tree",
      unevaluatedProperties: false,
      $defs: { tree: { ...TREE, $id: "tree" } },
    },
    { k: [{}] },
    { k: [{ extra: 1 }] },
    { extra: 1 },
  ],
  [{ ...A, unevaluatedProperties: false }, { a: 1 }, { a: 1, b: 1 }],
  [{ allOf: [A], unevaluatedProperties: false }, { a: 1 }, { b: 1 }],
  // What stands beside a schema has looked at nothing for it.
  [{ ...A, allOf: [{ unevaluatedProperties: false }] }, {}, { a: 1 }],
  [{ $ref: "#/$defs/a", allOf: [{ unevaluatedProperties: false }], $defs: { a: A } }, {}, { a: 1 }],
  [
    { anyOf: [A, { properties: { b: { const: 1 } } }], unevaluatedProperties: false },
    { b: 1 },
    { b: 1, c: 1 },
  ],
  [{ not: { not: A }, unevaluatedProperties: false }, {}, { a: 1 }],
  [{ if: A, then: { minProperties: 1 }, else: false, unevaluatedProperties: false }, { a: 1 }, {}],
  [
    { prefixItems: [true], contains: { const: 7 }, unevaluatedItems: false },
    [1, 7],
    [7],
    [1, 2],
  ],
  [{ contains: { type: "integer" }, minContains: 0, maxContains: 1 }, [], [1, "a"], [1, 2]],
  [{ contains: { type: "integer" }, minContains: 2 }, [1, 2], [1], []],
  [{ dependentSchemas: { a: { required: ["b"] } } }, {}, { a: 1, b: 1 }, { a: 1 }],
  [{ dependentRequired: { a: ["b"] } }, {}, { a: 1, b: 1 }, { a: 1 }],
  [{ propertyNames: { pattern: "^(a+)+$" } }, { aaa: 1 }, { b: 1 }],
  [
    { patternProperties: { "^(x+)+$": { type: "integer" } }, additionalProperties: false },
    { xx: 1 },
    { xx: "1" },
    { y: 1 },
  ],
  [{ uniqueItems: true }, [{ a: 1, b: 2 }, [["a", 1], ["b", 2]]], [{ a: 1, b: 2 }, { b: 2, a: 1 }]],
  [{ enum: [{ a: [1, { b: null }] }] }, { a: [1, { b: null }] }, { a: [1, {}] }, null],
  [{ const: null }, null, 0],
  [{ not: { pattern: "^(?:x|[a-z]+)+$" } }, "1", 5, "abcdefghijklmnopqrstuvwxyz"],
  [{ oneOf: [{ pattern: "^(a+)+$" }, { minLength: 3 }] }, "a", "bbb", "aaa"],
  [{ enum: [{ x: "b" }], properties: { x: { pattern: "^(a+)+$" } } }, { x: "b" }, { x: "a" }],
  [{ multipleOf: 0.5 }, 1.5, 0, 0.75],
  [{ type: "integer", exclusiveMinimum: 1, exclusiveMaximum: 3 }, 2, 2.0, 1, 3, 2.5],
  [{ type: ["integer", "null"] }, 1, null, 1.5, "a"],
  [{ minLength: 2, maxLength: 2 }, "🌊🌊", "🌊", "abc"],
  [{ prefixItems: [{ type: "integer" }], items: { type: "string" } }, [1, "a"], [1, 2], ["a"]],
  [{ $ref: "#/$defs/a~1b%25", $defs: { "a/b%": { const: 2 } } }, 2, 3],
  [{ $ref: "#/$defs/a/items", $defs: { a: { items: { const: 2 } } } }, 2, 3],
  [{ properties: { enum: { $ref: "#/$defs/const" } }, $defs: { const: { type: "null" } } }, {
    enum: null,
  }, { enum: 1 }],
  [{ format: "ipv4" }, "1.2.3.4", "1.2.3"],
];

describe("Judge", () => {
  for (const [schema, ...values] of ROWS) {
    test(`says what another judge says: ${JSON.stringify(schema)}`, () => {
      const judge = new Judge(schema, new Steps());
      for (const value of values) {
        expect([value, judge.isValid(value, judge.root)]).toEqual([value, ajvSays(schema, value)]);
      }
    });
  }

  test("says what the standard says where the other does not", () => {
    const valid = (schema: object, value: unknown) => {
      const judge = new Judge(schema, new Steps());
      return judge.isValid(value, judge.root);
    };
    const rest = { prefixItems: [true], contains: { const: 7 }, unevaluatedItems: false };
    expect(valid(rest, [1, 7, 8])).toBe(false);
    expect([0.07, 1.15, 0.005].map((value) => valid({ multipleOf: 0.01 }, value)))
      .toEqual([true, true, false]);
  });

  test("knows what older drafts mean", () => {
    const valid = (schema: object, value: unknown) => {
      const judge = new Judge(schema, new Steps());
      return judge.isValid(value, judge.root);
    };
    const four = { $schema: "http://json-schema.org/draft-04/schema#" };
    expect(valid({ ...four, minimum: 3, exclusiveMinimum: true }, 3)).toBe(false);
    expect(valid({ ...four, $ref: "#/a", a: {}, type: "null" }, 3)).toBe(true);
    expect(valid({ items: [{ type: "null" }], additionalItems: false }, [null, 1])).toBe(false);
    const recursive = {
      $schema: "https://json-schema.org/draft/2019-09/schema",
      $recursiveAnchor: true,
      type: "object",
      additionalProperties: { $recursiveRef: "#" },
    };
    expect([valid(recursive, { a: {} }), valid(recursive, { a: 1 })]).toEqual([true, false]);
  });
});

describe("misfitOf()", () => {
  test("names the innermost place", () => {
    const schema = {
      properties: {
        "a/b": { items: { anyOf: [{ type: "null" }, { properties: { c: { minimum: 3 } } }] } },
      },
    };
    expect(misfitOf({ "a/b": [null, { c: 1 }] }, schema)).toBe("at '/a~1b/1/c': 1 is less than 3");
    expect(misfitOf({ "a/b": [null, { c: 3 }] }, schema)).toBeUndefined();
    expect(misfitOf(1, { $ref: "#/x" })).toBe("the schema is none: #/x is not in the schema");
  });

  test("says that a schema takes too long, and not that a value does not keep it", () => {
    const next = (i: number) => ({ $ref: `#/$defs/d${i + 1}` });
    const $defs = Object.fromEntries(
      Array.from({ length: 40 }, (_, i) => [`d${i}`, { anyOf: [next(i), next(i)] }]),
    );
    expect(misfitOf(1, { $ref: "#/$defs/d0", $defs: { ...$defs, d40: {} } })).toBe(
      "the schema cannot be checked: it takes too long",
    );
  });
});
