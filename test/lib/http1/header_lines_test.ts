import { describe, expect, test } from "bun:test";
import { HeaderLines } from "../../../src/lib/http1/header_lines.ts";
import { linesOf } from "../lines_of.ts";

describe("HeaderLines", () => {
  test("keeps names and values as they are, in their order, and gives them back", () => {
    const lines = linesOf({ "X-A": "1", "content-type": "text/plain; charset=utf-8", "x-e": "" });
    expect(lines.text).toBe("X-A: 1\r\ncontent-type: text/plain; charset=utf-8\r\nx-e: \r\n");
    expect(lines.toFields()).toEqual([
      ["X-A", "1"],
      ["content-type", "text/plain; charset=utf-8"],
      ["x-e", ""],
    ]);
  });

  test("has nothing of what belongs to the connection, however it is written", () => {
    const lines = new HeaderLines();
    for (const name of ["Connection", "keep-alive", "TE", "HOST", "content-Length", "Upgrade"]) {
      lines.add(name, "x");
    }
    expect(lines.text).toBe("");
    expect(lines.toFields()).toEqual([]);
  });

  const REFUSED: readonly (readonly [name: string, header: string, value: string])[] = [
    ["a name with a colon", "a:b", "c"],
    ["a name with a blank", "a b", "c"],
    ["no name", "", "c"],
    ["a value with CR LF", "a", "b\r\nc: d"],
    ["a value with NUL", "a", "\0"],
    ["a value beyond latin1", "a", "你好"],
  ];
  for (const [name, header, value] of REFUSED) {
    test(`refuses ${name}, also the second time`, () => {
      const lines = new HeaderLines();
      for (let i = 0; i < 2; i++) expect(() => lines.add(header, value)).toThrow(TypeError);
      expect(lines.text).toBe("");
    });
  }
});
