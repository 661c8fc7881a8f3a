import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, whole } from "./proxied.ts";
import {
  act,
  chunk,
  response,
  type Script,
  scriptedUpstream,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

let script: Script = () => whole(EVENT, DONE);
const upstream = scriptedUpstream((request) => script(request));
/** Takes connections and says nothing, not even TLS's first word. */
const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
let weir: Weir;

beforeAll(async () => {
  weir = await launch({
    files: {
      "config.yaml": `upstreams:
  - {name: azure, base_url: "${upstream.url}/openai/deployments/x/?api-version=2026-01-01&a=b", api_key: k, api_key_header: api-key}
  - {name: brief, base_url: "${upstream.url}/v1", whole_timeout_ms: 1000, retries: 0}
  - {name: mute, base_url: "https://127.0.0.1:${mute.port}/v1", connect_timeout_ms: 300, retries: 0}
routes:
  - {match: {model: brief}, to: [brief]}
  - {match: {model: mute}, to: [mute]}
  - {match: {model: moved}, to: [mute, azure]}
  - {to: [azure]}
`,
    },
  });
});
afterAll(async () => {
  await weir.stop();
  upstream.close();
  mute.stop(true);
});

async function ask(model: string, path = "/v1/chat/completions") {
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, body: CHAT.replace("gpt-4o", model) };
  const answer = await fetch(weir.url + path, init);
  return { status: answer.status, text: await answer.text() };
}

test("a base URL with a path and a query, as Azure has them", async () => {
  expect((await ask("m")).text).toBe(EVENT + DONE);
  const { path, headers } = upstream.requests.at(-1)!;
  expect(path).toBe("/openai/deployments/x/chat/completions?api-version=2026-01-01&a=b");
  expect([headers["api-key"], headers["authorization"]]).toEqual(["k", undefined]);
  await ask("m", "/v1/embeddings?x=1&api-version=mine");
  expect(upstream.requests.at(-1)!.path)
    .toBe("/openai/deployments/x/embeddings?x=1&api-version=mine&a=b");
  await ask("m", "/v1/responses");
  expect(upstream.requests.at(-1)!.path)
    .toBe("/openai/deployments/x/responses?api-version=2026-01-01&a=b");
});

test("and its models, behind the others'", async () => {
  const list = { object: "list", data: [{ id: "gpt-x", object: "model" }] };
  script = ({ path }) => [
    act.send(
      path.startsWith("/openai/") ? response(JSON.stringify(list)) : response("", {}, "404 No"),
    ),
  ];
  const { data } = await (await fetch(`${weir.url}/v1/models`)).json() as typeof list;
  expect(data.at(-1)).toEqual(list.data[0]);
  const paths = upstream.requests.slice(-2).map(({ path }) => path).toSorted();
  expect(paths).toEqual([
    "/openai/deployments/x/models?api-version=2026-01-01&a=b",
    "/v1/models",
  ]);
  script = () => whole(EVENT, DONE);
});

test("a connection that is not made in time", async () => {
  const { status, text } = await ask("mute");
  expect(status).toBe(502);
  expect(JSON.parse(text).error.message).toContain("it accepted no connection in time");
  expect((await ask("moved")).text).toBe(EVENT + DONE);
});

test("an answer that takes too long as a whole is ended, though it is never silent", async () => {
  const { aborted } = upstream;
  script = () => [
    act.send(sseHead()),
    ...Array.from({ length: 400 }, () => [
      act.send(chunk(EVENT)),
      act.wait(new Promise((resolve) => setTimeout(resolve, 10))),
    ]).flat(),
    act.stall,
  ];
  const { status, text } = await ask("brief");
  expect([status, text.startsWith(EVENT), text.includes("[DONE]")]).toEqual([200, true, false]);
  expect(text).toContain("upstreams.1.whole_timeout_ms");
  await waitFor(() => upstream.aborted > aborted, "the upstream to be left");
});

test("and one that has not begun by then is 504", async () => {
  script = () => [act.send(sseHead()), act.stall];
  const { status, text } = await ask("brief");
  expect([status, JSON.parse(text).error.code]).toEqual([504, "upstream_timeout"]);
});
