/**
 * Whether what is audited passes bytes on and is no hop of HTTP: then headers that end at a hop end
 * nowhere, and nothing can be asked again.
 *
 * @module
 */

import { KeptConnection, type Rig } from "./rig.ts";
import { answerWhole } from "./stream.ts";

/** Nobody who reads a head writes it so again. */
const ODD_FIELDS = [
  ["X-wEiR-Odd", "  two   blanks"],
  ["connection", "keep-alive, x-weir-odd"],
] as const;

const known = new WeakMap<Rig, Promise<boolean>>();

/**
 * True when heads arrive byte for byte, and each of the client's connections has one of its own to
 * the upstream. Asked once for an audit.
 */
export function isByteRelay(rig: Rig): Promise<boolean> {
  const told = known.get(rig) ?? ask(rig);
  known.set(rig, told);
  return told;
}

async function ask(rig: Rig): Promise<boolean> {
  const connections: number[] = [];
  for (let client = 0; client < 2; client++) {
    const kept = new KeptConnection(rig, "through");
    for (let ordinal = 1; ordinal <= 2; ordinal++) {
      const { exchange, expectation } = await rig.tell(
        "through",
        (attempt, mark) => answerWhole(attempt, mark),
        { connection: await kept.get(), fields: ODD_FIELDS },
      );
      const [attempt] = expectation.attempts;
      if (attempt?.headText !== exchange.sentHead || attempt.ordinal !== ordinal) return false;
      connections.push(attempt.connection);
    }
    kept.close();
  }
  const [one, same, other, its] = connections;
  return one === same && other === its && one !== other;
}
