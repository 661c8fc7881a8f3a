/**
 * `bun run release`: builds the executables of a release and their checksums.
 *
 *   bun run release                           every target, into dist/release/
 *   bun run release --target linux-arm64      one of them (may be repeated); native = this machine's
 *   bun run release --out DIR
 *
 * Another machine's executable needs another machine's Bun, which `bun build` downloads. Without a
 * network those targets fail, are named, and the exit code is 1: what is in the folder was built.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { buildCommand, nativeTarget, type Target, TARGETS } from "./targets.ts";

const ROOT = join(import.meta.dir, "..");

const { values } = parseArgs({
  options: {
    target: { type: "string", multiple: true },
    out: { type: "string", default: join(ROOT, "dist", "release") },
  },
});
const folder = values.out;
mkdirSync(folder, { recursive: true });

const sums: string[] = [];
const failed: string[] = [];
for (const target of chosen(values.target)) {
  const outfile = join(folder, target.file);
  rmSync(outfile, { force: true }); // never the one of an earlier build
  const command = buildCommand(target, outfile, commit());
  const build = Bun.spawnSync(command, { cwd: ROOT, stdout: "ignore", stderr: "pipe" });
  if (build.exitCode !== 0) {
    failed.push(target.name);
    say(`${target.name}: not built: ${lastLine(build.stderr.toString())}`);
    continue;
  }
  const sum = createHash("sha256").update(readFileSync(outfile)).digest("hex");
  sums.push(`${sum}  ${target.file}`);
  say(`${target.name}: ${outfile}, ${Math.round(statSync(outfile).size / 1e6)} MB, sha256 ${sum}`);
}
writeFileSync(join(folder, "SHA256SUMS"), sums.map((line) => `${line}\n`).join(""));
if (failed.length > 0) {
  say(
    `not built: ${failed.join(", ")}. A Bun for other machines is downloaded: is there a network?`,
  );
  process.exit(1);
}

function chosen(names: readonly string[] | undefined): readonly Target[] {
  if (names === undefined) return TARGETS;
  return names.map((name) => {
    const target = name === "native" ? nativeTarget() : TARGETS.find((one) => one.name === name);
    if (target !== undefined) return target;
    say(
      `There is no target ${name}. There are: native, ${TARGETS.map((one) => one.name).join(", ")}`,
    );
    process.exit(2);
  });
}

/** The commit, from git or, where there is none, from the variable COMMIT. */
function commit(): string {
  const git = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"], {
    cwd: ROOT,
    stderr: "ignore",
  });
  return git.success ? git.stdout.toString().trim() : process.env["COMMIT"] ?? "unknown";
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
