import { describe, expect, test } from "bun:test";
import { moderator } from "../../src/sources/moderator.ts";

const judge = moderator({
  "violence": ["kill", "blow up", "杀", "C++ (bomb)"],
  "self-harm/intent": ["Weh tun"],
  "hate": [],
});

const ROWS: readonly (readonly [text: string, flagged: readonly string[]])[] = [
  ["I want to KILL them.", ["violence"]],
  ["skills, killing and overkill", []],
  ["kill", ["violence"]],
  ["we blow up balloons", ["violence"]],
  ["我要杀了他", ["violence"]],
  ["他要kill他", ["violence"]],
  ["we blow uphill, we xblow up", []],
  ["xblow up and blow up", ["violence"]],
  ["Ｋｉｌｌ", ["violence"]],
  ["a c++ (bomb)", ["violence"]],
  ["Ich will mir weh tun", ["self-harm/intent"]],
  ["weh tun und kill 🌊", ["self-harm/intent", "violence"]],
  ["", []],
  ["harmless 无害 🌊", []],
];

describe("moderator()", () => {
  for (const [text, flagged] of ROWS) {
    test(`flags ${JSON.stringify(flagged)} in ${JSON.stringify(text)}`, () => {
      const judged = judge(text);
      expect(judged.flagged as readonly string[]).toEqual(flagged);
      expect(judged.isFlagged).toBe(flagged.length > 0);
      expect(Object.keys(judged.scores).length).toBe(13);
      for (const [name, score] of Object.entries(judged.scores)) {
        const [min, max] = flagged.includes(name) ? [0.9, 1] : [1e-7, 5.1e-3];
        expect(score).toBeGreaterThanOrEqual(min);
        expect(score).toBeLessThanOrEqual(max);
      }
      expect(judge(text)).toEqual(judge(text));
    });
  }
});
