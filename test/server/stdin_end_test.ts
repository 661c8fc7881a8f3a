import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { cleanEnv, makeFolder, TEST_MS_MAX, waitFor, weirCommand } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

describe("weir serve --until-stdin-ends", () => {
  for (const workers of [1, 2]) {
    test(`stops with whoever holds its standard input, with workers: ${workers}`, async () => {
      const child = Bun.spawn([
        ...weirCommand(),
        "serve",
        "--until-stdin-ends",
        "--port=0",
        `--set=server.workers=${workers}`,
      ], {
        cwd: makeFolder(),
        env: cleanEnv(),
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
      });
      let output = "";
      const ended = (async () => {
        const decoder = new TextDecoder();
        for await (const bytes of child.stdout) output += decoder.decode(bytes, { stream: true });
      })();
      const [, url] = await waitFor(() => / listens on (\S+)/.exec(output));
      child.stdin.write("whatever");
      await child.stdin.flush();
      expect((await fetch(`${url}/health`)).status).toBe(200);
      await child.stdin.end();
      expect(await child.exited).toBe(0);
      await ended;
    });
  }

  test("is not said: it goes on without any standard input", async () => {
    const child = Bun.spawn([...weirCommand(), "serve", "--port=0"], {
      cwd: makeFolder(),
      env: cleanEnv(),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    for await (const bytes of child.stdout) {
      const url = / listens on (\S+)/.exec(new TextDecoder().decode(bytes))?.[1];
      if (url === undefined) continue;
      expect((await fetch(`${url}/health`)).status).toBe(200);
      child.kill("SIGTERM");
    }
    expect(await child.exited).toBe(0);
  });
});
