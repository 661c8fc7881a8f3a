import { describe, expect, test } from "bun:test";
import { type EventFaults, EventFollower } from "../../src/load/event_follower.ts";
import { knownAnswer } from "../../src/load/stream_probe.ts";

const encoder = new TextEncoder();

/** One event of the answer. The word 时间🌊 keeps bytes and characters apart. */
function event(name: string, id = "1234"): string {
  return `data: {"id":"${id}","said":"${name} 时间🌊"}\n\n`;
}

const EVENTS = ["a", "b", "b", "c"].map((name) => event(name));
const ANSWER = [...EVENTS, "data: [DONE]\n\n"].join("");

interface Found extends EventFaults {
  readonly seen: readonly number[];
  readonly isComplete: boolean;
}

function follow(text: string, sizeBytes: number, isKnown = true): Found {
  const faults: EventFaults = { lost: 0, doubled: 0, strange: 0 };
  const seen: number[] = [];
  const known = isKnown ? knownAnswer([encoder.encode(ANSWER)]) : undefined;
  const follower = new EventFollower(known, faults, (index) => seen.push(index));
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += sizeBytes) {
    follower.data(bytes, at, Math.min(bytes.length, at + sizeBytes));
  }
  const { isComplete } = follower;
  follower.end();
  return { ...faults, seen, isComplete };
}

const [A, B, , C] = EVENTS as [string, string, string, string];
const DONE = "data: [DONE]\n\n";
const ALL = [0, 1, 2, 3, 4];

const CASES: readonly (readonly [name: string, stream: string, found: Partial<Found>])[] = [
  ["the answer itself", ANSWER, { seen: ALL }],
  ["other ids of the same width", ANSWER.replaceAll("1234", "zzzz"), { seen: ALL }],
  ["the first event lost", B + B + C + DONE, { seen: [1, 2, 3, 4], lost: 1 }],
  ["one in the middle lost", A + B + B + DONE, { seen: [0, 1, 2, 4], lost: 1 }],
  ["the end lost", A + B + B, { seen: [0, 1, 2], lost: 2 }],
  ["all lost", "", { seen: [], lost: 5 }],
  ["one doubled", A + A + B + B + C + DONE, { seen: ALL, doubled: 1 }],
  ["the end doubled", ANSWER + DONE, { seen: ALL, doubled: 1 }],
  ["one doubled, with a new id", A + B + B + event("b", "9999") + C + DONE, {
    seen: ALL,
    doubled: 1,
  }],
  ["two in the wrong order", A + C + B + B + DONE, { seen: [0, 3, 4], lost: 2, doubled: 2 }],
  ["two glued", A + B + B.trimEnd() + C + DONE, { seen: [0, 1, 4], lost: 2, strange: 1 }],
  ["two glued with one line feed", A + B + B.slice(0, -1) + C + DONE, {
    seen: [0, 1, 4],
    lost: 2,
    strange: 1,
  }],
  ["one torn", A + B.slice(0, 20) + B + C + DONE, { seen: [0, 3, 4], lost: 2, strange: 1 }],
  ["one byte changed", A.replace("a 时", "x 时") + B + B + C + DONE, {
    seen: [1, 2, 3, 4],
    lost: 1,
    strange: 1,
  }],
  ["a changed byte in an emoji", A.replace("🌊", "🌋") + B + B + C + DONE, {
    seen: [1, 2, 3, 4],
    lost: 1,
    strange: 1,
  }],
  ["an id that is longer", event("a", "12345") + B + B + C + DONE, {
    seen: [1, 2, 3, 4],
    lost: 1,
    strange: 1,
  }],
  ["an event nobody knows", A + event("q") + B + B + C + DONE, { seen: ALL, strange: 1 }],
  ["half an event at the end", ANSWER.slice(0, -1), {
    seen: [0, 1, 2, 3],
    lost: 1,
    strange: 1,
  }],
  ["half an event behind the end", `${ANSWER}data: x`, { seen: ALL, strange: 1 }],
  ["comments in between", `: hi\n\n${A}${B}: keep-alive\n\n${B}${C}:\n\n${DONE}`, { seen: ALL }],
  ["blank lines in between", `\n\n${A}\n${B}${B}${C}${DONE}`, { seen: ALL }],
];

describe("EventFollower", () => {
  for (const [name, stream, found] of CASES) {
    test(`sees ${name}, wherever it is cut`, () => {
      const expected = { lost: 0, doubled: 0, strange: 0, ...found };
      for (const size of [1, 2, 3, 5, 11, 40, 1000]) {
        expect(follow(stream, size), `pieces of ${size}`).toEqual({
          ...expected,
          isComplete: expected.lost === 0,
        } as Found);
      }
    });
  }

  const COUNTED: readonly (readonly [name: string, stream: string, events: number])[] = [
    ["events", ANSWER, 5],
    ["events with carriage returns", ANSWER.replaceAll("\n", "\r\n"), 5],
    ["no comments and no blank lines", `: hi\n\n\n${A}\n\n: ho\n\n${B}`, 2],
    ["events of several lines", "event: x\ndata: 1\n\nid: 3\ndata: 2\n\n", 2],
  ];
  for (const [name, stream, events] of COUNTED) {
    test(`without a known answer it counts ${name}`, () => {
      for (const size of [1, 3, 1000]) {
        const { seen, lost, doubled, strange, isComplete } = follow(stream, size, false);
        expect(seen).toEqual(Array.from({ length: events }, (_, i) => i));
        expect({ lost, doubled, strange, isComplete }).toEqual({
          lost: 0,
          doubled: 0,
          strange: 0,
          isComplete: false,
        });
      }
    });
  }
});
