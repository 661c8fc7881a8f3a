/**
 * A client as a process of its own on the client's core, which opens much, says "open", and holds it
 * until it is told to stop.
 *
 * The runner calls `runHeld`; the process that it starts runs `serveHeld` in the file it was given.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ONE_CORE_EACH, pinnedTo } from "./machine.ts";

const OPEN = "open\n";

/** What the process can tell the runner, and hear from it. */
export interface Held {
  /** Says that all is open. */
  open(): void;
  /** Settles when the runner has seen enough. */
  released(): Promise<unknown>;
}

/**
 * Runs `script` with `plan`, and `whileOpen` from when all is open; the process is told to stop when
 * that returns.
 *
 * @returns what the process said after "open": one line.
 * @throws {Error} with the process's own words, when it failed.
 */
export async function runHeld(
  script: string,
  plan: unknown,
  whileOpen: () => Promise<void> | void,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  try {
    const file = join(folder, "plan.json");
    writeFileSync(file, JSON.stringify(plan));
    const child = Bun.spawn([
      ...pinnedTo(ONE_CORE_EACH.client),
      process.execPath,
      "--no-env-file",
      script,
      file,
    ], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    let said = "";
    let isOpen = false;
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += piece;
      if (isOpen || !said.startsWith(OPEN)) continue;
      isOpen = true;
      await whileOpen();
      child.stdin.end();
    }
    const code = await child.exited;
    if (code === 0 && isOpen) return said.slice(OPEN.length);
    throw new Error(`The client ended with ${code}: ${said.slice(-2000)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The process's half: runs `run` with the plan, prints what it returns, and exits. */
export async function serveHeld<Plan>(
  run: (plan: Plan, held: Held) => Promise<string>,
): Promise<never> {
  try {
    const said = await run(await Bun.file(process.argv[2]!).json(), {
      open: () => void process.stdout.write(OPEN),
      released: () => Bun.stdin.text(),
    });
    process.stdout.write(`${said}\n`);
  } catch (error) {
    process.stdout.write(`${(error as Error).message}\n`);
    process.exit(1);
  }
  process.exit(0);
}
