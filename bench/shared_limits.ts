/**
 * Whether the limits of a key hold that two weirs share in one Redis, and what that costs:
 *
 *     bun --no-env-file bench/shared_limits.ts [--minutes 3] [--limit 600] [--lean 0.5] [--workers 1] [--rounds 41]
 *
 * 1. Ten times the limit goes to two weirs, `--lean` of it to the first: how much is let in within each minute,
 *    of a key with requests and of one with tokens. Wanted: twice the limit in the first minute (a full
 *    bucket, and what refills), and in each later one the limit, ± 3 %.
 * 2. Processor time of a relayed stream: plain, with a key that has limits, and with Redis besides. Wanted: ≤ 1.2
 *    with Redis.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { startRedis } from "../test/shared/redis_server.ts";
import { startWeir, WEIR_FROM_SOURCE } from "./weir_server.ts";

const MINUTE_MS = 60_000;
const TIMES_LIMIT = 10;
const ANY_CORE = [0, 1];
const STREAMS = 400;
const CLIENTS = 16;
/** A process is slower before its code is compiled. */
const WARM_ROUNDS = 8;
/** Tokens of a request and its answer, roughly, by which the second key's limit is chosen. */
const TOKENS = 30;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "3" },
    limit: { type: "string", default: "600" },
    lean: { type: "string", default: "0.5" },
    workers: { type: "string", default: "1" },
    rounds: { type: "string", default: "41" },
  },
});

const redis = await startRedis();
try {
  if (Number(values.minutes) > 0) await flood(Number(values.limit), Number(values.minutes));
  if (Number(values.rounds) > 0) await streams(Number(values.rounds));
} finally {
  await redis.stop();
}

async function flood(limit: number, minutes: number): Promise<void> {
  const keys = [
    { name: "requests", token: "sk-bench-requests", requests_per_min: limit },
    { name: "tokens", token: "sk-bench-tokens", tokens_per_min: limit * TOKENS },
  ];
  const settings = { "server.workers": Number(values.workers) };
  const weirs = await Promise.all([1, 2].map(() => started(keys, true, settings)));
  const startMs = performance.now();
  const endMs = startMs + minutes * MINUTE_MS;
  const finished: Promise<void>[] = [];
  for (const { name, token } of keys) {
    const passed = new Array<number>(minutes).fill(0);
    const spent = new Array<number>(minutes).fill(0);
    let asked = 0;
    const done = (async () => {
      const open = new Set<Promise<void>>();
      for (let i = 0;; i++) {
        const dueMs = startMs + i * MINUTE_MS / (TIMES_LIMIT * limit);
        if (dueMs >= endMs) break;
        if (dueMs > performance.now()) await Bun.sleep(dueMs - performance.now());
        asked++;
        const weir = weirs[Math.random() < Number(values.lean) ? 0 : 1]!;
        const one = ask(weir.origin, token).then((tokens) => {
          const minute = Math.floor((performance.now() - startMs) / MINUTE_MS);
          if (tokens === 0 || minute >= minutes) return;
          passed[minute]!++;
          spent[minute]! += tokens;
        }).finally(() => open.delete(one));
        open.add(one);
      }
      await Promise.all(open);
      const isTokens = name === "tokens";
      const most = isTokens ? limit * TOKENS : limit;
      print(`two weirs, ${most} ${name} a minute, ${asked} requests in ${minutes} min:`);
      for (const [minute, count] of (isTokens ? spent : passed).entries()) {
        const wanted = minute === 0 ? 2 * most : most;
        print(
          `  minute ${minute + 1}: ${count} let in, ${percent(count / wanted - 1)} of ${wanted}`,
        );
      }
    })();
    finished.push(done);
  }
  await Promise.all(finished);
  print(`trips to Redis: ${await trips()}`);
  await Promise.all(weirs.map((weir) => weir.stop()));
}

async function trips(): Promise<number> {
  const stats = String(await redis.ask("INFO", "commandstats"));
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1] ?? 0);
}

/** Tokens of the answer and its question; 0 = it was not let in. */
async function ask(origin: string, token: string): Promise<number> {
  const response = await fetch(`${origin}/v1/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "x" }] }),
  });
  if (response.status === 200) {
    const { usage } = await response.json() as {
      readonly usage: { readonly total_tokens: number };
    };
    return usage.total_tokens;
  }
  await response.arrayBuffer();
  if (response.status !== 429) throw new Error(`status ${response.status}`);
  return 0;
}

async function streams(rounds: number): Promise<void> {
  const upstream = await startWeir(
    WEIR_FROM_SOURCE,
    { "mock.delay_ms": 1, "mock.lorem": 60, "ops.log": "off" },
    "upstream",
    [1],
  );
  const limited = [{
    name: "bench",
    token: "sk-bench-secret",
    requests_per_min: 1e9,
    tokens_per_min: 1e9,
    concurrent_max: 10_000,
  }];
  const relay = (keys: readonly object[], isShared: boolean) =>
    started(keys, isShared, {
      upstreams: JSON.stringify([{ name: "up", base_url: `${upstream.origin}/v1` }]),
      routes: JSON.stringify([{ to: ["up"], usage: keys.length === 0 ? "off" : "count" }]),
      "auth.open": keys.length === 0,
      "ops.journal": "off",
    }, [0]);
  const cases = {
    plain: await relay([], false),
    "with a key": await relay(limited, false),
    "with Redis": await relay(limited, true),
  };
  const figures: Record<string, number[]> = {};
  const tripsBefore = await trips();
  for (let round = -WARM_ROUNDS; round < rounds; round++) {
    for (const [name, weir] of Object.entries(cases)) {
      const us = await cpuUs(weir);
      if (round >= 0) (figures[name] ??= []).push(us);
    }
  }
  const plain = figures["plain"]!;
  for (const [name, each] of Object.entries(figures)) {
    const ratios = each.map((us, i) => us / plain[i]!);
    print(
      `stream ${name}: ${median(each).toFixed(0)} µs, ${median(ratios).toFixed(3)} of plain ` +
        `(${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)})`,
    );
  }
  const pairs = figures["with Redis"]!.map((us, i) => us / figures["with a key"]![i]!);
  print(`Redis alone: ${median(pairs).toFixed(3)} of the same without`);
  const count = STREAMS * (WARM_ROUNDS + rounds);
  print(`trips to Redis: ${(await trips() - tripsBefore) / count} for each stream`);
  await Promise.all([...Object.values(cases), upstream].map((weir) => weir.stop()));
}

/** Microseconds of processor time of a stream, over kept connections. */
async function cpuUs(weir: Started): Promise<number> {
  const before = weir.cpuNs();
  await Promise.all(Array.from({ length: CLIENTS }, async () => {
    for (let i = 0; i < STREAMS / CLIENTS; i++) {
      const response = await fetch(`${weir.origin}/v1/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer sk-bench-secret", "content-type": "application/json" },
        body: JSON.stringify({
          model: "gpt-4o",
          stream: true,
          messages: [{ role: "user", content: "x" }],
        }),
      });
      const text = await response.text();
      if (!text.endsWith("data: [DONE]\n\n")) throw new Error(`no whole stream: ${text}`);
    }
  }));
  return (weir.cpuNs() - before) / STREAMS / 1000;
}

type Started = Awaited<ReturnType<typeof startWeir>>;

function started(
  keys: readonly object[],
  isShared: boolean,
  settings: Readonly<Record<string, string | number | boolean>> = {},
  cores: number[] = ANY_CORE,
): Promise<Started> {
  return startWeir(
    WEIR_FROM_SOURCE,
    {
      "mock.delay_ms": 0,
      keys: JSON.stringify(keys),
      "shared.url": isShared ? redis.url : "",
      "ops.log": "off",
      "store.url": "sqlite://:memory:",
      ...settings,
    },
    "weir",
    cores,
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function percent(share: number): string {
  return `${share < 0 ? "" : "+"}${(share * 100).toFixed(1)} %`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
