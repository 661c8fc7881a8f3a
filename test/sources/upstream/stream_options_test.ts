import { describe, expect, test } from "bun:test";
import {
  StreamOptions,
  type StreamOptionsRule,
} from "../../../src/sources/upstream/stream_options.ts";

const NAMED =
  '{"detail":[{"loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}';
const OTHER = '{"error":{"message":"no"}}';

/** What happens: a request with them, or without, and what becomes of it. */
type Move =
  | "taken"
  | "taken without"
  | "refused without"
  | readonly [status: number, body: string, isAgain: boolean];

/** Moves, and whether they are sent then. */
const CASES: readonly (readonly [string, StreamOptionsRule, readonly Move[], boolean])[] = [
  ["nothing is known", "auto", [], true],
  ["they are not wanted", "never", [], false],
  ["they were taken", "auto", ["taken"], true],
  ["they were refused by name", "auto", [[422, NAMED, true]], false],
  [
    "they were refused by name by one that had taken them",
    "auto",
    ["taken", [400, NAMED, true]],
    false,
  ],
  ["another fault was found in a request by one that had taken them", "auto", ["taken", [
    400,
    OTHER,
    false,
  ]], true],
  [
    "something was refused and then taken without them",
    "auto",
    [[400, OTHER, true], "taken without"],
    false,
  ],
  [
    "something was refused, and without them too",
    "auto",
    [[400, OTHER, true], "refused without"],
    true,
  ],
  ["they were refused by name, and then something else", "auto", [
    [422, NAMED, true],
    "refused without",
  ], true],
  ["a bad request that had them was refused twice by one that had taken them", "auto", [
    "taken",
    [400, NAMED, true],
    "refused without",
    [400, OTHER, false],
  ], true],
  ["a request was refused beside one that showed it", "auto", [
    [400, OTHER, true],
    "taken without",
    "refused without",
  ], false],
  ["the key was wrong", "auto", [[401, NAMED, false]], true],
  ["the upstream was busy", "auto", [[429, OTHER, false]], true],
  ["the upstream broke", "auto", [[500, NAMED, false]], true],
];

describe("StreamOptions", () => {
  for (const [what, rule, moves, areSent] of CASES) {
    test(`are ${areSent ? "" : "not "}sent when ${what}`, () => {
      const options = new StreamOptions(rule);
      for (const move of moves) {
        if (move === "taken") options.onTaken();
        else if (move === "taken without") options.onTakenWithout();
        else if (move === "refused without") options.onRefusedWithout();
        else expect(options.onRefused(move[0], move[1])).toBe(move[2]);
      }
      expect(options.areSent).toBe(areSent);
    });
  }
});
