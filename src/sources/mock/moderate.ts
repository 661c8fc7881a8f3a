/**
 * What the mock thinks of a text: nothing bad, with small numbers that are the same for the same
 * text.
 *
 * @module
 */

import type { ModerationResult } from "../../core/answer.ts";
import { chooser, hashOf } from "./choose.ts";

/** In the order of recorded answers. */
const CATEGORIES = [
  "harassment",
  "harassment/threatening",
  "sexual",
  "hate",
  "hate/threatening",
  "illicit",
  "illicit/violent",
  "self-harm/intent",
  "self-harm/instructions",
  "self-harm",
  "sexual/minors",
  "violence",
  "violence/graphic",
] as const;

/** Scores of harmless texts lie between these. */
const SCORE_MIN = 1e-7;
const SCORE_MAX = 5e-3;
const PARTS = 1_000_000;

/** A result for `text`. */
export function moderate(text: string): ModerationResult {
  const choose = chooser(hashOf(text));
  const scores = Object.fromEntries(CATEGORIES.map((category) => [
    category,
    SCORE_MIN * (SCORE_MAX / SCORE_MIN) ** (choose(PARTS) / PARTS),
  ]));
  return { isFlagged: false, scores, flagged: [] };
}
