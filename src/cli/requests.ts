/**
 * `weir requests`: the last requests of a weir that runs, and what has answered them.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { switchFlag } from "./flags.ts";
import { runningWeir, URL_FLAG } from "./running.ts";
import { readSettings, warn } from "./settings.ts";
import { EXIT } from "./terminal.ts";

/** What `/__weir/requests` tells of a request, as far as a line shows it. */
interface Noted {
  readonly id: string;
  readonly at_ms: number;
  readonly at: string;
  readonly session: string;
  readonly method: string;
  readonly path: string;
  readonly model: string;
  readonly source: string;
  readonly fixture: string | null;
  readonly status: number | null;
  readonly faults: readonly string[];
  readonly outcome: string | null;
  readonly duration_ms: number | null;
  readonly frames: readonly (readonly [ms: number, frames: number])[];
}

/** What it answers. */
interface Answer {
  readonly requests: readonly Noted[];
  readonly count: number;
}

const LIMIT = 1000;
/** How long weir is asked to wait for the next one. */
const WAIT_MS = 30_000;
/** Between two looks at a request that has come and is not over. */
const OPEN_MS = 200;

/** Tells of requests. */
export const requests = defineCommand({
  name: "requests",
  summary: "list the last requests of a weir that runs, and what has answered them",
  operands: {},
  flags: {
    ...URL_FLAG,
    follow: switchFlag({ text: "go on with those that come" }),
    json: switchFlag({ text: "all that is known of each, as JSON on a line" }),
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "weir requests --url http://127.0.0.1:8080", text: "of a weir on this machine" },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.failed]: "the config is wrong, or no weir answers, or it keeps no requests",
  },
  async run({ flags }, terminal) {
    const settings = readSettings(settingOptions(flags), terminal);
    warn(settings.warnings, terminal);
    const weir = runningWeir(settings, flags.url);
    const told = new Set<string>();
    let since = 0;
    let query = "";
    for (;;) {
      const answer = await weir.get(
        `/__weir/requests?limit=${LIMIT}&since=${since}${query}`,
      ) as Answer;
      const isOver = ({ outcome }: Noted) => outcome !== null;
      for (const one of answer.requests) {
        if (told.has(one.id) || (flags.follow && !isOver(one))) continue;
        told.add(one.id);
        terminal.print(flags.json ? JSON.stringify(one) : lineOf(one));
      }
      if (!flags.follow) return EXIT.done;
      const open = answer.requests.find((one) => !isOver(one));
      // From the oldest that is not told on, or from the last.
      since = (open ?? answer.requests.at(-1))?.at_ms ?? since;
      const known = answer.requests.filter(({ at_ms }) => at_ms >= since);
      for (const id of told) if (!known.some((one) => one.id === id)) told.delete(id);
      query = `&wait=${known.length + 1}&timeout_ms=${open === undefined ? WAIT_MS : OPEN_MS}`;
    }
  },
});

/** A request on a line for people. */
function lineOf(one: Noted): string {
  const { session, model, fixture, source, outcome, duration_ms, frames } = one;
  const count = frames.reduce((sum, [, frames]) => sum + frames, 0);
  return [
    one.at.slice(11, 23),
    one.method,
    one.path,
    ...(model === "" ? [] : [model]),
    ...(session === "" ? [] : [`session ${session}`]),
    one.status ?? "no answer yet",
    ...(outcome === null || outcome === "completed" ? [] : [outcome]),
    ...(one.faults.length === 0 ? [] : [`fault ${one.faults.join(", ")}`]),
    ...(duration_ms === null ? [] : [`${Math.round(duration_ms)} ms`]),
    ...(count > 1 ? [`${count} frames`] : []),
    fixture === null ? source : `fixture ${fixture}`,
  ].join(" ").trimEnd();
}
