import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupDatabase, openDatabase } from "../../src/memory/database.ts";
import { Lock } from "../../src/lib/process_lock.ts";

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

test("files of the memory are their owner's alone: the file, its log, a backup, a lock", () => {
  const folder = mkdtempSync(join(tmpdir(), "weir-mode-"));
  const oldMask = process.umask(0o022);
  try {
    const database = openDatabase(join(folder, "a.db"), "process", []);
    database.run("CREATE TABLE t (x)");
    backupDatabase(join(folder, "a.db"), join(folder, "backup.db"));
    const lock = new Lock(join(folder, "lock"));
    lock.take();
    const modes = readdirSync(folder).map((name) => [
      name,
      (statSync(join(folder, name)).mode & 0o777).toString(8),
    ]);
    lock.release();
    database.close();
    expect(modes.length).toBeGreaterThanOrEqual(4);
    expect(modes).toEqual(modes.map(([name]) => [name!, "600"]));
  } finally {
    process.umask(oldMask);
    rmSync(folder, { recursive: true });
  }
});
