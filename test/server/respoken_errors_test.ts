/** Upstreams' errors, told to clients of another dialect: what clients decide by is kept. */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { TEST_MS_MAX } from "./launch.ts";
import { type Proxied, proxied, whole } from "./proxied.ts";
import { act, response } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const KEY = "sk-verysecret/key1234567890";

const ASKED = {
  "/v1/responses": { model: "m", input: "x" },
  "/v1/messages": { model: "m", max_tokens: 5, messages: [{ role: "user", content: "x" }] },
  "/v1/chat/completions": { model: "m", messages: [{ role: "user", content: "x" }] },
} as const;
type Path = keyof typeof ASKED;

/** Asks weir, and gives the status and the body. */
async function asked({ weir }: Proxied, path: Path, isStream = false) {
  const answer = await fetch(weir.url + path, {
    method: "POST",
    body: JSON.stringify({ ...ASKED[path], stream: isStream }),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

function upstreamOf(dialect: string): () => Promise<Proxied> {
  return () => proxied({ set: { "llm.speaks": `[${dialect}]`, "llm.api_key": KEY } });
}

const TOO_LONG = {
  message: "This model's maximum context length is 128000 tokens.",
  type: "invalid_request_error",
  param: null,
  code: "context_length_exceeded",
};
const QUOTA = {
  message: "You exceeded your current quota",
  type: "insufficient_quota",
  param: null,
  code: "insufficient_quota",
};
const WRONG_KEY = {
  message: "Incorrect API key",
  type: "invalid_request_error",
  param: null,
  code: "invalid_api_key",
};

describe("errors of a chat upstream", () => {
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await upstreamOf("openai_chat")();
  });
  afterAll(() => proxy.stop());

  const ROWS = [
    [400, TOO_LONG, "invalid_request_error"],
    [401, WRONG_KEY, "authentication_error"],
    [429, QUOTA, "rate_limit_error"],
  ] as const;
  for (const [status, error, type] of ROWS) {
    for (const isStream of [false, true]) {
      test(`${error.code} keeps its sentence and its words (stream: ${isStream})`, async () => {
        proxy.play(() => [act.send(response(JSON.stringify({ error }), {}, `${status} X`))]);
        const told = await asked(proxy, "/v1/responses", isStream);
        expect([told.status, JSON.parse(told.text)]).toEqual([status, { error }]);
        const { text } = await asked(proxy, "/v1/messages", isStream);
        expect(JSON.parse(text).error).toEqual({ type, message: error.message });
      });
    }
  }

  const OTHERS: readonly (readonly [string, number, string, unknown])[] = [
    [
      "a status as the code",
      400,
      '{"error":{"message":"no","type":"BadRequestError","code":400}}',
      {
        message: "no",
        type: "BadRequestError",
        param: null,
        code: null,
      },
    ],
    ["a sentence alone", 422, '{"detail":"no"}', {
      message: "no",
      type: "invalid_request_error",
      param: null,
      code: null,
    }],
    ["no JSON", 502, "<html>bad</html>", {
      message: "<html>bad</html>",
      type: "server_error",
      param: null,
      code: null,
    }],
  ];
  for (const [name, status, body, error] of OTHERS) {
    test(`${name}: what is missing follows from the status`, async () => {
      proxy.play(() => [act.send(response(body, {}, `${status} X`))]);
      const told = await asked(proxy, "/v1/responses");
      expect([told.status, JSON.parse(told.text)]).toEqual([status, { error }]);
    });
  }

  test("an error that comes first in a stream has the status that it stands for", async () => {
    proxy.play(() => whole(`data: ${JSON.stringify({ error: QUOTA })}\n\n`));
    const told = await asked(proxy, "/v1/messages");
    expect([told.status, JSON.parse(told.text).error.type]).toEqual([429, "rate_limit_error"]);
  });

  test("an error in mid-stream keeps its words", async () => {
    const delta = { choices: [{ index: 0, delta: { content: "a" } }] };
    proxy.play(() =>
      whole(
        `data: ${JSON.stringify(delta)}\n\n`,
        `data: ${JSON.stringify({ error: TOO_LONG })}\n\n`,
      )
    );
    const { text } = await asked(proxy, "/v1/responses", true);
    expect(text).toContain(`event: error\ndata: {"type":"error","error":${
      JSON.stringify({
        type: TOO_LONG.type,
        code: TOO_LONG.code,
        message: TOO_LONG.message,
        param: null,
      })
    }`);
    expect(text).toContain('"error":{"code":"context_length_exceeded","message"');
  });
});

describe("errors of a Responses upstream", () => {
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await upstreamOf("openai_responses")();
  });
  afterAll(() => proxy.stop());

  const { code, message } = QUOTA;
  const FAILED: readonly (readonly [string, object, string])[] = [
    ["error", { type: "error", code, message, param: null, sequence_number: 0 }, "requests"],
    ["error", { type: "error", error: QUOTA, sequence_number: 0 }, "insufficient_quota"],
    ["response.failed", {
      type: "response.failed",
      response: { status: "failed", error: { code, message } },
    }, "requests"],
  ];
  for (const [event, data, type] of FAILED) {
    test(`${event} ${Object.keys(data)} keeps its code`, async () => {
      proxy.play(() => whole(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`));
      const told = await asked(proxy, "/v1/chat/completions", true);
      expect([told.status, JSON.parse(told.text)])
        .toEqual([429, { error: { message, type, param: null, code } }]);
    });
  }
});

describe("errors of an Anthropic upstream", () => {
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await upstreamOf("anthropic_messages")();
  });
  afterAll(() => proxy.stop());

  const ROWS = [
    [400, "invalid_request_error", "invalid_request_error", null],
    [401, "authentication_error", "invalid_request_error", "invalid_api_key"],
    [429, "rate_limit_error", "requests", "rate_limit_exceeded"],
    [529, "overloaded_error", "server_error", null],
  ] as const;
  for (const [status, theirs, type, code] of ROWS) {
    const body = JSON.stringify({ type: "error", error: { type: theirs, message: "no 不行" } });
    const error = { message: "no 不行", type, param: null, code };
    for (const path of ["/v1/responses", "/v1/chat/completions"] as const) {
      test(`${theirs} is told in OpenAI's words on ${path}`, async () => {
        proxy.play(() => [act.send(response(body, {}, `${status} X`))]);
        const told = await asked(proxy, path);
        expect([told.status, JSON.parse(told.text)]).toEqual([status, { error }]);
      });
    }
    test(`${theirs} as the first event of a stream is, too`, async () => {
      proxy.play(() => whole(`event: error\ndata: ${body}\n\n`));
      const told = await asked(proxy, "/v1/chat/completions", true);
      expect([told.status, JSON.parse(told.text)]).toEqual([status, { error }]);
    });
  }
});

describe("weir's own key in an upstream's error", () => {
  const HEADER = "header-secret-77";
  let proxy: Proxied;
  beforeAll(async () => {
    proxy = await proxied({
      set: {
        "llm.speaks": "[openai_chat]",
        "llm.api_key": KEY,
        "llm.headers": `{x-gate: "Token ${HEADER}"}`,
      },
    });
  });
  afterAll(() => proxy.stop());

  const [message, type, code] = [`not ${KEY}. nor ${HEADER}`, KEY, HEADER];
  const error = JSON.stringify({ error: { message, type, param: KEY, code } });
  const escaped = error.replaceAll("/", "\\/");
  const long = JSON.stringify({ error: { message: `${"x".repeat(985)}${KEY}` } });
  const told = { "retry-after": KEY };
  const ANSWERS = {
    "a refusal": () => [act.send(response(error, told, "401 X"))],
    "a refusal with escapes": () => [act.send(response(escaped, told, "400 X"))],
    "a long refusal": () => [act.send(response(long, told, "400 X"))],
    "no JSON": () => [act.send(response(`<html>${KEY}`, told, "403 X"))],
    "a stream's first event": () => whole(`data: ${error}\n\n`),
    "a stream's long event": () => whole(`data: ${long}\n\n`),
    "a stream's last event": () =>
      whole('data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', `data: ${error}\n\n`),
  };
  for (const [name, acts] of Object.entries(ANSWERS)) {
    for (const path of ["/v1/responses", "/v1/messages"] as const) {
      test(`${name} on ${path} is told without it`, async () => {
        proxy.play(acts);
        const { text, headers } = await asked(proxy, path, true);
        const all = text + JSON.stringify([...headers]);
        expect(text).toContain("***");
        expect(all).not.toContain(KEY.slice(0, 10));
        expect(all).not.toContain(HEADER);
      });
    }
  }
});
