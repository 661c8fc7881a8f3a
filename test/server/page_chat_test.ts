/** The page's chat in a real browser, against a real weir whose upstream is in the test's hands. */

import { expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { BROWSER_MS } from "./browser.ts";
import { waitFor } from "./launch.ts";
import { describePage } from "./page_rig.ts";

describePage("the page's chat", () => ({}), (rig) => {
  function chat(page: Page) {
    const last = page.locator(".entry.assistant").last();
    return {
      last,
      figures: last.locator(".figures"),
      draft: page.getByLabel("Message"),
      /** The page has asked for the models, and shows the first of them. */
      ready: () =>
        waitFor(
          async () => await page.getByLabel("Model").inputValue() === "river-1",
          "the upstream's first model",
        ),
      async say(text: string) {
        await page.getByLabel("Message").fill(text);
        await page.keyboard.press("Enter");
        return await rig.upstream.nextCall();
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
    const page = await rig.open({ path: "/#chat" });
    const talk = chat(page);
    await talk.ready();
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
  }, BROWSER_MS);

  test("an answer that fails says so and can be asked for again", async () => {
    const page = await rig.open({ path: "/#chat" });
    const talk = chat(page);
    await talk.ready(); // else its second try may name another model than the first
    const cut = await talk.say("hello");
    cut.send(delta("half"));
    await talk.shows("half");
    cut.finish(); // without [DONE]
    await talk.last.getByRole("alert").waitFor();
    await talk.last.getByRole("button", { name: "Try again" }).click();
    const again = await rig.upstream.nextCall();
    expect(again.body).toEqual(cut.body);
    again.send(delta("whole"));
    again.finish("[DONE]");
    await talk.shows("whole");
    expect(await page.locator(".entry").count()).toBe(2);
  }, BROWSER_MS);

  test("an input method's Enter and Shift + Enter do not send", async () => {
    const page = await rig.open({ path: "/#chat" });
    const talk = chat(page);
    await talk.draft.fill("一");
    await talk.draft.dispatchEvent("keydown", { key: "Enter", isComposing: true });
    await page.keyboard.press("Shift+Enter");
    expect(await page.locator(".entry").count()).toBe(0);
    expect(await talk.draft.inputValue()).toBe("一\n");
  }, BROWSER_MS);

  test("copy as curl gives the request to a shell, word for word", async () => {
    const page = await rig.open({ path: "/#chat" });
    await page.getByLabel("Model").fill("river-2");
    await page.getByLabel("Message").fill(`it's $HOME "水"`);
    await page.getByRole("button", { name: "Copy as curl" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    const command = await page.evaluate<string>("navigator.clipboard.readText()");
    const shell = Bun.spawnSync(["sh", "-c", `curl() { printf '%s\\n' "$@"; }\n${command}`]);
    expect(shell.stdout.toString().split("\n")).toEqual([
      "-N",
      `${rig.weir.url}/v1/chat/completions`,
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
  }, BROWSER_MS);
});
