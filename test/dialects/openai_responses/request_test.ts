import { describe, expect, test } from "bun:test";
import { AppError } from "../../../src/core/errors.ts";
import {
  reasoningEffortOf,
  responseFormatOf,
  toolChoiceOf,
  toolsOf,
} from "../../../src/core/turn.ts";
import {
  parseResponsesRequest,
  type ResponsesRequest,
} from "../../../src/dialects/openai_responses/request.ts";
import { ResponsesLayout } from "../../../src/dialects/openai_responses/write_answer.ts";
import { UNKNOWN_HELP } from "../../../src/dialects/openai/faults.ts";

function parse(body: object, level: "spec" | "live" = "live"): ResponsesRequest {
  return parseResponsesRequest(
    JSON.parse(JSON.stringify({ model: "gpt-4o", input: "hi", ...body })),
    level,
    "default",
  );
}

const CALL = { type: "function_call", call_id: "call_1", name: "wetter", arguments: "{}" };
const OUTPUT = { type: "function_call_output", call_id: "call_1", output: "晴 ☀" };
const CALLED = { id: "call_1", type: "function", function: { name: "wetter", arguments: "{}" } };
const RESULT = { role: "tool", tool_call_id: "call_1", content: "晴 ☀" };

describe("input is spelled as messages", () => {
  const rows: readonly (readonly [name: string, body: object, messages: readonly object[]])[] = [
    ["a text", { input: "你好" }, [{ role: "user", content: "你好" }]],
    ["instructions stand in front", { instructions: "be brief" }, [
      { role: "system", content: "be brief" },
      { role: "user", content: "hi" },
    ]],
    ["no instructions", { instructions: null }, [{ role: "user", content: "hi" }]],
    ["messages with and without a type", {
      input: [{ role: "developer", content: "d" }, { type: "message", role: "user", content: "u" }],
    }, [{ role: "developer", content: "d" }, { role: "user", content: "u" }]],
    ["one text part is a text", {
      input: [{ role: "user", content: [{ type: "input_text", text: "🌊" }] }],
    }, [{ role: "user", content: "🌊" }]],
    ["parts", {
      input: [{
        role: "user",
        content: [
          { type: "input_text", text: "a" },
          { type: "input_image", image_url: "data:image/png;base64,AA==", detail: "low" },
          { type: "input_image", file_id: "file-1" },
          { type: "input_file", filename: "a.pdf", file_data: "data:application/pdf;base64,AA==" },
        ],
      }],
    }, [{
      role: "user",
      content: [
        { type: "text", text: "a" },
        { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } },
        { type: "image_url", image_url: { file_id: "file-1" } },
        {
          type: "file",
          file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AA==" },
        },
      ],
    }]],
    ["what the model said, refusals too", {
      input: [
        { role: "assistant", content: [{ type: "output_text", text: "a", annotations: [] }] },
        { role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
        { role: "user", content: "u" },
      ],
    }, [
      { role: "assistant", content: "a" },
      { role: "assistant", content: null, refusal: "no" },
      { role: "user", content: "u" },
    ]],
    ["calls and their outputs", { input: [CALL, OUTPUT] }, [
      { role: "assistant", content: null, tool_calls: [CALLED] },
      RESULT,
    ]],
    ["calls side by side join the message before them", {
      input: [
        { role: "assistant", content: "let me see" },
        CALL,
        { ...CALL, call_id: "call_2" },
        OUTPUT,
        { ...OUTPUT, call_id: "call_2", output: [{ type: "input_text", text: "x" }] },
      ],
    }, [
      {
        role: "assistant",
        content: "let me see",
        tool_calls: [CALLED, { ...CALLED, id: "call_2" }],
      },
      RESULT,
      { role: "tool", tool_call_id: "call_2", content: "x" },
    ]],
    ["calls one after the other do not", {
      input: [CALL, OUTPUT, { ...CALL, call_id: "call_2" }, { ...OUTPUT, call_id: "call_2" }],
    }, [
      { role: "assistant", content: null, tool_calls: [CALLED] },
      RESULT,
      { role: "assistant", content: null, tool_calls: [{ ...CALLED, id: "call_2" }] },
      { ...RESULT, tool_call_id: "call_2" },
    ]],
    ["custom calls", {
      input: [
        { type: "custom_tool_call", call_id: "c", name: "patch", input: "*** Begin" },
        { type: "custom_tool_call_output", call_id: "c", output: "ok" },
      ],
    }, [
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "c", type: "custom", custom: { name: "patch", input: "*** Begin" } }],
      },
      { role: "tool", tool_call_id: "c", content: "ok" },
    ]],
    ["what is not known is passed over", {
      input: [
        { type: "reasoning", id: "rs_1", summary: [], encrypted_content: "gAAA" },
        { role: "assistant", content: "a" },
        { type: "tool_search_call", anything: [1] },
        { type: "compaction", encrypted_content: "x" },
        { role: "user", content: "u" },
      ],
    }, [{ role: "assistant", content: "a" }, { role: "user", content: "u" }]],
  ];
  for (const [name, body, messages] of rows) {
    test(name, () => expect(parse(body).messages as readonly unknown[]).toEqual([...messages]));
  }
});

const TOOL = { type: "function", name: "f", description: "d", parameters: { type: "object" } };
const CLOSED = { type: "object", additionalProperties: false };

test("a hundred thousand calls side by side are read as one message", () => {
  const calls = Array.from({ length: 100_000 }, () => CALL);
  const [message, result] = parse({ input: [...calls, OUTPUT] }).messages;
  expect((message!["tool_calls"] as readonly unknown[]).length).toBe(100_000);
  expect(result).toEqual(RESULT);
});

describe("parameters are spelled as the chat API spells them", () => {
  test("tools are taken out of their flat form, hosted ones are left out", () => {
    const request = parse({
      tools: [
        { ...TOOL, parameters: CLOSED, strict: true },
        { type: "custom", name: "c", format: { type: "grammar", syntax: "lark", definition: "x" } },
        { type: "web_search" },
        { type: "tool_search", execution: "client" },
        { type: "mcp", server_label: "s", server_url: "http://x" },
      ],
    });
    expect(toolsOf(request).map(({ kind, name, isStrict }) => [kind, name, isStrict])).toEqual([
      ["function", "f", true],
      ["custom", "c", false],
    ]);
    expect((request.params["tools"] as readonly unknown[])[1]).toEqual({
      type: "custom",
      custom: {
        name: "c",
        format: { type: "grammar", grammar: { syntax: "lark", definition: "x" } },
      },
    });
  });
  const choices = [
    ["required", { kind: "required" }],
    ["none", { kind: "none" }],
    [{ type: "function", name: "f" }, { kind: "tool", name: "f" }],
    [{ type: "custom", name: "c" }, { kind: "tool", name: "c" }],
    [{ type: "web_search" }, { kind: "auto" }],
    [{ type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "f" }] }, {
      kind: "required",
    }],
  ] as const;
  for (const [choice, said] of choices) {
    test(`tool_choice ${JSON.stringify(choice)}`, () => {
      const tools = [TOOL, { type: "custom", name: "c" }, { type: "web_search" }];
      const request = parse({ tools, tool_choice: choice });
      expect(toolChoiceOf(request)).toEqual(said);
      const isAllowed = typeof choice === "object" && choice.type === "allowed_tools";
      expect(toolsOf(request).map(({ name }) => name)).toEqual(isAllowed ? ["f"] : ["f", "c"]);
    });
  }
  test("the rest", () => {
    const request = parse({
      text: {
        format: { type: "json_schema", name: "n", schema: CLOSED, strict: true },
      },
      reasoning: { effort: "low", summary: "auto" },
      max_output_tokens: 20,
      temperature: 0.5,
      store: false,
      include: ["message.output_text.logprobs"],
      top_logprobs: 3,
      stream: true,
      stream_options: { include_obfuscation: false },
      client_metadata: { a: "b" },
      parallel_tool_calls: false,
    });
    expect(responseFormatOf(request)).toMatchObject({ kind: "json_schema", name: "n" });
    expect(reasoningEffortOf(request)).toBe("low");
    expect(request).toMatchObject({
      tokensMax: 20,
      isStream: true,
      wantsReasoning: true,
      wantsObfuscation: false,
      isStored: false,
    });
    expect({ ...request.params }).toMatchObject({
      temperature: 0.5,
      logprobs: true,
      top_logprobs: 3,
    });
    expect("client_metadata" in request.params).toBe(false);
    // The chat API takes it beside tools only.
    expect("parallel_tool_calls" in request.params).toBe(false);
  });
  test("what an answer does not depend on is not among what it repeats", () => {
    const { asked } = parse({ stream: true, include: [], client_metadata: { id: "1" }, user: "u" });
    expect({ ...asked }).toEqual({ user: "u" });
  });
  test("every parameter of OpenAI's schema is taken on both levels", () => {
    const bodyOf = (level: "spec" | "live") => ({
      include: ["file_search_call.results"],
      instructions: "instructions",
      max_output_tokens: 16,
      max_tool_calls: 0,
      metadata: { foo: "string" },
      moderation: { model: level === "spec" ? "model" : "omni-moderation-latest" },
      parallel_tool_calls: true,
      prompt_cache_key: "key",
      prompt_cache_retention: "in_memory",
      prompt_cache_options: { mode: "implicit", ttl: "30m" },
      reasoning: { effort: "none", generate_summary: "auto", summary: "auto", mode: "standard" },
      safety_identifier: "identifier",
      service_tier: "auto",
      store: true,
      stream: false,
      stream_options: { include_obfuscation: true },
      temperature: 1,
      text: { format: { type: "text" }, verbosity: "low" },
      tool_choice: "none",
      tools: [{
        type: "function",
        name: "name",
        parameters: { foo: "bar" },
        strict: false,
        defer_loading: true,
        description: "description",
      }],
      top_logprobs: 0,
      top_p: 1,
      truncation: "auto",
      user: "user",
      context_management: [{ type: "compaction", compact_threshold: 1000 }],
    });
    for (const level of ["spec", "live"] as const) {
      const request = parse(bodyOf(level), level);
      const writer = new ResponsesLayout(request).writer([
        "1776481268",
        "0".repeat(26),
        "1".repeat(14),
        "a".repeat(22),
      ]);
      expect(writer.close()).toContain('"safety_identifier":"identifier"');
    }
  });

  test("on spec neither model nor input is needed", () => {
    const request = parseResponsesRequest({}, "spec", "default");
    expect(request).toMatchObject({ model: "default", isDefaultModel: true, messages: [] });
  });
});

test("a prompt that is kept elsewhere is none that weir knows", () => {
  expect(() => parse({ prompt: { id: "pmpt_1" } })).toThrow("Prompt with id 'pmpt_1' not found.");
  expect(() => parse({ prompt: { id: "pmpt_1" } }, "spec")).not.toThrow();
});

const OPEN = { type: "object", properties: { a: { type: "string" } } };
const OPEN_CONTEXT = "In context=(), 'additionalProperties' is required to be supplied and to be";

describe("what parameters want of each other", () => {
  const f = { type: "function", name: "f", parameters: OPEN };
  const none = (what: string) =>
    `Invalid value for 'tool_choice': no ${what} was specified in the 'tools' parameter.`;
  const choice = "tool_choice";
  const rows: readonly (readonly [body: object, message: string, param: string])[] = [
    [
      { text: { format: { type: "json_schema", name: "n", strict: true, schema: OPEN } } },
      `Invalid schema for response_format 'n': ${OPEN_CONTEXT}`,
      "text.format.schema",
    ],
    [
      { tools: [f, { ...f, strict: true }] },
      `Invalid schema for function 'f': ${OPEN_CONTEXT}`,
      "tools[1].parameters",
    ],
    [
      { tools: [f], tool_choice: { type: "function", name: "zz" } },
      none("function named 'zz'"),
      choice,
    ],
    [
      { tools: [f], tool_choice: { type: "custom", name: "f" } },
      none("custom tool named 'f'"),
      choice,
    ],
    [
      { tool_choice: "required" },
      "Invalid value for 'tool_choice': 'required' is only allowed when 'tools' are specified.",
      choice,
    ],
    [
      {
        tools: [f],
        tool_choice: {
          type: "allowed_tools",
          mode: "auto",
          tools: [{ type: "function", name: "f" }, { type: "function", name: "zz" }],
        },
      },
      none("function named 'zz'"),
      choice,
    ],
    [{ tool_choice: { type: "file_search" } }, none("tool of type 'file_search'"), choice],
    [{ tools: [f], tool_choice: { type: "mcp" } }, none("tool of type 'mcp'"), choice],
  ];
  for (const [body, message, param] of rows) {
    test(`${JSON.stringify(body).slice(0, 120)} is refused by \`live\``, () => {
      const { message: said, param: at } = faultOf(() => parse(body));
      expect(said).toStartWith(message);
      expect(at).toBe(param);
      expect(() => parse(body, "spec")).not.toThrow();
    });
  }

  const right: readonly object[] = [
    { tools: [f], tool_choice: { type: "function", name: "f" } },
    { tools: [{ ...f, strict: null }, { ...f, name: "g", strict: false }] },
    { tool_choice: "none" },
    { tool_choice: "auto" },
    { tools: [{ type: "web_search" }], tool_choice: { type: "web_search_preview" } },
    { tools: [{ type: "new_tool" }], tool_choice: { type: "newer_tool" } },
    { text: { format: { type: "json_schema", name: "n", schema: OPEN } } },
  ];
  for (const body of right) {
    test(`${JSON.stringify(body)} is taken`, () => void parse(body));
  }

  test("a call that nothing can make is still asked for", () => {
    const hosted = { tools: [{ type: "web_search" }], tool_choice: "required" };
    expect(toolChoiceOf(parse(hosted))).toEqual({ kind: "required" });
  });
});

describe("what only the chat API knows", () => {
  const moved = (key: string, place: string) =>
    `Unsupported parameter: '${key}'. In the Responses API, this parameter has moved to ` +
    `'${place}'. Try again with the new parameter.`;
  const rows: readonly (readonly [body: object, message: string, param: string | undefined])[] = [
    [{ messages: [] }, moved("messages", "input"), undefined],
    [{ response_format: {} }, moved("response_format", "text.format"), undefined],
    [{ max_tokens: 9 }, moved("max_tokens", "max_output_tokens"), undefined],
    [{ n: 1 }, `Unknown parameter: 'n'.${UNKNOWN_HELP}`, "n"],
    [{ stop: "x" }, `Unknown parameter: 'stop'.${UNKNOWN_HELP}`, "stop"],
    [
      { stream_options: { include_usage: true } },
      `Unknown parameter: 'stream_options.include_usage'.${UNKNOWN_HELP}`,
      "stream_options.include_usage",
    ],
    [
      { prompt_cache_retention: "bogus" },
      "Invalid value: 'bogus'. Supported values are: 'in_memory' and '24h'.",
      "prompt_cache_retention",
    ],
    [
      { moderation: { model: "bogus" } },
      "Invalid value: 'bogus'. Supported values are: 'omni-moderation-latest' and 'text-moderation-latest'.",
      "moderation.model",
    ],
  ];
  for (const [body, message, param] of rows) {
    test(`${JSON.stringify(body)} is refused`, () => {
      const fault = faultOf(() => parse(body));
      expect([fault.message, fault.param ?? undefined]).toEqual([message, param]);
    });
  }
  test("and other unknown keys are taken, and on `spec` all", () => {
    parse({ client_metadata: {}, zzz: 1 });
    parse({ messages: [], n: 1, stream_options: { include_usage: true } }, "spec");
  });
});

/** What `ask` throws. */
function faultOf(ask: () => unknown): AppError {
  try {
    ask();
  } catch (error) {
    if (error instanceof AppError) return error;
    throw error;
  }
  throw new Error("Nothing is wrong with it");
}

describe("faults", () => {
  const rows: readonly (readonly [body: object, message: string, param: string | null])[] = [
    [{ model: undefined }, "Missing required parameter: 'model'.", "model"],
    [{ model: 7 }, "Invalid type for 'model': expected a string, but got an integer", "model"],
    [{ input: undefined }, "Missing required parameter: 'input'.", "input"],
    [
      { temperature: -1 },
      "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
      "temperature",
    ],
    [
      { max_output_tokens: 15 },
      "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15",
      "max_output_tokens",
    ],
    [{ input: 5 }, "Invalid type for 'input': expected one of a string or array", "input"],
    [{ input: [7] }, "Invalid type for 'input[0]': expected an object", "input[0]"],
    [{ input: [{}] }, "Missing required parameter: 'input[0].type'.", "input[0].type"],
    [
      { input: [{ role: "tool", content: "" }] },
      "Invalid value: 'tool'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
      "input[0].role",
    ],
    [
      { input: [{ role: "user" }] },
      "Missing required parameter: 'input[0].content'.",
      "input[0].content",
    ],
    [
      { input: [{ role: "user", content: [{ type: "text", text: "" }] }] },
      "Invalid value: 'text'. Supported values are: 'input_text', 'input_image', 'output_text', ",
      "input[0].content[0].type",
    ],
    [
      { input: [{ ...CALL, name: undefined }] },
      "Missing required parameter: 'input[0].name'.",
      "input[0].name",
    ],
    [
      { input: [OUTPUT] },
      "No tool call found for function call output with call_id call_1.",
      "input",
    ],
    [{ input: [CALL] }, "No tool output found for function call call_1.", "input"],
    [
      { input: [{ type: "reasoning", id: "rs_1", summary: [] }, { role: "user", content: "" }] },
      "Item 'rs_1' of type 'reasoning' was provided without its required following item.",
      "input",
    ],
    [
      { tools: [{ type: "function" }] },
      "Missing required parameter: 'tools[0].name'.",
      "tools[0].name",
    ],
    [{ tools: [{ name: "f" }] }, "Missing required parameter: 'tools[0].type'.", "tools[0].type"],
    [{ tool_choice: "any" }, "Invalid value: 'any'. Supported values are:", "tool_choice"],
    [
      { text: { format: { type: "json_schema", name: "n" } } },
      "Missing required parameter: 'text.format.schema'.",
      "text.format.schema",
    ],
    [{ include: ["all"] }, "Invalid value: 'all'. Supported values are:", "include[0]"],
    [
      { previous_response_id: "resp_1", conversation: "conv_1" },
      "Mutually exclusive parameters:",
      "previous_response_id",
    ],
  ];
  for (const [body, message, param] of rows) {
    test(message, () => {
      const fault = (() => {
        try {
          return parse(body);
        } catch (error) {
          return error;
        }
      })() as AppError;
      expect(fault).toBeInstanceOf(AppError);
      expect(fault.message).toStartWith(message);
      expect([fault.status, fault.param]).toEqual([400, param]);
    });
  }
  test("items that are only named keep the rules that join them silent", () => {
    const request = parse({ input: [{ type: "item_reference", id: "fc_1" }, OUTPUT] });
    expect(request.spelled).toMatchObject({ response_format: "text.format" });
    expect(request.references).toEqual(["fc_1"]);
  });
});
