import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { launch, TEST_MS_MAX, waitFor } from "./launch.ts";
import { CHAT, DONE, EVENT, gate, proxied } from "./proxied.ts";
import { connect, parseRaw, rawChat } from "./raw_client.ts";
import { act, chunk, LAST_CHUNK, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

/** Above Bun's own cap of 256 requests per process. */
const STREAMS = 400;

test(`${STREAMS} proxied streams are open at once`, async () => {
  const proxy = await proxied({ env: { MARK: "kept" } });
  const end = gate();
  proxy.play(() => [
    act.send(sseHead()),
    act.send(chunk(EVENT)),
    act.wait(end.opened),
    act.send(chunk(DONE)),
    act.send(LAST_CHUNK),
  ]);
  const clients = await Promise.all(
    Array.from(
      { length: STREAMS },
      () => connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"])),
    ),
  );
  await Promise.all(clients.map((client) => client.until(EVENT)));
  expect((await proxy.weir.health())["streams_open"]).toBe(STREAMS);
  end.open();
  for (const client of clients) {
    const { body, isWhole } = parseRaw(await client.closed);
    expect([body.toString(), isWhole]).toEqual([EVENT + DONE, true]);
  }
  await proxy.stop();
});

describe("a weir that proxies", () => {
  test.skipIf(process.platform !== "linux")(
    "is the process that was started, with its words and its environment",
    async () => {
      const proxy = await proxied({ env: { MARK: "kept 水" }, args: ["--host", "127.0.0.1"] });
      const read = (name: string) => readFileSync(`/proc/${proxy.weir.pid}/${name}`, "utf8");
      const words = read("cmdline").split("\0");
      expect(words).toContain("--host");
      expect(words).toContain(`llm.base_url=${proxy.upstream.url}/v1`);
      expect(words.filter((word) => word === "serve")).toHaveLength(1);
      if (!process.env["WEIR_BINARY"]) expect(words).toContain("--no-env-file");
      expect(read("environ")).toContain("MARK=kept 水");
      expect(Number(/PPid:\s+(\d+)/.exec(read("status"))![1])).toBe(process.pid);
      expect(proxy.weir.output().match(/listens on/g)).toHaveLength(1);
      await proxy.stop();
    },
  );

  test("says each warning once", async () => {
    const proxy = await proxied({
      files: { "config.yaml": "llm:\n  ServiceProvider: openai\n" },
    });
    expect(proxy.weir.errors().match(/warning/g)).toHaveLength(1);
    await proxy.stop();
  });

  test("leaves a cap that the user has set as it is", async () => {
    const proxy = await proxied({ env: { BUN_CONFIG_MAX_HTTP_REQUESTS: "300" } });
    expect((await proxy.chat()).status).toBe(200);
    await proxy.stop();
  });
});

test.skipIf(process.platform !== "linux")(
  "a client that does not read costs bounded memory while the upstream pushes",
  async () => {
    const MEGABYTE = 1024 * 1024;
    const PUSHED = 200;
    const proxy = await proxied();
    const residentBytes = () =>
      Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${proxy.weir.pid}/status`, "utf8"))![1]) *
      1024;
    const block = chunk(`data: ${"x".repeat(MEGABYTE - 8)}\n\n`);
    proxy.play(() => [
      act.send(sseHead()),
      ...Array.from({ length: PUSHED }, () => act.send(block)),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    const before = residentBytes();
    const client = await connect(proxy.weir.port, rawChat(CHAT, ["Connection: close"]), false);
    // The upstream is stuck when it has sent nothing for half a second.
    let [sentBytes, sinceMs] = [-1, 0];
    await waitFor(() => {
      if (proxy.upstream.sentBytes !== sentBytes) {
        [sentBytes, sinceMs] = [proxy.upstream.sentBytes, performance.now()];
      }
      return sentBytes > 0 && performance.now() - sinceMs > 500;
    }, "the upstream to be stuck");
    expect(sentBytes).toBeLessThan(60 * MEGABYTE);
    expect(residentBytes() - before).toBeLessThan(64 * MEGABYTE);
    client.resume();
    const bytes = await client.closed;
    expect(bytes.length).toBeGreaterThan(PUSHED * MEGABYTE);
    expect(bytes.toString("latin1", bytes.length - 30)).toEndWith("data: [DONE]\n\n\r\n0\r\n\r\n");
    await proxy.stop();
  },
);

test("a mock needs no new start", async () => {
  const weir = await launch();
  if (process.platform === "linux") {
    const environment = readFileSync(`/proc/${weir.pid}/environ`, "utf8");
    expect(environment).not.toContain("BUN_CONFIG_MAX_HTTP_REQUESTS");
  }
  await weir.stop();
});
