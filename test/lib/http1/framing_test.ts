import { describe, expect, test } from "bun:test";
import { BodyDecoder, type Framing } from "../../../src/lib/http1/framing.ts";
import { latin1 } from "./pieces.ts";

/** A decoder that has begun, and what it has handed on. */
function begun(framing: Framing, lengthBytes = 0, trailerBytesMax = 64) {
  const decoder = new BodyDecoder("request");
  const pieces: string[] = [];
  decoder.begin(framing, lengthBytes, trailerBytesMax);
  const sink = { onBody: (bytes: Buffer) => void pieces.push(bytes.toString("latin1")) };
  return { decoder, pieces, read: (bytes: Buffer, at = 0) => decoder.read(bytes, at, sink) };
}

describe("BodyDecoder", () => {
  test("is done before the first body, and at once when there is none", () => {
    expect(new BodyDecoder("request").isDone).toBeTrue();
    for (const framing of ["none", "length"] as const) {
      const { decoder, pieces, read } = begun(framing);
      expect([decoder.isDone, decoder.bytesLeft, read(latin1("next"), 2)]).toEqual([true, 0, 2]);
      expect(pieces).toEqual([]);
      decoder.finish();
    }
  });

  test("stops behind a length, and says what is left of it", () => {
    const { decoder, pieces, read } = begun("length", 5);
    expect(read(latin1("GET abc"), 4)).toBe(7);
    expect([decoder.bytesLeft, decoder.isDone]).toEqual([2, false]);
    expect(read(latin1("deGET"))).toBe(2);
    expect([decoder.bytesLeft, decoder.isDone]).toEqual([0, true]);
    expect(pieces).toEqual(["abc", "de"]);
  });

  test("moves chunks together, and touches no byte behind the body", () => {
    const { decoder, pieces, read } = begun("chunked");
    const chunks = "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nSum: 1\r\n\r\n";
    const bytes = latin1(`${chunks}POST / HTTP/1.1\r\n`);
    expect(decoder.bytesLeft).toBe(Infinity);
    expect(read(bytes)).toBe(chunks.length);
    expect(decoder.isDone).toBeTrue();
    expect(pieces).toEqual(["abcde"]);
    expect(bytes.toString("latin1", chunks.length)).toBe("POST / HTTP/1.1\r\n");
  });

  test("hands on nothing for framing alone, and takes bytes one by one", () => {
    const { decoder, pieces, read } = begun("chunked");
    for (const byte of latin1("2\r\nab\r\n0\r\n\r\n")) expect(read(Buffer.from([byte]))).toBe(1);
    expect(pieces).toEqual(["a", "b"]);
    expect(decoder.isDone).toBeTrue();
  });

  test("hands on what came before a fault", () => {
    const { pieces, read } = begun("chunked");
    expect(() => read(latin1("2\r\nab\r\nx"))).toThrow(
      "Cannot read the request: it has a broken chunk size",
    );
    expect(pieces).toEqual(["ab"]);
  });

  test("bounds the trailer, alone or together with the head", () => {
    const trailer = latin1(`0\r\n${"a: b\r\n".repeat(20)}\r\n`);
    expect(() => begun("chunked", 0, 64).read(trailer)).toThrow(
      "Cannot read the request: its trailer is longer than 64 bytes",
    );
    begun("chunked", 0, 122).read(trailer);
    expect(() => begun("chunked", 0, 121).read(trailer)).toThrow("longer than 121 bytes");
    const decoder = new BodyDecoder("response");
    decoder.begin("chunked", 0, 200, 100);
    expect(() => decoder.read(trailer, 0, { onBody() {} })).toThrow(
      "Cannot read the response: its head and trailer are longer than 200 bytes",
    );
  });

  test("finish() lets a body end with its connection only when nothing else ends it", () => {
    const early = "Cannot read the request: the client closed the connection in the middle";
    for (const framing of ["length", "chunked"] as const) {
      expect(() => begun(framing, 1).decoder.finish()).toThrow(early);
    }
    const { decoder, pieces, read } = begun("close");
    expect(read(latin1("all"))).toBe(3);
    expect(() => decoder.finish(true)).toThrow(early);
    decoder.finish(false);
    expect([decoder.isDone, pieces]).toEqual([true, ["all"]]);
  });
});
