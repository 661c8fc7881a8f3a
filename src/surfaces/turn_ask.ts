/**
 * Asks a source for a turn that a surface of an older system has read.
 *
 * @module
 */

import type { Asking } from "../core/surface.ts";
import type { Turn } from "../core/turn.ts";

/** What does not hang on the turn. */
export type TurnAskOptions = Omit<Asking, "kind" | "model" | "turn" | "isStream" | "wire">;

/** A question for the source of `options`. */
export function turnAsk(turn: Turn, options: TurnAskOptions): Asking {
  const { isStream } = turn;
  return {
    ...options,
    kind: "ask",
    model: () => turn.model,
    turn: () => turn,
    isStream,
    cutsAfterBlank: true,
  };
}
