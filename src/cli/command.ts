/**
 * What a command is: its name, what help says of it, its words and flags, what it does. Each command
 * is one definition; parsing, help and completion follow from it.
 *
 * @module
 */

import type { Completes, Flags, FlagValues } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** A word of a command that is no flag. */
export interface Operand {
  /** As usage and help call it: "FILE", or the word itself where it is always the same. */
  readonly name: string;
  /** What it is, as help says it. */
  readonly text: string;
  readonly isOptional?: boolean;
  /** All words from here on, at least one of them unless it is optional: only of the last operand. */
  readonly isRepeated?: boolean;
  /** Every word there is; undefined = any. */
  readonly choices?: readonly string[];
  readonly completes?: Completes;
}

/** The operands of a command by key, in their order. Optional ones come last. */
export type Operands = Readonly<Record<string, Operand>>;

/** What a command gets for its operands. */
export type OperandValues<O extends Operands> = {
  readonly [K in keyof O]: O[K] extends { readonly isRepeated: true } ? readonly string[]
    : O[K] extends { readonly isOptional: true } ? string | undefined
    : string;
};

/** A line that somebody can type into a shell, and what it is good for. */
export interface Example {
  readonly line: string;
  readonly text: string;
}

/** What a command is called with. */
export interface Call<F extends Flags = Flags, O extends Operands = Operands> {
  readonly flags: FlagValues<F>;
  readonly operands: OperandValues<O>;
  /** Keys of the flags that are on the command line: the others have their defaults. */
  readonly given: ReadonlySet<string>;
  /** The command line behind the command's name, as it was typed. */
  readonly words: readonly string[];
  /** Every command there is. */
  readonly commands: readonly Command[];
}

/** A command's definition. */
export interface Command<F extends Flags = Flags, O extends Operands = Operands> {
  readonly name: string;
  /** One line for the list of commands, without a capital and a period. */
  readonly summary: string;
  /** What help says besides, in whole sentences. */
  readonly details?: string;
  readonly operands: O;
  readonly flags: F;
  /** Flags of other programs, and what they are here: "--duration". For whoever types them. */
  readonly foreign?: Readonly<Record<string, string>>;
  readonly examples: readonly Example[];
  /** What its exit codes mean. 0 and 2 mean what they mean everywhere unless they stand here. */
  readonly exits: Readonly<Record<number, string>>;
  /** Does it, and gives the exit code. */
  run(call: Call<F, O>, terminal: Terminal): Promise<number> | number;
}

/** A command whose `run` gets its flags and operands with their types. */
export function defineCommand<const F extends Flags, const O extends Operands>(
  definition: Command<F, O>,
): Command {
  return definition;
}

/** The operands as usage writes them: "URL", "[FILE]" for one that need not be there, "PATH…". */
export function operandsOf({ operands }: Command): readonly string[] {
  return Object.values(operands).map(({ name, isOptional, isRepeated }) => {
    const word = isRepeated ? `${name}…` : name;
    return isOptional ? `[${word}]` : word;
  });
}

/** How a command is called: "weir bench URL [options]". */
export function usageOf(command: Command): string {
  return ["weir", command.name, ...operandsOf(command), "[options]"].join(" ");
}
