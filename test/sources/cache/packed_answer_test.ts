import { describe, expect, test } from "bun:test";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { packAnswer, unpackAnswer } from "../../../src/sources/cache/packed_answer.ts";
import type { AnswerFacts } from "../../../src/sources/cache/stored_answer.ts";
import { seeded } from "../../seeded.ts";

const FACTS: AnswerFacts = {
  dialect: "openai_chat",
  fields: Fields.of([["Content-Type", "text/event-stream"], ["x-odd", "\u00fc"]]),
  idName: "x-request-id",
  bytes: Buffer.from("data: 水 🌊\n\ndata: [DONE]\n\n"),
  ends: Uint32Array.of(16, 30),
  atUs: Float64Array.of(0.5, 1_000_000),
  varying: [["x-team", null], ["x-mood", "calm"]],
  wholeAtMs: 1_700_000_000_123,
  ageS: 3,
  ttlMs: 60_000,
};

function packed(): Buffer {
  return Buffer.from(packAnswer(FACTS));
}

describe("unpackAnswer()", () => {
  test("gives what was packed, wherever its bytes lie", () => {
    for (const offset of [0, 1, 5]) {
      const bytes = new Uint8Array(packed().length + offset).fill(7);
      bytes.set(packed(), offset);
      const found = unpackAnswer(bytes.subarray(offset), "openai_chat")!;
      const { fields, ...rest } = FACTS;
      expect(found).toMatchObject(rest);
      expect([...found.fields]).toEqual([...fields]);
    }
  });

  test("gives none of another dialect, or of another version", () => {
    expect(unpackAnswer(packed(), "anthropic_messages")).toBeUndefined();
    const other = packed();
    other[12] = "2".charCodeAt(0);
    expect(unpackAnswer(other, "openai_chat")).toBeUndefined();
  });

  test("gives none whose bytes are cut, and never throws", () => {
    const bytes = packed();
    for (let length = 0; length < bytes.length; length++) {
      expect(unpackAnswer(bytes.subarray(0, length), "openai_chat")).toBeUndefined();
    }
  });

  test("never throws, whatever has changed, and never gives pieces behind the end", () => {
    const random = seeded(18);
    for (let i = 0; i < 5000; i++) {
      const bytes = packed();
      const count = 1 + Math.floor(random() * 3);
      for (let n = 0; n < count; n++) bytes[Math.floor(random() * bytes.length)] = random() * 256;
      const found = unpackAnswer(bytes, "openai_chat");
      if (found === undefined) continue;
      expect(found.ends.at(-1) ?? 0).toBe(found.bytes.length);
      expect(found.varying.every(([name]) => typeof name === "string")).toBeTrue();
    }
  });
});
