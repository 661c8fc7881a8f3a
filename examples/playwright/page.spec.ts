import { expect, test as base } from "@playwright/test";
import { startWeir, type Weir } from "@weir-llm/weir/testing";
import { serve } from "./server.js";

/** Each worker of Playwright has a weir and a server; each test gets them as they were. */
const test = base.extend<{ weir: Weir }, { started: Weir; site: string }>({
  // deno-lint-ignore no-empty-pattern -- Playwright reads the parameters' names, and there are none
  started: [async ({}, use) => {
    const weir = await startWeir({ fixtures: "../agent/fixtures.yaml", strict: true });
    await use(weir);
    await weir.stop();
  }, { scope: "worker" }],
  site: [async ({ started }, use) => {
    const server = await serve(started.baseURL);
    await use(`http://127.0.0.1:${server.address().port}/`);
    server.close();
  }, { scope: "worker" }],
  weir: async ({ started }, use) => {
    await started.reset();
    await use(started);
  },
});

test("the page shows what the model says", async ({ page, site, weir }) => {
  await page.goto(site);
  await page.getByLabel("Question").fill("How is the weather?");
  await page.getByRole("button", { name: "Ask" }).click();
  await expect(page.locator("output")).toHaveText("It is 21 degrees.");
  await weir.verify({ match: { userMessage: "How is the weather?" } }, 2);
});

test("the page says that the model is away", async ({ page, site, weir }) => {
  await weir.next({ error: { message: "the model is away" }, status: 503 });
  await page.goto(site);
  await page.getByLabel("Question").fill("A joke, please");
  await page.getByRole("button", { name: "Ask" }).click();
  await expect(page.locator("output")).toHaveText("Sorry: the model is away");
});
