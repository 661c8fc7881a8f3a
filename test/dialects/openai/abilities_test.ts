import { describe, expect, test } from "bun:test";
import { parseChatRequest } from "../../../src/dialects/openai_chat/request.ts";
import { parseResponsesRequest } from "../../../src/dialects/openai_responses/request.ts";

const MESSAGES = [{ role: "user", content: "hi" }];

function chat(body: object, level: "spec" | "live" = "live", isPlayed = true): void {
  parseChatRequest({ messages: MESSAGES, ...body }, level, isPlayed);
}

function responses(body: object, level: "spec" | "live" = "live", isPlayed = true): void {
  parseResponsesRequest({ input: "hi", ...body }, level, "default", isPlayed);
}

const ONLY = "Only the default (1) value is supported.";

describe("what a model does not take", () => {
  const REFUSED = [
    [
      chat,
      { model: "gpt-5", max_tokens: 9 },
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      "param_unsupported",
    ],
    [
      chat,
      { model: "o3", temperature: 0.5 },
      `Unsupported value: 'temperature' does not support 0.5 with this model. ${ONLY}`,
      "value_unsupported",
    ],
    [
      chat,
      { model: "gpt-5-mini", top_p: 0.5 },
      `Unsupported value: 'top_p' does not support 0.5 with this model. ${ONLY}`,
      "value_unsupported",
    ],
    [
      chat,
      { model: "gpt-5.4", temperature: 0, reasoning_effort: "low" },
      `Unsupported value: 'temperature' does not support 0 with this model. ${ONLY}`,
      "value_unsupported",
    ],
    [
      chat,
      { model: "gpt-5.6-sol", presence_penalty: 1 },
      "Unsupported value: 'presence_penalty' does not support 1 with this model. Only the default (0) value is supported.",
      "value_unsupported",
    ],
    [
      chat,
      { model: "gpt-5", stop: "x" },
      "Unsupported parameter: 'stop' is not supported with this model.",
      "param_unsupported",
    ],
    [
      chat,
      { model: "gpt-4o", modalities: ["audio"], audio: { voice: "alloy", format: "mp3" } },
      "Unsupported value: 'modalities' does not support 'audio' with this model.",
      "value_unsupported",
    ],
    [
      responses,
      { model: "o3", temperature: 0.5 },
      "Unsupported parameter: 'temperature' is not supported with this model.",
      "request_invalid",
    ],
  ] as const;
  for (const [parse, body, message, code] of REFUSED) {
    test(`${JSON.stringify(body)} is refused where weir plays the model, on \`live\``, () => {
      const param = Object.keys(body)[1]!;
      expect(() => parse(body)).toThrow(
        expect.objectContaining({ status: 400, message, param, code }),
      );
      parse(body, "spec");
      parse(body, "live", false);
      parse({ ...body, model: "llama-3" });
      parse({ ...body, [param]: null });
    });
  }

  const TAKEN = [
    [chat, { model: "gpt-4o", max_tokens: 9, temperature: 0.5, top_p: 0.1, stop: "x" }],
    [chat, { model: "gpt-5", max_completion_tokens: 9, temperature: 1, top_p: 1 }],
    [chat, { model: "gpt-5.4", temperature: 0.5 }],
    [chat, { model: "gpt-5", temperature: 0.5, reasoning_effort: "none" }],
    [chat, { model: "gpt-5-chat-latest", temperature: 0.5 }],
    [chat, { model: "o3", stop: "x" }],
    [chat, { model: "gpt-4o-audio-preview", modalities: ["text", "audio"] }],
    [chat, { model: "gpt-4o", modalities: ["text"] }],
    [responses, { model: "o3", temperature: 1 }],
    [responses, { model: "gpt-5.4", temperature: 0.5 }],
  ] as const;
  for (const [parse, body] of TAKEN) {
    test(`${JSON.stringify(body)} is taken`, () => parse(body));
  }
});
