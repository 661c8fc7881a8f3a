/**
 * What the flags of `weir load` ask for, checked and put together.
 *
 * @module
 */

import { type Api, apiOfPath, asksForStream, formOf, PATHS } from "../load/requests/bodies.ts";
import type { Endpoint } from "../load/requests/makers.ts";
import type { LinkTarget } from "../load/link.ts";
import { SLO_FIGURES, unjudgeable } from "../load/slo.ts";
import { listed, search, type Stage, type StagePlan, sweep } from "../load/shape/stages.ts";
import { targetOf } from "../load/stream_probe.ts";
import type { FlagValues } from "./flags.ts";
import type { LOAD_FLAGS } from "./load_flags.ts";
import { cleanerOf } from "./load_secrets.ts";
import { readTraces } from "./load_trace.ts";
import type { TraceRequest } from "../load/traces/trace.ts";
import type { BenchOptions } from "./measure.ts";
import { readText } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

/** A parsed URL. */
type Url = InstanceType<typeof URL>;
/** The values of the flags of `weir load`. */
export type Flags = FlagValues<typeof LOAD_FLAGS>;

/** Nothing says how long: a closed loop of this many, for this long. */
const CONCURRENCY = 8;
const DURATION_MS = 10_000;

/** How much a load asks for. 0 = nothing of the kind; Infinity = nobody knows. */
export interface LoadNeed {
  readonly atOnce: number;
  readonly perSecond: number;
}

/** A load as it is to be run. */
export interface LoadOptions {
  readonly flags: Flags;
  readonly plan: StagePlan;
  /** The most that is asked for in any stage. */
  readonly need: LoadNeed;
  /** True: one load, whose report is told by itself. */
  readonly isSingle: boolean;
  readonly endpoints: readonly Endpoint[];
  readonly targets: readonly LinkTarget[];
  readonly api: Api;
  readonly model: string;
  readonly durationMs: number;
  /** Bodies that are sent as they are; undefined = they are made. An undefined one is a GET. */
  readonly bodies: readonly (string | undefined)[] | undefined;
  /** What was asked elsewhere; undefined = there is no trace. */
  readonly trace: readonly TraceRequest[] | undefined;
}

/** @throws {Failure} when the flags do not go together, or a file cannot be read. */
export function loadOptions(name: string, text: string, flags: Flags): LoadOptions {
  const urls = [text, ...flags.endpoint].map((one) => urlOf(name, one, flags.api));
  const api = flags.api ?? apiOfPath(urls[0]!.pathname);
  const bodies = bodiesOf(flags);
  refuse(flags, api, bodies !== undefined);
  refuseSlo(flags, api, bodies);
  const trace = flags.trace.length === 0 ? undefined : readTraces(flags);
  const isTimed = trace !== undefined && trace.every(({ atMs }) => atMs !== undefined) &&
    (flags.rate ?? flags.concurrency) === undefined;
  const headers = Object.fromEntries(flags.header);
  const ca = flags.caFile === undefined ? undefined : readText(flags.caFile, "--ca-file");
  return {
    flags,
    plan: planOf(flags, isTimed),
    need: needOf(flags, isTimed, trace),
    isSingle: !flags.sweep && !flags.search && listedStages(flags, isTimed).length === 1,
    endpoints: urls.map(({ href }) => ({ url: href, headers, form: formOf(api, flags.method) })),
    targets: urls.map((url) => linkTarget(url, ca, flags.insecure)),
    api,
    model: flags.model ?? "gpt-4o",
    durationMs: flags.duration ??
      (flags.requests === undefined && !isTimed ? DURATION_MS : Infinity),
    bodies,
    trace,
  };
}

/** The flags that ask for a burst. */
export const BURST_KEYS = ["streams", "seconds", "events"] as const;

/** Those that a burst knows nothing of, as far as it can be told that they were given. */
const LOAD_KEYS = [
  ...[
    "concurrency",
    "rate",
    "ramp",
    "sweep",
    "search",
    "duration",
    "requests",
    "warmup",
    "newConnections",
    "stopWhenSaturated",
  ],
  ...["endpoint", "api", "model", "prompt", "promptTokens", "outputTokens", "whole", "bodies"],
  ...["caFile", "insecure", "leaveAfter", "readRate", "slo", "as", "csv", "html", "raw"],
  ...["out", "shard", "startAt", "trace", "workers"],
] as readonly (keyof Flags)[];

/** The flags of a load that were given. */
export function loadKeys(flags: Flags): readonly string[] {
  const given = LOAD_KEYS.filter((key) => {
    const value = flags[key];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  });
  const counted = ["turns", "rounds"] as const;
  return [...given, ...counted.filter((key) => flags[key] > 1)];
}

/** What a burst posts unless it is told. */
const BURST_BODY = JSON.stringify({
  model: "gpt-4o",
  stream: true,
  messages: [{ role: "user", content: "Hello" }],
});
const BURST = { streams: 64, seconds: 2, timeoutMs: 30_000 } as const;

/** @throws {Failure} when `text` is no URL that can be measured. */
export function burstOptions(name: string, text: string, flags: Flags): BenchOptions {
  const { streams, seconds, timeout, events, body = BURST_BODY, method, header, json } = flags;
  const url = urlOf(name, text, undefined).href;
  const headers = Object.fromEntries(header);
  return {
    url,
    streams: streams ?? BURST.streams,
    seconds: seconds ?? BURST.seconds,
    timeoutSeconds: (timeout ?? BURST.timeoutMs) / 1000,
    expected: events ?? { kind: "learnt" },
    body: method === "GET" ? undefined : body,
    headers,
    isJson: json,
    loopMsMax: flags.maxLoopMs,
    clean: cleanerOf({ endpoints: [{ url, headers }], bodies: [body] }),
  };
}
/** A search ends here, and a sweep asks no more at once. */
const SEARCH_RATE_MAX = 100_000;
const SWEEP_CONCURRENCY = 512;

function planOf(flags: Flags, isTimed: boolean): StagePlan {
  const { sweep: isSweep, sweepSize, search: isSearch, rate, maxConcurrency } = flags;
  if (isSweep) return sweep(sweepSize, Math.min(SWEEP_CONCURRENCY, maxConcurrency));
  if (isSearch) return search(rate?.[0] ?? 1, rate?.[1] ?? SEARCH_RATE_MAX);
  return listed(listedStages(flags, isTimed));
}

function needOf(
  flags: Flags,
  isTimed: boolean,
  trace: readonly TraceRequest[] | undefined,
): LoadNeed {
  const { sweep: isSweep, search: isSearch, rate, maxConcurrency, speed } = flags;
  if (isSweep) return { atOnce: Math.min(SWEEP_CONCURRENCY, maxConcurrency), perSecond: 0 };
  if (isSearch) return { atOnce: 0, perSecond: rate?.[1] ?? Infinity };
  if (isTimed) {
    // On the average: what comes in one moment waits, and is told.
    const lastMs = trace!.reduce((last, { atMs }) => Math.max(last, atMs!), 1000);
    return { atOnce: 0, perSecond: (1000 * trace!.length * speed) / lastMs };
  }
  const stages = listedStages(flags, isTimed);
  return {
    atOnce: Math.max(...stages.map((one) => one.kind === "closed" ? one.concurrency : 0)),
    perSecond: Math.max(...stages.map((one) => one.kind === "open" ? one.ratePerSecond : 0)),
  };
}

/** `isTimed`: the trace says when its requests are due, and nobody else does. */
function listedStages({ rate, concurrency }: Flags, isTimed: boolean): readonly Stage[] {
  if (isTimed) return [{ kind: "trace" }];
  if (rate !== undefined) {
    return rate.map((ratePerSecond) => ({ kind: "open" as const, ratePerSecond }));
  }
  return (concurrency ?? [CONCURRENCY]).map((one) => ({
    kind: "closed" as const,
    concurrency: one,
  }));
}

function urlOf(name: string, text: string, api: Api | undefined): Url {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw usage(`${name} needs an http:// or https:// URL, not "${text}"`);
  }
  if (url.pathname === "/") url.pathname = PATHS[api ?? "chat"];
  return url;
}

function linkTarget(url: Url, ca: string | undefined, isInsecure: boolean): LinkTarget {
  const { hostname, port, isTls } = targetOf(url.href, new Uint8Array(0));
  if (!isTls) return { hostname, port };
  const tls: Bun.TLSOptions = {
    serverName: hostname,
    ...(ca === undefined ? {} : { ca }),
    ...(isInsecure ? { rejectUnauthorized: false } : {}),
  };
  return { hostname, port, tls };
}

function bodiesOf(flags: Flags): readonly (string | undefined)[] | undefined {
  if (flags.method === "GET") return [undefined];
  if (flags.body !== undefined) return [flags.body];
  if (flags.bodies === undefined) return undefined;
  const lines = readText(flags.bodies, "--bodies").split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) throw usage(`--bodies: ${flags.bodies} has no line`);
  return lines;
}

/** @throws {Failure} for what contradicts itself. */
function refuse(flags: Flags, api: Api, hasBodies: boolean): void {
  const both = (one: string, other: string) => usage(`${one} and ${other} exclude each other`);
  if (flags.rate !== undefined && flags.concurrency !== undefined) {
    throw both("--rate", "--concurrency: with --rate it is --max-concurrency");
  }
  if (flags.body !== undefined && flags.bodies !== undefined) throw both("--body", "--bodies");
  if (flags.trace.length > 0 && (hasBodies || flags.turns > 1)) {
    throw usage("A trace says what is asked: no --body, --bodies, --method GET, --turns");
  }
  if (flags.trace.length > 0 && (flags.prompt ?? flags.promptTokens) !== undefined) {
    throw usage("A trace says what is asked: no --prompt, no --prompt-tokens");
  }
  if (flags.sweep && flags.search) throw both("--sweep", "--search");
  if (flags.shard !== undefined && (flags.sweep || flags.search)) {
    throw usage(
      `${flags.sweep ? "--sweep" : "--search"} goes on by what all of the load has found, ` +
        "which one machine of several does not know: no --shard (--workers knows)",
    );
  }
  const parts = (flags.shard?.count ?? 1) * (typeof flags.workers === "number" ? flags.workers : 1);
  if (flags.maxConcurrency < parts) {
    throw usage(
      `--max-concurrency ${flags.maxConcurrency} leaves nothing for some of ${parts} parts`,
    );
  }
  if (flags.sweep && (flags.rate ?? flags.concurrency) !== undefined) {
    throw usage("--sweep finds its rates itself: no --rate, no --concurrency");
  }
  if (flags.search && flags.slo === undefined) throw usage("--search needs the limits of --slo");
  if (flags.search && flags.concurrency !== undefined) throw both("--search", "--concurrency");
  if (flags.rampKind === "exponential" && flags.rampFrom === 0 && flags.ramp !== undefined) {
    throw usage("--ramp-kind exponential needs a --ramp-from above 0");
  }
  const made = flags.prompt ?? flags.promptTokens ?? flags.outputTokens;
  if (hasBodies && (made !== undefined || flags.turns > 1 || flags.whole)) {
    throw usage(
      "A body that is given is sent as it is: no --prompt, --whole, --turns and the like",
    );
  }
  if (!hasBodies && api === "raw") {
    throw usage("Nobody knows what to post to this path: give --body, --method GET, or --api");
  }
  if (flags.turns > 1 && api === "embeddings") throw usage("Embeddings have no --turns");
  if (flags.prompt !== undefined && flags.promptTokens !== undefined) {
    throw both("--prompt", "--prompt-tokens");
  }
}

/** @throws {Failure} for limits on figures that no answer can have. */
function refuseSlo(
  { slo, whole }: Flags,
  api: Api,
  bodies: readonly (string | undefined)[] | undefined,
): void {
  const isWhole = whole || api === "embeddings" ||
    (bodies !== undefined && api !== "raw" && !bodies.some(asksForStream));
  const name = isWhole ? unjudgeable(slo) : undefined;
  if (name === undefined) return;
  const what = api === "embeddings" ? "embeddings have" : "an answer that is no stream has";
  throw usage(`--slo ${name}: ${what} no ${SLO_FIGURES[name]}; e2e can be judged`);
}

function usage(message: string): Failure {
  return new Failure(message, EXIT.usage);
}
