import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { encode } from "gpt-tokenizer/encoding/cl100k_base";
import OpenAI, { BadRequestError } from "openai";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
import { type Proxied, proxied, whole } from "./proxied.ts";
import { act, chunk, LAST_CHUNK, response, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const REPLY = "一 two 🌊 four " + Array.from({ length: 40 }, (_, i) => `word${i}`).join(" ");
const INSTRUCT = "gpt-3.5-turbo-instruct";
const PROMPT = "Tell me a joke about opentelemetry 你好";

function client({ url }: Pick<Weir, "url">): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0 });
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It was expected to fail");
}

describe("completions, mocked, asked by the official client", () => {
  let weir: Weir;
  let openai: OpenAI;
  beforeAll(async () => {
    weir = await launch({ set: { "mock.reply": REPLY } });
    openai = client(weir);
  });
  afterAll(() => weir.stop());

  test("a base model says 16 tokens, and stops there", async () => {
    const { id, object, model, choices, usage } = await openai.completions.create({
      model: "davinci-002",
      prompt: PROMPT,
    });
    expect(id).toMatch(/^cmpl-[A-Za-z0-9]{29}$/);
    expect([object, model]).toEqual(["text_completion", "davinci:2023-07-21-v2"]);
    const [{ text, ...rest } = { text: "" }] = choices;
    expect(rest).toEqual({ index: 0, logprobs: null, finish_reason: "length" });
    expect(REPLY.startsWith(text)).toBe(true);
    expect(encode(text).length).toBe(16);
    const prompt_tokens = encode(PROMPT).length;
    expect(usage).toEqual({
      prompt_tokens,
      completion_tokens: 16,
      total_tokens: prompt_tokens + 16,
    });
  });

  test("the whole reply fits where there is room, and a stop cuts it", async () => {
    const asked = { model: INSTRUCT, prompt: "x", max_tokens: 500 };
    const all = await openai.completions.create(asked);
    expect(all.choices[0]).toMatchObject({ text: REPLY, finish_reason: "stop" });
    const cut = await openai.completions.create({ ...asked, stop: [" four"] });
    expect(cut.choices[0]).toMatchObject({ text: "一 two 🌊", finish_reason: "stop" });
  });

  test("each prompt has its n choices, behind its echo", async () => {
    const { choices, usage } = await openai.completions.create({
      model: INSTRUCT,
      prompt: ["A 你", "B 🌊"],
      n: 2,
      best_of: 3,
      echo: true,
      max_tokens: 1,
      suffix: "end",
    });
    expect(choices.map(({ index, text }) => [index, text])).toEqual([
      [0, "A 你一"],
      [1, "A 你一"],
      [2, "B 🌊一"],
      [3, "B 🌊一"],
    ]);
    expect(usage!.prompt_tokens).toBe(encode("A 你").length + encode("B 🌊").length);
    expect(usage!.completion_tokens).toBe(6);
  });

  test("tokens are a prompt too, and max_tokens 0 gives it back, with what is told of it", async () => {
    const tokens = encode("Hello 你好 world");
    const { choices: [choice], usage } = await openai.completions.create({
      model: INSTRUCT,
      prompt: tokens,
      echo: true,
      max_tokens: 0,
      logprobs: 2,
    });
    expect(choice!.text).toBe("Hello 你好 world");
    const { tokens: told, token_logprobs, text_offset, top_logprobs } = choice!.logprobs!;
    expect(told!.join("")).toBe("Hello 你好 world");
    expect(token_logprobs![0] as number | null).toBeNull();
    for (const [i, logprob] of token_logprobs!.slice(1).entries()) {
      expect(logprob).toBeLessThan(0);
      const chances = Object.values(top_logprobs![i + 1]!).map(Math.exp);
      expect(chances.length).toBe(2);
      expect(chances.reduce((sum, each) => sum + each)).toBeLessThan(1);
    }
    expect(text_offset!.at(-1)).toBe("Hello 你好".length);
    expect(usage!.prompt_tokens).toBe(tokens.length);
    expect(usage!.completion_tokens).toBe(0);
  });

  test("tokens of a prompt are counted as they came, and all answers of best_of", async () => {
    for (const prompt of [[1, 2], [1, 2, 3, 4, 5, 6, 7], [[1, 2], [3, 4, 5]]]) {
      const { usage } = await openai.completions.create({ model: INSTRUCT, prompt, max_tokens: 3 });
      expect(usage!.prompt_tokens).toBe(prompt.flat().length);
    }
    const { choices, usage } = await openai.completions.create({
      model: INSTRUCT,
      prompt: ["A", "B"],
      n: 2,
      best_of: 4,
      max_tokens: 3,
    });
    expect(choices).toHaveLength(4);
    expect(usage).toEqual({ prompt_tokens: 2, completion_tokens: 24, total_tokens: 26 });
  });

  test("what is told of the text stands behind what is told of its echo", async () => {
    const asked = { model: "davinci-002", prompt: "Hi 🌊", max_tokens: 3, logprobs: 1 };
    const [alone, echoed] = await Promise.all([
      openai.completions.create(asked),
      openai.completions.create({ ...asked, echo: true }),
    ]);
    const of = (answer: typeof alone) => answer.choices[0]!.logprobs!;
    expect(of(alone).tokens!.join("")).toBe(alone.choices[0]!.text);
    expect(of(alone).tokens!.length).toBe(3);
    expect(of(alone).text_offset![0]).toBe([..."Hi 🌊"].length);
    expect(of(echoed).tokens!.join("")).toBe(echoed.choices[0]!.text);
    for (const key of ["tokens", "token_logprobs", "top_logprobs", "text_offset"] as const) {
      expect(of(echoed)[key]!.slice(-3) as unknown[]).toEqual(of(alone)[key]!);
    }
    let streamed: number[] = [];
    for await (const { choices } of await openai.completions.create({ ...asked, stream: true })) {
      streamed = [...streamed, ...choices[0]!.logprobs!.token_logprobs!];
    }
    expect(streamed).toEqual(of(alone).token_logprobs!);
  });

  test("a stream says the same, its end with its last text", async () => {
    const stream = await openai.completions.create({
      model: "davinci-002",
      prompt: PROMPT,
      n: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts = ["", ""];
    const reasons: (string | null)[][] = [[], []];
    let usage: unknown;
    for await (const piece of stream) {
      expect(piece.model).toBe("davinci:2023-07-21-v2");
      for (const { index, text, finish_reason } of piece.choices) {
        expect(text).not.toBe("");
        texts[index] += text;
        reasons[index]!.push(finish_reason);
      }
      usage = piece.usage ?? usage;
    }
    expect(texts[0]).toBe(texts[1]!);
    expect(encode(texts[0]!).length).toBe(16);
    for (const each of reasons) {
      expect(each.at(-1)).toBe("length");
      expect(each.slice(0, -1).every((reason) => reason === null)).toBe(true);
    }
    expect(usage).toMatchObject({ prompt_tokens: encode(PROMPT).length, completion_tokens: 32 });
  });

  test("its content type has no charset", async () => {
    const answer = await fetch(`${weir.url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ model: INSTRUCT, prompt: "a", stream: true }),
    });
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    expect(answer.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
    await answer.body!.cancel();
  });

  test("one answer's echo is in no other's", async () => {
    const prompts = Array.from({ length: 20 }, (_, i) => `prompt ${i % 5}`);
    const answers = await Promise.all(
      prompts.map((prompt) =>
        openai.completions.create({ model: INSTRUCT, prompt, echo: true, max_tokens: 1 })
      ),
    );
    expect(answers.map(({ choices }) => choices[0]!.text)).toEqual(
      prompts.map((prompt) => `${prompt}一`),
    );
  });

  test("is refused in the API's words", async () => {
    const error = await rejection(openai.completions.create({ model: INSTRUCT, prompt: [] }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect((error as BadRequestError).code).toBe("empty_array");
  });
});

describe("completions, with an upstream", () => {
  let proxy: Proxied;
  let openai: OpenAI;
  beforeAll(async () => {
    proxy = await proxied();
    openai = client(proxy.weir);
  });
  afterAll(() => proxy.stop());

  test("pass both ways as they are", async () => {
    const said = JSON.stringify({
      id: "cmpl-1",
      choices: [{ index: 0, text: "水 🌊" }],
      system_fingerprint: "fp",
    });
    proxy.play(() => [
      act.send(sseHead()),
      act.send(chunk(`data: ${said}\n\ndata: [DONE]\n\n`)),
      act.send(LAST_CHUNK),
    ]);
    const body = {
      model: "any",
      prompt: ["a", "b"],
      best_of: 9,
      stream: true,
      unknown: 1,
    } as const;
    const answer = await fetch(`${proxy.weir.url}/v1/completions?a=1`, {
      method: "POST",
      body: JSON.stringify(body),
    });
    expect(await answer.text()).toBe(`data: ${said}\n\ndata: [DONE]\n\n`);
    const asked = proxy.upstream.requests.at(-1)!;
    expect(asked.path).toBe("/v1/completions?a=1");
    expect(JSON.parse(asked.body.toString())).toEqual(body);
  });

  test("are relayed whole", async () => {
    proxy.play(() => [
      act.send(response('{"choices":[{"text":"hi"}]}', { "content-type": "application/json" })),
    ]);
    const { choices } = await openai.completions.create({ model: "any", prompt: "a" });
    expect(choices[0]!.text).toBe("hi");
  });
});

describe("completions, with an upstream that only knows conversations", () => {
  let proxy: Proxied;
  let openai: OpenAI;
  beforeAll(async () => {
    proxy = await proxied();
    openai = client(proxy.weir);
    const said = (delta: object, finish_reason: string | null) =>
      `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
    proxy.play(({ path }) =>
      path === "/v1/completions" ? [act.send(response("{}", {}, "404 Not Found"))] : whole(
        said({ content: "水" }, null),
        said({ content: " 🌊" }, "length"),
        "data: [DONE]\n\n",
      )
    );
  });
  afterAll(() => proxy.stop());

  test("are asked as the words of a user", async () => {
    const { choices } = await openai.completions.create({
      model: "local",
      prompt: "Say",
      echo: true,
      temperature: 0.5,
      max_tokens: 7,
    });
    expect(choices[0]).toMatchObject({ text: "Say水 🌊", finish_reason: "length" });
    const asked = proxy.upstream.requests.at(-1)!;
    expect(asked.path).toBe("/v1/chat/completions");
    expect(JSON.parse(asked.body.toString())).toMatchObject({
      model: "local",
      messages: [{ role: "user", content: "Say" }],
      temperature: 0.5,
      max_tokens: 7,
    });
  });

  test("stream, and end with an empty text", async () => {
    const stream = await openai.completions.create({ model: "local", prompt: "Say", stream: true });
    const pieces: unknown[] = [];
    for await (const { choices: [choice] } of stream) {
      pieces.push([choice!.text, choice!.finish_reason]);
    }
    expect(pieces).toEqual([["水", null], [" 🌊", null], ["", "length"]]);
  });

  for (
    const [more, param, words] of [
      [{ prompt: ["a", "b"] }, "prompt", "several prompts"],
      [{ prompt: "a", suffix: "b", model: INSTRUCT }, "suffix", "a suffix"],
    ] as const
  ) {
    test(`refuse ${words}`, async () => {
      const body = { model: "local", ...more, prompt: [...more.prompt] };
      const error = await rejection(openai.completions.create(
        typeof more.prompt === "string" ? { ...body, prompt: more.prompt } : body,
      ));
      expect(error).toBeInstanceOf(BadRequestError);
      expect((error as BadRequestError).param).toBe(param);
      expect((error as BadRequestError).message).toContain(words);
    });
  }
});
