/**
 * `weir load URL`: puts a load on any server that speaks the API of a model, and says what failed,
 * what was measured, and how far to believe it.
 *
 * @module
 */

import { shownUrl } from "../lib/userinfo.ts";
import { defineCommand } from "./command.ts";
import type { FlagValues } from "./flags.ts";
import { compareRuns, mergeRuns } from "./load_files.ts";
import { LOAD_FLAGS } from "./load_flags.ts";
import { FOREIGN_FLAGS } from "./load_foreign.ts";
import { burstOptions, loadOptions } from "./load_options.ts";
import { kindOf, refuseFlags, refuseForFiles } from "./load_rules.ts";
import { runLoad } from "./load_run.ts";
import { workLoad } from "./load_worker.ts";
import { workerPart } from "./load_protocol.ts";
import { autoWorkers, LoadWorkers, refuseForWorkers } from "./load_workers.ts";
import { measure } from "./measure.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import type { LineFile } from "./whole_files.ts";

/** Puts a load on a server. */
export const load = defineCommand({
  name: "load",
  summary: "put a load on any server that speaks a model's API, and measure it",
  details:
    "It begins with what failed, then says what was measured, and then how far to believe it. " +
    "With --rate, times count from when a request should have been sent.",
  operands: {
    url: {
      name: "URL",
      text:
        "http or https; nothing behind the host, or /v1: its chat completions. Or merge, or compare",
    },
    files: {
      name: "FILE",
      text: "merge, compare: files of --out. merge: parts of one run; compare: before and after",
      isOptional: true,
      isRepeated: true,
      completes: "files",
    },
  },
  flags: LOAD_FLAGS,
  foreign: FOREIGN_FLAGS,
  examples: [
    {
      line: "weir load http://127.0.0.1:8080",
      text: "eight at once, for ten seconds",
    },
    {
      line:
        "weir load http://127.0.0.1:8080/v1 -m gpt-4o -H 'Authorization: Bearer sk-1' --requests 20",
      text: "a server that wants a key, by the base URL that SDKs have",
    },
    {
      line: "weir load http://127.0.0.1:8080 --concurrency 1,8 --requests 50",
      text: "one at a time, then eight at once",
    },
    {
      line: "weir load http://127.0.0.1:8080 --prompt-tokens 500 --requests 20 --html load.html",
      text: "prompts of 500 tokens, and the report as a page for a browser",
    },
    {
      line:
        "weir load http://127.0.0.1:8080 --rate 50 --duration 2s --slo ttft=300ms,tpot=50ms --json",
      text: "50 requests a second, as they come by chance, and the share that was good enough",
    },
    {
      line: "weir load http://127.0.0.1:8080 --search -r 20,40 --slo ttft=5s --duration 1s",
      text: "the highest rate, from 20 to 40 a second, that keeps a limit",
    },
    {
      line: "weir load merge one.json two.json -o both.json",
      text: "what two machines with --shard 1/2 and 2/2 have measured, as one run",
    },
    {
      line: "weir load compare before.json after.json",
      text: "exits with 1 if the second is slower, and that is no chance",
    },
  ],
  exits: {
    [EXIT.done]: "every request was completed, and the limits of --slo hold",
    [EXIT.failed]:
      "requests failed, or the limits of --slo do not hold; compare: the second is slower",
    [EXIT.usage]: "the command line is wrong, or a file cannot be read or written",
    [EXIT.doubtful]: "the figures are to be doubted: see --max-loop-ms",
    [EXIT.interrupted]: "interrupted by Ctrl-C; the report is of what was there until then",
  },
  run({ operands: { url, files }, ...call }, terminal) {
    if (url === "merge" || url === "compare") {
      refuseForFiles(url, call.given);
      return (url === "merge" ? mergeRuns : compareRuns)(files, call.flags, terminal);
    }
    if (files.length > 0) {
      const [first] = files as [string];
      const hint = first.includes("://") ? ": another server is --endpoint" : "";
      throw new Failure(`Unexpected argument "${shownUrl(first)}"${hint}`, EXIT.usage);
    }
    return runLoadOrBurst("load", url, call, terminal);
  },
});

/** How a load is called. */
interface LoadCall {
  readonly flags: FlagValues<typeof LOAD_FLAGS>;
  readonly given: ReadonlySet<string>;
  readonly words: readonly string[];
}

/**
 * Runs what the flags ask for: a burst of streams that are followed byte by byte, or a load. Without
 * a word of either, `load` and `bench` differ.
 *
 * @throws {Failure} with exit code 2 when the flags do not go together.
 */
export function runLoadOrBurst(
  name: "load" | "bench",
  url: string,
  { flags, given, words }: LoadCall,
  terminal: Terminal,
): Promise<number> {
  const isBurst = kindOf(name, given) === "burst";
  refuseFlags(given, flags);
  if (isBurst) return measure(burstOptions(name, url, flags), terminal);
  // What is wrong is said once, and not by every worker.
  const options = loadOptions(name, url, flags);
  const part = workerPart();
  if (part !== undefined) return workLoad(options, part);
  if (options.leftOut !== undefined) terminal.complain(options.leftOut);
  const wanted = flags.workers ?? 1;
  const chosen = wanted === "auto" ? autoWorkers(options.need) : { count: wanted, why: undefined };
  if (chosen.why !== undefined) terminal.complain(chosen.why);
  if (chosen.count === 1) return runLoad(options, terminal);
  refuseForWorkers(options);
  const { count } = chosen;
  const start = (raw: LineFile | undefined) =>
    LoadWorkers.start(count, [name, ...words], options, raw);
  return runLoad(options, terminal, start);
}
