/**
 * Of the tapes that are there, the one whose request is most like one that none of them answers, and
 * what differs: a miss that says nothing more than that it is one leaves everybody guessing.
 *
 * Pure: it is given requests as tapes are matched by, without what is left out of that and without
 * secrets, and gives texts of bounded length.
 *
 * @module
 */

import {
  commonStart,
  differenceText,
  type JsonDifference,
  jsonDifferences,
} from "../../lib/json_differences.ts";

/** So many of the tapes are looked at: a miss must not take longer than an answer. */
const TAPES_MAX = 2000;
/** A tape with so many differences is as far away as any with more. */
const DIFFERENCES_MAX = 40;
/** Of the differences, so many are told. */
const TOLD_MAX = 3;

/** Another method, path or model weighs more than another word: it is another question. */
const METHOD_COST = 1000;
const PATH_COST = 100;
const MODEL_COST = 4;

/** A request, as far as tapes are matched by it. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  /** The body: a JSON value, or a text where it is no JSON. */
  readonly body: unknown;
}

/** The request of a tape. */
export interface KnownRequest extends Asked {
  /** What people know the tape by: the name of its file. */
  readonly name: string;
}

/** The tape whose request is nearest. */
export interface Nearest {
  readonly name: string;
  /**
   * What differs, a line each, of what was asked first: `model: "gpt-4o" instead of "gpt-4"`. None =
   * nothing does.
   */
  readonly differences: readonly string[];
}

/** The one of `tapes` whose request is nearest to `asked`, the first of equals; undefined = none. */
export function nearestTape(asked: Asked, tapes: Iterable<KnownRequest>): Nearest | undefined {
  let best: KnownRequest | undefined;
  let bestCost = Infinity;
  let left = TAPES_MAX;
  for (const tape of tapes) {
    if (left-- <= 0) break;
    const cost = costOf(asked, tape, bestCost);
    if (cost >= bestCost) continue;
    best = tape;
    bestCost = cost;
  }
  return best && { name: best.name, differences: linesOf(asked, best) };
}

/** What a miss says behind "No tape answers this request". One sentence, without a period. */
export function nearestText(nearest: Nearest | undefined): string {
  if (nearest === undefined) return "there is no tape at all";
  const { name, differences } = nearest;
  return differences.length === 0
    ? `${name} asks the same, and cannot be played`
    : `the nearest, ${name}, differs in ${differences.join("; ")}`;
}

/** How far away a tape is; not counted on when it is further away than `max`. */
function costOf(asked: Asked, tape: Asked, max: number): number {
  let cost = (asked.method === tape.method ? 0 : METHOD_COST) +
    (asked.path === tape.path ? 0 : PATH_COST);
  if (cost >= max) return cost;
  for (const difference of jsonDifferences(asked.body, tape.body, DIFFERENCES_MAX)) {
    cost += costOfOne(difference);
    if (cost >= max) break;
  }
  return cost;
}

function costOfOne({ path, one, other }: JsonDifference): number {
  if (path === "model") return MODEL_COST;
  if (typeof one !== "string" || typeof other !== "string") return 1;
  // A text that begins and ends alike is nearer than one that has nothing in common.
  const length = Math.max(one.length, other.length);
  const start = commonStart(one, other);
  const rest = Math.min(one.length, other.length) - start;
  let end = 0;
  while (end < rest && one.at(-1 - end) === other.at(-1 - end)) end++;
  return 0.1 + 0.9 * (1 - (start + end) / length);
}

function linesOf(asked: Asked, tape: Asked): readonly string[] {
  const heads = (["method", "path"] as const).filter((key) => asked[key] !== tape[key])
    .map((key) => differenceText({ path: key, one: asked[key], other: tape[key] }));
  const all = jsonDifferences(asked.body, tape.body, DIFFERENCES_MAX);
  const lines = [...heads, ...all.map((one) => differenceText(one))];
  if (lines.length <= TOLD_MAX) return lines;
  const count = lines.length - TOLD_MAX;
  const isMore = all.length === DIFFERENCES_MAX ? "at least " : "";
  return [...lines.slice(0, TOLD_MAX), `and ${isMore}${count} more places`];
}
