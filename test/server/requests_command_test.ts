import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { cleanEnv, launch, run, TEST_MS_MAX, waitFor, weirCommand } from "./launch.ts";

setDefaultTimeout(TEST_MS_MAX);

const running: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of running.splice(0)) await stop();
});

const TOKEN = "a-t0ken";

async function start() {
  const weir = await launch({ set: { "auth.token": TOKEN } });
  running.push(weir.stop);
  return weir;
}

async function ask(url: string, model: string): Promise<void> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", "authorization": `Bearer ${TOKEN}` },
    body: JSON.stringify({ model, messages: [{ role: "user", content: "hi" }] }),
  });
  await response.text();
}

test("weir requests finds the weir of its config, and shows its token", async () => {
  const weir = await start();
  await ask(weir.url, "gpt-4o");
  await ask(weir.url, "gpt-4.1");
  const files = {
    "config.yaml": `server: {port: ${weir.port}}\nauth: {token: ${TOKEN}}\nops: {log: 'off'}`,
  };
  const { code, output, errors } = await run(["requests"], { files });
  expect([code, errors]).toEqual([0, ""]);
  expect(output).toMatch(
    /^\S+ POST \/v1\/chat\/completions gpt-4o 200 \d+ ms mock\n\S+ POST \S+ gpt-4\.1 200 .*\n$/,
  );
  const told = await run(["requests", "--json"], { files });
  expect(told.output.trimEnd().split("\n").map((line) => JSON.parse(line).model)).toEqual([
    "gpt-4o",
    "gpt-4.1",
  ]);
});

test("weir requests shows an admin's key where there is no token, and says what is missing", async () => {
  const keys = (rules: string) => `[{name: web, token: w, ${rules}}]`;
  const weir = await launch({ set: { keys: keys("admin: true") } });
  running.push(weir.stop);
  const asked = (keys: string) =>
    run(["requests", "--url", weir.url, "--set", `keys=${keys}`]).then(({ errors }) => errors);
  expect(await asked(keys("admin: true"))).toBe("");
  expect(await asked(keys("admin: false"))).toContain(
    "answers 401: set auth.token, or keys with admin",
  );
  expect(weir.output()).toContain("-H 'authorization: Bearer <key>'");
});

test("weir requests --follow goes on with those that come", async () => {
  const weir = await start();
  const words = ["requests", "--follow", "--url", weir.url, "--set", `auth.token=${TOKEN}`];
  const child = Bun.spawn([...weirCommand(), ...words], { env: cleanEnv(), stdout: "pipe" });
  running.push(async () => {
    child.kill();
    await child.exited;
  });
  let output = "";
  void (async () => {
    for await (const bytes of child.stdout) output += new TextDecoder().decode(bytes);
  })();
  for (let i = 1; i <= 5; i++) {
    await ask(weir.url, `m${i}`);
    await waitFor(() => output.includes(` m${i} `));
  }
  expect(output.match(/ m\d /g)).toEqual([" m1 ", " m2 ", " m3 ", " m4 ", " m5 "]);
});

test("weir requests says why it cannot", async () => {
  const weir = await start();
  const cases: readonly (readonly [words: readonly string[], code: number, says: RegExp])[] = [
    [["--url", weir.url], 1, /answers 401/],
    [["--url", weir.url, "--set", "auth.token=wrong"], 1, /answers 401/],
    [["--url", "http://127.0.0.1:1"], 1, /No weir answers at http:\/\/127\.0\.0\.1:1/],
    [["--url", "ftp://a"], 2, /--url needs/],
  ];
  for (const [words, code, says] of cases) {
    const told = await run(["requests", ...words]);
    expect([words, told.code, told.errors]).toEqual([words, code, expect.stringMatching(says)]);
  }
});
