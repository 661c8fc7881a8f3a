import { describe, expect, test } from "bun:test";
import {
  reasoningEffortOf,
  type ResponseFormat,
  responseFormatOf,
  textOf,
  type Tool,
  type ToolChoice,
  toolChoiceOf,
  toolsOf,
} from "../../src/core/turn.ts";

type Params = Readonly<Record<string, unknown>>;

const SCHEMA = { type: "object", properties: { 城市: { type: "string" } } };

/** A tool named "rain" that says nothing else. */
const RAIN: Tool = {
  kind: "function",
  name: "rain",
  description: "",
  parameters: undefined,
  isStrict: false,
};

describe("toolsOf()", () => {
  const CASES: readonly (readonly [name: string, params: Params, tools: readonly Tool[]])[] = [
    ["none where there are none", {}, []],
    ["a function", {
      tools: [{
        type: "function",
        function: { name: "rain", description: "下雨 🌧", parameters: SCHEMA, strict: true },
      }],
    }, [{ ...RAIN, description: "下雨 🌧", parameters: SCHEMA, isStrict: true }]],
    ["a function without anything but its name", {
      tools: [{ type: "function", function: { name: "rain" } }],
    }, [RAIN]],
    ["a custom tool", {
      tools: [{ type: "custom", custom: { name: "sql", description: "ask", format: {} } }],
    }, [{ ...RAIN, kind: "custom", name: "sql", description: "ask" }]],
    ["the older functions, behind the tools", {
      functions: [{ name: "wind", parameters: SCHEMA }],
      tools: [{ type: "function", function: { name: "rain" } }],
    }, [RAIN, { ...RAIN, name: "wind", parameters: SCHEMA, isFunctionCall: true }]],
    ["a custom tool's grammar, in both spellings", {
      tools: [
        {
          type: "custom",
          custom: {
            name: "rain",
            format: { type: "grammar", grammar: { syntax: "regex", definition: "^a$" } },
          },
        },
        {
          type: "custom",
          custom: {
            name: "rain",
            format: { type: "grammar", syntax: "lark", definition: "start: x" },
          },
        },
        { type: "custom", custom: { name: "rain", format: { type: "text" } } },
      ],
    }, [
      { ...RAIN, kind: "custom", grammar: { syntax: "regex", definition: "^a$" } },
      { ...RAIN, kind: "custom", grammar: { syntax: "lark", definition: "start: x" } },
      { ...RAIN, kind: "custom" },
    ]],
    ["strict null is not strict", {
      tools: [{ type: "function", function: { name: "rain", strict: null } }],
    }, [RAIN]],
    ["what is no tool is left out", {
      tools: [
        null,
        1,
        "rain",
        [],
        {},
        { type: "function" },
        { type: "function", function: null },
        { type: "function", function: { name: 5 } },
        { type: "function", function: { name: "" } },
        { type: "custom", function: { name: "rain" } },
        { type: "function", function: { name: "rain", description: 7 } },
      ],
      functions: [null, { description: "x" }],
    }, [RAIN]],
    ["tools that are no list", { tools: { 0: RAIN }, functions: "rain" }, []],
    ["tools null", { tools: null, functions: null }, []],
  ];
  for (const [name, params, tools] of CASES) {
    test(name, () => expect(toolsOf({ params })).toEqual([...tools]));
  }
});

describe("toolChoiceOf()", () => {
  const AUTO: ToolChoice = { kind: "auto" };
  const tool = (name: string): ToolChoice => ({ kind: "tool", name });
  const CASES: readonly (readonly [params: Params, choice: ToolChoice])[] = [
    [{}, AUTO],
    [{ tool_choice: "auto" }, AUTO],
    [{ tool_choice: null }, AUTO],
    [{ tool_choice: "none" }, { kind: "none" }],
    [{ tool_choice: "required" }, { kind: "required" }],
    [{ tool_choice: { type: "function", function: { name: "rain" } } }, tool("rain")],
    [{ tool_choice: { type: "custom", custom: { name: "sql" } } }, tool("sql")],
    [{ function_call: "none" }, { kind: "none" }],
    [{ function_call: "auto" }, AUTO],
    [{ function_call: { name: "wind" } }, tool("wind")],
    [{ tool_choice: "none", function_call: { name: "wind" } }, { kind: "none" }],
    [{
      tool_choice: { type: "allowed_tools", allowed_tools: { mode: "required", tools: [] } },
    }, { kind: "required" }],
    [{ tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [] } } }, AUTO],
    // Malformed: nothing is chosen.
    [{ tool_choice: "rain" }, AUTO],
    [{ tool_choice: 1 }, AUTO],
    [{ tool_choice: [] }, AUTO],
    [{ tool_choice: {} }, AUTO],
    [{ tool_choice: { type: "function" } }, AUTO],
    [{ tool_choice: { type: "function", function: null } }, AUTO],
    [{ tool_choice: { type: "function", function: { name: 1 } } }, AUTO],
    [{ tool_choice: { type: "allowed_tools" } }, AUTO],
    [{
      tool_choice: {
        type: "allowed_tools",
        allowed_tools: {
          mode: "required",
          tools: [
            { type: "function", function: { name: "rain" } },
            { type: "custom", custom: { name: "sql" } },
          ],
        },
      },
    }, { kind: "required", among: ["rain", "sql"] }],
    [{
      tool_choice: {
        type: "allowed_tools",
        mode: "auto",
        tools: [{ type: "function", name: "rain" }],
      },
    }, { kind: "auto", among: ["rain"] }],
  ];
  for (const [params, choice] of CASES) {
    test(`${JSON.stringify(params)}: ${choice.kind}`, () => {
      expect(toolChoiceOf({ params })).toEqual(choice);
    });
  }
});

describe("responseFormatOf()", () => {
  const TEXT: ResponseFormat = { kind: "text" };
  const CASES: readonly (readonly [format: unknown, wanted: ResponseFormat])[] = [
    [undefined, TEXT],
    [null, TEXT],
    [{ type: "text" }, TEXT],
    [{ type: "json_object" }, { kind: "json_object" }],
    [
      { type: "json_schema", json_schema: { name: "城市", schema: SCHEMA, strict: true } },
      { kind: "json_schema", name: "城市", schema: SCHEMA, isStrict: true },
    ],
    [
      { type: "json_schema", json_schema: { name: "city", schema: SCHEMA } },
      { kind: "json_schema", name: "city", schema: SCHEMA, isStrict: false },
    ],
    [
      { type: "json_schema" },
      { kind: "json_schema", name: "", schema: undefined, isStrict: false },
    ],
    ["json_object", TEXT],
    [["json_object"], TEXT],
    [{ type: "yaml" }, TEXT],
    [{}, TEXT],
  ];
  for (const [response_format, wanted] of CASES) {
    test(`${JSON.stringify(response_format)}: ${wanted.kind}`, () => {
      expect(responseFormatOf({ params: { response_format } })).toEqual(wanted);
    });
  }
});

describe("reasoningEffortOf()", () => {
  const CASES: readonly (readonly [effort: unknown, wanted: string])[] = [
    ["low", "low"],
    ["high", "high"],
    [undefined, ""],
    [null, ""],
    [3, ""],
    [{ effort: "low" }, ""],
  ];
  for (const [reasoning_effort, wanted] of CASES) {
    test(`${JSON.stringify(reasoning_effort)}: "${wanted}"`, () => {
      expect(reasoningEffortOf({ params: { reasoning_effort } })).toBe(wanted);
    });
  }
});

describe("textOf()", () => {
  const CASES: readonly (readonly [content: unknown, text: string])[] = [
    ["水 🌊", "水 🌊"],
    ["", ""],
    [null, ""],
    [undefined, ""],
    [7, ""],
    [{ type: "text", text: "no list" }, ""],
    [[], ""],
    [[{ type: "text", text: "水" }, { type: "text", text: " 🌊" }], "水 🌊"],
    [[{ type: "image_url", image_url: { url: "data:" } }, { type: "text", text: "a" }], "a"],
    [[null, 1, "a", [], {}, { text: 5 }, { text: null }], ""],
  ];
  for (const [content, text] of CASES) {
    test(`${JSON.stringify(content)}: ${JSON.stringify(text)}`, () => {
      expect(textOf(content)).toBe(text);
    });
  }
});
