/**
 * A headless Chromium that notes what it asks for.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { type Browser, chromium, type Page } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser's executable; undefined = there is none. */
export const CHROMIUM: string | undefined = PATHS.find((path) => existsSync(path));

/** How to get one, for the line of a skipped test. */
export const CHROMIUM_WANTED = "Chromium (apt-get install chromium)";

/** Starts it. */
export async function launchBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: CHROMIUM!,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page, and what went by. */
export interface WatchedPage {
  readonly page: Page;
  /** Every URL that the page asked for. */
  readonly requests: readonly string[];
  /** What it complained of: errors of scripts, refusals of its policy, lines of its console. */
  readonly complaints: readonly string[];
}

/** A new page in a profile of its own. */
export async function openPage(browser: Browser): Promise<WatchedPage> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  context.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  return { page, requests, complaints };
}

/** Requests that left for another host than `origin`; `data:` and `blob:` never leave. */
export function foreign(requests: readonly string[], origin: string): string[] {
  return requests.filter((url) =>
    !/^(?:data|blob|about):/.test(url) && !url.startsWith(`${origin}/`)
  );
}
