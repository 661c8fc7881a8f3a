import { describe, expect, test } from "bun:test";
import { HeaderBlock } from "../../../src/lib/http1/header_block.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";

type Given = Readonly<Record<string, string>>;

describe("HeaderBlock.of()", () => {
  const LINES: readonly (readonly [name: string, given: Given, lines: string])[] = [
    ["nothing", {}, ""],
    ["fields in their order, names as given", { "X-B": "1", "a": "2" }, "X-B: 1\r\na: 2\r\n"],
    ["an empty value", { a: "" }, "a: \r\n"],
    ["latin1", { a: "é" }, "a: é\r\n"],
    ["nothing of the connection and the framing", {
      "Connection": "close",
      "content-length": "5",
      "Date": "now",
      "keep-alive": "timeout=5",
      "Transfer-Encoding": "chunked",
      "a": "1",
    }, "a: 1\r\n"],
  ];
  for (const [name, given, lines] of LINES) {
    test(`lays ${name}`, () => {
      const { bytes, hasDate } = HeaderBlock.of(given);
      expect(bytes.toString("latin1")).toBe(lines);
      expect(hasDate).toBe(false);
    });
  }

  const WISHES: readonly (readonly [given: Given, wish: HeaderBlock["connection"]])[] = [
    [{}, ""],
    [{ connection: "close" }, "close"],
    [{ connection: "keep-alive" }, "keep-alive"],
    [{ connection: "upgrade" }, ""],
  ];
  for (const [given, wish] of WISHES) {
    test(`${JSON.stringify(given)} wants ${wish || "nothing"} of the connection`, () => {
      expect(HeaderBlock.of(given).connection).toBe(wish);
    });
  }

  const REFUSED: readonly (readonly [name: string, given: Given])[] = [
    ["a name with a blank", { "a b": "1" }],
    ["no name", { "": "1" }],
    ["a line end in a name", { "a\r\nb": "1" }],
    ["a line end in a value", { a: "1\r\nb: 2" }],
    ["a zero in a value", { a: "\0" }],
    ["a value that is not latin1", { a: "水" }],
  ];
  for (const [name, given] of REFUSED) {
    test(`refuses ${name}`, () => expect(() => HeaderBlock.of(given)).toThrow(TypeError));
  }

  test("refuses a slot whose name cannot stand in a head", () => {
    expect(() => HeaderBlock.of({}, { name: "a b", width: 3 })).toThrow(TypeError);
  });
});

describe("HeaderBlock.ofLines()", () => {
  test("has the lines as they are, and no wish", () => {
    const { bytes } = Fields.of([["Date", "now"]]);
    const block = HeaderBlock.ofLines(bytes, bytes.length, true);
    expect(block.bytes).toBe(bytes);
    expect([block.hasDate, block.connection]).toEqual([true, ""]);
  });
});

describe("HeaderBlock.stamp()", () => {
  const SLOT = { name: "x-request-id", width: 5 };

  test("writes each value over the one before, and nothing beside it", () => {
    const block = HeaderBlock.of({ a: "1", connection: "close" }, SLOT);
    for (const value of ["req_1", "req_2"]) {
      expect(block.stamp(value)).toBe(block);
      expect(block.bytes.toString()).toBe(`a: 1\r\nx-request-id: ${value}\r\n`);
    }
    expect(block.connection).toBe("close");
  });

  for (const value of ["", "req_", "req_10"]) {
    test(`refuses "${value}", which does not fit, and keeps what is there`, () => {
      const block = HeaderBlock.of({}, SLOT).stamp("req_1");
      expect(() => block.stamp(value)).toThrow(RangeError);
      expect(block.bytes.toString()).toBe("x-request-id: req_1\r\n");
    });
  }

  test("refuses where there is no slot", () => {
    expect(() => HeaderBlock.of({ a: "1" }).stamp("x")).toThrow(RangeError);
    expect(() => HeaderBlock.ofLines(Buffer.from("a: 1\r\n"), 6, false).stamp("x")).toThrow(
      RangeError,
    );
  });
});

describe("HeaderBlock.readersAt", () => {
  const LINE = "Access-Control-Allow-Origin: *\r\n";
  const CASES: readonly (readonly [string, Given, string])[] = [
    ["no line", { a: "1" }, ""],
    ["no fields", {}, ""],
    ["the first line", { "Access-Control-Allow-Origin": "*", a: "1" }, LINE],
    ["the last line", { a: "1", "Access-Control-Allow-Origin": "*" }, LINE],
    ["no value, and no other name", {
      "x-access-control-allow-origin": "1",
      "a": "access-control-allow-origin: *",
      "access-control-allow-origins": "*",
    }, ""],
  ];
  for (const [name, given, line] of CASES) {
    test(`is ${name}`, () => {
      const block = HeaderBlock.of(given, { name: "slot", width: 3 });
      for (const value of ["abc", "def"]) {
        const { bytes, readersAt: [from, to] } = block.stamp(value);
        expect(bytes.toString("latin1", from, to)).toBe(line);
        if (line === "") expect([from, to]).toEqual([block.length, block.length]);
      }
    });
  }

  test("is the last line where whoever laid the lines says so", () => {
    const lines = Buffer.from(`a: 1\r\n${LINE}rest of the buffer`);
    const block = HeaderBlock.ofLines(lines, 6 + LINE.length, false, LINE.length);
    expect(block.readersAt).toEqual([6, 6 + LINE.length]);
  });
});
