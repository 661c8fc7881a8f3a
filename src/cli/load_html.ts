/**
 * What the page of a load says of how it was run. A secret that went out with a request, and what looks
 * like one, stands nowhere on it: servers repeat keys in their errors.
 *
 * @module
 */

import { shownUrl } from "../lib/userinfo.ts";
import type { About } from "../load/report/html.ts";
import { type LoadOptions, SEARCH_RATE } from "./load_options.ts";
import { cleaner, cleanerOf } from "./load_secrets.ts";
import { commit, VERSION } from "./version.ts";

/** What is known of a run that begins now. */
export function aboutOf(options: LoadOptions): About {
  const { endpoints, api, model } = options;
  const [first, ...others] = endpoints.map(({ url }) => shownUrl(url));
  const clean = cleanerOf(options);
  const facts = [
    ...(others.length === 0 ? [] : [["other servers", others.join(", ")] as const]),
    ["API", api] as const,
    ...(options.bodies === undefined && options.trace === undefined
      ? [["model", model] as const]
      : []),
    ...whichLoads(options),
    ...howLong(options),
    ...whatIsAsked(options),
    ["weir", `${VERSION} (commit ${commit()}, Bun ${Bun.version})`] as const,
  ];
  return {
    heading: first!,
    under: `weir load, ${new Date().toISOString()}`,
    facts: facts.map(([name, value]) => [name, clean(value)]),
    found: [],
    goodShareMin: options.flags.sloShare,
    clean,
  };
}

/** What is known of a run that is made of files. */
export function aboutFiles(
  command: "merge" | "compare",
  paths: readonly string[],
  goodShareMin: number,
): About {
  return {
    heading: paths.join(command === "merge" ? " + " : " → "),
    under: `weir load ${command}, ${new Date().toISOString()}`,
    facts: [],
    found: [],
    goodShareMin,
    clean: cleaner([]),
  };
}

type Fact = readonly [name: string, value: string];

function whichLoads({ flags }: LoadOptions): readonly Fact[] {
  const { sweep, sweepSize, search, rate = [], workers, slo, sloShare } = flags;
  const [from = SEARCH_RATE, to] = rate;
  const limits = Object.entries(slo ?? {}).map(([name, ms]) => `${name} ${ms} ms`).join(", ");
  return [
    ...(sweep ? [["sweep", `${sweepSize} rates`] as const] : []),
    ...(search
      ? [["search", `from ${from}/s${to === undefined ? "" : ` to ${to}/s`}`] as const]
      : []),
    ...(limits === "" ? [] : [
      [
        "limits",
        `${limits}, for ${Number((100 * sloShare).toFixed(3))} % of the requests`,
      ] as const,
    ]),
    ...(workers === undefined ? [] : [["workers", String(workers)] as const]),
  ];
}

function howLong({ flags, durationMs }: LoadOptions): readonly Fact[] {
  const { warmup, requests, rounds, seed, shard, ramp, grace } = flags;
  const seconds = (ms: number) => `${ms / 1000} s`;
  return [
    ...(Number.isFinite(durationMs) ? [["for", seconds(durationMs)] as const] : []),
    ...(requests === undefined ? [] : [["requests", `${requests} at most`] as const]),
    ...(warmup === undefined ? [] : [
      [
        "warm-up",
        "ms" in warmup ? seconds(warmup.ms) : `${warmup.requests} requests`,
      ] as const,
    ]),
    ...(rounds > 1 ? [["rounds", String(rounds)] as const] : []),
    ...(ramp === undefined ? [] : [["ramp", `${flags.rampKind}, ${seconds(ramp)}`] as const]),
    ...(shard === undefined ? [] : [["shard", `${shard.index + 1} of ${shard.count}`] as const]),
    ["grace", seconds(grace)],
    ["seed", String(seed)],
  ];
}

function whatIsAsked({ flags, bodies }: LoadOptions): readonly Fact[] {
  const { promptTokens, outputTokens, turns, trace, leaveAfter, readRate } = flags;
  const asked = [
    ...(bodies === undefined ? [] : [
      flags.method === "GET"
        ? "GET"
        : `${bodies.length} ${bodies.length === 1 ? "body" : "bodies"}`,
    ]),
    ...(trace.length === 0 ? [] : [`${trace.join(", ")}, ${flags.speed} times as fast`]),
    ...(promptTokens === undefined ? [] : [`prompts of ${promptTokens} tokens`]),
    ...(outputTokens === undefined ? [] : [`answers of ${outputTokens} tokens at most`]),
    ...(flags.whole ? ["answers in one piece"] : []),
    ...(turns > 1 ? [`conversations of ${turns} questions`] : []),
  ];
  const clients = [
    ...(leaveAfter === undefined ? [] : [`leave after ${leaveAfter} tokens`]),
    ...(readRate === undefined ? [] : [`read ${readRate} bytes a second`]),
    ...(flags.newConnections ? ["a connection for each request"] : []),
  ];
  return [
    ...(asked.length === 0 ? [] : [["asked", asked.join(", ")] as const]),
    ...(clients.length === 0 ? [] : [["clients", clients.join(", ")] as const]),
  ];
}
