/**
 * What `weir help` prints, made of the definitions.
 *
 * @module
 */

import { Help, type Option } from "commander";
import { type Command, operandsOf, usageOf } from "./command.ts";
import { makeParser } from "./parser.ts";
import { EXIT } from "./terminal.ts";

/** Columns that help fits into. */
export const HELP_COLUMNS = 100;

/** What exit codes mean where a command does not say more about them. */
const EXITS: Readonly<Record<number, string>> = {
  [EXIT.done]: "done",
  [EXIT.usage]: "the command line is wrong",
};

const GLOBAL_EXITS: Readonly<Record<number, string>> = {
  ...EXITS,
  [EXIT.failed]: "it failed: a config that is wrong, a port that is taken, a run that broke off",
  [EXIT.interrupted]: "interrupted by Ctrl-C",
};

/** A term of a list and what it means. */
type Row = readonly [term: string, text: string];

/** Usage, flags, examples and exit codes of `command`. */
export function commandHelp(command: Command): string {
  const layout = Object.assign(new Help(), {
    helpWidth: HELP_COLUMNS,
    commandUsage: () => usageOf(command),
    optionTerm,
    optionDescription: (option: Option) => optionText(command, option),
  });
  const examples = command.examples.map(({ line, text }) => `  # ${text}\n  ${line}`);
  return [
    layout.formatHelp(makeParser(command), layout).trimEnd(),
    `Examples:\n${examples.join("\n\n")}`,
    section("Exit codes", exitRows({ ...EXITS, ...command.exits })),
  ].join("\n\n");
}

/** The commands, the flags of `main`, which needs not be named, and what holds for all of them. */
export function programHelp(commands: readonly Command[], main: Command): string {
  const { options } = makeParser(main);
  return [
    "weir speaks the OpenAI streaming API: it mocks it, proxies it, remembers conversations.",
    `Usage: weir [COMMAND] [options]     (without a command: weir ${main.name})`,
    section(
      "Commands",
      commands.map((command): Row => [
        [command.name, ...operandsOf(command)].join(" "),
        command.summary,
      ]),
    ),
    section(`Options of ${main.name}, and of every command that reads the config`, [
      ...options.map((option): Row => [optionTerm(option), optionText(main, option)]),
    ]),
    section("Without a command", [
      ["-h, --help", "print this text; behind a command, what it takes"],
      ["-v, --version", "the same as weir version"],
    ]),
    "weir help COMMAND tells every flag of a command, with examples and exit codes.",
    "A flag wins over the environment (WEIR_SERVER_PORT, OPENAI_API_KEY, …), the environment over\n" +
    ".env, .env over the file, the file over the default.",
    section("Exit codes", exitRows(GLOBAL_EXITS)),
    `Try it:
  weir
  curl -N http://127.0.0.1:8080/v1/chat/completions -H 'content-type: application/json' \\
    -d '{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hello"}]}'`,
  ].join("\n\n");
}

/** "-c, --config FILE", and long ones without a letter below the long ones that have one. */
function optionTerm({ short, flags }: Option): string {
  const term = flags.replace(/[<>]/g, "");
  return short === undefined ? `    ${term}` : term;
}

/** What a flag does; its range, default and so on in brackets. */
function optionText({ flags }: Command, option: Option): string {
  const flag = flags[option.attributeName()];
  if (flag === undefined) return option.description; // --help is commander's
  const { text, isRepeatable } = flag;
  const notes = [...(isRepeatable ? ["may be repeated"] : []), ...flag.notes];
  return notes.length === 0 ? text : `${text} (${notes.join("; ")})`;
}

function exitRows(exits: Readonly<Record<number, string>>): readonly Row[] {
  return Object.entries(exits);
}

function section(heading: string, rows: readonly Row[]): string {
  const layout = Object.assign(new Help(), { helpWidth: HELP_COLUMNS });
  const width = Math.max(...rows.map(([term]) => term.length));
  const lines = rows.map(([term, text]) => layout.formatItem(term, width, text, layout));
  return [`${heading}:`, ...lines].join("\n");
}
