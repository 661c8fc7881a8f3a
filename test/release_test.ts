import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildCommand, nativeTarget, TARGETS } from "../release/targets.ts";
import { makeFolder, REPOSITORY, TEST_MS_MAX } from "./server/launch.ts";

const MANIFEST = JSON.parse(readFileSync(join(REPOSITORY, "package.json"), "utf8"));
const CONTAINERFILE = readFileSync(join(REPOSITORY, "Containerfile"), "utf8");

async function release(...args: readonly string[]) {
  const build = Bun.spawn(
    [process.execPath, "--no-env-file", join(REPOSITORY, "release/build.ts"), ...args],
    { cwd: REPOSITORY, stdout: "pipe", stderr: "pipe" },
  );
  const [output, code] = await Promise.all([new Response(build.stdout).text(), build.exited]);
  return { output, code };
}

describe("bun run release", () => {
  test("builds with the flags of bun run build", () => {
    const flags = (words: readonly string[]) =>
      words.filter((word) => word.startsWith("--") && !/^--(target|outfile|short)/.test(word))
        .sort();
    expect(flags(buildCommand(TARGETS[0]!, "out", "abc"))).toEqual(
      flags(MANIFEST.scripts.build.split(" ")),
    );
  });

  test("builds this machine's executable, which runs, and its checksum", async () => {
    const folder = makeFolder();
    try {
      const { code } = await release("--target", "native", "--out", folder);
      expect(code).toBe(0);
      const { file } = nativeTarget();
      const sum = createHash("sha256").update(readFileSync(join(folder, file))).digest("hex");
      expect(readFileSync(join(folder, "SHA256SUMS"), "utf8")).toBe(`${sum}  ${file}\n`);
      const { stdout } = Bun.spawnSync([join(folder, file), "version"], { cwd: folder });
      expect(stdout.toString()).toStartWith(`weir ${MANIFEST.version} (commit `);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }, TEST_MS_MAX);

  test("refuses a machine it does not know", async () => {
    const { code, output } = await release("--target", "amiga");
    expect(code).toBe(2);
    expect(output).toContain("There is no target amiga. There are: native, linux-x64");
  });
});

describe("Containerfile", () => {
  test("builds with the Bun of package.json", () => {
    expect(CONTAINERFILE).toContain(`oven/bun:${MANIFEST.devDependencies["bun-types"]}-`);
  });

  test("copies what the build makes, and runs as nobody special", () => {
    expect(CONTAINERFILE).toContain("USER nonroot\n");
    expect(existsSync(join(REPOSITORY, /bun --no-env-file (\S+)/.exec(CONTAINERFILE)![1]!))).toBe(
      true,
    );
    expect(CONTAINERFILE).toContain('CMD ["serve", "--config", "/etc/weir/config.yaml"]');
  });
});
