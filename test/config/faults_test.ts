import { describe, expect, test } from "bun:test";
import { FAULTS, FaultTextError, parseFaults } from "../../src/config/faults.ts";
import { FAULT_NAMES } from "../../src/core/fault_plan.ts";
import { FAULT_TRAITS } from "../../src/core/fault_traits.ts";

test("the catalogue has every fault, and its places are those that weir looks for", () => {
  expect(Object.keys(FAULTS).toSorted()).toEqual([...FAULT_NAMES].toSorted());
  for (const name of FAULT_NAMES) {
    const { isAtEvent = false } = FAULT_TRAITS[name];
    expect([name, FAULTS[name].eventMin === 1]).toEqual([name, isAtEvent]);
  }
});

describe("parseFaults()", () => {
  const good: readonly (readonly [text: string, ...faults: object[]])[] = [
    ["cut", { name: "cut", keys: {} }],
    ["cut@event=0", { name: "cut", place: { unit: "event", at: 0 }, keys: {} }],
    ["cut@share=0.25", { name: "cut", place: { unit: "share", at: 0.25 }, keys: {} }],
    [
      " slow-head ; ms=5 , trickle@byte=9;bytes=3 ",
      { name: "slow-head", keys: { ms: 5 } },
      { name: "trickle", place: { unit: "byte", at: 9 }, keys: { bytes: 3, ms: 10 } },
    ],
    [
      'status;code=503;message="a, b; \\"c\\" \\\\"',
      { name: "status", keys: { code: 503, message: 'a, b; "c" \\' } },
    ],
    ["length-lie;by=-3", { name: "length-lie", keys: { by: -3 } }],
    ["framing;with=bom", { name: "framing", keys: { with: "bom" } }],
  ];
  for (const [text, ...faults] of good) {
    test(text, () => expect<unknown>(parseFaults(text)).toEqual(faults));
  }

  const bad: readonly (readonly [text: string, message: string])[] = [
    ["", "the name of a fault is missing (character 1)"],
    ["cut,,reset", "the name of a fault is missing (character 5)"],
    ["cut, ctu", 'there is no fault "ctu"; did you mean cut? (character 6)'],
    ["xyzzy", 'there is no fault "xyzzy" (character 1)'],
    [
      "cut@evnt=3",
      "the place of cut is one of event, byte, ms, share, as in cut@event=3; did you mean event? " +
      "(character 5)",
    ],
    ["cut@event", '"event" has no value: write event=… (character 5)'],
    ["cut@event=1.5", 'event must be a whole number from 0 on: it is "1.5" (character 5)'],
    ["dup@event=0", 'event must be a whole number from 1 on: it is "0" (character 5)'],
    ["cut@share=2", 'share must be a number from 0 to 1: it is "2" (character 5)'],
    ["slow-head@ms=3", "slow-head has no place: its keys are ms (character 11)"],
    ["no-done@event=3", "no-done has no place: it takes no key (character 9)"],
    ["trickle;byte=3", 'trickle has no key "byte"; did you mean bytes? (character 9)'],
    ["cut;constructor=1", 'cut has no key "constructor": it takes no key (character 5)'],
    ["stall;ms=1;ms=2", "ms stands there twice (character 12)"],
    ["stall;ms", '"ms" has no value: write ms=… (character 7)'],
    ["stall;ms=1e3", 'ms must be a whole number from 0 to 3600000: it is "1e3" (character 7)'],
    ["status;code=200", 'code must be a whole number from 400 to 599: it is "200" (character 8)'],
    ['status;message="a', "a quote has no end (character 16)"],
    ['status;message="a"b', "the quotes of message do not end it (character 8)"],
    [
      "hang;head=snt",
      'head must be one of held, sent: it is "snt"; did you mean sent? (character 6)',
    ],
    [`cut${",cut".repeat(16)}`, "there may be 16 faults at once (character 65)"],
    ["x".repeat(5000), "a list of faults has at most 4096 characters (character 1)"],
  ];
  for (const [text, message] of bad) {
    test(text.slice(0, 40), () => {
      expect(() => parseFaults(text)).toThrow(
        new FaultTextError("", 0).constructor as ErrorConstructor,
      );
      expect(() => parseFaults(text)).toThrow(message);
    });
  }
});
