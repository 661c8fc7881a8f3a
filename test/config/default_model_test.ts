import { describe, expect, test } from "bun:test";
import { loadConfig } from "../../src/config/config.ts";
import { defaultModel } from "../../src/config/default_model.ts";

describe("defaultModel()", () => {
  const CASES = [
    ["", "gpt-3.5-turbo"],
    ["llm: {model_id: a}\n", "a"],
    ["mock: {models: [b, c]}\n", "b"],
    ["llm: {model_id: 模型}\nmock: {models: [b]}\n", "模型"],
    ['llm: {model_id: ""}\n', "gpt-3.5-turbo"],
    ["upstreams: [{name: llm, base_url: http://a.example, model_id: d}]\n", "d"],
    ["upstreams: [{name: a, base_url: http://a.example, model_id: d}]\n", "gpt-3.5-turbo"],
  ] as const;
  for (const [text, model] of CASES) {
    test(`is ${model} for ${JSON.stringify(text)}`, () => {
      const file = { name: "config.yaml", text };
      const result = loadConfig({ file, env: {}, dotenv: {}, flags: [] });
      if (result.kind === "bad") throw new Error(result.problems.join("\n"));
      expect(defaultModel(result.config)).toBe(model);
    });
  }
});
