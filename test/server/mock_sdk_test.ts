import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI, { BadRequestError } from "openai";
import { LengthFinishReasonError } from "openai/core/error";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { launch, type Weir } from "./launch.ts";
import { brokenRules } from "./stream_rules.ts";

const HELLO = [{ role: "user" as const, content: "Hello 你好 🌊" }];

/** Calls tools when it is told to, … */
let forced: Weir;
/** … and whenever it may. */
let auto: Weir;
let openai: OpenAI;
let agent: OpenAI;

beforeAll(async () => {
  [forced, auto] = await Promise.all([launch(), launch({ set: { "mock.tools": "auto" } })]);
  const clientOf = ({ url }: Weir) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test" });
  openai = clientOf(forced);
  agent = clientOf(auto);
});
afterAll(() => Promise.all([forced.stop(), auto.stop()]));

/** What `call` fails with. */
async function failure(call: PromiseLike<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("It did not fail");
}

const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, unit: { enum: ["celsius", "fahrenheit"] } },
      required: ["city", "unit"],
    },
  },
} as const;

const CITY_AND_UNIT = { city: "city", unit: "celsius" };

describe("tools, with the official client", () => {
  const choices = [
    "required",
    { type: "function", function: { name: "get_weather" } },
    { type: "allowed_tools", allowed_tools: { mode: "required", tools: [WEATHER] } },
  ] as const;
  for (const tool_choice of choices) {
    test(`tool_choice ${JSON.stringify(tool_choice).slice(0, 40)} is obeyed`, async () => {
      const request = { model: "gpt-4o", messages: HELLO, tools: [WEATHER], tool_choice } as never;
      const completion = await openai.chat.completions.create(
        request,
      ) as OpenAI.ChatCompletion;
      const [choice] = completion.choices;
      expect(choice!.finish_reason).toBe("tool_calls");
      expect(choice!.message.content).toBeNull();
      const [call] = choice!.message.tool_calls!;
      expect(call!.id).toMatch(/^call_[A-Za-z0-9]{24}$/);
      expect(call).toMatchObject({
        type: "function",
        function: { name: "get_weather", arguments: JSON.stringify(CITY_AND_UNIT) },
      });
    });
  }

  test("a streamed call is gathered by .stream(), and keeps the rules of recorded streams", async () => {
    const request = {
      model: "gpt-4o",
      messages: HELLO,
      tools: [WEATHER] as never,
      tool_choice: "required",
      stream_options: { include_usage: true },
    } as const;
    const completion = await openai.chat.completions.stream(request).finalChatCompletion();
    const [call] = completion.choices[0]!.message.tool_calls!;
    expect(JSON.parse((call as { function: { arguments: string } }).function.arguments))
      .toEqual(CITY_AND_UNIT);
    const answer = await fetch(`${forced.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify({ ...request, stream: true }),
    });
    expect(brokenRules(await answer.text())).toEqual([]);
  });

  test("tools that nobody asks for are called by mock.tools: auto only", async () => {
    const request = { model: "gpt-4o", messages: HELLO, tools: [WEATHER] };
    const reasons = await Promise.all(
      [openai, agent].map(async (client) =>
        (await client.chat.completions.create(request)).choices[0]!.finish_reason
      ),
    );
    expect(reasons).toEqual(["stop", "tool_calls"]);
  });

  test("runTools() runs the tools that the user names, and ends with a text", async () => {
    const heard: unknown[] = [];
    const tool = (name: string) =>
      zodFunction({
        name,
        parameters: z.object({ city: z.string(), days: z.number().int().min(1) }),
        function: (given) => {
          heard.push([name, given]);
          return `${name} of ${given.city}`;
        },
      });
    const runner = agent.chat.completions.runTools({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Ask get_weather and get_time." }],
      tools: [tool("get_weather"), tool("get_time"), tool("never")],
    });
    expect(await runner.finalContent()).toBe("powered by openai");
    expect(heard).toEqual([
      ["get_weather", { city: "city", days: 1 }],
      ["get_time", { city: "city", days: 1 }],
    ]);
    expect(runner.messages.map(({ role }) => role)).toEqual([
      "user",
      "assistant",
      "tool",
      "tool",
      "assistant",
    ]);
  });

  test("functions are called in their own way, whole and streamed", async () => {
    const request = {
      model: "gpt-4o",
      messages: HELLO,
      functions: [WEATHER.function],
      function_call: { name: "get_weather" },
    } as never;
    const whole = await openai.chat.completions.create(request) as OpenAI.ChatCompletion;
    const streamed = await openai.chat.completions.stream(request).finalChatCompletion();
    for (const { choices } of [whole, streamed]) {
      expect(choices[0]!.finish_reason).toBe("function_call");
      const { function_call } = choices[0]!.message;
      expect(function_call).toMatchObject({
        name: "get_weather",
        arguments: JSON.stringify(CITY_AND_UNIT),
      });
    }
  });

  test("a custom tool gets a text", async () => {
    const { choices } = await openai.chat.completions.create({
      model: "gpt-5",
      messages: HELLO,
      tools: [{ type: "custom", custom: { name: "code" } }],
      tool_choice: { type: "custom", custom: { name: "code" } },
    });
    expect(choices[0]!.message.tool_calls).toMatchObject([
      { type: "custom", custom: { name: "code", input: "powered by openai" } },
    ]);
  });
});

const Recipe = z.object({
  title: z.string(),
  servings: z.number().int().min(2).max(12),
  level: z.enum(["easy", "hard"]),
  steps: z.array(z.object({ text: z.string(), minutes: z.number() })),
  note: z.string().nullable(),
  source: z.union([z.object({ url: z.string() }), z.object({ book: z.string() })]),
});

describe("structured output, with the official client", () => {
  const format = zodResponseFormat(Recipe, "recipe");

  test("parse() gives what the schema promises", async () => {
    const completion = await openai.chat.completions.parse({
      model: "gpt-4o",
      messages: HELLO,
      response_format: format,
    });
    const { content, parsed } = completion.choices[0]!.message;
    expect(Recipe.parse(parsed)).toEqual(parsed!);
    expect(content).toBe(JSON.stringify(JSON.parse(content!)));
    expect(Object.keys(parsed!)).toEqual(Object.keys(Recipe.shape));
  });

  test("so does a stream", async () => {
    const completion = await openai.chat.completions.stream({
      model: "gpt-5-mini",
      messages: HELLO,
      response_format: format,
    }).finalChatCompletion();
    expect(Recipe.parse(completion.choices[0]!.message.parsed)).toMatchObject({ servings: 2 });
  });

  test("parse() gives a strict tool's arguments", async () => {
    const completion = await openai.chat.completions.parse({
      model: "gpt-4o",
      messages: HELLO,
      tools: [zodFunction({ name: "cook", parameters: Recipe })],
      tool_choice: "required",
    });
    const [call] = completion.choices[0]!.message.tool_calls!;
    const { parsed_arguments: given } =
      (call as unknown as { function: { parsed_arguments: unknown } }).function;
    expect(Recipe.parse(given)).toEqual(given as z.infer<typeof Recipe>);
  });

  test("too few tokens are an answer that breaks off", async () => {
    const cut = openai.chat.completions.parse({
      model: "gpt-4o",
      messages: HELLO,
      response_format: format,
      max_tokens: 3,
    });
    expect(await failure(cut)).toBeInstanceOf(LengthFinishReasonError);
  });

  test("json_object is JSON", async () => {
    const { choices } = await openai.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "Answer in JSON." }],
      response_format: { type: "json_object" },
    });
    expect(JSON.parse(choices[0]!.message.content!)).toEqual({ answer: "powered by openai" });
  });

  test("a schema that strict does not take is refused as the live API does", async () => {
    const open = openai.chat.completions.create({
      model: "gpt-4o",
      messages: HELLO,
      response_format: {
        type: "json_schema",
        json_schema: { name: "x", strict: true, schema: { type: "object", properties: {} } },
      },
    });
    const error = await failure(open);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({
      message: "400 Invalid schema for response_format 'x': In context=(), " +
        "'additionalProperties' is required to be supplied and to be false.",
      param: "response_format",
      code: null,
    });
  });

  test("what cannot be made is refused with what to do, before a stream begins", async () => {
    const schema = { type: "object", properties: { a: false }, required: ["a"] };
    const impossible = openai.chat.completions.create({
      model: "gpt-4o",
      messages: HELLO,
      stream: true,
      response_format: { type: "json_schema", json_schema: { name: "x", schema } },
    });
    expect((await failure(impossible) as Error).message).toMatch(
      /at 'a', the schema allows none\. .*mock\.reply/,
    );
  });
});

describe("the rest of chat, with the official client", () => {
  test("log probabilities, streamed and whole, for the tokens of the deltas", async () => {
    const request = {
      model: "gpt-4o",
      messages: HELLO,
      logprobs: true,
      top_logprobs: 2,
    };
    const texts: string[] = [];
    const streamed: unknown[] = [];
    for await (const chunk of await openai.chat.completions.create({ ...request, stream: true })) {
      const [choice] = chunk.choices;
      if (choice!.delta.content) texts.push(choice!.delta.content);
      if (choice!.finish_reason === null) streamed.push(...choice!.logprobs!.content!);
      else expect(choice!.logprobs).toBeNull();
    }
    const whole = await openai.chat.completions.create(request);
    const { content } = whole.choices[0]!.logprobs!;
    expect(streamed).toEqual(content!);
    expect(texts).toEqual(content!.map(({ token }) => token));
    for (const { token, bytes, top_logprobs } of content!) {
      expect(bytes).toEqual([...Buffer.from(token)]);
      expect(top_logprobs).toHaveLength(2);
    }
  });

  test("reasoning models count what they thought", async () => {
    const { usage } = await openai.chat.completions.create({
      model: "gpt-5",
      messages: HELLO,
      reasoning_effort: "low",
    });
    expect(usage!.completion_tokens_details!.reasoning_tokens).toBe(64);
    expect(usage!.completion_tokens).toBe(64 + 9 + 4);
  });

  test("sound, whole and gathered from a stream", async () => {
    const request = {
      model: "gpt-4o-audio-preview",
      messages: HELLO,
      modalities: ["text", "audio"],
    } as const;
    const before = Math.floor(Date.now() / 1000);
    const whole = await openai.chat.completions.create({
      ...request,
      modalities: [...request.modalities],
      audio: { voice: "alloy", format: "wav" },
    });
    const streamed = await openai.chat.completions.stream({
      ...request,
      modalities: [...request.modalities],
      audio: { voice: "alloy", format: "pcm16" },
    }).finalChatCompletion();
    const [wav, pcm] = [whole, streamed].map(({ choices }) => choices[0]!.message.audio!);
    const [file, samples] = [wav!, pcm!].map(({ data }) => Buffer.from(data, "base64"));
    expect(file!.toString("latin1", 0, 4)).toBe("RIFF");
    expect(file!.subarray(44)).toEqual(samples!);
    for (const { id, transcript, expires_at } of [wav!, pcm!]) {
      expect(id).toMatch(/^audio_[A-Za-z0-9]{32}$/);
      expect(transcript).toBe("powered by openai");
      expect(expires_at).toBeWithin(before + 3600, before + 3700);
    }
    expect(wav!.id).not.toBe(pcm!.id);
  });

  test("a search says where it found things", async () => {
    const { choices } = await openai.chat.completions.create({
      model: "gpt-4o-search-preview",
      messages: HELLO,
      web_search_options: {},
    });
    expect(choices[0]!.message.annotations).toMatchObject([
      { type: "url_citation", url_citation: { start_index: 0, end_index: 17 } },
    ]);
  });

  test("a prediction is counted", async () => {
    const { usage } = await openai.chat.completions.create({
      model: "gpt-4o",
      messages: HELLO,
      prediction: { type: "content", content: "powered by nobody" },
    });
    expect(usage!.completion_tokens_details).toMatchObject({
      accepted_prediction_tokens: 2,
      rejected_prediction_tokens: 1,
    });
  });

  test("a moderation follows the usage, and stands in a whole answer", async () => {
    const request = {
      model: "gpt-4o",
      messages: HELLO,
      moderation: { model: "omni-moderation-latest" },
    };
    const chunks = [];
    const stream = await openai.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of stream) chunks.push(chunk);
    const [counted, moderated] = chunks.slice(-2);
    expect(counted!.usage!.total_tokens).toBeGreaterThan(0);
    expect(moderated).toMatchObject({ choices: [], usage: null });
    const whole = await openai.chat.completions.create(request);
    expect(moderated!.moderation).toEqual(whole.moderation!);
  });
});

test("mock.moderation flags what is asked and what is answered", async () => {
  const weir = await launch({
    set: { "mock.moderation": "{violence: [kill], hate: [openai]}" },
  });
  const openai = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-test" });
  const { moderation } = await openai.chat.completions.create({
    model: "gpt-4o",
    messages: [{ role: "user", content: "I will KILL it" }],
    moderation: { model: "omni-moderation-latest" },
  });
  const flagged = JSON.parse(JSON.stringify(moderation)) as Record<
    "input" | "output",
    { readonly results: readonly { readonly categories: Record<string, boolean> }[] }
  >;
  const of = (side: "input" | "output") =>
    Object.entries(flagged[side].results[0]!.categories).filter(([, is]) => is).map(([name]) =>
      name
    );
  expect([of("input"), of("output")]).toEqual([["violence"], ["hate"]]);
  await weir.stop();
});

describe("mock.persona", () => {
  test("minimal shapes texts only; gpt-4o is another name of live", async () => {
    const weirs = await Promise.all(
      ["minimal", "gpt-4o"].map((persona) => launch({ set: { "mock.persona": persona } })),
    );
    try {
      const answers = await Promise.all(weirs.map(async ({ url }) => {
        const ask = async (more: object) => {
          const answer = await fetch(`${url}/v1/chat/completions`, {
            method: "POST",
            body: JSON.stringify({ model: "gpt-4o", messages: HELLO, stream: false, ...more }),
          });
          return await answer.json() as Record<string, unknown>;
        };
        const call = { tools: [WEATHER], tool_choice: "required" };
        return [await ask({}), await ask(call)].map((
          { model, service_tier },
        ) => [model, service_tier]);
      }));
      expect(answers).toEqual([
        [["gpt-3.5-turbo", undefined], ["gpt-4o-2024-08-06", "default"]],
        [["gpt-4o-2024-08-06", "default"], ["gpt-4o-2024-08-06", "default"]],
      ]);
    } finally {
      await Promise.all(weirs.map((weir) => weir.stop()));
    }
  });
});
