/**
 * `weir verdict`: what clients of a weir that runs have made of the faults that fixtures gave them.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { switchFlag, textFlag } from "./flags.ts";
import { runningWeir, URL_FLAG } from "./running.ts";
import { readSettings, warn } from "./settings.ts";
import { EXIT } from "./terminal.ts";

/** What `/__weir/verdict` answers, as far as lines show it. */
interface Verdict {
  readonly ok: boolean;
  readonly findings: readonly {
    readonly check: string;
    readonly ok: boolean | null;
    readonly request: string;
    readonly fixture: string | null;
    readonly text: string;
  }[];
}

/** Tells the verdict. */
export const verdict = defineCommand({
  name: "verdict",
  summary: "tell what clients have made of the faults that fixtures gave them",
  details:
    "A line for each fault among the last requests: whether the client asked again, waited as it was told, " +
    "noticed that an answer broke off, and ran no tool twice. The weir must run with ops.journal: bodies.",
  operands: {},
  flags: {
    ...URL_FLAG,
    session: textFlag({ value: "NAME", text: "only requests with this x-weir-session" }),
    json: switchFlag({ text: "as JSON" }),
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "weir verdict --url http://127.0.0.1:8080", text: "of a weir on this machine" },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.done]: "no client did what it should not",
    [EXIT.failed]: "one did; or the config is wrong, no weir answers, or it keeps no bodies",
  },
  async run({ flags }, terminal) {
    const settings = readSettings(settingOptions(flags), terminal);
    warn(settings.warnings, terminal);
    const query = flags.session === undefined
      ? ""
      : `?session=${encodeURIComponent(flags.session)}`;
    const weir = runningWeir(settings, flags.url);
    const { ok, findings } = await weir.get(`/__weir/verdict${query}`) as Verdict;
    if (flags.json) terminal.print(JSON.stringify({ ok, findings }, null, 2));
    else if (findings.length === 0) terminal.print("No fixture has answered with a fault.");
    else for (const finding of findings) terminal.print(lineOf(finding));
    return ok ? EXIT.done : EXIT.failed;
  },
});

function lineOf({ check, ok, request, fixture, text }: Verdict["findings"][number]): string {
  const word = ok === null ? "unknown" : ok ? "ok" : "FAILED";
  return `${word.padEnd(8)} ${check}: ${text} (request ${request}, fixture ${fixture})`;
}
