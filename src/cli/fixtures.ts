/**
 * `weir fixtures check` and `weir fixtures test`: are fixtures right, and which one would be given?
 *
 * @module
 */

import { shown } from "../lib/shown.ts";
import { fixtureSet } from "../sources/fixtures/fixture_set.ts";
import type { Counters, Miss } from "../sources/fixtures/ports.ts";
import { nameOf } from "../sources/fixtures/shadows.ts";
import { defineCommand } from "./command.ts";
import { checkFixture } from "../sources/fixtures/check.ts";
import { type LoadedFixtures, loadFixtures } from "./fixture_files.ts";
import { REQUEST_PATHS, viewOfRequest } from "./fixture_request.ts";
import { choiceFlag, listFlag, readHeader, textFlag } from "./flags.ts";
import { readText, warn } from "./settings.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { counted } from "./units.ts";

/** Longest answer that is shown, in characters of JSON. */
const ANSWER_CHARS_MAX = 200;

/** Nothing was given before. */
const FRESH: Counters = { add: () => 0, get: () => 0, reset() {} };

/** Reads fixtures; tells what is wrong with them, or which one a request gets. */
export const fixtures = defineCommand({
  name: "fixtures",
  summary: "read fixtures and say what is wrong, or test which one a request gets",
  details:
    "check tells every problem with file, line and column, and which fixtures can never be " +
    "given. test tells which one the request of --request gets, and why the nearest others do not " +
    "fit. Paths are files, folders and patterns, in YAML or JSON.",
  operands: {
    action: { name: "check|test", text: "what to do with them", choices: ["check", "test"] },
    paths: {
      name: "PATH",
      text: "files, folders and patterns of fixtures",
      isRepeated: true,
      completes: "files",
    },
  },
  flags: {
    request: textFlag({
      short: "r",
      value: "FILE",
      text: "test: the body of the request, JSON",
      completes: "files",
    }),
    path: choiceFlag({
      value: "PATH",
      text: "test: where it goes",
      choices: REQUEST_PATHS,
      default: REQUEST_PATHS[0]!,
    }),
    header: listFlag({
      short: "H",
      value: "NAME: VALUE",
      text: "test: a header of it",
      read: readHeader,
    }),
    key: textFlag({ value: "NAME", text: "test: the name of its token", notes: ["default none"] }),
  },
  examples: [
    { line: "weir fixtures check fixtures/", text: "is everything in the folder right?" },
    {
      line: "weir fixtures test fixtures/ --request body.json",
      text: "which one does this request get?",
    },
  ],
  exits: {
    [EXIT.done]: "the fixtures are right; for test, one of them fits",
    [EXIT.failed]: "something is wrong with the fixtures or with the request, or none fits",
  },
  run({ operands: { action, paths }, flags }, terminal) {
    if (action === "test" && flags.request === undefined) {
      throw new Failure("--request is missing: weir fixtures test needs a request", EXIT.usage);
    }
    const loaded = loadFixtures(paths, "", checkFixture);
    const { problems, warnings } = loaded;
    if (problems.length > 0) {
      const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
      const lines = problems.map((line) => `  ${line}`);
      throw new Failure(`The fixtures have ${count}:\n${lines.join("\n")}`);
    }
    warn(warnings, terminal);
    if (action === "check") {
      const { files, fixtures } = loaded;
      terminal.print(
        `ok: ${counted(fixtures.length, "fixture")} in ${counted(files.length, "file")}`,
      );
      return EXIT.done;
    }
    const { request: file = "", path, header, key = "" } = flags;
    const text = readText(file, "the request");
    return tell(loaded, { path, headers: header, key, text, file }, terminal);
  },
});

/** Says which one fits, and why others do not. */
function tell(
  { fixtures }: LoadedFixtures,
  request: Parameters<typeof viewOfRequest>[0],
  terminal: Terminal,
): number {
  const set = fixtureSet(fixtures);
  const view = viewOfRequest(request);
  const found = set.find(view, FRESH, "");
  if (found === undefined) terminal.print("no fixture fits");
  else {
    const { fixture } = found;
    const { response, sequence } = fixture.source as {
      readonly response?: unknown;
      readonly sequence?: readonly unknown[];
    };
    terminal.print(`${nameOf(fixture)} fits, and answers:`);
    terminal.print(`  ${shown(response ?? sequence?.[0], ANSWER_CHARS_MAX)}`);
  }
  const misses = set.nearest(view, FRESH, "").filter(({ fixture }) => fixture !== found?.fixture);
  for (const miss of misses) for (const line of missLines(miss)) terminal.print(line);
  return found === undefined ? EXIT.failed : EXIT.done;
}

function missLines({ fixture, reasons }: Miss): readonly string[] {
  return [`${nameOf(fixture)} does not fit:`, ...reasons.map((reason) => `  ${reason}`)];
}
