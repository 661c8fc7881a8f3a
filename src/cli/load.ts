/**
 * `weir load URL`: puts a load on any server that speaks the API of a model, and says what failed,
 * what was measured, and how far to believe it.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import { LOAD_FLAGS } from "./load_flags.ts";
import { loadOptions } from "./load_options.ts";
import { runLoad } from "./load_run.ts";
import { EXIT } from "./terminal.ts";

/** Puts a load on a server. */
export const load = defineCommand({
  name: "load",
  summary: "put a load on any server that speaks a model's API, and measure it",
  details:
    "It begins with what failed, then says what was measured, and then how far to believe it. " +
    "With --rate, times count from when a request should have been sent.",
  operands: {
    url: { name: "URL", text: "http or https; without a path: /v1/chat/completions" },
  },
  flags: LOAD_FLAGS,
  examples: [
    {
      line: "weir load http://127.0.0.1:8080 --concurrency 1,8 --requests 50",
      text: "one at a time, then eight at once",
    },
    {
      line:
        "weir load http://127.0.0.1:8080 --rate 50 --duration 2s --slo ttft=300ms,tpot=50ms --json",
      text: "50 requests a second, as they come by chance, and the share that was good enough",
    },
  ],
  exits: {
    [EXIT.done]: "every request was completed, and the limits of --slo hold",
    [EXIT.failed]: "requests failed, or the limits of --slo do not hold",
    [EXIT.doubtful]: "the figures are to be doubted: see --max-loop-ms",
    [EXIT.interrupted]: "interrupted by Ctrl-C; the report is of what was there until then",
  },
  run: ({ flags, operands }, terminal) => runLoad(loadOptions(operands.url, flags), terminal),
});
