/**
 * Runs the memory cases: opens many streams or connections, leaves them alone, and looks at what
 * the server takes more than before.
 *
 * @module
 */

import { requestBytes } from "../src/load/stream_probe.ts";
import type { BenchOptions } from "./bench_options.ts";
import { CHAT_ANSWER, chatBody, type IdleCase } from "./cases.ts";
import { holdConnections } from "./connections.ts";
import { NO_WORK, startPeer } from "./peers/peer.ts";
import type { IdleRound, IdleRow } from "./results.ts";
import type { RunningServer } from "./server_process.ts";
import { measureStreams } from "./streams.ts";
import { startWeir } from "./weir_server.ts";
import { unmasked } from "./whole.ts";

const PATH = "/v1/chat/completions";
/** As many are opened per second. */
export const IDLE_STARTS_PER_SECOND = 2000;
/** Connections before the first look: the code that serves one is compiled, its heap is there. */
const WARM_CONNECTIONS = 500;
/** How long everything is left alone before memory is read. */
const SETTLE_MS = 2000;
const QUICK_SETTLE_MS = 1000;

/** How long open things are left alone. */
export function settleMs({ isQuick }: Pick<BenchOptions, "isQuick">): number {
  return isQuick ? QUICK_SETTLE_MS : SETTLE_MS;
}

/** Runs one case: every server in its turn, each as often as there are rounds. */
export async function runIdle(work: IdleCase, options: BenchOptions): Promise<readonly IdleRow[]> {
  const { against, rounds, say } = options;
  const events = unmasked(CHAT_ANSWER);
  const answer = new TextEncoder().encode(events.join(""));
  const peers = against === undefined ? work.rivals : [];
  const contenders = [
    { name: "weir", start: () => startWeir(options.weir, work.settings) },
    ...(against === undefined ? [] : [{
      name: against.name,
      start: () => startWeir(against.command, work.settings, against.name),
    }]),
    ...peers.filter((peer) => peer.absent() === undefined).map((peer) => ({
      name: peer.name,
      start: () => startPeer(peer, { ...NO_WORK, answer, events }),
    })),
  ].map((one) => ({ ...one, found: [] as IdleRound[] }));
  for (let round = 0; round < rounds.idle; round++) {
    for (const { name, start, found } of contenders) {
      say(`memory of ${work.count} ${work.things}: round ${round + 1} of ${rounds.idle}, ${name}`);
      const server = await start();
      try {
        found.push(await measureOnce(work, server, options));
      } finally {
        await server.stop();
      }
    }
  }
  return contenders.map(({ name, found }) => ({
    name: work.name,
    server: name,
    count: work.count,
    rounds: found,
  }));
}

async function measureOnce(
  work: IdleCase,
  server: RunningServer,
  options: BenchOptions,
): Promise<IdleRound> {
  const hold = work.things === "idle streams" ? holdStreams : holdKept;
  if (work.things === "idle connections") await hold(server, WARM_CONNECTIONS, () => {});
  await Bun.sleep(settleMs(options));
  const idleKib = server.rssKib();
  let openKib = 0;
  await hold(server, work.count, async () => {
    await Bun.sleep(settleMs(options));
    openKib = server.rssKib();
  });
  return { idleKib, openKib, kibEach: (openKib - idleKib) / work.count };
}

type WhileOpen = () => Promise<void> | void;

/** @throws {Error} when not all of them are open at the end. */
async function holdStreams(
  server: RunningServer,
  streams: number,
  whileOpen: WhileOpen,
): Promise<void> {
  const { report } = await measureStreams({
    url: server.origin + PATH,
    body: chatBody(true),
    streams,
    rampMs: (1000 * streams) / IDLE_STARTS_PER_SECOND,
    dueMs: undefined,
    answer: undefined,
    isHeld: true,
  }, whileOpen);
  const open = report.failed["held to the end"] ?? 0;
  if (open !== streams) {
    throw new Error(`Only ${open} streams stayed open: ${JSON.stringify(report.failed)}`);
  }
}

/** @throws {Error} when one had another answer, or is closed at the end. */
function holdKept(
  server: RunningServer,
  connections: number,
  whileOpen: WhileOpen,
): Promise<void> {
  const url = server.origin + PATH;
  return holdConnections({
    port: Number(new URL(url).port),
    request: Buffer.from(requestBytes(url, chatBody(true))).toString(),
    expected: CHAT_ANSWER,
    connections,
    perSecond: IDLE_STARTS_PER_SECOND,
  }, whileOpen);
}
