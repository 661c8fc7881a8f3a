/**
 * Reads words as a command's definition says. Commander finds the flags among them, and proposes the
 * flag that was meant.
 *
 * @module
 */

import { Argument, Command as Parser, CommanderError, Option } from "commander";
import { shownUrl } from "../lib/userinfo.ts";
import { type Command, usageOf } from "./command.ts";
import { type Flag, longName, missingValue, oneOf } from "./flags.ts";
import { EXIT, Failure } from "./terminal.ts";

/** What the words behind a command's name say. */
export type Parsed =
  | { readonly kind: "help" }
  | {
    readonly kind: "call";
    /** By key, read. */
    readonly flags: Readonly<Record<string, unknown>>;
    /** Keys of the flags that are there. */
    readonly given: ReadonlySet<string>;
    /** By key; an optional one that is not there is undefined, a repeated one is a list. */
    readonly operands: Readonly<Record<string, string | readonly string[] | undefined>>;
  };

/**
 * Reads the words behind the name of `command`.
 *
 * @throws {Failure} with exit code 2 and one sentence when they are wrong.
 */
export function parseWords(command: Command, words: readonly string[]): Parsed {
  const parser = makeParser(command);
  checkValues(words, parser.options);
  try {
    parser.parse(words, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: "help" };
    const what = wrongFlag(command, error.message) ?? sentences(error.message);
    throw new Failure(`${what} Try: weir help ${command.name}`, EXIT.usage);
  }
  const given = parser.opts<Readonly<Record<string, readonly string[] | true>>>();
  const flags = Object.entries(command.flags).map(([key, flag]) => {
    const values = given[key] ?? [];
    return [key, flag.read(values === true ? [""] : values, longName(key))] as const;
  });
  return {
    kind: "call",
    operands: readOperands(command, parser.args),
    flags: Object.fromEntries(flags),
    given: new Set(Object.keys(given)),
  };
}

/** The parser of one command: it prints nothing, ends no process, and makes nothing of values. */
export function makeParser(command: Command): Parser {
  const parser = new Parser(command.name)
    .description([`${capital(command.summary)}.`, command.details ?? ""].join("\n").trim())
    .helpOption("-h, --help", "print this text")
    // Commander counts the operands after it has looked at the flags, in words of its own.
    .allowExcessArguments()
    .configureOutput({ writeOut() {}, writeErr() {} })
    .exitOverride()
    .action(() => {});
  for (const [key, flag] of Object.entries(command.flags)) parser.addOption(makeOption(key, flag));
  for (const { name, text } of Object.values(command.operands)) {
    parser.addArgument(new Argument(`[${name}]`, text));
  }
  return parser;
}

function makeOption(key: string, { short, value, group }: Flag<unknown>): Option {
  const names = [...(short === undefined ? [] : [`-${short}`]), longName(key)].join(", ");
  const option = new Option(value === undefined ? names : `${names} <${value}>`);
  if (group !== undefined) option.helpGroup(`${group}:`);
  if (value === undefined) return option;
  return option.argParser<readonly string[]>((one, before = []) => [...before, one]);
}

/**
 * A value that looks like a flag was forgotten. One that is meant is written with "=".
 *
 * @throws {Failure} when one is missing.
 */
function checkValues(words: readonly string[], options: readonly Option[]): void {
  for (let at = 0; at < words.length && words[at] !== "--"; at++) {
    const option = awaitsValue(words[at]!, options);
    if (option === undefined) continue;
    const value = words[++at];
    if (value === undefined) throw missingValue(option.long!);
    if (value.length > 1 && value.startsWith("-")) {
      throw missingValue(option.long!, `: one that begins with "-" is written ${option.long}=-…`);
    }
  }
}

/** The flag whose value is the word behind `word`: "--config", "-c", and "-vc" with a switch before. */
function awaitsValue(word: string, options: readonly Option[]): Option | undefined {
  if (word.startsWith("--")) return options.find(({ long, required }) => required && long === word);
  if (!word.startsWith("-")) return undefined;
  const letters = word.slice(1);
  for (let at = 0; at < letters.length; at++) {
    const option = options.find(({ short }) => short === `-${letters[at]}`);
    if (option === undefined) return undefined;
    if (option.required) return at === letters.length - 1 ? option : undefined;
  }
  return undefined;
}

function readOperands(
  command: Command,
  words: readonly string[],
): Readonly<Record<string, string | readonly string[] | undefined>> {
  const wrong = (what: string) =>
    new Failure(`${what}. It is: ${usageOf(command)}. Try: weir help ${command.name}`, EXIT.usage);
  const operands = Object.entries(command.operands);
  const [extra] = words.slice(operands.length);
  const isOpen = operands.at(-1)?.[1].isRepeated === true;
  if (extra !== undefined && !isOpen) throw wrong(`Unexpected argument "${shownUrl(extra)}"`);
  return Object.fromEntries(operands.map(([key, operand], index) => {
    const { name, isOptional, isRepeated, choices } = operand;
    const word = words[index];
    if (word === undefined && !isOptional) throw wrong(`${name} is missing`);
    if (word !== undefined && choices !== undefined && !choices.includes(word)) {
      throw wrong(`"${word}" is not ${oneOf(choices)}`);
    }
    return [key, isRepeated ? words.slice(index) : word] as const;
  }));
}

/** What is said of a switch with a value, and of a flag of another program; undefined = it is neither. */
function wrongFlag({ flags, foreign = {} }: Command, message: string): string | undefined {
  const [, flag = ""] = /unknown option '(-[^'=]*)/.exec(message) ?? [];
  if (Object.keys(flags).some((key) => longName(key) === flag)) return `${flag} takes no value.`;
  if (!Object.hasOwn(foreign, flag)) return undefined;
  return `Unknown option '${flag}'. Here it is ${foreign[flag]!}.`;
}

/**
 * Commander's "error: unknown option '--prot'\n(Did you mean --port?)" as sentences on one line. What
 * stands behind "=" may be a key.
 */
function sentences(message: string): string {
  const [what = "", hint = ""] = message.replace(/^error: /, "")
    .replace(/(unknown option '-[^'=\n]*)=.*'(?=\n|$)/s, "$1'").split("\n");
  return [`${capital(what)}.`, hint.replace(/^\((.*)\)$/, "$1")].join(" ").trim();
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
