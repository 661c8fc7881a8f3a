/** Two weirs that keep answers in one Redis. */

import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { REDIS_ABSENT, redisProgram, startRedis } from "../shared/redis_server.ts";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { describeWith } from "./needs.ts";
import { DONE, EVENT, whole } from "./proxied.ts";
import { act, response, scriptedUpstream } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const WHOLE = '{"id":"chatcmpl-1","choices":[]}';

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

async function ask({ url }: Weir, model: string, isStream = false) {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, stream: isStream, messages: [] }),
  });
  return {
    text: await answer.text(),
    result: answer.headers.get("x-weir-cache"),
    age: answer.headers.get("age"),
    type: answer.headers.get("content-type"),
  };
}

describeWith(redisProgram() !== null, REDIS_ABSENT, "a cache of two weirs", () => {
  test("what one has kept, the other gives; killed, each has its own, and there again, they share", async () => {
    const redis = await startRedis();
    running.push(redis.stop);
    const upstream = scriptedUpstream(({ body }) =>
      body.includes('"stream":true')
        ? whole(EVENT, DONE)
        : [act.send(response(WHOLE, { "content-type": "application/json" }))]
    );
    running.push(upstream.close);
    const start = async () => {
      const weir = await launch({
        set: { "shared.url": redis.url },
        files: {
          "config.yaml": `upstreams:
  - {name: one, base_url: "${upstream.url}/v1", api_key: sk-up}
routes: [{to: [one], cache: {}}]
`,
        },
      });
      running.push(weir.stop);
      return weir;
    };
    const [a, b] = [await start(), await start()];
    let models = 0;
    /** Asks both of them the same. */
    const both = async (isStream = false) => {
      const model = `m-${models++}`;
      const first = await ask(a, model, isStream);
      expect(first.result).toBe("miss");
      return { first, other: await ask(b, model, isStream), model };
    };
    // Their connections for it are made when it is first used.
    await waitFor(async () => (await both()).other.result === "hit");
    for (const isStream of [false, true]) {
      // What is put there is not waited for.
      const found = await waitFor(async () => {
        const asked = await both(isStream);
        return asked.other.result === "hit" && asked;
      });
      const { first, other, model } = found;
      expect([other.text, other.type]).toEqual([first.text, first.type]);
      expect(Number(other.age)).toBeGreaterThanOrEqual(0);
      expect((await ask(b, model, isStream)).result).toBe("hit");
    }
    await redis.crash();
    const { other, model } = await both();
    expect([other.result, other.text]).toEqual(["miss", WHOLE]);
    expect((await ask(b, model)).result).toBe("hit");
    await redis.start();
    await waitFor(async () => (await both()).other.result === "hit");
  });

  test("the workers of one weir share it, too", async () => {
    const redis = await startRedis();
    running.push(redis.stop);
    const upstream = scriptedUpstream(() => [
      act.send(response(WHOLE, { "content-type": "application/json" })),
    ]);
    running.push(upstream.close);
    const weir = await launch({
      set: { "shared.url": redis.url, "server.workers": 2 },
      files: {
        "config.yaml": `upstreams: [{name: one, base_url: "${upstream.url}/v1", api_key: sk-up}]
routes: [{to: [one], cache: {}}]
`,
      },
    });
    running.push(weir.stop);
    await waitFor(async () => {
      const model = `m-${upstream.requests.length}`;
      const before = upstream.requests.length;
      const results: unknown[] = [];
      for (let i = 0; i < 10; i++) results.push((await ask(weir, model)).result);
      return results.filter((result) => result === "hit").length === 9 &&
        upstream.requests.length === before + 1;
    });
  });
});
