/**
 * Runs the paced cases: one server at a time, each as often as there are rounds.
 *
 * @module
 */

import { eventEnds, type Probe, probe, requestBytes, targetOf } from "../src/load/stream_probe.ts";
import type { BenchOptions } from "./bench_options.ts";
import { chatBody, dueMsOfPaced, expectedOfPaced, type PacedCase } from "./cases.ts";
import { comparable } from "./comparable.ts";
import { latestMs, readLoopDelays } from "./loop_delay.ts";
import { coresBusyMs, ONE_CORE_EACH, REPEATS_MAX, STOLEN_SHARE_MAX } from "./machine.ts";
import { bareWheel, NO_WORK, type PeerWork, startPeer } from "./peers/peer.ts";
import { type PacedRound, type PacedRow, UPSTREAM_ITSELF } from "./results.ts";
import type { RunningServer } from "./server_process.ts";
import { measureStreams } from "./streams.ts";
import { startWeir } from "./weir_server.ts";
import { askingUpstream, unmasked } from "./whole.ts";

const PATH = "/v1/chat/completions";
/** Time for one paced answer before anything is measured. */
const PROBE_MS_MAX = 60_000;

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
  if (!work.isProxied) return await contest(work, roundCount, options, undefined);
  // Where the client is, and as cheap as a server that keeps a pace can be.
  const upstream = await startPeer(bareWheel, {
    ...NO_WORK,
    events: unmasked(expectedOfPaced(work)),
    dueMs: dueMsOfPaced(work),
  }, ONE_CORE_EACH.client);
  try {
    return await contest(work, roundCount, options, upstream);
  } finally {
    await upstream.stop();
  }
}

/** Runs every server of a case in turn, round by round. */
async function contest(
  work: PacedCase,
  roundCount: number,
  options: BenchOptions,
  upstream: RunningServer | undefined,
): Promise<PacedFound> {
  const skipped: string[] = [];
  const settings = {
    "ops.log": "off",
    ...(upstream === undefined
      ? { "mock.delay_ms": work.delayMs, "mock.reply": work.words.join("") }
      : askingUpstream(upstream)),
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
  if (upstream !== undefined) {
    contenders.push({
      name: UPSTREAM_ITSELF,
      // It goes on for the others.
      start: () => Promise.resolve({ ...upstream, stop: () => Promise.resolve() }),
      isSameBytes: true,
      isEveryRound: true,
    });
  }
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
      const start = () => startPeer(peer, peerWork(work, answer, upstream));
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
    const found = comparable(answer.body);
    if (found !== expectedOfPaced(work)) {
      throw new Error(`${work.title}: weir's answer is wrong: ${found.slice(0, 2000)}`);
    }
    return answer;
  } finally {
    await server.stop();
  }
}

function peerWork(
  work: PacedCase,
  { body }: Probe,
  upstream: RunningServer | undefined,
): PeerWork {
  const ends = eventEnds(body);
  return {
    ...NO_WORK,
    answer: body,
    contentType: "text/event-stream",
    words: work.words,
    delayMs: work.delayMs,
    events: ends.map((end, i) => Buffer.from(body.subarray(ends[i - 1] ?? 0, end)).toString()),
    dueMs: dueMsOfPaced(work),
    upstreamOrigin: upstream?.origin ?? "",
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
  return stolenShare + (found.verdict.isDoubtful ? 1 : 0);
}

async function runOnce(work: PacedCase, contender: Contender, answer: Probe): Promise<PacedRound> {
  const server = await contender.start();
  try {
    const delays = await readLoopDelays(server.origin);
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
      loopLateMs: latestMs(delays, await readLoopDelays(server.origin)),
    };
  } finally {
    await server.stop();
  }
}
