/**
 * What each part of the gateway costs: processor time of weir for a relayed stream, as a multiple of a plain
 * relay's in the same round.
 *
 *     bun --no-env-file bench/gateway.ts [--words 5,20,100,400] [--paced 20] [--ways count,two] [--rounds 5]
 *       [--seconds 1] [--told] [--beside ../another/checkout] [--latency 2000]
 *
 * `--told`: the client asks for its usage, as only some do; else weir counts the tokens itself. `--beside`: the
 * same in another checkout, round by round. `--latency`: what weir adds on one connection, with so many
 * requests to each, beside nginx and the upstream alone; nothing else is measured then.
 *
 * On a machine that others use, too, the least of many rounds says more than their median: what others take of
 * the caches is only ever added.
 *
 * Before anything is measured every way must give the upstream's own bytes, and those that count must have
 * counted what was said.
 *
 * @module
 */

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SDK_HEADERS, type Settings } from "./cases.ts";
import { runLoad } from "./load.ts";
import { ONE_CORE_EACH } from "./machine.ts";
import { nginxProxy, NO_WORK, startPeer } from "./peers/peer.ts";
import { freePort, type RunningServer, startServer } from "./server_process.ts";
import { startWeir, WEIR_FROM_SOURCE } from "./weir_server.ts";

const { values } = parseArgs({
  options: {
    words: { type: "string", default: "5,20,100,400" },
    paced: { type: "string", default: "20" },
    ways: { type: "string", default: "" },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "1" },
    told: { type: "boolean", default: false },
    beside: { type: "string" },
    latency: { type: "string" },
  },
});

const AT_ONCE_CONNECTIONS = 16;
const PACED_CONNECTIONS = 256;
/** A process is slower before its code is compiled: so many answers come first, in so many runs at most. */
const WARM_REQUESTS = 40_000;
const WARM_RUNS_MAX = 10;
/** Answers by which what is counted is checked. */
const CHECKED = 20;
const PATH = "/v1/chat/completions";
const KEY = SDK_HEADERS["authorization"]!.slice("Bearer ".length);
const ADMIN = "the-admin-of-the-bench";
/** More than anybody asks for here. */
const PLENTY = 1_000_000_000;

/** What is measured. */
interface Way {
  readonly name: string;
  readonly settings: (origin: string) => Settings;
  /** What it is compared with. */
  readonly base: string;
  readonly counts?: true;
  readonly asks?: true;
}

const upstreams = (origin: string, more = {}) =>
  JSON.stringify(["a", "b"].map((name) => ({ name, base_url: `${origin}/v1`, ...more })));
const routes = (rule: object) => JSON.stringify([{ match: { model: "gpt-*" }, ...rule }]);
const limited = {
  "auth.token": ADMIN,
  keys: JSON.stringify([{
    name: "blue",
    token: KEY,
    models: ["gpt-4o*"],
    requests_per_min: PLENTY,
    tokens_per_min: PLENTY,
    concurrent_max: 10_000,
  }]),
};
const open = { "auth.token": ADMIN, keys: JSON.stringify([{ name: "blue", token: KEY }]) };
const routed = (origin: string, rule: object, more: Settings = {}): Settings => ({
  upstreams: upstreams(origin),
  routes: routes(rule),
  ...more,
});

const WAYS: readonly Way[] = [
  { name: "plain", base: "plain", settings: (at) => ({ "llm.base_url": `${at}/v1` }) },
  { name: "route", base: "plain", settings: (at) => routed(at, { to: ["a"] }) },
  {
    name: "route, limits",
    base: "plain",
    settings: (at) => routed(at, { to: ["a"] }, { ...limited, "store.usage": "off" }),
  },
  {
    name: "route, key, count",
    base: "plain",
    settings: (at) => routed(at, { to: ["a"] }, open),
    counts: true,
  },
  {
    name: "route, limits, count",
    base: "plain",
    settings: (at) => routed(at, { to: ["a"] }, limited),
    counts: true,
  },
  {
    name: "route, limits, ask",
    base: "plain",
    settings: (at) => routed(at, { to: ["a"], usage: "ask" }, limited),
    counts: true,
    asks: true,
  },
  { name: "two targets", base: "plain", settings: (at) => routed(at, { to: ["a", "b"] }) },
  {
    name: "two targets, limits, count",
    base: "plain",
    settings: (at) => routed(at, { to: ["a", "b"] }, limited),
    counts: true,
  },
  {
    name: "hedge",
    base: "plain",
    settings: (at) => routed(at, { to: ["a", "b"], hedge_ms: 5000 }),
  },
  {
    name: "hedge, limits, count",
    base: "plain",
    settings: (at) => routed(at, { to: ["a", "b"], hedge_ms: 5000 }, limited),
    counts: true,
  },
  { name: "mock", base: "mock", settings: () => ({ "mock.delay_ms": 0 }) },
  {
    name: "mock, auth.token",
    base: "mock",
    settings: () => ({ "mock.delay_ms": 0, "auth.token": KEY }),
  },
];

interface Running {
  readonly way: Way;
  readonly label: string;
  readonly server: RunningServer;
}

function body(words: number, isPaced: boolean, tells: boolean): string {
  return JSON.stringify({
    model: "gpt-4o",
    messages: [{ role: "user", content: "Tell me what you know of weirs in rivers, please." }],
    stream: true,
    max_tokens: words,
    ...(isPaced ? { user: "paced" } : {}),
    ...(tells ? { stream_options: { include_usage: true } } : {}),
  });
}

async function startUpstream(): Promise<RunningServer> {
  const port = freePort();
  return await startServer({
    name: "upstream",
    command: [
      process.execPath,
      "--no-env-file",
      join(import.meta.dir, "peers", "told_upstream.ts"),
      String(port),
    ],
    port,
    readyPath: "/",
    cores: ONE_CORE_EACH.client,
  });
}

async function said(origin: string, text: string): Promise<string> {
  const response = await fetch(`${origin}${PATH}`, {
    method: "POST",
    body: text,
    headers: { ...SDK_HEADERS, "content-type": "application/json" },
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  return await response.text();
}

/** Every way must say what the upstream says, and count what it has said. */
async function check({ way, server }: Running, upstream: string, words: number): Promise<void> {
  if (way.base === "mock") return;
  const text = body(words, false, values.told);
  const whole = await said(upstream, way.asks ? body(words, false, true) : text);
  const expected = way.asks && !values.told
    ? whole.split("\n\n").filter((event) => !event.includes('"choices":[]')).join("\n\n")
    : whole;
  for (let i = 0; i < CHECKED; i++) {
    const found = await said(server.origin, text);
    if (found !== expected) throw new Error(`${way.name} has said something else: ${found}`);
  }
  if (way.counts !== true) return;
  const response = await fetch(`${server.origin}/__weir/usage?by=key`, {
    headers: { authorization: `Bearer ${ADMIN}` },
  });
  const report = await response.json() as { usage: readonly Record<string, unknown>[] };
  const row = report.usage.find(({ key }) => key === "blue");
  const { requests, tokens_out } = row ?? {};
  if (requests !== CHECKED || tokens_out !== CHECKED * words) {
    throw new Error(`${way.name} has counted ${JSON.stringify(row)}`);
  }
}

/** Microseconds of processor time of an answer, and how many there were. */
async function cost({ server }: Running, words: number, isPaced: boolean, seconds: number) {
  const before = server.cpuNs();
  const { requests } = await runLoad("wrk", {
    url: `${server.origin}${PATH}`,
    body: body(words, isPaced, values.told),
    headers: SDK_HEADERS,
    connections: isPaced ? PACED_CONNECTIONS : AT_ONCE_CONNECTIONS,
    seconds,
    answerBytes: 0,
    framingBytes: Infinity,
    cores: ONE_CORE_EACH.client,
  });
  return { requests, us: (server.cpuNs() - before) / requests / 1000 };
}

async function compare(): Promise<void> {
  const upstream = await startUpstream();
  const words = values.words.split(",").filter((text) => text !== "").map(Number);
  const paced = values.paced.split(",").filter((text) => text !== "").map(Number);
  const names = values.ways.split(";").filter((text) => text !== "");
  const ways = WAYS.filter(({ name }) => name === "plain" || names.includes(name));
  const places = [
    { suffix: "", command: WEIR_FROM_SOURCE },
    ...(values.beside === undefined ? [] : [{
      suffix: " (beside)",
      command: [process.execPath, "--no-env-file", join(values.beside, "main.ts")],
    }]),
  ];
  const running: Running[] = [];
  for (const way of names.length === 0 ? WAYS : ways) {
    for (const { suffix, command } of places) {
      const settings = { "ops.log": "off", ...way.settings(upstream.origin) };
      const server = await startWeir(command, settings);
      running.push({ way, label: way.name + suffix, server });
    }
  }
  try {
    for (const one of running) await check(one, upstream.origin, words[0] ?? 20);
    const cases = [
      ...words.map((count) => ({ count, isPaced: false })),
      ...paced.map((count) => ({ count, isPaced: true })),
    ];
    for (const { count, isPaced } of cases) await measure(running, count, isPaced);
  } finally {
    for (const { server } of running) await server.stop();
    await upstream.stop();
  }
}

async function measure(running: readonly Running[], words: number, isPaced: boolean) {
  print(`${words} words ${isPaced ? "paced" : "at once"}${values.told ? ", told" : ""}:`);
  const costs = running.map((): number[] => []);
  for (const one of running) {
    let warm = 0;
    for (let run = 0; run < WARM_RUNS_MAX && warm < WARM_REQUESTS; run++) {
      warm += (await cost(one, words, isPaced, 2)).requests;
    }
  }
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [i, one] of running.entries()) {
      costs[i]!.push((await cost(one, words, isPaced, Number(values.seconds))).us);
    }
  }
  for (const [i, { way, label }] of running.entries()) {
    const own = believed(costs[i]!);
    const suffix = label.slice(way.name.length);
    const base = running.findIndex(({ label }) => label === way.base + suffix);
    const ofBase = base < 0 ? [] : believed(costs[base]!);
    const ratios = own.map((us, round) => us / ofBase[round]!).filter((ratio) => ratio === ratio);
    const sorted = ratios.toSorted((a, b) => a - b);
    const leastOf = (all: readonly number[]) => Math.min(...all.filter((us) => us === us));
    const least = leastOf(own);
    const spread = base < 0
      ? ""
      : `×${median(ratios).toFixed(2)} (${sorted[0]!.toFixed(2)}–${sorted.at(-1)!.toFixed(2)}), ` +
        `least ÷ least ×${(least / leastOf(ofBase)).toFixed(2)}`;
    const texts = [median(own.filter((us) => us === us)), least].map((us) =>
      us.toFixed(1).padStart(7)
    );
    print(`  ${label.padEnd(36)} ${texts[0]!} µs, least ${texts[1]!}  ${spread}`);
  }
}

/** `costs`, without what is less than half of the usual: a thread has ended then, and its time with it. */
function believed(costs: readonly number[]): readonly number[] {
  const usual = median(costs);
  return costs.map((us) => us > usual / 2 ? us : NaN);
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? NaN;
}

/** What each adds to a request on one connection. */
async function latency(count: number): Promise<void> {
  const upstream = await startUpstream();
  const work = { ...NO_WORK, upstreamOrigin: upstream.origin };
  const nginx = await startPeer(nginxProxy, work);
  const settings = (name: string) =>
    WAYS.find((way) => way.name === name)!.settings(upstream.origin);
  const plain = await startWeir(WEIR_FROM_SOURCE, { "ops.log": "off", ...settings("plain") });
  const full = await startWeir(WEIR_FROM_SOURCE, {
    "ops.log": "off",
    ...settings("two targets, limits, count"),
  });
  const servers = [
    ["the upstream alone", upstream],
    ["nginx", nginx],
    ["weir, plain", plain],
    ["weir, two targets, limits, count", full],
  ] as const;
  const connections = await Promise.all(servers.map(([, { origin }]) => connect(origin)));
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  try {
    for (const words of values.words.split(",").map(Number)) {
      const request = requestOf(body(words, false, values.told));
      const times = servers.map((): number[] => []);
      const warm = 1000;
      for (let i = -warm; i < count; i++) {
        for (const [at, connection] of connections.entries()) {
          const ms = await connection(request);
          if (i >= 0) times[at]!.push(ms);
        }
      }
      print(`${words} words at once, ${count} requests on one connection each, ms:`);
      for (const [i, [name]] of servers.entries()) {
        const sorted = times[i]!.toSorted((a, b) => a - b);
        const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(3);
        print(`  ${name.padEnd(36)} p50 ${at(0.5)}  p90 ${at(0.9)}  p99 ${at(0.99)}`);
      }
    }
  } finally {
    for (const [, server] of servers) await server.stop();
    await Bun.$`rm -rf ${folder}`.quiet();
  }
}

function requestOf(text: string): Uint8Array {
  const headers = Object.entries({
    host: "127.0.0.1",
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(text)),
    ...SDK_HEADERS,
  });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return new TextEncoder().encode(`POST ${PATH} HTTP/1.1\r\n${lines}\r\n${text}`);
}

/** A kept connection: gives the milliseconds until a whole answer is here. */
async function connect(origin: string): Promise<(request: Uint8Array) => Promise<number>> {
  let got = "";
  let onWhole: (() => void) | undefined;
  const { hostname, port } = new URL(origin);
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(_, bytes) {
        got += bytes.toString("latin1");
        const head = got.indexOf("\r\n\r\n");
        if (head < 0) return;
        if (!got.startsWith("HTTP/1.1 200")) throw new Error(got);
        const length = /\r\ncontent-length: *(\d+)/i.exec(got.slice(0, head))?.[1];
        const isWhole = length === undefined
          ? got.endsWith("\r\n0\r\n\r\n")
          : got.length >= head + 4 + Number(length);
        if (isWhole) onWhole?.();
      },
    },
  });
  return async (request) => {
    got = "";
    const { promise, resolve } = Promise.withResolvers<void>();
    onWhole = resolve;
    const startMs = performance.now();
    socket.write(request);
    await promise;
    return performance.now() - startMs;
  };
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

if (values.latency === undefined) await compare();
else await latency(Number(values.latency));
