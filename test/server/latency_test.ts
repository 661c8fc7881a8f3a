import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI from "openai";
import { launch, makeFolder, type Weir, weirCommand } from "./launch.ts";

/** Fast, and yet drawn. */
const PROFILE = {
  "mock.delay_ms": 50,
  "mock.latency.profile": "realistic",
  "mock.latency.first_token_ms": 20,
  "mock.latency.slow_share": 0,
  "mock.latency.tokens_per_s": 2000,
  "mock.latency.pause_share": 0,
  "mock.latency.load": "none",
};

/** Some 1500 tokens that two questions have in common. */
const SYSTEM = "word ".repeat(1500);
/** 1024, and as many steps of 128 as there is room for. */
const CACHED = 1408;

interface Latency {
  readonly first_token_ms: number;
  readonly tokens_per_s: number;
  readonly cached_tokens: number;
  readonly delivered: {
    readonly first_token_ms: number | null;
    readonly tokens_per_s: number | null;
  };
}

async function latencies({ url }: Weir, session: string): Promise<readonly Latency[]> {
  const answer = await fetch(`${url}/__weir/requests?session=${session}`);
  const { requests } = await answer.json() as {
    readonly requests: readonly { readonly latency: Latency }[];
  };
  return requests.map(({ latency }) => latency);
}

describe("the official clients of a mock with a latency profile", () => {
  let weir: Weir;
  let openai: OpenAI;

  beforeAll(async () => {
    weir = await launch({ set: PROFILE });
    openai = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-test" });
  });
  afterAll(() => weir.stop());

  test("chat: cached_tokens, streamed and whole", async () => {
    const ask = {
      model: "gpt-4o",
      messages: [
        { role: "system" as const, content: SYSTEM },
        { role: "user" as const, content: "One?" },
      ],
    };
    const first = await openai.chat.completions.create(ask);
    expect(first.usage!.prompt_tokens_details!.cached_tokens).toBe(0);
    const again = await openai.chat.completions.create(ask);
    expect(again.usage!.prompt_tokens_details!.cached_tokens).toBe(CACHED);
    const stream = await openai.chat.completions.create({
      ...ask,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let cached: number | undefined;
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? "";
      cached = usage?.prompt_tokens_details?.cached_tokens ?? cached;
    }
    expect(text).toBe("powered by openai");
    expect(cached).toBe(CACHED);
  });

  test("responses: input_tokens_details.cached_tokens", async () => {
    const ask = { model: "gpt-4.1", instructions: SYSTEM, input: "One?" };
    expect((await openai.responses.create(ask)).usage!.input_tokens_details.cached_tokens).toBe(0);
    expect((await openai.responses.create(ask)).usage!.input_tokens_details.cached_tokens)
      .toBe(CACHED);
  });

  test("messages: cache_read_input_tokens, and input_tokens without them", async () => {
    const client = new Anthropic({ baseURL: weir.url, apiKey: "sk-test" });
    const ask = () =>
      client.messages.create({
        model: "claude-sonnet-4-6",
        max_tokens: 100,
        system: SYSTEM,
        messages: [{ role: "user", content: "One?" }],
      });
    const first = (await ask()).usage;
    const again = (await ask()).usage;
    expect([first.cache_read_input_tokens, again.cache_read_input_tokens]).toEqual([0, CACHED]);
    expect(again.input_tokens).toBe(first.input_tokens - CACHED);
  });

  test("openai-processing-ms is the time that this answer took to begin", async () => {
    const { response } = await openai.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "How long?" }],
      stream: true,
    }, { headers: { "x-weir-session": "timed" } }).withResponse();
    await response.text();
    const [latency] = await latencies(weir, "timed");
    const tookMs = Number(response.headers.get("openai-processing-ms"));
    expect(tookMs).toBeGreaterThanOrEqual(Math.floor(latency!.first_token_ms));
    expect(latency!.delivered.first_token_ms!).toBeGreaterThanOrEqual(latency!.first_token_ms);
    expect(latency!.delivered.tokens_per_s!).toBeGreaterThan(0);
    const metrics = await (await fetch(`${weir.url}/metrics`)).text();
    for (const stage of ["drawn", "delivered"]) {
      expect(metrics).toMatch(
        new RegExp(`weir_latency_first_token_seconds_count\\{stage="${stage}"\\} [1-9]`),
      );
      expect(metrics).toMatch(
        new RegExp(`weir_latency_tokens_per_second_count\\{stage="${stage}"\\} [1-9]`),
      );
    }
    expect(metrics).toMatch(/weir_prompt_cached_tokens_total [1-9]/);
  });
});

test("what a fixture answers has the profile's times, unless it has its own", async () => {
  const fixtures = [
    { id: "plain", match: { userMessage: "plain" }, response: { content: "one two three" } },
    {
      id: "timed",
      match: { userMessage: "timed" },
      response: { content: "one two three" },
      latency: 1,
    },
    { id: "wrong", match: { userMessage: "wrong" }, response: { error: { message: "no" } } },
  ];
  const weir = await launch({
    set: { ...PROFILE, "mock.fixtures": "[fixtures.json]" },
    files: { "fixtures.json": JSON.stringify({ fixtures }) },
  });
  try {
    for (const { id } of fixtures) {
      const answer = await fetch(`${weir.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "x-weir-session": id },
        body: JSON.stringify({
          model: "gpt-4o",
          stream: true,
          messages: [{ role: "user", content: id }],
        }),
      });
      await answer.text();
    }
    const drawn = await Promise.all(fixtures.map(async ({ id }) => (await latencies(weir, id))[0]));
    expect(drawn.map((latency) => latency !== undefined)).toEqual([true, false, false]);
    expect(drawn[0]!.delivered.first_token_ms!).toBeGreaterThanOrEqual(drawn[0]!.first_token_ms);
  } finally {
    await weir.stop();
  }
});

test("two workers draw what one draws, and share the prompt cache", async () => {
  const drawn = async (workers: number) => {
    const weir = await launch({ set: { ...PROFILE, "server.workers": workers } });
    try {
      for (let i = 0; i < 12; i++) {
        // A connection of its own, which may be any worker's.
        const answer = await fetch(`${weir.url}/v1/chat/completions`, {
          method: "POST",
          headers: { connection: "close", "x-weir-session": "s" },
          body: JSON.stringify({
            model: "gpt-4o",
            messages: [{ role: "user", content: SYSTEM }],
          }),
        });
        await answer.json();
      }
      const all = await latencies(weir, "s");
      expect(all.length).toBe(12);
      expect(all.filter(({ cached_tokens }) => cached_tokens > 0).length).toBe(11);
      return all.map(({ first_token_ms, tokens_per_s }) => [first_token_ms, tokens_per_s]).toSorted(
        ([one], [other]) => one! - other!,
      );
    } finally {
      await weir.stop();
    }
  };
  const [one, two] = await Promise.all([drawn(1), drawn(2)]);
  expect(two).toEqual(one);
});

test("weir check refuses a profile's file with its place, and takes a good one", () => {
  const files = { "good.yaml": "profile: 8b-h100\ngap_cv: 0.2\n", "bad.yaml": "gap_cv: wide\n" };
  const folder = makeFolder({ ...files, "config.yaml": "" });
  const check = (file: string) => {
    const words = [...weirCommand(), "check", "--set", `mock.latency.profile=${file}`];
    const { exitCode, stdout, stderr } = Bun.spawnSync(words, { cwd: folder });
    return { exitCode, text: `${stdout}${stderr}` };
  };
  expect(check("good.yaml").text).toContain("profile: good.yaml # --set mock.latency.profile");
  const bad = check("bad.yaml");
  expect(bad.exitCode).toBe(1);
  expect(bad.text).toContain("bad.yaml:1:9 mock.latency.gap_cv: must be a number from 0 to 3");
  expect(check("none.yaml").text).toContain("there is no such file");
});
