import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Browser } from "playwright-core";
import { describeInBrowser, launchBrowser, openPage } from "./browser.ts";
import { launch, TEST_MS_MAX, waitFor, type Weir } from "./launch.ts";
import { CHAT, DONE, EVENT, whole } from "./proxied.ts";
import { act, scriptedUpstream } from "./scripted_upstream.ts";

setDefaultTimeout(TEST_MS_MAX);

describeInBrowser("the page", () => {
  let isAway = false;
  const one = scriptedUpstream(() => isAway ? [act.reset] : whole(EVENT, DONE));
  const two = scriptedUpstream(() => whole(EVENT, DONE));
  let weir: Weir;
  let browser: Browser;
  beforeAll(async () => {
    const upstream = (name: string, url: string) =>
      `  - {name: ${name}, base_url: "${url}/v1", retries: 0, breaker_min: 2, breaker_open_ms: 3600000}\n`;
    weir = await launch({
      files: {
        "config.yaml": `upstreams:\n${upstream("one", one.url)}${upstream("two", two.url)}` +
          "routes: [{to: [one, two]}]\n",
      },
    });
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await weir?.stop();
    one.close();
    two.close();
  });

  test("tells how the upstreams of routes do, and of what becomes of them", async () => {
    const { page, complaints } = await openPage(browser);
    await page.goto(`${weir.url}/`);
    const said = async () => await page.locator("#upstreams li").allInnerTexts();
    await waitFor(async () => (await said()).length === 2, "the upstreams");
    expect(await said()).toEqual(["one in use", "two in use"]);
    isAway = true;
    for (let i = 0; i < 3; i++) {
      await (await fetch(`${weir.url}/v1/chat/completions`, { method: "POST", body: CHAT })).text();
    }
    await waitFor(async () => (await said())[0] !== "one in use", "the breaker to open");
    expect(await said()).toEqual(["one left alone: it fails", "two in use"]);
    expect(complaints).toEqual([]);
    const file = process.env["WEIR_SCREENSHOT"];
    if (file !== undefined) await page.screenshot({ path: file });
  });
});
