import { expect, test } from "bun:test";
import { Silence, SILENCE_LOOK_MS } from "../../src/cli/load_silence.ts";

test("a silence grows with the looks, and ends with a word", () => {
  const silence = new Silence(1000);
  expect(silence.look(1250)).toBe(250);
  expect(silence.look(1600)).toBe(600);
  silence.end();
  expect(silence.look(1850)).toBe(250);
});

test("the time in which whoever listens stood still is none of it", () => {
  const silence = new Silence(0);
  expect(silence.look(3_600_000)).toBe(2 * SILENCE_LOOK_MS);
});
