/**
 * What the tests of the page have: a real browser, and two real weirs, one whose upstream is in the
 * test's hands, one that asks for a token.
 *
 * @module
 */

import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import type { Browser, BrowserContext, Page } from "playwright-core";
import {
  BROWSER_MS,
  describeInBrowser,
  foreign,
  launchBrowser,
  openPage,
  openTab,
  type WatchedPage,
} from "./browser.ts";
import { launch, waitFor, type Weir } from "./launch.ts";
import { startUpstream, type TestUpstream } from "./page_upstream.ts";

/** The token of the guarded weir. */
export const TOKEN = "weir-token-1";

/** How a page is opened. */
export interface OpenOptions {
  /** The weir that asks for a token, in place of the one with workflows. */
  readonly isGuarded?: boolean;
  readonly path?: string;
  readonly locale?: string;
  /** Of the window, in pixels. */
  readonly width?: number;
  readonly colorScheme?: "light" | "dark";
}

/** What a test has. Ready once the tests run. */
export interface Rig {
  readonly upstream: TestUpstream;
  readonly weir: Weir;
  readonly guarded: Weir;
  /** A new browser profile and its first tab. */
  readonly open: (options?: OpenOptions) => Promise<Page>;
  /** A new tab of `context`. */
  readonly visit: (context: BrowserContext, url: string) => Promise<Page>;
}

/**
 * Describes tests of the page. `files` are the workflow weir's, made from its upstream's URL. After
 * each test the browser must have had nothing to complain of, and no page may have asked a host that
 * is not its own.
 */
export function describePage(
  name: string,
  files: (upstreamUrl: string) => Readonly<Record<string, string>>,
  tests: (rig: Rig) => void,
): void {
  describeInBrowser(name, () => {
    let browser: Browser | undefined;
    const visits: { readonly tab: WatchedPage; readonly origin: string }[] = [];
    const rig = { open, visit } as { -readonly [Key in keyof Rig]: Rig[Key] };

    beforeAll(async () => {
      const upstream = rig.upstream = await startUpstream();
      [rig.weir, rig.guarded, browser] = await Promise.all([
        launch({
          set: { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "k" },
          files: files(upstream.url),
        }),
        launch({ set: { "auth.token": TOKEN, "mock.reply": "behind the 门" } }),
        launchBrowser(),
      ]);
    }, BROWSER_MS);

    afterEach(async () => {
      const over = visits.splice(0);
      for (const { tab } of over) await tab.page.context().close();
      const complaints = over.flatMap(({ tab, origin }) => [
        ...foreign(tab.requests, origin),
        // An answer with an error status is what some of the tests are about.
        ...tab.complaints.filter((text) => !text.startsWith("Failed to load resource")),
      ]);
      expect(complaints).toEqual([]);
    });

    afterAll(async () => {
      await browser?.close();
      await Promise.all([rig.weir?.stop(), rig.guarded?.stop()]);
      rig.upstream?.stop();
    });

    async function open(options: OpenOptions = {}): Promise<Page> {
      const { isGuarded, path = "/", locale = "en-US", width = 1280, colorScheme } = options;
      const tab = await openPage(browser!, {
        locale,
        viewport: { width, height: 800 },
        permissions: ["clipboard-read", "clipboard-write"],
        ...(colorScheme === undefined ? {} : { colorScheme }),
      });
      return await go(tab, (isGuarded ? rig.guarded : rig.weir).url + path);
    }

    async function visit(context: BrowserContext, url: string): Promise<Page> {
      return await go(await openTab(context), url);
    }

    async function go(tab: WatchedPage, url: string): Promise<Page> {
      visits.push({ tab, origin: new URL(url).origin });
      await tab.page.goto(url);
      return tab.page;
    }

    tests(rig);
  });
}

/** The section of the workflow that is titled `name`. */
export function section(page: Page, name: string) {
  const root = page.getByRole("region", { name, exact: true });
  const output = root.getByRole("region", { name: /^(Output|输出)$/ });
  const status = root.getByRole("status");
  return {
    root,
    output,
    status,
    field: (label: RegExp) => root.getByLabel(label),
    run: root.getByRole("button", { name: /Run Workflow|运行工作流|Running|运行中/ }),
    cancel: root.getByRole("button", { name: /Cancel|取消/ }),
    error: root.getByRole("alert"),
    /** Waits until the output is `text`. */
    says: (text: string) =>
      waitFor(async () => await output.textContent() === text, `the output ${text}`),
    /** Waits until the line above the output starts with `text`. */
    reports: (text: string) =>
      waitFor(async () => (await status.textContent())?.startsWith(text), `the report ${text}`),
  };
}
