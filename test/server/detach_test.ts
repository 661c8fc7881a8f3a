import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cleanEnv, makeFolder, TEST_MS_MAX, weirCommand } from "./launch.ts";
import { systemFile } from "./workflows_rig.ts";

setDefaultTimeout(TEST_MS_MAX);

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Runs a command line in `folder` to its end. */
async function runIn(folder: string, words: readonly string[]) {
  const child = Bun.spawn([...weirCommand(), ...words], {
    cwd: folder,
    env: { ...cleanEnv(), OPENAI_API_KEY: "sk-x" },
    stdout: "pipe",
    stderr: "pipe",
  });
  const output = await new Response(child.stdout).text();
  return { code: await child.exited, output };
}

for (const detach of [["-d"], ["--detach"], ["-v", "-d"], ["-vd"], ["-dv"], ["-dd"]]) {
  test(`weir up ${detach.join(" ")} starts one weir in the background, and weir down ends it`, async () => {
    const folder = makeFolder();
    folders.push(folder);
    writeFileSync(join(folder, "model-compose.yml"), systemFile("http://127.0.0.1:9"));
    const up = await runIn(folder, ["up", ...detach, "--port", "0"]);
    expect(up.code).toBe(0);
    expect(up.output).toContain("goes on");
    expect((await runIn(folder, ["down"])).code).toBe(0);
    // What the one in the background has printed: it started no other.
    expect(readFileSync(join(folder, "weir.log"), "utf8")).not.toContain("goes on");
  });
}
