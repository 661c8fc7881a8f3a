/**
 * What the load generator costs, and how true its figures are:
 *
 *     bun --no-env-file bench/load_generator.ts [--case truth,strength,stall,events,answers] [--rounds 5] [--streams 1000]
 *
 * 1. truth: a stream with its first event after 200 ms and gaps of 20 ms, once by itself and many at once. The
 *    server's events say when it wrote each; the client's figures are held against these. Wanted where the run is
 *    not doubtful: within 0.5 ms (p50) and 2 ms (p99).
 * 2. strength: 4000 streams at once with 20 events a second each, by a client that has one core. Wanted: it has time
 *    left, and nothing is lost.
 * 3. stall: a server that answers nothing in the first half of each second, 100 requests a second. Wanted: p99 from
 *    the schedule within 5 % of 490 ms, which is what the arithmetic says.
 * 4. events: processor time of the client for each event of paced streams, beside the client of `weir bench`.
 *    Wanted: at most the same.
 * 5. answers: processor time for each whole answer, checked, beside wrk, which checks nothing. Wanted: at most 3
 *    times.
 *
 * Every client is a process of its own; those that are compared take turns.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { Spread } from "../src/load/spread.ts";
import type { Bound } from "../src/load/doubt.ts";
import { bodyOf } from "../src/load/requests/bodies.ts";
import { turnsOf } from "../src/load/requests/makers.ts";
import { reportOf } from "../src/load/report/report.ts";
import { countOf, eventMs, type RequestRecord, TOKENS } from "../src/load/record.ts";
import { type Load, LoadRun } from "../src/load/run.ts";
import { arrivals, steady } from "../src/load/shape/arrivals.ts";
import { eventEnds, knownAnswer, probe, requestBytes, targetOf } from "../src/load/stream_probe.ts";
import { StreamRun } from "../src/load/stream_run.ts";
import { factsOf } from "../src/load/stage_facts.ts";
import { Tally } from "../src/load/tally.ts";
import { TokenCounters } from "../src/sources/tokens.ts";
import { seeded } from "../src/lib/seeded.ts";
import { CHAT_ANSWER, chatBody } from "./cases.ts";
import { runLoad } from "./load.ts";
import { ONE_CORE_EACH, pinnedTo } from "./machine.ts";
import { bareWheel, NO_WORK, rawUpstream, startPeer } from "./peers/peer.ts";
import { freePort, startServer } from "./server_process.ts";
import { unmasked } from "./whole.ts";

const TITLES = { truth, strength, stall, events, answers } as const;
const PATH = "/v1/chat/completions";
const GRACE_MS = 60_000;

/** What a client process is to do. */
interface ClientPlan {
  readonly kind: "load" | "streams";
  readonly url: string;
  readonly concurrency: number;
  readonly rampMs: number;
  readonly requests: number;
  readonly durationMs: number;
  /** 0 = a closed loop. */
  readonly ratePerSecond: number;
  readonly keepsConnections: boolean;
  /** The server's events say when they were written. */
  readonly isLedger: boolean;
  /** When each event is due, for the older client. */
  readonly dueMs: readonly number[];
}

/** What it found. */
interface ClientFound {
  readonly cpuUs: number;
  readonly events: number;
  readonly completed: number;
  readonly failed: number;
  readonly report: ReturnType<typeof reportOf> | undefined;
  /** Where the server's events say when they were written. */
  readonly held: Held | undefined;
}

/** A client's times beside the server's, in milliseconds: p50, p99 and the largest. */
interface Held {
  /** From the write of an event to its read: the way here, and how long it lay unread. */
  readonly late: Three;
  /** How much longer the time to the first token is than what the server knows of. */
  readonly first: Three;
  /** The part of that before the server had read the request. */
  readonly there: Three;
  /** How much longer or shorter a gap is than between the writes. */
  readonly gaps: Three;
}

type Three = readonly [p50: number, p99: number, max: number];

const NO_PLAN: ClientPlan = {
  kind: "load",
  url: "",
  concurrency: 1,
  rampMs: 0,
  requests: 1,
  durationMs: 0,
  ratePerSecond: 0,
  keepsConnections: true,
  isLedger: false,
  dueMs: [],
};

if (process.argv[2] === "--client") {
  const found = await client(JSON.parse(process.argv[3]!) as ClientPlan);
  process.stdout.write(JSON.stringify(found));
  process.exit(0);
}

const { values } = parseArgs({
  options: {
    case: { type: "string", default: Object.keys(TITLES).join(",") },
    rounds: { type: "string", default: "5" },
    streams: { type: "string", default: "1000" },
  },
});
const rounds = Number(values.rounds);
const streams = Number(values.streams);
for (const name of values.case.split(",")) {
  say(`\n== ${name} ==`);
  await TITLES[name as keyof typeof TITLES]();
}
process.exit(0);

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Runs a client in a process of its own. */
async function inProcess(plan: Partial<ClientPlan>): Promise<ClientFound> {
  const words = [process.execPath, "--no-env-file", import.meta.path, "--client"];
  const told = JSON.stringify({ ...NO_PLAN, ...plan });
  const child = Bun.spawn([...pinnedTo(ONE_CORE_EACH.client), ...words, told], {
    stdout: "pipe",
    stderr: "inherit",
  });
  const output = await new Response(child.stdout).text();
  if (await child.exited !== 0) throw new Error(`The client failed: ${output}`);
  return JSON.parse(output) as ClientFound;
}

/** The client's half. */
async function client(plan: ClientPlan): Promise<ClientFound> {
  const body = chatBody(true);
  const startUs = cpuUs();
  if (plan.kind === "streams") {
    const target = targetOf(plan.url, requestBytes(plan.url, body));
    const first = await probe(target, GRACE_MS);
    const fromUs = cpuUs();
    const report = await new StreamRun({
      target,
      streams: plan.requests,
      rampMs: plan.rampMs,
      graceMs: GRACE_MS,
      answer: knownAnswer([first.body]),
      dueMs: Float64Array.from(plan.dueMs),
    }).measure();
    const { events, completed, streams } = report;
    const failed = streams - completed;
    return {
      cpuUs: cpuUs() - fromUs,
      events,
      completed,
      failed,
      report: undefined,
      held: undefined,
    };
  }
  const counter = new TokenCounters(1024 * 1024).of("gpt-4o");
  const countTokens = (text: string) => counter.count(text);
  // What a ledger says is another text for each stream.
  const tally = new Tally({
    slo: undefined,
    countTokens: plan.isLedger ? undefined : countTokens,
  });
  const { hostname, port } = targetOf(plan.url, new Uint8Array(0));
  const asked = plan.ratePerSecond > 0 ? body : bodyOf("chat", {
    model: "gpt-4o",
    messages: [{ role: "user", content: "Hello" }],
    isStream: true,
    tokensMax: undefined,
  });
  const load: Load = plan.ratePerSecond > 0
    ? {
      kind: "open",
      times: arrivals({ kind: "constant" }, steady(plan.ratePerSecond), Math.random),
      concurrencyMax: 10_000,
    }
    : { kind: "closed", concurrency: plan.concurrency, rampMs: plan.rampMs };
  const maker = turnsOf(
    [{ url: plan.url, headers: {} }],
    [{ body: asked, promptTokens: NaN, tokensMax: NaN }],
    { leaveTokens: Infinity, leaveShare: 0, readBytesPerSecond: Infinity },
    seeded,
  );
  const run = new LoadRun({
    targets: [{ hostname, port }],
    maker: plan.ratePerSecond > 0 ? { next: maker.next, over: () => undefined } : maker,
    load,
    durationMs: plan.durationMs || Infinity,
    requestsMax: plan.requests || Infinity,
    warmupMs: 0,
    warmupRequests: 0,
    graceMs: GRACE_MS,
    timeoutMs: 2 * GRACE_MS,
    connectMs: GRACE_MS,
    keepsConnections: plan.keepsConnections,
    countTokens,
    observe(record) {
      tally.observe(record);
      if (plan.isLedger) against.observe(record);
    },
  });
  const against = new Against();
  const facts = await run.measure();
  const spentUs = cpuUs() - startUs;
  const report = reportOf([{ tally, facts: factsOf(facts) }], {
    load: "",
    slo: undefined,
    countTokens,
    limits: { loopMsMax: 2, ratePerSecond: undefined, concurrencyMax: Infinity },
  });
  const { completed, failed } = tally.outcomes;
  const held = plan.isLedger
    ? against.held(performance.timeOrigin + performance.now() - run.nowMs)
    : undefined;
  return { cpuUs: spentUs, events: tally.events, completed, failed, report, held };
}

interface Kept {
  readonly text: Buffer;
  readonly dueMs: number;
  /** Of each event. */
  readonly readMs: Float64Array;
}

/** Holds what the client has measured against what the server's events say. */
class Against {
  readonly #late = new Spread();
  readonly #first = new Spread();
  readonly #there = new Spread();
  readonly #gaps = new Spread();

  readonly #kept: Kept[] = [];

  /** Keeps what is needed: to look at it now would make others wait. */
  observe(record: RequestRecord): void {
    const { text, textBytes, dueMs } = record;
    const tokens = countOf(record, TOKENS);
    const readMs = new Float64Array(tokens);
    for (let i = 0; i < tokens; i++) readMs[i] = eventMs(record, i);
    this.#kept.push({ text: Buffer.from(text.subarray(0, textBytes)), dueMs, readMs });
  }

  /** `originMs`: of the records' times, on the clock that all processes share. */
  #compare({ text, dueMs, readMs }: Kept, originMs: number): void {
    const [gotMs = NaN, ...wroteMs] = text.toString().trim().split(" ").map(Number);
    for (const [i, ms] of readMs.entries()) {
      this.#late.record(originMs + ms - wroteMs[i]!);
      if (i > 0) this.#gaps.record(Math.abs(ms - readMs[i - 1]! - (wroteMs[i]! - wroteMs[i - 1]!)));
    }
    this.#first.record(readMs[0]! - dueMs - (wroteMs[0]! - gotMs));
    this.#there.record(gotMs - originMs - dueMs);
  }

  held(originMs: number): Held {
    for (const one of this.#kept) this.#compare(one, originMs);
    return {
      late: threeOf(this.#late),
      first: threeOf(this.#first),
      there: threeOf(this.#there),
      gaps: threeOf(this.#gaps),
    };
  }
}

function threeOf(spread: Spread): Three {
  return [
    spread.percentile(50) ?? NaN,
    spread.percentile(99) ?? NaN,
    spread.percentile(100) ?? NaN,
  ];
}

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function ledgerServer(words: readonly number[]) {
  const port = await freePort();
  const path = new URL("./peers/ledger.ts", import.meta.url).pathname;
  return await startServer({
    name: "ledger",
    command: [process.execPath, "--no-env-file", path, String(port), ...words.map(String)],
    port,
    readyPath: "/",
  });
}

async function truth(): Promise<void> {
  const server = await ledgerServer([200, 20, 50]);
  try {
    for (const concurrency of [streams, 1]) {
      for (let round = 0; round < rounds; round++) {
        const rampMs = concurrency === 1 ? 0 : 1500;
        const found = await inProcess({
          url: server.origin + PATH,
          concurrency,
          rampMs,
          requests: concurrency === 1 ? 5 : concurrency,
          keepsConnections: concurrency === 1,
          isLedger: true,
        });
        say(`${concurrency} streams: ${heldText(found)}`);
      }
    }
  } finally {
    await server.stop();
  }
}

/** What was found out about a client's figures, and what it said of them itself. */
function heldText({ held, report, failed }: ClientFound): string {
  const { late, first, there, gaps } = held!;
  const { doubt } = report!;
  const ms = (values: readonly number[]) => values.map((value) => value.toFixed(2)).join(" / ");
  const told = (bound: Bound | null) => ms([bound?.p50 ?? NaN, bound?.p99 ?? NaN]);
  return `first token off by ${ms(first)} ms (p50 / p99 / max; told ${
    told(doubt.late_ms.ttft)
  }), ` +
    `of which before the server read the request ${ms(there)}; ` +
    `gaps off by ${ms(gaps)} (told ${told(doubt.late_ms.itl)}); ` +
    `events read ${ms(late)} after they were written; failed ${failed}; ` +
    `${Math.round(100 * doubt.cpu_share)} % of a core, ` +
    `${Math.round(100 * (doubt.wait_share ?? 0))} % waited for it; ` +
    (doubt.is_doubtful ? `doubtful: ${doubt.reasons.join("; ")}` : "believed");
}

/** Many streams at once, more than one core of a client bore before. */
async function strength(): Promise<void> {
  const server = await ledgerServer([200, 50, 100]);
  try {
    for (let round = 0; round < rounds; round++) {
      const serverNs = server.cpuNs();
      const found = await inProcess({
        url: server.origin + PATH,
        concurrency: 4000,
        rampMs: 5000,
        requests: 12_000,
        isLedger: true,
      });
      const { cpuUs, events } = found;
      // A hundred with a text each, one with the reason, and the end mark.
      const lost = 12_000 * 102 - events;
      say(
        `4000 streams: ${
          (cpuUs / events).toFixed(2)
        } µs an event (${events}, ${lost} lost; server ` +
          `${((server.cpuNs() - serverNs) / 1000 / events).toFixed(2)}); ${heldText(found)}`,
      );
    }
  } finally {
    await server.stop();
  }
}

async function stall(): Promise<void> {
  const server = await ledgerServer([0, 0, 1, 500, 1000]);
  try {
    for (let round = 0; round < rounds; round++) {
      const found = await inProcess({
        url: server.origin + PATH,
        ratePerSecond: 100,
        requests: 1000,
        durationMs: 60_000,
      });
      const { e2e_ms, service_e2e_ms, queue_ms } = found.report!;
      say(
        `from the schedule p50 ${e2e_ms?.p50.toFixed(1)} p99 ${e2e_ms?.p99.toFixed(1)} ms ` +
          `(arithmetic 490: ${(100 * (e2e_ms!.p99 / 490 - 1)).toFixed(1)} %), as sent p99 ` +
          `${service_e2e_ms?.p99.toFixed(1)}, waited p99 ${queue_ms?.p99.toFixed(1)}, ` +
          `failed ${found.failed}`,
      );
    }
  } finally {
    await server.stop();
  }
}

async function events(): Promise<void> {
  const texts = unmasked(CHAT_ANSWER);
  // As the answer of weir, with its word said again and again.
  const word = texts[1]!;
  const many = [texts[0]!, ...Array.from({ length: 100 }, () => word), ...texts.slice(-2)];
  const dueMs = many.map((_, i) => 50 * Math.min(i, 101));
  const server = await startPeer(bareWheel, { ...NO_WORK, events: many, dueMs });
  const ratios: number[] = [];
  try {
    const base = { url: server.origin + PATH, requests: streams, rampMs: 2000, dueMs };
    for (let round = 0; round < rounds; round++) {
      const older = await inProcess({ ...base, kind: "streams" });
      const found = await inProcess({ ...base, concurrency: streams, keepsConnections: false });
      const each = ({ cpuUs, events }: ClientFound) => cpuUs / events;
      ratios.push(each(found) / each(older));
      const { doubt } = found.report!;
      say(
        `weir load ${
          each(found).toFixed(2)
        } µs an event (${found.events}, ${found.failed} failed), ` +
          `weir bench ${each(older).toFixed(2)} (${older.events}): ${ratios.at(-1)!.toFixed(2)}; ` +
          `own loop p99 ${doubt.loop_ms?.p99.toFixed(1)} ms, ` +
          `${Math.round(100 * doubt.cpu_share)} % of a core`,
      );
    }
  } finally {
    await server.stop();
  }
  say(`median ${median(ratios).toFixed(2)}`);
}

async function answers(): Promise<void> {
  const texts = unmasked(CHAT_ANSWER);
  const server = await startPeer(rawUpstream, { ...NO_WORK, events: texts }, ONE_CORE_EACH.server);
  const ratios: number[] = [];
  try {
    const url = server.origin + PATH;
    const answer = await probe(targetOf(url, requestBytes(url, chatBody(true))), GRACE_MS);
    for (let round = 0; round < rounds; round++) {
      const wrk = await runLoad("wrk", {
        url,
        body: chatBody(true),
        headers: {},
        connections: 64,
        seconds: 8,
        answerBytes: answer.wireBytes,
        framingBytes: 7 * eventEnds(answer.body).length,
        cores: ONE_CORE_EACH.client,
      });
      const found = await inProcess({ url, concurrency: 64, durationMs: 8000, requests: 0 });
      const each = found.cpuUs / found.completed;
      const theirs = wrk.clientCpuUs / wrk.requests;
      ratios.push(each / theirs);
      say(
        `weir load ${each.toFixed(1)} µs an answer (${found.completed}, ${found.failed} failed), ` +
          `wrk ${theirs.toFixed(1)} (${wrk.requests}): ${ratios.at(-1)!.toFixed(2)}`,
      );
    }
  } finally {
    await server.stop();
  }
  say(`median ${median(ratios).toFixed(2)}`);
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
