import { describe, expect, test } from "bun:test";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { writeRequest } from "../../../src/dialects/openai_chat/write_request.ts";

const BASE = {
  model: "qwen3",
  messages: [],
  stream: true,
  stream_options: { include_usage: true },
};

describe("writeRequest()", () => {
  const TURNS: readonly [string, Partial<Turn>, Record<string, unknown>][] = [
    ["a turn without anything", {}, BASE],
    ["a limit", { tokensMax: 9 }, { ...BASE, max_tokens: 9 }],
    ["a limit of a reasoning model", { model: "o3", tokensMax: 9 }, {
      ...BASE,
      model: "o3",
      max_completion_tokens: 9,
    }],
    ["one of a tuned one", { model: "ft:gpt-5-mini:x", tokensMax: 9 }, {
      ...BASE,
      model: "ft:gpt-5-mini:x",
      max_completion_tokens: 9,
    }],
    ["everything else", { choiceCount: 2, stop: ["水"], params: { seed: 7 } }, {
      ...BASE,
      n: 2,
      stop: ["水"],
      seed: 7,
    }],
  ];
  for (const [name, turn, wanted] of TURNS) {
    test(`writes ${name}`, () => {
      expect(JSON.parse(writeRequest({ ...EMPTY_TURN, model: "qwen3", ...turn }, true))).toEqual(
        wanted,
      );
    });
  }
});
