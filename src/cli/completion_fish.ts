/**
 * Completion for fish, made of the definitions.
 *
 * @module
 */

import type { Command } from "./command.ts";
import { type Completes, type Flag, longName } from "./flags.ts";
import { MAIN_COMMAND } from "./program.ts";

/** The script: one line for each command, flag and operand. */
export function fishScript(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name);
  const lines = commands.flatMap((command) => [
    `complete -c weir -f -n __fish_use_subcommand -a ${command.name} ` +
    `-d ${quoted(command.summary)}`,
    ...commandLines(command, names),
  ]);
  return ["# fish completion for weir, printed by: weir completion fish", ...lines, ""].join("\n");
}

function commandLines(
  { name, flags, operands }: Command,
  names: readonly string[],
): readonly string[] {
  // The flags of the main command also stand where none is named.
  const isHere = name === MAIN_COMMAND
    ? `not __fish_seen_subcommand_from ${names.filter((one) => one !== name).join(" ")}`
    : `__fish_seen_subcommand_from ${name}`;
  const start = `complete -c weir -n ${quoted(isHere)}`;
  const words = Object.values(operands).flatMap(({ choices, completes }) =>
    completes === "commands" ? names : choices ?? []
  );
  const takesFiles = Object.values(operands).some(({ completes }) => completes === "files");
  return [
    ...(takesFiles ? [] : [`${start} -f`]),
    ...(words.length === 0 ? [] : [`${start} -a ${quoted(words.join(" "))}`]),
    ...Object.entries(flags).map(([key, flag]) =>
      [start, spellings(key, flag), valuePart(flag), `-d ${quoted(flag.text)}`]
        .filter((part) => part !== "").join(" ")
    ),
    `${start} -s h -l help -d 'print the help of this command'`,
  ];
}

function spellings(key: string, { short }: Flag<unknown>): string {
  const long = `-l ${longName(key).slice(2)}`;
  return short === undefined ? long : `-s ${short} ${long}`;
}

/** `-r`: a value must follow; `-F` and `-f`: it may be a file, or not. */
function valuePart(
  { value, choices, completes }: {
    readonly value?: string;
    readonly choices?: readonly string[];
    readonly completes: Completes;
  },
): string {
  if (value === undefined) return "";
  if (choices !== undefined) return `-r -f -a ${quoted(choices.join(" "))}`;
  return completes === "files" ? "-r -F" : "-r -f";
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, "\\$&")}'`;
}
