/**
 * `weir bench URL`: `weir load` under its older name. Without a load it opens many streams at once and
 * says how late their events come.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import { FOREIGN_FLAGS } from "./load_foreign.ts";
import { LOAD_FLAGS } from "./load_flags.ts";
import { runLoadOrBurst } from "./load.ts";
import { EXIT } from "./terminal.ts";

/** Measures a server. */
export const bench = defineCommand({
  name: "bench",
  summary: "load; by itself, a burst of streams and how late their events come",
  details:
    "It asks the server a few times first, and says at the end whether to believe the figures.",
  operands: {
    url: { name: "URL", text: "http or https; without a path: /v1/chat/completions" },
  },
  flags: LOAD_FLAGS,
  foreign: FOREIGN_FLAGS,
  examples: [
    { line: "weir bench http://127.0.0.1:8080", text: "a weir on this machine" },
    {
      line: "weir bench http://127.0.0.1:8080/v1/chat/completions -n 200 -s 1 --json",
      text: "200 streams within a second, the report as JSON",
    },
    {
      line: "weir bench http://127.0.0.1:8080 -H 'authorization: Bearer sk-1' --events free",
      text: "a server that wants a key, and whose answers differ",
    },
  ],
  exits: {
    [EXIT.done]: "the figures can be believed, and no event was lost",
    [EXIT.failed]: "an answer failed or was not whole, or the server gave no event stream",
    [EXIT.doubtful]: "the figures are to be doubted: see --max-loop-ms",
    [EXIT.interrupted]: "interrupted by Ctrl-C; the report is of what was there until then",
  },
  run: ({ operands, ...call }, terminal) => runLoadOrBurst("bench", operands.url, call, terminal),
});
