/**
 * What the black-box tests of workflows share: the system's own file, and aimock as a process.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolder, REPOSITORY, waitFor } from "./launch.ts";

/** The question of model-compose's manual. */
export const PROMPT = "用简单的术语解释机器学习";

/** model-compose's file as it stands, with api.openai.com replaced by `baseUrl`. */
export function systemFile(baseUrl: string, name = "model-compose.yml"): string {
  const path = join(REPOSITORY, "test", "workflows", "fixtures", name);
  return readFileSync(path, "utf8").replace("https://api.openai.com/v1", baseUrl);
}

/** A running aimock. */
export interface Aimock {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Starts aimock; it answers `PROMPT` with `content`, in chunks of four UTF-16 units. */
export async function startAimock(content: string): Promise<Aimock> {
  const folder = makeFolder({
    "fixtures.json": JSON.stringify({
      fixtures: [{ match: { userMessage: PROMPT }, response: { content } }],
    }),
  });
  const child = Bun.spawn([
    process.execPath,
    "--no-env-file",
    join(REPOSITORY, "node_modules", "@copilotkit", "aimock", "dist", "cli.js"),
    "--port",
    "0",
    "--chunk-size",
    "4",
    "--fixtures",
    join(folder, "fixtures.json"),
  ], { stdout: "pipe", stderr: "pipe", cwd: folder });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    void (async () => {
      const decoder = new TextDecoder();
      for await (const bytes of stream) output += decoder.decode(bytes, { stream: true });
    })();
  }
  const found = await waitFor(() => /listening on (http:\/\/\S+)/.exec(output), "aimock to listen");
  return {
    url: `${found[1]}/v1`,
    async stop() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
