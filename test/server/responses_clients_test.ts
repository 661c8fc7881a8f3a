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
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { answer, CALLED, chatAgent, SAID, STRUCTURED } from "./chat_agent.ts";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);
setTracingDisabled(true);

const Weather = z.object({ city: z.string(), degrees: z.number() });
const City = z.object({ city: z.string() });
const PROMPT = "How is the weather in 杭州?";
const MODEL = "gpt-4o";

/** One client, and what people do with it. Each gives what it has got in the end. */
interface Client {
  readonly name: string;
  text(url: string): Promise<string>;
  streamed(url: string): Promise<string>;
  /** Runs a tool until the model says something. `ran` is told what the tool was called with. */
  toolLoop(url: string, ran: (input: unknown) => void): Promise<string>;
  structured(url: string): Promise<unknown>;
}

function openaiAt(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0 });
}

const openai: Client = {
  name: "openai",
  async text(url) {
    return (await openaiAt(url).responses.create({ model: MODEL, input: PROMPT })).output_text;
  },
  async streamed(url) {
    const stream = openaiAt(url).responses.stream({ model: MODEL, input: PROMPT });
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
    const input: OpenAI.Responses.ResponseInput = [{ role: "user", content: PROMPT }];
    for (let turn = 0; turn < 5; turn++) {
      const response = await openaiAt(url).responses.create({
        model: MODEL,
        input,
        tools: [{
          type: "function",
          name: "weather",
          parameters: { type: "object", properties: { city: { type: "string" } } },
          strict: null,
        }],
      });
      const calls = response.output.filter((item) => item.type === "function_call");
      if (calls.length === 0) return response.output_text;
      input.push(...response.output as typeof input);
      for (const { call_id, arguments: json } of calls) {
        ran(JSON.parse(json));
        input.push({ type: "function_call_output", call_id, output: "晴" });
      }
    }
    throw new Error("The loop does not end");
  },
  async structured(url) {
    const { output_parsed } = await openaiAt(url).responses.parse({
      model: MODEL,
      input: PROMPT,
      text: { format: zodTextFormat(Weather, "weather") },
    });
    return output_parsed;
  },
};

function aiAt(url: string) {
  return createOpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test" })(MODEL);
}
const ALONE = { maxRetries: 0, providerOptions: { openai: { store: false } } } as const;

const ai: Client = {
  name: "ai",
  async text(url) {
    return (await generateText({ ...ALONE, model: aiAt(url), prompt: PROMPT })).text;
  },
  async streamed(url) {
    let failure: unknown;
    const onError = ({ error }: { readonly error: unknown }) => void (failure = error);
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

function runnerAt(url: string): Runner {
  return new Runner({
    modelProvider: new OpenAIProvider({ openAIClient: openaiAt(url), useResponses: true }),
  });
}

const agents: Client = {
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

function langchainAt(url: string): ChatOpenAI {
  return new ChatOpenAI({
    model: MODEL,
    apiKey: "sk-test",
    maxRetries: 0,
    useResponsesApi: true,
    configuration: { baseURL: `${url}/v1` },
  });
}

const langchain: Client = {
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
    const messages: Parameters<typeof model.invoke>[0] & unknown[] = [new HumanMessage(PROMPT)];
    for (let turn = 0; turn < 5; turn++) {
      const message = await model.invoke(messages);
      messages.push(message);
      if (!message.tool_calls?.length) return message.text;
      for (const call of message.tool_calls) {
        const content = String(await weather.invoke(call.args as z.infer<typeof City>));
        messages.push(new ToolMessage({ content, tool_call_id: call.id! }));
      }
    }
    throw new Error("The loop does not end");
  },
  structured: (url) => langchainAt(url).withStructuredOutput(Weather).invoke(PROMPT),
};

const CLIENTS: readonly Client[] = [openai, ai, agents, langchain];

describe("over an upstream that knows the chat API alone", () => {
  let upstream: ToldUpstream;
  /** One is told what its upstream speaks, the other finds out. */
  const weirs: Partial<Record<"told" | "guessing", Weir>> = {};
  beforeAll(async () => {
    upstream = chatAgent();
    const set = { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0 };
    weirs.told = await launch({ set: { ...set, "llm.speaks": "[openai_chat]" } });
    weirs.guessing = await launch({ set });
  });
  afterAll(async () => {
    await Promise.all(Object.values(weirs).map((weir) => weir.stop()));
    upstream.stop();
  });

  for (const client of CLIENTS) {
    for (const kind of ["told", "guessing"] as const) {
      test(`${client.name}: a text, whole and streamed (${kind})`, async () => {
        expect(await client.text(weirs[kind]!.url)).toBe(SAID);
        expect(await client.streamed(weirs[kind]!.url)).toBe(SAID);
      });
    }
    test(`${client.name}: a tool loop ends`, async () => {
      const inputs: unknown[] = [];
      expect(await client.toolLoop(weirs.told!.url, (input) => inputs.push(input))).toBe(SAID);
      expect(inputs).toEqual([CALLED]);
    });
    test(`${client.name}: structured output parses`, async () => {
      expect(await client.structured(weirs.told!.url)).toEqual(STRUCTURED);
    });
  }
});

describe("answered by the mock", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.reply": SAID, "mock.delay_ms": 1 } });
  });
  afterAll(() => weir.stop());
  for (const client of CLIENTS) {
    test(`${client.name}: a text, whole and streamed`, async () => {
      expect(await client.text(weir.url)).toBe(SAID);
      expect(await client.streamed(weir.url)).toBe(SAID);
    });
  }
});

describe("a stream that is cut behind any event is an error for every client", () => {
  const weirs: Partial<Record<"openai_responses" | "openai_chat", Weir>> = {};
  let upstream: ToldUpstream;
  let relayed: readonly string[];
  const translated = answer([{ content: "晴 " }, { content: "🌊" }, { content: " now" }], "stop")
    .split(/(?<=\n\n)/);
  const answers = { stream: "" };
  beforeAll(async () => {
    const mock = await launch({ set: { "mock.reply": "晴 🌊 now" } });
    const body = JSON.stringify({ model: MODEL, input: PROMPT, stream: true });
    const stream = await (await fetch(`${mock.url}/v1/responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    })).text();
    await mock.stop();
    relayed = stream.split(/(?<=\n\n)/);
    upstream = tellUpstream(() =>
      new Response(answers.stream, { headers: { "content-type": "text/event-stream" } })
    );
    const set = { "llm.base_url": `${upstream.url}/v1`, "llm.retries": 0 };
    for (const dialect of ["openai_responses", "openai_chat"] as const) {
      weirs[dialect] = await launch({ set: { ...set, "llm.speaks": `[${dialect}]` } });
    }
  });
  afterAll(async () => {
    await Promise.all(Object.values(weirs).map((weir) => weir.stop()));
    upstream.stop();
  });

  /** Expects that `client` takes `events` for an answer when they are whole, and never before. */
  async function expectCuts(
    client: Client,
    url: string,
    events: readonly string[],
    needed: number,
  ) {
    answers.stream = events.join("");
    expect(await client.streamed(url)).toBe("晴 🌊 now");
    for (let count = 1; count < needed; count++) {
      answers.stream = events.slice(0, count).join("");
      await expect(client.streamed(url), `behind ${count}`).rejects.toThrow();
    }
    // In the middle of an event, too.
    answers.stream = events.slice(0, needed).join("").slice(0, -40);
    await expect(client.streamed(url)).rejects.toThrow();
  }

  for (const client of CLIENTS) {
    test(`${client.name}, relayed`, async () => {
      await expectCuts(client, weirs.openai_responses!.url, relayed, relayed.length);
    });
    test(`${client.name}, out of the chat API`, async () => {
      // The event that tells why it ended is the last one that an answer needs.
      await expectCuts(client, weirs.openai_chat!.url, translated, translated.length - 2);
    });
  }
});
