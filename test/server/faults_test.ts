import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import OpenAI from "openai";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, type Proxied, proxied, whole } from "./proxied.ts";
import { connect, parseRaw, type RawResponse } from "./raw_client.ts";
import { act } from "./scripted_upstream.ts";
import { SETTINGS, STREAMING_SURFACES } from "./streaming_surfaces.ts";

setDefaultTimeout(TEST_MS_MAX);

const CHAT_PATH = "/v1/chat/completions";

/** Asks on a connection of its own, until it closes. */
async function ask(
  weir: Pick<Weir, "port">,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawResponse> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const fields = Object.entries({
    host: "weir",
    connection: "close",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    ...headers,
  }).map(([name, value]) => `${name}: ${value}\r\n`);
  const client = await connect(weir.port, `POST ${path} HTTP/1.1\r\n${fields.join("")}\r\n${text}`);
  return parseRaw(await client.closed);
}

/** The same about "Hi", with a fault. */
function faulty(weir: Pick<Weir, "port">, fault: string, more: object = {}): Promise<RawResponse> {
  return ask(weir, CHAT_PATH, { ...JSON.parse(CHAT) as object, ...more }, {
    "x-weir-fault": fault,
  });
}

/** Whole events in a body. */
function eventsOf({ body }: RawResponse): number {
  return body.toString().split("\n\n").filter((event) => /^data:/m.test(event)).length;
}

interface Noted {
  readonly path: string;
  readonly fault: string | null;
  readonly faults: readonly string[];
}

async function journalOf({ url }: Weir): Promise<readonly Noted[]> {
  const answer = await fetch(`${url}/__weir/requests`);
  return (await answer.json() as { readonly requests: readonly Noted[] }).requests;
}

describe("x-weir-fault, where the mock alone answers", () => {
  let weir: Weir;
  beforeAll(async () => {
    weir = await launch({ set: SETTINGS });
  });
  afterAll(() => weir.stop());

  for (const { path, body, headers = {} } of STREAMING_SURFACES) {
    if (path === "/api/workflows/runs") continue; // it streams by another name, and asks by a job
    test(`${path}: two events, and the connection closes`, async () => {
      const got = await ask(weir, path, body, { ...headers, "x-weir-fault": "cut@event=2" });
      expect([got.status, got.isWhole, eventsOf(got)]).toEqual([200, false, 2]);
    });

    test(`${path}: an error in its own words`, async () => {
      const plain = await ask(weir, path, body, {
        ...headers,
        "x-weir-fault": "cut-clean@event=0",
      });
      expect([plain.isWhole, plain.body.length]).toEqual([true, 0]);
      const got = await ask(weir, path, body, { ...headers, "x-weir-fault": "status;code=503" });
      expect(got.isWhole).toBe(true);
      expect(got.body.toString()).toContain("Service Unavailable");
    });
  }

  for (const path of ["/v1/embeddings", "/v1/moderations"]) {
    test(`${path}: faults that need no stream`, async () => {
      const body = { model: "text-embedding-3-small", input: "Hi" };
      const asked = (fault: string) => ask(weir, path, body, { "x-weir-fault": fault });
      const cut = await asked("cut@byte=9");
      expect([cut.status, cut.isWhole, cut.body.length]).toEqual([200, false, 9]);
      const limited = await asked("rate-limit;retry-after=7");
      expect(limited.status).toBe(429);
      expect(limited.head).toContain("\r\nretry-after: 7");
      const page = await asked("html-200");
      expect(page.head).toContain("\r\ncontent-type: text/html");
      const impossible = await asked("dup");
      expect(impossible.status).toBe(400);
      expect(impossible.body.toString()).toContain("cannot have the fault dup");
    });
  }

  test("what is no fault is refused, and named", async () => {
    const got = await faulty(weir, "cut@evnt=3");
    expect(got.status).toBe(400);
    const { error } = JSON.parse(got.body.toString()) as { error: Record<string, unknown> };
    expect(error["code"]).toBe("fault_refused");
    expect(error["message"]).toContain("x-weir-fault: the place of cut is one of event, byte");
    expect(error["message"]).toContain("did you mean event?");
  });

  test("a page and an error's JSON with status 200, in place of a stream", async () => {
    const page = await faulty(weir, "html-200");
    expect([page.status, page.body.toString().slice(0, 9)]).toEqual([200, "<!DOCTYPE"]);
    const json = await faulty(weir, "json-200;message=no;type=odd;error-code=x");
    expect(json.head).toContain("\r\ncontent-type: application/json");
    expect(json.status).toBe(200);
    expect(JSON.parse(json.body.toString())).toMatchObject({
      error: { message: "no", type: "odd", code: "x" },
    });
  });

  test("an error has the faults that it can have, too", async () => {
    const got = await faulty(weir, "status;code=500, cut@byte=5, dup");
    expect([got.status, got.isWhole, got.body.length]).toEqual([500, false, 5]);
  });

  test("fail-first counts equal requests of a session", async () => {
    const asked = async (content: string, session: string) =>
      (await ask(
        weir,
        CHAT_PATH,
        { model: "gpt-4o", messages: [{ role: "user", content }] },
        { "x-weir-fault": "fail-first;n=2;code=503", "x-weir-session": session },
      )).status;
    expect([await asked("a", "s"), await asked("a", "s"), await asked("a", "s")])
      .toEqual([503, 503, 200]);
    expect([await asked("b", "s"), await asked("a", "t"), await asked("a", "s")])
      .toEqual([503, 503, 200]);
  });

  test("a client that tries again gets through", async () => {
    const client = new OpenAI({ baseURL: `${weir.url}/v1`, apiKey: "k", maxRetries: 2 });
    const answer = await client.chat.completions.create({
      model: "gpt-4o",
      messages: [{ role: "user", content: "retried" }],
    }, { headers: { "x-weir-fault": "fail-first;n=2;retry-after=0" } });
    expect(answer.choices[0]!.message.content).toBe("powered by openai");
  });

  test("hang answers nothing, and ends with its client", async () => {
    const text = CHAT;
    const client = await connect(
      weir.port,
      `POST ${CHAT_PATH} HTTP/1.1\r\nhost: x\r\nx-weir-fault: hang\r\n` +
        `content-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
    );
    const isHeld = async () => (await weir.health())["streams_open"] === 1;
    await waitFor(isHeld, "the request to be held");
    expect(client.text()).toBe("");
    client.leave();
    await waitFor(async () => !await isHeld(), "the request to be over");
  });

  test("journal, metrics and requests name what has happened, and nothing else", async () => {
    await fetch(`${weir.url}/__weir/requests`, { method: "DELETE" });
    const metric = async () => {
      const text = await (await fetch(`${weir.url}/metrics`)).text();
      return Number(/^weir_faults_total\{fault="reset"\} (\d+)/m.exec(text)?.[1] ?? 0);
    };
    const before = await metric();
    await faulty(weir, "slow-head;ms=1, reset@event=2");
    await faulty(weir, "reset@event=99, glue");
    await ask(weir, CHAT_PATH, CHAT);
    const noted = await waitFor(async () => {
      const noted = (await journalOf(weir)).filter(({ path }) => path === CHAT_PATH);
      return noted.length === 3 && noted;
    });
    expect(noted.map(({ faults }) => faults).toSorted()).toEqual(
      [[], ["glue"], ["slow-head", "reset"]].toSorted(),
    );
    expect(noted.map(({ fault }) => fault).toSorted()).toEqual([null, null, "cut"].toSorted());
    expect(await metric()).toBe(before + 1);
  });
});

describe("before an upstream", () => {
  let proxy: Proxied | undefined;
  afterEach(async () => {
    await proxy?.stop();
    proxy = undefined;
  });

  test("x-weir-fault is refused by name, and the upstream is not asked", async () => {
    proxy = await proxied();
    const got = await proxy.chat(CHAT, ["x-weir-fault: cut"]);
    expect(got.status).toBe(400);
    expect(got.body.toString()).toContain("set faults.header: true");
    expect(proxy.upstream.requests).toEqual([]);
  });

  test("faults.header: true obeys it, and no upstream sees it", async () => {
    proxy = await proxied({ set: { "faults.header": true } });
    proxy.play(() => whole(EVENT, EVENT, EVENT, DONE));
    const got = await proxy.chat(CHAT, ["x-weir-fault: cut@event=2", "x-weir-session: s"]);
    expect([got.isWhole, got.body.toString()]).toEqual([false, EVENT + EVENT]);
    const [{ head } = { head: "" }] = proxy.upstream.requests;
    expect(head.toLowerCase()).not.toContain("x-weir");
  });

  test("an upstream that gets everything of its clients does not get it either", async () => {
    proxy = await proxied({ set: { "faults.header": true } });
    const { upstream } = proxy;
    const weir = await launch({
      set: { "chat.api_proxy": `${upstream.url}/v1`, "faults.header": true },
    });
    await ask(weir, "/chat", CHAT, { "x-weir-fault": "slow-head;ms=1", "x-secret-thing": "y" });
    const head = upstream.requests[0]!.head.toLowerCase();
    expect([head.includes("x-secret-thing"), head.includes("x-weir")]).toEqual([true, false]);
    await weir.stop();
  });

  test("an upstream that still says something is let go behind a cut", async () => {
    proxy = await proxied({ set: { "faults.header": true } });
    const more = Promise.withResolvers<void>();
    proxy.play(() => [...whole(EVENT, EVENT).slice(0, -1), act.wait(more.promise)]);
    const got = await proxy.chat(CHAT, ["x-weir-fault: cut@event=2"]);
    expect([got.isWhole, got.body.toString()]).toEqual([false, EVENT + EVENT]);
    await waitFor(() => proxy!.upstream.open === 0, "the upstream's connection to close");
    more.resolve();
  });

  test("an answer that is said again in another dialect has them as any", async () => {
    proxy = await proxied({ set: { "faults.header": true, ...SETTINGS } });
    proxy.play(() => whole(EVENT, EVENT, EVENT, DONE));
    const got = await ask(
      proxy.weir,
      "/v1/messages",
      { model: "m", max_tokens: 9, stream: true, messages: [{ role: "user", content: "Hi" }] },
      { "x-weir-fault": "cut@event=3" },
    );
    expect([got.isWhole, eventsOf(got)]).toEqual([false, 3]);
    expect(got.body.toString()).toStartWith("event: message_start\n");
  });

  test("an error of the upstream passes, whatever was planned for a stream", async () => {
    proxy = await proxied({ set: { "faults.header": true } });
    const body = '{"error":{"message":"busy"}}';
    proxy.play(() => [
      act.send(
        "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\n" +
          `content-length: ${body.length}\r\n\r\n${body}`,
      ),
    ]);
    const got = await proxy.chat(CHAT, ["x-weir-fault: cut@event=2, dup"]);
    expect([got.status, got.isWhole, got.body.toString()]).toEqual([429, true, body]);
  });

  test("rules of the config meet requests by model, path, key, header and source", async () => {
    const upstream = (proxy = await proxied()).upstream;
    const weir = await launch({
      files: {
        "config.yaml": `
upstreams: [{name: far, base_url: "${upstream.url}/v1", retries: 0}]
routes: [{match: {model: far-*}, to: [far]}, {match: {}, to: [mock]}]
auth: {tokens: [{name: blue, token: t-blue}, {name: red, token: t-red}]}
mock: {delay_ms: 0}
faults:
  rules:
    - {match: {model: bad-*}, fault: status;code=500}
    - {match: {source: far}, fault: status;code=502}
    - {match: {path: /v1/mod*}, fault: status;code=503}
    - {match: {key: red}, fault: status;code=504}
    - {match: {header: {x-team: "a*"}}, fault: status;code=501}
    - {match: {model: never}, rate: 0, fault: status;code=505}
`,
      },
    });
    const status = async (
      model: string,
      more: Readonly<Record<string, string>> = {},
      path = CHAT_PATH,
    ) =>
      (await ask(
        weir,
        path,
        path === CHAT_PATH
          ? { model, messages: [{ role: "user", content: "Hi" }] }
          : { input: "Hi" },
        { authorization: "Bearer t-blue", ...more },
      )).status;
    expect({
      model: await status("bad-1"),
      source: await status("far-1"),
      path: await status("", {}, "/v1/moderations"),
      key: await status("gpt-4o", { authorization: "Bearer t-red" }),
      header: await status("gpt-4o", { "x-team": "abc" }),
      otherHeader: await status("gpt-4o", { "x-team": "b" }),
      none: await status("gpt-4o"),
      never: await status("never"),
    }).toEqual({
      model: 500,
      source: 502,
      path: 503,
      key: 504,
      header: 501,
      otherHeader: 200,
      none: 200,
      never: 200,
    });
    expect(upstream.requests).toEqual([]);
    await weir.stop();
  });
});

test("a rate is the same luck for the n-th equal request, in any weir and worker", async () => {
  const runs: number[][] = [];
  for (const workers of [1, 2]) {
    const weir = await launch({
      set: { "server.workers": workers },
      files: { "config.yaml": "faults: {rules: [{rate: 0.5, fault: status;code=503}]}\n" },
    });
    const statuses: number[] = [];
    for (let i = 0; i < 40; i++) statuses.push((await ask(weir, CHAT_PATH, CHAT)).status);
    runs.push(statuses);
    await weir.stop();
  }
  const [one, two] = runs;
  expect(two).toEqual(one!);
  const failed = one!.filter((status) => status === 503).length;
  expect(failed).toBeGreaterThan(8);
  expect(failed).toBeLessThan(32);
});

test("fail-first counts in all workers together", async () => {
  const weir = await launch({
    set: { "server.workers": 2 },
    files: { "config.yaml": "faults: {rules: [{fault: fail-first;n=5;per=fault}]}\n" },
  });
  const statuses: number[] = [];
  for (let i = 0; i < 20; i++) {
    statuses.push((await ask(weir, CHAT_PATH, CHAT, { "x-n": String(i) })).status);
  }
  expect(statuses).toEqual([...Array<number>(5).fill(500), ...Array<number>(15).fill(200)]);
  await weir.stop();
});

describe("fixtures", () => {
  test("have faults of their own, also where they pass to an upstream", async () => {
    const proxy = await proxied({
      args: ["--fixtures", "f.yaml"],
      files: {
        "f.yaml": `fixtures:
- {id: cut, match: {userMessage: cut}, response: {content: one two three}, fault: cut@event=2}
- {id: pass, match: {userMessage: pass}, response: pass, fault: "cut@event=1, slow-head;ms=1"}
- {id: no, match: {userMessage: no}, response: {content: a}, fault: "fail-first;n=1;code=503"}
`,
      },
    });
    proxy.play(() => whole(EVENT, EVENT, DONE));
    const asked = (content: string) =>
      ask(proxy.weir, CHAT_PATH, {
        model: "m",
        stream: true,
        messages: [{ role: "user", content }],
      });
    const cut = await asked("cut");
    expect([cut.isWhole, eventsOf(cut)]).toEqual([false, 2]);
    const pass = await asked("pass");
    expect([pass.isWhole, pass.body.toString()]).toEqual([false, EVENT]);
    expect([(await asked("no")).status, (await asked("no")).status]).toEqual([503, 200]);
    await proxy.stop();
  });
});

describe("a workflow's job", () => {
  for (
    const [fault, text] of [
      ["status;code=503;message=away", "away"],
      ["cut", "A workflow's job cannot have the fault cut: its answer goes over no wire"],
    ] as const
  ) {
    test(fault, async () => {
      const weir = await launch({
        files: { "config.yaml": `faults: {rules: [{fault: "${fault}"}]}\n` },
      });
      const answer = await fetch(`${weir.url}/api/workflows/runs`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ input: { prompt: "Hi" }, wait_for_completion: true }),
      });
      expect(await answer.text()).toContain(text);
      await weir.stop();
    });
  }
});
