import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI, {
  APIConnectionError,
  APIConnectionTimeoutError,
  APIError,
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  ConflictError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  UnprocessableEntityError,
} from "openai";
import { type Aimock, launchAimock } from "./aimock.ts";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { proxied } from "./proxied.ts";
import { act } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const TEXT = "你好 🌊, this answer comes word by word from a server that nobody here wrote";

const REFUSALS = [
  [400, BadRequestError],
  [401, AuthenticationError],
  [403, PermissionDeniedError],
  [404, NotFoundError],
  [409, ConflictError],
  [422, UnprocessableEntityError],
  [429, RateLimitError],
  [500, InternalServerError],
  [503, InternalServerError],
] as const;

const refusal = (status: number) => ({
  error: { message: `no: ${status} 不行`, type: "some_type", code: `code_${status}` },
  status,
  retryAfter: 0,
});

const FIXTURES = [
  { match: { userMessage: "hello" }, response: { content: TEXT }, chunkSize: 5 },
  {
    match: { userMessage: "slow" },
    response: { content: TEXT.repeat(20) },
    chunkSize: 2,
    latency: 20,
  },
  {
    match: { userMessage: "broken" },
    response: { content: TEXT },
    chunkSize: 5,
    latency: 30,
    truncateAfterChunks: 3,
  },
  ...REFUSALS.map(([status]) => ({
    match: { userMessage: `refuse ${status}` },
    response: refusal(status),
  })),
  // Twice unwilling, then an answer: once for the client's own retries, once for weir's.
  ...["client", "weir"].flatMap((who) => [
    { match: { userMessage: `${who} again`, sequenceIndex: 0 }, response: refusal(503) },
    { match: { userMessage: `${who} again`, sequenceIndex: 1 }, response: refusal(429) },
    { match: { userMessage: `${who} again` }, response: { content: TEXT } },
  ]),
];

let aimock: Aimock;
let weir: Weir;
let openai: OpenAI;

beforeAll(async () => {
  aimock = await launchAimock(FIXTURES);
  weir = await launch({ set: { "llm.base_url": `${aimock.url}/v1`, "llm.retries": 0 } });
  openai = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-test", maxRetries: 0 });
});
afterAll(async () => {
  await weir.stop();
  await aimock.stop();
});

function asking(content: string) {
  return { model: "gpt-4o", messages: [{ role: "user" as const, content }] };
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It was expected to fail");
}

describe("the official client, through weir, to aimock", () => {
  test("streams an answer", async () => {
    const stream = await openai.chat.completions.create({ ...asking("hello"), stream: true });
    const texts: string[] = [];
    let reason: string | null | undefined;
    for await (const { choices: [choice] } of stream) {
      if (choice?.delta.content) texts.push(choice.delta.content);
      reason = choice?.finish_reason ?? reason;
    }
    expect(texts.join("")).toBe(TEXT);
    expect(texts.length).toBeGreaterThan(5);
    expect(reason).toBe("stop");
  });

  test("sees the same bytes as without weir, but for id and time", async () => {
    const masked = (text: string) =>
      text.replaceAll(/"id":"[^"]+"/g, '"id":""').replaceAll(/"created":\d+/g, '"created":0');
    const ask = async (url: string) => {
      const answer = await fetch(`${url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json", "authorization": "Bearer k" },
        body: JSON.stringify({ ...asking("hello"), stream: true }),
      });
      return masked(await answer.text());
    };
    expect(await ask(weir.url)).toBe(await ask(aimock.url));
  });

  test("lists models", async () => {
    const models = await openai.models.list();
    expect(models.data.length).toBeGreaterThan(0);
  });

  test("aborts a stream, and nothing stays open", async () => {
    const stream = await openai.chat.completions.create({ ...asking("slow"), stream: true });
    for await (const _chunk of stream) break;
    await waitFor(async () => (await weir.health())["streams_open"] === 0, "no open stream");
  });

  test("aborts before there is an answer: APIUserAbortError", async () => {
    const abort = new AbortController();
    const pending = openai.chat.completions.create(asking("slow"), { signal: abort.signal });
    abort.abort();
    expect(await rejection(pending)).toBeInstanceOf(APIUserAbortError);
    await waitFor(async () => (await weir.health())["streams_open"] === 0, "no open stream");
  });

  for (const isStream of [false, true]) {
    for (const [status, kind] of REFUSALS) {
      test(`${status} is a ${kind.name} (stream: ${isStream})`, async () => {
        const error = await rejection(
          openai.chat.completions.create({ ...asking(`refuse ${status}`), stream: isStream }),
        );
        expect(error).toBeInstanceOf(kind);
        expect(error).toMatchObject({ status, code: `code_${status}`, type: "some_type" });
        expect((error as Error).message).toContain(`no: ${status} 不行`);
      });
    }
  }

  test("an upstream that breaks off is an APIError mid-stream, not an end", async () => {
    const stream = await openai.chat.completions.create({ ...asking("broken"), stream: true });
    const read = async () => {
      for await (const _chunk of stream);
    };
    const error = await rejection(read());
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: "upstream_broken", type: "server_error" });
  });

  test("too late is an APIConnectionTimeoutError", async () => {
    // aimock cannot be told to say nothing, and its head is there within a moment.
    const proxy = await proxied();
    proxy.play(() => [act.stall]);
    const hasty = new OpenAI({ baseURL: `${proxy.weir.url}/v1`, apiKey: "sk-test", maxRetries: 0 });
    const pending = hasty.chat.completions.create(asking("hello"), { timeout: 100 });
    expect(await rejection(pending)).toBeInstanceOf(APIConnectionTimeoutError);
    await proxy.stop();
  });

  test("tries again by itself: its third try is answered", async () => {
    const patient = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "sk-test", maxRetries: 2 });
    const answer = await patient.chat.completions.create(asking("client again"));
    expect(answer.choices[0]!.message.content).toBe(TEXT);
  });

  test("needs no retries when weir has them", async () => {
    const trying = await launch({ set: { "llm.base_url": `${aimock.url}/v1`, "llm.retries": 2 } });
    const client = new OpenAI({ baseURL: `${trying.url}/v1`, apiKey: "sk-test", maxRetries: 0 });
    const answer = await client.chat.completions.create(asking("weir again"));
    expect(answer.choices[0]!.message.content).toBe(TEXT);
    expect(trying.errors().match(/upstream_retried/g)).toHaveLength(2);
    await trying.stop();
  });

  test("without a weir there is an APIConnectionError", async () => {
    const gone = new OpenAI({ baseURL: "http://127.0.0.1:1/v1", apiKey: "sk-test", maxRetries: 0 });
    expect(await rejection(gone.models.list())).toBeInstanceOf(APIConnectionError);
  });
});
