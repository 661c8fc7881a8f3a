/** The page's workflows in a real browser, against a real weir. */

import { expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { ExactNumber } from "../../src/lib/exact_json.ts";
import { BROWSER_MS } from "./browser.ts";
import { waitFor } from "./launch.ts";
import { describePage, type Rig, section, TOKEN } from "./page_rig.ts";

function workflowFiles(upstreamUrl: string) {
  return {
    "model-compose.yml": `
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
  - id: picture
    title: Picture
    jobs:
      - { id: draw, component: upstream, action: picture, output: "\${output}" }
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
          file: \${input.file as file;base64 | none}
        output: \${response}
      - id: refuse
        path: /refuse
        body: { x: 1 }
        output: \${response}
      - { id: picture, path: /picture, body: { x: 1 }, output: "\${response}" }
`,
  };
}

/** Fills in the story's form and presses the button: the answer is then in the test's hands. */
async function startStory({ upstream }: Rig, page: Page, prompt = "a river") {
  const story = section(page, "Tell a story");
  await story.field(/^prompt/).fill(prompt);
  await story.run.click();
  return { story, call: await upstream.nextCall() };
}

describePage("the page", workflowFiles, (rig) => {
  test("one section for each workflow, with what its schema says", async () => {
    const page = await rig.open();
    await page.locator("section.workflow").first().waitFor();
    expect(await page.locator("section.workflow h2").allTextContents()).toEqual([
      "Tell a story",
      "Untitled Workflow",
      "Events",
      "Refused",
      "Picture",
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
  }, BROWSER_MS);

  test("a run shows its text as it comes, whatever is in it", async () => {
    const page = await rig.open();
    const { story, call } = await startStory(rig, page, "a river 🌊");
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
    await story.reports("Done in");
    expect(await story.status.textContent()).toMatch(/^Done in .* · first after .* · 3 chunks$/);
    expect(await story.run.textContent()).toBe("🚀 Run Workflow");
    await story.root.getByRole("button", { name: "Copy" }).click();
    await story.root.getByRole("button", { name: "Copied" }).waitFor();
    expect(await page.evaluate("navigator.clipboard.readText()")).toBe(
      "Once\n upon 流水\n\n<img src=x onerror=alert(1)>",
    );
  }, BROWSER_MS);

  test("cancel stops the upstream, keeps what came, and a new run starts afresh", async () => {
    const page = await rig.open();
    const { story, call } = await startStory(rig, page);
    call.send({ delta: "half" });
    await story.says("half");
    await story.cancel.click();
    await waitFor(() => call.isLeft(), "the upstream is left");
    await story.reports("Cancelled");
    expect(await story.output.textContent()).toBe("half");
    expect(await story.error.count()).toBe(0);
    expect(await story.cancel.isVisible()).toBe(false);
    await story.run.click();
    const again = await rig.upstream.nextCall();
    again.send({ delta: "whole" });
    again.finish();
    await story.says("whole");
  }, BROWSER_MS);

  test("an error is shown in place, as text", async () => {
    const page = await rig.open();
    const refused = section(page, "Refused");
    await refused.run.click();
    await refused.error.waitFor();
    expect(await refused.error.textContent()).toContain("Request failed with status 418");
    expect(await refused.error.textContent()).toContain("Too hot <b>here</b>");
    expect(await refused.error.locator("b").count()).toBe(0);
    expect(await refused.status.textContent()).toMatch(/^Failed after/);
    expect(await refused.run.isEnabled()).toBe(true);
  }, BROWSER_MS);

  test("a stream that breaks off is an error behind what had come", async () => {
    const page = await rig.open();
    const { story, call } = await startStory(rig, page);
    call.send({ delta: "half" });
    await story.says("half");
    call.breakOff();
    await story.error.waitFor();
    expect(await story.output.textContent()).toMatch(/^half.*broke off/s);
  }, BROWSER_MS);

  test("every widget reaches the workflow in its type, a file as a form", async () => {
    const page = await rig.open();
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
    await waitFor(() => rig.upstream.echoed.length === 1, "the echo");
    expect(rig.upstream.echoed.at(-1)).toEqual({ ...sent, file: "none" });
    await waitFor(async () => await widgets.output.locator("dt").count() === 9);
    expect(await widgets.output.locator("dd").first().textContent()).toBe("一行");

    await widgets.field(/^file/).setInputFiles({
      name: "水.bin",
      mimeType: "application/octet-stream",
      buffer: Buffer.from([0, 255, 10, 13]),
    });
    await widgets.field(/^integer/).fill("");
    await widgets.run.click();
    await waitFor(() => rig.upstream.echoed.length === 2, "the second echo");
    // HTML standard, 4.10.21.8: the lines of a form's texts end in CRLF.
    expect(rig.upstream.echoed.at(-1)).toEqual({ ...sent, text: "two\r\nlines", file: "AP8KDQ==" });
  }, BROWSER_MS);

  test("a number of many digits keeps them, there and back", async () => {
    const page = await rig.open();
    const widgets = section(page, "Untitled Workflow");
    const digits = "12345678901234567890";
    await widgets.field(/^line/).fill("x");
    await widgets.field(/^text/).fill("x");
    await widgets.field(/^list/).fill("x");
    for (const name of [/^number/, /^integer/]) await widgets.field(name).fill(digits);
    const before = rig.upstream.echoed.length;
    await widgets.run.click();
    await waitFor(() => rig.upstream.echoed.length > before, "the echo");
    const exact = new ExactNumber(digits);
    expect(rig.upstream.echoed.at(-1)).toMatchObject({ number: exact, integer: exact });
    await waitFor(async () => await widgets.output.locator("dt").count() === 9);
    const shown = await widgets.output.locator("dd").allTextContents();
    expect(shown.slice(2, 4)).toEqual([digits, digits]);
  }, BROWSER_MS);

  test("a run does not begin while a required field is empty", async () => {
    const page = await rig.open();
    const runs: string[] = [];
    page.on("request", (request) => void (request.method() === "POST" && runs.push(request.url())));
    const story = section(page, "Tell a story");
    const prompt = story.field(/^prompt/);
    const complaint = story.root.locator(".complaint");
    expect(await complaint.textContent()).toBe("This is required: fill it in");
    expect(await complaint.isVisible()).toBe(false);
    await story.run.click();
    await complaint.waitFor();
    expect(await prompt.getAttribute("aria-invalid")).toBe("true");
    expect(await page.evaluate("document.activeElement.ariaInvalid")).toBe("true");
    expect(await story.field(/^temperature/).getAttribute("aria-invalid")).toBe(null);
    expect(await story.run.textContent()).toBe("🚀 Run Workflow");
    await page.getByRole("button", { name: "切换到中文" }).click();
    expect(await complaint.textContent()).toBe("此项必填：请填写");
    expect(runs).toEqual([]);
    await prompt.fill("a river");
    expect(await complaint.isVisible()).toBe(false);
    expect(await prompt.getAttribute("aria-invalid")).toBe("false");
    await story.run.click();
    const call = await rig.upstream.nextCall();
    expect(call.body).toEqual({ prompt: "a river", temperature: 0.7 });
    call.finish("[DONE]");
    await story.reports("用时");
    expect(runs).toHaveLength(1);
  }, BROWSER_MS);

  test("a JSON stream is a list that grows", async () => {
    const page = await rig.open();
    const events = section(page, "Events");
    await events.run.click();
    const call = await rig.upstream.nextCall();
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
    await events.reports("Done");
  }, BROWSER_MS);

  test("a picture is shown and can be saved", async () => {
    const page = await rig.open();
    const picture = section(page, "Picture");
    await picture.run.click();
    const image = picture.output.getByRole("img");
    await image.waitFor();
    await waitFor(() =>
      image.evaluate<boolean, { naturalWidth: number }>((it) => it.naturalWidth === 1)
    );
    const download = page.waitForEvent("download");
    await picture.output.getByRole("link").click();
    expect((await download).suggestedFilename()).toBe("output.png");
  }, BROWSER_MS);

  test("the keyboard alone fills in, runs, cancels and changes tabs", async () => {
    const page = await rig.open();
    const story = section(page, "Tell a story");
    await story.root.waitFor();
    const focused = () => page.evaluate<string>("document.activeElement.id");
    await waitFor(async () => {
      await page.keyboard.press("Tab");
      return await focused() === "workflow-0-0";
    }, "the first field by Tab");
    await page.keyboard.type("a brook");
    await page.keyboard.press("Control+Enter");
    const call = await rig.upstream.nextCall();
    expect(call.body).toEqual({ prompt: "a brook", temperature: 0.7 });
    await page.keyboard.press("Escape");
    await waitFor(() => call.isLeft(), "the upstream is left");
    await waitFor(async () => await story.run.isEnabled());
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    const second = await rig.upstream.nextCall();
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
  }, BROWSER_MS);

  for (const width of [320, 390, 768]) {
    for (const path of ["/", "/#chat"]) {
      test(`${path} fits a window ${width} pixels wide`, async () => {
        const page = await rig.open({ width, path });
        await page.locator("section.workflow").first().waitFor({ state: "attached" });
        const overhang = "document.documentElement.scrollWidth - innerWidth";
        expect(await page.evaluate<number>(overhang)).toBeLessThanOrEqual(0);
        for (const button of await page.getByRole("button").all()) {
          const box = await button.boundingBox();
          if (box !== null) expect(box.x + box.width).toBeLessThanOrEqual(width);
        }
      }, BROWSER_MS);
    }
  }

  test("a Chinese browser gets Chinese; a switch keeps what stands on the page", async () => {
    const page = await rig.open({ locale: "zh-CN" });
    const { story, call } = await startStory(rig, page, "河");
    call.send({ delta: "从前" });
    call.finish();
    await story.says("从前");
    expect(await page.evaluate<string>("document.documentElement.lang")).toBe("zh-CN");
    await story.reports("用时");
    expect(await story.run.textContent()).toBe("🚀 运行工作流");
    await page.locator("#language").click();
    expect(await story.run.textContent()).toBe("🚀 Run Workflow");
    expect(await story.status.textContent()).toStartWith("Done in");
    expect(await story.output.textContent()).toBe("从前");
    expect(await story.field(/^prompt/).inputValue()).toBe("河");
    await page.reload();
    await story.root.waitFor();
    expect(await page.getByRole("tab").allTextContents()).toEqual(["Workflows", "Chat"]);
  }, BROWSER_MS);

  test("dark and light follow the system until the reader chooses", async () => {
    const page = await rig.open({ colorScheme: "dark" });
    const ground = () => page.evaluate<string>("getComputedStyle(document.body).color");
    const dark = await ground();
    await page.getByRole("button", { name: "Switch between light and dark" }).click();
    const light = await ground();
    expect(light).not.toBe(dark);
    await page.reload();
    expect(await ground()).toBe(light);
    await page.emulateMedia({ colorScheme: "light" });
    expect(await ground()).toBe(light);
  }, BROWSER_MS);

  test("a token is asked for, refused, taken, kept in this tab only, and forgotten", async () => {
    const page = await rig.open({ isGuarded: true });
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

    const other = await rig.visit(page.context(), rig.guarded.url);
    await other.getByRole("dialog").waitFor();
    await other.getByRole("button", { name: "Not now" }).click();
    await other.getByRole("alert").waitFor();
    await other.close();

    await page.getByRole("button", { name: "Forget token" }).click();
    await builtin.field(/^prompt/).fill("hi");
    await builtin.run.click();
    await dialog.waitFor();
  }, BROWSER_MS);
});
