import { describe, expect, test } from "bun:test";
import type { Turn } from "../../../src/core/turn.ts";
import { AppError } from "../../../src/core/errors.ts";
import {
  parseCountRequest,
  parseMessagesRequest,
} from "../../../src/dialects/anthropic_messages/request.ts";

const MODEL = "claude-sonnet-4-5";
const HELLO = { role: "user", content: "你好 🌊" };

function body(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { model: MODEL, max_tokens: 100, messages: [HELLO], ...more };
}

/** As an upstream gets them. */
function messagesOf(messages: readonly unknown[], more: Record<string, unknown> = {}) {
  const read = parseMessagesRequest(body({ messages, ...more })).messages;
  return JSON.parse(JSON.stringify(read)) as Turn["messages"];
}

const user = (...content: readonly unknown[]) => ({ role: "user", content });
const model = (...content: readonly unknown[]) => ({ role: "assistant", content });
const text = (text: string) => ({ type: "text", text });
const use = (id: string, input: unknown = {}) => ({ type: "tool_use", id, name: "wetter", input });
const result = (id: string, more: Record<string, unknown> = {}) => ({
  type: "tool_result",
  tool_use_id: id,
  ...more,
});
const call = (id: string, text = "{}") => ({
  id,
  type: "function",
  function: { name: "wetter", arguments: text },
});

describe("parseMessagesRequest()", () => {
  const TALKS: readonly [string, readonly unknown[], readonly unknown[]][] = [
    ["a text", [HELLO], [HELLO]],
    ["texts of one message", [user(text("a"), text("水"))], [{ role: "user", content: "a\n\n水" }]],
    ["neighbours of one role", [user(text("a")), HELLO], [{
      role: "user",
      content: "a\n\n你好 🌊",
    }]],
    ["pictures", [
      user(
        text("look"),
        { type: "image", source: { type: "base64", media_type: "image/png", data: "AA==" } },
        { type: "image", source: { type: "url", url: "https://x/y.png" } },
        { type: "image", source: { type: "file", file_id: "file_1" } },
      ),
    ], [{
      role: "user",
      content: [
        text("look"),
        { type: "image_url", image_url: { url: "data:image/png;base64,AA==" } },
        { type: "image_url", image_url: { url: "https://x/y.png" } },
        { type: "file", file: { file_id: "file_1" } },
      ],
    }]],
    ["documents", [
      user(
        {
          type: "document",
          source: { type: "base64", media_type: "application/pdf", data: "JVBE" },
          title: "a.pdf",
        },
        { type: "document", source: { type: "text", media_type: "text/plain", data: "水" } },
        { type: "document", source: { type: "content", content: [text("b")] }, context: "about" },
        { type: "document", source: { type: "url", url: "https://x/y.pdf" } },
        { type: "document", source: { type: "file", file_id: "file_2" } },
        { type: "search_result", source: "https://x", title: "X", content: [text("found")] },
      ),
    ], [{
      role: "user",
      content: [
        {
          type: "file",
          file: { filename: "a.pdf", file_data: "data:application/pdf;base64,JVBE" },
        },
        text("水"),
        text("about"),
        text("b"),
        { type: "file", file: { file_url: "https://x/y.pdf" } },
        { type: "file", file: { file_id: "file_2" } },
        text("X\nhttps://x\nfound"),
      ],
    }]],
    ["calls and their results, the results first", [
      HELLO,
      model(text("let me "), text("see"), use("toolu_1", { ort: "杭州" }), use("toolu_2")),
      user(text("and?"), result("toolu_1", { content: "warm" }), result("toolu_2")),
    ], [
      HELLO,
      {
        role: "assistant",
        content: "let me see",
        tool_calls: [call("toolu_1", '{"ort":"杭州"}'), call("toolu_2")],
      },
      { role: "tool", tool_call_id: "toolu_1", content: "warm" },
      { role: "tool", tool_call_id: "toolu_2", content: "" },
      { role: "user", content: "and?" },
    ]],
    ["a failed result says so", [
      HELLO,
      model(use("a"), use("b"), use("c")),
      user(
        result("a", { content: "no such file", is_error: true }),
        result("b", { content: [text("Error: 404")], is_error: true }),
        result("c", { content: "fine", is_error: false }),
      ),
    ], [
      HELLO,
      { role: "assistant", content: null, tool_calls: [call("a"), call("b"), call("c")] },
      { role: "tool", tool_call_id: "a", content: "Error: no such file" },
      { role: "tool", tool_call_id: "b", content: "Error: 404" },
      { role: "tool", tool_call_id: "c", content: "fine" },
    ]],
    ["a picture in a result stays there", [
      HELLO,
      model(use("a")),
      user(
        result("a", {
          content: [text("seen"), { type: "image", source: { type: "url", url: "https://x" } }],
        }),
      ),
    ], [
      HELLO,
      { role: "assistant", content: null, tool_calls: [call("a")] },
      {
        role: "tool",
        tool_call_id: "a",
        content: [text("seen"), { type: "image_url", image_url: { url: "https://x" } }],
      },
    ]],
    ["thinking, and what is for Anthropic's servers, is left out", [
      HELLO,
      model(
        { type: "thinking", thinking: "hm", signature: "sig" },
        { type: "redacted_thinking", data: "x" },
        { type: "server_tool_use", id: "srvtoolu_1", name: "web_search", input: {} },
        { type: "web_search_tool_result", tool_use_id: "srvtoolu_1", content: [] },
        text("found"),
      ),
      HELLO,
    ], [HELLO, { role: "assistant", content: "found" }, HELLO]],
    ["a beginning of the answer", [HELLO, model(text("It is"))], [
      HELLO,
      { role: "assistant", content: "It is" },
    ]],
  ];
  for (const [name, messages, wanted] of TALKS) {
    test(`reads ${name}`, () => {
      expect(messagesOf(messages)).toEqual(wanted as Turn["messages"]);
    });
  }

  test("collects what the system says, wherever it stands", () => {
    const messages = [
      HELLO,
      { role: "system", content: [text("later")] },
      model(text("ok")),
      HELLO,
    ];
    expect(messagesOf(messages, { system: [text("first"), text("second")] })).toEqual([
      { role: "system", content: "first\n\nsecond\n\nlater" },
      HELLO,
      { role: "assistant", content: "ok" },
      HELLO,
    ]);
    expect(messagesOf([HELLO], { system: "be brief" })[0]).toEqual({
      role: "system",
      content: "be brief",
    });
  });

  const TOOL = { name: "wetter", description: "d", input_schema: { type: "object" } };
  const FUNCTION = {
    type: "function",
    function: { name: "wetter", description: "d", parameters: { type: "object" } },
  };
  const STRICT = {
    type: "object",
    properties: { a: { type: "string" } },
    required: ["a"],
    additionalProperties: false,
  };
  const LOOSE = { ...STRICT, required: [] };
  const format = (schema: unknown, more = {}) => ({
    type: "json_schema",
    json_schema: { name: "answer", schema, ...more },
  });
  const PARAMS: readonly [string, Record<string, unknown>, Record<string, unknown>][] = [
    ["numbers", { temperature: 0.5, top_p: 1, top_k: 40 }, {
      temperature: 0.5,
      top_p: 1,
      top_k: 40,
    }],
    ["null as absent", { temperature: null, tools: null, tool_choice: null, thinking: null }, {}],
    ["tools", { tools: [TOOL, { ...TOOL, name: "b", type: "custom", strict: true }] }, {
      tools: [FUNCTION, {
        type: "function",
        function: { ...FUNCTION.function, name: "b", strict: true },
      }],
    }],
    ["Anthropic's own tools, which nobody else has", {
      tools: [{ type: "web_search_20250305", name: "web_search", max_uses: 5 }],
      tool_choice: { type: "tool", name: "web_search" },
    }, {}],
    ["any tool", { tools: [TOOL], tool_choice: { type: "any" } }, {
      tools: [FUNCTION],
      tool_choice: "required",
    }],
    ["one tool, once", {
      tools: [TOOL],
      tool_choice: { type: "tool", name: "wetter", disable_parallel_tool_use: true },
    }, {
      tools: [FUNCTION],
      tool_choice: { type: "function", function: { name: "wetter" } },
      parallel_tool_calls: false,
    }],
    ["no tool", { tools: [TOOL], tool_choice: { type: "none" } }, {
      tools: [FUNCTION],
      tool_choice: "none",
    }],
    ["a schema that is strict", {
      output_config: { format: { type: "json_schema", schema: STRICT } },
    }, {
      response_format: format(STRICT, { strict: true }),
    }],
    ["a schema that is not, in its older place", {
      output_format: { type: "json_schema", schema: LOOSE },
    }, { response_format: format(LOOSE) }],
    ["effort", { output_config: { effort: "max" }, thinking: { type: "adaptive" } }, {
      reasoning_effort: "high",
    }],
    ["a small budget", { max_tokens: 9000, thinking: { type: "enabled", budget_tokens: 1024 } }, {
      reasoning_effort: "low",
    }],
    [
      "a large budget",
      { max_tokens: 90_000, thinking: { type: "enabled", budget_tokens: 50_000 } },
      {
        reasoning_effort: "high",
      },
    ],
    ["effort for a model that takes none", {
      model: "qwen3-coder",
      output_config: { effort: "high" },
      thinking: { type: "adaptive" },
    }, {}],
    ["a long name of who asks", { metadata: { user_id: "u".repeat(65) } }, {
      user: new Bun.CryptoHasher("sha256").update("u".repeat(65)).digest("hex"),
    }],
    ["what it does not know", {
      context_management: { edits: [] },
      mcp_servers: [],
      metadata: { user_id: "u" },
      service_tier: "auto",
      some_beta: { deep: [1] },
    }, { user: "u" }],
  ];
  for (const [name, more, wanted] of PARAMS) {
    test(`reads ${name}`, () => {
      expect({ ...parseMessagesRequest(body(more)).params }).toEqual(wanted);
    });
  }

  test("reads the rest of a turn", () => {
    const { messages, params, ...turn } = parseMessagesRequest(
      body({ stream: true, stop_sequences: ["水"] }),
    );
    expect([messages.length, Object.keys(params).length]).toEqual([1, 0]);
    expect(turn).toEqual({
      model: MODEL,
      isStream: true,
      wantsUsage: true,
      choiceCount: 1,
      tokensMax: 100,
      wantsReasoning: false,
      thinking: "none",
      stop: ["水"],
      spelled: { stop: "stop_sequences" },
    });
  });

  test("reads whether thinking is shown", () => {
    const shown = (thinking: unknown) => {
      const turn = parseMessagesRequest(body({ thinking, max_tokens: 5000 }));
      return [turn.thinking, turn.wantsReasoning];
    };
    expect(shown({ type: "disabled" })).toEqual(["none", false]);
    expect(shown({ type: "adaptive" })).toEqual(["words", true]);
    expect(shown({ type: "enabled", budget_tokens: 1024 })).toEqual(["words", true]);
    expect(shown({ type: "adaptive", display: "omitted" })).toEqual(["omitted", false]);
  });

  const deep = JSON.parse(`${'{"a":'.repeat(300)}1${"}".repeat(300)}`) as unknown;
  const FAULTS: readonly [string, unknown][] = [
    ["The request body is not valid JSON: it must be an object", []],
    ["model: Field required", { max_tokens: 1, messages: [HELLO] }],
    [
      "thread: conversations are not kept here, send all messages in each request",
      body({ thread: { type: "create" } }),
    ],
    ["model: String should have at least 1 character", body({ model: "" })],
    ["model: Input should be a valid string", body({ model: 7 })],
    ["messages: Field required", { model: MODEL, max_tokens: 1 }],
    ["messages: at least one message is required", body({ messages: [] })],
    ["messages: Input should be an array of objects", body({ messages: "hi" })],
    ["max_tokens: Field required", { model: MODEL, messages: [HELLO] }],
    ["max_tokens: Input should be greater than or equal to 1", body({ max_tokens: 0 })],
    ["max_tokens: Input should be a valid integer", body({ max_tokens: "9" })],
    [
      "messages.0.role: Input should be 'user', 'assistant', or 'system'",
      body({ messages: [{ role: "tool", content: "x" }] }),
    ],
    ["messages.0.content: Field required", body({ messages: [{ role: "user" }] })],
    [
      "messages.0.content: Input should be a valid string or an array of blocks",
      body({ messages: [{ role: "user", content: 7 }] }),
    ],
    [
      "messages.1.content.0.text: Field required",
      body({ messages: [HELLO, user({ type: "text" })] }),
    ],
    [
      "messages.0.content.0.source.media_type: Input should be 'image/jpeg', 'image/png', " +
      "'image/gif', or 'image/webp'",
      body({
        messages: [
          user({ type: "image", source: { type: "base64", media_type: "image/tiff", data: "AA" } }),
        ],
      }),
    ],
    [
      "messages.0: all messages must have non-empty content except for the optional final " +
      "assistant message",
      body({ messages: [user(), HELLO] }),
    ],
    ["messages: text content blocks must be non-empty", body({ messages: [user(text(""))] })],
    [
      "messages: final assistant content cannot end with trailing whitespace",
      body({ messages: [HELLO, model(text("It is "))] }),
    ],
    [
      "messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: a. Each " +
      "`tool_result` block must have a corresponding `tool_use` block in the previous message.",
      body({ messages: [user(result("a"))] }),
    ],
    [
      "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: b. " +
      "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
      body({ messages: [HELLO, model(use("a"), use("b")), user(result("a"))] }),
    ],
    [
      "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a. " +
      "Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
      body({ messages: [HELLO, model(use("a"))] }),
    ],
    [
      "messages.1.content.0.input: Input should be an object",
      body({ messages: [HELLO, model(use("a", "x"))] }),
    ],
    [
      "messages.1.content.0.input: Input should nest no deeper than 200 levels",
      body({ messages: [HELLO, model(use("a", deep))] }),
    ],
    ["temperature: Input should be less than or equal to 1", body({ temperature: 1.5 })],
    ["top_k: Input should be greater than or equal to 0", body({ top_k: -1 })],
    [
      "stop_sequences: each stop sequence must contain non-whitespace",
      body({ stop_sequences: ["\n"] }),
    ],
    ["stop_sequences.0: Input should be a valid string", body({ stop_sequences: [7] })],
    [
      "tools.0.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
      body({ tools: [{ ...TOOL, name: "a b" }] }),
    ],
    ["tools.0.custom.input_schema: Field required", body({ tools: [{ name: "a" }] })],
    ["tools.1.custom.name: Field required", body({ tools: [TOOL, { input_schema: {} }] })],
    ["tools: Tool names must be unique.", body({ tools: [TOOL, TOOL] })],
    [
      "tool_choice.type: Input should be 'auto', 'any', 'tool', or 'none'",
      body({ tools: [TOOL], tool_choice: { type: "required" } }),
    ],
    [
      "tool_choice: may only be specified while providing `tools`.",
      body({ tool_choice: { type: "any" } }),
    ],
    [
      "Tool 'b' not found in provided tools",
      body({ tools: [TOOL], tool_choice: { type: "tool", name: "b" } }),
    ],
    [
      "thinking.budget_tokens: Input should be greater than or equal to 1024",
      body({ thinking: { type: "enabled", budget_tokens: 9 } }),
    ],
    [
      "`max_tokens` must be greater than `thinking.budget_tokens`.",
      body({ thinking: { type: "enabled", budget_tokens: 1024 } }),
    ],
    [
      "Thinking may not be enabled when tool_choice forces tool use.",
      body({
        max_tokens: 9000,
        thinking: { type: "enabled", budget_tokens: 1024 },
        tools: [TOOL],
        tool_choice: { type: "any" },
      }),
    ],
    [
      "output_config.format.type: Input should be 'json_schema'",
      body({ output_config: { format: { type: "json" } } }),
    ],
    ["stream: Input should be a valid boolean", body({ stream: "yes" })],
    ["system.0.text: Field required", body({ system: [{ type: "text" }] })],
  ];
  for (const [message, given] of FAULTS) {
    test(`refuses: ${message.slice(0, 90)}`, () => {
      let error: unknown;
      try {
        parseMessagesRequest(given);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(AppError);
      expect([(error as AppError).status, (error as AppError).message]).toEqual([400, message]);
    });
  }
});

describe("parseCountRequest()", () => {
  test("needs no limit, and is no stream", () => {
    const turn = parseCountRequest({ model: MODEL, messages: [HELLO], stream: true });
    expect([turn.isStream, turn.tokensMax]).toEqual([false, undefined]);
  });
});
