/**
 * Clients that people use, reading a stream each in its own way: what they make of one with a fault
 * in it. Not in TypeScript: checking the types of these packages takes more depth than the checker has.
 *
 * @module
 */

import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { ChatOpenAI } from "@langchain/openai";
import { Agent, OpenAIProvider, Runner, setTracingDisabled } from "@openai/agents";
import { streamText } from "ai";
import OpenAI from "openai";

setTracingDisabled(true);

const MODEL = "gpt-4o";
const CLAUDE = { model: "claude-sonnet-4-6", max_tokens: 1000 };
const PROMPT = "Say something 你好";
const MESSAGES = [{ role: "user", content: PROMPT }];
const CHAT = {
  model: MODEL,
  messages: MESSAGES,
  stream: true,
  stream_options: { include_usage: true },
};

/** Without retries, unless they are what is looked at. */
function openaiAt({ url, headers, retries }) {
  return new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: "sk-test",
    maxRetries: retries,
    defaultHeaders: headers,
  });
}

function claudeAt({ url, headers, retries }) {
  return new Anthropic({
    baseURL: url,
    apiKey: "sk-test",
    maxRetries: retries,
    defaultHeaders: headers,
  });
}

async function openaiChunks(at) {
  let text = "";
  let reason;
  let tokens;
  for await (const { choices, usage } of await openaiAt(at).chat.completions.create(CHAT)) {
    text += choices?.[0]?.delta?.content ?? "";
    reason = choices?.[0]?.finish_reason ?? reason;
    tokens = usage?.completion_tokens ?? tokens;
  }
  return { text, reason, tokens };
}

async function openaiHelper(at) {
  const { choices, usage } = await openaiAt(at).chat.completions.stream(CHAT)
    .finalChatCompletion();
  const { message, finish_reason } = choices[0];
  return { text: message.content, reason: finish_reason, tokens: usage?.completion_tokens };
}

async function openaiEvents(at) {
  let text = "";
  let last;
  const asked = { model: MODEL, input: PROMPT, stream: true };
  for await (const event of await openaiAt(at).responses.create(asked)) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.completed" || event.type === "response.incomplete") {
      last = event.response;
    }
  }
  return { text, reason: last?.status, tokens: last?.usage?.output_tokens };
}

async function openaiResponseHelper(at) {
  const stream = openaiAt(at).responses.stream({ model: MODEL, input: PROMPT });
  const { output_text, status, usage } = await stream.finalResponse();
  return { text: output_text, reason: status, tokens: usage?.output_tokens };
}

async function claudeEvents(at) {
  let text = "";
  let reason;
  let tokens;
  const asked = { ...CLAUDE, messages: MESSAGES, stream: true };
  for await (const event of await claudeAt(at).messages.create(asked)) {
    if (event.type === "content_block_delta") text += event.delta.text ?? "";
    if (event.type !== "message_delta") continue;
    reason = event.delta.stop_reason;
    tokens = event.usage?.output_tokens;
  }
  return { text, reason, tokens };
}

async function claudeHelper(at) {
  const stream = claudeAt(at).messages.stream({ ...CLAUDE, messages: MESSAGES });
  const { content, stop_reason, usage } = await stream.finalMessage();
  return {
    text: content.map(({ text }) => text ?? "").join(""),
    reason: stop_reason,
    tokens: usage?.output_tokens,
  };
}

function ai(modelOf) {
  return async ({ url, headers, retries }) => {
    let failure;
    const result = streamText({
      model: modelOf(createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", headers })),
      prompt: PROMPT,
      maxRetries: retries,
      onError: ({ error }) => void (failure ??= error),
    });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    if (failure !== undefined) throw failure;
    const { outputTokens } = await result.usage;
    return { text, reason: await result.finishReason, tokens: outputTokens };
  };
}

function agents(useResponses) {
  return async (at) => {
    const modelProvider = new OpenAIProvider({ openAIClient: openaiAt(at), useResponses });
    const result = await new Runner({ modelProvider })
      .run(new Agent({ name: "a", model: MODEL }), PROMPT, { stream: true });
    let text = "";
    for await (const piece of result.toTextStream()) text += piece;
    await result.completed;
    if (result.error) throw result.error;
    // It tells no reason for the end.
    return {
      text: result.finalOutput ?? text,
      reason: undefined,
      tokens: result.runContext.usage.outputTokens,
    };
  };
}

function langchain(useResponsesApi) {
  return async ({ url, headers, retries }) => {
    const model = new ChatOpenAI({
      model: MODEL,
      apiKey: "sk-test",
      maxRetries: retries,
      useResponsesApi,
      configuration: { baseURL: `${url}/v1`, defaultHeaders: headers },
    });
    let whole;
    for await (const piece of await model.stream(PROMPT)) {
      whole = whole === undefined ? piece : whole.concat(piece);
    }
    const { text, response_metadata, usage_metadata } = whole;
    return {
      text,
      reason: response_metadata.finish_reason ?? response_metadata.status,
      tokens: usage_metadata?.output_tokens,
    };
  };
}

export const READERS = [
  { name: "openai", dialect: "openai_chat", read: openaiChunks },
  { name: "openai `.stream()`", dialect: "openai_chat", read: openaiHelper },
  { name: "ai", dialect: "openai_chat", read: ai((openai) => openai.chat(MODEL)) },
  { name: "@openai/agents", dialect: "openai_chat", read: agents(false) },
  { name: "@langchain/openai", dialect: "openai_chat", read: langchain(false) },
  { name: "openai", dialect: "openai_responses", read: openaiEvents },
  { name: "openai `.stream()`", dialect: "openai_responses", read: openaiResponseHelper },
  { name: "ai", dialect: "openai_responses", read: ai((openai) => openai.responses(MODEL)) },
  { name: "@openai/agents", dialect: "openai_responses", read: agents(true) },
  { name: "@langchain/openai", dialect: "openai_responses", read: langchain(true) },
  { name: "@anthropic-ai/sdk", dialect: "anthropic_messages", read: claudeEvents },
  { name: "@anthropic-ai/sdk `.stream()`", dialect: "anthropic_messages", read: claudeHelper },
];
