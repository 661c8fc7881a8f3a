/**
 * `weir version`, and the versions that health and pages show.
 *
 * @module
 */

import weir from "../../package.json" with { type: "json" };
import { defineCommand } from "./command.ts";
import { EXIT } from "./terminal.ts";

declare const WEIR_COMMIT: string | undefined;

/** The version in package.json. */
export const VERSION: string = weir.version;

/**
 * The version of OpenAI's client that the shapes are tested against. Nothing of it is in the
 * program.
 */
export const OPENAI_SDK_VERSION: string = weir.devDependencies.openai;

/** The commit this was built from: put in by the build, asked of git when run from source. */
export function commit(): string {
  if (typeof WEIR_COMMIT === "string") return WEIR_COMMIT;
  const git = Bun.spawnSync(["git", "rev-parse", "--short", "HEAD"], {
    cwd: import.meta.dir,
    stderr: "ignore",
  });
  return git.success ? git.stdout.toString().trim() : "unknown";
}

/** Prints version, commit and Bun's version. */
export const version = defineCommand({
  name: "version",
  summary: "print version, commit and Bun's version",
  operands: {},
  flags: {},
  examples: [{ line: "weir version", text: "the same as weir --version" }],
  exits: {},
  run(_call, terminal) {
    terminal.print(`weir ${VERSION} (commit ${commit()}, Bun ${Bun.version})`);
    return EXIT.done;
  },
});
