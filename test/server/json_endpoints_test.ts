import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import OpenAI, { BadRequestError, NotFoundError, PermissionDeniedError } from "openai";
import { encode } from "gpt-tokenizer/encoding/cl100k_base";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { type Proxied, proxied } from "./proxied.ts";
import { act, response, scriptedUpstream } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const SMALL = "text-embedding-3-small";
const TEXTS = ["The cat sleeps on the sofa.", "火车晚点了 🌊", "Mehl, Eier und Zucker"];

function client({ url }: Pick<Weir, "url">): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", maxRetries: 0 });
}

function near(one: readonly number[], other: readonly number[]): number {
  return one.reduce((sum, value, i) => sum + value * other[i]!, 0);
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("It was expected to fail");
}

describe("mocked, asked by the official client", () => {
  let weir: Weir;
  let openai: OpenAI;
  beforeAll(async () => {
    weir = await launch({
      files: { "config.yaml": "mock: { moderation: { violence: [kill, 杀], hate: [] } }\n" },
    });
    openai = client(weir);
  });
  afterAll(() => weir.stop());

  for (const encoding_format of ["float", "base64", undefined] as const) {
    test(`embeddings.create, encoding_format ${encoding_format}`, async () => {
      // Without one the client asks for base64, and gives numbers.
      const asked = { model: SMALL, input: TEXTS };
      const { data, model, object, usage } = await openai.embeddings.create(
        encoding_format === undefined ? asked : { ...asked, encoding_format },
      );
      expect([object, model, data.length]).toEqual(["list", SMALL, 3]);
      const tokens = TEXTS.reduce((sum, text) => sum + encode(text).length, 0);
      expect(usage).toEqual({ prompt_tokens: tokens, total_tokens: tokens });
      for (const [index, one] of data.entries()) {
        expect([one.object, one.index]).toEqual(["embedding", index]);
        const vector = encoding_format === "base64"
          ? [...floatsOf(one.embedding as unknown as string)]
          : one.embedding;
        expect(vector.length).toBe(1536);
        expect(near(vector, vector)).toBeCloseTo(1, 6);
      }
    });
  }

  test("the same text has the same vector: alone, among others, as tokens, as base64", async () => {
    const asked = { model: "text-embedding-3-large", dimensions: 256 };
    const [text = ""] = TEXTS;
    const vectors = await Promise.all([
      openai.embeddings.create({ ...asked, input: text, encoding_format: "float" }),
      openai.embeddings.create({ ...asked, input: [text, "x"], encoding_format: "float" }),
      openai.embeddings.create({ ...asked, input: encode(text), encoding_format: "float" }),
      openai.embeddings.create({ ...asked, input: [encode(text)], encoding_format: "float" }),
      openai.embeddings.create({ ...asked, input: text }),
    ]);
    const rounded = vectors.map(({ data }) => data[0]!.embedding.map(Math.fround));
    expect(rounded[0]!.length).toBe(256);
    for (const other of rounded) expect(other).toEqual(rounded[0]!);
    expect(vectors.map(({ usage }) => usage.prompt_tokens)).toEqual([7, 8, 7, 7, 7]);
  });

  test("2 048 inputs hold nobody up, and are all answered", async () => {
    const input = Array.from({ length: 2048 }, (_, i) => `document ${i} 文档`);
    let others = 0;
    let isOver = false;
    const many = openai.embeddings.create({ model: SMALL, input, encoding_format: "float" })
      .finally(() => {
        isOver = true;
      });
    while (!isOver) {
      await fetch(`${weir.url}/v1/models`).then((answer) => answer.text());
      if (!isOver) others++;
    }
    const { data } = await many;
    expect(data.map(({ index }) => index)).toEqual(input.map((_, i) => i));
    expect(new Set(data.map(({ embedding }) => embedding[0])).size).toBeGreaterThan(2000);
    // Somebody who waits for the whole of it would be answered once.
    expect(others).toBeGreaterThan(5);
  });

  test("whoever leaves in the middle leaves nothing running", async () => {
    const input = Array.from({ length: 2048 }, (_, i) => `document ${i}`);
    const abort = new AbortController();
    const answer = await fetch(`${weir.url}/v1/embeddings`, {
      method: "POST",
      body: JSON.stringify({ model: "text-embedding-3-large", input }),
      signal: abort.signal,
    });
    await answer.body!.getReader().read();
    abort.abort();
    await waitFor(async () => {
      const { streams_open } = await (await fetch(`${weir.url}/health`)).json() as {
        streams_open: number;
      };
      return streams_open === 0;
    });
  });

  test("embeddings.create is refused in the API's words", async () => {
    const empty = await rejection(openai.embeddings.create({ model: SMALL, input: ["a", ""] }));
    expect(empty).toBeInstanceOf(BadRequestError);
    expect((empty as BadRequestError).error).toEqual({
      message:
        "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.",
      type: "invalid_request_error",
      param: null,
      code: null,
    });
    const long = await rejection(
      openai.embeddings.create({ model: SMALL, input: "word ".repeat(9000) }),
    );
    expect((long as BadRequestError).message).toMatch(
      /maximum context length is 8192 tokens, however you requested \d+ tokens/,
    );
    const together = await rejection(
      openai.embeddings.create({ model: SMALL, input: Array(60).fill("word ".repeat(6000)) }),
    );
    expect((together as BadRequestError).code).toBe("max_tokens_per_request");
    const noToken = await rejection(openai.embeddings.create({ model: SMALL, input: [1, 1e9] }));
    expect((noToken as BadRequestError).message).toContain("'$.input' is invalid");
  });

  test("moderations.create", async () => {
    const { id, model, results } = await openai.moderations.create({
      model: "omni-moderation-latest",
      input: ["harmless 无害", "I will kill it", "杀"],
    });
    expect(id).toMatch(/^modr-[0-9a-f]{32}$/);
    expect(model).toBe("omni-moderation-latest");
    expect(results.map(({ flagged }) => flagged)).toEqual([false, true, true]);
    expect(results[1]!.categories.violence).toBe(true);
    expect(results[1]!.categories.hate).toBe(false);
    expect(results[1]!.category_scores.violence).toBeGreaterThan(0.9);
    expect(results[0]!.category_applied_input_types.harassment).toEqual(["text"]);
  });

  test("moderations.create is refused above 32 768 tokens", async () => {
    const error = await rejection(openai.moderations.create({ input: "word ".repeat(40_000) }));
    expect((error as BadRequestError).message).toMatch(
      /maximum context length is 32768 tokens, however you requested \d+ tokens/,
    );
  });

  test("models.delete", async () => {
    const id = "ft:gpt-4o-mini:acemeco:suffix:abc123";
    expect(await openai.models.delete(id)).toEqual({ id, object: "model", deleted: true });
    expect(await rejection(openai.models.delete("gpt-4o"))).toBeInstanceOf(PermissionDeniedError);
    expect(await rejection(openai.models.delete("nobody"))).toBeInstanceOf(NotFoundError);
  });
});

function floatsOf(base64: string): number[] {
  const bytes = Buffer.from(base64, "base64");
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i));
}

test("an upstream of another dialect takes none of these, and says so", async () => {
  const chats = await proxied({ set: { "llm.speaks": "[anthropic_messages]" } });
  const answer = await fetch(`${chats.weir.url}/v1/embeddings`, {
    method: "POST",
    body: '{"model":"m","input":"a"}',
  });
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({
    error: { message: "Invalid URL (POST /v1/embeddings)" },
  });
  expect(chats.upstream.requests.length).toBe(0);
  await chats.stop();
});

test("mock.models and auth.token hold here, too", async () => {
  const weir = await launch({ set: { "mock.models": "[e]", "auth.token": "secret-of-this-test" } });
  const ask = (path: string, body: unknown, key = "secret-of-this-test") =>
    fetch(`${weir.url}/v1${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}` },
      body: JSON.stringify(body),
    });
  expect((await ask("/embeddings", { model: "e", input: "a" })).status).toBe(200);
  const unknown = await ask("/embeddings", { model: "f", input: "a" });
  expect(unknown.status).toBe(404);
  expect(await unknown.json()).toMatchObject({
    error: {
      message: "The model `f` does not exist or you do not have access to it.",
      code: "model_not_found",
    },
  });
  expect((await ask("/moderations", { model: "f", input: "a" })).status).toBe(404);
  expect((await ask("/moderations", { input: "a" })).status).toBe(200);
  expect((await ask("/embeddings", {}, "wrong")).status).toBe(401);
  await weir.stop();
});

describe("with upstreams", () => {
  let proxy: Proxied;
  const local = scriptedUpstream(({ path }) => [
    act.send(
      path.startsWith("/v1/models/")
        ? response("{}", {}, "404 Not Found")
        : response(answer("local")),
    ),
  ]);
  beforeAll(async () => {
    proxy = await proxied({
      files: {
        "config.yaml": `upstreams:
  - { name: local, base_url: "${local.url}/v1" }
  - { name: chats, base_url: "${local.url}/v1", speaks: [anthropic_messages] }
  - { name: files, base_url: "${local.url}/v1", paths: [/files*] }
routes:
  - { match: { model: own-* }, to: [mock] }
  - { match: { model: local-* }, to: [local] }
  - { match: { model: claude-* }, to: [chats] }
  - { match: { model: files-* }, to: [files] }
`,
      },
    });
    proxy.play(() => [act.send(response(answer("llm")))]);
  });
  afterAll(async () => {
    await proxy.stop();
    local.close();
  });

  function answer(by: string): string {
    return JSON.stringify({ by });
  }

  async function ask(path: string, model: string, type = "application/json") {
    const body = JSON.stringify({ input: "a", ...(model === "" ? {} : { model }) });
    const { status, ...rest } = await fetch(`${proxy.weir.url}/v1${path}`, {
      method: "POST",
      headers: { "content-type": type },
      body,
    }).then(async (it) => ({ status: it.status, value: await it.json() }));
    return [status, (rest.value as { by?: string }).by];
  }

  for (const path of ["/embeddings", "/moderations"]) {
    test(`POST /v1${path} goes where chat with that model goes`, async () => {
      expect(await ask(path, "text-embedding-3-small")).toEqual([200, "llm"]);
      expect(await ask(path, "local-one")).toEqual([200, "local"]);
      expect(local.requests.at(-1)!.path).toBe(`/v1${path}`);
      expect(local.requests.at(-1)!.body.toString()).toBe('{"input":"a","model":"local-one"}');
      expect(await ask(path, "own-one")).toEqual([200, undefined]);
      expect(await ask(path, "local-one", "application/x-www-form-urlencoded")).toEqual([
        200,
        "local",
      ]);
    });

    test(`POST /v1${path} goes to the next one where the first does not take it`, async () => {
      expect(await ask(path, "files-one")).toEqual([200, "llm"]);
      expect(await ask(path, "claude-one")).toEqual([200, "llm"]);
    });
  }

  test("nothing is mocked for a model that is an upstream's", async () => {
    const weir = await launch({
      files: {
        "config.yaml": `upstreams:
  - { name: files, base_url: "${local.url}/v1", paths: [/files*] }
routes:
  - { match: { model: files-* }, to: [files] }
`,
      },
    });
    const status = async (model: string) => {
      const body = JSON.stringify({ input: "a", model });
      const { status } = await fetch(`${weir.url}/v1/embeddings`, { method: "POST", body });
      return status;
    };
    expect([await status("files-one"), await status("other")]).toEqual([404, 200]);
    await weir.stop();
  });

  test("a model is deleted by the upstream that has it", async () => {
    const deleted = await fetch(`${proxy.weir.url}/v1/models/ft:x`, { method: "DELETE" });
    expect(await deleted.json()).toEqual({ by: "llm" });
    const last = ({ requests }: typeof local) => {
      const { method, path } = requests.at(-1)!;
      return [method, path];
    };
    expect(last(local)).toEqual(["GET", "/v1/models/ft:x"]);
    expect(last(proxy.upstream)).toEqual(["DELETE", "/v1/models/ft:x"]);
  });
});
