/**
 * An upstream that nobody here wrote: `@copilotkit/aimock` as a process of its own.
 *
 * @module
 */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { cleanEnv, makeFolder, REPOSITORY, waitFor } from "./launch.ts";

const CLI = join(REPOSITORY, "node_modules/@copilotkit/aimock/dist/cli.js");

/** A running aimock. */
export interface Aimock {
  /** "http://127.0.0.1:PORT" */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts it with `fixtures` in its own format. */
export async function launchAimock(fixtures: readonly unknown[]): Promise<Aimock> {
  const folder = makeFolder({ "fixtures.json": JSON.stringify({ fixtures }) });
  const words = ["--port", "0", "--fixtures", join(folder, "fixtures.json"), "--validate-on-load"];
  const child = Bun.spawn([process.execPath, "--no-env-file", CLI, ...words], {
    cwd: folder,
    env: cleanEnv(),
    stdout: "pipe",
    // It warns of each vector that no fixture gives; what matters is in the answers, too.
    stderr: "pipe",
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    void (async () => {
      const decoder = new TextDecoder();
      for await (const bytes of stream) output += decoder.decode(bytes, { stream: true });
    })();
  }
  const said = await waitFor(
    () => /listening on (http:\S+)/.exec(output) ?? (child.exitCode === null ? null : "exited"),
    "aimock to listen",
  );
  if (typeof said === "string") throw new Error(`aimock did not start:\n${output}`);
  return {
    url: said[1]!,
    async stop() {
      child.kill("SIGKILL");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
