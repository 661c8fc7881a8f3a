import { describe, expect, test } from "bun:test";
import { SseTail } from "../../src/lib/sse_tail.ts";

/** stream → [ends between two events, has said [DONE]] */
const CASES: readonly (readonly [string, boolean, boolean])[] = [
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
];

describe("SseTail", () => {
  for (const [stream, isBoundary, isDone] of CASES) {
    test(`${JSON.stringify(stream)}: boundary ${isBoundary}, done ${isDone}, however it is cut`, () => {
      const bytes = new TextEncoder().encode(stream);
      for (let first = 0; first <= bytes.length; first++) {
        for (let second = first; second <= bytes.length; second++) {
          const tail = new SseTail();
          tail.feed(bytes.subarray(0, first));
          tail.feed(bytes.subarray(first, second));
          tail.feed(bytes.subarray(second));
          expect([tail.isBoundary, tail.isDone], `cut at ${first}, ${second}`)
            .toEqual([isBoundary, isDone]);
        }
      }
    });
    test(`${JSON.stringify(stream)}: byte by byte`, () => {
      const tail = new SseTail();
      for (const byte of new TextEncoder().encode(stream)) tail.feed(Uint8Array.of(byte));
      expect([tail.isBoundary, tail.isDone]).toEqual([isBoundary, isDone]);
    });
  }
});
