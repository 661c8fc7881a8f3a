/**
 * `weir tape`: looks at recorded exchanges, compares them, makes fixtures of them, proves them, and
 * removes them.
 *
 * @module
 */

import { basename } from "node:path";
import { readRecordings } from "../sources/recordings/read.ts";
import type { Recordings } from "../sources/recordings/recording.ts";
import { TAPE_ENDS } from "../sources/tape/summary.ts";
import { defineCommand } from "./command.ts";
import { SETTING_EXITS, SETTING_FLAGS, settingOptions } from "./command_line.ts";
import { OUT_FLAG, putFixtures } from "./fixture_output.ts";
import { oneOf, optionalFlag, readChoice, readNumber, switchFlag, textFlag } from "./flags.ts";
import { readSettings, warn } from "./settings.ts";
import { checkTapes, forbiddenBy } from "./tape_check.ts";
import { diffTapes } from "./tape_diff.ts";
import { bytesOfTape, PARTIAL_WHY, tapeAt, type TapePath, tapePaths } from "./tape_files.ts";
import { listTapes } from "./tape_list.ts";
import { pruneTapes } from "./tape_prune.ts";
import { showTapes } from "./tape_show.ts";
import { EXIT, Failure } from "./terminal.ts";
import { pathIn } from "./token_files.ts";
import { readSize, readSpan } from "./units.ts";
import { mustBeNew } from "./whole_files.ts";

const ACTIONS = ["list", "show", "diff", "fixture", "prune", "check"] as const;
const ENDINGS = [...TAPE_ENDS, "partial"] as const;
const STATUS = { min: 100, max: 999, isWhole: true };
const KEEP = { min: 0, max: 1_000_000_000, isWhole: true };

/** Which flags say something to which action; the others to all of them. */
const FLAGS_OF: Readonly<Record<string, readonly typeof ACTIONS[number][]>> = {
  json: ["list", "show"],
  model: ["list"],
  path: ["list"],
  status: ["list"],
  ending: ["list"],
  out: ["fixture"],
  olderThan: ["prune"],
  keep: ["prune"],
  maxSize: ["prune"],
  partial: ["prune"],
  unused: ["prune"],
  dryRun: ["prune"],
};

/** Everything that can be done with tapes but to record and to replay them. */
export const tape = defineCommand({
  name: "tape",
  summary: "list, show, compare, prove or remove what weir has recorded",
  details:
    "list tells of each tape in a line, and show all that is in one. diff tells what the first of two " +
    "has in place of what the second has: other times alone are no difference. fixture makes fixtures " +
    "that say what the tapes say, with their times. check proves that tapes are whole and unchanged, " +
    "and that no secret is in them: none of the config, nothing that tape.redact stands for, and " +
    "nothing that looks like a key. prune removes tapes that fit everything that is asked for, and " +
    "never another file.",
  operands: {
    action: { name: "ACTION", text: oneOf(ACTIONS), choices: ACTIONS },
    places: {
      name: "TAPE",
      text:
        "files, folders, patterns, or how the id of a tape in tape.folder begins; none = tape.folder",
      isOptional: true,
      isRepeated: true,
      completes: "files",
    },
  },
  flags: {
    json: switchFlag({ text: "list, show: as JSON; a line for each tape of a list" }),
    model: textFlag({ value: "MODEL", text: "list: only of this model", notes: ["* = any text"] }),
    path: textFlag({ value: "PATH", text: "list: only of this path", notes: ["* = any text"] }),
    status: optionalFlag({
      value: "STATUS",
      text: "list: only with this status",
      read: (value, name) => readNumber(value, name, STATUS),
    }),
    ending: optionalFlag({
      value: "ENDING",
      text: "list: only with this ending",
      choices: ENDINGS,
      read: readChoice(ENDINGS),
    }),
    ...OUT_FLAG,
    olderThan: optionalFlag({
      value: "SPAN",
      text: "prune: only those that began longer ago",
      notes: ["s, min, h or d: 30d"],
      read: readSpan,
    }),
    keep: optionalFlag({
      value: "COUNT",
      text: "prune: all whole ones but the newest",
      read: (value, name) => readNumber(value, name, KEEP),
    }),
    maxSize: optionalFlag({
      value: "SIZE",
      text: "prune: the oldest whole ones, until the others have so many bytes together",
      notes: ["kB, MB or GB: 100MB"],
      read: readSize,
    }),
    partial: switchFlag({ text: "prune: only those that end before their end" }),
    unused: switchFlag({ text: "prune: only whole ones that were never replayed" }),
    dryRun: switchFlag({ text: "prune: only say what would be removed" }),
    ...SETTING_FLAGS,
  },
  examples: [
    { line: "weir tape list tapes/", text: "what was recorded" },
    { line: "weir tape show tapes/*.tape.jsonl", text: "everything in them, with times" },
    { line: "weir tape fixture tapes/ -o taped.yaml", text: "fixtures that say the same" },
    { line: "weir tape check tapes/", text: "may they be committed?" },
    {
      line: "weir tape prune tapes/ --partial --dry-run",
      text: "what a weir that was killed has left",
    },
  ],
  exits: {
    ...SETTING_EXITS,
    [EXIT.failed]: "the config is wrong, or a tape is; for diff, the two tapes differ",
  },
  async run({ flags, operands: { action, places } }, terminal) {
    mustFit(flags, action as typeof ACTIONS[number]);
    mustBeNew(flags.out);
    const settings = readSettings(settingOptions(flags), terminal);
    warn(settings.warnings, terminal);
    const { folder } = settings.config.tape;
    const home = folder === "" ? "" : pathIn(settings.folder, folder);
    const files = tapePaths(places, home);
    switch (action as typeof ACTIONS[number]) {
      case "list":
        return listTapes(files, flags, terminal);
      case "show":
        return await showTapes(files, flags.json, terminal);
      case "diff": {
        // In the order in which they were named.
        const named = places.flatMap((place) => tapePaths([place], home));
        const [one, other, third] = named;
        if (one === undefined || other === undefined || third !== undefined) {
          throw new Failure(
            `weir tape diff needs two tapes: there are ${named.length}`,
            EXIT.usage,
          );
        }
        return await diffTapes(tapeAt(one), tapeAt(other), terminal);
      }
      case "fixture":
        return await putFixtures(files.map(recordingsOf), flags.out, terminal);
      case "check":
        return await checkTapes(files, forbiddenBy(settings), terminal);
      case "prune":
        return await pruneTapes(
          files,
          { ...flags, olderThanMs: flags.olderThan, maxBytes: flags.maxSize },
          Date.now(),
          terminal,
        );
    }
  },
});

/** @throws {Failure} with exit code 2 for a flag that would say nothing. */
function mustFit(flags: Readonly<Record<string, unknown>>, action: typeof ACTIONS[number]): void {
  for (const [key, actions] of Object.entries(FLAGS_OF)) {
    const value = flags[key];
    if (value === undefined || value === false || value === "" || actions.includes(action)) {
      continue;
    }
    const name = `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw new Failure(`${name} is for ${actions.join(" and ")}, and not for ${action}`, EXIT.usage);
  }
}

/** What is in a file, as `weir import` reads it. */
function recordingsOf({ path, isPartial }: TapePath): Recordings {
  const place = basename(path);
  if (isPartial) return { recordings: [], untaken: [{ place, why: PARTIAL_WHY }] };
  return readRecordings(new TextDecoder().decode(bytesOfTape(path)), place);
}
