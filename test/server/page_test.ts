/** The web page in a real browser, against a real weir whose upstream is in the test's hands. */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { launch, waitFor, type Weir } from "./launch.ts";
import { startUpstream, type TestUpstream } from "./page_upstream.ts";

const CHROMIUM = Bun.which("chromium");
const TOKEN = "weir-token-1";
/** A browser is slow to start on a busy machine. */
const TEST_MS_MAX = 60_000;

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function workflowFile(upstreamUrl: string): string {
  return `
controller:
  type: http-server
  base_path: /api
workflows:
  - id: story
    title: Tell a story
    description: Water, told word by word
    default: true
    jobs:
      - id: tell
        component: upstream
        action: stream
        input: \${input}
        output: \${output as text;sse-text}
  - id: widgets
    jobs:
      - { id: echo, component: upstream, action: echo, input: "\${input}", output: "\${output}" }
  - id: list
    title: Events
    jobs:
      - { id: events, component: upstream, action: events, output: "\${output as json;sse-json}" }
  - id: refuse
    title: Refused
    jobs:
      - { id: refuse, component: upstream, action: refuse, output: "\${output}" }
components:
  - id: upstream
    type: http-client
    base_url: ${upstreamUrl}
    headers: { Content-Type: application/json }
    actions:
      - id: stream
        path: /stream
        body:
          prompt: \${input.prompt as text @(description What it is about)}
          temperature: \${input.temperature as number | 0.7}
        stream_format: json
        output: \${response[].delta}
      - id: events
        path: /stream
        body: { count: "\${input.count as integer | 3}" }
        stream_format: json
        output: \${response[]}
      - id: echo
        path: /echo
        body:
          line: \${input.line}
          text: \${input.text as text}
          number: \${input.number as number}
          integer: \${input.integer as integer | 7}
          flag: \${input.flag as boolean | true}
          choice: \${input.choice as select/red,green,blue | green}
          list: \${input.list as list}
          nested: \${input.user.name | 小明}
          file: \${input.file as file;base64}
        output: \${response}
      - id: refuse
        path: /refuse
        body: { x: 1 }
        output: \${response}
`;
}

describe.skipIf(CHROMIUM === null && process.env["CI"] !== "true")("the page in Chromium", () => {
  let upstream: TestUpstream;
  let weir: Weir;
  let guarded: Weir;
  let browser: Browser;
  const contexts: BrowserContext[] = [];
  /** Every host that any page asked. */
  const hosts = new Set<string>();
  /** Everything that the browser complained of, but for answers that are errors. */
  const complaints: string[] = [];

  beforeAll(async () => {
    if (CHROMIUM === null) {
      throw new Error("Cannot test the page: install Debian's package chromium");
    }
    upstream = startUpstream();
    [weir, guarded, browser] = await Promise.all([
      launch({
        set: { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "k" },
        files: { "model-compose.yml": workflowFile(upstream.url) },
      }),
      launch({ set: { "auth.token": TOKEN, "mock.reply": "behind the 门" } }),
      chromium.launch({ executablePath: CHROMIUM, args: ARGS }),
    ]);
  }, TEST_MS_MAX);

  afterEach(async () => {
    for (const context of contexts.splice(0)) await context.close();
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([weir?.stop(), guarded?.stop(), upstream?.stop()]);
  });

  interface OpenOptions {
    readonly server?: Weir;
    readonly path?: string;
    readonly locale?: string;
    readonly width?: number;
    readonly colorScheme?: "light" | "dark";
  }

  async function open(options: OpenOptions = {}): Promise<Page> {
    const { server = weir, path = "/", locale = "en-US", width = 1280, colorScheme } = options;
    const context = await browser.newContext({
      locale,
      viewport: { width, height: 800 },
      permissions: ["clipboard-read", "clipboard-write"],
      ...(colorScheme === undefined ? {} : { colorScheme }),
    });
    contexts.push(context);
    return await visit(context, server.url + path);
  }

  async function visit(context: BrowserContext, url: string): Promise<Page> {
    const page = await context.newPage();
    page.on("request", (request) => {
      if (!request.url().startsWith("blob:")) hosts.add(new URL(request.url()).host);
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("console", (message) => {
      const text = message.text();
      if (!text.startsWith("Failed to load resource")) complaints.push(text);
    });
    await page.goto(url);
    return page;
  }

  function section(page: Page, name: string) {
    const root = page.getByRole("region", { name, exact: true });
    const output = root.getByRole("region", { name: /^(Output|输出)$/ });
    return {
      root,
      output,
      field: (label: RegExp) => root.getByLabel(label),
      run: root.getByRole("button", { name: /Run Workflow|运行工作流|Running|运行中/ }),
      cancel: root.getByRole("button", { name: /Cancel|取消/ }),
      status: root.getByRole("status"),
      error: root.getByRole("alert"),
      says: (text: string) =>
        waitFor(async () => await output.textContent() === text, `the output ${text}`),
    };
  }

  async function startStory(page: Page, prompt = "a river") {
    const story = section(page, "Tell a story");
    await story.field(/^prompt/).fill(prompt);
    await story.run.click();
    return { story, call: await upstream.nextCall() };
  }

  test("one section for each workflow, with what its schema says", async () => {
    const page = await open();
    await page.locator("section.workflow").first().waitFor();
    expect(await page.locator("section.workflow h2").allTextContents()).toEqual([
      "Tell a story",
      "Untitled Workflow",
      "Events",
      "Refused",
    ]);
    const story = section(page, "Tell a story");
    expect(await story.root.locator("header").textContent()).toBe(
      "Tell a storystorydefaultWater, told word by word",
    );
    expect(await story.root.locator("label").allTextContents()).toEqual([
      "prompt*text",
      "temperaturenumberdefault 0.7",
    ]);
    expect(await story.field(/^prompt/).getAttribute("aria-required")).toBe("true");
    expect(await story.root.locator(".note").textContent()).toBe("What it is about");
    expect(await story.field(/^temperature/).inputValue()).toBe("0.7");
    expect(await story.run.textContent()).toBe("🚀 Run Workflow");
  }, TEST_MS_MAX);

  test("a run shows its text as it comes, whatever is in it", async () => {
    const page = await open();
    const { story, call } = await startStory(page, "a river 🌊");
    expect(call.body).toEqual({ prompt: "a river 🌊", temperature: 0.7 });
    expect(await story.run.textContent()).toBe("⏳ Running...");
    expect(await story.run.isDisabled()).toBe(true);
    call.send({ delta: "" });
    call.send({ delta: "Once\n" });
    await story.says("Once\n");
    call.send({ delta: " upon 流水\n\n<img src=x onerror=alert(1)>" });
    await story.says("Once\n upon 流水\n\n<img src=x onerror=alert(1)>");
    expect(await story.output.locator("img").count()).toBe(0);
    expect(await story.output.getAttribute("aria-busy")).toBe("true");
    call.finish("[DONE]");
    await waitFor(async () => (await story.status.textContent())?.startsWith("Done in"));
    expect(await story.status.textContent()).toMatch(/^Done in .* · first after .* · 3 chunks$/);
    expect(await story.run.textContent()).toBe("🚀 Run Workflow");
    await story.root.getByRole("button", { name: "Copy" }).click();
    await story.root.getByRole("button", { name: "Copied" }).waitFor();
    expect(await page.evaluate("navigator.clipboard.readText()")).toBe(
      "Once\n upon 流水\n\n<img src=x onerror=alert(1)>",
    );
  }, TEST_MS_MAX);

  test("cancel stops the upstream, keeps what came, and a new run starts afresh", async () => {
    const page = await open();
    const { story, call } = await startStory(page);
    call.send({ delta: "half" });
    await story.says("half");
    await story.cancel.click();
    await waitFor(() => call.isLeft(), "the upstream is left");
    await waitFor(async () => (await story.status.textContent())?.startsWith("Cancelled"));
    expect(await story.output.textContent()).toBe("half");
    expect(await story.error.count()).toBe(0);
    expect(await story.cancel.isVisible()).toBe(false);
    await story.run.click();
    const again = await upstream.nextCall();
    again.send({ delta: "whole" });
    again.finish();
    await story.says("whole");
  }, TEST_MS_MAX);

  test("an error is shown in place, as text", async () => {
    const page = await open();
    const refused = section(page, "Refused");
    await refused.run.click();
    await refused.error.waitFor();
    expect(await refused.error.textContent()).toContain("Request failed with status 418");
    expect(await refused.error.textContent()).toContain("Too hot <b>here</b>");
    expect(await refused.error.locator("b").count()).toBe(0);
    expect(await refused.status.textContent()).toMatch(/^Failed after/);
    expect(await refused.run.isEnabled()).toBe(true);
  }, TEST_MS_MAX);

  test("a stream that breaks off is an error behind what had come", async () => {
    const page = await open();
    const { story, call } = await startStory(page);
    call.send({ delta: "half" });
    await story.says("half");
    call.breakOff();
    await story.error.waitFor();
    expect(await story.output.textContent()).toMatch(/^half.*broke off/s);
  }, TEST_MS_MAX);

  test("every widget reaches the workflow in its type, a file as a form", async () => {
    const page = await open();
    const widgets = section(page, "Untitled Workflow");
    await widgets.field(/^line/).fill("一行");
    await widgets.field(/^text/).fill("two\nlines");
    await widgets.field(/^number/).fill("1.5");
    await widgets.field(/^choice/).selectOption("blue");
    await widgets.field(/^list/).fill("a, b，c");
    await widgets.field(/^flag/).uncheck();
    const sent = {
      line: "一行",
      text: "two\nlines",
      number: 1.5,
      integer: 7,
      flag: false,
      choice: "blue",
      list: ["a", "b", "c"],
      nested: "小明",
    };
    await widgets.run.click();
    await waitFor(() => upstream.echoed.length === 1, "the echo");
    expect(upstream.echoed.at(-1)).toEqual({ ...sent, file: null });
    await waitFor(async () => await widgets.output.locator("dt").count() === 9);
    expect(await widgets.output.locator("dd").first().textContent()).toBe("一行");

    await widgets.field(/^file/).setInputFiles({
      name: "水.bin",
      mimeType: "application/octet-stream",
      buffer: Buffer.from([0, 255, 10, 13]),
    });
    await widgets.field(/^integer/).fill("");
    await widgets.run.click();
    await waitFor(() => upstream.echoed.length === 2, "the second echo");
    // HTML standard, 4.10.21.8: the lines of a form's texts end in CRLF.
    expect(upstream.echoed.at(-1)).toEqual({ ...sent, text: "two\r\nlines", file: "AP8KDQ==" });
  }, TEST_MS_MAX);

  test("a JSON stream is a list that grows", async () => {
    const page = await open();
    const events = section(page, "Events");
    await events.run.click();
    const call = await upstream.nextCall();
    expect(call.body).toEqual({ count: 3 });
    for (const n of [1, 2]) {
      call.send({ n, 词: "水" });
      await waitFor(async () => await events.output.locator("li").count() === n);
    }
    expect(await events.output.locator("li").allTextContents()).toEqual([
      `{"n":1,"词":"水"}`,
      `{"n":2,"词":"水"}`,
    ]);
    call.finish();
    await waitFor(async () => (await events.status.textContent())?.startsWith("Done"));
  }, TEST_MS_MAX);

  test("the keyboard alone fills in, runs, cancels and changes tabs", async () => {
    const page = await open();
    const story = section(page, "Tell a story");
    await story.root.waitFor();
    const focused = () => page.evaluate<string>("document.activeElement.id");
    await waitFor(async () => {
      await page.keyboard.press("Tab");
      return await focused() === "workflow-0-0";
    }, "the first field by Tab");
    await page.keyboard.type("a brook");
    await page.keyboard.press("Control+Enter");
    const call = await upstream.nextCall();
    expect(call.body).toEqual({ prompt: "a brook", temperature: 0.7 });
    await page.keyboard.press("Escape");
    await waitFor(() => call.isLeft(), "the upstream is left");
    await waitFor(async () => await story.run.isEnabled());
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const second = await upstream.nextCall();
    // The button is disabled now: its place is taken by the one that can still be pressed.
    await waitFor(() =>
      page.evaluate<boolean>("document.activeElement.textContent === '✕ Cancel'")
    );
    await page.keyboard.press("Enter");
    await waitFor(() => second.isLeft(), "the upstream is left again");
    await waitFor(() => page.evaluate<boolean>("document.activeElement.type === 'submit'"));

    await page.getByRole("tab", { name: "Workflows" }).focus();
    await page.keyboard.press("ArrowRight");
    expect(await focused()).toBe("tab-chat");
    expect(await page.getByRole("tabpanel").getAttribute("id")).toBe("chat");
    await page.keyboard.press("Home");
    expect(await page.getByRole("tabpanel").getAttribute("id")).toBe("workflows");
    const outline = "getComputedStyle(document.activeElement).outlineStyle";
    expect(await page.evaluate<string>(outline)).toBe("solid");
  }, TEST_MS_MAX);

  for (const width of [320, 390, 768]) {
    for (const path of ["/", "/#chat"]) {
      test(`${path} fits a window ${width} pixels wide`, async () => {
        const page = await open({ width, path });
        await page.locator("section.workflow").first().waitFor({ state: "attached" });
        const overhang = "document.documentElement.scrollWidth - innerWidth";
        expect(await page.evaluate<number>(overhang)).toBeLessThanOrEqual(0);
        for (const button of await page.getByRole("button").all()) {
          const box = await button.boundingBox();
          if (box !== null) expect(box.x + box.width).toBeLessThanOrEqual(width);
        }
      }, TEST_MS_MAX);
    }
  }

  test("a Chinese browser gets Chinese; a switch keeps what stands on the page", async () => {
    const page = await open({ locale: "zh-CN" });
    const { story, call } = await startStory(page, "河");
    call.send({ delta: "从前" });
    call.finish();
    await story.says("从前");
    expect(await story.run.textContent()).toBe("🚀 运行工作流");
    expect(await page.evaluate<string>("document.documentElement.lang")).toBe("zh-CN");
    await waitFor(async () => (await story.status.textContent())?.startsWith("用时"));
    await page.locator("#language").click();
    expect(await story.run.textContent()).toBe("🚀 Run Workflow");
    expect(await story.status.textContent()).toStartWith("Done in");
    expect(await story.output.textContent()).toBe("从前");
    expect(await story.field(/^prompt/).inputValue()).toBe("河");
    await page.reload();
    await story.root.waitFor();
    expect(await page.getByRole("tab").allTextContents()).toEqual(["Workflows", "Chat"]);
  }, TEST_MS_MAX);

  test("dark and light follow the system until the reader chooses", async () => {
    const page = await open({ colorScheme: "dark" });
    const ground = () => page.evaluate<string>("getComputedStyle(document.body).color");
    const dark = await ground();
    await page.getByRole("button", { name: "Switch between light and dark" }).click();
    const light = await ground();
    expect(light).not.toBe(dark);
    await page.reload();
    expect(await ground()).toBe(light);
    await page.emulateMedia({ colorScheme: "light" });
    expect(await ground()).toBe(light);
  }, TEST_MS_MAX);

  test("a token is asked for, refused, taken, kept in this tab only, and forgotten", async () => {
    const page = await open({ server: guarded });
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    expect(await dialog.getByRole("alert").count()).toBe(0);
    await dialog.getByLabel("Token").fill("wrong");
    await page.keyboard.press("Enter");
    await dialog.getByRole("alert").waitFor();
    await dialog.getByLabel("Token").fill(TOKEN);
    await dialog.getByRole("button", { name: "Use token" }).click();
    const builtin = section(page, "Chat with OpenAI GPT-4o");
    await builtin.field(/^prompt/).fill("hi");
    await builtin.run.click();
    await builtin.says("behind the 门");
    const kept = "JSON.stringify([Object.values(localStorage), document.cookie])";
    expect(await page.evaluate<string>(kept)).toBe(`[[],""]`);
    await page.reload();
    await builtin.root.waitFor();

    const other = await visit(page.context(), guarded.url);
    await other.getByRole("dialog").waitFor();
    await other.getByRole("button", { name: "Not now" }).click();
    await other.getByRole("alert").waitFor();
    await other.close();

    await page.getByRole("button", { name: "Forget token" }).click();
    await builtin.run.click();
    await dialog.waitFor();
  }, TEST_MS_MAX);

  function chat(page: Page) {
    const last = page.locator(".entry.assistant").last();
    return {
      last,
      figures: last.locator(".figures"),
      draft: page.getByLabel("Message"),
      async say(text: string) {
        await page.getByLabel("Message").fill(text);
        await page.keyboard.press("Enter");
        return await upstream.nextCall();
      },
      shows: (text: string) =>
        waitFor(
          async () => await last.locator(".text").textContent() === text,
          `the answer ${text}`,
        ),
    };
  }

  function delta(content: string, finish_reason: string | null = null) {
    return { choices: [{ index: 0, delta: { content }, finish_reason }] };
  }

  test("the chat streams, measures, and takes the conversation along", async () => {
    const page = await open({ path: "/#chat" });
    const talk = chat(page);
    await waitFor(async () => await page.getByLabel("Model").inputValue() === "river-1");
    await page.getByLabel("System prompt").fill("Be 水");
    await page.getByLabel("Temperature", { exact: true }).fill("0.5");
    const first = await talk.say("hello");
    expect(first.body).toEqual({
      model: "river-1",
      messages: [{ role: "system", content: "Be 水" }, { role: "user", content: "hello" }],
      temperature: 0.5,
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(await talk.figures.textContent()).toBe("waiting for the first token…");
    first.send(delta("I "));
    await talk.shows("I ");
    expect(await talk.figures.textContent()).toMatch(/^first token .* · 1 tokens$/);
    first.send(delta("flow <b>"));
    await talk.shows("I flow <b>");
    expect(await talk.figures.textContent()).toMatch(/tokens\/s · 2 tokens$/);
    first.send(delta("", "length"));
    first.send({ choices: [], usage: { prompt_tokens: 11, completion_tokens: 4 } });
    first.finish("[DONE]");
    await waitFor(async () => (await talk.figures.textContent())?.includes("cut at its token"));
    expect(await talk.figures.textContent()).toMatch(
      /^first token .* · [\d.]+ tokens\/s · 11 in · 4 out · cut at its token limit$/,
    );

    await page.reload();
    await talk.shows("I flow <b>");
    expect(await page.getByLabel("System prompt").inputValue()).toBe("Be 水");
    const second = await talk.say("and?");
    expect((second.body as { messages: unknown }).messages).toEqual([
      { role: "system", content: "Be 水" },
      { role: "user", content: "hello" },
      { role: "assistant", content: "I flow <b>" },
      { role: "user", content: "and?" },
    ]);
    second.send(delta("on"));
    await talk.shows("on");
    await page.getByRole("button", { name: "Stop" }).click();
    await waitFor(() => second.isLeft(), "the upstream is left");
    await waitFor(async () => (await talk.figures.textContent())?.endsWith("stopped"));

    await page.getByRole("button", { name: "New conversation" }).click();
    expect(await page.locator(".entry").count()).toBe(0);
    await page.reload();
    await talk.draft.waitFor();
    expect(await page.locator(".entry").count()).toBe(0);
  }, TEST_MS_MAX);

  test("an answer that fails says so and can be asked for again", async () => {
    const page = await open({ path: "/#chat" });
    const talk = chat(page);
    const cut = await talk.say("hello");
    cut.send(delta("half"));
    await talk.shows("half");
    cut.finish(); // without [DONE]
    await talk.last.getByRole("alert").waitFor();
    await talk.last.getByRole("button", { name: "Try again" }).click();
    const again = await upstream.nextCall();
    expect(again.body).toEqual(cut.body);
    again.send(delta("whole"));
    again.finish("[DONE]");
    await talk.shows("whole");
    expect(await page.locator(".entry").count()).toBe(2);
  }, TEST_MS_MAX);

  test("an input method's Enter and Shift + Enter do not send", async () => {
    const page = await open({ path: "/#chat" });
    const talk = chat(page);
    await talk.draft.fill("一");
    await talk.draft.dispatchEvent("keydown", { key: "Enter", isComposing: true });
    await page.keyboard.press("Shift+Enter");
    expect(await page.locator(".entry").count()).toBe(0);
    expect(await talk.draft.inputValue()).toBe("一\n");
  }, TEST_MS_MAX);

  test("copy as curl gives the request to a shell, word for word", async () => {
    const page = await open({ path: "/#chat" });
    await page.getByLabel("Model").fill("river-2");
    await page.getByLabel("Message").fill(`it's $HOME "水"`);
    await page.getByRole("button", { name: "Copy as curl" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    const command = await page.evaluate<string>("navigator.clipboard.readText()");
    const shell = Bun.spawnSync(["sh", "-c", `curl() { printf '%s\\n' "$@"; }\n${command}`]);
    expect(shell.stdout.toString().split("\n")).toEqual([
      "-N",
      `${weir.url}/v1/chat/completions`,
      "-H",
      "content-type: application/json",
      "-d",
      JSON.stringify({
        model: "river-2",
        messages: [{ role: "user", content: `it's $HOME "水"` }],
        stream: true,
        stream_options: { include_usage: true },
      }),
      "",
    ]);
  }, TEST_MS_MAX);

  test("no page has asked a foreign host, and the browser had nothing to complain of", () => {
    expect([...hosts].sort()).toEqual([new URL(weir.url).host, new URL(guarded.url).host].sort());
    expect(complaints).toEqual([]);
  });
});
