/**
 * One round of a stage: what whoever runs it has to do, and this process as the one that does.
 *
 * @module
 */

import { seeded } from "../lib/seeded.ts";
import { type KeptStream, StreamKeeper } from "../load/kept_streams.ts";
import { Gathered } from "../load/metrics/gathered.ts";
import { rawLine, type RawPlace } from "../load/report/raw.ts";
import type { Round } from "../load/report/report.ts";
import { TOOLS } from "../load/report/tools/tools.ts";
import { LoadRun, type Progress } from "../load/run.ts";
import { type Shard, WHOLE } from "../load/shape/shards.ts";
import type { Stage } from "../load/shape/stages.ts";
import type { Spread } from "../load/spread.ts";
import { factsOf } from "../load/stage_facts.ts";
import { Tally } from "../load/tally.ts";
import { warmUp } from "../load/warm_up.ts";
import { TokenCounters } from "../sources/tokens.ts";
import type { LoadOptions } from "./load_options.ts";
import { makerOf } from "./load_requests.ts";
import { cleanerOf } from "./load_secrets.ts";
import { shapeOf, warmupIn } from "./load_shape.ts";
import type { HeldLines } from "./whole_files.ts";

/** Texts above this are estimated, in bytes. */
const COUNT_BYTES_MAX = 4 * 1024 * 1024;
const TIMEOUT_MS = 600_000;

/** How far a round is. */
export interface RoundProgress extends Progress {
  /** Since its start. */
  readonly nowMs: number;
  readonly failed: number;
  /** First tokens so far. */
  readonly ttft: Spread;
}

/** What a round has found. */
export interface RoundResult {
  readonly round: Round;
  /** Streams that may be worth showing. */
  readonly kept: readonly KeptStream[];
  /** For the tool of `--as`; undefined = there is none. */
  readonly gathered: Gathered | undefined;
  /** A process has died, and there is one less to go on with. */
  readonly isBroken: boolean;
}

/** A round that runs. */
export interface RunningRound {
  progress(): RoundProgress;
  /** Ends it now. "interrupted": and says so. */
  end(why: EndReason): void;
  readonly result: Promise<RoundResult>;
}

/** Why a round is ended before its time. */
export type EndReason = "interrupted" | "saturated";

/** Starts it, at a moment of `Date.now()`; undefined = at once. */
export type StartRound = (atMs: number | undefined) => RunningRound;

/** Whoever runs the rounds of a load: this process, or several others. */
export interface LoadCrew {
  /** How many processes send. */
  readonly processes: number;
  /** Makes everything ready, so that it can start at once. `place`: of the round, in the run. */
  prepare(stage: Stage, place: RawPlace): Promise<StartRound>;
  /** After the last one. */
  close(): Promise<void>;
}

/** Where lines go. */
type Lines = Pick<HeldLines, "write">;

/** This process. `raw` gets a line for each request. */
export class LoadHere implements LoadCrew {
  readonly processes = 1;
  readonly #options: LoadOptions;
  readonly #shard: Shard;
  readonly #counter;
  readonly #raw: Lines | undefined;
  #isWarm = false;

  constructor(options: LoadOptions, shard: Shard = WHOLE, raw?: Lines) {
    this.#options = options;
    this.#shard = shard;
    this.#counter = new TokenCounters(COUNT_BYTES_MAX).of(options.model);
    this.#raw = raw;
  }

  async prepare(stage: Stage, place: RawPlace): Promise<StartRound> {
    const { round } = place;
    if (!this.#isWarm) await warmUp();
    this.#isWarm = true;
    const { flags, targets, durationMs } = this.#options;
    const count = (text: string) => this.#counter.count(text);
    const tally = new Tally({ slo: flags.slo, countTokens: count });
    const gathered = flags.as === undefined ? undefined : new Gathered(TOOLS[flags.as].read, count);
    const keeper = flags.html === undefined && flags.out === undefined
      ? undefined
      : new StreamKeeper(seeded(flags.seed + round));
    const warmup = warmupIn(this.#options, stage, round);
    const seed = flags.seed + round;
    const abort = new AbortController();
    const run = new LoadRun({
      shard: this.#shard,
      targets,
      // What is asked must not change when it is asked, on any of several machines.
      maker: makerOf(this.#options, stage, this.#counter, ~seed, this.#shard),
      load: shapeOf(this.#options, stage, seeded(seed), this.#shard.count),
      durationMs,
      requestsMax: flags.requests ?? Infinity,
      warmupMs: warmup.ms,
      warmupRequests: warmup.requests,
      graceMs: flags.grace,
      timeoutMs: flags.timeout ?? TIMEOUT_MS,
      connectMs: flags.connectTimeout,
      keepsConnections: !flags.newConnections,
      countTokens: count,
      clean: cleanerOf(this.#options),
      observe: (record) => {
        const ownTokens = tally.observe(record);
        gathered?.observe(record);
        keeper?.observe(record);
        this.#raw?.write(rawLine(record, place, ownTokens));
      },
      signal: abort.signal,
    });
    const measured = async (atMs: number | undefined): Promise<RoundResult> => {
      const startMs = atMs === undefined ? performance.now() : await momentOf(atMs, abort.signal);
      const facts = await run.measure(startMs);
      const kept = keeper?.kept() ?? [];
      return { round: { tally, facts: factsOf(facts) }, gathered, kept, isBroken: false };
    };
    return (atMs) => ({
      progress: () => ({
        ...run.progress,
        nowMs: run.nowMs,
        failed: tally.outcomes.failed,
        ttft: tally.spreads.ttft_ms,
      }),
      end: (why) => why === "interrupted" ? abort.abort() : run.end(),
      result: measured(atMs),
    });
  }

  async close(): Promise<void> {}
}

/** A timer takes no more: some 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/**
 * Waits until `Date.now()` is `atMs`, or `signal` aborts. Gives that moment as `performance.now()` has
 * it: what a timer is late is no time of the schedule.
 */
async function momentOf(atMs: number, signal: AbortSignal): Promise<number> {
  for (let leftMs = atMs - Date.now(); leftMs > 0 && !signal.aborted; leftMs = atMs - Date.now()) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = () => resolve();
    const timer = setTimeout(wake, Math.min(leftMs, TIMER_MS_MAX));
    signal.addEventListener("abort", wake, { once: true });
    await promise;
    signal.removeEventListener("abort", wake);
    clearTimeout(timer);
  }
  return performance.now() - Math.max(0, Date.now() - atMs);
}
