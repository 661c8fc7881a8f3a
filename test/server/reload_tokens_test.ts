/** Once a reload is done, no process takes a token that it has removed, on whichever connection. */

import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { launch, TEST_MS_MAX, waitFor } from "./launch.ts";
import { childrenOf, isRunning } from "./processes.ts";
import { CHAT, DONE, EVENT, gate } from "./proxied.ts";
import { connect, exchange, rawChat, type RawClient } from "./raw_client.ts";
import { act, chunk, LAST_CHUNK, scriptedUpstream, sseHead } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop();
});

const bearer = (token: string) => `Authorization: Bearer ${token}`;
const metrics = (token: string, ...fields: readonly string[]) =>
  ["GET /metrics HTTP/1.1", "Host: weir", bearer(token), ...fields, "", ""].join("\r\n");

/** Every status on the connection of `client`, once it is closed or there are `count` of them. */
async function statuses(client: RawClient, count: number): Promise<readonly string[]> {
  let isClosed = false;
  void client.closed.then(() => isClosed = true);
  const found = () =>
    [...client.text().matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status!);
  await waitFor(() => isClosed || found().length >= count, `${count} answers`);
  return found();
}

for (const workers of [1, 2]) {
  test(`with ${workers} process(es)`, async () => {
    const end = gate();
    const upstream = scriptedUpstream(() => [
      act.send(sseHead()),
      act.send(chunk(EVENT)),
      act.wait(end.opened),
      act.send(chunk(DONE)),
      act.send(LAST_CHUNK),
    ]);
    running.push(() => upstream.close());
    const config = (...tokens: readonly string[]) =>
      `llm:\n  base_url: ${upstream.url}/v1\n  api_key: sk-1\nauth:\n  tokens:\n` +
      tokens.map((token) => `    - {name: ${token}, token: ${token}}\n`).join("");
    const weir = await launch({
      set: { "server.workers": workers },
      files: { "config.yaml": config("removed", "kept") },
    });
    running.push(async () => {
      const children = childrenOf(weir.pid);
      await weir.stop();
      for (const pid of children) if (isRunning(pid)) process.kill(pid, "SIGKILL");
    });
    await waitFor(() => workers === 1 || weir.output().includes("workers: 2"), "the workers");

    const open = async (count: number, bytes: string | Uint8Array, sign: string) => {
      const clients = await Promise.all(
        Array.from({ length: count }, () => connect(weir.port, bytes)),
      );
      for (const client of clients) {
        await client.until(sign);
        running.push(client.leave);
      }
      return clients;
    };
    const idle = await open(8, metrics("removed"), "HTTP/1.1 ");
    for (const client of idle) expect(await statuses(client, 1)).not.toContain("401");
    const streaming = await open(8, rawChat(CHAT, [bearer("removed")]), EVENT);

    writeFileSync(join(weir.folder, "config.yaml"), config("kept", "added"));
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("weir: reload: "), "the reload");
    expect(weir.errors()).not.toContain("refused");

    for (const [token, isTaken] of [["removed", false], ["kept", true], ["added", true]] as const) {
      for (let i = 0; i < 6; i++) {
        const { status } = await exchange(weir.port, metrics(token, "Connection: close"));
        expect([token, status !== 401]).toEqual([token, isTaken]);
      }
    }
    // A connection that was kept is answered by the new rules, or closed without an answer.
    for (const client of idle) client.send(metrics("removed"));
    for (const client of idle) expect((await statuses(client, 2))[1] ?? "401").toBe("401");
    // Behind streams that go on: answered by whoever has them.
    for (const [i, client] of streaming.entries()) {
      client.send(metrics(i % 2 ? "added" : "removed"));
    }
    end.open();
    for (const [i, client] of streaming.entries()) {
      await client.until(DONE);
      const [first, second] = await statuses(client, 2);
      expect([i, first, second === "401"]).toEqual([i, "200", i % 2 === 0]);
    }
  });
}

for (const workers of [1, 2]) {
  test(`a config that has become empty opens no door, with ${workers} process(es)`, async () => {
    const weir = await launch({
      set: { "server.workers": workers },
      files: { "config.yaml": "auth:\n  token: secret-token\n" },
    });
    running.push(() => weir.stop());
    await waitFor(() => workers === 1 || weir.output().includes("workers: 2"), "the workers");
    writeFileSync(join(weir.folder, "config.yaml"), "\n");
    weir.kill("SIGHUP");
    await waitFor(() => weir.errors().includes("weir: reload: "), "the reload");
    expect(weir.errors()).toContain("config.yaml is empty");
    const { status } = await exchange(weir.port, metrics("other", "Connection: close"));
    expect(status).toBe(401);
  });
}
