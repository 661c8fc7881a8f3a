import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { BROWSER_MS, describeInBrowser, launchBrowser, openPage } from "./browser.ts";
import { launch, type Weir } from "./launch.ts";

/** What a page can do without anybody's leave, and what it needs leave for. */
const TRIES = {
  "reads the memory with a simple request": (url: string) =>
    `fetch("${url}/memory/messages", {
    method: "POST", headers: { "content-type": "text/plain" }, body: '{"session_id":"s1"}' })`,
  "poisons the memory": (url: string) =>
    `fetch("${url}/memory/upload", {
    method: "POST", mode: "no-cors", headers: { "content-type": "text/plain" },
    body: '{"session_id":"s1","messages":[{"role":"user","content":"poison"}]}' })`,
  "deletes the memory": (url: string) =>
    `fetch("${url}/memory/delete", {
    method: "DELETE", headers: { "content-type": "application/json" }, body: '{"session_id":"s1"}' })`,
  "asks for an answer": (url: string) =>
    `fetch("${url}/v1/response", {
    method: "POST", headers: { "content-type": "application/json" },
    body: '{"query":"x","session_id":"s1","stream":false}' })`,
};

describeInBrowser("pages and a weir without a token", () => {
  let weir: Weir;
  let browser: Browser;
  let site: ReturnType<typeof Bun.serve>;

  beforeAll(async () => {
    site = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () =>
        new Response('<!doctype html><link rel="icon" href="data:,">', {
          headers: { "content-type": "text/html" },
        }),
    });
    // Names of a stranger's own lead to this machine, as DNS rebinding makes them.
    [weir, browser] = await Promise.all([
      launch({ set: { "server.origins": `[http://friend.example:${site.port}]` } }),
      launchBrowser([
        "--host-resolver-rules=MAP *.example 127.0.0.1",
        "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
      ]),
    ]);
  }, BROWSER_MS);
  afterAll(async () => {
    await browser.close();
    void site.stop(true);
    await weir.stop();
  });

  /** What a page at `url` gets for `script`: a status, or why there is none. */
  async function got(url: string, script: string): Promise<unknown> {
    const { page } = await openPage(browser);
    await page.goto(url);
    const result = await page.evaluate(`(${script}).then(
      async (answer) => answer.type === "opaque" ? "opaque" : [answer.status, await answer.text()],
      (error) => error.name)`);
    await page.context().close();
    return result;
  }

  async function remembered(): Promise<string> {
    return await (await fetch(`${weir.url}/memory/messages`, {
      method: "POST",
      body: '{"session_id":"s1"}',
    })).text();
  }

  for (const [name, script] of Object.entries(TRIES)) {
    test(`a stranger's page that ${name} gets nothing`, async () => {
      const before = await remembered();
      const from = `http://evil.example:${site.port}/`;
      expect(await got(from, script(weir.url))).toBe(
        name === "poisons the memory" ? "opaque" : "TypeError",
      );
      expect(await remembered()).toBe(before);
    }, BROWSER_MS);

    test(`a rebound page that ${name} gets 403`, async () => {
      const before = await remembered();
      const url = `http://evil.example:${weir.port}`;
      const [status, text] = await got(`${url}/health`, script(url)) as [number, string];
      expect(status).toBe(403);
      expect(text).toContain("server.hosts");
      expect(await remembered()).toBe(before);
    }, BROWSER_MS);

    test(`a page of this machine, a listed one and weir's own that ${name} may`, async () => {
      const pages = [
        `http://localhost:${site.port}/`,
        `http://127.0.0.1:${site.port}/`,
        `http://friend.example:${site.port}/`,
        `${weir.url}/`,
      ];
      for (const from of pages) {
        const answer = await got(from, script(weir.url));
        if (answer === "opaque") continue;
        expect([from, answer]).toEqual([from, [200, expect.any(String)]]);
      }
    }, BROWSER_MS);
  }
});
