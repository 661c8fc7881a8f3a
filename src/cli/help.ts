/**
 * `weir help`: what there is, and how each command is called.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import { commandHelp, programHelp } from "./help_text.ts";
import { findCommand, MAIN_COMMAND } from "./program.ts";
import { EXIT, Failure } from "./terminal.ts";

/** Prints how weir is called, or how one of its commands is. */
export const help = defineCommand({
  name: "help",
  summary: "print this text, or everything about a command",
  operands: {
    command: {
      name: "COMMAND",
      text: "the command to tell about (default: all of them, in a line each)",
      isOptional: true,
      completes: "commands",
    },
    action: {
      name: "ACTION",
      text: "what it does, where a command has a word for that: weir help memory backup",
      isOptional: true,
    },
  },
  flags: {},
  examples: [
    { line: "weir help", text: "every command" },
    { line: "weir help serve", text: "the same as weir serve --help" },
  ],
  exits: { [EXIT.usage]: "the command line is wrong, or there is no such command" },
  run({ operands, commands }, terminal) {
    const { command, action } = operands;
    if (command === undefined) {
      terminal.print(programHelp(commands, findCommand(commands, MAIN_COMMAND)));
      return EXIT.done;
    }
    const found = findCommand(commands, command);
    const actions = Object.values(found.operands).flatMap(({ choices }) => choices ?? []);
    if (action !== undefined && !actions.includes(action)) {
      throw new Failure(`Unexpected argument ${JSON.stringify(action)}`, EXIT.usage);
    }
    terminal.print(commandHelp(found));
    return EXIT.done;
  },
});
