/**
 * Weir as the server under measurement.
 *
 * @module
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Settings } from "./cases.ts";
import { ONE_CORE_EACH } from "./machine.ts";
import { freePort, type RunningServer, startServer } from "./server_process.ts";

/** The command that starts weir from source. */
export const WEIR_FROM_SOURCE: readonly string[] = [
  process.execPath,
  "--no-env-file",
  join(import.meta.dir, "..", "main.ts"),
];

/** The command of a weir that serves at `port` with `settings` and nothing else. */
export function serveCommand(
  weir: readonly string[],
  port: number,
  settings: Settings,
): readonly string[] {
  const set = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  return [...weir, "serve", "--port", String(port), ...set];
}

/** Starts weir in an empty folder, with `settings` and nothing else. */
export async function startWeir(
  weir: readonly string[],
  settings: Settings,
  name = "weir",
  cores = ONE_CORE_EACH.server,
): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  const port = freePort();
  const server = await startServer({
    name,
    command: serveCommand(weir, port, settings),
    port,
    readyPath: "/health",
    isTls: settings["server.tls_cert_file"] !== undefined,
    cwd: folder,
    cores,
  });
  return {
    ...server,
    stop: async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
