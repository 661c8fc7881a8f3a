import { describe, expect, test } from "bun:test";
import { AppError } from "../../../src/core/errors.ts";
import {
  datedModel,
  deletedModel,
  modelObject,
  modelsList,
} from "../../../src/dialects/openai/models.ts";

describe("datedModel()", () => {
  const CASES = [
    ["gpt-4o", "gpt-4o-2024-08-06"],
    ["gpt-4o-mini", "gpt-4o-mini-2024-07-18"],
    ["gpt-3.5-turbo", "gpt-3.5-turbo-0125"],
    ["gpt-4.1-nano", "gpt-4.1-nano-2025-04-14"],
    ["o3-mini", "o3-mini-2025-01-31"],
    ["o4-mini", "o4-mini-2025-04-16"],
    ["gpt-4o-2024-11-20", "gpt-4o-2024-11-20"],
    ["llama-3", "llama-3"],
    ["constructor", "constructor"],
    ["", ""],
  ] as const;
  for (const [name, dated] of CASES) {
    test(`names "${name}" "${dated}"`, () => expect(datedModel(name)).toBe(dated));
  }
});

describe("modelObject()", () => {
  test("is the model, created on the day its dated name tells", () => {
    expect(JSON.stringify(modelObject("gpt-4o"))).toBe(
      '{"id":"gpt-4o","object":"model","created":1722902400,"owned_by":"system"}',
    );
    expect(modelObject("gpt-3.5-turbo").created).toBe(Date.UTC(2024, 0, 25) / 1000);
  });

  for (const id of ["llama-3", "constructor", "__proto__", "x-9999-99-99", "x".repeat(100_000)]) {
    test(`takes any name: ${id.slice(0, 20)}`, () => {
      const model = modelObject(id, []);
      expect(model.id).toBe(id);
      expect(Number.isInteger(model.created)).toBe(true);
    });
  }

  test("refuses a name that is not allowed", () => {
    expect(modelObject("a", ["a", "b"]).id).toBe("a");
    let thrown: unknown;
    try {
      modelObject("gpt-4o", ["a", "b"]);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(AppError);
    const { message, status, param, code } = thrown as AppError;
    expect({ message, status, param, code }).toEqual({
      message: "The model 'gpt-4o' does not exist",
      status: 404,
      param: "model",
      code: "model_unknown",
    });
  });
});

describe("deletedModel()", () => {
  const deleted = (id: string) => ({ id, object: "model", deleted: true });
  const ROWS: readonly (readonly [id: string, allowed: readonly string[], expected: unknown])[] = [
    ["ft:gpt-4o-mini:acemeco:suffix:abc123", [], deleted("ft:gpt-4o-mini:acemeco:suffix:abc123")],
    ["curie:ft-personal-2023", [], deleted("curie:ft-personal-2023")],
    ["ft:a", ["ft:a"], deleted("ft:a")],
    ["ft:a", ["b"], "404 The model 'ft:a' does not exist"],
    ["llama", [], "404 The model 'llama' does not exist"],
    [
      "gpt-4o",
      [],
      "403 You may not delete the model 'gpt-4o': only fine-tuned models can be deleted",
    ],
    ["b", ["b"], "403 You may not delete the model 'b': only fine-tuned models can be deleted"],
  ];
  for (const [id, allowed, expected] of ROWS) {
    test(`of ${id} among ${JSON.stringify(allowed)}`, () => {
      let seen: unknown;
      try {
        seen = deletedModel(id, allowed);
      } catch (error) {
        const { status, message } = error as AppError;
        seen = `${status} ${message}`;
      }
      expect(seen).toEqual(expected);
    });
  }
});

describe("modelsList()", () => {
  test("lists the allowed models in their order", () => {
    const { object, data } = modelsList(["b", "gpt-4o"]);
    expect(object).toBe("list");
    expect(data).toEqual([modelObject("b"), modelObject("gpt-4o")]);
  });

  test("lists every published name and dated name once when none is allowed by name", () => {
    const ids = modelsList([]).data.map(({ id }) => id);
    expect(ids).toContain("gpt-4o");
    expect(ids).toContain("gpt-4o-2024-08-06");
    expect(new Set(ids).size).toBe(ids.length);
    for (const { created } of modelsList([]).data) {
      expect(created).toBeGreaterThan(Date.UTC(2023, 0, 1) / 1000);
    }
  });
});
