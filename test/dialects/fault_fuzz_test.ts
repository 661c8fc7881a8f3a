import { expect, test } from "bun:test";
import type { EditedFault } from "../../src/core/fault_plan.ts";
import { seeded } from "../seeded.ts";
import { edited, eventsOf } from "./edited.ts";
import { SAMPLES } from "./fault_streams.ts";

const ROUNDS = 300;

/** `text` with a piece of it gone, doubled, or replaced by what JSON or a stream may stumble over. */
function damaged(text: string, chance: () => number): string {
  const at = Math.floor(chance() * text.length);
  const end = Math.min(text.length, at + Math.floor(chance() * 20));
  const odd = ['"', "{", "}", "[]", "null", "\r", "\n", "\\", "-1e9", "data:", "天", ""];
  const put = [text.slice(at, end).repeat(2), ...odd][Math.floor(chance() * (odd.length + 1))]!;
  return text.slice(0, at) + put + text.slice(end);
}

for (const { dialect, edits, stream } of SAMPLES) {
  test(`${dialect}: events that nobody can read are left alone, and none is lost`, () => {
    const chance = seeded(17);
    for (let round = 0; round < ROUNDS; round++) {
      const text = damaged(damaged(stream, chance), chance);
      const whole = eventsOf(text).join("");
      for (const [name, { stream: make }] of Object.entries(edits)) {
        if (make === undefined) continue;
        const at = 1 + Math.floor(chance() * 6);
        const hasPlace = /malformed|dup|reorder|error-event|index-gap|filter/.test(name);
        const written = hasPlace ? `${name}@event=${at}` : name;
        const { pieces, events, text: got, hasHappened } = edited(edits, text, written);
        if (!hasHappened) expect(got).toBe(whole);
        // Before the place nothing changes.
        const before = Math.min(at - 1, events.length);
        if (hasPlace) expect(pieces.slice(0, before)).toEqual(events.slice(0, before));
      }
    }
  });
}

test("every edited fault is fuzzed", () => {
  const names = new Set(SAMPLES.flatMap(({ edits }) => Object.keys(edits) as EditedFault[]));
  expect(names.size).toBe(15);
});
