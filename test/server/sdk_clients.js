/**
 * Clients that people use, each with what it does in its own way. Not in TypeScript: checking the
 * types of these packages takes more depth than the checker has.
 *
 * @module
 */

import { createOpenAI } from "@ai-sdk/openai";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool as langTool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import {
  Agent,
  OpenAIProvider,
  Runner,
  setTracingDisabled,
  tool as agentTool,
} from "@openai/agents";
import { embed, generateText, Output, stepCountIs, streamText, tool as aiTool } from "ai";
import { expect } from "bun:test";
import OpenAI from "openai";
import {
  zodFunction,
  zodResponseFormat,
  zodResponsesFunction,
  zodTextFormat,
} from "openai/helpers/zod";
import { z } from "zod";

setTracingDisabled(true);

export const PROMPTS = {
  text: "Say something 你好",
  call: "How is the weather in 杭州?",
  form: "Fill in the form for 杭州",
};

const Weather = z.object({ city: z.string(), degrees: z.number() });
const City = z.object({ city: z.string() });
/** What the tool gives. */
const SUNNY = "晴";
/** No loop of these tests takes more than two. */
const TURNS_MAX = 5;
const MODEL = "gpt-4o";
const EMBEDDING_MODEL = "text-embedding-3-small";
const TOOL = { name: "weather", description: "the weather" };

const user = (content) => [{ role: "user", content }];

function weatherOf(ran) {
  return (input) => {
    ran(input);
    return SUNNY;
  };
}

function openaiAt(url) {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0 });
}

const openaiChat = {
  name: "openai, chat",
  dialect: "openai_chat",
  async text(url) {
    const { choices: [{ message }] } = await openaiAt(url).chat.completions.create({
      model: MODEL,
      messages: user(PROMPTS.text),
    });
    return message.content;
  },
  async streamed(url) {
    const stream = openaiAt(url).chat.completions.stream({
      model: MODEL,
      messages: user(PROMPTS.text),
    });
    let text = "";
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? "";
    const { choices: [{ finish_reason }] } = await stream.finalChatCompletion();
    if (finish_reason !== "stop") throw new Error(`It finished with ${finish_reason}`);
    return text;
  },
  toolLoop: (url, ran) =>
    openaiAt(url).chat.completions.runTools({
      model: MODEL,
      messages: user(PROMPTS.call),
      stream: true,
      tools: [zodFunction({ ...TOOL, parameters: City, function: weatherOf(ran) })],
    }, { maxChatCompletions: TURNS_MAX }).finalContent(),
  async structured(url) {
    const { choices: [{ message }] } = await openaiAt(url).chat.completions.parse({
      model: MODEL,
      messages: user(PROMPTS.form),
      response_format: zodResponseFormat(Weather, "weather"),
    });
    return message.parsed;
  },
  async embedded(url, dimensions) {
    const asked = { model: EMBEDDING_MODEL, input: PROMPTS.text };
    const { data: [one] } = await openaiAt(url).embeddings.create({ ...asked, dimensions });
    return one.embedding;
  },
};

const openaiResponses = {
  name: "openai, responses",
  dialect: "openai_responses",
  async text(url) {
    const asked = { model: MODEL, input: PROMPTS.text };
    return (await openaiAt(url).responses.create(asked)).output_text;
  },
  async streamed(url) {
    const stream = openaiAt(url).responses.stream({ model: MODEL, input: PROMPTS.text });
    let text = "";
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    const { output_text, status } = await stream.finalResponse();
    if (status !== "completed") throw new Error(`The response is ${status}`);
    expect(output_text).toBe(text);
    return text;
  },
  async toolLoop(url, ran) {
    const input = user(PROMPTS.call);
    for (let turn = 0; turn < TURNS_MAX; turn++) {
      const response = await openaiAt(url).responses.parse({
        model: MODEL,
        input,
        tools: [zodResponsesFunction({ ...TOOL, parameters: City })],
      });
      const calls = response.output.filter((item) => item.type === "function_call");
      if (calls.length === 0) return response.output_text;
      for (const { type, call_id, name, arguments: json, parsed_arguments } of calls) {
        const output = weatherOf(ran)(parsed_arguments);
        input.push({ type, call_id, name, arguments: json });
        input.push({ type: "function_call_output", call_id, output });
      }
    }
    throw new Error("The loop does not end");
  },
  async structured(url) {
    const { output_parsed } = await openaiAt(url).responses.parse({
      model: MODEL,
      input: PROMPTS.form,
      text: { format: zodTextFormat(Weather, "weather") },
    });
    return output_parsed;
  },
};

function claudeAt(url) {
  return new Anthropic({ baseURL: url, apiKey: "sk-test", maxRetries: 0 });
}
const CLAUDE = { model: "claude-sonnet-4-6", max_tokens: 1000 };

function textOf({ content, stop_reason }) {
  if (stop_reason !== "end_turn") throw new Error(`It stopped with ${stop_reason}`);
  return content.map(({ text }) => text).join("");
}

const anthropic = {
  name: "@anthropic-ai/sdk",
  dialect: "anthropic_messages",
  text: async (url) =>
    textOf(await claudeAt(url).messages.create({ ...CLAUDE, messages: user(PROMPTS.text) })),
  async streamed(url) {
    const stream = claudeAt(url).messages.stream({ ...CLAUDE, messages: user(PROMPTS.text) });
    let text = "";
    stream.on("text", (piece) => text += piece);
    expect(textOf(await stream.finalMessage())).toBe(text);
    return text;
  },
  toolLoop: async (url, ran) =>
    textOf(
      await claudeAt(url).beta.messages.toolRunner({
        ...CLAUDE,
        messages: user(PROMPTS.call),
        max_iterations: TURNS_MAX,
        tools: [betaZodTool({ ...TOOL, inputSchema: City, run: weatherOf(ran) })],
      }),
    ),
  async structured(url) {
    const { parsed_output } = await claudeAt(url).messages.parse({
      ...CLAUDE,
      messages: user(PROMPTS.form),
      output_config: { format: zodOutputFormat(Weather) },
    });
    return parsed_output;
  },
};

function aiAt(url) {
  return createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test" });
}
const ALONE = { maxRetries: 0, providerOptions: { openai: { store: false } } };

/** Vercel's, with the model that `modelAt` gives. */
function aiWith(name, dialect, modelAt) {
  return {
    name,
    dialect,
    async text(url) {
      return (await generateText({ ...ALONE, model: modelAt(url), prompt: PROMPTS.text })).text;
    },
    async streamed(url) {
      let failure;
      const onError = ({ error }) => void (failure = error);
      const asked = { ...ALONE, model: modelAt(url), prompt: PROMPTS.text };
      const result = streamText({ ...asked, onError });
      let text = "";
      for await (const piece of result.textStream) text += piece;
      if (failure !== undefined) throw failure;
      const reason = await result.finishReason;
      if (reason !== "stop") throw new Error(`It finished with ${reason}`);
      return text;
    },
    toolLoop: (url, ran) =>
      streamText({
        ...ALONE,
        model: modelAt(url),
        prompt: PROMPTS.call,
        tools: { weather: aiTool({ inputSchema: City, execute: weatherOf(ran) }) },
        stopWhen: stepCountIs(TURNS_MAX),
      }).text,
    async structured(url) {
      const { output } = await generateText({
        ...ALONE,
        model: modelAt(url),
        prompt: PROMPTS.form,
        output: Output.object({ schema: Weather }),
      });
      return output;
    },
    async embedded(url, dimensions) {
      const providerOptions = { openai: { dimensions } };
      const model = aiAt(url).textEmbeddingModel(EMBEDDING_MODEL);
      return (await embed({ maxRetries: 0, model, value: PROMPTS.text, providerOptions })).embedding;
    },
  };
}

function agentsWith(name, dialect, useResponses) {
  const run = (url, agent, ...rest) =>
    new Runner({ modelProvider: new OpenAIProvider({ openAIClient: openaiAt(url), useResponses }) })
      .run(new Agent({ name: "a", model: MODEL, ...agent }), ...rest);
  return {
    name,
    dialect,
    async text(url) {
      const { finalOutput } = await run(url, { instructions: "be brief" }, PROMPTS.text);
      return finalOutput;
    },
    async streamed(url) {
      const result = await run(url, {}, PROMPTS.text, { stream: true });
      let text = "";
      for await (const piece of result.toTextStream()) text += piece;
      await result.completed;
      expect(result.finalOutput).toBe(text);
      return text;
    },
    async toolLoop(url, ran) {
      const weather = agentTool({ ...TOOL, parameters: City, execute: weatherOf(ran) });
      const result = await run(url, { tools: [weather] }, PROMPTS.call, { maxTurns: TURNS_MAX });
      return result.finalOutput;
    },
    structured: async (url) => (await run(url, { outputType: Weather }, PROMPTS.form)).finalOutput,
  };
}

function langchainWith(name, dialect, useResponsesApi) {
  const configuredAt = (url) => ({
    apiKey: "sk-test",
    maxRetries: 0,
    configuration: { baseURL: `${url}/v1` },
  });
  const at = (url) => new ChatOpenAI({ ...configuredAt(url), model: MODEL, useResponsesApi });
  return {
    name,
    dialect,
    text: async (url) => (await at(url).invoke(PROMPTS.text)).text,
    async streamed(url) {
      let text = "";
      for await (const piece of await at(url).stream(PROMPTS.text)) text += piece.text;
      return text;
    },
    async toolLoop(url, ran) {
      const weather = langTool(weatherOf(ran), { ...TOOL, schema: City });
      const model = at(url).bindTools([weather]);
      const messages = [new HumanMessage(PROMPTS.call)];
      for (let turn = 0; turn < TURNS_MAX; turn++) {
        const message = await model.invoke(messages);
        messages.push(message);
        if (!message.tool_calls?.length) return message.text;
        for (const call of message.tool_calls) {
          const content = String(await weather.invoke(call.args));
          messages.push(new ToolMessage({ content, tool_call_id: call.id }));
        }
      }
      throw new Error("The loop does not end");
    },
    structured: (url) => at(url).withStructuredOutput(Weather).invoke(PROMPTS.form),
    embedded: (url, dimensions) =>
      new OpenAIEmbeddings({ ...configuredAt(url), model: EMBEDDING_MODEL, dimensions })
        .embedQuery(PROMPTS.text),
  };
}

export const CLIENTS = [
  openaiChat,
  openaiResponses,
  anthropic,
  aiWith("ai, chat", "openai_chat", (url) => aiAt(url).chat(MODEL)),
  aiWith("ai, responses", "openai_responses", (url) => aiAt(url).responses(MODEL)),
  agentsWith("@openai/agents, chat", "openai_chat", false),
  agentsWith("@openai/agents, responses", "openai_responses", true),
  langchainWith("@langchain/openai, chat", "openai_chat", false),
  langchainWith("@langchain/openai, responses", "openai_responses", true),
];
