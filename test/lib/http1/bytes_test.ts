import { describe, expect, test } from "bun:test";
import {
  hexDigit,
  HOST,
  isControl,
  isText,
  isWord,
  LOWER,
  PATH,
  TARGET,
  TOKEN,
  VALUE,
} from "../../../src/lib/http1/bytes.ts";
import { latin1 } from "./pieces.ts";

/** Each table against the sentence of its RFC, as a regular expression. */
const TABLES: readonly [string, Uint8Array, RegExp][] = [
  ["TOKEN", TOKEN, /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/],
  ["VALUE", VALUE, /^[\t\x20-\x7e\x80-\xff]$/],
  ["TARGET", TARGET, /^[\x21\x22\x24-\x7e]$/],
  ["PATH", PATH, /^[\x21\x22\x24-\x3e\x40-\x5b\x5d-\x7e]$/],
  ["HOST", HOST, /^[A-Za-z0-9\-._~!$&'()*+,;=]$/],
];

describe("the table", () => {
  for (const [name, table, wanted] of TABLES) {
    test(`${name} says of each byte what its grammar says`, () => {
      expect(table.length).toBe(256);
      for (let byte = 0; byte < 256; byte++) {
        expect(table[byte], String(byte)).toBe(wanted.test(String.fromCharCode(byte)) ? 1 : 0);
      }
    });
  }

  test("LOWER changes ASCII capitals and nothing else", () => {
    for (let byte = 0; byte < 256; byte++) {
      const char = String.fromCharCode(byte);
      const wanted = byte < 128 ? char.toLowerCase().charCodeAt(0) : byte;
      expect(LOWER[byte]).toBe(wanted);
    }
  });
});

test("hexDigit() and isControl() agree with the language for each byte", () => {
  for (let byte = 0; byte < 256; byte++) {
    const char = String.fromCharCode(byte);
    expect(hexDigit(byte)).toBe(/[0-9a-f]/i.test(char) ? parseInt(char, 16) : -1);
    expect(isControl(byte)).toBe(byte !== 9 && (byte < 32 || byte === 127));
  }
});

test("isWord() compares without capitals, isText() to the letter", () => {
  const bytes = latin1("xContent-Lengthx");
  expect(isWord(bytes, 1, 15, "content-length")).toBeTrue();
  expect(isWord(bytes, 1, 14, "content-length")).toBeFalse();
  expect(isWord(bytes, 0, 14, "content-length")).toBeFalse();
  expect(isWord(latin1("Content_Length"), 0, 14, "content-length")).toBeFalse();
  expect(isText(bytes, 1, 15, "Content-Length")).toBeTrue();
  expect(isText(bytes, 1, 15, "content-length")).toBeFalse();
  expect(isText(bytes, 1, 1, "")).toBeTrue();
});
