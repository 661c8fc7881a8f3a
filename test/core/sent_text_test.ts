import { describe, expect, test } from "bun:test";
import { SentText } from "../../src/core/sent_text.ts";

describe("SentText", () => {
  const ROWS: readonly (readonly [name: string, pieces: readonly string[]])[] = [
    ["one short piece", ["data: 水\n\n"]],
    ["crumbs", Array.from({ length: 5000 }, (_, i) => String(i % 10))],
    ["long pieces", ["a".repeat(5000), "b".repeat(3000), "c"]],
    ["a piece of just the length that is kept", ["a", "b".repeat(1024), "c".repeat(1023)]],
  ];
  for (const [name, pieces] of ROWS) {
    test(`keeps the beginning and the end of ${name}`, () => {
      const sent = new SentText();
      for (const piece of pieces) sent.add(Buffer.from(piece));
      const told = new SentText();
      for (const piece of pieces) told.addText(piece);
      expect([told.first, told.last]).toEqual([sent.first, sent.last]);
      const all = pieces.join("");
      expect([sent.first, sent.last]).toEqual([all.slice(0, 2048), all.slice(-1024)]);
    });
  }

  test("holds on to no piece that its owner may write over", () => {
    const piece = Buffer.from("first");
    const sent = new SentText();
    sent.add(piece);
    piece.fill(120);
    expect([sent.first, sent.last]).toEqual(["first", "first"]);
  });
});
