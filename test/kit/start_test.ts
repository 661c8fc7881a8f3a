import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startWeir } from "../../kit/testing.ts";
import { PACKAGE } from "../../release/package_name.ts";
import { cleanEnv, makeFolder, TEST_MS_MAX, waitFor } from "../server/launch.ts";
import { buildKit } from "./built.ts";
import { programFolder } from "./program.ts";

setDefaultTimeout(TEST_MS_MAX);

const programs = programFolder();
const binary = join(programs, "weir");
const folders = [programs];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function asks(url: string, content = "Hi"): Promise<unknown> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content }] }),
  });
  const { choices } = await answer.json() as {
    readonly choices: readonly [{ readonly message: { readonly content: unknown } }];
  };
  return choices[0].message.content;
}

describe("startWeir", () => {
  test("starts a weir that answers, and stops it with its folder", async () => {
    let pid: number;
    let url: string;
    {
      await using weir = await startWeir({ binary, set: { "mock.reply": "Hello" } });
      ({ pid, url } = weir);
      expect(await asks(url)).toBe("Hello");
      await weir.stop(); // and once more at the end of the block
    }
    expect(isRunning(pid)).toBe(false);
    await expect(fetch(url)).rejects.toThrow();
  });

  test("starts several side by side", async () => {
    await using one = await startWeir({ binary, set: { "mock.reply": "one" } });
    await using two = await startWeir({ binary, set: { "mock.reply": "two" } });
    expect(await Promise.all([asks(one.url), asks(two.url)])).toEqual(["one", "two"]);
  });

  test("reads no config and no environment of whoever starts it", async () => {
    const folder = makeFolder({
      "config.yaml": "mock:\n  reply: mine\n",
      ".env": "WEIR_MOCK_REPLY=mine\n",
      "start.ts": `
        import { startWeir } from ${JSON.stringify(join(import.meta.dir, "../../kit/testing.ts"))};
        const weir = await startWeir();
        console.log(weir.url);
        setInterval(() => {}, 1000);
      `,
    });
    folders.push(folder);
    const env = cleanEnv({ WEIR_BINARY: binary, WEIR_MOCK_REPLY: "mine", OPENAI_API_KEY: "sk-1" });
    const child = Bun.spawn([process.execPath, "start.ts"], { cwd: folder, env, stdout: "pipe" });
    for await (const line of child.stdout) {
      expect(await asks(new TextDecoder().decode(line).trim())).toBe("powered by openai");
      child.kill("SIGKILL");
    }
  });

  test("takes a config file, settings, a token and an environment", async () => {
    const folder = makeFolder({ "mine.yaml": "mock:\n  models: [mine]\n" });
    folders.push(folder);
    let printed = "";
    await using weir = await startWeir({
      binary,
      config: join(folder, "mine.yaml"),
      token: "sk-1",
      env: { WEIR_MOCK_REPLY: "from env" },
      set: { "ops.log": "requests" },
      onOutput: (text) => (printed += text),
    });
    const asking = (authorization: string) =>
      fetch(`${weir.baseURL}/chat/completions`, {
        method: "POST",
        headers: { authorization, "content-type": "application/json" },
        body: JSON.stringify({ model: "mine", messages: [{ role: "user", content: "Hi" }] }),
      });
    expect((await asking("Bearer sk-2")).status).toBe(401);
    expect(await (await asking("Bearer sk-1")).text()).toContain('"from env"');
    expect(
      await (await fetch(`${weir.baseURL}/models`, {
        headers: { authorization: "Bearer sk-1" },
      })).text(),
    ).toContain('"mine"');
    await waitFor(() => / 401 |"status": ?401/.test(printed));
  });

  test("says what is wrong when it cannot be started", async () => {
    await expect(startWeir({ binary: "/nowhere/weir" })).rejects.toThrow(
      "/nowhere/weir is not there: install weir, set WEIR_BINARY to its executable, or give {binary}",
    );
    await expect(startWeir({ binary, set: { "mock.replay": "x" } })).rejects.toThrow(
      /^\S+weir ended with exit code [12]:\n[^]*mock\.reply/,
    );
    const slow = [process.execPath, "-e", "setInterval(() => {}, 1000)", "--"];
    await expect(startWeir({ binary: slow, startMs: 200 })).rejects.toThrow(
      "did not start within 200 ms",
    );
  });
});

describe("the package", () => {
  const built = buildKit();
  folders.push(built);
  /** Starts weir, prints its pid and URL. */
  const TELL = "const weir = await startWeir(); console.log(weir.pid, weir.url);";
  const IMPORT = `import { startWeir } from "${PACKAGE}/testing";`;
  /** File name → a program. */
  const PROGRAMS: Readonly<Record<string, string>> = {
    "ends.mjs": `${IMPORT} ${TELL}`,
    "ends.cjs": `const { startWeir } = require("${PACKAGE}/testing"); (async () => { ${TELL} })();`,
    "stays.mjs": `${IMPORT} ${TELL} setInterval(() => {}, 1000);`,
    "exits.mjs": `${IMPORT} ${TELL} process.exit(3);`,
  };
  for (const [name, text] of Object.entries(PROGRAMS)) writeFileSync(join(built, name), text);

  for (const runtime of ["node", process.execPath]) {
    for (const file of Object.keys(PROGRAMS)) {
      const isKilled = file === "stays.mjs";
      test(`leaves no weir behind: ${file} in ${runtime.split("/").at(-1)}`, async () => {
        const child = Bun.spawn([runtime, file], {
          cwd: built,
          env: cleanEnv({ WEIR_BINARY: binary }),
          stdin: "ignore",
          stdout: "pipe",
          stderr: "inherit",
        });
        let printed = "";
        let pid = 0;
        for await (const piece of child.stdout) {
          printed += new TextDecoder().decode(piece);
          const told = /^(\d+) http:\/\/127\.0\.0\.1:\d+\n/.exec(printed);
          if (told === null) continue;
          pid = Number(told[1]);
          if (!isKilled) continue;
          expect(isRunning(pid)).toBe(true);
          child.kill("SIGKILL");
        }
        await child.exited;
        expect(child.exitCode).toBe(isKilled ? null : file === "exits.mjs" ? 3 : 0);
        expect(pid).toBeGreaterThan(0);
        await waitFor(() => !isRunning(pid));
      });
    }
  }

  test("has types that a strict TypeScript takes, as a module and as CommonJS", () => {
    const text = `
      import { startWeir, type Fixture, VerifyError, type JournalRequest } from "${PACKAGE}/testing";
      const fixture: Fixture = {
        match: { userMessage: { regex: "^Hi" }, not: { model: "gpt-5*" } },
        sequence: [{ error: { message: "Slow" }, status: 429, retryAfter: 1 }, { content: { a: 1 } }],
        streamingProfile: { ttft: 5, tps: 20 },
      };
      // @ts-expect-error a key that no fixture has
      const wrong: Fixture = { match: { usrMessage: "Hi" }, response: "pass" };
      export async function use(): Promise<readonly JournalRequest[]> {
        await using weir = await startWeir({ fixtures: "fixtures/" });
        const session = weir.session("a");
        await session.fixtures.add([fixture, wrong]);
        const url: string = weir.baseURL;
        await session.fetch(url, { headers: session.headers });
        return await weir.requests({ match: { model: "gpt-4o" } });
      }
      export const isVerdict = (error: unknown) => error instanceof VerifyError;
    `;
    for (const name of ["types.mts", "types.cts"]) {
      writeFileSync(join(built, name), text);
      const compiled = Bun.spawnSync([
        join(import.meta.dir, "../../node_modules/.bin/tsc"),
        "--ignoreConfig",
        ...["--strict", "--noEmit", "--exactOptionalPropertyTypes", "--module", "nodenext"],
        ...["--target", "es2022", "--lib", "esnext,dom"],
        name,
      ], { cwd: built });
      expect(compiled.stdout.toString()).toBe("");
    }
  });

  test("has no dependency, and everything that its manifest names", () => {
    const home = join(built, "node_modules", PACKAGE);
    const manifest = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as {
      readonly exports: Readonly<Record<string, Record<string, Record<string, string>>>>;
    };
    expect(Object.keys(manifest)).not.toContain("dependencies");
    const named = Object.values(manifest.exports["./testing"]!).flatMap(Object.values);
    expect(named).toHaveLength(4);
    for (const file of named) expect(existsSync(join(home, file))).toBe(true);
  });
});
