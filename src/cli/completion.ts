/**
 * `weir completion`: what a shell needs to complete weir's command lines.
 *
 * @module
 */

import { defineCommand } from "./command.ts";
import { bashScript } from "./completion_bash.ts";
import { fishScript } from "./completion_fish.ts";
import { zshScript } from "./completion_zsh.ts";
import { EXIT } from "./terminal.ts";

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

type Shell = keyof typeof SCRIPTS;

/** Prints a script that completes commands, flags and their values. It starts no weir. */
export const completion = defineCommand({
  name: "completion",
  summary: "print a script with which a shell completes commands and flags",
  operands: {
    shell: {
      name: "SHELL",
      text: "the shell that reads it: bash, zsh or fish",
      choices: Object.keys(SCRIPTS),
    },
  },
  flags: {},
  examples: [
    {
      line: 'eval "$(weir completion bash)"',
      text: "bash: in this shell; or as a line of ~/.bashrc",
    },
    { line: "weir completion zsh > _weir", text: "zsh: a file for a folder that fpath names" },
    { line: "weir completion fish > weir.fish", text: "fish: for ~/.config/fish/completions" },
  ],
  exits: {},
  run({ operands, commands }, terminal) {
    terminal.print(SCRIPTS[operands.shell as Shell](commands).trimEnd());
    return EXIT.done;
  },
});
