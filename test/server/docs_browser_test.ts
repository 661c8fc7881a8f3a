import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Browser } from "playwright-core";
import { BROWSER_MS, describeInBrowser, foreign, launchBrowser, openPage } from "./browser.ts";
import { launch, type Weir } from "./launch.ts";

describeInBrowser("/docs in a browser", () => {
  let weir: Weir;
  let browser: Browser;
  beforeAll(async () => {
    weir = await launch();
    browser = await launchBrowser();
  }, BROWSER_MS);
  afterAll(async () => {
    await browser.close();
    await weir.stop();
  });

  test("shows every URL, and asks no other host for anything", async () => {
    const { page, requests, complaints } = await openPage(browser);
    await page.goto(`${weir.url}/docs`);
    await page.waitForSelector(".opblock-summary-path");
    const shown = await page.$$eval(".opblock", (blocks) => blocks.length);
    const document = await (await fetch(`${weir.url}/openapi.json`)).json() as {
      readonly paths: Readonly<Record<string, object>>;
    };
    const described = Object.values(document.paths).flatMap((path) => Object.keys(path));
    expect(shown).toBe(described.length);
    expect(complaints).toEqual([]);
    expect(foreign(requests, weir.url)).toEqual([]);
    expect(requests.length).toBeGreaterThan(3);
    const picture = process.env["WEIR_TEST_PICTURES"];
    if (picture) await page.screenshot({ path: `${picture}/docs.png` });
    await page.context().close();
  }, BROWSER_MS);

  test("nor does the web page", async () => {
    const { page, requests } = await openPage(browser);
    await page.goto(`${weir.url}/`, { waitUntil: "networkidle" });
    expect(requests.length).toBeGreaterThan(0);
    expect(foreign(requests, weir.url)).toEqual([]);
    await page.context().close();
  }, BROWSER_MS);

  test('"try it" really calls the server', async () => {
    const { page, requests, complaints } = await openPage(browser);
    await page.goto(`${weir.url}/docs`);
    const block = page.locator(".opblock", { hasText: "one content event per piece" });
    await block.locator(".opblock-summary-control").click();
    await block.locator("button.execute").click();
    const answer = block.locator(".live-responses-table .response").first();
    await answer.waitFor();
    expect(await answer.locator(".response-col_status").first().innerText()).toStartWith("200");
    await answer.locator("code", { hasText: "[DONE]" }).first().waitFor();
    const text = await answer.innerText();
    expect(text).toContain('data: {"content":"powered "}');
    expect(requests).toContain(`${weir.url}/api/chat`);
    expect(foreign(requests, weir.url)).toEqual([]);
    expect(complaints).toEqual([]);
    const picture = process.env["WEIR_TEST_PICTURES"];
    if (picture) await page.screenshot({ path: `${picture}/docs_tried.png`, fullPage: true });
    await page.context().close();
  }, BROWSER_MS);

  test("a token that is typed in goes with the call", async () => {
    const { page } = await openPage(browser);
    await page.goto(`${weir.url}/docs`);
    await page.locator("button.authorize").first().click();
    const dialog = page.locator(".dialog-ux");
    const scheme = dialog.locator(".auth-container", { hasText: "A token of /token" });
    await scheme.locator("input").fill("typed-token");
    await scheme.locator("button.authorize").click();
    await dialog.locator("button.btn-done").first().click();
    const block = page.locator(".opblock", { hasText: "Answer a conversation in OpenAI's chunks" });
    await block.locator(".opblock-summary-control").click();
    const asked = page.waitForRequest(`${weir.url}/chat`);
    await block.locator("button.execute").click();
    expect(await (await asked).headerValue("authorization")).toBe("typed-token");
    await page.context().close();
  }, BROWSER_MS);
});
