import { describe, expect, test } from "bun:test";
import { SseBlock } from "../../src/lib/sse_block.ts";

/** Block → its event, its data, and what it is with other data. */
const CASES: readonly (readonly [
  text: string,
  event: string,
  data: string | undefined,
  changed: string,
])[] = [
  ["data: a\n\n", "", "a", "data: x\n\n"],
  ["data:a\r\n\r\n", "", "a", "data:x\r\n\r\n"],
  ["data:  a\r\r", "", " a", "data: x\r\r"],
  ["\ufeffdata: a\n\n", "", "a", "\ufeffdata: x\n\n"],
  ["id: 1\nevent: e\ndata: a\n: c\n\n", "e", "a", "id: 1\nevent: e\ndata: x\n: c\n\n"],
  ["data: a\ndata\ndata: b\n\n", "", "a\n\nb", "data: x\n\n"],
  ["event: a\nevent: b\ndata: {}\n\n", "b", "{}", "event: a\nevent: b\ndata: x\n\n"],
  [": c\n\n", "", undefined, ": c\n\n"],
  ["\n", "", undefined, "\n"],
  // The stream was cut off: these are no events.
  ["data: a\n", "", undefined, "data: x\n"],
  ["data: a", "", undefined, "data: x"],
  ["", "", undefined, ""],
];

describe("SseBlock", () => {
  for (const [text, event, data, changed] of CASES) {
    test(JSON.stringify(text), () => {
      const block = new SseBlock(text);
      expect([block.event, block.data]).toEqual([event, data]);
      expect(block.lines.map(({ lead, value, end }) => lead + value + end).join("")).toBe(text);
      expect(block.withData("x")).toBe(changed);
      if (data !== undefined && data.indexOf("\n") < 0) expect(block.withData(data)).toBe(text);
    });
  }

  test("writes a line of data for each line", () => {
    expect(new SseBlock("id: 1\ndata:a\n\n").withData("b\nc")).toBe("id: 1\ndata:b\ndata:c\n\n");
  });
});
