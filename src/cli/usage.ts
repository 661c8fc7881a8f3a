/**
 * `weir usage`: what answers have cost, out of the store.
 *
 * @module
 */

import { dayOf } from "../core/store.ts";
import { dayName, readReport, reportCsv, reportLines, reportTable } from "../ops/usage_report.ts";
import { openStore } from "../store/open.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { switchFlag, textFlag } from "./flags.ts";
import { shownStore, storeFailure } from "./shown_store.ts";
import { readSettings, warn } from "./settings.ts";
import { EXIT, Failure } from "./terminal.ts";

/** Tells what was used. */
export const usage = defineCommand({
  name: "usage",
  summary: "tell what answers have cost, by key, model and day",
  details:
    "Tokens and US dollars of the requests that the store has: those of a weir that runs are there within " +
    "a second. A cost is unknown where nobody knows the price of the model; prices in the config says it.",
  operands: {},
  flags: {
    by: textFlag({
      value: "LIST",
      text: "what is told apart: some of day, key and model, with commas",
      notes: ["default key"],
      mustHaveText: true,
    }),
    since: textFlag({
      value: "DAYS",
      text: "the first day, in UTC: 2026-11-28, 2026-11, today, yesterday, 7d",
      notes: ["default the first of this month"],
      mustHaveText: true,
    }),
    until: textFlag({
      value: "DAYS",
      text: "the last day, told in the same way",
      notes: ["default today"],
      mustHaveText: true,
    }),
    key: textFlag({ value: "NAME", text: "only that of this key", mustHaveText: true }),
    csv: switchFlag({ text: "as CSV" }),
    json: switchFlag({ text: "each sum as JSON on a line" }),
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "weir usage --by key,model", text: "of this month" },
    { line: "weir usage --by day --since 7d", text: "of a week" },
    { line: "weir usage --by day,key --since 2026-11-01 --csv", text: "for a spreadsheet" },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.failed]: "the config is wrong, or the store cannot be asked",
  },
  async run({ flags }, terminal) {
    const settings = readSettings(settingOptions(flags), terminal);
    warn(settings.warnings, terminal);
    if (flags.csv && flags.json) throw new Failure("--csv and --json: choose one", EXIT.usage);
    const asked = readReport(flags, Date.now());
    if ("word" in asked) throw new Failure(`--${asked.word} must be ${asked.must}`, EXIT.usage);
    const { config, folder } = settings;
    const store = openStore(config, { folder, clock: () => performance.now() });
    try {
      const lines = reportLines(await store.usage(asked), asked);
      if (flags.csv) {
        for (const line of reportCsv(lines).split("\r\n").slice(0, -1)) terminal.print(line);
      } else {
        const told = flags.json ? lines.map((line) => JSON.stringify(line)) : reportTable(lines);
        for (const line of told) terminal.print(line);
        if (lines.length === 0) {
          terminal.complain(`weir: ${shownStore(config)} knows of nothing in these days`);
        }
      }
      const { usage_sums_days: sumsDays } = config.store;
      const reach = dayOf(Date.now()) - sumsDays;
      if (asked.sinceDay < reach) {
        terminal.complain(
          `weir: nothing is known of days before ${dayName(reach)}: ` +
            `sums stay ${sumsDays} days (store.usage_sums_days)`,
        );
      }
      return EXIT.done;
    } catch (error) {
      throw storeFailure(error, config);
    } finally {
      await store.close();
    }
  },
});
