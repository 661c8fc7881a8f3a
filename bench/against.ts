/**
 * Executables of the working tree and of an older commit: what `--against REF` compares, and what
 * the case of the start measures.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");

/** The two executables, in a folder that `remove` deletes. */
export interface Builds {
  readonly ours: string;
  readonly theirs: string;
  /** The commit that REF stands for, short. */
  readonly commit: string;
  readonly remove: () => void;
}

/**
 * Builds both. The other commit is checked out in a folder of its own, and leaves no trace.
 *
 * @throws {Error} when there is no such commit, or one of the two cannot be built.
 */
export function buildBoth(ref: string, say: (text: string) => void): Builds {
  const commit = run(["git", "rev-parse", "--short", "--verify", `${ref}^{commit}`], ROOT);
  const folder = mkdtempSync(join(tmpdir(), "weir-against-"));
  const tree = join(folder, "tree");
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    run(["git", "worktree", "add", "--detach", tree, commit], ROOT);
    try {
      say(`building ${commit}`);
      const theirs = build(tree, join(folder, "theirs"));
      say("building the working tree");
      return { ours: build(ROOT, join(folder, "ours")), theirs, commit, remove };
    } finally {
      run(["git", "worktree", "remove", "--force", tree], ROOT);
    }
  } catch (error) {
    remove();
    throw error;
  }
}

/** Builds the working tree alone, into a folder that `remove` deletes. */
export function buildHere(): { readonly file: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "weir-built-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    return { file: build(ROOT, join(folder, "weir")), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Runs the build of a tree, and copies what it makes to `file`. */
function build(tree: string, file: string): string {
  run([process.execPath, "--no-env-file", "run", "build"], tree);
  run(["cp", join(tree, "dist", "weir"), file], tree);
  return file;
}

function run(command: readonly string[], cwd: string): string {
  const { stdout, stderr, success } = Bun.spawnSync([...command], { cwd });
  if (!success) throw new Error(`${command.join(" ")} failed: ${stderr.toString().slice(-2000)}`);
  return stdout.toString().trim();
}
