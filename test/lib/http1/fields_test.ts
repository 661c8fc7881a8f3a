import { describe, expect, test } from "bun:test";
import {
  BROKEN,
  type Field,
  Fields,
  FOLDED,
  nameIs,
  scanFields,
  TOO_MANY,
  UNFINISHED,
} from "../../../src/lib/http1/fields.ts";
import { latin1 } from "./pieces.ts";

const PAIRS: readonly Field[] = [
  ["Content-Type", "text/plain"],
  ["VIA", "1.1 a"],
  ["x-empty", ""],
  ["via", "1.1 b"],
];

describe("Fields", () => {
  test("gives back the pairs it is made of", () => {
    const fields = Fields.of(PAIRS);
    expect([...fields]).toEqual(PAIRS.map(([name, value]) => [name, value]));
    expect(fields.length).toBe(4);
    expect(fields.bytes.toString("latin1", fields.from, fields.to)).toBe(
      "Content-Type: text/plain\r\nVIA: 1.1 a\r\nx-empty: \r\nvia: 1.1 b\r\n",
    );
  });

  test("get() joins repeated lines, has() finds empty ones", () => {
    const fields = Fields.of(PAIRS);
    expect(fields.get("content-type")).toBe("text/plain");
    expect(fields.get("via")).toBe("1.1 a, 1.1 b");
    expect(fields.get("x-empty")).toBe("");
    expect(fields.get("content")).toBeNull();
    expect(fields.has("x-empty")).toBeTrue();
    expect(fields.has("x-emptz")).toBeFalse();
  });

  test("takes spaces and tabs off values, and no other blank", () => {
    const fields = Fields.of([["a", " \t x\ty \t"], ["b", "\xa0voil\xc3\xa0"], ["c", "  "]]);
    expect([...fields]).toEqual([["a", "x\ty"], ["b", "\xa0voil\xc3\xa0"], ["c", ""]]);
    expect(["a", "b", "c"].map((name) => fields.get(name))).toEqual([
      "x\ty",
      "\xa0voil\xc3\xa0",
      "",
    ]);
  });

  test("NONE and no pairs at all have no lines", () => {
    for (const fields of [Fields.NONE, Fields.of([])]) {
      expect([fields.length, fields.get("a"), [...fields]]).toEqual([0, null, []]);
    }
  });

  test("asked in turns, each answers for itself", () => {
    const one = Fields.of([["a", "1"], ["b", "2"], ["c", "3"]]);
    const other = Fields.of([["b", "5"]]);
    for (const [name, value] of one) {
      expect(one.get(name)).toBe(value);
      expect(other.get(name)).toBe(name === "b" ? "5" : null);
      expect([one.length, other.length]).toEqual([3, 1]);
    }
  });

  test("scan() says where everything stands, so that lines can be left out by copying", () => {
    const bytes = latin1("GET?? a: 1\r\nDrop:  x \r\nc:\r\n");
    const fields = new Fields(bytes, 6, bytes.length);
    const lines = fields.scan();
    expect(lines.count).toBe(3);
    const text = (from: number, to: number) => bytes.toString("latin1", from, to);
    expect(text(lines.nameAt(1), lines.nameEnd(1))).toBe("Drop");
    expect(text(lines.valueAt(1), lines.valueEnd(1))).toBe("x");
    expect(text(lines.nameAt(0), lines.nameAt(1)) + text(lines.lineEnd(1), lines.lineEnd(2))).toBe(
      "a: 1\r\nc:\r\n",
    );
  });

  test("holds more lines than the table begins with", () => {
    const pairs = Array.from({ length: 1_000 }, (_, i): Field => [`x-${i}`, String(i)]);
    const fields = Fields.of(pairs);
    expect(fields.length).toBe(1_000);
    expect(fields.get("x-999")).toBe("999");
    expect(fields.scan().lineEnd(999)).toBe(fields.to);
  });

  test("of a large read holds the lines alone", () => {
    const bytes = Buffer.alloc(100_000, "x");
    bytes.write("a: 1\r\n\r\n", "latin1");
    const end = scanFields(bytes, 0, bytes.length);
    const fields = Fields.ofScan(bytes, 0, end);
    expect(fields.get("a")).toBe("1");
    expect(fields.bytes.length).toBe(6);
  });

  const REFUSED: readonly [string, string, string][] = [
    ["an empty name", "", "x"],
    ["a name with a blank", "a b", "x"],
    ["a name with a colon", "a:", "x"],
    ["a name that is not ASCII", "你", "x"],
    ["a value with CR LF", "a", "x\r\nb: y"],
    ["a value with LF", "a", "x\ny"],
    ["a value with NUL", "a", "x\0"],
    ["a value with DEL", "a", "x\x7f"],
    ["a value above latin1", "a", "你"],
  ];
  for (const [what, name, value] of REFUSED) {
    test(`of() refuses ${what}`, () => {
      expect(() => Fields.of([[name, value]])).toThrow(TypeError);
    });
  }
});

test("nameIs() compares with text and with bytes, whatever the capitals", () => {
  const bytes = latin1("xContent-Lengthx");
  for (const name of ["content-length", latin1("content-length")]) {
    expect(nameIs(bytes, 1, 15, name)).toBeTrue();
    expect(nameIs(bytes, 1, 14, name)).toBeFalse();
    expect(nameIs(bytes, 0, 14, name)).toBeFalse();
  }
});

describe("scanFields()", () => {
  const CASES: readonly [string, string, number][] = [
    ["nothing", "", UNFINISHED],
    ["half a name", "ab", UNFINISHED],
    ["a name and its colon", "ab:", UNFINISHED],
    ["a line without its LF", "a: b\r", UNFINISHED],
    ["a line without an empty one", "a: b\r\n", UNFINISHED],
    ["half of the empty line", "a: b\r\n\r", UNFINISHED],
    ["a whole head", "a: b\r\n\r\n", 6],
    ["no lines", "\r\n", 0],
    ["bytes behind the head", "a:\r\n\r\nb c", 4],
    ["a folded line", "a: b\r\n c\r\n\r\n", FOLDED],
    ["a name without a colon", "abc\r\n\r\n", BROKEN],
    ["a colon without a name", ": x\r\n\r\n", BROKEN],
    ["a blank before the colon", "a : x\r\n\r\n", BROKEN],
    ["CR alone", "a: b\rc\r\n\r\n", BROKEN],
    ["LF alone", "a: b\n\r\n", BROKEN],
    ["LF instead of the empty line", "a: b\r\n\n", BROKEN],
    ["CR instead of the empty line", "a: b\r\n\rx", BROKEN],
    ["NUL", "a: \0\r\n\r\n", BROKEN],
    ["one line too many", "a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\n\r\n", TOO_MANY],
  ];
  for (const [name, text, wanted] of CASES) {
    test(`${name}: ${wanted}`, () => {
      expect(scanFields(latin1(text), 0, text.length, 3)).toBe(wanted);
    });
  }
});
