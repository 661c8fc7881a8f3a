import { URLSearchParams } from "node:url";
import { describe, expect, test } from "bun:test";
import {
  answeringModel,
  modelInfo,
  modelsPage,
} from "../../../src/dialects/anthropic_messages/models.ts";

/** As a request has it. */
function page(models: readonly string[], query = "") {
  return modelsPage(models, new URLSearchParams(query), () => true);
}

describe("answeringModel()", () => {
  const NAMES = [
    ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"],
    ["claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"],
    ["claude-opus-4-6", "claude-opus-4-6"],
    ["gpt-4o", "gpt-4o-2024-08-06"],
    ["千问", "千问"],
  ] as const;
  for (const [name, wanted] of NAMES) {
    test(`${name} is ${wanted}`, () => expect(answeringModel(name)).toBe(wanted));
  }
});

describe("modelInfo()", () => {
  const MODELS = [
    ["claude-opus-4-5", "claude-opus-4-5-20251101", "Claude Opus 4.5", "2025-11-01"],
    ["claude-sonnet-4-0", "claude-sonnet-4-20250514", "Claude Sonnet 4", "2025-05-14"],
    ["claude-opus-4-6", "claude-opus-4-6", "Claude Opus 4.6", "2026-02-05"],
    ["gpt-4o", "gpt-4o", "gpt-4o", "2024-08-06"],
    ["千问-20259999", "千问-20259999", "千问-20259999", "2023-03-14"],
  ] as const;
  for (const [name, id, display_name, day] of MODELS) {
    test(`tells of ${name}`, () => {
      expect(modelInfo(name, [])).toEqual({
        type: "model",
        id,
        display_name,
        created_at: `${day}T00:00:00Z`,
      });
    });
  }

  test("refuses a model that is not allowed", () => {
    expect(() => modelInfo("a", ["b"])).toThrow(
      expect.objectContaining({ status: 404, message: "model: a" }),
    );
  });
});

describe("modelsPage()", () => {
  const PAGES: readonly [string, string, boolean][] = [
    ["", "abcde", false],
    ["limit=2", "ab", true],
    ["limit=2&after_id=b", "cd", true],
    ["limit=2&after_id=d", "e", false],
    ["limit=2&before_id=d", "bc", true],
    ["limit=9&before_id=c", "ab", false],
    ["after_id=e", "", false],
  ];
  for (const [text, ids, has_more] of PAGES) {
    test(`"${text}" is "${ids}"`, () => {
      const { data, ...rest } = page([..."abcde"], text);
      expect(data.map(({ id }) => id).join("")).toBe(ids);
      expect(rest).toEqual({ has_more, first_id: ids[0] ?? null, last_id: ids.at(-1) ?? null });
    });
  }

  test("lists Claude's models first, and twenty at a time", () => {
    const { data } = page([]);
    expect(data).toHaveLength(20);
    expect(data[0]!.id).toStartWith("claude-");
  });

  for (const text of ["limit=0", "limit=1001", "limit=x", "after_id=z"]) {
    test(`refuses ${text}`, () => expect(() => page(["a"], text)).toThrow());
  }
});
