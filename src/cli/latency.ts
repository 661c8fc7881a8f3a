/**
 * `weir latency fit`, `show` and `list`: profiles of how long answers take, made of times of one's own
 * and looked at.
 *
 * @module
 */

import { basename } from "node:path";
import { LATENCY_PROFILES, type LatencyProfileName } from "../config/latency.ts";
import { drawnAnswer, lucks } from "../sources/physics/drawn.ts";
import { fitTimes, withoutRole } from "../sources/physics/fit.ts";
import { counted } from "../sources/physics/fit_numbers.ts";
import { goodnessOf } from "../sources/physics/goodness.ts";
import type { LatencyProfile } from "../sources/physics/profile.ts";
import { readTimes } from "../sources/physics/read_times.ts";
import { type Times, TimesFault, type TimeUnit, unitOf, UNITS } from "../sources/physics/times.ts";
import { defineCommand } from "./command.ts";
import { choiceFlag, numberFlag, switchFlag, textFlag } from "./flags.ts";
import { profileOf } from "./latency_file.ts";
import {
  comment,
  goodnessLines,
  percentileLines,
  pictureLines,
  profileLines,
  type Quantity,
  tableLines,
  wrapped,
} from "./latency_text.ts";
import { EXIT, Failure, type Terminal } from "./terminal.ts";
import { mustBeNew, readWhole, writeNew } from "./whole_files.ts";

/** Answers that are drawn for a picture, unless they are so long that fewer must do. */
const DRAWN = 10_000;
/** Tokens that are drawn, at most: some seconds. */
const DRAWN_TOKENS_MAX = 3_000_000;
/** More tokens than the context of any model holds. */
const TOKENS_MAX = 1_000_000;

/** Of more files, only those are told of which something was left out. */
const LISTED_MAX = 10;

const PICTURES = ["first-token", "speed", "gap", "whole", "none"] as const;
const NAMES = Object.keys(LATENCY_PROFILES) as LatencyProfileName[];

/** Makes profiles of times, and shows what they come to. */
export const latency = defineCommand({
  name: "latency",
  summary: "fit a latency profile to times of your own, or look at one",
  details:
    "fit reads times from CSV with a row of names, JSON lines, tapes, .llmcap.jsonl captures, " +
    "results of vLLM (--save-detailed) and records of AIPerf (profile_export.jsonl), and makes a " +
    "profile for mock.latency, with how well it fits. show draws answers from profiles as the mock " +
    "does. list names the profiles that weir brings.",
  operands: {
    action: { name: "ACTION", text: "fit, show or list", choices: ["fit", "show", "list"] },
    names: {
      name: "NAME",
      text: "fit: files of times; show: names of profiles, or their files",
      isOptional: true,
      isRepeated: true,
      completes: "files",
    },
  },
  flags: {
    out: textFlag({
      short: "o",
      value: "FILE",
      text: "fit: where the profile goes; one that is there already is not overwritten",
      notes: ["default standard output"],
      completes: "files",
      mustHaveText: true,
    }),
    unit: textFlag({
      value: "UNIT",
      text: "fit: the unit of times whose names do not say theirs",
      notes: [Object.keys(UNITS).join(", ")],
    }),
    base: choiceFlag({
      value: "PROFILE",
      text: "fit: what the times do not tell is kept from it",
      choices: NAMES,
      default: "realistic",
    }),
    roleFirst: switchFlag({
      text: "fit: the first event of each answer has only the role; the second is the first token",
    }),
    prompt: numberFlag({
      value: "TOKENS",
      text: "show: how long the prompt is",
      min: 0,
      max: TOKENS_MAX,
      isWhole: true,
      default: 1000,
    }),
    output: numberFlag({
      value: "TOKENS",
      text: "show: how long the answer is",
      min: 1,
      max: TOKENS_MAX,
      isWhole: true,
      default: 300,
    }),
    picture: choiceFlag({
      value: "WHAT",
      text: "show: what there is a picture of",
      choices: PICTURES,
      default: "first-token",
    }),
  },
  examples: [
    { line: "weir latency fit times.csv -o mine.yaml", text: "a profile of times of your own" },
    { line: "weir latency show realistic", text: "what a profile comes to" },
    {
      line: "weir latency show 8b-h100 --prompt 4000 --output 50 --picture whole",
      text: "the same for long prompts and short answers",
    },
    { line: "weir latency list", text: "the profiles there are" },
  ],
  exits: {
    [EXIT.done]: "it is done; a bad fit is told, and done",
    [EXIT.failed]: "a file cannot be read or written, or nothing could be fitted to its times",
  },
  async run({ operands: { action, names }, flags }, terminal) {
    if (action === "list") {
      if (names.length > 0) throw usage(`Unexpected argument "${names[0]}"`);
      for (const line of listLines()) terminal.print(line);
      return EXIT.done;
    }
    if (names.length === 0) {
      throw usage(
        action === "fit" ? "A file of times is missing" : "The name of a profile is missing",
      );
    }
    if (action === "show") {
      const size = { promptTokens: flags.prompt, outputTokens: flags.output };
      const blocks = names.map((name) => showLines(name, profileOf(name), size, flags.picture));
      for (const line of blocks.flatMap((lines, at) => at === 0 ? lines : ["", ...lines])) {
        terminal.print(line);
      }
      return EXIT.done;
    }
    if (flags.out !== undefined) mustBeNew(flags.out);
    const unit = readUnit(flags.unit);
    const times = await readAll(names, unit, terminal);
    fit(flags.roleFirst ? withoutRole(times) : times, names, flags, terminal);
    return EXIT.done;
  },
});

function usage(what: string): Failure {
  return new Failure(`${what}. Try: weir help latency`, EXIT.usage);
}

function readUnit(word: string | undefined): TimeUnit | undefined {
  if (word === undefined) return undefined;
  const unit = unitOf(word);
  if (unit !== undefined) return unit;
  throw new Failure(`--unit must be ${Object.keys(UNITS).join(", ")}: it is "${word}"`, EXIT.usage);
}

/** @throws {Failure} when one is no file of times. */
async function readAll(
  files: readonly string[],
  unit: TimeUnit | undefined,
  terminal: Terminal,
): Promise<readonly Times[]> {
  const all: Times[] = [];
  for (const file of files) {
    const bytes = readWhole(file);
    try {
      const { format, times, notes } = await readTimes(bytes, file, unit);
      all.push(...times);
      if (files.length > LISTED_MAX && notes.length === 0) continue;
      const more = notes.map((note) => `; ${note}`).join("");
      terminal.complain(`weir: ${file}: ${format}, ${counted(times.length, "answer")}${more}`);
    } catch (error) {
      if (error instanceof TimesFault) throw new Failure(`Cannot read times: ${error.message}`);
      throw error;
    }
  }
  if (files.length > LISTED_MAX) {
    terminal.complain(`weir: ${files.length} files, ${counted(all.length, "answer")}`);
  }
  return all;
}

/** @throws {Failure} when nothing can be fitted. */
function fit(
  times: readonly Times[],
  files: readonly string[],
  { base, out }: { readonly base: LatencyProfileName; readonly out: string | undefined },
  terminal: Terminal,
): void {
  const fitted = fitTimes(times, LATENCY_PROFILES[base]);
  const count = fitted.numbers.filter(({ origin }) => origin === "fitted").length;
  if (count === 0) {
    const [first] = fitted.numbers.filter(({ key }) => key === "first_token_ms");
    throw new Failure(`Nothing could be fitted: ${first!.why}`);
  }
  const name = files.length === 1 ? basename(files[0]!) : `${files.length} files`;
  const report = [
    `A latency profile, fitted to ${counted(times.length, "answer")} of ${name}.`,
    "",
    ...goodnessLines(goodnessOf(fitted, times)),
    ...(fitted.notes.length === 0 ? [] : ["", ...fitted.notes.flatMap((note) => wrapped(note))]),
  ];
  const profile = profileLines(fitted, base);
  const text = [...report.map(comment), "", ...profile];
  if (out === undefined) { for (const line of text) terminal.print(line); }
  else {
    writeNew(out, `${text.join("\n")}\n`);
    for (const line of report) terminal.print(line);
  }
  const others = fitted.numbers.filter(({ origin }) => origin !== "fitted").length;
  const place = out === undefined ? "" : `: ${out}`;
  terminal.complain(`weir: ${counted(count, "number")} fitted, ${others} not${place}`);
}

/** What `profile` comes to. */
function showLines(
  name: string,
  profile: LatencyProfile,
  size: { readonly promptTokens: number; readonly outputTokens: number },
  picture: (typeof PICTURES)[number],
): readonly string[] {
  const draw = lucks(0);
  const count = Math.max(100, Math.min(DRAWN, Math.floor(DRAWN_TOKENS_MAX / size.outputTokens)));
  const answers = Array.from({ length: count }, () => drawnAnswer(profile, draw, size));
  const quantities: Readonly<Record<Exclude<typeof picture, "none">, Quantity>> = {
    "first-token": {
      name: "first token, ms",
      values: answers.map(({ firstTokenMs }) => firstTokenMs),
    },
    speed: { name: "speed, tokens/s", values: answers.map(({ tokensPerS }) => tokensPerS) },
    gap: { name: "gap between events, ms", values: answers.flatMap(({ gapsMs }) => gapsMs) },
    whole: { name: "whole answer, ms", values: answers.map(({ totalMs }) => totalMs) },
  };
  const { promptTokens, outputTokens } = size;
  const prompt = counted(promptTokens, "token");
  const some = Object.values(quantities).filter(({ values }) => values.length > 0);
  const shown = picture === "none" ? undefined : quantities[picture];
  return [
    `${name}: ${counted(count, "answer")}, drawn as the mock draws them`,
    `${counted(outputTokens, "token")} to prompts of ${prompt}, none cached`,
    loadText(profile),
    "",
    ...percentileLines(some),
    ...(shown === undefined || shown.values.length === 0 ? [] : ["", ...pictureLines(shown)]),
  ];
}

/** What is not in the figures. */
function loadText({ load, load_factor, batch_max, step_ms }: LatencyProfile): string {
  switch (load) {
    case "none":
      return "load changes nothing";
    case "factor":
      return `load is not in it: up to ${load_factor} times as slow with ${batch_max} at once`;
    case "steps":
      return `load is not in it: steps of ${step_ms} ms, and waiting for them`;
  }
}

function listLines(): readonly string[] {
  return [
    "Medians of the time to the first token, of what each token of the prompt adds",
    "and of the speed; the share of slow first tokens; what load does. plain, the",
    "default, is none of them: the mock's own even pace.",
    "",
    ...tableLines(LATENCY_PROFILES),
  ];
}
