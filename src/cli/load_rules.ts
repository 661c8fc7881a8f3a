/**
 * Which flags of a load go together. A flag that would do nothing is refused: whoever types it
 * believes that it does something.
 *
 * @module
 */

import { longName, oneOf } from "./flags.ts";
import type { Flags } from "./load_options.ts";
import { EXIT, Failure } from "./terminal.ts";

type Key = keyof Flags & string;

/** One rule, about one flag that is on the command line. */
interface Rule {
  readonly flag: Key;
  /** It is about this value of the flag alone. */
  readonly is?: string;
  /** Holds where one of these is there. */
  readonly when?: readonly Key[];
  /** One of them must be there. */
  readonly needs?: readonly Key[];
  /** None of them may be there. */
  readonly excludes?: readonly Key[];
  readonly why: string;
}

const RATES = ["rate", "sweep", "search"] as const;
const GIVEN = "what is given is sent as it is";
const MADE = ["prompt", "promptTokens", "outputTokens", "turns", "whole", "model"] as const;
const FINDS = "it goes on by what all of the load has found, which one machine of several " +
  "does not know (--workers knows)";

/** Read from the top: the first that is broken is told. */
const RULES: readonly Rule[] = [
  { flag: "rate", excludes: ["concurrency"], why: "with --rate it is --max-concurrency" },
  { flag: "sweep", excludes: ["search"], why: "one of them" },
  { flag: "sweep", excludes: ["rate", "concurrency"], why: "it finds its rates itself" },
  { flag: "sweep", excludes: ["shard"], why: FINDS },
  { flag: "search", excludes: ["shard"], why: FINDS },
  { flag: "search", needs: ["slo"], why: "these are the limits that a rate is to keep" },
  { flag: "search", excludes: ["concurrency"], why: "it looks for a rate" },
  {
    flag: "maxConcurrency",
    needs: [...RATES, "trace"],
    why: "without a rate, what other tools call so is --concurrency N: so many are always at once",
  },
  { flag: "maxConcurrency", excludes: ["concurrency"], why: "both are requests at once" },
  { flag: "arrivals", needs: RATES, why: "without a rate nothing arrives by a schedule" },
  { flag: "rampFrom", needs: ["ramp"], why: "it is where a ramp begins" },
  { flag: "rampFrom", needs: RATES, why: "a concurrency is reached from nothing" },
  { flag: "rampKind", needs: ["ramp"], why: "it is how a ramp rises" },
  { flag: "rampKind", needs: RATES, why: "a concurrency is reached evenly" },
  {
    flag: "ramp",
    when: ["trace"],
    needs: [...RATES, "concurrency"],
    why: "a trace has its own times",
  },
  { flag: "rampKind", is: "exponential", needs: ["rampFrom"], why: "nothing grows from 0" },
  { flag: "sweepSize", needs: ["sweep"], why: "it is how many rates a sweep has" },
  {
    flag: "stopWhenSaturated",
    needs: [...RATES, "trace"],
    why: "a closed loop asks for no more than is answered",
  },
  {
    flag: "grace",
    when: ["requests", "trace"],
    needs: ["duration"],
    why: "without a time that ends, all that is sent is waited for",
  },
  { flag: "speed", needs: ["trace"], why: "it is how fast a trace is asked" },
  {
    flag: "speed",
    excludes: [...RATES, "concurrency"],
    why: "then the trace is not asked at its own times",
  },
  {
    flag: "think",
    when: [...RATES, "trace"],
    needs: ["turns", "concurrency"],
    why: "requests on a schedule wait for no answer",
  },
  {
    flag: "leaveAfter",
    excludes: ["whole"],
    why: "nobody leaves in the middle of an answer that comes in one piece",
  },
  { flag: "leaveShare", needs: ["leaveAfter"], why: "it is the share of clients that do" },
  { flag: "sloShare", needs: ["slo"], why: "it is the share of requests that keep the limits" },
  {
    flag: "method",
    is: "GET",
    excludes: ["body", "bodies", "trace", "turns"],
    why: "a GET sends nothing",
  },
  { flag: "method", is: "GET", excludes: MADE, why: "a GET sends nothing" },
  { flag: "body", excludes: ["bodies"], why: "one of them" },
  { flag: "body", excludes: MADE, why: GIVEN },
  { flag: "bodies", excludes: MADE, why: GIVEN },
  {
    flag: "trace",
    excludes: ["body", "bodies", "prompt", "promptTokens", "turns"],
    why: "a trace says what is asked",
  },
  { flag: "prompt", excludes: ["promptTokens"], why: "one of them" },
  { flag: "caFile", excludes: ["insecure"], why: "one trusts some, the other anybody" },
];

/** What a burst, and what is made of files, makes something of. */
const TAKES = {
  burst: [
    ...["streams", "seconds", "events", "timeout", "maxLoopMs"],
    ...["body", "method", "header", "json"],
  ],
  merge: ["json", "csv", "html", "out", "sloShare"],
  compare: ["json", "html"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

/** The flags that make a load a burst. */
const BURST: readonly Key[] = ["streams", "seconds", "events"];

/** What is to be run, by the flags that are there. */
export type Kind = "load" | "burst";

/**
 * Whether a burst or a load is asked for. Without a word of either, `load` and `bench` differ.
 *
 * @throws {Failure} with exit code 2 when it is both.
 */
export function kindOf(name: "load" | "bench", given: ReadonlySet<string>): Kind {
  const takes: readonly string[] = TAKES.burst;
  const burst = BURST.find((key) => given.has(key));
  const other = [...given].find((key) => !takes.includes(key));
  if (burst !== undefined && other !== undefined) {
    const hint = burst === "streams" ? " (what other tools call -n is --requests)" : "";
    throw usage(
      `${longName(burst)} is of a burst, ${longName(other)} of a load: one of them${hint}`,
    );
  }
  return burst !== undefined || (name === "bench" && other === undefined) ? "burst" : "load";
}

/** @throws {Failure} with exit code 2 for a flag that `merge` or `compare` does nothing with. */
export function refuseForFiles(name: "merge" | "compare", given: ReadonlySet<string>): void {
  const takes: readonly string[] = TAKES[name];
  const other = [...given].find((key) => !takes.includes(key));
  if (other === undefined) return;
  const why = other === "as" || other === "raw"
    ? "it needs every event of every request, which a file of --out does not have: " +
      "give it to the run itself"
    : "it is of the run itself";
  throw usage(`${name} has no ${longName(other)}: ${why}`);
}

/** @throws {Failure} with exit code 2 for the first rule that the flags of a load break. */
export function refuseFlags(given: ReadonlySet<string>, flags: Flags): void {
  for (const { flag, is, when, needs, excludes, why } of RULES) {
    if (!given.has(flag) || (is !== undefined && flags[flag] !== is)) continue;
    if (when?.some((key) => given.has(key)) === false) continue;
    const name = is === undefined ? longName(flag) : `${longName(flag)} ${is}`;
    const other = excludes?.find((key) => given.has(key));
    if (other !== undefined) {
      throw usage(`${name} and ${longName(other)} exclude each other: ${why}`);
    }
    if (needs?.some((key) => given.has(key)) === false) {
      throw usage(`${name} needs ${oneOf(needs.map(longName))}: ${why}`);
    }
  }
}

function usage(message: string): Failure {
  return new Failure(message, EXIT.usage);
}
