import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PROCESSES = 4;
/** Two that meet in the wrong moment are met in every fourth round. */
const ROUNDS = 10;
/** Longer than a process takes to start: all of them open at once. */
const START_MS = 300;

describe("openDatabase()", () => {
  test("opens a new file for processes that all come at the same moment", async () => {
    const folder = mkdtempSync(join(tmpdir(), "weir-open-"));
    const script = join(import.meta.dir, "opening_process.ts");
    for (let round = 0; round < ROUNDS; round++) {
      const path = join(folder, `${round}.db`);
      const atMs = String(Date.now() + START_MS);
      const said = await Promise.all(
        Array.from({ length: PROCESSES }, async () => {
          const child = Bun.spawn([process.execPath, "--no-env-file", script, path, atMs], {
            stdout: "pipe",
            stderr: "pipe",
          });
          const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
          return out + err;
        }),
      );
      expect(said, `round ${round}`).toEqual(Array.from({ length: PROCESSES }, () => "open"));
    }
    rmSync(folder, { recursive: true });
  }, 60_000);
});
