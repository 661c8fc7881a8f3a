/**
 * Whether limits hold in real time, and what they cost:
 *
 *     bun --no-env-file bench/rate_limits.ts [--minutes 2] [--limit 1200]
 *
 * 1. 64 clients ask two workers for ten times the limit: how many are let in within each minute. Wanted: twice
 *    the limit in the first one (a full bucket, and what refills), the limit in each later one.
 * 2. 64 official clients with `maxRetries: 100` ask for more than a full bucket has: how long it takes until all
 *    have their answers, against the least time that the limit allows. Wanted: within a quarter.
 * 3. What it costs to take a request's part of two buckets, and processor time for each answer with limits and
 *    without.
 *
 * @module
 */

import { parseArgs } from "node:util";
import OpenAI from "openai";
import { Bucket, Gate, Limiter, limiterBytes } from "../src/lib/limiter.ts";
import { startWeir, WEIR_FROM_SOURCE } from "./weir_server.ts";

const CLIENTS = 64;
/**
 * Answers that official clients want, as a multiple of a full bucket. All of them are told the same wait, as on
 * the live API, and one of them wins: one that always loses must not come to its hundredth try.
 */
const OVER = 1.05;
const MINUTE_MS = 60_000;
const BODY = JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "x" }] });
/** A process is slower before its code is compiled. */
const WARM_ROUNDS = 3;
const ANY_CORE = [0, 1];

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "2" },
    limit: { type: "string", default: "1200" },
  },
});

if (Number(values.minutes) > 0) await flood(Number(values.limit), Number(values.minutes));
await official();
await takes();
await answers();

async function flood(limit: number, minutes: number): Promise<void> {
  const weir = await started([{ requests_per_min: limit, per: "all" }], 2);
  const passed = new Array<number>(minutes).fill(0);
  let asked = 0;
  const startMs = performance.now();
  const endMs = startMs + minutes * MINUTE_MS;
  const gapMs = MINUTE_MS / (10 * limit / CLIENTS);
  await Promise.all(Array.from({ length: CLIENTS }, async (_, client) => {
    for (let i = 0;; i++) {
      const dueMs = startMs + (i + client / CLIENTS) * gapMs;
      if (dueMs >= endMs) return;
      await Bun.sleep(Math.max(0, dueMs - performance.now()));
      const response = await ask(weir.origin);
      const minute = Math.floor((performance.now() - startMs) / MINUTE_MS);
      asked++;
      if (response.status === 200 && minute < minutes) passed[minute]!++;
    }
  }));
  await weir.stop();
  print(`${CLIENTS} clients, 2 workers, ${limit} a minute, ${asked} asked in ${minutes} min:`);
  for (const [minute, count] of passed.entries()) {
    const wanted = minute === 0 ? 2 * limit : limit;
    print(`  minute ${minute + 1}: ${count} let in, ${percent(count / wanted - 1)} of ${wanted}`);
  }
}

async function official(): Promise<void> {
  const limit = 600;
  const each = Math.ceil(OVER * limit / CLIENTS);
  const weir = await started([{ requests_per_min: limit, per: "all" }], 2);
  const startMs = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    const client = new OpenAI({
      baseURL: `${weir.origin}/v1`,
      apiKey: "x",
      maxRetries: 100,
    });
    for (let i = 0; i < each; i++) {
      await client.chat.completions.create({
        model: "gpt-4o",
        messages: [{ role: "user", content: "x" }],
      });
    }
  }));
  const tookMs = performance.now() - startMs;
  await weir.stop();
  const leastMs = (each * CLIENTS - limit) / limit * MINUTE_MS;
  print(
    `${CLIENTS} official clients, ${each * CLIENTS} answers at ${limit} a minute: ` +
      `${seconds(tookMs)}, ${percent(tookMs / leastMs - 1)} of the least time ${seconds(leastMs)}`,
  );
}

function takes(): void {
  const limiter = new Limiter(new Uint8Array(limiterBytes(4096)), Date.now);
  const requests = new Bucket("requests", "rest", 1e9, MINUTE_MS);
  const tokens = new Bucket("tokens", "rest", 1e9, MINUTE_MS);
  const gate = new Gate("gate", "rest", 10);
  const drafts = [{ bucket: requests, units: 1 }, { bucket: tokens, units: 1 }];
  const count = 200_000;
  for (const [what, behind] of [["", undefined], [" and a gate", gate]] as const) {
    const times = Array.from({ length: 5 }, () => {
      const startMs = performance.now();
      for (let i = 0; i < count; i++) {
        limiter.take(drafts, behind);
        if (behind !== undefined) limiter.leave(behind);
      }
      return (performance.now() - startMs) / count * 1e6;
    });
    print(`take of two buckets${what}: ${Math.round(times.toSorted((a, b) => a - b)[2]!)} ns`);
  }
}

async function answers(): Promise<void> {
  const limits = [{ requests_per_min: 1e9, tokens_per_min: 1e9, per: "key_and_model" }];
  const off = await started([], 1);
  const on = await started(limits, 1);
  const figures: { off: number; on: number }[] = [];
  for (let round = -WARM_ROUNDS; round < 5; round++) {
    const figure = { off: await cpuUs(off), on: await cpuUs(on) };
    if (round >= 0) figures.push(figure);
  }
  await Promise.all([off.stop(), on.stop()]);
  const median = (key: "off" | "on") =>
    figures.map((one) => one[key]).toSorted((a, b) => a - b)[2]!.toFixed(1);
  print(
    `processor time of an answer: ${median("off")} µs without limits, ${median("on")} µs with two`,
  );
}

/** Microseconds of processor time of an answer in one piece, over kept connections. */
async function cpuUs(weir: Started): Promise<number> {
  const count = 8000;
  const before = weir.cpuNs();
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let i = 0; i < count / 8; i++) await ask(weir.origin);
  }));
  return (weir.cpuNs() - before) / count / 1000;
}

async function ask(origin: string): Promise<Response> {
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: "POST",
    body: BODY,
  });
  await response.arrayBuffer();
  return response;
}

type Started = Awaited<ReturnType<typeof startWeir>>;

function started(limits: readonly object[], workers: number): Promise<Started> {
  return startWeir(
    WEIR_FROM_SOURCE,
    {
      "mock.delay_ms": 0,
      "mock.limits": JSON.stringify(limits),
      "server.workers": workers,
      "ops.log": "off",
    },
    "weir",
    ANY_CORE,
  );
}

function percent(share: number): string {
  return `${share < 0 ? "" : "+"}${(share * 100).toFixed(1)} %`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
