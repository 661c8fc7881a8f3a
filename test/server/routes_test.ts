import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
import { tellUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

/** What was asked: by the name of the upstream, and for which model. */
let asked: string[] = [];

function named(name: string) {
  return tellUpstream(({ body }) => {
    const { model } = JSON.parse(body) as { readonly model?: unknown };
    asked.push(`${name} ${JSON.stringify(model)}`);
    const choice = { index: 0, delta: { content: "水" }, finish_reason: "stop" };
    return new Response(`data: ${JSON.stringify({ choices: [choice] })}\n\ndata: [DONE]\n\n`, {
      headers: { "content-type": "text/event-stream" },
    });
  });
}

const [llm, one] = [named("llm"), named("one")];
let weir: Weir | undefined;
afterEach(async () => {
  await weir?.stop();
  weir = undefined;
  asked = [];
});
afterAll(() => [llm, one].forEach((upstream) => upstream.stop()));

const MESSAGES = `"messages":[{"role":"user","content":"x"}]`;
const KEY = { authorization: "s3" };

/** Surface → a request that names `model`, spelled as JSON; "" = it names none. */
const SURFACES = {
  "/v1/chat/completions": (model: string) => `{${modelKey(model)}"stream":true,${MESSAGES}}`,
  "/chat": (model: string) => `{${modelKey(model)}"stream":true,${MESSAGES}}`,
  "/api/chat": (model: string) => `{${modelKey(model)}${MESSAGES}}`,
} as const;

function modelKey(model: string): string {
  return model === "" ? "" : `"model":${model},`;
}

async function ask(path: string, body: string): Promise<void> {
  const response = await fetch(`${weir!.url}${path}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(path === "/v1/response" || path === "/api/chat" ? {} : KEY),
      ...(path === "/conv" ? { "chat-type": "conversation" } : {}),
    },
    body,
  });
  expect([path, response.status, (await response.text()).includes("水")]).toEqual([
    path,
    200,
    true,
  ]);
}

/** What every surface asks for a model that is spelled so. */
async function askedFor(model: string): Promise<string[]> {
  asked = [];
  for (const [path, body] of Object.entries(SURFACES)) await ask(path, body(model));
  return asked;
}

/** What the surfaces ask whose requests cannot name a model. */
async function askedForNone(): Promise<string[]> {
  asked = [];
  await ask("/v1/response", '{"query":"x","session_id":"s","stream":true}');
  await ask("/conv", '{"content":"x"}');
  return asked;
}

function thrice(what: string): string[] {
  return [what, what, what];
}

function twice(what: string): string[] {
  return [what, what];
}

describe("the model that a request names decides who is asked, on every surface", () => {
  test("however it is spelled, and the default one when it names none", async () => {
    weir = await launch({
      files: {
        "config.yaml": `auth: {secret_key: s3}
llm: {base_url: "${llm.url}/v1", model_id: m-default}
upstreams: [{name: one, base_url: "${one.url}/v1"}]
routes: [{match: {model: "org/*"}, to: [one]}, {match: {model: "m-*"}, to: [one]}]
`,
      },
    });
    expect(await askedFor('"org/x"')).toEqual(thrice('one "org/x"'));
    expect(await askedFor('"org\\/x"')).toEqual(thrice('one "org/x"'));
    expect(await askedFor('"\\u006d-1"')).toEqual(thrice('one "m-1"'));
    expect(await askedFor('"other"')).toEqual(thrice('llm "other"'));
    for (const none of ["", '""', "null"]) {
      expect(await askedFor(none)).toEqual(thrice('one "m-default"'));
    }
    expect(await askedForNone()).toEqual(twice('one "m-default"'));
  });

  test("an upstream's own default comes before the one of all", async () => {
    weir = await launch({
      files: {
        "config.yaml": `auth: {secret_key: s3}
upstreams: [{name: one, base_url: "${one.url}/v1", model_id: own}]
routes: [{to: [one]}]
`,
      },
    });
    expect(await askedFor("")).toEqual(thrice('one "own"'));
    expect(await askedFor('"named"')).toEqual(thrice('one "named"'));
    expect(await askedForNone()).toEqual(twice('one "own"'));
  });

  test("an upstream named llm is the one of llm, whatever key the environment has", async () => {
    weir = await launch({
      files: {
        "config.yaml": `auth: {secret_key: s3}
upstreams: [{name: llm, base_url: "${llm.url}/v1", model_id: own}]
`,
      },
      env: { OPENAI_API_KEY: "sk-x" },
    });
    expect(await askedFor("")).toEqual(thrice('llm "own"'));
    expect(await askedForNone()).toEqual(twice('llm "own"'));
    expect(await weir.health()).toMatchObject({ source: "proxy", model: "own" });
    expect(weir.output()).not.toContain("api.openai.com");
    expect(weir.output() + weir.errors()).toContain("llm.api_key is not used");
  });

  test("chat.source: mock says who answers what no route takes", async () => {
    weir = await launch({
      files: {
        "config.yaml": `auth: {secret_key: s3}
chat: {source: mock}
llm: {base_url: "${llm.url}/v1"}
mock: {reply: 水}
upstreams: [{name: one, base_url: "${one.url}/v1"}]
routes: [{match: {model: "m-*"}, to: [one]}]
`,
      },
    });
    expect(await askedFor('"m-1"')).toEqual(thrice('one "m-1"'));
    expect(await askedFor('"other"')).toEqual([]);
  });

  test("a route and an upstream may call it otherwise", async () => {
    weir = await launch({
      files: {
        "config.yaml": `auth: {secret_key: s3}
llm: {base_url: "${llm.url}/v1"}
upstreams: [{name: one, base_url: "${one.url}/v1", rename: {"big*": "vendor/big"}}]
routes:
  - {match: {model: "small"}, to: [llm], rename: {small: tiny}, params_set: {seed: 7}}
  - {match: {model: "m*"}, to: [one], rename: {m-1: big-1}}
  - {to: [one]}
`,
      },
    });
    expect(await askedFor('"small"')).toEqual(thrice('llm "tiny"'));
    expect(JSON.parse(llm.requests.at(-1)!.body)).toMatchObject({ model: "tiny", seed: 7 });
    expect(await askedFor('"m-1"')).toEqual(thrice('one "vendor/big"'));
    expect(await askedFor('"m-2"')).toEqual(thrice('one "m-2"'));
    expect(await askedFor('"big-2"')).toEqual(thrice('one "vendor/big"'));
  });
});
