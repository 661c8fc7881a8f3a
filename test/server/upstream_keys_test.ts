import { afterAll, afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { launch, TEST_MS_MAX, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, whole } from "./proxied.ts";
import { act, response, scriptedUpstream } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

/** What the upstream makes of each key. */
let statuses: Readonly<Record<string, number>> = {};
let retryAfter = "50";
let asked: string[] = [];
const upstream = scriptedUpstream(({ headers }) => {
  const key = headers["authorization"]?.replace("Bearer ", "") ?? "none";
  asked.push(key);
  const status = statuses[key] ?? 200;
  if (status === 200) return whole(EVENT, DONE);
  return [
    act.send(
      response(`"${key}"`, status === 429 ? { "retry-after": retryAfter } : {}, `${status} No`),
    ),
  ];
});
let weir: Weir;
afterEach(() => weir.stop());
afterAll(() => upstream.close());

async function start(keys: string, files: Readonly<Record<string, string>> = {}): Promise<void> {
  asked = [];
  weir = await launch({
    files: {
      "config.yaml": `llm: {base_url: "${upstream.url}/v1", retries: 0, ${keys}}\n`,
      ...files,
    },
  });
}

/** The status and body of one answer, and the keys that were shown for it. */
async function chat(): Promise<readonly [status: number, text: string, keys: readonly string[]]> {
  asked = [];
  const headers = { "content-type": "application/json" };
  const init = { method: "POST", headers, body: CHAT };
  const answer = await fetch(`${weir.url}/v1/chat/completions`, init);
  return [answer.status, await answer.text(), asked];
}

describe("several keys of one upstream", () => {
  test("are used in turn", async () => {
    statuses = {};
    await start("api_key: k1, api_keys: [k2, k3]");
    const keys: string[] = [];
    for (let i = 0; i < 4; i++) keys.push(...(await chat())[2]);
    expect(keys).toEqual(["k1", "k2", "k3", "k1"]);
  });

  test("one that is limited or refused rests, and its request goes on with the next", async () => {
    statuses = { k1: 429, k2: 401 };
    await start("api_keys_file: keys.txt", { "keys.txt": "k1\nk2\n\nk3\n" });
    expect(await chat()).toEqual([200, EVENT + DONE, ["k1", "k2", "k3"]]);
    for (let i = 0; i < 2; i++) expect(await chat()).toEqual([200, EVENT + DONE, ["k3"]]);
    const health = await (await fetch(`${weir.url}/health`)).json() as Record<string, unknown>;
    expect(health["api_key_configured"]).toBe(true);
  });

  test("where all rest, what the last one is told is the answer", async () => {
    statuses = { k1: 401, k2: 429 };
    await start("api_key: k1, api_keys: [k2]");
    expect(await chat()).toEqual([429, '"k2"', ["k1", "k2"]]);
    expect(await chat()).toEqual([429, '"k2"', ["k2"]]);
  });

  test("none is asked twice, though its rest is none at all", async () => {
    statuses = { k1: 429, k2: 429 };
    retryAfter = "0";
    await start("api_key: k1, api_keys: [k2]");
    expect(await chat()).toEqual([429, '"k2"', ["k1", "k2"]]);
    expect(await chat()).toEqual([429, '"k2"', ["k1", "k2"]]);
    retryAfter = "50";
  });

  test("other failures are no key's", async () => {
    statuses = { k1: 500 };
    await start("api_key: k1, api_keys: [k2]");
    expect(await chat()).toEqual([500, '"k1"', ["k1"]]);
    expect(await chat()).toEqual([200, EVENT + DONE, ["k2"]]);
    expect(await chat()).toEqual([500, '"k1"', ["k1"]]);
  });
});
