import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { BreakerState } from "../../src/core/events.ts";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, whole } from "./proxied.ts";
import { connect, rawChat } from "./raw_client.ts";
import { act, response, type Script, scriptedUpstream } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const refused: Script = () => [act.send(response("{}", {}, "500 No"))];
let script: Script = refused;
const one = scriptedUpstream((request) => script(request));
const two = scriptedUpstream(() => whole(EVENT, DONE));
let weir: Weir;

beforeAll(async () => {
  weir = await launch({
    files: {
      "config.yaml": `upstreams:
  - {name: one, base_url: "${one.url}/v1", retries: 0, breaker_min: 3, breaker_open_ms: 5000}
  - {name: two, base_url: "${two.url}/v1", retries: 0}
routes:
  - {match: {model: alone}, to: [one]}
  - {to: [one, two]}
`,
    },
  });
});
afterAll(async () => {
  await weir.stop();
  one.close();
  two.close();
});

async function chat(model: string) {
  const body = CHAT.replace("gpt-4o", model);
  const headers = { "content-type": "application/json" };
  const answer = await fetch(`${weir.url}/v1/chat/completions`, { method: "POST", headers, body });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}

async function state(): Promise<unknown> {
  const health = await (await fetch(`${weir.url}/health`)).json() as Record<string, unknown>;
  return health["upstreams"];
}

async function gauge(): Promise<string | undefined> {
  const text = await (await fetch(`${weir.url}/metrics`)).text();
  return /^weir_upstream_breaker_open\{upstream="one"\} (\d)$/m.exec(text)?.[1];
}

const upstreams = (
  breaker: string,
) => [{ name: "one", breaker }, { name: "two", breaker: "closed" }];

test("an upstream that fails is left alone, tried with one request, and asked again", async () => {
  expect(await state()).toEqual(upstreams("closed"));
  expect(await gauge()).toBeUndefined();
  for (let i = 0; i < 3; i++) expect((await chat("m")).text).toBe(EVENT + DONE);
  expect([one.requests.length, two.requests.length]).toEqual([3, 3]);
  expect(await state()).toEqual(upstreams("open"));
  expect(await gauge()).toBe("1");
  expect((await chat("m")).text).toBe(EVENT + DONE);
  const alone = await chat("alone");
  expect([alone.status, alone.headers.get("retry-after")]).toEqual([
    503,
    expect.stringMatching(/^[1-5]$/),
  ]);
  expect(JSON.parse(alone.text).error.code).toBe("upstream_open");
  expect([one.requests.length, two.requests.length]).toEqual([3, 4]);
  await waitFor(
    async () => JSON.stringify(await state()) === JSON.stringify(upstreams("half_open")),
    "the breaker to be half open",
  );
  script = () => whole(EVENT, DONE);
  expect((await chat("alone")).text).toBe(EVENT + DONE);
  expect(await state()).toEqual(upstreams("closed"));
  expect(await gauge()).toBe("0");
  const lines = weir.errors().match(/"breaker_turned".*?"state":"(\w+)"/g)
    ?.map((line) => /"(\w+)"$/.exec(line)![1]);
  expect(lines).toEqual(["open", "half_open", "closed"]);
  // One for each that has failed: what an open breaker lets pass by is told by the breaker.
  expect(weir.errors().match(/"answer_moved"/g)?.length).toBe(3);
});

test("a probe opens and closes it without any client", async () => {
  let isThere = false;
  const probed = scriptedUpstream(() => [
    act.send(isThere ? response("{}") : response("{}", {}, "503 No")),
  ]);
  const other = await launch({
    files: {
      "config.yaml": `upstreams:
  - {name: one, base_url: "${probed.url}/v1?a=b", api_key: sk-1, probe_ms: 50, probe_path: /ready, breaker_open_ms: 60000}
routes: [{to: [one]}]
`,
    },
  });
  const breaker = async () => {
    const health = await (await fetch(`${other.url}/health`)).json() as {
      readonly upstreams: readonly { readonly breaker: string }[];
    };
    return health.upstreams[0]!.breaker;
  };
  try {
    await waitFor(async () => await breaker() === "open", "the breaker to open");
    const { method, path, headers } = probed.requests[0]!;
    expect([method, path, headers["authorization"]]).toEqual([
      "GET",
      "/v1/ready?a=b",
      "Bearer sk-1",
    ]);
    isThere = true;
    await waitFor(async () => await breaker() === "closed", "the breaker to close");
  } finally {
    await other.stop();
    probed.close();
  }
});

describe("what opens a breaker, and what does not", () => {
  let play: Script = refused;
  const judged = scriptedUpstream((request) => play(request));
  let other: Weir;
  beforeAll(async () => {
    const upstream = (name: string) =>
      `  - {name: ${name}, base_url: "${judged.url}/v1", retries: 0, breaker_min: 2, breaker_open_ms: 3600000,
     speaks: [openai_chat], headers_timeout_ms: 60000, api_key: k}\n`;
    const names = ["error", "empty", "limited", "wrong", "left", "respoken"];
    other = await launch({
      files: {
        "config.yaml": `upstreams:\n${names.map(upstream).join("")}routes:\n` +
          names.map((name) => `  - {match: {model: ${name}}, to: [${name}]}\n`).join(""),
      },
    });
  });
  afterAll(async () => {
    await other.stop();
    judged.close();
  });

  async function stateOf(name: string): Promise<unknown> {
    const { upstreams } = await other.health() as {
      readonly upstreams: readonly { readonly name: string; readonly breaker: string }[];
    };
    return upstreams.find((one) => one.name === name)?.breaker;
  }

  async function ask(model: string, path = "/v1/chat/completions"): Promise<number> {
    const headers = { "content-type": "application/json" };
    const body = path === "/v1/messages"
      ? `{"model":"${model}","max_tokens":9,"messages":[{"role":"user","content":"x"}],"stream":true}`
      : CHAT.replace("gpt-4o", model);
    const answer = await fetch(other.url + path, { method: "POST", headers, body });
    await answer.text();
    return answer.status;
  }

  const ERROR = 'data: {"error":{"message":"busy"}}\n\n';
  const rows: readonly (readonly [string, string, Script, BreakerState])[] = [
    ["streams that begin with an error", "error", () => whole(ERROR), "open"],
    ["streams of nothing", "empty", () => whole(": hi\n\n"), "open"],
    ["limits", "limited", () => [act.send(response("{}", {}, "429 No"))], "closed"],
    ["refusals", "wrong", () => [act.send(response("{}", {}, "400 No"))], "closed"],
  ];
  for (const [name, model, script, wanted] of rows) {
    test(`${name}: ${wanted}`, async () => {
      play = script;
      for (let i = 0; i < 4; i++) await ask(model);
      expect(await stateOf(model)).toBe(wanted);
      expect(await ask(model) === 503).toBe(wanted === "open");
    });
  }

  test("streams that begin with an error, said in another dialect: open", async () => {
    play = () => whole(ERROR);
    for (let i = 0; i < 2; i++) await ask("respoken", "/v1/messages");
    expect(await stateOf("respoken")).toBe("open");
  });

  test("clients that leave: closed", async () => {
    play = () => [act.stall];
    const { aborted } = judged;
    for (let i = 0; i < 4; i++) {
      const asked = judged.requests.length;
      const client = await connect(other.port, rawChat(CHAT.replace("gpt-4o", "left")));
      await waitFor(() => judged.requests.length > asked, "the request");
      client.leave();
      await waitFor(() => judged.aborted > aborted + i, "the upstream to be left");
    }
    await waitFor(async () => (await other.health())["streams_open"] === 0, "no open stream");
    expect(await stateOf("left")).toBe("closed");
    play = () => whole(EVENT, DONE);
    expect(await ask("left")).toBe(200);
  });
});
