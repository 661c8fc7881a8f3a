import { describe, expect, test } from "bun:test";
import { type TapeDifferences, tapeDifferences } from "../../../src/sources/tape/differences.ts";
import { bodyOfTape, type Tape } from "../../../src/sources/tape/format.ts";
import { answer, question, stream } from "../recordings/cassettes.ts";
import { readsOf, toldTape } from "./told_tape.ts";

const NONE: TapeDifferences = { asked: [], answered: [], pieces: [], times: [] };

function differences(one: Tape, other: Tape): TapeDifferences {
  return tapeDifferences(
    { tape: one, answer: bodyOfTape(one) },
    { tape: other, answer: bodyOfTape(other) },
  );
}

function asking(body: unknown, more: Partial<Tape["request"]> = {}): Tape {
  const tape = toldTape(1);
  const bytes = Uint8Array.from(Buffer.from(JSON.stringify(body)));
  return { ...tape, request: { ...tape.request, body: bytes, ...more } };
}

function answering(text: string | Uint8Array, more: Partial<Tape> = {}): Tape {
  return toldTape(1, { reads: readsOf([[320, text]]), ...more });
}

describe("tapeDifferences()", () => {
  /** One, other → what is told. */
  const CASES: readonly (readonly [name: string, Tape, Tape, Partial<TapeDifferences>])[] = [
    ["equal tapes with other ids", toldTape(1), { ...toldTape(1), id: "x", when: "y" }, {}],
    [
      "a request by its places, whatever the order of keys",
      asking({ ...question("Hi", { a: 1 }), model: "gpt-4" }),
      asking({ a: 2, ...question("你好") }),
      {
        asked: [
          'model: "gpt-4" instead of "gpt-4o"',
          'messages[0].content: "Hi" instead of "你好"',
          "a: 1 instead of 2",
        ],
      },
    ],
    [
      "where it went, and its headers, whatever their case and order",
      asking({}, { path: "/a", fields: [["X-A", "1"], ["b", "2"], ["b", "3"]] }),
      asking({}, { path: "/b", fields: [["b", "2"], ["x-a", "1"], ["c", "4"]] }),
      {
        asked: [
          'path: "/v1/a" instead of "/v1/b"',
          'b: "2, 3" instead of "2"',
          'c: nothing instead of "4"',
        ],
      },
    ],
    [
      "a stream by its events",
      answering(stream("a", "b")),
      answering(stream("a", "c", "d")),
      {
        answered: [
          'event 2: choices[0].delta.content: "b" instead of "c"',
          'event 3: choices[0].delta.content: nothing instead of "d"',
          'event 3: choices[0].finish_reason: "stop" instead of null',
          'event 4: "[DONE]" instead of an object',
          'event 5: nothing instead of "[DONE]"',
        ],
        pieces: ["piece 1: 288 bytes instead of 383 bytes"],
      },
    ],
    [
      "JSON by its places, and its ending",
      answering(JSON.stringify(answer("a"))),
      answering(JSON.stringify(answer("b")), {
        ending: { how: "timed_out", atUs: 331_000, error: "too late" },
      }),
      {
        answered: [
          'choices[0].message.content: "a" instead of "b"',
          'ending: "whole" instead of "timed_out"',
          'error: "" instead of "too late"',
        ],
      },
    ],
    [
      "other blanks that say the same",
      answering('{"a":1}'),
      answering('{ "a":1}'),
      {
        answered: ["body: other bytes that say the same"],
        pieces: ["piece 1: 7 bytes instead of 8 bytes"],
      },
    ],
    [
      "bytes that are no text",
      answering(Uint8Array.of(0xff, 1)),
      answering(Uint8Array.of(0xff, 2)),
      { answered: ["body: 2 bytes instead of 2 bytes"] },
    ],
    [
      "pieces and times",
      toldTape(1, { reads: readsOf([[320, "a"], [330, "b"]]) }),
      toldTape(1, { reads: readsOf([[321, "ab"]]) }),
      {
        pieces: ["pieces: 2 instead of 1"],
        times: ["first byte: 320 ms instead of 321 ms", "longest gap: 10 ms instead of never"],
      },
    ],
    [
      "no answer at all",
      toldTape(1, { response: undefined, reads: [] }),
      toldTape(1, { reads: [] }),
      {
        answered: [
          "status: nothing instead of 200",
          'content-type: nothing instead of "text/event-stream"',
          'set-cookie: nothing instead of "************"',
        ],
        times: ["head: never instead of 312 ms"],
      },
    ],
  ];
  for (const [name, one, other, expected] of CASES) {
    test(name, () => expect(differences(one, other)).toEqual({ ...NONE, ...expected }));
  }

  test("tells no more of a body than can be read", () => {
    const many = (text: string) => answering(stream(...Array(500).fill(text)));
    const { answered } = differences(many("a"), many("b"));
    expect(answered).toHaveLength(21);
    expect(answered.at(-1)).toBe("and more places");
  });
});
