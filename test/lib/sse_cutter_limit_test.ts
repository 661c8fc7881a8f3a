import { describe, expect, test } from "bun:test";
import { SseCutter } from "../../src/lib/sse_cutter.ts";

/** The parts of `pieces`: each text, and whether it is an event. */
function partsOf(pieces: readonly string[], bytesMax?: number) {
  const cutter = new SseCutter(bytesMax);
  return pieces.flatMap((piece) => cutter.feed(Buffer.from(piece)))
    .map(({ bytes, isEvent }) => [bytes.toString(), isEvent]);
}

describe("SseCutter", () => {
  test("passes on in pieces what is too long for an event, and finds the next one", () => {
    const pieces = ["data: 12", "3456", "789", "\ndata: x\n\nda", "ta: y\n\n"];
    expect(partsOf(pieces, 10)).toEqual([
      ["data: 123456", false],
      ["789\ndata: x\n\n", false],
      ["data: y\n\n", true],
    ]);
  });

  test("takes an event behind a byte order mark for one, however it is cut", () => {
    const bytes = Buffer.from("\ufeffdata: x\n\ndata: y\n\n");
    for (let at = 0; at <= bytes.length; at++) {
      const cutter = new SseCutter();
      const parts = [...cutter.feed(bytes.subarray(0, at)), ...cutter.feed(bytes.subarray(at))];
      expect(parts.map(({ isEvent }) => isEvent)).toEqual([true, true]);
      expect(Buffer.concat(parts.map((part) => part.bytes))).toEqual(bytes);
    }
    expect(partsOf(["data: x\n\n\ufeffdata: y\n\n"]).map(([, isEvent]) => isEvent)).toEqual([
      true,
      false,
    ]);
  });
});
