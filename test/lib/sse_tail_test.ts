import { describe, expect, test } from "bun:test";
import { SseTail, StreamEnd } from "../../src/lib/sse_tail.ts";

const EVENTS = StreamEnd.events("response.completed", "response.failed");

/** stream → [ends between two events, has come to its end mark], where it ends as `end` says. */
const CASES: readonly (readonly [
  stream: string,
  isBoundary: boolean,
  isDone: boolean,
  end?: StreamEnd,
])[] = [
  ["", true, false],
  ["data: x\n", false, false],
  ["data: x\n\n", true, false],
  ["data: x\r\n\r\n", true, false],
  ["data: x\r\r", true, false],
  ["data: x\r\n", false, false],
  [": comment\n\n", true, false],
  ["data: [DONE]\n\n", true, true],
  ["data:[DONE]\n\n", true, true],
  ["data: [DONE]", false, true],
  ["data: x\n\ndata: [DONE]\n\n", true, true],
  ["data: x\r\n\r\ndata: [DONE]\r\n\r\n", true, true],
  ['data: {"content":"data: [DONE]"}\n\n', true, false],
  ['data: {"content":"[DONE]"}\n\n', true, false],
  ["xdata: [DONE]\n\n", true, false],
  ["data: 你好 🌊\n\ndata: [DO", false, false],
  ["data: [DONE]\n\n", true, false, StreamEnd.UNKNOWN],
  ["data: [DONE]\n\n", true, false, EVENTS],
  ["event: response.completed\ndata: {}\n\n", true, true, EVENTS],
  ["event:response.failed\r\ndata: {}\r\n\r\n", true, true, EVENTS],
  ["event: response.completed\ndata: {", false, false, EVENTS],
  ['data: {"type":"response.completed","a":1}\n\n', true, true, EVENTS],
  ['data: {"type":"response.completed","a":1}\n', false, false, EVENTS],
  ["event: x\ndata: event: response.completed\n\n", true, false, EVENTS],
  ['data: {"delta":"response.completed"}\n\n', true, false, EVENTS],
  ["xevent: response.completed\n\n", true, false, EVENTS],
];

describe("SseTail", () => {
  for (const [stream, isBoundary, isDone, end] of CASES) {
    const words = end?.marks.map(({ words }) => words.toString()).join(" ") ?? "[DONE]";
    test(`${words}, ${JSON.stringify(stream)}: boundary ${isBoundary}, done ${isDone}, however it is cut`, () => {
      const bytes = new TextEncoder().encode(stream);
      for (let first = 0; first <= bytes.length; first++) {
        for (let second = first; second <= bytes.length; second++) {
          const tail = new SseTail(end);
          tail.feed(bytes.subarray(0, first));
          tail.feed(bytes.subarray(first, second));
          tail.feed(bytes.subarray(second));
          expect([tail.isBoundary, tail.isDone], `cut at ${first}, ${second}`)
            .toEqual([isBoundary, isDone]);
        }
      }
    });
    test(`${words}, ${JSON.stringify(stream)}: byte by byte`, () => {
      const tail = new SseTail(end);
      for (const byte of new TextEncoder().encode(stream)) tail.feed(Uint8Array.of(byte));
      expect([tail.isBoundary, tail.isDone]).toEqual([isBoundary, isDone]);
    });
  }
});
