import { describe, expect, test } from "bun:test";
import type { Message } from "../../src/core/turn.ts";
import { type Prompt, promptTokens } from "../../src/sources/prompt_tokens.ts";
import { TokenCounters } from "../../src/sources/tokens.ts";

const counters = new TokenCounters(65_536);

function tokensOf(
  { model = "gpt-4o", messages = [], params = {}, ...more }: Partial<Prompt>,
): number {
  return promptTokens({ model, messages, params, ...more }, counters.of(model));
}

function countOf(text: string, model = "gpt-4o"): number {
  return counters.of(model).count(text);
}

function user(content: unknown): Message {
  return { role: "user", content };
}

function called(...calls: readonly (readonly [id: string, name: string, text: string])[]): Message {
  return {
    role: "assistant",
    content: null,
    tool_calls: calls.map(([id, name, text]) => ({
      id,
      type: "function",
      function: { name, arguments: text },
    })),
  };
}

function result(id: string, content: string): Message {
  return { role: "tool", tool_call_id: id, content };
}

function tool(name: string, description: string, properties: object, required: string[] = []) {
  const parameters = { type: "object", properties, required, additionalProperties: false };
  return { type: "function", function: { name, description, parameters, strict: true } };
}

const SAILS = tool("set_sails", "", { count: { type: "integer" } }, ["count"]);
const SAILS_TEXT =
  "namespace functions {\n\ntype set_sails = (_: { count: number }) => any;\n\n} // namespace functions";
const BLOCK = `# Tools\n\n## functions\n\n${SAILS_TEXT}`;
const ASKED = user("Is the river high today?");
/** 3, the role, and 6 for the text. */
const ASKED_TOKENS = 10;

describe("promptTokens() of texts", () => {
  const cases: readonly (readonly [string, Partial<Prompt>, number])[] = [
    ["nothing", {}, 3],
    ["one message", { messages: [ASKED] }, 3 + ASKED_TOKENS],
    ["one message to gpt-5", { model: "gpt-5-nano", messages: [ASKED] }, 2 + ASKED_TOKENS],
    ["one message to o3-mini", { model: "o3-mini", messages: [ASKED] }, 2 + ASKED_TOKENS],
    [
      "what stands before the question to a model that searches",
      { model: "gpt-4o-search-preview", messages: [{ role: "system", content: "hi" }, ASKED] },
      2 + ASKED_TOKENS,
    ],
    ["nothing between two messages", { messages: [ASKED, ASKED] }, 3 + 2 * ASKED_TOKENS],
    [
      "parts, joined",
      {
        messages: [
          user([{ type: "text", text: "Is the river" }, { type: "text", text: " high today?" }]),
        ],
      },
      3 + ASKED_TOKENS,
    ],
    ["a name", { messages: [{ ...ASKED, name: "river" }] }, 3 + ASKED_TOKENS + 1 + 1],
    ["no content", { messages: [{ role: "assistant", content: null }] }, 3 + 4],
    [
      "the older encoding of gpt-4",
      { model: "gpt-4", messages: [user("深い川は静かに流れる")] },
      3 + 4 + 13,
    ],
    [
      "the encoding of gpt-4o",
      { model: "gpt-4o", messages: [user("深い川は静かに流れる")] },
      3 + 4 + 9,
    ],
    ["json_object: nothing more", {
      messages: [ASKED],
      params: { response_format: { type: "json_object" } },
    }, 3 + ASKED_TOKENS],
    ["json_schema: its JSON", {
      messages: [ASKED],
      params: {
        response_format: {
          type: "json_schema",
          json_schema: { name: "n", schema: { type: "string" } },
        },
      },
    }, 3 + ASKED_TOKENS + countOf('{"type":"string"}')],
  ];
  for (const [name, prompt, tokens] of cases) {
    test(`${name}: ${tokens}`, () => expect(tokensOf(prompt)).toBe(tokens));
  }
});

test("promptTokens() of texts to go on from are those of the texts alone", () => {
  const prompts = ["Tell me a joke about opentelemetry", "你好 🌊"];
  const model = "davinci-002";
  const tokens = promptTokens(
    { model, messages: prompts.map(user), params: {}, prompts },
    counters.of(model),
  );
  expect(tokens).toBe(8 + countOf("你好 🌊", model));
});

describe("promptTokens() of calls", () => {
  const CALL = 6 + 3 + 5; // set_sails, {"count":2}
  const cases: readonly (readonly [string, Partial<Prompt>, number])[] = [
    ["one call", { messages: [called(["1", "set_sails", '{"count":2}'])] }, 3 + CALL],
    ["its blanks", { messages: [called(["1", "set_sails", '{ "count" :\n 2 }'])] }, 3 + CALL],
    ["one call of gpt-5", {
      model: "gpt-5",
      messages: [called(["1", "set_sails", '{"count":2}'])],
    }, 2 + CALL + 6],
    ["the older form", {
      messages: [{
        role: "assistant",
        content: null,
        function_call: { name: "set_sails", arguments: '{"count":2}' },
      }],
    }, 3 + CALL],
    ["a result goes by the name of its call", {
      messages: [called(["1", "set_sails", '{"count":2}']), result("1", "Two sails are set.")],
    }, 3 + CALL + 6 + countOf("functions.set_sails") + countOf("Two sails are set.")],
    ["an older result by its own", {
      messages: [{ role: "function", name: "set_sails", content: "done" }],
    }, 3 + 6 + countOf("functions.set_sails") + 1],
    [
      "several calls are one text",
      {
        messages: [called(["1", "set_sails", '{"count": 2}'], ["2", "moor", "{}"])],
      },
      3 + 4 + countOf(
        '{"tool_uses":[{"recipient_name":"functions.set_sails","parameters":{"count":2}},\n' +
          '{"recipient_name":"functions.moor","parameters":{}}]}',
      ),
    ],
  ];
  for (const [name, prompt, tokens] of cases) {
    test(`${name}: ${tokens}`, () => expect(tokensOf(prompt)).toBe(tokens));
  }

  test("blanks within the texts of arguments are counted", () => {
    const counted = tokensOf({ messages: [called(["1", "f", '{"a": "x  y \\" z"}'])] });
    expect(counted).toBe(3 + 6 + 1 + countOf('{"a":"x  y \\" z"}'));
  });

  test("arguments that are no JSON are counted as they are", () => {
    expect(tokensOf({ messages: [called(["1", "f", '{"a'])] })).toBe(3 + 6 + 1 + countOf('{"a'));
  });
});

describe("promptTokens() of tools", () => {
  const system = { role: "system", content: "Be brief." };
  const cases: readonly (readonly [string, Partial<Prompt>, number])[] = [
    [
      "without a system message",
      { messages: [ASKED], params: { tools: [SAILS] } },
      3 +
      ASKED_TOKENS + 3 + countOf(BLOCK),
    ],
    ["behind the system message", {
      messages: [system, ASKED],
      params: { tools: [SAILS] },
    }, 3 + 4 + countOf(`Be brief.\n\n${BLOCK}`) - 1 + ASKED_TOKENS],
    ["behind the first of two", {
      messages: [ASKED, { ...system, role: "developer" }, system],
      params: { tools: [SAILS] },
    }, 3 + ASKED_TOKENS + 4 + countOf(`Be brief.\n\n${BLOCK}`) - 1 + 4 + countOf("Be brief.")],
    ["the older functions", {
      messages: [ASKED],
      params: { functions: [SAILS.function] },
    }, 3 + ASKED_TOKENS + 3 + countOf(BLOCK)],
    [
      "gpt-5",
      { model: "gpt-5", messages: [system], params: { tools: [SAILS] } },
      2 + 4 +
      countOf("Be brief.") + 90 + countOf(SAILS_TEXT),
    ],
    [
      "gpt-5 with a description",
      {
        model: "gpt-5-mini",
        params: { tools: [tool("moor", "Moors.", {})] },
      },
      2 + 91 + countOf(
        "namespace functions {\n\n// Moors.\ntype moor = () => any;\n\n} // namespace functions",
      ),
    ],
    [
      "the Responses API",
      { messages: [system], params: { tools: [SAILS] }, hasResponseTools: true },
      3 + 4 + countOf("Be brief.") + 3 + countOf(SAILS_TEXT),
    ],
    [
      "the Responses API and gpt-5",
      { model: "gpt-5.5", params: { tools: [SAILS] }, hasResponseTools: true },
      2 + 8 + countOf(SAILS_TEXT),
    ],
    ["tool_choice and parallel_tool_calls", {
      params: { tools: [SAILS], tool_choice: "required", parallel_tool_calls: false },
    }, 3 + 3 + countOf(BLOCK)],
  ];
  for (const [name, prompt, tokens] of cases) {
    test(`${name}: ${tokens}`, () => expect(tokensOf(prompt)).toBe(tokens));
  }

  test("a prompt over the bound is estimated, its tools with it", () => {
    const counter = new TokenCounters(100).of("gpt-4o");
    const tools = [tool("moor", "m".repeat(1000), {})];
    const prompt = { model: "gpt-4o", messages: [], params: { tools } };
    const bytes = "# Tools\n\n## functions\n\n".length + JSON.stringify([tools, undefined]).length;
    expect(promptTokens(prompt, counter)).toBe(3 + 3 + Math.ceil(bytes / 4));
  });
});
