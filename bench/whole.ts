/**
 * Runs the whole-answer cases: every server of a case in turn, round by round, so that whatever
 * slows the machine down slows all of them.
 *
 * @module
 */

import { cpus } from "node:os";
import { eventEnds, type Probe, probe, requestBytes, targetOf } from "../src/load/stream_probe.ts";
import { certificateAbsent, makeCertificate, trustingAnyone } from "./certificate.ts";
import { type BenchOptions, JUDGED_CONNECTIONS, roundsAt, secondsAt } from "./bench_options.ts";
import { CREATED_MASK, ID_MASK, type Settings, type WholeCase } from "./cases.ts";
import { comparable } from "./comparable.ts";
import { type Load, runLoad, type Tool, tools } from "./load.ts";
import {
  coresBusyMs,
  ONE_CORE_EACH,
  type Places,
  REPEATS_MAX,
  STOLEN_SHARE_MAX,
  twoCoresEach,
} from "./machine.ts";
import { NO_WORK, type PeerWork, rawUpstream, startPeer } from "./peers/peer.ts";
import { pairRatio, type WholeRound, type WholeRow } from "./results.ts";
import type { RunningServer } from "./server_process.ts";
import { startWeir } from "./weir_server.ts";

/** Time for one answer before anything is measured. */
const PROBE_MS_MAX = 10_000;
/** Connections and seconds that warm a server up: its code is compiled by then. */
const WARM_CONNECTIONS = 64;
export const WARM_SECONDS = 1;

/** What a chunk adds to an event: its length in hex, and two line ends. */
const CHUNK_BYTES = 7;

/** What a case found, and what had to be left out. */
export interface WholeFound {
  readonly rows: readonly WholeRow[];
  readonly skipped: readonly string[];
}

interface Contender {
  readonly name: string;
  readonly server: RunningServer;
  readonly path: string;
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly answerBytes: number;
  readonly framingBytes: number;
}

/** Where the servers of a case work, and what they ask in their turn. */
interface Stage {
  readonly places: Places;
  readonly upstream: RunningServer | undefined;
}

/** Runs one case. */
export async function runWhole(work: WholeCase, options: BenchOptions): Promise<WholeFound> {
  const absent = work.isTls === true ? certificateAbsent() : undefined;
  if (absent !== undefined) return { rows: [], skipped: [`${work.title}: ${absent}`] };
  const certificate = work.isTls === true ? makeCertificate() : undefined;
  const running: RunningServer[] = [];
  const skipped: string[] = [];
  try {
    const places = work.oneProcess === undefined ? ONE_CORE_EACH : twoCoresEach(cpus().length);
    const upstream = work.upstream === undefined ? undefined : await startUpstream(work, places);
    if (upstream !== undefined) running.push(upstream);
    const stage: Stage = { places, upstream };
    const settings: Settings = {
      ...work.settings,
      ...(upstream === undefined ? {} : askingUpstream(upstream)),
      ...(certificate === undefined ? {} : {
        "server.tls_cert_file": certificate.certFile,
        "server.tls_key_file": certificate.keyFile,
      }),
    };
    const weir = await startWeir(options.weir, settings, "weir", places.server);
    running.push(weir);
    const answer = await ask(weir, work);
    if (answer.head.status === 404) {
      return { rows: [], skipped: [`${work.title}: this weir has no ${work.path}`] };
    }
    checkAnswer(answer, work);
    const contenders: Contender[] = [contender(weir, work, answer)];
    if (upstream !== undefined && isUpstreamShown(work, options)) {
      contenders.push(contender(upstream, work, await ask(upstream, work)));
    }
    if (options.against !== undefined) {
      const { name, command } = options.against;
      const before = await startWeir(command, settings, name, places.server);
      running.push(before);
      const found = await contest(
        work,
        [contenders[0]!, contender(before, work, await ask(before, work))],
        stage,
        options,
      );
      return { rows: found.rows, skipped: [...skipped, ...found.skipped] };
    }
    if (work.oneProcess !== undefined) {
      const name = work.oneProcess;
      const alone = { ...settings, "server.workers": 1 };
      const one = await startWeir(options.weir, alone, name, places.server);
      running.push(one);
      contenders.push(contender(one, work, await ask(one, work)));
    }
    if (work.beside !== undefined) {
      const { beside } = work;
      const { name, path, body } = beside;
      const other = { ...work, path, body, expected: work.upstream ?? work.expected };
      contenders.push({ ...contender(weir, other, await ask(weir, other)), name });
    }
    for (const { peer } of work.rivals) {
      const reason = peer.absent();
      if (reason !== undefined) {
        skipped.push(`${work.title}, ${peer.name}: ${reason}`);
        continue;
      }
      const server = await startPeer(peer, {
        ...peerWork(work, answer, upstream),
        certificate,
      });
      running.push(server);
      const theirs = await ask(server, work);
      checkPeer(peer.name, peer.isSameBytes, theirs, answer);
      contenders.push(contender(server, work, theirs));
    }
    const found = await contest(work, contenders, stage, options);
    return { rows: found.rows, skipped: [...skipped, ...found.skipped] };
  } finally {
    await Promise.all(running.map((server) => server.stop()));
    certificate?.remove();
  }
}

/** Settings of a weir that passes on what `upstream` answers. */
export function askingUpstream(upstream: RunningServer): Settings {
  return { "llm.base_url": `${upstream.origin}/v1`, "llm.api_key": "sk-bench" };
}

/** An upstream where the client is: what weir proxies must not cost weir's core. */
function startUpstream(
  { upstream, isUpstreamInTwo }: WholeCase,
  places: Places,
): Promise<RunningServer> {
  const events = unmasked(upstream!);
  const isInTwo = isUpstreamInTwo === true;
  return startPeer(rawUpstream, { ...NO_WORK, events, isInTwo }, places.client);
}

/** The events of a masked stream, each with the same id and time in place of the masks. */
export function unmasked(masked: string): readonly string[] {
  return masked
    .replaceAll(ID_MASK, `chatcmpl-${"0".repeat(ID_MASK.length - "chatcmpl-".length)}`)
    .replaceAll(CREATED_MASK, "1234567890")
    .split(/(?<=\n\n)/);
}

function peerWork(
  work: WholeCase,
  answer: Probe,
  upstream: RunningServer | undefined,
): PeerWork {
  return {
    ...NO_WORK,
    answer: answer.body,
    contentType: answer.head.headers.get("content-type") ?? "application/json",
    words: work.words,
    upstreamOrigin: upstream?.origin ?? "",
  };
}

type Asked = Pick<WholeCase, "path" | "body" | "headers">;

function contender(server: RunningServer, work: WholeCase, answer: Probe): Contender {
  const { path, body, headers = {} } = work;
  // The end mark of what is remembered leaves by itself, and under load other events do too.
  const isInPieces = path === "/v1/response" || work.isUpstreamInTwo === true || isRespoken(work);
  const framingBytes = isInPieces ? CHUNK_BYTES * eventEnds(answer.body).length : 0;
  const { name } = server;
  return { name, server, path, body, headers, answerBytes: answer.wireBytes, framingBytes };
}

/** Is the upstream measured as well? It says how much time a proxy adds, which --quick does not. */
export function isUpstreamShown(work: WholeCase, { isQuick }: BenchOptions): boolean {
  return work.upstream !== undefined && !isRespoken(work) && !isQuick;
}

/** An upstream's answer in another dialect leaves in as many pieces as it came. */
function isRespoken({ upstream, expected }: WholeCase): boolean {
  return upstream !== undefined && upstream !== expected;
}

function ask(server: RunningServer, { path, body, headers }: Asked): Promise<Probe> {
  const url = server.origin + path;
  const target = targetOf(url, requestBytes(url, body, headers));
  const asked = () => probe(target, PROBE_MS_MAX);
  return target.isTls ? trustingAnyone(asked) : asked();
}

/** @throws {Error} when weir's answer is not, byte for byte, what the case expects. */
function checkAnswer(answer: Probe, { title, expected }: WholeCase): void {
  const found = comparable(answer.body);
  const isRight = typeof expected === "string" ? found === latin1(expected) : expected.test(found);
  if (answer.head.status !== 200 || !isRight) {
    throw new Error(`${title}: weir's answer is wrong (${answer.head.status}): ${found}`);
  }
}

/** @throws {Error} when a peer does not do the same work. */
function checkPeer(name: string, isSameBytes: boolean, theirs: Probe, ours: Probe): void {
  const isSame = isSameBytes
    ? Buffer.compare(comparableBytes(theirs), comparableBytes(ours)) === 0
    : saidBy(theirs) === saidBy(ours);
  if (theirs.head.status !== 200 || !isSame) {
    throw new Error(`${name} answers something else: ${latin1Of(theirs.body)}`);
  }
}

function comparableBytes({ body }: Probe): Buffer {
  return Buffer.from(comparable(body), "latin1");
}

function latin1(text: string): string {
  // The mask is one character in both; everything else is compared as bytes.
  return text.split("•").map((piece) => latin1Of(Buffer.from(piece))).join("•");
}

function latin1Of(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** What a chat stream says, chunk by chunk joined. */
function saidBy({ body }: Probe): string {
  const text = Buffer.from(body).toString();
  return [...text.matchAll(/"content":\s*"((?:[^"\\]|\\.)*)"/g)].map(([, said]) => said).join("");
}

/** Loads one server after the other, and gives a row for each that answered everything rightly. */
async function contest(
  work: WholeCase,
  contenders: readonly Contender[],
  stage: Stage,
  options: BenchOptions,
): Promise<WholeFound> {
  const rows: WholeRow[] = [];
  const skipped: string[] = [];
  for (const contender of contenders) {
    options.say(`${work.title}: warming up ${contender.name}`);
    const load = loadOf(contender, WARM_CONNECTIONS, WARM_SECONDS, stage.places);
    await runLoad(tools()[0]!, load);
  }
  for (const connections of connectionsOf(work, options)) {
    const isJudged = isJudgedAt(work, connections);
    const rounds = roundsAt(connections, isJudged, options);
    const results = new Map<Contender, WholeRound[]>(contenders.map((one) => [one, []]));
    const measure = async (tool: Tool, contender: Contender, round: string) => {
      const gathered = results.get(contender);
      if (gathered === undefined) return;
      const { name } = contender;
      const label = `${work.title}, ${connections} connections, ${name}`;
      options.say(`${label}: ${tool}, ${round}`);
      try {
        gathered.push(
          await measureUndisturbed(
            tool,
            loadOf(contender, connections, secondsAt(connections, options), stage.places),
            contender.server,
            stage,
            // Where nothing is judged, a disturbed run stays.
            options.isQuick || !isJudged ? 0 : REPEATS_MAX,
            options.patience,
          ),
        );
      } catch (error) {
        if (contender === contenders[0]) throw error;
        results.delete(contender); // a peer that breaks has no speed
        skipped.push(`${label}: ${(error as Error).message}`);
      }
    };
    const [tool, ...otherTools] = tools();
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < contenders.length; turn++) {
        const contender = contenders[(turn + round) % contenders.length]!;
        await measure(tool!, contender, `round ${round + 1} of ${rounds}`);
      }
    }
    for (const other of options.isQuick ? [] : otherTools) {
      const seen = connections === JUDGED_CONNECTIONS ? contenders : contenders.slice(0, 1);
      for (const contender of seen) await measure(other, contender, "once");
    }
    rows.push(...rowsOf(work, connections, contenders[0]!, results));
  }
  return { rows, skipped };
}

/** Measures until nobody else was on the server's cores, and gives the run that had them most. */
async function measureUndisturbed(
  tool: Tool,
  load: Load,
  server: RunningServer,
  { places, upstream }: Stage,
  repeatsMax: number,
  patience: BenchOptions["patience"],
): Promise<WholeRound> {
  const upstreamNs = () => upstream === undefined || upstream === server ? 0 : upstream.cpuNs();
  let best: WholeRound | undefined;
  for (let repeat = 0; repeat <= repeatsMax; repeat++) {
    const cpuNs = server.cpuNs();
    const upstreamStartNs = upstreamNs();
    const busyMs = coresBusyMs(places.server);
    const startMs = performance.now();
    const result = await runLoad(tool, load);
    const tookMs = performance.now() - startMs;
    const spentNs = server.cpuNs() - cpuNs;
    const besideNs = 1000 * result.clientCpuUs + upstreamNs() - upstreamStartNs;
    // Where the client works on the server's cores, its time is not taken by others.
    const ownNs = spentNs + (places.client === places.server ? besideNs : 0);
    const othersMs = Math.max(0, coresBusyMs(places.server) - busyMs - ownNs / 1e6);
    const requests = Math.max(1, result.requests);
    const round = {
      ...result,
      cpuUsPerRequest: spentNs / 1000 / requests,
      besideUsPerRequest: besideNs / 1000 / requests,
      stolenShare: othersMs / (tookMs * places.server.length),
    };
    if (best === undefined || round.stolenShare < best.stolenShare) best = round;
    if (repeat > 0) patience.leftMs -= tookMs;
    if (best.stolenShare <= STOLEN_SHARE_MAX || patience.leftMs <= 0) break;
  }
  return best!;
}

function rowsOf(
  work: WholeCase,
  connections: number,
  weir: Contender,
  results: ReadonlyMap<Contender, readonly WholeRound[]>,
): readonly WholeRow[] {
  const [tool] = tools();
  const ours = results.get(weir)!.filter((result) => result.tool === tool);
  return [...results].map(([contender, found]) => {
    const isWeir = contender === weir;
    const theirs = found.filter((result) => result.tool === tool);
    return {
      caseTitle: work.title,
      connections,
      server: contender.name,
      results: found,
      weirRatio: isWeir ? undefined : pairRatio(ours, theirs, "requestsPerSecond"),
      weirCpuRatio: isWeir ? undefined : pairRatio(theirs, ours, "cpuUsPerRequest"),
      peakRssKib: contender.server.peakRssKib(),
    };
  });
}

function loadOf(
  contender: Contender,
  connections: number,
  seconds: number,
  places: Places,
): Load {
  return {
    url: contender.server.origin + contender.path,
    body: contender.body,
    headers: contender.headers,
    connections,
    seconds,
    answerBytes: contender.answerBytes,
    framingBytes: contender.framingBytes,
    cores: places.client,
  };
}

/** The connections of a case: of its own those that are asked for, or all of these if none is. */
export function connectionsOf(
  work: WholeCase,
  { connections }: Pick<BenchOptions, "connections">,
): readonly number[] {
  const own = connections.filter((one) => work.connections?.includes(one));
  return own.length > 0 ? own : connections;
}

/** Whether a figure is judged there: a ratio, or at one connection the time that a proxy adds. */
export function isJudgedAt(work: WholeCase, connections: number): boolean {
  const { rivals, beside, oneProcess, upstream } = work;
  const wanted = [...rivals.map((rival) => rival.wanted), beside?.wanted];
  return wanted.some((one) => one?.[connections] !== undefined) ||
    (oneProcess !== undefined && connections === JUDGED_CONNECTIONS) ||
    (upstream !== undefined && !isRespoken(work) && connections === 1);
}
