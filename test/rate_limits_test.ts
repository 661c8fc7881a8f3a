import { afterEach, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { cleanEnv, makeFolder } from "./server/launch.ts";

const folders: string[] = [];
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })));

/** The headers of an answer, each with `[limit, remaining, reset]`. */
function headers(requests: readonly unknown[], tokens: readonly unknown[]): string {
  const fields: Record<string, string> = {};
  for (const [what, values] of [["requests", requests], ["tokens", tokens]] as const) {
    ["limit", "remaining", "reset"].forEach((part, i) => {
      fields[`x-ratelimit-${part}-${what}`] = String(values[i]);
    });
  }
  return JSON.stringify({ status: 200, headers: fields });
}

async function computed(files: Readonly<Record<string, string>>) {
  const folder = makeFolder(files);
  folders.push(folder);
  const child = Bun.spawn(
    [process.execPath, "--no-env-file", join(import.meta.dir, "rate_limits.ts"), folder],
    { env: cleanEnv(), stdout: "pipe" },
  );
  return { output: await new Response(child.stdout).text(), code: await child.exited };
}

test("recorded headers are computed again: what is exact, what had refilled, and what differs", async () => {
  const request = {
    method: "POST",
    path: "/v1/chat/completions",
    body: {
      model: "gpt-4o-mini",
      max_tokens: 50,
      messages: [{ role: "user", content: "Say this is a test" }],
    },
  };
  const whole = {
    "a.headers.json": headers([10_000, 9999, "8.64s"], [200_000, 199_943, "16ms"]),
    "a.request.json": JSON.stringify(request),
    "b.headers.json": headers([10_000, 9993, "59.369s"], [10_000, 9978, "132ms"]),
    "c.headers.json": JSON.stringify({ status: 404, headers: {} }),
  };
  const right = await computed(whole);
  expect(right.output).toMatch(
    /^a +requests 1 of 10000: 8.64s same {2}tokens 56.5 of 200000: 16ms/,
  );
  expect(right.output).toContain("7 of 10000: 59.369s refilled (1m0.48s without refill)");
  expect(right.output).toEndWith("3 same, 1 refilled, 0 differ\n");
  expect(right.code).toBe(0);
  const wrong = await computed({
    ...whole,
    "d.headers.json": headers([5000, 4999, "13ms"], [1000, 0, "1m1s"]),
  });
  expect(wrong.output).toContain("1 of 5000: 13ms DIFFERS (12ms without refill)");
  expect(wrong.output).toEndWith("3 same, 1 refilled, 2 differ\n");
  expect(wrong.code).toBe(1);
});
