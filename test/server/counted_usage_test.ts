/** What an answer cost, where its upstream does not tell. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
import { TEST_MS_MAX } from "./launch.ts";
import { type Proxied, proxied, whole } from "./proxied.ts";
import { act, response } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

function chunkOf(delta: object, finish_reason: string | null = null): string {
  return `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
}

const CONTENT = "Hello world";
const TOKENS = 2;
const ANSWERS = {
  "a stream": () => whole(chunkOf({ content: CONTENT }), chunkOf({}, "stop"), "data: [DONE]\n\n"),
  "one piece": () => {
    const choice = { index: 0, message: { content: CONTENT }, finish_reason: "stop" };
    return [act.send(response(JSON.stringify({ choices: [choice] })))];
  },
};

describe("usage that a chat upstream does not tell is counted", () => {
  let proxy: Proxied;
  let openai: OpenAI;
  let anthropic: Anthropic;
  beforeAll(async () => {
    proxy = await proxied({ set: { "llm.speaks": "[openai_chat]" } });
    const { url } = proxy.weir;
    openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-1", maxRetries: 0 });
    anthropic = new Anthropic({ baseURL: url, apiKey: "sk-1", maxRetries: 0 });
  });
  afterAll(() => proxy.stop());

  for (const [name, acts] of Object.entries(ANSWERS)) {
    test(`for Responses, of ${name}`, async () => {
      proxy.play(acts);
      const asked = { model: "gpt-4o", input: "hi" };
      for (
        const { usage } of [
          await openai.responses.create(asked),
          await openai.responses.stream(asked).finalResponse(),
        ]
      ) {
        const { input_tokens, output_tokens, total_tokens } = usage!;
        expect(input_tokens).toBeGreaterThan(0);
        expect([output_tokens, total_tokens]).toEqual([TOKENS, input_tokens + TOKENS]);
      }
    });

    test(`for Messages, of ${name}`, async () => {
      proxy.play(acts);
      const messages = [{ role: "user" as const, content: "hi" }];
      const asked = { model: "gpt-4o", max_tokens: 9, messages };
      for (
        const { usage } of [
          await anthropic.messages.create(asked),
          await anthropic.messages.stream(asked).finalMessage(),
        ]
      ) {
        expect(usage.input_tokens).toBeGreaterThan(0);
        expect(usage.output_tokens).toBe(TOKENS);
      }
    });
  }
});
