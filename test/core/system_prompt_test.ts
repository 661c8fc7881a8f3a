import { describe, expect, test } from "bun:test";
import {
  compilePrompt,
  DEFAULT_TEMPLATE,
  PLACEHOLDERS,
  type PromptValues,
  summaryOf,
} from "../../src/core/system_prompt.ts";

const EMPTY = Object.fromEntries(PLACEHOLDERS.map((name) => [name, ""])) as PromptValues;

describe("compilePrompt()", () => {
  /** template, values → prompt */
  const CASES: readonly (readonly [string, Partial<PromptValues>, string])[] = [
    ["plain", {}, "plain"],
    ["", { role_prompt: "r" }, ""],
    ["{{role_prompt}}", { role_prompt: "r" }, "r"],
    ["{{user_id}} and {{role_id}}", { user_id: "u" }, "u and "],
    ["a\n\nb {{summary}}\n\nc", {}, "a\n\nc"],
    ["a\n\nb {{summary}}\n\nc", { summary: "s" }, "a\n\nb s\n\nc"],
    ["a\n  \nb {{summary}}", {}, "a"],
    ["a\r\n\r\nb {{summary}}\r\n\r\nc\r\nd", {}, "a\n\nc\nd"],
    ["a\r\rb {{summary}}", {}, "a"],
    ["{{char}} {{user}} {{ summary }}", {}, "{{char}} {{user}} {{ summary }}"],
    ["{{role_prompt}}|{{summary}}", { role_prompt: "{{summary}}", summary: "s" }, "{{summary}}|s"],
    ["{{role_prompt}}", { role_prompt: "a\n\nb $& {{char}}" }, "a\n\nb $& {{char}}"],
  ];
  for (const [template, values, wanted] of CASES) {
    test(`of ${JSON.stringify(template)} with ${JSON.stringify(values)}`, () =>
      expect(compilePrompt(template)({ ...EMPTY, ...values })).toBe(wanted));
  }

  test("of weir's own template puts the role last and leaves out what is not known", () => {
    const fill = compilePrompt(DEFAULT_TEMPLATE);
    const first = fill({ ...EMPTY, current_time: "2026-11-20 09:12:33", role_prompt: "Tiffany" });
    expect(first).toEndWith(
      "## Current Time\n2026-11-20 09:12:33 (UTC)\n\n## Role Setting\nTiffany",
    );
    expect(first).not.toContain("What Is Known");
    expect(fill({ ...EMPTY, summary: "s" })).not.toContain("Role Setting");
  });
});

describe("summaryOf()", () => {
  const beganMs = Date.UTC(2026, 10, 20, 9, 12, 33);
  const CASES = [
    [0, 0, ""],
    [1, 1, "The conversation began on 2026-11-20 09:12:33 (UTC) and has 1 turn so far."],
    [2, 2, "The conversation began on 2026-11-20 09:12:33 (UTC) and has 2 turns so far."],
    [
      50,
      20,
      "The conversation began on 2026-11-20 09:12:33 (UTC) and has 50 turns so far; " +
      "the last 20 of them follow.",
    ],
  ] as const;
  for (const [turnCount, shownCount, wanted] of CASES) {
    test(`of ${turnCount} turns with ${shownCount} shown`, () =>
      expect(summaryOf({ turnCount, beganMs, shownCount })).toBe(wanted));
  }
});
