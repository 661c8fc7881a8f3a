/**
 * Completion for zsh, made of the definitions.
 *
 * @module
 */

import type { Command, Operand } from "./command.ts";
import { type Completes, type Flag, longName } from "./flags.ts";
import { MAIN_COMMAND } from "./program.ts";

/** The script: to be read with `source`, or found in `fpath` as `_weir`. */
export function zshScript(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name);
  return `#compdef weir
# zsh completion for weir, printed by: weir completion zsh
_weir() {
  local -a commands=(
${commands.map(({ name, summary }) => `    ${quoted(`${name}:${summary}`)}`).join("\n")}
  )
  local command=${MAIN_COMMAND}
  if [[ $words[2] != -* ]]; then
    if ((CURRENT == 2)); then
      _describe -t commands command commands
      return
    fi
    command=$words[2]
    shift words
    ((CURRENT--))
  fi
  case $command in
${commands.map((command) => caseOf(command, names)).join("\n")}
  esac
}
if [[ $funcstack[1] == _weir ]]; then
  _weir "$@"
else
  compdef _weir weir
fi
`;
}

function caseOf(command: Command, names: readonly string[]): string {
  const specs = [
    ...Object.entries(command.flags).flatMap(([key, flag]) => flagSpecs(key, flag, names)),
    "(-h --help)-h[print the help of this command]",
    "(-h --help)--help[print the help of this command]",
    ...Object.values(command.operands).map((operand, at) => operandSpec(operand, at + 1, names)),
  ];
  return `    ${command.name})
      _arguments -s ${specs.map((spec) => `\\\n        ${quoted(spec)}`).join(" ")}
      ;;`;
}

/** "(-c --config)-c[text]:FILE:_files" and the same for the long form. */
function flagSpecs(key: string, flag: Flag<unknown>, names: readonly string[]): readonly string[] {
  const long = longName(key);
  const spellings = flag.short === undefined ? [long] : [`-${flag.short}`, long];
  const before = flag.isRepeatable ? "*" : `(${spellings.join(" ")})`;
  const value = flag.value === undefined ? "" : `:${plain(flag.value)}:${actionOf(flag, names)}`;
  return spellings.map((word) => {
    const equals = value !== "" && word === long ? "=" : "";
    return `${before}${word}${equals}[${plain(flag.text)}]${value}`;
  });
}

function operandSpec(operand: Operand, position: number, names: readonly string[]): string {
  const { name, isOptional, isRepeated, choices, completes = "nothing" } = operand;
  const colons = isOptional ? "::" : ":";
  const known = choices === undefined ? { completes } : { choices, completes };
  return `${isRepeated ? "*" : position}${colons}${plain(name)}:${actionOf(known, names)}`;
}

function actionOf(
  { choices, completes }: { readonly choices?: readonly string[]; readonly completes: Completes },
  names: readonly string[],
): string {
  const words = completes === "commands" ? names : choices;
  if (words !== undefined) return `(${words.join(" ")})`;
  return completes === "files" ? "_files" : " ";
}

/** What means something in a specification is escaped. */
function plain(text: string): string {
  return text.replace(/[\\[\]:]/g, "\\$&");
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
