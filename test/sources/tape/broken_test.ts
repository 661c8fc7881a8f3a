/**
 * A tape's file broken anywhere: it is refused with the line, whatever was done to it, and nothing of
 * it is given.
 *
 * WEIR_FUZZ_SEED repeats a run.
 *
 * @module
 */

import { describe, expect, test } from "bun:test";
import { crc32 } from "node:zlib";
import { readTape, type Tape, TapeFault, tapeText } from "../../../src/sources/tape/format.ts";
import { readsOf, toldTape } from "./told_tape.ts";
import { seeded } from "../../seeded.ts";

const SEED = Number(process.env["WEIR_FUZZ_SEED"] ?? Date.now() % 1_000_000);
const RANDOM_ROUNDS = 3000;

/** Every kind of line, and a piece of bytes that are no text. */
const TAPE = toldTape(1, {
  reads: readsOf([[313, "data: 你好\n\n"], [314, Uint8Array.of(0xff, 0xfe)], [315, "🌊"]]),
  ending: { how: "upstream_broke", atUs: 316_000, error: "The upstream left" },
});
const TEXT = tapeText(TAPE);
const BYTES = Buffer.from(TEXT);
const LINES = TEXT.split("\n").slice(0, -1);

/** Why `file` is refused. */
function fault(file: Uint8Array | string): TapeFault {
  try {
    readTape(Buffer.from(file as string));
  } catch (error) {
    if (error instanceof TapeFault) return error;
    throw error;
  }
  throw new Error("it was taken");
}

/** The line in which byte `at` of the file stands, from 1. */
function lineAt(at: number): number {
  return BYTES.subarray(0, at).toString("latin1").split("\n").length;
}

/** `lines` as a file with right check sums and numbers: only what they say may be wrong. */
function sealed(lines: readonly (string | object)[]): string {
  let crc = 0;
  return lines.map((line) => {
    const text = (typeof line === "string" ? line : JSON.stringify(line)).replace(/\}$/, "");
    crc = crc32(text, crc);
    return `${text},"crc":"${crc.toString(16).padStart(8, "0")}"}\n`;
  }).join("");
}

/** The values of the lines, without check sums. */
const VALUES = LINES.map((line) => {
  const { crc: _, ...value } = JSON.parse(line) as Record<string, unknown>;
  return value;
});

test("the tape that is broken below is whole, and its parts are what was put in", () => {
  expect(readTape(BYTES)).toEqual(TAPE);
  expect(sealed(VALUES)).toBe(TEXT);
});

describe("a tape is refused, with its place,", () => {
  test("without one of its lines, with one twice, or with two in each other's place", () => {
    const joined = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");
    for (const [at, line] of LINES.entries()) {
      expect(fault(joined(LINES.toSpliced(at, 1))).line).toBe(at + 1);
      expect(fault(joined(LINES.toSpliced(at, 0, line))).line).toBe(at + 2);
      for (let other = at + 1; other < LINES.length; other++) {
        const swapped = LINES.with(at, LINES[other]!).with(other, line);
        expect(fault(joined(swapped)).line).toBe(at + 1);
      }
    }
  });

  test("cut off behind any of its bytes", () => {
    for (let length = 0; length < BYTES.length; length++) {
      expect(fault(BYTES.subarray(0, length)).line, `${length}`).toBe(lineAt(length));
    }
  });

  test("with any byte of it changed, removed or doubled", () => {
    for (const [at, byte] of BYTES.entries()) {
      for (const bit of [0x01, 0x20, 0x80]) {
        const changed = Buffer.from(BYTES);
        changed[at] = byte ^ bit;
        const { line } = fault(changed);
        // A line end that is gone makes one line of two, and both stand where the first stood.
        expect(line, `byte ${at} ^ ${bit}`).toBe(lineAt(at));
      }
      const [before, after] = [BYTES.subarray(0, at), BYTES.subarray(at + 1)];
      fault(Buffer.concat([before, after]));
      fault(Buffer.concat([before, Uint8Array.of(byte), BYTES.subarray(at)]));
    }
  });

  test("with something behind its end, or other line ends", () => {
    for (const more of ["\n", " ", "{}", "{}\n", TEXT, "\0"]) {
      expect(fault(TEXT + more).line).toBe(LINES.length + 1);
    }
    expect(fault(TEXT.replaceAll("\n", "\r\n")).line).toBe(1);
    expect(fault(`\ufeff${TEXT}`).line).toBe(1);
    expect(fault("").line).toBe(1);
  });

  /** What is wrong, whatever is expected. Numbers too large for any are written as such. */
  const WRONG: readonly unknown[] = [
    null,
    true,
    -1,
    0.5,
    1e308,
    2 ** 53,
    "",
    "\u0000",
    "\ud800",
    "a b",
    "/../../etc/passwd",
    "!!!!",
    [],
    [[]],
    [["a"]],
    [["a:b", "c"]],
    [["a", "b\r\nc: d"]],
    {},
    { toString: 1 },
    "x".repeat(100_000),
  ];
  /** Of these any text, time or count may be right: it is theirs to say. */
  const FREE = new Set([
    "when",
    "weir",
    "upstream",
    "host",
    "base",
    "request",
    "path",
    "reason",
    "error",
    "us",
    "redacted",
    "fields",
  ]);

  test("with a wrong value anywhere, though all sums are right", () => {
    const taken = new Set<string>();
    for (const [at, value] of VALUES.entries()) {
      for (const key of Object.keys(value)) {
        for (const wrong of WRONG) {
          const file = sealed(VALUES.with(at, { ...value, [key]: wrong }));
          let tape: Tape;
          try {
            tape = readTape(Buffer.from(file));
          } catch (error) {
            if (!(error instanceof TapeFault)) throw error;
            // A body is compared with its sum at the end, a time with the line behind it.
            expect(error.line, `${key}: ${JSON.stringify(wrong)}`).toBeGreaterThanOrEqual(at + 1);
            continue;
          }
          taken.add(key);
          // What was taken says the same when it is written again.
          expect(readTape(Buffer.from(tapeText(tape)))).toEqual(tape);
        }
        const without = Object.fromEntries(Object.entries(value).filter(([one]) => one !== key));
        if (key !== "error") expect(fault(sealed(VALUES.with(at, without))).line).toBe(at + 1);
      }
      for (const extra of ["more", "tape", "end", "__proto__", "constructor", "read64"]) {
        if (Object.hasOwn(value, extra)) continue;
        const text = JSON.stringify(value).replace(/\}$/, `,${JSON.stringify(extra)}:1}`);
        expect(fault(sealed(VALUES.with(at, text as unknown as Record<string, unknown>))).line)
          .toBe(at + 1);
      }
    }
    expect([...taken].filter((key) => !FREE.has(key))).toEqual([]);
  });

  test("with a line that is no object, nests too deep, or has numbers that JSON cannot have", () => {
    const deep = `{"n":2,"request":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    const lines = ["7", "null", "[]", '"x"', "{", deep, '{"n":1e999,"request":"POST"}', "{n:2}"];
    for (const line of lines) {
      expect(fault(sealed([VALUES[0]!, line])).line, line.slice(0, 30)).toBe(2);
    }
  });

  test(`with anything at random (WEIR_FUZZ_SEED=${SEED})`, () => {
    const random = seeded(SEED);
    const whole = (max: number) => Math.floor(random() * max);
    for (let round = 0; round < RANDOM_ROUNDS; round++) {
      let file: Buffer = Buffer.from(BYTES);
      for (let count = 1 + whole(4); count > 0; count--) {
        const at = whole(file.length);
        const end = at + whole(40);
        const other = whole(file.length);
        const noise = Buffer.from(Array.from({ length: whole(20) }, () => whole(256)));
        const parts = [
          [file.subarray(0, at), noise, file.subarray(end)],
          [file.subarray(0, at), file.subarray(other, other + 40), file.subarray(at)],
          [file.subarray(0, at), file.subarray(end)],
        ];
        file = Buffer.concat(parts[whole(parts.length)]!);
      }
      if (file.equals(BYTES)) continue;
      fault(file);
    }
  });
});
