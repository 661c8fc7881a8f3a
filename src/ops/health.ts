/**
 * `GET /health`: is this process ready for traffic?
 *
 * @module
 */

import type { BreakerState } from "../core/events.ts";

/** What a health answer is made of. Never a secret. */
export interface Health {
  /** degraded: it answers, but `memory`, `fixtures`, `tapes`, `store` or `shared` says what is wrong with that. */
  readonly status: "starting" | "ok" | "degraded" | "draining";
  readonly version: string;
  readonly uptime_s: number;
  /** What answers chat completions: "mock" or "proxy". */
  readonly source: string;
  readonly streams_open: number;
  readonly openai_sdk_version: string;
  /** Those that routes lead to. Absent = there are none. */
  readonly upstreams?: readonly UpstreamHealth[];
  readonly [fact: string]: string | number | boolean | readonly UpstreamHealth[] | undefined;
}

/** One upstream. */
export interface UpstreamHealth {
  readonly name: string;
  readonly breaker: BreakerState;
}

/** The state that says most about several processes comes first. */
const BREAKER_STATES: readonly BreakerState[] = ["open", "half_open", "closed"];

function mergeUpstreams(healths: readonly Health[]): readonly UpstreamHealth[] {
  const all = healths.flatMap(({ upstreams = [] }) => upstreams);
  return [...Map.groupBy(all, ({ name }) => name)].map(([name, same]) => ({
    name,
    breaker: BREAKER_STATES.find((state) => same.some(({ breaker }) => breaker === state))!,
  }));
}

/** States from the one that says most about a whole to the one that says least. */
const STATES = ["degraded", "ok", "starting", "draining"] as const;

/**
 * The health of several processes, or of several apps in one, as one: it is ready as soon as one of
 * them is. The first one speaks for what they have in common.
 */
export function mergeHealth(healths: readonly Health[]): Health {
  // Whoever has something to tell of the memory tells it for all.
  const troubled = healths.find(({ memory }) => memory !== undefined && memory !== "ok");
  const withStore = healths.find(({ store }) => store !== undefined);
  const isAway = healths.some(({ shared }) => shared === "away");
  const withFixtures = healths.find(({ fixtures }) => fixtures !== undefined);
  const withTapes = healths.find(({ tapes }) => tapes !== undefined);
  return {
    ...healths[0]!,
    ...(troubled === undefined ? {} : { memory: troubled["memory"]! }),
    ...(withStore === undefined ? {} : { store: withStore["store"]! }),
    ...(isAway ? { shared: "away" } : {}),
    ...(withFixtures === undefined ? {} : { fixtures: withFixtures["fixtures"]! }),
    ...(healths[0]!.upstreams === undefined ? {} : { upstreams: mergeUpstreams(healths) }),
    ...(withTapes === undefined ? {} : { tapes: withTapes["tapes"]! }),
    status: STATES.find((state) => healths.some(({ status }) => status === state))!,
    uptime_s: Math.max(...healths.map(({ uptime_s }) => uptime_s)),
    streams_open: healths.reduce((sum, { streams_open }) => sum + streams_open, 0),
  };
}

/**
 * JSON, or `OK\n` for a client that asks for plain text, as the OpenResty mock answers
 * (docs/facts/systems.md "Health"). 200 when the status is "ok" or "degraded", so a load balancer
 * needs no parser.
 */
export function healthResponse(health: Health, accept: string | null): Response {
  const isReady = health.status === "ok" || health.status === "degraded";
  const headers = {
    "cache-control": "no-store",
    "access-control-allow-origin": "*",
    ...(isReady ? {} : { "retry-after": "1" }),
  };
  const status = isReady ? 200 : 503;
  if (wantsText(accept)) {
    const text = health.status === "ok" ? "OK\n" : `${health.status}\n`;
    return new Response(text, {
      status,
      headers: { ...headers, "content-type": "text/plain; charset=utf-8" },
    });
  }
  return Response.json(health, { status, headers });
}

/** True when plain text is asked for and JSON is not. */
function wantsText(accept: string | null): boolean {
  if (accept === null) return false;
  return /\btext\/plain\b/i.test(accept) && !/application\/json|\*\/\*/i.test(accept);
}
