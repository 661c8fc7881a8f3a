import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test";
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
  expect(answer.status).toBe(500); // of the first of its route
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
