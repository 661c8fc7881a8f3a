/**
 * Clients that people use, reading a stream each in its own way: what they make of one with a fault
 * in it. Not in TypeScript: checking the types of these packages takes more depth than the checker has.
 *
 * @module
 */

import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { ChatOpenAI } from "@langchain/openai";
import {
  Agent,
  OpenAIProvider,
  Runner,
  setTracingDisabled,
  tool as agentTool,
} from "@openai/agents";
import { tool as langTool } from "@langchain/core/tools";
import { streamText, tool as aiTool } from "ai";
import OpenAI from "openai";
import { z } from "zod";

setTracingDisabled(true);

const MODEL = "gpt-4o";
const CLAUDE = { model: "claude-sonnet-4-6", max_tokens: 1000 };
/** Another one for each client: faults may count equal requests. */
const promptOf = ({ client }) => `Say something 你好, ${client}`;
const messagesOf = (at) => [{ role: "user", content: promptOf(at) }];
const TOOL = { name: "weather", description: "the weather" };
const City = z.object({ city: z.string() });
const parameters = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};

const chatOf = (at) => ({
  model: MODEL,
  messages: messagesOf(at),
  stream: true,
  stream_options: { include_usage: true },
  ...(at.isCalling ? { tools: [{ type: "function", function: { ...TOOL, parameters } }] } : {}),
});
const responseOf = (at) => ({
  model: MODEL,
  input: promptOf(at),
  ...(at.isCalling ? { tools: [{ type: "function", ...TOOL, parameters, strict: true }] } : {}),
});
const messageOf = (at) => ({
  ...CLAUDE,
  messages: messagesOf(at),
  ...(at.isCalling ? { tools: [{ ...TOOL, input_schema: parameters }] } : {}),
});

/** Calls as a text: each name with its arguments. */
function told(calls) {
  return calls.map(({ name, input }) =>
    `${name}(${typeof input === "string" ? input : JSON.stringify(input)})`
  ).join(" ");
}

/** Without retries, unless they are what is looked at. */
function openaiAt({ url, headers, retries }) {
  return new OpenAI({
    baseURL: `${url}/v1`,
    apiKey: "sk-test",
    maxRetries: retries,
    defaultHeaders: headers,
    logLevel: "off",
  });
}

function claudeAt({ url, headers, retries }) {
  return new Anthropic({
    baseURL: url,
    apiKey: "sk-test",
    maxRetries: retries,
    defaultHeaders: headers,
    logLevel: "off",
  });
}

async function openaiChunks(at) {
  let text = "";
  let reason;
  let tokens;
  const calls = {};
  const stream = await openaiAt(at).chat.completions.create(chatOf(at));
  for await (const { choices, usage } of stream) {
    text += choices?.[0]?.delta?.content ?? "";
    for (const { index, function: said } of choices?.[0]?.delta?.tool_calls ?? []) {
      const call = calls[index] ??= { name: "", input: "" };
      call.name += said?.name ?? "";
      call.input += said?.arguments ?? "";
    }
    reason = choices?.[0]?.finish_reason ?? reason;
    tokens = usage?.completion_tokens ?? tokens;
  }
  return { text: text + told(Object.values(calls)), reason, tokens };
}

async function openaiHelper(at) {
  const { choices, usage } = await openaiAt(at).chat.completions.stream(chatOf(at))
    .finalChatCompletion();
  const { message: { content, tool_calls = [] }, finish_reason } = choices[0];
  const calls = tool_calls.map(({ function: call }) => ({
    name: call.name,
    input: call.arguments,
  }));
  return {
    text: (content ?? "") + told(calls),
    reason: finish_reason,
    tokens: usage?.completion_tokens,
  };
}

async function openaiEvents(at) {
  let text = "";
  let last;
  const asked = { ...responseOf(at), stream: true };
  for await (const event of await openaiAt(at).responses.create(asked)) {
    if (event.type === "response.output_text.delta") text += event.delta;
    if (event.type === "response.output_item.done") text += told(callsIn([event.item]));
    if (event.type === "response.completed" || event.type === "response.incomplete") {
      last = event.response;
    }
  }
  return { text, reason: last?.status, tokens: last?.usage?.output_tokens };
}

/** Calls among the items of a response. */
function callsIn(items) {
  return items.filter(({ type }) => type === "function_call")
    .map(({ name, arguments: input }) => ({ name, input }));
}

async function openaiResponseHelper(at) {
  const stream = openaiAt(at).responses.stream(responseOf(at));
  const { output, output_text, status, usage } = await stream.finalResponse();
  return {
    text: output_text + told(callsIn(output)),
    reason: status,
    tokens: usage?.output_tokens,
  };
}

async function claudeEvents(at) {
  let text = "";
  let reason;
  let tokens;
  const asked = { ...messageOf(at), stream: true };
  for await (const event of await claudeAt(at).messages.create(asked)) {
    if (event.type === "content_block_start") text += event.content_block.name ?? "";
    if (event.type === "content_block_delta") {
      text += event.delta.text ?? event.delta.partial_json ?? "";
    }
    if (event.type !== "message_delta") continue;
    reason = event.delta.stop_reason;
    tokens = event.usage?.output_tokens;
  }
  return { text, reason, tokens };
}

async function claudeHelper(at) {
  const stream = claudeAt(at).messages.stream(messageOf(at));
  const { content, stop_reason, usage } = await stream.finalMessage();
  return {
    text: content.map((block) => block.text ?? told([block])).join(""),
    reason: stop_reason,
    tokens: usage?.output_tokens,
  };
}

function ai(modelOf) {
  return async (at) => {
    const { url, headers, retries, isCalling } = at;
    let failure;
    const result = streamText({
      model: modelOf(createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", headers })),
      prompt: promptOf(at),
      maxRetries: retries,
      ...(isCalling ? { tools: { weather: aiTool({ inputSchema: City }) } } : {}),
      onError: ({ error }) => void (failure ??= error),
    });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    if (failure !== undefined) throw failure;
    const { outputTokens } = await result.usage;
    const calls = (await result.toolCalls).map(({ toolName: name, input }) => ({ name, input }));
    text += told(calls);
    return { text, reason: await result.finishReason, tokens: outputTokens };
  };
}

function agents(useResponses) {
  return async (at) => {
    const modelProvider = new OpenAIProvider({ openAIClient: openaiAt(at), useResponses });
    const calls = [];
    const execute = (input) => {
      calls.push({ name: TOOL.name, input });
      return told(calls);
    };
    const agent = new Agent({
      name: "a",
      model: MODEL,
      ...(at.isCalling
        ? {
          tools: [agentTool({ ...TOOL, parameters: City, execute })],
          toolUseBehavior: "stop_on_first_tool",
        }
        : {}),
    });
    const result = await new Runner({ modelProvider }).run(agent, promptOf(at), { stream: true });
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
  return async (at) => {
    const { url, headers, retries, isCalling } = at;
    const client = new ChatOpenAI({
      model: MODEL,
      apiKey: "sk-test",
      maxRetries: retries,
      useResponsesApi,
      configuration: { baseURL: `${url}/v1`, defaultHeaders: headers, logLevel: "off" },
    });
    const weather = langTool(() => "", { ...TOOL, schema: City });
    const model = isCalling ? client.bindTools([weather]) : client;
    let whole;
    for await (const piece of await model.stream(promptOf(at))) {
      whole = whole === undefined ? piece : whole.concat(piece);
    }
    if (whole === undefined) return { text: "", reason: undefined, tokens: undefined };
    const { text, tool_calls = [], response_metadata, usage_metadata } = whole;
    const calls = tool_calls.map(({ name, args }) => ({ name, input: args }));
    return {
      text: text + told(calls),
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
