/** What docs/gateway.md shows, as a reader types it. */

import { describe, expect, test } from "bun:test";
import { chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free_port.ts";
import { cleanEnv, makeFolder, REPOSITORY, run, TEST_MS_MAX, weirCommand } from "./launch.ts";

const PAGE = readFileSync(join(REPOSITORY, "docs/gateway.md"), "utf8");
const EXAMPLE = /^## A whole example\n([^]*?)^## /m.exec(PAGE)![1]!;
const BLOCKS = blocksOf(EXAMPLE);

function blocksOf(markdown: string) {
  return [...markdown.matchAll(/^```(\w*)\n([^]*?)^```$/gm)]
    .map(([, language, text]) => ({ language: language!, text: text! }));
}

/** What a reader waits for by taking a second, behind the block that holds the words. */
const WAITS: readonly (readonly [words: string, wait: string])[] = [
  [
    "GATEWAY=$!",
    'for at in 9001 9002 8311; do until curl -sf "http://127.0.0.1:$at/health"; do sleep 0.1; done; done',
  ],
  [
    "key list",
    'until curl -sf -H "authorization: Bearer $CI_KEY" http://127.0.0.1:8311/v1/models; do sleep 0.1; done',
  ],
  ["kill $FIRST", "wait $FIRST"],
  [
    "ask research-key",
    "until [ $(weir usage --json | grep -c '\"requests\":2') = 2 ]; do sleep 0.1; done",
  ],
];

/** Digests and moments are others each time. */
function steady(text: string): string {
  return text.replaceAll(/sha256:\w+/g, "sha256:…")
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, "…").replaceAll("\r", "");
}

test("the whole example prints what the page says", async () => {
  const folder = makeFolder();
  try {
    const program = join(folder, "weir");
    const words = weirCommand().map((word) => `'${word}'`).join(" ");
    writeFileSync(program, `#!/bin/sh\nexec ${words} "$@"\n`);
    chmodSync(program, 0o755);
    const ports = new Map(["8311", "9001", "9002"].map((port) => [port, String(freePort())]));
    const placed = (text: string) => text.replaceAll(/8311|9001|9002/g, (port) => ports.get(port)!);
    writeFileSync(join(folder, "config.yaml"), placed(BLOCKS[0]!.text));

    const scripts = BLOCKS.filter(({ language }) => language === "sh").map(({ text }) => {
      const lines = text.trimEnd().split("\n");
      const waited = lines.flatMap((line, index) => {
        const [, wait] = WAITS.find(([words]) =>
          line.includes(words) && !lines.slice(index + 1).some((later) =>
            later.includes(words)
          )
        ) ?? [];
        return wait === undefined ? [line] : [line, `{ ${wait}; } > /dev/null 2>&1`];
      });
      return waited.join("\n");
    });
    const script = `trap 'kill $(jobs -p)' EXIT\n${scripts.join("\nprintf '\\001'\n")}`;
    const child = Bun.spawn(["timeout", "110", "bash", "-c", placed(script)], {
      cwd: folder,
      env: { ...cleanEnv(), PATH: `${folder}:${process.env["PATH"]}` },
      stdout: "pipe",
      stderr: "pipe",
    });
    const [output, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    const told = output.split("\u0001").map(steady);
    const shown = BLOCKS.filter(({ language }) => language === "").map(({ text }) => placed(text));
    expect(told, errors).toEqual([...shown.map(steady), ""]);
    expect(errors).toContain("every key named ci opens nothing from now on");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 2 * TEST_MS_MAX);

describe("configs of the page", () => {
  const configs = blocksOf(PAGE).flatMap(({ language, text }) => language === "yaml" ? [text] : []);
  for (const [index, text] of configs.entries()) {
    test(`number ${index + 1} is one, and is drawn as the page shows`, async () => {
      const keys = [...text.matchAll(/_file: (\w[\w.]*)/g)].map(([, name]) => [name!, "secret"]);
      const files = { "config.yaml": text, ...Object.fromEntries(keys) };
      const { code, output, errors } = await run(["check"], { files });
      expect([code, errors]).toEqual([0, ""]);
      const drawn = /^# Routes:\n[^]*/m.exec(output)?.[0] ?? "";
      if (index < 2) expect(PAGE).toContain(`\`\`\`\n${drawn}\`\`\``);
    });
  }
});
