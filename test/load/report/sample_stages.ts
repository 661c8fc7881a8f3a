/**
 * Stages of runs made by hand, for tests of reports.
 *
 * @module
 */

import { seeded } from "../../../src/lib/seeded.ts";
import { chosen, StreamKeeper } from "../../../src/load/kept_streams.ts";
import { KIND, type RequestFailure } from "../../../src/load/record.ts";
import type { About } from "../../../src/load/report/html.ts";
import { reportOf } from "../../../src/load/report/report.ts";
import type { Stage } from "../../../src/load/report/run_file.ts";
import type { Slo } from "../../../src/load/slo.ts";
import type { StageFacts } from "../../../src/load/stage_facts.ts";
import { Tally } from "../../../src/load/tally.ts";
import { recorded, type ToldEvent } from "../recorded.ts";

const { choice, role, text, finish, usage, done } = KIND;

/** What is known of such a run. */
export const ABOUT: About = {
  heading: "http://127.0.0.1:8080/v1/chat/completions",
  under: "weir load, 2026-11-28T20:00:00.000Z",
  facts: [["API", "chat"]],
  found: [],
  goodShareMin: 0.99,
  clean: (said) => said,
};

const FACTS: StageFacts = {
  measuredMs: 10_000,
  offeredMs: 9000,
  isInterrupted: false,
  connectionsOpened: 3,
  requestsOnKept: 7,
  activeMax: 4,
  waitingMax: 0,
  loop: { p50: 0.1, p99: 1, max: 2 },
  cpuShare: 0.2,
  waitShare: 0,
  processes: 1,
  saturatedMs: null,
  troubles: [],
};

/** How a stage is made. */
export interface StageOptions {
  readonly load?: string;
  readonly requests?: number;
  /** Answers in one piece. */
  readonly isWhole?: boolean;
  /** Why a request failed; undefined = it did not. */
  readonly failure?: (number: number) => RequestFailure | undefined;
  /** Milliseconds to the first token. */
  readonly firstMs?: (number: number) => number;
  readonly slo?: Slo;
  readonly rounds?: number;
  readonly facts?: Partial<StageFacts>;
}

/** A stage of requests that are due 20 ms one after the other. */
export function sampleStage(options: StageOptions = {}): Stage {
  const { load = "50/s poisson", requests = 200, isWhole = false, rounds: count = 1, slo } =
    options;
  const random = seeded(7);
  const { failure = () => undefined, firstMs = () => 100 + 40 * random() } = options;
  const keeper = new StreamKeeper(seeded(1));
  const rounds = Array.from({ length: count }, () => {
    const tally = new Tally({ slo, countTokens: undefined });
    for (let number = 0; number < requests; number++) {
      const dueMs = 20 * number;
      const failed = failure(number);
      const at = dueMs + firstMs(number);
      const events: readonly ToldEvent[] = failed !== undefined || isWhole ? [] : [
        [at - 50, choice | role],
        [at, choice | text, "one"],
        [at + 20, choice | text, " two"],
        [at + 45, choice | text, " three"],
        [at + 46, choice | finish | usage],
        [at + 47, done],
      ];
      const record = recorded(events, {
        dueMs,
        sentMs: dueMs + 2,
        endMs: at + 47,
        outcome: failed === undefined ? "completed" : "failed",
        status: failed === undefined ? 200 : failed.status ?? 0,
        usage: { promptTokens: 3, completionTokens: 3 },
      });
      record.number = number;
      record.failure = failed;
      tally.observe(record);
      keeper.observe(record);
    }
    return { tally, facts: { ...FACTS, ...options.facts } };
  });
  const limits = { loopMsMax: 5, ratePerSecond: undefined, concurrencyMax: Infinity };
  const report = reportOf(rounds, { load, slo, countTokens: undefined, limits });
  const streams = chosen(keeper.kept(), report.e2e_ms?.p50);
  return { report, startedAtMs: 0, rounds, slo, limits, streams };
}
