/**
 * Runs the paced cases and the idle one: one server at a time, each as often as there are rounds.
 *
 * @module
 */

import {
  eventEnds,
  maskVarying,
  type Probe,
  probe,
  requestBytes,
  targetOf,
} from "../src/load/stream_probe.ts";
import type { BenchOptions } from "./bench_options.ts";
import {
  chatBody,
  dueMsOfPaced,
  expectedOfPaced,
  IDLE_SETTINGS,
  IDLE_STREAMS,
  type PacedCase,
} from "./cases.ts";
import { coresBusyMs, ONE_CORE_EACH, REPEATS_MAX, STOLEN_SHARE_MAX } from "./machine.ts";
import { type PeerWork, startPeer } from "./peers/peer.ts";
import type { IdleRow, PacedRound, PacedRow } from "./results.ts";
import type { RunningServer } from "./server_process.ts";
import { measureStreams } from "./streams.ts";
import { startWeir } from "./weir_server.ts";

const PATH = "/v1/chat/completions";
/** Time for one paced answer before anything is measured. */
const PROBE_MS_MAX = 60_000;
/** Streams are opened at this many per second while memory is measured. */
export const IDLE_STARTS_PER_SECOND = 2000;
/** How long open streams are left alone before their memory is read. */
const IDLE_SETTLE_MS = 2000;
const QUICK_SETTLE_MS = 1000;

/** What a case found, and what had to be left out. */
export interface PacedFound {
  readonly rows: readonly PacedRow[];
  readonly skipped: readonly string[];
}

interface Contender {
  readonly name: string;
  readonly start: () => Promise<RunningServer>;
  readonly isSameBytes: boolean;
  /** False: measured in the first round alone. A peer that is seconds behind needs no second look. */
  readonly isEveryRound: boolean;
}

/** Runs one case. */
export async function runPaced(
  work: PacedCase,
  roundCount: number,
  options: BenchOptions,
): Promise<PacedFound> {
  const skipped: string[] = [];
  const settings = {
    "ops.log": "off",
    "mock.delay_ms": work.delayMs,
    "mock.reply": work.words.join(""),
  };
  const contenders: Contender[] = [
    {
      name: "weir",
      start: () => startWeir(options.weir, settings),
      isSameBytes: true,
      isEveryRound: true,
    },
  ];
  const answer = await learnAnswer(work, contenders[0]!, options);
  if (options.against !== undefined) {
    const { name, command } = options.against;
    contenders.push({
      name,
      start: () => startWeir(command, settings, name),
      isSameBytes: true,
      isEveryRound: true,
    });
  }
  for (const peer of options.against === undefined ? work.rivals : []) {
    const reason = peer.absent();
    if (reason === undefined) {
      const start = () => startPeer(peer, peerWork(work, answer));
      const { name, isSameBytes } = peer;
      contenders.push({ name, start, isSameBytes, isEveryRound: isSameBytes });
    } else {
      skipped.push(`${work.title}, ${peer.name}: ${reason}`);
    }
  }
  const rounds = new Map<Contender, PacedRound[]>(contenders.map((one) => [one, []]));
  for (let round = 0; round < roundCount; round++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const contender = contenders[(turn + round) % contenders.length]!;
      if (round > 0 && !contender.isEveryRound) continue;
      const label = `${work.title}: round ${round + 1} of ${roundCount}, ${contender.name}`;
      rounds.get(contender)!.push(await runValid(work, contender, answer, label, options));
    }
  }
  const rows = contenders.map((contender) => ({
    caseTitle: work.title,
    streams: work.streams,
    server: contender.name,
    rounds: rounds.get(contender)!,
  }));
  return { rows, skipped };
}

/** Reads one paced answer of weir and checks it byte for byte. */
async function learnAnswer(
  work: PacedCase,
  weir: Contender,
  options: BenchOptions,
): Promise<Probe> {
  options.say(`${work.title}: reading one answer`);
  const server = await weir.start();
  try {
    const url = server.origin + PATH;
    const answer = await probe(targetOf(url, requestBytes(url, chatBody(true))), PROBE_MS_MAX);
    const found = maskVarying(answer.body).replace(/"obfuscation":"[^"]*"/g, `"obfuscation":""`);
    if (found !== expectedOfPaced(work)) {
      throw new Error(`${work.title}: weir's answer is wrong: ${found.slice(0, 2000)}`);
    }
    return answer;
  } finally {
    await server.stop();
  }
}

function peerWork(work: PacedCase, { body }: Probe): PeerWork {
  const ends = eventEnds(body);
  return {
    answer: body,
    contentType: "text/event-stream",
    words: work.words,
    delayMs: work.delayMs,
    events: ends.map((end, i) => Buffer.from(body.subarray(ends[i - 1] ?? 0, end)).toString()),
    dueMs: dueMsOfPaced(work),
    upstreamOrigin: "",
  };
}

/** Runs it until the client kept up and had the cores to itself; else gives the least disturbed. */
async function runValid(
  work: PacedCase,
  contender: Contender,
  answer: Probe,
  label: string,
  options: BenchOptions,
): Promise<PacedRound> {
  const repeatsMax = options.isQuick || !contender.isEveryRound ? 0 : REPEATS_MAX;
  let best: PacedRound | undefined;
  for (let repeat = 0; repeat <= repeatsMax; repeat++) {
    options.say(repeat === 0 ? label : `${label} (again: the machine was not quiet)`);
    const startMs = performance.now();
    const round = await runOnce(work, contender, answer);
    if (repeat > 0) options.patience.leftMs -= performance.now() - startMs;
    if (best === undefined || disturbance(round) < disturbance(best)) best = round;
    if (disturbance(best) <= STOLEN_SHARE_MAX || options.patience.leftMs <= 0) break;
  }
  return best!;
}

/** The share of the server's core that others had; a run that its client spoilt is worse than any. */
function disturbance({ found, stolenShare }: PacedRound): number {
  return stolenShare + (found.verdict.kind === "invalid" ? 1 : 0);
}

async function runOnce(work: PacedCase, contender: Contender, answer: Probe): Promise<PacedRound> {
  const server = await contender.start();
  try {
    const cpuNs = server.cpuNs();
    const busyMs = coresBusyMs(ONE_CORE_EACH.server);
    const startMs = performance.now();
    const found = await measureStreams({
      url: server.origin + PATH,
      body: chatBody(true),
      streams: work.streams,
      rampMs: work.rampMs,
      dueMs: dueMsOfPaced(work),
      answer: contender.isSameBytes ? Buffer.from(answer.body).toString("base64") : undefined,
      isHeld: false,
    });
    const tookMs = performance.now() - startMs;
    const spentNs = server.cpuNs() - cpuNs;
    const othersMs = Math.max(0, coresBusyMs(ONE_CORE_EACH.server) - busyMs - spentNs / 1e6);
    return {
      found,
      cpuUsPerEvent: spentNs / 1000 / Math.max(1, found.report.events),
      peakRssKib: server.peakRssKib(),
      stolenShare: othersMs / tookMs,
    };
  } finally {
    await server.stop();
  }
}

/** How long silent streams are left alone. */
export function settleMs({ isQuick }: BenchOptions): number {
  return isQuick ? QUICK_SETTLE_MS : IDLE_SETTLE_MS;
}

/** Opens silent streams and looks at what each of them takes. */
export async function runIdle(options: BenchOptions): Promise<IdleRow> {
  const server = await startWeir(options.weir, IDLE_SETTINGS);
  try {
    options.say(`${IDLE_STREAMS / 1000} 000 idle streams: memory`);
    await Bun.sleep(settleMs(options));
    const idleKib = server.rssKib();
    let openKib = 0;
    const { report } = await measureStreams({
      url: server.origin + PATH,
      body: chatBody(true),
      streams: IDLE_STREAMS,
      rampMs: (1000 * IDLE_STREAMS) / IDLE_STARTS_PER_SECOND,
      dueMs: undefined,
      answer: undefined,
      isHeld: true,
    }, async () => {
      await Bun.sleep(settleMs(options));
      openKib = server.rssKib();
    });
    const open = report.failed["held to the end"] ?? 0;
    if (open !== IDLE_STREAMS) {
      throw new Error(`Only ${open} streams stayed open: ${JSON.stringify(report.failed)}`);
    }
    const kibPerStream = (openKib - idleKib) / IDLE_STREAMS;
    return { server: "weir", streams: IDLE_STREAMS, idleKib, openKib, kibPerStream };
  } finally {
    await server.stop();
  }
}
