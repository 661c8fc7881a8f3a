import { describe, expect, test } from "bun:test";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { parseChatRequest } from "../../../src/dialects/openai_chat/request.ts";
import { writeRequest as writeChatRequest } from "../../../src/dialects/openai_chat/write_request.ts";
import { parseResponsesRequest } from "../../../src/dialects/openai_responses/request.ts";
import { writeRequest } from "../../../src/dialects/openai_responses/write_request.ts";

const writeChat = (turn: Parameters<typeof writeChatRequest>[0]) => writeChatRequest(turn, true);

const USER = { role: "user", content: "你好 🌊" };

function chat(body: object): Turn {
  return parseChatRequest({ model: "m", messages: [USER], ...body }, "spec");
}

function responses(body: object): Turn {
  return parseResponsesRequest({ model: "m", input: "hi", ...body }, "live", "");
}

const asked = (turn: Turn) => JSON.parse(writeRequest(turn));
const SAID = [{ type: "message", role: "user", content: "你好 🌊" }];
const PARAMETERS = { type: "object", properties: { x: { type: "string" } } };

describe("a turn as a request of the Responses API", () => {
  const rows: readonly (readonly [name: string, turn: Turn, body: object])[] = [
    ["is streamed and not stored", chat({ store: true }), {
      model: "m",
      input: SAID,
      store: false,
      stream: true,
    }],
    ["roles", chat({ messages: [{ role: "system", content: "s" }, USER] }), {
      input: [{ type: "message", role: "system", content: "s" }, ...SAID],
    }],
    [
      "calls and their results",
      chat({
        messages: [
          USER,
          {
            role: "assistant",
            content: "let me see",
            tool_calls: [
              { id: "c1", type: "function", function: { name: "f", arguments: "{}" } },
              { id: "c2", type: "custom", custom: { name: "p", input: "x" } },
            ],
          },
          { role: "tool", tool_call_id: "c1", content: "晴" },
          { role: "tool", tool_call_id: "c2", content: [{ type: "text", text: "t" }] },
        ],
      }),
      {
        input: [
          ...SAID,
          { type: "message", role: "assistant", content: "let me see" },
          { type: "function_call", call_id: "c1", name: "f", arguments: "{}" },
          { type: "custom_tool_call", call_id: "c2", name: "p", input: "x" },
          { type: "function_call_output", call_id: "c1", output: "晴" },
          {
            type: "function_call_output",
            call_id: "c2",
            output: [{ type: "input_text", text: "t" }],
          },
        ],
      },
    ],
    [
      "parts",
      chat({
        messages: [{
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "image_url", image_url: { url: "data:image/png;base64,AA==", detail: "low" } },
            { type: "file", file: { filename: "a.pdf", file_data: "data:…" } },
          ],
        }, { role: "assistant", content: [{ type: "text", text: "b" }], refusal: "no" }],
      }),
      {
        input: [
          {
            type: "message",
            role: "user",
            content: [
              { type: "input_text", text: "a" },
              { type: "input_image", image_url: "data:image/png;base64,AA==", detail: "low" },
              { type: "input_file", filename: "a.pdf", file_data: "data:…" },
            ],
          },
          { type: "message", role: "assistant", content: [{ type: "output_text", text: "b" }] },
          { type: "message", role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
        ],
      },
    ],
    [
      "tools, which are not strict unless they say so",
      chat({
        tools: [
          { type: "function", function: { name: "f", parameters: PARAMETERS } },
          { type: "function", function: { name: "g", parameters: PARAMETERS, strict: true } },
          {
            type: "custom",
            custom: {
              name: "p",
              format: { type: "grammar", grammar: { syntax: "lark", definition: "x" } },
            },
          },
        ],
        tool_choice: { type: "function", function: { name: "f" } },
        parallel_tool_calls: false,
      }),
      {
        tools: [
          { type: "function", name: "f", parameters: PARAMETERS, strict: false },
          { type: "function", name: "g", parameters: PARAMETERS, strict: true },
          {
            type: "custom",
            name: "p",
            format: { type: "grammar", syntax: "lark", definition: "x" },
          },
        ],
        tool_choice: { type: "function", name: "f" },
        parallel_tool_calls: false,
      },
    ],
    ["the older functions", chat({ functions: [{ name: "f" }], function_call: { name: "f" } }), {
      tools: [{ type: "function", name: "f", strict: false }],
      tool_choice: { type: "function", name: "f" },
    }],
    [
      "allowed tools",
      chat({
        tools: [{ type: "function", function: { name: "f" } }],
        tool_choice: {
          type: "allowed_tools",
          allowed_tools: { mode: "auto", tools: [{ type: "function", function: { name: "f" } }] },
        },
      }),
      {
        tool_choice: {
          type: "allowed_tools",
          mode: "auto",
          tools: [{ type: "function", name: "f" }],
        },
      },
    ],
    [
      "a format",
      chat({
        response_format: { type: "json_schema", json_schema: { name: "n", schema: PARAMETERS } },
        verbosity: "low",
      }),
      {
        text: {
          format: { type: "json_schema", name: "n", schema: PARAMETERS },
          verbosity: "low",
        },
      },
    ],
    [
      "numbers",
      chat({
        max_tokens: 99,
        temperature: 0.5,
        top_p: 0.1,
        logprobs: true,
        top_logprobs: 2,
        presence_penalty: 0,
        seed: 7,
      }),
      {
        max_output_tokens: 99,
        temperature: 0.5,
        top_p: 0.1,
        include: ["message.output_text.logprobs"],
        top_logprobs: 2,
      },
    ],
    ["reasoning", { ...chat({ reasoning_effort: "low" }), wantsReasoning: true }, {
      reasoning: { effort: "low", summary: "auto" },
    }],
  ];
  for (const [name, turn, body] of rows) {
    test(name, () => {
      expect(asked(turn)).toMatchObject(body);
      // What was written is a request as this API takes it.
      expect(() => parseResponsesRequest(asked(turn), "spec", "")).not.toThrow();
    });
  }

  const refused = [
    [{ n: 2 }, "n"],
    [{ stop: "x" }, "stop"],
    [{ presence_penalty: 1 }, "presence_penalty"],
    [{ frequency_penalty: -1 }, "frequency_penalty"],
    [{ logit_bias: { 1: 1 } }, "logit_bias"],
    [{ prediction: { type: "content", content: "x" } }, "prediction"],
    [{ web_search_options: {} }, "web_search_options"],
    [{ modalities: ["text", "audio"], audio: { voice: "a", format: "wav" } }, "audio"],
  ] as const;
  for (const [body, param] of refused) {
    test(`${param} is refused in words that say what to do`, () => {
      const fault = (() => {
        try {
          return asked(chat(body));
        } catch (error) {
          return error;
        }
      })();
      expect(fault).toMatchObject({ status: 400, param });
      expect(fault.message).toContain("openai_chat");
    });
  }
});

describe("a request of the Responses API as one of the chat API", () => {
  const TOOL = { type: "custom", name: "patch", description: "d" };
  const CALL = { type: "custom_tool_call", call_id: "c", name: "patch", input: '"水"\n' };
  const OUTPUT = { type: "custom_tool_call_output", call_id: "c", output: "ok" };

  test("custom tools go up as functions of one text", () => {
    const format = { type: "grammar", syntax: "lark", definition: "start: /x/" };
    const body = JSON.parse(writeChat(responses({
      tools: [{ ...TOOL, format }, { type: "function", name: "f", parameters: PARAMETERS }],
      tool_choice: { type: "custom", name: "patch" },
      input: [CALL, OUTPUT],
    })));
    expect(body.tools.map((tool: { type: string }) => tool.type)).toEqual(["function", "function"]);
    const { name, description, parameters } = body.tools[0].function;
    expect([name, parameters.required]).toEqual(["patch", ["input"]]);
    expect(description).toContain("start: /x/");
    expect(body.tool_choice).toEqual({ type: "function", function: { name: "patch" } });
    expect(body.messages[0].tool_calls).toEqual([{
      id: "c",
      type: "function",
      function: { name: "patch", arguments: JSON.stringify({ input: '"水"\n' }) },
    }]);
    expect(body.messages[1]).toEqual({ role: "tool", tool_call_id: "c", content: "ok" });
  });

  test("what the chat API cannot be asked for is refused", () => {
    for (
      const part of [{ type: "input_image", file_id: "f" }, { type: "input_file", file_url: "u" }]
    ) {
      const input = [{ role: "user", content: [{ type: "input_text", text: "a" }, part] }];
      expect(() => writeChat(responses({ input }))).toThrow("speaks the chat API");
    }
  });

  test("a developer's messages are the system's, one in front", () => {
    const body = JSON.parse(writeChat(responses({
      instructions: "be brief",
      input: [
        {
          role: "developer",
          content: [{ type: "input_text", text: "a" }, { type: "input_text", text: "b" }],
        },
        { role: "developer", content: "c" },
        USER,
        { role: "developer", content: "d" },
      ],
    })));
    expect(body.messages).toEqual([
      { role: "system", content: "be brief\n\nab\n\nc" },
      USER,
      { role: "system", content: "d" },
    ]);
  });

  test("nothing of the Responses API alone goes up", () => {
    const body = JSON.parse(writeChat(responses({
      store: true,
      include: ["reasoning.encrypted_content"],
      truncation: "auto",
      client_metadata: {},
      text: {},
      tools: [{ type: "web_search" }],
    })));
    expect(Object.keys(body).toSorted()).toEqual([
      "messages",
      "model",
      "stream",
      "stream_options",
    ]);
  });

  test("a turn without custom tools is written as it was", () => {
    const messages = [USER, { role: "assistant", content: "a" }];
    expect(JSON.parse(writeChat({ ...EMPTY_TURN, model: "m", messages })).messages)
      .toEqual(messages);
  });
});
