/** Routes that change while weir runs: what has begun goes on, what comes next takes the new way. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { launch, TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, whole } from "./proxied.ts";
import { connect, parseRaw, rawChat } from "./raw_client.ts";
import {
  act,
  chunk,
  LAST_CHUNK,
  response,
  scriptedUpstream,
  sseHead,
} from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

const NEW = EVENT.replace("水", "火");

for (const workers of [1, 2]) {
  test(`streams go on, hedged ones too, and probes end with their routes, ${workers} process(es)`, async () => {
    const end = gate();
    const old = scriptedUpstream(({ path, body }) => {
      if (path === "/v1/models") return [act.send(response("{}"))];
      if (body.includes("hedged")) return [act.stall];
      return [
        act.send(sseHead()),
        act.send(chunk(EVENT)),
        act.wait(end.opened),
        act.send(chunk(DONE)),
        act.send(LAST_CHUNK),
      ];
    });
    const next = scriptedUpstream(() => whole(NEW, DONE));
    running.push(() => old.close(), () => next.close());
    const config = (routes: string) =>
      `server: {workers: ${workers}, keepalive_ms: 0}
upstreams:
  - {name: silent, base_url: "${old.url}/v1", retries: 0}
  - {name: old, base_url: "${old.url}/v1", retries: 0, probe_ms: ${routes.includes("old") ? 20 : 0}}
  - {name: next, base_url: "${next.url}/v1", retries: 0}
routes:
${routes}`;
    const weir = await launch({
      files: {
        "config.yaml": config(
          "  - {match: {model: hedged}, to: [silent, old], hedge_ms: 20}\n  - {to: [old]}\n",
        ),
      },
    });
    running.push(() => weir.stop());
    await waitFor(() => workers === 1 || weir.output().includes("workers: 2"), "the workers");
    const clients = await Promise.all(
      Array.from({ length: 8 }, () => connect(weir.port, rawChat(CHAT, ["Connection: close"]))),
    );
    await Promise.all(clients.map((client) => client.until(EVENT)));
    // Still silent: both upstreams are asked, and neither has answered.
    const hedged = await connect(
      weir.port,
      rawChat(CHAT.replace("gpt-4o", "hedged"), ["Connection: close"]),
    );
    const isHedged = () => old.requests.filter(({ body }) => body.includes("hedged")).length === 2;
    await waitFor(isHedged, "the second to be asked");
    await waitFor(() => old.requests.some(({ path }) => path === "/v1/models"), "a probe");

    writeFileSync(join(weir.folder, "config.yaml"), config("  - {to: [next]}\n"));
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("weir: reload: "), "the reload");
    expect(weir.errors()).not.toContain("refused");
    const ask = async () => {
      const client = await connect(weir.port, rawChat(CHAT, ["Connection: close"]));
      return parseRaw(await client.closed).body.toString();
    };
    const asked = old.requests.filter(({ method }) => method === "POST").length;
    for (let i = 0; i < 8; i++) expect(await ask()).toBe(NEW + DONE);
    expect(old.requests.filter(({ method }) => method === "POST").length).toBe(asked);

    end.open();
    for (const client of clients) {
      const { body, isWhole } = parseRaw(await client.closed);
      expect([body.toString(), isWhole]).toEqual([EVENT + DONE, true]);
    }
    hedged.leave();
    await waitFor(() => old.playing === 0, "the old upstream to be left");
    // Whoever has been replaced asks no more, once its last stream is over.
    let [count, sinceMs] = [-1, 0];
    await waitFor(() => {
      if (old.requests.length !== count) {
        [count, sinceMs] = [old.requests.length, performance.now()];
      }
      return performance.now() - sinceMs > 300;
    }, "the probes to end");
  });
}
