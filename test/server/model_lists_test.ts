import { URLSearchParams } from "node:url";
import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
import { tellUpstream } from "./told_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

/** An upstream that lists `ids`, or fails. */
function listing(ids: readonly string[] | undefined) {
  return tellUpstream(({ path }) => {
    if (ids === undefined) return new Response("no", { status: 500 });
    const models = ids.map((id) => ({
      id,
      object: "model",
      created: 7,
      owned_by: "them",
      extra: 1,
    }));
    if (path === "/v1/models") return Response.json({ object: "list", data: models });
    const model = models.find(({ id }) => path === `/v1/models/${id}`);
    return model === undefined ? new Response("none", { status: 404 }) : Response.json(model);
  });
}

const one = listing(["gpt-4o", "gpt-4o-mini", "text-embedding-3-small"]);
const two = listing(["llama-3", "gpt-4o", "vendor/big"]);
const broken = listing(undefined);
let weir: Weir | undefined;
afterEach(async () => {
  await weir?.stop();
  weir = undefined;
});
afterAll(() => [one, two, broken].forEach(({ stop }) => stop()));

const UPSTREAMS = `upstreams:
  - {name: one, base_url: "${one.url}/v1"}
  - {name: two, base_url: "${two.url}/v1", rename: {big: vendor/big}}
  - {name: broken, base_url: "${broken.url}/v1", retries: 0}
`;

async function list(key = ""): Promise<readonly string[]> {
  const headers = key === "" ? {} : { authorization: `Bearer ${key}` };
  const answer = await fetch(`${weir!.url}/v1/models`, { headers });
  const { object, data } = await answer.json() as { object: string; data: { id: string }[] };
  expect([answer.status, object]).toEqual([200, "list"]);
  return data.map(({ id }) => id);
}

test("what the routes can serve, each once, as its upstream lists it", async () => {
  weir = await launch({
    files: {
      "config.yaml": `${UPSTREAMS}routes:
  - {match: {model: "gpt-*"}, to: [broken, one]}
  - {match: {model: fast}, to: [two], rename: {fast: llama-3}}
  - {match: {model: "text-*", tools: true}, to: [two]}
  - {match: {model: "*"}, to: [two]}
`,
    },
  });
  expect(await list()).toEqual(["gpt-4o", "gpt-4o-mini", "fast", "llama-3", "vendor/big", "big"]);
  const answer = await fetch(`${weir.url}/v1/models/gpt-4o-mini`);
  expect(await answer.json()).toMatchObject({ id: "gpt-4o-mini" }); // of the one that does not fail
  const other = await (await fetch(`${weir.url}/v1/models/llama-3`)).json();
  expect(other).toMatchObject({ id: "llama-3", created: 7, extra: 1 });
});

test("the mock's names, where a route or nothing else leads there; a key sees its own", async () => {
  weir = await launch({
    files: {
      "config.yaml": `${UPSTREAMS}routes: [{match: {model: "gpt-*"}, to: [one]}]
mock: {models: [mine, gpt-5]}
auth: {token: root}
keys: [{name: ci, token: ci, models: ["gpt-4o*"]}]
`,
    },
  });
  expect(await list("root")).toEqual(["gpt-4o", "gpt-4o-mini", "mine"]);
  expect(await list("ci")).toEqual(["gpt-4o", "gpt-4o-mini"]);
  const headers = { authorization: "Bearer root" };
  const mine = await (await fetch(`${weir.url}/v1/models/mine`, { headers })).json();
  expect(mine).toMatchObject({ id: "mine", object: "model" });
});

test("where no upstream lists any, that is the answer", async () => {
  weir = await launch({
    files: {
      "config.yaml": `llm: {base_url: "http://127.0.0.1:1/v1", retries: 0}
${UPSTREAMS}routes: [{match: {model: "a*"}, to: [broken]}]
`,
    },
  });
  const answer = await fetch(`${weir.url}/v1/models`);
  expect([answer.status, (await answer.json() as { error: { code: string } }).error.code]).toEqual([
    502,
    "upstream_broken",
  ]);
});

describe("clients of Anthropic's API", () => {
  const info = (id: string) => ({
    ...{ type: "model", id, display_name: id.toUpperCase(), created_at: "2026-01-02T03:04:05Z" },
  });
  /** Has two of its models on a page. */
  const claude = tellUpstream(({ path }) => {
    const [way = "", query = ""] = path.split("?");
    const ids = ["claude-a", "claude-b", "claude-c"];
    if (way !== "/v1/models") return Response.json(info(way.slice("/v1/models/".length)));
    const from = ids.indexOf(new URLSearchParams(query).get("after_id") ?? "") + 1;
    const data = ids.slice(from, from + 2).map(info);
    return Response.json({ data, has_more: from === 0, first_id: "x", last_id: data.at(-1)!.id });
  });
  afterAll(() => claude.stop());

  const start = async () => {
    weir = await launch({
      files: {
        "config.yaml": `upstreams:
  - {name: one, base_url: "${one.url}/v1", speaks: [openai_chat]}
  - {name: claude, base_url: "${claude.url}/v1", speaks: [anthropic_messages]}
routes:
  - {match: {model: "claude-*"}, to: [claude]}
  - {match: {model: "gpt-*"}, to: [one]}
mock: {models: [mine]}
`,
      },
    });
  };
  async function page(query: string) {
    const headers = { "anthropic-version": "2023-06-01", "x-api-key": "k" };
    const answer = await fetch(`${weir!.url}/v1/models${query}`, { headers });
    return { status: answer.status, value: await answer.json() as Record<string, unknown> };
  }
  const idsOf = ({ value }: Awaited<ReturnType<typeof page>>) => [
    (value["data"] as { id: string }[]).map(({ id }) => id),
    value["has_more"],
    value["first_id"],
    value["last_id"],
  ];

  test("are given what the routes can serve, of all upstreams' pages, as their API lists it", async () => {
    await start();
    const all = ["claude-a", "claude-b", "claude-c", "gpt-4o", "gpt-4o-mini", "mine"];
    const whole = await page("");
    expect(idsOf(whole)).toEqual([all, false, "claude-a", "mine"]);
    expect((whole.value["data"] as object[])[1]).toEqual(info("claude-b"));
    expect((whole.value["data"] as object[])[3]).toEqual({
      ...{ type: "model", id: "gpt-4o", display_name: "gpt-4o" },
      created_at: "1970-01-01T00:00:07Z",
    });
    expect(idsOf(await page("?limit=2"))).toEqual([all.slice(0, 2), true, "claude-a", "claude-b"]);
    expect(idsOf(await page("?limit=2&after_id=claude-b"))).toEqual([
      ...[all.slice(2, 4), true, "claude-c", "gpt-4o"],
    ]);
    expect(idsOf(await page("?limit=9&after_id=gpt-4o"))).toEqual([
      ...[all.slice(4), false, "gpt-4o-mini", "mine"],
    ]);
    expect(idsOf(await page("?limit=2&before_id=gpt-4o"))).toEqual([
      ...[all.slice(1, 3), true, "claude-b", "claude-c"],
    ]);
    expect(await page("?limit=0")).toMatchObject({ status: 400, value: { type: "error" } });
    expect(await page("?after_id=none")).toMatchObject({ status: 404, value: { type: "error" } });
  });

  test("are told of one model by the upstream that serves it", async () => {
    await start();
    expect((await page("/claude-c")).value).toEqual(info("claude-c"));
    expect((await page("/gpt-4o")).value).toMatchObject({ type: "model", display_name: "gpt-4o" });
    expect((await page("/mine")).value).toMatchObject({ type: "model", id: "mine" });
  });

  test("and clients of OpenAI's get those of Anthropic's upstreams in theirs", async () => {
    await start();
    expect((await list()).slice(0, 3)).toEqual(["claude-a", "claude-b", "claude-c"]);
    const { data } = await (await fetch(`${weir!.url}/v1/models`)).json() as { data: object[] };
    expect(data[0]).toEqual({
      ...{ id: "claude-a", object: "model", created: 1767323045, owned_by: "claude" },
    });
    const model = await (await fetch(`${weir!.url}/v1/models/claude-c`)).json();
    expect(model).toMatchObject({ id: "claude-c", object: "model", owned_by: "claude" });
  });
});
