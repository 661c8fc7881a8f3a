import { describe, expect, test } from "bun:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { cpuMs } from "../../cpu_ms.ts";
import { chooser } from "../../../src/sources/mock/choose.ts";
import { generate, isValid } from "../../../src/sources/mock/generate.ts";

/** Ten times what it takes: 70 ms, and another 20 ms for the judge. */
const HOSTILE_CPU_MS_MAX = 1000;

/** A validator that has nothing to do with the one that the mock asks. */
const ajv = new Ajv2020({ strict: false, multipleOfPrecision: 9 });
(addFormats as unknown as (ajv: Ajv2020) => void)(ajv);

function valueOf(schema: unknown, seed?: number): unknown {
  const made = generate(schema, seed, "text");
  if ("problem" in made) throw new Error(made.problem);
  return made.value;
}

function expectValid(value: unknown, schema: unknown) {
  const isValid = ajv.validate(schema as object, value);
  expect(isValid, `${JSON.stringify(value)} ${ajv.errorsText()}`).toBe(true);
}

const NODE = {
  type: "object",
  properties: {
    value: { type: "integer" },
    next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] },
  },
  required: ["value", "next"],
  additionalProperties: false,
};

const CASES: readonly (readonly [string, unknown, unknown])[] = [
  ["anything", {}, "text"],
  ["true", true, "text"],
  ["the required properties", {
    type: "object",
    properties: { city: { type: "string" }, unit: { enum: ["c", "f"] } },
    required: ["city"],
  }, { city: "city" }],
  ["all properties where none is required", {
    type: "object",
    properties: { city: { type: "string" }, unit: { enum: ["c", "f"] } },
  }, { city: "city", unit: "c" }],
  ["no properties", { type: "object", properties: {} }, {}],
  ["the order of properties", {
    type: "object",
    properties: { b: { type: "boolean" }, a: { type: "null" }, 你好: { type: "string" } },
    required: ["a", "你好", "b"],
  }, { b: false, a: null, 你好: "你好" }],
  ["a property that is only required", { type: "object", required: ["a"] }, { a: "a" }],
  ["a property named __proto__", {
    type: "object",
    properties: JSON.parse('{"__proto__":{"type":"integer"}}'),
    required: ["__proto__"],
  }, JSON.parse('{"__proto__":1}')],
  ["const", { const: { a: [1] } }, { a: [1] }],
  ["an enum with one fitting value", { type: "integer", enum: ["x", 7] }, 7],
  ["null last", { type: ["null", "integer"] }, 1],
  ["null last in anyOf", { anyOf: [{ type: "null" }, { type: "integer" }] }, 1],
  ["oneOf, where only one may hold", {
    oneOf: [{ type: "integer" }, { type: "number", maximum: 3 }, { type: "string" }],
  }, "text"],
  ["allOf", {
    allOf: [
      { type: "object", properties: { a: { type: "number" } }, required: ["a"] },
      {
        type: "object",
        properties: { a: { minimum: 3 }, b: { type: "null" } },
        required: ["b"],
      },
    ],
  }, { a: 3, b: null }],
  ["if and then", {
    type: "object",
    properties: { a: { const: 1 } },
    required: ["a"],
    if: { properties: { a: { const: 1 } } },
    then: { properties: { b: { type: "integer" } }, required: ["b"] },
  }, { a: 1, b: 1 }],
  ["not", { type: ["string", "integer"], not: { type: "string" } }, 1],
  ["recursion by the shortest way", { $ref: "#/$defs/node", $defs: { node: NODE } }, {
    value: 1,
    next: null,
  }],
  ["recursion of the whole", {
    type: "object",
    properties: { children: { type: "array", items: { $ref: "#" } } },
    required: ["children"],
  }, { children: [] }],
  ["an optional property that would never end", {
    type: "object",
    properties: { a: { type: "integer" }, self: { $ref: "#" } },
  }, { a: 1 }],
  ["$anchor", { $ref: "#a", $defs: { x: { $anchor: "a", type: "integer" } } }, 1],
  ["a pointer with escapes", { $ref: "#/$defs/a~1b%25", $defs: { "a/b%": { const: 2 } } }, 2],
  ["one item", { type: "array", items: { type: "string" } }, ["text"]],
  ["minItems and uniqueItems", {
    type: "array",
    items: { type: "string" },
    minItems: 3,
    uniqueItems: true,
  }, ["text", "text2", "text3"]],
  ["maxItems 0", { type: "array", items: {}, maxItems: 0 }, []],
  ["prefixItems", {
    type: "array",
    prefixItems: [{ const: 1 }, { type: "string" }],
    items: false,
  }, [1, "text"]],
  ["contains", { type: "array", items: { type: "integer" }, contains: { const: 5 } }, [5]],
  [
    "minProperties",
    { type: "object", additionalProperties: { type: "integer" }, minProperties: 2 },
    {
      key: 1,
      key2: 1,
    },
  ],
  ["patternProperties", {
    type: "object",
    patternProperties: { "^x-": { type: "integer" } },
    additionalProperties: false,
    minProperties: 2,
  }, { "x-": 1, "x-2": 1 }],
  ["propertyNames", { type: "object", propertyNames: { pattern: "^[A-Z]+$" }, minProperties: 1 }, {
    A: "A",
  }],
  ["dependentRequired", {
    type: "object",
    properties: { a: {}, b: { type: "number" } },
    required: ["a"],
    dependentRequired: { a: ["b"] },
  }, { a: "a", b: 1 }],
  ["bounds", { type: "integer", minimum: 100, multipleOf: 7 }, 105],
  ["bounds below", { type: "integer", maximum: -3 }, -3],
  ["exclusive bounds", { type: "number", exclusiveMinimum: 0, exclusiveMaximum: 0.1 }, 0.05],
  ["decimals", { type: "number", multipleOf: 0.01, minimum: 3.333 }, 3.34],
  ["minLength", { type: "string", minLength: 6 }, "textxx"],
  ["maxLength in characters", {
    type: "object",
    properties: { "🌊🌊🌊": { type: "string", maxLength: 2 } },
  }, { "🌊🌊🌊": "🌊🌊" }],
  ["a default", { type: "string", default: "auto" }, "auto"],
  ["examples", { type: "string", pattern: "^(?=b)a$|^x$", examples: ["y", "x"] }, "x"],
  ["a default that does not fit", { type: "integer", default: "auto" }, 1],
  ["$dynamicRef", {
    $dynamicAnchor: "n",
    type: "object",
    properties: { k: { type: "array", items: { $dynamicRef: "#n" } } },
    required: ["k"],
  }, { k: [{ k: [] }] }],
  ["dependentSchemas", {
    type: "object",
    properties: { a: { type: "string" } },
    required: ["a"],
    dependentSchemas: { a: { properties: { b: { type: "integer" } }, required: ["b"] } },
  }, { a: "a", b: 1 }],
  ["a reference to an id", {
    $id: "https://example.com/x/y",
    $defs: { s: { $id: "s", type: "integer" } },
    $ref: "s",
  }, 1],
];

describe("generate()", () => {
  for (const [name, schema, value] of CASES) {
    test(`${name}: ${JSON.stringify(value)}`, () => {
      expect(valueOf(schema)).toEqual(value);
      expectValid(valueOf(schema), schema);
    });
  }

  const patterns = [
    "^[A-Z]{2}-\\d{4}$",
    "^\\w+@\\w+\\.com$",
    ".+",
    "^[^a-z]+$",
    "^(foo|bar)+$",
    "^\\p{L}+$",
    "^(?=.*\\d)(?=.*[A-Z]).{8,}$",
    "^\\+?[1-9]\\d{1,14}$",
    "^#[0-9a-f]{6}$",
    "^[一-龥]{2}$",
    "^(\\d{4})-\\1$",
    "^[a-z0-9]+(?:-[a-z0-9]+)*$",
    "^[^@]+@[^@]+\\.[^@]+$",
    "^https?://[^/]+/[^/]+/[^/]+$",
    "^(?:25[0-5]|2[0-4]\\d|1\\d\\d)(?:\\.(?:25[0-5]|1\\d\\d)){3}$",
  ];
  for (const pattern of patterns) {
    test(`a text of the pattern ${pattern}`, () => {
      for (const more of [{}, { minLength: 12 }, { maxLength: 40 }]) {
        const schema = { type: "string", pattern, ...more };
        const made = generate(schema, undefined, "text");
        if ("problem" in made) expect(more).toEqual({ minLength: 12 }); // longer than it can be
        else expectValid(made.value, schema);
      }
    });
  }

  /** What the plainest ways lead to nothing for. */
  const hard: readonly (readonly [string, unknown])[] = [
    ["a whole number and any number", { oneOf: [{ type: "integer" }, { type: "number" }] }],
    ["a text that is not its own name", { type: "string", not: { const: "text" } }],
    ["a number below 0", { type: "integer", not: { minimum: 0 } }],
    ["a format with a pattern", { type: "string", format: "date-time", pattern: "Z$" }],
    ["a long text of a risky pattern", { type: "string", pattern: "^(a+)+$", minLength: 30 }],
    ["a very long text", { type: "string", pattern: "^a{50000}$" }],
    ["all numbers that there are", {
      type: "array",
      items: { type: "integer", minimum: 1, maximum: 3 },
      uniqueItems: true,
      minItems: 3,
    }],
  ];
  for (const [name, schema] of hard) {
    test(`finds in the end: ${name}`, () => {
      for (const seed of [undefined, 1, 77, 78]) expectValid(valueOf(schema, seed), schema);
    });
  }

  const formats = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
    "regex",
    "json-pointer",
    "relative-json-pointer",
    "byte",
  ];
  for (const format of formats) {
    test(`different texts of the format ${format}`, () => {
      const items = { type: "string", format };
      const schema = { type: "array", items, minItems: 40, uniqueItems: true };
      expectValid(valueOf(schema), schema);
    });
  }

  const impossible: readonly (readonly [unknown, string])[] = [
    [false, "the schema allows none"],
    [
      { type: "object", properties: { a: false }, required: ["a"] },
      "at 'a', the schema allows none",
    ],
    [{ type: "string", pattern: "^(?=b)a$" }, "the mock finds no text for the pattern '^(?=b)a$'"],
    [{ type: "string", pattern: "(" }, "the mock finds no text for the pattern '('"],
    [
      { type: "string", pattern: "^a{1000000000}$" },
      "the mock finds no text for the pattern '^a{1000000000}$'",
    ],
    [{ type: "integer", minimum: 3, maximum: 2 }, "no number is within its bounds"],
    [{ type: "integer", enum: ["a"] }, "no value of its enum fits"],
    [{ type: "fruit" }, "'fruit' is no type of JSON Schema"],
    [{ $ref: "https://example.com/s" }, "https://example.com/s is not in the schema"],
    [{ $ref: "#/$defs/a" }, "#/$defs/a is not in the schema"],
    [{ $ref: "#" }, "# refers to itself"],
    [
      { type: "object", properties: { a: { $ref: "#" } }, required: ["a"] },
      "at 'a', # refers to itself",
    ],
    [
      { type: "array", items: { type: "boolean" }, minItems: 3, uniqueItems: true },
      "at '2', there are not enough different values",
    ],
    [{ type: "string", minLength: 1e9 }, "it needs texts of more than 65536 characters"],
    [{ type: "array", items: { type: "null" }, minItems: 1e9 }, "it needs more than 10000 values"],
    [
      Array.from({ length: 100 }).reduce<unknown>((items) => ({ type: "array", items }), {}),
      "it is nested more than 64 deep",
    ],
  ];
  for (const [schema, problem] of impossible) {
    test(`says why not: ${problem}`, () => {
      expect(generate(schema, undefined, "text")).toEqual({ problem });
    });
  }

  /** Schemas that would take an engine years, or much memory. */
  const hostile: (readonly [string, unknown])[] = [
    ["a default", { type: "string", pattern: "^(a+)+b$", default: "a".repeat(50) }],
    ["a const beside", { anyOf: [{ const: "a".repeat(50) }, { pattern: "^(a|a)+b$" }] }],
    ["an example around", {
      type: "object",
      properties: { x: { type: "string", pattern: "^(a+)+b$" } },
      examples: [{ x: "a".repeat(50) }],
    }],
    ["a text of the pattern", { type: "string", pattern: "^(?=b)((a+)+)+$", minLength: 60 }],
    ["many parts", { type: "string", pattern: `^${"a*".repeat(40)}b$`, minLength: 50 }],
    ["names", {
      type: "object",
      patternProperties: { "^(a+)+b$": {} },
      properties: {
        ["a".repeat(50)]: {},
      },
    }],
    ["names by a schema", {
      type: "object",
      propertyNames: { pattern: "^(a+)+b$" },
      properties: { ["a".repeat(50)]: {} },
    }],
    ["long texts", {
      type: "array",
      minItems: 1000,
      items: { type: "string", pattern: "^(?=b)(?:a{100}){90}$" },
    }],
    ["a schema of which the validator runs in circles", {
      $ref: "#/$defs/a",
      $defs: {
        a: { $ref: "#/$defs/b" },
        b: { $ref: "#/$defs/a" },
      },
    }],
  ];
  const twice = (keyword: string) =>
    Object.fromEntries(Array.from({ length: 40 }, (_, i) => {
      const next = { $ref: `#/$defs/d${i + 1}` };
      return [`d${i}`, { [keyword]: [next, next] }];
    }));
  const slow = (i: number) => `^(([a-z])+.)+[A-Z]([a-z])+${"abcd"[i % 4]}{${i}}$`;
  hostile.push(
    ...["anyOf", "oneOf", "allOf"].map((keyword): readonly [string, unknown] => [
      `${keyword} that doubles with each reference`,
      { $ref: "#/$defs/d0", $defs: { ...twice(keyword), d40: { type: "integer" } } },
    ]),
    ["alternatives beside each other", {
      type: "string",
      pattern: `^${"(a|a)".repeat(40)}(?!c)b$`,
      default: "a".repeat(40),
    }],
    ["a repeated group that may be empty", {
      type: "string",
      pattern: "^(a?){60}(?!b)c$",
      default: "a".repeat(30),
    }],
    ["a format whose rule backtracks", {
      type: "string",
      format: "url",
      default: `http://${"a".repeat(60)}!`,
    }],
    ["many patterns that nothing is found for", {
      type: "object",
      properties: Object.fromEntries(
        Array.from({ length: 40 }, (_, i) => [`p${i}`, {
          type: "string",
          pattern: slow(i),
          minLength: 30 + i,
        }]),
      ),
    }],
    ["many names against many patterns", {
      type: "object",
      required: Array.from({ length: 3000 }, (_, i) => `k${i}`),
      patternProperties: Object.fromEntries(
        Array.from({ length: 1000 }, (_, i) => [`^x${i}`, {}]),
      ),
    }],
    ["many schemas in one", {
      type: "object",
      allOf: Array.from({ length: 5000 }, (_, i) => ({ properties: { [`k${i}`]: {} } })),
    }],
    ["a long enum for each of many items", {
      type: "array",
      minItems: 2000,
      items: { enum: Array.from({ length: 20_000 }, (_, i) => `v${i}`) },
    }],
  );
  for (const [name, schema] of hostile) {
    test(`ends soon on a hostile schema: ${name}`, () => {
      const before = cpuMs();
      const made = generate(schema, undefined, "text");
      expect("problem" in made || "value" in made).toBe(true);
      expect(isValid({ x: "a".repeat(50) }, schema)).toBeBoolean();
      expect(cpuMs() - before).toBeLessThan(HOSTILE_CPU_MS_MAX);
    });
  }

  test("keeps a pattern that an engine may take years for", () => {
    const schema = {
      type: "array",
      items: { type: "string", pattern: "^(?:[a-z]+-)+z$", examples: ["no", "b-z"] },
    };
    expect(valueOf(schema)).toEqual(["b-z"]);
    expect(isValid(["b-z"], schema)).toBe(true);
    expect(isValid(["b-y"], schema)).toBe(false);
    const never = { type: "string", not: { pattern: "^(?:x|[a-z]+)+$" }, minLength: 20 };
    expectValid(valueOf(never), never);
  });

  test("a tree of references does not grow without end", () => {
    const $defs = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [
      `d${i}`,
      {
        type: "object",
        properties: { a: { $ref: `#/$defs/d${i + 1}` }, b: { $ref: `#/$defs/d${i + 1}` } },
        required: ["a", "b"],
      },
    ]));
    const schema = { $ref: "#/$defs/d0", $defs: { ...$defs, d40: { type: "null" } } };
    expect(generate(schema, undefined, "text")).toEqual({
      problem: "it needs more than 10000 values",
    });
  });

  test("the same seed says the same, and another one something else", () => {
    const schema = {
      type: "array",
      minItems: 8,
      items: { enum: ["a", "b", "c", "d", "e", "f"] },
    };
    expect(valueOf(schema, 7)).toEqual(valueOf(schema, 7));
    const said = new Set(Array.from({ length: 20 }, (_, i) => JSON.stringify(valueOf(schema, i))));
    expect(said.size).toBeGreaterThan(1);
  });

  test("leaves the schema as it is", () => {
    const schema = { type: "object", properties: { a: { $ref: "#/$defs/a" } }, $defs: { a: {} } };
    const before = JSON.stringify(schema);
    valueOf(schema);
    expect(JSON.stringify(schema)).toBe(before);
    expect(Object.getOwnPropertyNames(schema.properties.a)).toEqual(["$ref"]);
  });

  test("whatever is made of any schema is valid, and nearly all of them can be made", () => {
    const failed: string[] = [];
    for (let seed = 0; seed < 300; seed++) {
      const schema = schemaBy(chooser(seed), 3);
      const made = generate(schema, seed % 3 === 0 ? undefined : seed, "text");
      if ("problem" in made) failed.push(`${made.problem}: ${JSON.stringify(schema)}`);
      else expectValid(made.value, schema);
    }
    expect(failed.length, failed.slice(0, 5).join("\n")).toBeLessThan(15);
  });
});

/** A schema by chance, of at most `depth` levels. */
function schemaBy(choose: (count: number) => number, depth: number): Record<string, unknown> {
  const some = <Value>(...values: readonly Value[]) => values[choose(values.length)]!;
  const maybe = (fields: Record<string, unknown>) => choose(2) === 0 ? {} : fields;
  const inner = () => schemaBy(choose, depth - 1);
  const properties = () =>
    Object.fromEntries(
      ["a", "b", "c"].slice(0, 1 + choose(3)).map((name) => [name, inner()]),
    );
  switch (choose(depth > 0 ? 9 : 5)) {
    case 0: {
      const minLength = choose(6);
      return {
        type: "string",
        ...maybe({ minLength }),
        ...maybe({ maxLength: minLength + choose(9) }),
      };
    }
    case 1: {
      const minimum = choose(40) - 20;
      return {
        type: some("integer", "number"),
        ...maybe({ minimum }),
        ...maybe({ maximum: minimum + 5 + choose(20) }),
        ...maybe({ multipleOf: some(1, 2, 0.5, 5) }),
      };
    }
    case 2:
      return { enum: ["x", 1, null, true].slice(choose(3)) };
    case 3:
      return { type: some<unknown>("boolean", "null", ["string", "null"], ["integer", "string"]) };
    case 4:
      return { type: "string", format: some("date", "email", "uuid", "uri") };
    case 5: {
      const named = properties();
      const names = Object.keys(named);
      return {
        type: "object",
        properties: named,
        ...maybe({ required: names.slice(choose(names.length)) }),
        ...maybe({ additionalProperties: false }),
        ...maybe({ minProperties: 1 }),
      };
    }
    case 6: {
      const minItems = choose(4);
      return {
        type: "array",
        items: inner(),
        ...maybe({ minItems }),
        ...maybe({ maxItems: minItems + choose(3) }),
      };
    }
    case 7:
      return { [some("anyOf", "oneOf")]: [inner(), inner()] };
    default: {
      const [one, other] = [properties(), properties()];
      return {
        allOf: [
          { type: "object", properties: { a: one["a"] }, required: ["a"] },
          { type: "object", properties: { b: other["b"] ?? {} }, ...maybe({ required: ["b"] }) },
        ],
      };
    }
  }
}
