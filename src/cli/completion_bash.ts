/**
 * Completion for bash, made of the definitions.
 *
 * @module
 */

import type { Command } from "./command.ts";
import { type Flag, longName } from "./flags.ts";
import { MAIN_COMMAND } from "./program.ts";

/** The script: flags behind "-", a command where none is named, choices, files elsewhere. */
export function bashScript(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name);
  return `# bash completion for weir, printed by: weir completion bash
_weir() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  local command=${MAIN_COMMAND} words= at
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    case \${COMP_WORDS[at]} in
      ${names.join("|")}) command=\${COMP_WORDS[at]}; break ;;
    esac
  done
  case "$command $before" in
${commands.flatMap(valueLines).join("\n")}
  esac
  if [[ $word == -* ]]; then
    case $command in
${commands.map(flagLine).join("\n")}
    esac
  elif ((at == COMP_CWORD)); then
    words='${names.join(" ")}'
  elif ((at == COMP_CWORD - 1)); then
    case $command in
${commands.flatMap((command) => operandLine(command, names)).join("\n")}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o bashdefault -o default -F _weir weir
`;
}

/** What is offered behind each flag of a command that has a value. */
function valueLines({ name, flags }: Command): readonly string[] {
  return Object.entries(flags).filter(([, { value }]) => value !== undefined).map(([key, flag]) => {
    const spellings = spellingsOf(key, flag).map((word) => `'${name} ${word}'`).join("|");
    return `    ${spellings}) ${valueAction(flag)} return ;;`;
  });
}

/** Bash offers files where nothing else is offered, unless it is told not to. */
function valueAction({ choices, completes }: Flag<unknown>): string {
  if (choices !== undefined) {
    return `COMPREPLY=($(compgen -W '${choices.join(" ")}' -- "$word"));`;
  }
  return completes === "files" ? "" : "compopt +o default +o bashdefault 2> /dev/null;";
}

function flagLine({ name, flags }: Command): string {
  const words = Object.entries(flags).flatMap(([key, flag]) => spellingsOf(key, flag));
  const own = name === MAIN_COMMAND ? ["--version"] : [];
  return `      ${name}) words='${[...words, ...own, "-h", "--help"].join(" ")}' ;;`;
}

/** The words of a command's first operand, where they are known. */
function operandLine({ name, operands }: Command, names: readonly string[]): readonly string[] {
  const [first] = Object.values(operands);
  const words = first?.completes === "commands" ? names : first?.choices;
  return words === undefined ? [] : [`      ${name}) words='${words.join(" ")}' ;;`];
}

function spellingsOf(key: string, { short }: Flag<unknown>): readonly string[] {
  return [...(short === undefined ? [] : [`-${short}`]), longName(key)];
}
