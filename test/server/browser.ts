/**
 * A headless Chromium that notes what its pages ask for and complain of: what every test in a browser
 * stands on.
 *
 * @module
 */

import { existsSync } from "node:fs";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";
import { describeWith } from "./needs.ts";

/** Milliseconds for a test that drives a browser: some two seconds, and more on a busy machine. */
export const BROWSER_MS = 120_000;

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser's executable; undefined = there is none. */
export const CHROMIUM = PATHS.find((path) => existsSync(path));

const WINDOW = { width: 1200, height: 900 };

/** Describes tests that need the browser. */
export function describeInBrowser(name: string, body: () => void): void {
  describeWith(CHROMIUM !== undefined, "Chromium (apt-get install chromium)", name, body);
}

/** Starts it, with further words of its command line. */
export async function launchBrowser(args: readonly string[] = []): Promise<Browser> {
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
      ...args,
    ],
  });
}

/** A page, and what went by. */
export interface WatchedPage {
  readonly page: Page;
  /** Every URL that the page asked for. */
  readonly requests: readonly string[];
  /**
   * What it complained of: errors of scripts, refusals of its policy, lines of its console but for
   * those of `console.log`.
   */
  readonly complaints: readonly string[];
}

/** A new page in a profile of its own. */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<WatchedPage> {
  return await openTab(await browser.newContext({ viewport: WINDOW, ...options }));
}

/** A new page in the profile `context`. */
export async function openTab(context: BrowserContext): Promise<WatchedPage> {
  const page = await context.newPage();
  const requests: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => requests.push(request.url()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() !== "log") complaints.push(message.text());
  });
  return { page, requests, complaints };
}

/** Requests that left for another host than `origin`; `data:` and `blob:` never leave. */
export function foreign(requests: readonly string[], origin: string): string[] {
  return requests.filter((url) =>
    !/^(?:data|blob|about):/.test(url) && !url.startsWith(`${origin}/`)
  );
}
