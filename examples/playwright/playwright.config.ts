import { defineConfig } from "@playwright/test";

/** A browser of the system, where Playwright has none of its own. */
const executablePath = process.env.CHROMIUM;

export default defineConfig({
  testDir: ".",
  workers: 1,
  reporter: "line",
  use: { launchOptions: executablePath ? { executablePath, args: ["--no-sandbox"] } : {} },
});
