/**
 * What a benchmark found, as data: the runner fills it in, the report reads it.
 *
 * @module
 */

import type { LoadResult } from "./load.ts";
import { type Machine, STOLEN_SHARE_MAX } from "./machine.ts";
import type { StreamsFound } from "./streams.ts";

/** What the upstream is called where clients ask it themselves. */
export const UPSTREAM_ITSELF = "the upstream itself";

/** A ratio over several rounds: each round's two halves ran shortly one after the other. */
export interface Ratio {
  /** Rounds it is made of. */
  readonly rounds: number;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One run of a load generator, and what it cost the server. */
export interface WholeRound extends LoadResult {
  /** Processor time of the server per request, in microseconds: holds under noise better than rates. */
  readonly cpuUsPerRequest: number;
  /** Processor time of the client and of the upstream per request, in microseconds. */
  readonly besideUsPerRequest: number;
  /** Time that others took from the server's cores, as a share of the run. */
  readonly stolenShare: number;
}

/** One server in one whole-answer case at one number of connections. */
export interface WholeRow {
  readonly caseTitle: string;
  readonly connections: number;
  readonly server: string;
  /** One result per round with the tool that the ratios are made of, then one of each other tool. */
  readonly results: readonly WholeRound[];
  /** Weir's requests per second as a share of this server's; undefined for weir itself. */
  readonly weirRatio: Ratio | undefined;
  /** This server's processor time per request as a multiple of weir's: what is judged. */
  readonly weirCpuRatio: Ratio | undefined;
  readonly peakRssKib: number;
}

/** One server in one paced case. */
export interface PacedRow {
  readonly caseTitle: string;
  readonly streams: number;
  readonly server: string;
  readonly rounds: readonly PacedRound[];
}

/** One run of a paced case. */
export interface PacedRound {
  readonly found: StreamsFound;
  /** Processor time of the server per event, in microseconds. */
  readonly cpuUsPerEvent: number;
  readonly peakRssKib: number;
  /** Time that others took from the server's core, as a share of the run. */
  readonly stolenShare: number;
  /**
   * The most that the server's own loop was late, by its own metric and rounded up to the edge of a
   * bucket; undefined for a server that does not say, and null in JSON where it was over all edges.
   */
  readonly loopLateMs: number | null | undefined;
}

/** Memory of many open things, of one server in one case. */
export interface IdleRow {
  /** The name of the case. */
  readonly name: string;
  readonly server: string;
  readonly count: number;
  readonly rounds: readonly IdleRound[];
}

/** One start of the server, and what it took more with them than without. */
export interface IdleRound {
  readonly idleKib: number;
  readonly openKib: number;
  readonly kibEach: number;
}

/** The starts of one server. */
export interface StartRow {
  readonly server: string;
  readonly starts: readonly Start[];
}

/** One start. */
export interface Start {
  /** From before the process was made until /health had answered 200. */
  readonly readyMs: number;
  /** The longest that the loop was held up at once, from the first answer of any kind on. */
  readonly blockMs: number;
}

/** Everything that one run found. */
export interface Results {
  readonly machine: Machine;
  readonly isQuick: boolean;
  readonly rounds: number;
  readonly secondsPerRun: number;
  readonly whole: readonly WholeRow[];
  readonly paced: readonly PacedRow[];
  readonly idle: readonly IdleRow[];
  readonly starts: readonly StartRow[];
  /** What was left out, and why. */
  readonly skipped: readonly string[];
}

/** The median of `values`, which must not be empty. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The ratios `ours[i] / theirs[i]` of every round. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): Ratio {
  const ratios = ours.map((value, i) => value / theirs[i]!);
  return { rounds: ratios.length, median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
}

/** The ratio over the rounds in which both had the core to themselves; over all, if none is such. */
export function pairRatio(
  ones: readonly WholeRound[],
  others: readonly WholeRound[],
  key: "requestsPerSecond" | "cpuUsPerRequest",
): Ratio {
  const pairs = ones.map((one, i) => [one, others[i]!] as const);
  const quiet = pairs.filter((pair) => pair.every(isQuiet));
  const used = quiet.length > 0 ? quiet : pairs;
  return ratioOf(used.map(([one]) => one[key]), used.map(([, other]) => other[key]));
}

/** How busy the client's core was with the client: near 1, it was the limit and not the server. */
export function clientShare({ clientCpuUs, requests, requestsPerSecond }: LoadResult): number {
  return requests === 0 ? 0 : (clientCpuUs * requestsPerSecond) / (1e6 * requests);
}

/** The rounds that ratios are made of: those of the first tool, in their order. */
export function firstTool({ results }: WholeRow): readonly WholeRound[] {
  return results.filter(({ tool }) => tool === results[0]!.tool);
}

/** Whether the server had its core to itself. */
export function isQuiet({ stolenShare }: { readonly stolenShare: number }): boolean {
  return stolenShare <= STOLEN_SHARE_MAX;
}

/**
 * `before` with the rows of `now` in place of its own, and the commits of both.
 *
 * @throws {Error} when `before` was written before there were starts and kept connections.
 */
export function added(before: Results, now: Results): Results {
  if (!Array.isArray(before.starts)) {
    throw new Error("Cannot add to results.json: it is of an older benchmark, with other fields");
  }
  const key = (row: WholeRow | PacedRow) =>
    `${row.caseTitle} ${"connections" in row ? row.connections : ""}`;
  const measured = new Set([...now.whole, ...now.paced].map(key));
  const others = <T extends WholeRow | PacedRow>(rows: readonly T[]) =>
    rows.filter((row) => !measured.has(key(row)));
  const commits = new Set([...before.machine.commit.split(", "), now.machine.commit]);
  return {
    ...now,
    machine: { ...now.machine, commit: [...commits].join(", ") },
    rounds: Math.min(before.rounds, now.rounds),
    whole: [...others(before.whole), ...now.whole],
    paced: [...others(before.paced), ...now.paced],
    idle: [
      ...before.idle.filter(({ name }) => !now.idle.some((row) => row.name === name)),
      ...now.idle,
    ],
    starts: now.starts.length > 0 ? now.starts : before.starts,
    skipped: [...new Set([...before.skipped, ...now.skipped])],
  };
}
