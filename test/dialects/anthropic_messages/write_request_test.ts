import { describe, expect, test } from "bun:test";
import { EMPTY_TURN, type Message, type Turn } from "../../../src/core/turn.ts";
import { parseMessagesRequest } from "../../../src/dialects/anthropic_messages/request.ts";
import { writeRequest } from "../../../src/dialects/anthropic_messages/write_request.ts";

const HELLO: Message = { role: "user", content: "你好 🌊" };
const SAID = { role: "user", content: [{ type: "text", text: "你好 🌊" }] };

function written(turn: Partial<Turn>): Record<string, unknown> {
  return JSON.parse(
    writeRequest({ ...EMPTY_TURN, model: "claude-sonnet-4-5", messages: [HELLO], ...turn }),
  ) as Record<string, unknown>;
}

const BASE = { model: "claude-sonnet-4-5", max_tokens: 4096, messages: [SAID], stream: true };
const TOOL = {
  type: "function",
  function: { name: "wetter", description: "d", parameters: { properties: {} }, strict: true },
};
const WRITTEN_TOOL = {
  name: "wetter",
  description: "d",
  input_schema: { type: "object", properties: {} },
  strict: true,
};

describe("writeRequest()", () => {
  const TURNS: readonly [string, Partial<Turn>, Record<string, unknown>][] = [
    ["a turn without anything", {}, BASE],
    ["limits and numbers", {
      tokensMax: 9,
      stop: ["水"],
      params: { temperature: 0.5, top_p: 0.9, top_k: 4, user: "u", seed: 7, store: true },
    }, {
      ...BASE,
      max_tokens: 9,
      stop_sequences: ["水"],
      temperature: 0.5,
      top_p: 0.9,
      top_k: 4,
      metadata: { user_id: "u" },
    }],
    ["null as absent", { params: { temperature: null, top_p: null, tools: null } }, BASE],
    ["tools", { params: { tools: [TOOL] } }, {
      ...BASE,
      tools: [WRITTEN_TOOL],
      tool_choice: { type: "auto" },
    }],
    ["older functions", { params: { functions: [{ name: "a" }], function_call: { name: "a" } } }, {
      ...BASE,
      tools: [{ name: "a", input_schema: { type: "object", properties: {} } }],
      tool_choice: { type: "tool", name: "a", disable_parallel_tool_use: true },
    }],
    ["any tool, one at a time", {
      params: { tools: [TOOL], tool_choice: "required", parallel_tool_calls: false },
    }, {
      ...BASE,
      tools: [WRITTEN_TOOL],
      tool_choice: { type: "any", disable_parallel_tool_use: true },
    }],
    ["no tool", { params: { tools: [TOOL], tool_choice: "none", parallel_tool_calls: false } }, {
      ...BASE,
      tools: [WRITTEN_TOOL],
      tool_choice: { type: "none" },
    }],
    ["a schema", {
      params: {
        response_format: { type: "json_schema", json_schema: { name: "x", schema: { a: 1 } } },
      },
    }, { ...BASE, output_config: { format: { type: "json_schema", schema: { a: 1 } } } }],
    ["effort as a budget", { params: { reasoning_effort: "low" } }, {
      ...BASE,
      max_tokens: 4096 + 2048,
      thinking: { type: "enabled", budget_tokens: 2048 },
    }],
    ["a budget within a limit", { tokensMax: 6000, params: { reasoning_effort: "high" } }, {
      ...BASE,
      max_tokens: 6000,
      thinking: { type: "enabled", budget_tokens: 3000 },
    }],
    [
      "no thinking where there is no room",
      { tokensMax: 900, params: { reasoning_effort: "high" } },
      {
        ...BASE,
        max_tokens: 900,
      },
    ],
    ["effort as such", {
      model: "claude-opus-4-6",
      wantsReasoning: true,
      params: { reasoning_effort: "xhigh" },
    }, {
      ...BASE,
      model: "claude-opus-4-6",
      thinking: { type: "adaptive", display: "summarized" },
      output_config: { effort: "xhigh" },
    }],
    ["a wish to see it think", { model: "claude-opus-4-6", wantsReasoning: true }, {
      ...BASE,
      model: "claude-opus-4-6",
      thinking: { type: "adaptive", display: "summarized" },
    }],
    ["no thinking where none is wanted", { params: { reasoning_effort: "none" } }, BASE],
    ["no thinking where a tool is forced", {
      params: { tools: [TOOL], tool_choice: "required", reasoning_effort: "high" },
    }, { ...BASE, tools: [WRITTEN_TOOL], tool_choice: { type: "any" } }],
  ];
  for (const [name, turn, wanted] of TURNS) {
    test(`writes ${name}`, () => expect(written(turn)).toEqual(wanted));
  }

  const call = (id: string, text: string) => ({
    id,
    type: "function",
    function: { name: "wetter", arguments: text },
  });
  const use = (id: string, input: unknown) => ({ type: "tool_use", id, name: "wetter", input });
  const result = (id: string, text: string) => ({
    type: "tool_result",
    tool_use_id: id,
    content: [{ type: "text", text }],
  });
  const text = (text: string) => ({ type: "text", text });
  const TALKS: readonly [string, readonly Message[], unknown, string?][] = [
    [
      "system and developer, wherever they stand",
      [
        { role: "system", content: "first" },
        HELLO,
        { role: "developer", content: [text("second")] },
      ],
      [SAID],
      "first\n\nsecond",
    ],
    ["neighbours of one role", [HELLO, { role: "user", content: "and?", name: "x" }], [{
      role: "user",
      content: [...SAID.content, text("and?")],
    }]],
    ["empty texts not at all", [
      HELLO,
      { role: "assistant", content: "" },
      { role: "user", content: [text(" "), text("b")] },
    ], [{ role: "user", content: [...SAID.content, text("b")] }]],
    ["calls and results, all results in one message before the text", [
      HELLO,
      {
        role: "assistant",
        content: "I look",
        tool_calls: [call("call_1", '{"ort":"杭州"}'), call("a.b:c", ""), call("call_3", "{oops")],
      },
      { role: "tool", tool_call_id: "call_1", content: "warm" },
      { role: "tool", tool_call_id: "a.b:c", content: [text("dry")] },
      { role: "tool", tool_call_id: "call_3", content: "" },
      { role: "user", content: "and?" },
    ], [
      SAID,
      {
        role: "assistant",
        content: [
          text("I look"),
          use("call_1", { ort: "杭州" }),
          use("a_2eb_3ac", {}),
          use("call_3", { arguments: "{oops" }),
        ],
      },
      {
        role: "user",
        content: [
          result("call_1", "warm"),
          result("a_2eb_3ac", "dry"),
          { type: "tool_result", tool_use_id: "call_3" },
          text("and?"),
        ],
      },
    ]],
    ["the older kind of call", [
      HELLO,
      { role: "assistant", content: null, function_call: { name: "wetter", arguments: "{}" } },
      { role: "function", name: "wetter", content: "warm" },
    ], [
      SAID,
      { role: "assistant", content: [use("call_1", {})] },
      { role: "user", content: [result("call_1", "warm")] },
    ]],
    ["a custom tool's call", [
      HELLO,
      {
        role: "assistant",
        tool_calls: [{ id: "c", type: "custom", custom: { name: "wetter", input: "text" } }],
      },
      { role: "tool", tool_call_id: "c", content: "ok" },
    ], [
      SAID,
      { role: "assistant", content: [use("c", { input: "text" })] },
      { role: "user", content: [result("c", "ok")] },
    ]],
    ["pictures and files", [{
      role: "user",
      content: [
        { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } },
        { type: "image_url", image_url: { url: "https://x/y.png" } },
        {
          type: "file",
          file: { filename: "a.pdf", file_data: "data:application/pdf;base64,JVBE" },
        },
        { type: "file", file: { file_data: "data:text/plain;base64,5rC0" } },
        { type: "file", file: { file_id: "file_1" } },
      ],
    }], [{
      role: "user",
      content: [
        { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } },
        { type: "image", source: { type: "url", url: "https://x/y.png" } },
        {
          type: "document",
          source: { type: "base64", media_type: "application/pdf", data: "JVBE" },
          title: "a.pdf",
        },
        { type: "document", source: { type: "text", media_type: "text/plain", data: "水" } },
        { type: "document", source: { type: "file", file_id: "file_1" } },
      ],
    }]],
    ["a refusal, and a beginning without its last blanks", [
      HELLO,
      { role: "assistant", content: null, refusal: "no" },
      HELLO,
      { role: "assistant", content: "It is \n" },
    ], [
      SAID,
      { role: "assistant", content: [text("no")] },
      SAID,
      { role: "assistant", content: [text("It is")] },
    ]],
  ];
  for (const [name, messages, wanted, system] of TALKS) {
    test(`writes ${name}`, () => {
      const body = written({ messages });
      expect(body["messages"]).toEqual(wanted);
      expect(body["system"]).toBe(system);
    });
  }

  test("thinks not behind a result, where its thinking would have to be handed back", () => {
    const messages = [
      HELLO,
      { role: "assistant", tool_calls: [call("a", "{}")] },
      { role: "tool", tool_call_id: "a", content: "x" },
    ];
    expect(written({ messages, wantsReasoning: true })["thinking"]).toBeUndefined();
  });

  const part = (part: unknown) => ({ messages: [{ role: "user", content: [part] }] });
  const REFUSED: readonly [string, Partial<Turn>][] = [
    ["n", { choiceCount: 2 }],
    ["logprobs", { params: { logprobs: true } }],
    ["logit_bias", { params: { logit_bias: { "1": 5 } } }],
    ["modalities", { params: { modalities: ["text", "audio"] } }],
    ["presence_penalty", { params: { presence_penalty: 1 } }],
    ["frequency_penalty", { params: { frequency_penalty: -1 } }],
    ["temperature", { params: { temperature: 1.5 } }],
    ["response_format", { params: { response_format: { type: "json_object" } } }],
    ["web_search_options", { params: { web_search_options: {} } }],
    ["tool_choice", { params: { tool_choice: "required" } }],
    ["tools", { params: { tools: [{ type: "custom", custom: { name: "a" } }] } }],
    ["messages[0].content[0]", part({ type: "input_audio", input_audio: {} })],
    ["messages[0].content[0]", part({ type: "image_url" })],
    ["messages[0].content[0]", part({ type: "file", file: {} })],
  ];
  for (const [param, turn] of REFUSED) {
    test(`refuses ${param}: ${JSON.stringify(turn).slice(0, 60)}`, () => {
      expect(() => written(turn)).toThrow(
        expect.objectContaining({ status: 400, param, message: expect.stringContaining(param) }),
      );
    });
  }

  test("takes zero and empty for nothing", () => {
    const params = { presence_penalty: 0, logprobs: false, logit_bias: {}, modalities: ["text"] };
    expect(written({ params })).toEqual(BASE);
  });

  test("writes what parseMessagesRequest() has read", () => {
    const body = {
      model: "claude-opus-4-6",
      max_tokens: 50,
      system: "be brief",
      messages: [
        SAID,
        { role: "assistant", content: [text("I look"), use("toolu_1", { ort: "杭州" })] },
        { role: "user", content: [result("toolu_1", "warm"), text("and?")] },
      ],
      tools: [WRITTEN_TOOL],
      tool_choice: { type: "auto" },
      stop_sequences: ["水"],
      temperature: 0.5,
      stream: true,
    };
    expect(JSON.parse(writeRequest(parseMessagesRequest(body)))).toEqual(body);
  });
});
