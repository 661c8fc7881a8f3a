import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { answer, CALLED, chatAgent, SAID, STRUCTURED } from "./chat_agent.ts";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
// @deno-types="./responses_clients.d.ts"
import { agents, ai, type Client, langchain } from "./responses_clients.js";
import { tellUpstream, type ToldUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const Weather = z.object({ city: z.string(), degrees: z.number() });
const PROMPT = "How is the weather in 杭州?";
const MODEL = "gpt-4o";

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
