/**
 * Kept answers as the store has them: JSON, with times that hold in every process.
 *
 * @module
 */

import type { Script } from "../../core/answer.ts";
import { type Gathered, Gathering } from "../../core/gathering.ts";
import type { Wheel } from "../../lib/wheel.ts";
import type { ToldAnswer } from "../kept_answer.ts";

/** An answer of which all is known. Times are in milliseconds since 1970. */
export interface PackedAnswer
  extends Pick<ToldAnswer, "text" | "totalMs" | "stamps" | "labels" | "usage"> {
  readonly startMs: number;
  readonly cancelledMs?: number;
  /** What was said: steps that were known beforehand, or what was gathered. */
  readonly script?: Script;
  readonly choices?: Gathered["choices"];
}

/** Packs answers, and unpacks them elsewhere. */
export interface AnswerPacking {
  /** undefined = not all of it is known. */
  pack(answer: ToldAnswer): PackedAnswer | undefined;
  unpack(packed: PackedAnswer): ToldAnswer;
}

/** Packs by the clocks of this process. */
export function answerPacking(
  { wheel, wallMs }: { readonly wheel: Wheel; readonly wallMs: () => number },
): AnswerPacking {
  /** Of a time since 1970 how late it is on the wheel, and the other way round. */
  const onWheel = (atMs: number) => atMs - wallMs() + wheel.nowMs;
  const onWall = (atMs: number) => atMs - wheel.nowMs + wallMs();
  return {
    pack({ text, startMs, totalMs, stamps, labels, usage, script, said, cancelledMs }) {
      if (said === undefined || stamps === undefined) return undefined;
      return {
        text,
        startMs: onWall(startMs),
        totalMs,
        stamps,
        labels,
        usage,
        ...(script === undefined ? { choices: said.choices } : { script }),
        ...(cancelledMs === undefined ? {} : { cancelledMs: onWall(cancelledMs) }),
      };
    },
    unpack({ startMs, cancelledMs, script, choices, stamps, ...rest }) {
      return {
        ...rest,
        // The clock of another node may be ahead: nothing begins later than now.
        startMs: Math.min(onWheel(startMs), wheel.nowMs),
        stamps: stamps!,
        labels: rest.labels,
        usage: rest.usage,
        script,
        said: { choices: choices ?? choicesOf(script!), usage: rest.usage },
        cancelledMs: cancelledMs === undefined ? undefined : onWheel(cancelledMs),
        bytes: 0, // it is in no ring
      };
    },
  };
}

function choicesOf({ steps }: Script): Gathered["choices"] {
  const said = new Gathering();
  for (const step of steps) said.add(step);
  return said.choices;
}
