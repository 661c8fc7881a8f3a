/**
 * What the flags of `weir load` ask for, checked and put together.
 *
 * @module
 */

import { X509Certificate } from "node:crypto";
import { type Api, apiOfPath, asksForStream, formOf } from "../load/requests/bodies.ts";
import type { Endpoint } from "../load/requests/makers.ts";
import type { LinkTarget } from "../load/link.ts";
import { SLO_FIGURES, unjudgeable } from "../load/slo.ts";
import { listed, search, type Stage, type StagePlan, sweep } from "../load/shape/stages.ts";
import { targetOf } from "../load/stream_probe.ts";
import type { FlagValues } from "./flags.ts";
import type { LOAD_FLAGS } from "./load_flags.ts";
import { cleanerOf } from "./load_secrets.ts";
import { apiOf, endpointOf, type Url, urlOf } from "./load_url.ts";
import { placesOf } from "./load_places.ts";
import { readTraces } from "./load_trace.ts";
import { saysLength } from "../load/traces/bodies.ts";
import { type TraceRequest, turnsOf } from "../load/traces/trace.ts";
import type { BenchOptions } from "./measure.ts";
import { readText } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

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
  /** What of it is not asked, in a sentence. */
  readonly leftOut: string | undefined;
}

/** @throws {Failure} when the flags do not go together, or a file cannot be read. */
export function loadOptions(name: string, text: string, flags: Flags): LoadOptions {
  const urls = [text, ...flags.endpoint].map((one) => urlOf(name, one, flags.api));
  const api = apiOf(urls, flags.api);
  const bodies = bodiesOf(flags);
  refuse(flags, api, urls, bodies !== undefined);
  refuseSlo(flags, api, bodies);
  const traces = flags.trace.length === 0 ? undefined : readTraces(flags, api);
  const trace = traces?.requests;
  if (flags.outputTokens !== undefined && trace?.flatMap(turnsOf).every(saysLength)) {
    throw usage("--output-tokens would do nothing: every request of --trace says its own length");
  }
  const isTimed = trace !== undefined && trace.every(({ atMs }) => atMs !== undefined) &&
    (flags.rate ?? flags.concurrency) === undefined;
  const ca = flags.caFile === undefined ? undefined : readAuthorities(flags.caFile);
  return {
    flags,
    plan: planOf(flags, isTimed),
    need: needOf(flags, isTimed, trace),
    isSingle: !flags.sweep && !flags.search && listedStages(flags, isTimed).length === 1,
    endpoints: urls.map((url) => ({
      ...endpointOf(url, api, flags.header),
      form: formOf(api, flags.method),
    })),
    targets: urls.map((url) => linkTarget(url, ca, flags.insecure)),
    api,
    model: flags.model ?? "gpt-4o",
    durationMs: flags.duration ??
      (flags.requests === undefined && !isTimed ? DURATION_MS : Infinity),
    bodies,
    trace,
    leftOut: traces?.leftOut,
  };
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
  const asked = urlOf(name, text, undefined);
  const { url, headers } = endpointOf(asked, apiOfPath(asked.pathname), header);
  if (method !== "GET") bodiesOf(flags);
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

/** A search begins with this rate unless it is told. */
export const SEARCH_RATE = 1;
/** A search ends here, and a sweep asks no more at once. */
const SEARCH_RATE_MAX = 100_000;
const SWEEP_CONCURRENCY = 512;

function planOf(flags: Flags, isTimed: boolean): StagePlan {
  const { sweep: isSweep, sweepSize, search: isSearch, rate } = flags;
  if (isSweep) return sweep(sweepSize, sweepConcurrency(flags));
  if (isSearch) return search(rate?.[0] ?? SEARCH_RATE, rate?.[1] ?? SEARCH_RATE_MAX);
  return listed(listedStages(flags, isTimed));
}

/** How many a sweep asks at once; how many processes `auto` takes is not known yet. */
function sweepConcurrency(flags: Flags): number {
  const processes = typeof flags.workers === "number" ? flags.workers : 1;
  return Math.min(SWEEP_CONCURRENCY, placesOf(flags, processes));
}

function needOf(
  flags: Flags,
  isTimed: boolean,
  trace: readonly TraceRequest[] | undefined,
): LoadNeed {
  const { sweep: isSweep, search: isSearch, rate, speed } = flags;
  if (isSweep) return { atOnce: sweepConcurrency(flags), perSecond: 0 };
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

/** What weir knows of bodies that are given. */
function bodiesOf(flags: Flags): readonly (string | undefined)[] | undefined {
  if (flags.method === "GET") return [undefined];
  const isJson = !flags.header.some(([name]) => name.toLowerCase() === "content-type");
  if (flags.body !== undefined) {
    if (isJson) refuseBody(flags.body, "--body");
    return [flags.body];
  }
  if (flags.bodies.length === 0) return undefined;
  return flags.bodies.flatMap((path) => {
    const lines = readText(path, "--bodies", EXIT.usage).split("\n");
    const bodies = lines.flatMap((line, at) => {
      if (line.trim() === "") return [];
      if (isJson) refuseBody(line, `--bodies ${path}, line ${at + 1}`);
      return [line];
    });
    if (bodies.length === 0) throw usage(`--bodies: ${path} has no line`);
    return bodies;
  });
}

/** What is most probably meant by what is no body. */
const MEANT: readonly (readonly [RegExp, string])[] = [
  [/^@/, "bodies in a file are --bodies FILE, one on each line"],
  [/^\d+(?:\.\d+)?(?:ms|s|m|min|h)$/, "a time is --duration"],
];

/** @throws {Failure} for what is no JSON object: every API wants one. Its text may be a secret. */
function refuseBody(text: string, name: string): void {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return;
  const hint = MEANT.find(([form]) => form.test(text))?.[1] ??
    "for anything else say what it is, with -H 'Content-Type: …'";
  throw usage(`${name} is no JSON object: ${hint}`);
}

/** @throws {Failure} for a file that holds no certificate. */
function readAuthorities(path: string): string {
  const text = readText(path, "--ca-file", EXIT.usage);
  try {
    new X509Certificate(text);
    return text;
  } catch {
    throw usage(`--ca-file ${path} has no certificate: it must be PEM`);
  }
}

/** @throws {Failure} for what the API, the URLs and the numbers do not allow. */
function refuse(flags: Flags, api: Api, urls: readonly Url[], hasBodies: boolean): void {
  const parts = (flags.shard?.count ?? 1) * (typeof flags.workers === "number" ? flags.workers : 1);
  if (flags.maxConcurrency !== undefined && flags.maxConcurrency < parts) {
    throw usage(
      `--max-concurrency ${flags.maxConcurrency} leaves nothing for some of ${parts} parts`,
    );
  }
  const [from = 0, to = Infinity, ...more] = flags.rate ?? [];
  if (flags.search && (to <= from || more.length > 0)) {
    throw usage("--search takes one number of --rate to begin with, or that and a higher one");
  }
  if (flags.rampKind === "exponential" && flags.rampFrom === 0) {
    throw usage("--ramp-kind exponential needs a --ramp-from above 0");
  }
  if (urls.every(({ protocol }) => protocol === "http:")) {
    const name = flags.insecure ? "--insecure" : flags.caFile === undefined ? "" : "--ca-file";
    if (name !== "") throw usage(`${name} is of https, and no URL here is`);
  }
  if (!hasBodies && api === "raw") {
    throw usage("Nobody knows what to post to this path: give --body, --method GET, or --api");
  }
  if (hasBodies || api !== "embeddings") return;
  const name = flags.turns > 1
    ? "--turns"
    : flags.outputTokens
    ? "--output-tokens"
    : flags.leaveAfter
    ? "--leave-after"
    : "";
  if (name !== "") throw usage(`Embeddings have no ${name}`);
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
