/** Two nodes with one Postgres, which goes and comes while they are asked. */

import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { postgresPrograms, startPostgres } from "../memory/postgres_server.ts";
import { launch, run, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

const CLIENTS = 6;

/** Runs weir to its end, and gives what it prints. */
async function weir(...words: string[]): Promise<string> {
  const { code, output, errors } = await run(words);
  if (code !== 0) throw new Error(errors);
  return output.trim();
}

/** Asks once, for a stream or for an answer in one piece, and gives its status; "" = it was not whole. */
async function ask({ url }: Weir, key: string, isStream: boolean): Promise<number | ""> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
    body: JSON.stringify({
      model: "gpt-4o-mini",
      stream: isStream,
      messages: [{ role: "user", content: "Hello" }],
    }),
  });
  const text = await response.text();
  if (response.status !== 200) return response.status;
  return text.endsWith(isStream ? "data: [DONE]\n\n" : "}\n") ? 200 : "";
}

const programs = postgresPrograms();
test.skipIf(programs === undefined)(
  "answers go on while Postgres is away, keys hold, and each answer is counted once in the end",
  async () => {
    const server = await startPostgres(programs!);
    running.push(() => server.stop());
    const url = await server.makeDatabase();
    const store = ["--set", `store.url=${url}`];
    const key = await weir("key", "add", "ci", ...store);
    const nodes = await Promise.all([1, 2].map(async (workers) => {
      const node = await launch({
        set: {
          "auth.token": "root",
          "store.url": url,
          "memory.timeout_ms": 1000,
          "server.workers": workers,
        },
      });
      running.push(() => node.stop());
      return node;
    }));
    for (const node of nodes) {
      await waitFor(async () => await ask(node, "root", true) === 200, "the node");
      await waitFor(async () => await ask(node, key, true) === 200, "the key");
    }
    const sums = async (token: string) => {
      const lines = await weir("usage", "--by", "key", "--json", ...store);
      const sum = lines.split("\n").filter((line) => line !== "")
        .map((line) => JSON.parse(line) as { readonly key: string; readonly requests: number })
        .find((one) => one.key === token);
      return sum?.requests ?? 0;
    };
    let isOver = false;
    const seen = new Map<number | "", number>();
    let whole = nodes.length;
    const load = Array.from({ length: CLIENTS }, async (_, i) => {
      while (!isOver) {
        const status = await ask(nodes[i % 2]!, key, i % 4 < 2);
        seen.set(status, (seen.get(status) ?? 0) + 1);
        if (status === 200) whole++;
      }
    });
    for (let round = 0; round < 2; round++) {
      const before = whole;
      await waitFor(() => whole > before + 100, "load");
      await server.crash();
      for (const node of nodes) {
        await waitFor(async () => "store" in await node.health(), "health to say so");
      }
      const meanwhile = whole;
      await waitFor(() => whole > meanwhile + 100, "load without a store");
      await server.start();
    }
    const before = whole;
    await waitFor(() => whole > before + 100, "load");
    isOver = true;
    await Promise.all(load);
    expect([...seen.keys()]).toEqual([200]);
    for (const node of nodes) {
      await waitFor(async () => !("store" in await node.health()), "health to be well");
    }
    await waitFor(async () => await sums("ci") >= whole, `${whole} requests`);
    expect(await sums("ci")).toBe(whole);

    // Both hear of it when a key is revoked, and of what the other has counted.
    await weir("key", "revoke", "ci", ...store);
    for (const node of nodes) {
      await waitFor(async () => {
        const tries = Array.from({ length: 12 }, () => ask(node, key, true));
        return (await Promise.all(tries)).every((status) => status === 401);
      }, "401");
    }
    const told = await Promise.all(nodes.map(async (node) => {
      const answer = await fetch(`${node.url}/__weir/usage?key=ci`, {
        headers: { authorization: "Bearer root" },
      });
      return (await answer.json() as { readonly usage: readonly { readonly requests: number }[] })
        .usage[0]!.requests;
    }));
    expect(told[0]).toBe(told[1]!);
  },
);
