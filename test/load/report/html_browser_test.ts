import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { htmlReport } from "../../../src/load/report/html.ts";
import {
  BROWSER_MS,
  describeInBrowser,
  launchBrowser,
  openPage,
  type WatchedPage,
} from "../../server/browser.ts";
import { ABOUT, sampleStage } from "./sample_stages.ts";

const LONG = `${"过载🔥".repeat(40)}<script>document.title = "taken"</script>${"x".repeat(400)}`;

/** One load with all there is; several; one in which everything failed. */
const STAGES = {
  single: [sampleStage({
    requests: 400,
    slo: { ttft: 130, e2e: 5000 },
    failure: (number) => number % 9 === 4 ? { phase: "head", status: 503, text: LONG } : undefined,
  })],
  several: [1, 8, 64, 512].map((concurrency) =>
    sampleStage({ load: `${concurrency} at once`, facts: { measuredMs: 90_000 / concurrency } })
  ),
  failed: [sampleStage({ failure: () => ({ phase: "connect", text: LONG }) })],
} as const;

/** How many colours stand in the canvas of a picture: more than one where something is drawn. */
function coloursOf(page: Page, id: string): Promise<number> {
  return page.evaluate<number>(`{
    const canvas = document.querySelector("#${id} canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    new Set(new Uint32Array(data.buffer)).size;
  }`);
}

/** Waits until so many pictures are drawn. The page's policy forbids to wait for an expression. */
async function drawn(page: Page, count: number): Promise<void> {
  const canvases = page.locator(".chart canvas");
  await canvases.nth(count - 1).waitFor({ state: "attached" });
  expect(await canvases.count()).toBe(count);
}

describeInBrowser("the report of a load in a browser", () => {
  const folder = mkdtempSync(join(tmpdir(), "weir-report-"));
  let browser: Browser;
  const opened: WatchedPage[] = [];

  async function open(name: keyof typeof STAGES, options: BrowserContextOptions): Promise<Page> {
    const file = join(folder, `${name}.html`);
    writeFileSync(file, htmlReport(STAGES[name], { ...ABOUT, heading: LONG }));
    const watched = await openPage(browser, options);
    opened.push(watched);
    await watched.page.goto(pathToFileURL(file).href);
    const picture = process.env["WEIR_TEST_PICTURES"];
    if (picture) await watched.page.screenshot({ path: `${picture}/${name}.png`, fullPage: true });
    return watched.page;
  }

  /** Closes it. It asked for itself alone, complained of nothing, and is no wider than its window. */
  async function close(page: Page): Promise<void> {
    const widths = await page.evaluate<readonly [page: number, window: number]>(
      "[document.documentElement.scrollWidth, innerWidth]",
    );
    expect(widths[0]).toBeLessThanOrEqual(widths[1]);
    const { requests, complaints } = opened.pop()!;
    expect(complaints).toEqual([]);
    expect(requests.map((url) => url.replace(/^.*\//, ""))).toHaveLength(1);
    expect(await page.title()).toStartWith("weir load: 过载");
    await page.context().close();
  }

  beforeAll(async () => {
    browser = await launchBrowser();
  }, BROWSER_MS);
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  for (const width of [360, 1200]) {
    for (const colorScheme of ["light", "dark"] as const) {
      test(`draws every picture of one load, ${width} wide, ${colorScheme}`, async () => {
        const page = await open("single", { viewport: { width, height: 800 }, colorScheme });
        const ids = await page.$$eval(".chart", (charts) => charts.map(({ id }) => id));
        expect(ids).toHaveLength(7);
        await drawn(page, 7);
        for (const id of ids) expect(await coloursOf(page, id), id).toBeGreaterThan(3);
        const lanes = await page.$$eval(".lane", (all) => all.map((lane) => lane.clientWidth));
        expect(lanes.length).toBeGreaterThan(2);
        expect(Math.min(...lanes)).toBeGreaterThan(width / 2);
        await close(page);
      }, BROWSER_MS);
    }
  }

  test("draws the pictures of a load when it is opened", async () => {
    const page = await open("several", { viewport: { width: 360, height: 800 } });
    await drawn(page, 3);
    expect(await coloursOf(page, "rate-ttft")).toBeGreaterThan(3);
    await page.locator("summary", { hasText: "64 at once" }).click();
    await drawn(page, 10);
    expect(await coloursOf(page, "s3-spread-itl")).toBeGreaterThan(3);
    await close(page);
  }, BROWSER_MS);

  test("tells the values under the pointer", async () => {
    const page = await open("single", { viewport: { width: 1200, height: 800 } });
    await page.locator("#s1-time-ttft .u-over").hover();
    const legend = await page.locator("#s1-time-ttft .u-legend").innerText();
    expect(legend).toMatch(/half within\s*1\d\d ms/);
    await close(page);
  }, BROWSER_MS);

  test("goes on paper in light colours, also in the dark", async () => {
    const page = await open("single", { colorScheme: "dark" });
    await drawn(page, 7);
    const pdf = await page.pdf({ format: "A4" });
    expect(pdf.length).toBeGreaterThan(20_000);
    await page.emulateMedia({ media: "print", colorScheme: "dark" });
    const ground = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
    expect(ground).toBe("rgb(255, 255, 255)");
    await close(page);
  }, BROWSER_MS);

  test("a run in which everything failed", async () => {
    const page = await open("failed", { viewport: { width: 360, height: 800 } });
    expect(await page.locator("canvas, .chart").count()).toBe(0);
    expect(await page.locator(".counts .fail b").innerText()).toBe("200");
    await close(page);
  }, BROWSER_MS);

  test("without scripts the numbers stand in tables, and no picture is empty", async () => {
    const page = await open("single", { javaScriptEnabled: false });
    expect(await page.locator("figure:visible").count()).toBe(0);
    expect(await page.locator("table:visible").first().innerText()).toContain("p99.9");
    expect(await page.locator("noscript").innerText()).toContain("The pictures need JavaScript");
    opened.pop();
    await page.context().close();
  }, BROWSER_MS);
});
