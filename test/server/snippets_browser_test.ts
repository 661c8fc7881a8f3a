import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { BROWSER_MS, describeInBrowser, launchBrowser, openPage } from "./browser.ts";
import { launch, REPOSITORY, type Weir } from "./launch.ts";

const SECRET = "s3cret";

/** What the samples of go-gpt-server hand to `sse.js`, and what they gather from it. */
interface Heard {
  readonly messages: readonly string[];
  readonly closes: readonly string[];
  readonly errors: readonly { readonly data: unknown; readonly status: unknown }[];
}

describeInBrowser("browser clients from another origin", () => {
  let weir: Weir;
  let browser: Browser;
  /** The clients' own site: another origin than weir's, as with every page of theirs. */
  let site: ReturnType<typeof Bun.serve>;
  let page: Page;
  let complaints: readonly string[];

  beforeAll(async () => {
    weir = await launch({
      set: {
        "mock.reply": "你好 🌊 from weir",
        "mock.delay_ms": 20,
        "auth.secret_key": SECRET,
      },
    });
    const sse = readFileSync(join(REPOSITORY, "node_modules/sse.js/lib/sse.js"), "utf8");
    site = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) =>
        url.endsWith("/sse.js")
          ? new Response(sse, { headers: { "content-type": "text/javascript" } })
          : new Response(
            '<!doctype html><link rel="icon" href="data:,"><script type="module">' +
              'import { SSE } from "/sse.js"; window.SSE = SSE;</script>',
            { headers: { "content-type": "text/html" } },
          ),
    });
    browser = await launchBrowser();
    ({ page, complaints } = await openPage(browser));
    await page.goto(`${site.url}`);
    await page.waitForFunction("window.SSE !== undefined");
  }, BROWSER_MS);
  afterAll(async () => {
    await browser.close();
    void site.stop(true);
    await weir.stop();
  });

  /** Runs one `sse.js` request in the page to its end. */
  async function hear(url: string, options: object): Promise<Heard> {
    return await page.evaluate(`(${HEAR})(${JSON.stringify([url, options])})`) as Heard;
  }

  const HEAR = `([url, options]) => new Promise((resolve) => {
    const heard = { messages: [], closes: [], errors: [] };
    const source = new SSE(url, options);
    source.addEventListener("message", (e) => heard.messages.push(e.data));
    source.addEventListener("close", (e) => heard.closes.push(e.data));
    source.addEventListener("error", (e) => heard.errors.push({ data: e.data, status: e.responseCode }));
    source.addEventListener("readystatechange", (e) => { if (e.readyState === 2) resolve(heard); });
    source.stream();
  })`;

  async function tokenOf(): Promise<string> {
    const answer = await fetch(`${weir.url}/token?id=1000&hour=10&key=${SECRET}`);
    return (await answer.json() as { readonly token: string }).token;
  }

  test("the fetch sample of the FastAPI LLM service runs as it stands", async () => {
    const lines: string[] = [];
    page.on("console", (message) => lines.push(message.text()));
    const sample = readFileSync(
      join(REPOSITORY, "test/server/snippets/api_chat.js.txt"),
      "utf8",
    ).replace("http://localhost:8000", weir.url);
    await page.evaluate(`(async () => { ${sample}
      await chatWithModel([{ role: "user", content: "你好，请介绍一下自己" }]); })()`);
    expect(lines.join("")).toBe("你好 🌊 from weir");
  }, BROWSER_MS);

  test("sse.js hears /event: two messages and the close event", async () => {
    const heard = await hear(`${weir.url}/event?appId=1&page=4&pageSize=5`, {
      headers: { "Content-Type": "application/json" },
    });
    expect(heard.messages).toEqual(["0145", "1145"]);
    expect(heard.closes).toContain("close");
    expect(heard.errors).toEqual([]);
  }, BROWSER_MS);

  test("sse.js hears /chat with a token: a preflight, then OpenAI's chunks", async () => {
    const body = {
      model: "gpt-3.5-turbo",
      stream: true,
      messages: [{ role: "user", content: "你好" }],
    };
    const heard = await hear(`${weir.url}/chat`, {
      headers: { "Content-Type": "application/json", "authorization": await tokenOf() },
      payload: JSON.stringify(body),
    });
    expect(heard.messages.at(-1)).toBe("[DONE]");
    let answer = "";
    for (const data of heard.messages.slice(0, -1)) {
      const payload = JSON.parse(data) as {
        readonly choices: readonly { readonly delta: { readonly content?: string } }[];
      };
      const { content } = payload.choices[0]!.delta;
      if (content !== undefined && content !== "") answer += content;
    }
    expect(answer).toBe("你好 🌊 from weir");
    expect(heard.errors).toEqual([]);
  }, BROWSER_MS);

  test("sse.js hears of a wrong token as an error", async () => {
    const heard = await hear(`${weir.url}/chat`, {
      headers: { "Content-Type": "application/json", "authorization": "wrong" },
      payload: "{}",
    });
    expect(heard.messages).toEqual([]);
    expect(heard.errors).toHaveLength(1);
    expect(heard.errors[0]!.status).toBe(403);
  }, BROWSER_MS);

  test("the three steps of /conv: the list, where it stands, and the talk itself", async () => {
    const token = await tokenOf();
    const ask = (type: string, query = "") =>
      page.evaluate(
        `fetch("${weir.url}/conv${query}", {
          headers: { authorization: "${token}", "Chat-type": "${type}" },
        }).then((response) => response.json())`,
        // deno-lint-ignore no-explicit-any -- what the page's own script reads of it
      ) as Promise<any>;
    const list = await ask("conversations", "?offset=0&limit=1");
    let conversationId = list.items[0].id as string;
    let parentId = (await ask(`conversation/${conversationId}`)).current_node as string;
    for (const content of ["第一", "第二"]) {
      const heard = await hear(`${weir.url}/conv`, {
        headers: {
          "Content-Type": "application/json",
          "authorization": token,
          "Chat-type": "conversation",
          "Accept": "text/event-stream",
        },
        payload: JSON.stringify({
          content,
          parent_message_id: parentId,
          conversation_id: conversationId,
        }),
      });
      expect(heard.errors).toEqual([]);
      const answers = heard.messages.filter((data) => data !== "[DONE]").map((data) => {
        const payload = JSON.parse(data);
        conversationId = payload.conversation_id;
        parentId = payload.message.id;
        return payload.message.content.parts[0] as string;
      });
      expect(answers.at(-1)).toBe("你好 🌊 from weir");
      expect(answers.every((text, i) => i === 0 || text.startsWith(answers[i - 1]!))).toBe(true);
    }
    const shown = await ask(`conversation/${conversationId}`);
    expect(shown).toMatchObject({ current_node: parentId, title: "第一" });
  }, BROWSER_MS);

  test("no script broke, and nothing was refused but the wrong token", () => {
    expect(complaints.filter((text) => !text.includes("403"))).toEqual([]);
  });
});
