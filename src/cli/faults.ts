/**
 * `weir faults`: what can go wrong on purpose.
 *
 * @module
 */

import { type FaultKey, type FaultRule, FAULTS } from "../config/faults.ts";
import { defineCommand } from "./command.ts";
import { EXIT } from "./terminal.ts";

/** Lists every fault. */
export const faults = defineCommand({
  name: "faults",
  summary: "list what can go wrong on purpose, a line for each fault",
  details:
    "Each line has the fault's name, what happens, where it can happen and its keys with what is " +
    "usual. Faults are written NAME[@event|byte|ms|share=N][;key=value], several by comma: in " +
    "faults.rules of the config, under fault of a fixture, and in the header x-weir-fault.",
  operands: {},
  flags: {},
  examples: [{ line: "weir faults", text: "which faults are there, and what do they take?" }],
  exits: {},
  run(_call, terminal) {
    const width = Math.max(...Object.keys(FAULTS).map(({ length }) => length));
    for (const [name, rule] of Object.entries(FAULTS)) {
      terminal.print(`${name.padEnd(width)}  ${lineOf(rule)}`);
    }
    return EXIT.done;
  },
});

function lineOf({ text, places, keys }: FaultRule): string {
  const takes = [
    ...(places.length === 0 ? [] : [`@${places.join("|")}`]),
    ...Object.entries(keys).map(([key, rule]) => `;${key}=${valueOf(rule)}`),
  ];
  return takes.length === 0 ? text : `${text}  ${takes.join(" ")}`;
}

/** What may stand behind a key, what is usual first. */
function valueOf(key: FaultKey): string {
  if (key.kind === "word") return key.words.join("|");
  return key.kind === "number" ? String(key.initial ?? "N") : "…";
}
