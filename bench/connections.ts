/**
 * Keeps many connections, each of which has had one whole answer, as a process of its own on the
 * client's core: reads a plan, says when all are there, and looks at the end whether they still are.
 *
 * The runner calls `holdConnections`; the process it starts runs the other half of this file.
 *
 * @module
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResponseReader } from "../src/load/response_reader.ts";
import { comparable } from "./comparable.ts";
import { ONE_CORE_EACH, pinnedTo } from "./machine.ts";

/** Connections are opened in bursts, one every so often. */
const BURST_MS = 10;

/** What is opened, and what each has to hear. */
export interface ConnectionsPlan {
  readonly port: number;
  readonly request: string;
  /** The body of the right answer, masked. */
  readonly expected: string;
  readonly connections: number;
  readonly perSecond: number;
}

/**
 * Opens them all, calls `whileOpen`, and closes them.
 *
 * @throws {Error} when one had another answer, or was closed by the server.
 */
export async function holdConnections(
  plan: ConnectionsPlan,
  whileOpen: () => Promise<void> | void,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  try {
    const file = join(folder, "plan.json");
    writeFileSync(file, JSON.stringify(plan));
    const child = Bun.spawn([
      ...pinnedTo(ONE_CORE_EACH.client),
      process.execPath,
      "--no-env-file",
      import.meta.path,
      file,
    ], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    let said = "";
    let isOpen = false;
    for await (const piece of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += piece;
      if (isOpen || !said.startsWith("open\n")) continue;
      isOpen = true;
      await whileOpen();
      child.stdin.end();
    }
    await child.exited;
    if (said !== "open\nkept\n") throw new Error(`Connections were not kept: ${said.slice(-2000)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Opens a connection, and gives it when its answer has come. `onClose` is for later. */
async function openOne(
  { port, request, expected }: ConnectionsPlan,
  onClose: () => void,
): Promise<Bun.Socket<undefined>> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const pieces: Uint8Array[] = [];
  const reader = new ResponseReader({
    head: ({ status }) => {
      if (status !== 200) reject(new Error(`status ${status}`));
    },
    data: (bytes, from, to) => void pieces.push(bytes.slice(from, to)),
    cut: () => {},
    end: (isWhole, reason) => {
      const body = comparable(Buffer.concat(pieces.splice(0)));
      if (isWhole && body === expected) resolve();
      else reject(new Error(isWhole ? `another answer: ${body}` : reason));
    },
  });
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (opened) => void opened.write(request),
      data: (_, bytes) => reader.feed(bytes),
      close: () => {
        reader.close();
        onClose();
      },
      error: (_, error) => reject(error),
    },
  });
  await promise;
  return socket;
}

async function run(plan: ConnectionsPlan): Promise<void> {
  let closed = 0;
  const opening: Promise<Bun.Socket<undefined>>[] = [];
  const perBurst = Math.max(1, Math.round((plan.perSecond * BURST_MS) / 1000));
  while (opening.length < plan.connections) {
    const burst = Math.min(perBurst, plan.connections - opening.length);
    for (let i = 0; i < burst; i++) opening.push(openOne(plan, () => closed++));
    await Bun.sleep(BURST_MS);
  }
  await Promise.all(opening);
  process.stdout.write("open\n");
  await Bun.stdin.text();
  process.stdout.write(closed === 0 ? "kept\n" : `the server closed ${closed}\n`);
}

if (import.meta.main) {
  try {
    await run(await Bun.file(process.argv[2]!).json());
  } catch (error) {
    process.stdout.write(`${(error as Error).message}\n`);
  }
  process.exit(0);
}
