/**
 * Keeps many connections, each of which has had one whole answer, as a process of its own on the
 * client's core: reads a plan, says when all are there, and looks at the end whether they still are.
 *
 * The runner calls `holdConnections`; the process it starts runs the other half of this file.
 *
 * @module
 */

import { ResponseReader } from "../src/load/response_reader.ts";
import { comparable } from "./comparable.ts";
import { type Held, runHeld, serveHeld } from "./held_child.ts";

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
  await runHeld(import.meta.path, plan, whileOpen);
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

async function run(plan: ConnectionsPlan, held: Held): Promise<string> {
  let closed = 0;
  const opening: Promise<Bun.Socket<undefined>>[] = [];
  const perBurst = Math.max(1, Math.round((plan.perSecond * BURST_MS) / 1000));
  while (opening.length < plan.connections) {
    const burst = Math.min(perBurst, plan.connections - opening.length);
    for (let i = 0; i < burst; i++) opening.push(openOne(plan, () => closed++));
    await Bun.sleep(BURST_MS);
  }
  await Promise.all(opening);
  held.open();
  await held.released();
  if (closed > 0) throw new Error(`the server closed ${closed} connections`);
  return "kept";
}

if (import.meta.main) await serveHeld(run);
