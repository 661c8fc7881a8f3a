import { describe, expect, test } from "bun:test";
import { ulid, ulidMs } from "../../src/lib/ulid.ts";

describe("ulidMs()", () => {
  test("gives the time that a ULID was made of", () => {
    for (const ms of [0, 1, 1_764_352_184_123, 2 ** 48 - 1]) {
      expect(ulidMs(ulid(ms, (bytes) => bytes.fill(7)))).toBe(ms);
    }
  });

  test("is undefined for anything else", () => {
    for (const id of ["", "01J", "I".repeat(26), "0".repeat(27)]) {
      expect(ulidMs(id)).toBeUndefined();
    }
  });
});
