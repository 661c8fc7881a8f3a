import Anthropic from "@anthropic-ai/sdk";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI from "openai";
import { launch, run, TEST_MS_MAX, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const FIXTURES = {
  fixtures: [
    {
      match: { userMessage: "busy" },
      sequence: [
        { error: { message: "slow down", status: 429, retryAfter: 1 } },
        { content: "at last" },
      ],
    },
    {
      match: { userMessage: "broken" },
      sequence: [
        { error: { message: "oh", status: 500 } },
        { error: { message: "oh", status: 500 } },
        { content: "mended" },
      ],
    },
    {
      match: { userMessage: "quota" },
      response: {
        error: { message: "pay first", type: "insufficient_quota", code: "insufficient_quota" },
        status: 429,
      },
    },
    {
      match: { userMessage: "cut" },
      response: { content: "one two three four five six" },
      chunkSize: 4,
      truncateAfterChunks: 3,
    },
  ],
};

interface Finding {
  readonly check: string;
  readonly ok: boolean | null;
  readonly text: string;
}

describe("weir verdict", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({
      files: { "fixtures.json": JSON.stringify(FIXTURES) },
      set: { "mock.fixtures": "[fixtures.json]", "ops.journal": "bodies" },
    });
  });
  afterAll(() => weir.stop());

  function openai(session: string, maxRetries = 2): OpenAI {
    return new OpenAI({
      baseURL: `${weir.url}/v1`,
      apiKey: "sk",
      maxRetries,
      defaultHeaders: { "x-weir-session": session },
    });
  }

  async function verdictOf(session: string) {
    const response = await fetch(`${weir.url}/__weir/verdict?session=${session}`);
    expect(response.status).toBe(200);
    return await response.json() as { readonly ok: boolean; readonly findings: Finding[] };
  }

  const ask = async (client: OpenAI, content: string) =>
    await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content }],
    });

  test("openai waits as long as it is told, and asks again", async () => {
    const answer = await ask(openai("busy"), "busy");
    expect(answer.choices[0]!.message.content).toBe("at last");
    const { ok, findings } = await verdictOf("busy");
    expect(findings.map(({ check, ok }) => [check, ok])).toEqual([
      ["retries", true],
      ["waits_as_told", true],
    ]);
    expect(ok).toBe(true);
  });

  test("a client that gives up at once is told of", async () => {
    await expect(ask(openai("hasty", 0), "broken")).rejects.toThrow("oh");
    const { ok, findings } = await verdictOf("hasty");
    expect(findings.map(({ check, ok }) => [check, ok])).toEqual([["retries", false]]);
    expect(ok).toBe(false);
  });

  test("@anthropic-ai/sdk asks again after two errors", async () => {
    const client = new Anthropic({
      baseURL: weir.url,
      apiKey: "sk",
      defaultHeaders: { "x-weir-session": "anthropic" },
    });
    const { content } = await client.messages.create({
      model: "claude-sonnet-4-5",
      max_tokens: 100,
      messages: [{ role: "user", content: "broken" }],
    });
    expect(content).toMatchObject([{ type: "text", text: "mended" }]);
    const { findings } = await verdictOf("anthropic");
    expect(findings.map(({ ok }) => ok)).toEqual([true, true]);
  });

  test("openai asks again although its quota is used up, and is told so", async () => {
    await expect(ask(openai("quota"), "quota")).rejects.toThrow("pay first");
    const { findings } = await verdictOf("quota");
    expect(findings.map(({ check, ok }) => [check, ok])).toEqual([
      ["gives_up", false],
      ["gives_up", false],
    ]);
  });

  test("a client that goes on from half an answer is told of, one that asks again is not", async () => {
    const client = openai("cut");
    const said = async () => {
      const stream = await client.chat.completions.create({
        model: "gpt-4o",
        messages: [{ role: "user", content: "cut" }],
        stream: true,
      });
      let text = "";
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
      return text;
    };
    await expect(said()).rejects.toThrow();
    expect((await verdictOf("cut")).findings.map(({ ok }) => ok)).toEqual([null]);
    await client.chat.completions.create({
      model: "gpt-4o",
      messages: [
        { role: "user", content: "cut" },
        { role: "assistant", content: "one t" },
        { role: "user", content: "go on" },
      ],
    });
    expect((await verdictOf("cut")).findings.map(({ ok }) => ok)).toEqual([false]);
    await expect(said()).rejects.toThrow();
    expect((await verdictOf("cut")).findings.map(({ ok }) => ok)).toEqual([true, null]);
  });

  test("is a command whose exit code says what was found", async () => {
    const args = (session: string, ...more: string[]) => [
      "verdict",
      "--url",
      weir.url,
      "--session",
      session,
      ...more,
    ];
    await ask(openai("good"), "hello");
    const good = await run(args("good"));
    expect([good.code, good.output]).toEqual([0, "No fixture has answered with a fault.\n"]);
    await expect(ask(openai("bad", 0), "quota")).rejects.toThrow();
    const once = await run(args("bad"));
    expect([once.code, once.output]).toEqual([
      0,
      expect.stringMatching(/^ok {7}gives_up: did not ask again after 429 insufficient_quota/),
    ]);
    await expect(ask(openai("bad", 0), "quota")).rejects.toThrow();
    const twice = await run(args("bad", "--json"));
    expect(twice.code).toBe(1);
    expect(JSON.parse(twice.output)).toMatchObject({ ok: false });
  });

  test("wants bodies in the journal", async () => {
    const other = await launch({ files: {} });
    try {
      const response = await fetch(`${other.url}/__weir/verdict`);
      expect(response.status).toBe(409);
      expect(await response.text()).toContain("ops.journal: bodies");
    } finally {
      await other.stop();
    }
  });
});
