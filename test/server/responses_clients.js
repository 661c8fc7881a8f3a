/**
 * Clients that read the Responses API each in its own way. Not in TypeScript: checking the types of
 * these packages takes more depth than the checker has.
 *
 * @module
 */

import { createOpenAI } from "@ai-sdk/openai";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool as langTool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import {
  Agent,
  OpenAIProvider,
  Runner,
  setTracingDisabled,
  tool as agentTool,
} from "@openai/agents";
import { generateText, Output, stepCountIs, streamText, tool as aiTool } from "ai";
import { expect } from "bun:test";
import OpenAI from "openai";
import { z } from "zod";

setTracingDisabled(true);

const Weather = z.object({ city: z.string(), degrees: z.number() });
const City = z.object({ city: z.string() });
const PROMPT = "How is the weather in 杭州?";
const MODEL = "gpt-4o";

function openaiAt(url) {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0 });
}

function aiAt(url) {
  return createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test" })(MODEL);
}
const ALONE = { maxRetries: 0, providerOptions: { openai: { store: false } } };

/** @type {import("./responses_clients.d.ts").Client} */
export const ai = {
  name: "ai",
  async text(url) {
    return (await generateText({ ...ALONE, model: aiAt(url), prompt: PROMPT })).text;
  },
  async streamed(url) {
    let failure;
    const onError = ({ error }) => void (failure = error);
    const result = streamText({ ...ALONE, model: aiAt(url), prompt: PROMPT, onError });
    let text = "";
    for await (const piece of result.textStream) text += piece;
    if (failure !== undefined) throw failure;
    const reason = await result.finishReason;
    if (reason !== "stop") throw new Error(`It finished with ${reason}`);
    return text;
  },
  async toolLoop(url, ran) {
    const weather = aiTool({
      inputSchema: City,
      execute(input) {
        ran(input);
        return "晴";
      },
    });
    const { text } = await generateText({
      ...ALONE,
      model: aiAt(url),
      prompt: PROMPT,
      tools: { weather },
      stopWhen: stepCountIs(5),
    });
    return text;
  },
  async structured(url) {
    const { output } = await generateText({
      ...ALONE,
      model: aiAt(url),
      prompt: PROMPT,
      output: Output.object({ schema: Weather }),
    });
    return output;
  },
};

function runnerAt(url) {
  return new Runner({
    modelProvider: new OpenAIProvider({ openAIClient: openaiAt(url), useResponses: true }),
  });
}

/** @type {import("./responses_clients.d.ts").Client} */
export const agents = {
  name: "@openai/agents",
  async text(url) {
    const agent = new Agent({ name: "a", model: MODEL, instructions: "be brief" });
    return String((await runnerAt(url).run(agent, PROMPT)).finalOutput);
  },
  async streamed(url) {
    const agent = new Agent({ name: "a", model: MODEL });
    const result = await runnerAt(url).run(agent, PROMPT, { stream: true });
    let text = "";
    for await (const piece of result.toTextStream()) text += piece;
    await result.completed;
    expect(String(result.finalOutput)).toBe(text);
    return text;
  },
  async toolLoop(url, ran) {
    const weather = agentTool({
      name: "weather",
      description: "the weather",
      parameters: City,
      execute(input) {
        ran(input);
        return "晴";
      },
    });
    const agent = new Agent({ name: "a", model: MODEL, tools: [weather] });
    return String((await runnerAt(url).run(agent, PROMPT, { maxTurns: 5 })).finalOutput);
  },
  async structured(url) {
    const agent = new Agent({ name: "a", model: MODEL, outputType: Weather });
    return (await runnerAt(url).run(agent, PROMPT)).finalOutput;
  },
};

function langchainAt(url) {
  return new ChatOpenAI({
    model: MODEL,
    apiKey: "sk-test",
    maxRetries: 0,
    useResponsesApi: true,
    configuration: { baseURL: `${url}/v1` },
  });
}

/** @type {import("./responses_clients.d.ts").Client} */
export const langchain = {
  name: "@langchain/openai",
  async text(url) {
    return (await langchainAt(url).invoke(PROMPT)).text;
  },
  async streamed(url) {
    let text = "";
    for await (const piece of await langchainAt(url).stream(PROMPT)) text += piece.text;
    return text;
  },
  async toolLoop(url, ran) {
    const weather = langTool((input) => {
      ran(input);
      return "晴";
    }, { name: "weather", description: "the weather", schema: City });
    const model = langchainAt(url).bindTools([weather]);
    const messages = [new HumanMessage(PROMPT)];
    for (let turn = 0; turn < 5; turn++) {
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
  structured: (url) => langchainAt(url).withStructuredOutput(Weather).invoke(PROMPT),
};
