/**
 * A real browser for the tests of the page, and two real weirs: one whose upstream is in the test's
 * hands, one that asks for a token.
 *
 * @module
 */

import { afterAll, afterEach, beforeAll, describe, expect } from "bun:test";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { launch, waitFor, type Weir } from "./launch.ts";
import { startUpstream, type TestUpstream } from "./page_upstream.ts";

/** The token of the guarded weir. */
export const TOKEN = "weir-token-1";
/** For one test: a browser is slow on a busy machine. */
export const TEST_MS_MAX = 60_000;

const CHROMIUM = Bun.which("chromium");

const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

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
 * Describes tests in Chromium: skipped where there is none, but for CI, where they fail. `files` are
 * the workflow weir's, made from its upstream's URL. After each test the browser must have had
 * nothing to complain of, and no page may have asked a host that is not its own.
 */
export function describeInChromium(
  name: string,
  files: (upstreamUrl: string) => Readonly<Record<string, string>>,
  tests: (rig: Rig) => void,
): void {
  const isSkipped = CHROMIUM === null && process.env["CI"] !== "true";
  describe.skipIf(isSkipped)(isSkipped ? `${name} (there is no chromium)` : name, () => {
    let browser: Browser | undefined;
    const contexts: BrowserContext[] = [];
    const complaints: string[] = [];
    const rig = { open, visit } as { -readonly [Key in keyof Rig]: Rig[Key] };

    beforeAll(async () => {
      if (CHROMIUM === null) {
        throw new Error("Cannot test the page: install Debian's package chromium");
      }
      const upstream = rig.upstream = await startUpstream();
      [rig.weir, rig.guarded, browser] = await Promise.all([
        launch({
          set: { "llm.base_url": `${upstream.url}/v1`, "llm.api_key": "k" },
          files: files(upstream.url),
        }),
        launch({ set: { "auth.token": TOKEN, "mock.reply": "behind the 门" } }),
        chromium.launch({ executablePath: CHROMIUM, args: ARGS }),
      ]);
    }, TEST_MS_MAX);

    afterEach(async () => {
      for (const context of contexts.splice(0)) await context.close();
      expect(complaints.splice(0)).toEqual([]);
    });

    afterAll(async () => {
      await browser?.close();
      await Promise.all([rig.weir?.stop(), rig.guarded?.stop()]);
      rig.upstream?.stop();
    });

    async function open(options: OpenOptions = {}): Promise<Page> {
      const { isGuarded, path = "/", locale = "en-US", width = 1280, colorScheme } = options;
      const context = await browser!.newContext({
        locale,
        viewport: { width, height: 800 },
        permissions: ["clipboard-read", "clipboard-write"],
        ...(colorScheme === undefined ? {} : { colorScheme }),
      });
      contexts.push(context);
      return await visit(context, (isGuarded ? rig.guarded : rig.weir).url + path);
    }

    async function visit(context: BrowserContext, url: string): Promise<Page> {
      const page = await context.newPage();
      const { host } = new URL(url);
      page.on("request", (request) => {
        const asked = new URL(request.url());
        if (asked.protocol !== "blob:" && asked.host !== host) complaints.push(asked.href);
      });
      page.on("pageerror", (error) => complaints.push(String(error)));
      page.on("console", (message) => {
        // An answer with an error status is what some of the tests are about.
        const text = message.text();
        if (!text.startsWith("Failed to load resource")) complaints.push(text);
      });
      await page.goto(url);
      return page;
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
