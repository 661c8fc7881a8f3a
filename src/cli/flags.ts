/**
 * What a command's flags are: how they are written, what help says of them, how their values are
 * read. A flag's long name is its key in the command's definition: `caFile` is `--ca-file`.
 *
 * @module
 */

import { EXIT, Failure } from "./terminal.ts";

/** What a shell offers for a word that has no choices of its own. */
export type Completes = "files" | "commands" | "nothing";

/** One flag. `T` is what a command gets for it. */
export interface Flag<T> {
  /** The letter of its short form. */
  readonly short?: string;
  /** What help calls its value, "FILE"; undefined = a switch, which has none. */
  readonly value?: string;
  /** What it does, as help says it. */
  readonly text: string;
  /** What help says behind that, in brackets: range, default. */
  readonly notes: readonly string[];
  readonly isRepeatable?: boolean;
  /** The heading it stands under in help; undefined = "Options". */
  readonly group?: string;
  /** Every value there is; undefined = too many to tell. */
  readonly choices?: readonly string[];
  readonly completes: Completes;
  /**
   * Makes `T` of the values on the command line, in their order; none = the flag is not there. A
   * switch that is there has the value "". `name` is the flag as messages call it, "--port".
   *
   * @throws {Failure} with exit code 2 when a value is wrong.
   */
  readonly read: (given: readonly string[], name: string) => T;
}

/** The flags of a command, by key. None is called "no…": commander would take it for a negation. */
export type Flags = Readonly<Record<string, Flag<unknown>>>;

/** What a command gets for its flags. */
export type FlagValues<F extends Flags> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never;
};

/** What every flag has. */
interface FlagFacts {
  readonly short?: string;
  readonly text: string;
  readonly group?: string;
}

/** What every flag with a value has. */
interface ValueFacts extends FlagFacts {
  readonly value: string;
  readonly completes?: Completes;
}

/**
 * Makes something of one value.
 *
 * @throws {Failure} with exit code 2 when it is wrong.
 */
export type ReadValue<T> = (value: string, name: string) => T;

/** A flag that is there or is not. */
export function switchFlag(facts: FlagFacts): Flag<boolean> {
  return { ...facts, notes: [], completes: "nothing", read: (given) => given.length > 0 };
}

/** A flag whose value is any text; undefined when it is not there. The last one counts. */
export function textFlag(
  facts: ValueFacts & { readonly notes?: readonly string[]; readonly mustHaveText?: boolean },
): Flag<string | undefined> {
  const { notes = [], mustHaveText = false, ...rest } = facts;
  return {
    completes: "nothing",
    ...rest,
    notes,
    read(given, name) {
      const value = given.at(-1);
      if (mustHaveText && value === "") throw missingValue(name);
      return value;
    },
  };
}

/** A flag that may be repeated: what is made of each value, in their order. */
export function listFlag<T>(
  facts: ValueFacts & { readonly notes?: readonly string[]; readonly read: ReadValue<T> },
): Flag<readonly T[]> {
  const { notes = [], read, ...rest } = facts;
  return {
    completes: "nothing",
    ...rest,
    isRepeatable: true,
    notes,
    read: (given, name) => given.map((value) => read(value, name)),
  };
}

/** A flag of whose value something is made; undefined when it is not there. The last one counts. */
export function optionalFlag<T>(
  facts: ValueFacts & {
    readonly notes?: readonly string[];
    readonly choices?: readonly string[];
    readonly read: ReadValue<T>;
  },
): Flag<T | undefined> {
  const { notes = [], read, ...rest } = facts;
  const { choices } = facts;
  return {
    completes: "nothing",
    ...rest,
    notes: choices === undefined ? notes : [oneOf(choices), ...notes],
    read: (given, name) => given.length === 0 ? undefined : read(given.at(-1)!, name),
  };
}

/** How a flag with a default reads its value. The last one counts. */
interface ParsedFacts<T> extends ValueFacts {
  /** As it would be written on the command line. */
  readonly default: string;
  readonly notes?: readonly string[];
  readonly choices?: readonly string[];
  readonly read: ReadValue<T>;
}

/** A flag with a default, of whose value something is made. */
export function parsedFlag<T>(facts: ParsedFacts<T>): Flag<T> {
  const { default: fallback, notes = [], read, ...rest } = facts;
  return {
    completes: "nothing",
    ...rest,
    notes: [...notes, `default ${fallback}`],
    read: (given, name) => read(given.at(-1) ?? fallback, name),
  };
}

/** A range of numbers, both ends of it allowed. */
export interface NumberRange {
  readonly min: number;
  readonly max: number;
  readonly isWhole: boolean;
}

/** A flag whose value is a number within a range. */
export function numberFlag(
  facts: ValueFacts & NumberRange & { readonly default: number },
): Flag<number> {
  const { min, max, isWhole, default: fallback, ...rest } = facts;
  return parsedFlag({
    ...rest,
    default: String(fallback),
    notes: [`${min} to ${max}`],
    read: (value, name) => readNumber(value, name, { min, max, isWhole }),
  });
}

/** A flag whose value is one of a few words. */
export function choiceFlag<const C extends string>(
  facts: ValueFacts & { readonly choices: readonly C[]; readonly default: C },
): Flag<C> {
  const { choices } = facts;
  return parsedFlag({
    ...facts,
    notes: [oneOf(choices)],
    read: readChoice(choices),
  });
}

/** Reads one of `choices`. */
export function readChoice<const C extends string>(choices: readonly C[]): ReadValue<C> {
  return (value, name) => {
    const choice = choices.find((one) => one === value);
    if (choice !== undefined) return choice;
    throw new Failure(`${name} must be ${oneOf(choices)}: it is "${value}"`, EXIT.usage);
  };
}

/**
 * The number that `value` is.
 *
 * @throws {Failure} with exit code 2 when it is none, or out of the range.
 */
export function readNumber(value: string, name: string, range: NumberRange): number {
  const { min, max, isWhole } = range;
  const number = Number(value);
  const isRight = value.trim() !== "" && (!isWhole || Number.isInteger(number));
  if (isRight && number >= min && number <= max) return number;
  const kind = isWhole ? "a whole number" : "a number";
  throw new Failure(`${name} must be ${kind} from ${min} to ${max}: it is "${value}"`, EXIT.usage);
}

/**
 * The header that `text` is, "NAME: VALUE". The value is never part of a message: it may be a key.
 *
 * @throws {Failure} with exit code 2 when it is none.
 */
export function readHeader(text: string, flag: string): readonly [name: string, value: string] {
  const at = text.indexOf(":");
  const name = text.slice(0, Math.max(0, at)).trim();
  const value = text.slice(at + 1).trim();
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || /[\r\n\0]/.test(value)) {
    throw new Failure(`${flag} needs NAME: VALUE on one line`, EXIT.usage);
  }
  return [name, value];
}

/** They say where a request ends, and a request is ended by whoever sends it. */
const FRAMING = /^(?:content-length|transfer-encoding|trailer|te|upgrade|expect)$/i;

/** Why a flag does not take a header; undefined = it does. */
export type HeaderRefusal = (name: string, value: string) => string | undefined;

/**
 * Reads a header of every request, in place of the one that would be there without. `sender` ("a load")
 * sends whole bodies, so that none says otherwise; `refusal` tells what else it has to say itself.
 */
export function headerReader(
  sender: string,
  refusal: HeaderRefusal = () => undefined,
): ReadValue<readonly [name: string, value: string]> {
  return (text, flag) => {
    const header = readHeader(text, flag);
    const why = FRAMING.test(header[0])
      ? `${sender} sends whole bodies with their length`
      : refusal(...header);
    if (why === undefined) return header;
    throw new Failure(`${flag} cannot have ${header[0]}: ${why}`, EXIT.usage);
  };
}

/** "bash, zsh or fish" */
export function oneOf(words: readonly string[]): string {
  const last = words.slice(-1).join("");
  return words.length < 2 ? last : `${words.slice(0, -1).join(", ")} or ${last}`;
}

/** A value is taken as it is. */
export function asText(value: string): string {
  return value;
}

/** The failure of a flag whose value is not there. */
export function missingValue(name: string, hint = ""): Failure {
  return new Failure(`${name} needs a value${hint}`, EXIT.usage);
}

/** A flag as it is typed: `--ca-file` for the key `caFile`. */
export function longName(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
