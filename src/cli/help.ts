/**
 * `weir help`: what there is, and how each command is called.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import { commandHelp, programHelp } from "./help_text.ts";
import { findCommand, MAIN_COMMAND } from "./program.ts";
import { EXIT } from "./terminal.ts";

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
  },
  flags: {},
  examples: [
    { line: "weir help", text: "every command" },
    { line: "weir help serve", text: "the same as weir serve --help" },
  ],
  exits: { [EXIT.usage]: "the command line is wrong, or there is no such command" },
  run({ operands, commands }, terminal) {
    const { command } = operands;
    terminal.print(
      command === undefined
        ? programHelp(commands, findCommand(commands, MAIN_COMMAND))
        : commandHelp(findCommand(commands, command)),
    );
    return EXIT.done;
  },
});
