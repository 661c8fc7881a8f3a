import { describe, expect, test } from "bun:test";
import type { Ask } from "../../src/core/answer.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import type { RequestHead } from "../../src/lib/http1/request_head.ts";
import { type BodyMatch, type CallMatch, requestMatcher } from "../../src/sources/request_match.ts";
import { makeEngine, TURN } from "./upstream/rig.ts";

const IMAGE = { type: "image_url", image_url: { url: "data:," } };

/** A request for chat completions with the key "ci", and what it asks. */
function fits(match: CallMatch & BodyMatch, asked: unknown, hasWire = true): boolean {
  const text = typeof asked === "string" ? asked : JSON.stringify(asked);
  const call = new Exchange(makeEngine(), "test", { method: "POST" });
  call.tokenName = "ci";
  const fields = Fields.of([["x-team", "blue"], ["x-empty", ""]]);
  const target = "/v1/chat/completions?x=1";
  call.request = { head: { fields, target } as RequestHead, text };
  const body = new TextEncoder().encode(text);
  const wire = {
    dialect: "openai_chat",
    method: "POST",
    path: target.slice(3),
    fields,
    body,
  } as const;
  const ask: Ask = { model: () => "m", turn: () => TURN, wire: hasWire ? wire : undefined };
  return requestMatcher(match)?.(ask, call) ?? true;
}

const CASES: readonly (readonly [CallMatch & BodyMatch, unknown, boolean])[] = [
  [{}, {}, true],
  [{ path: "/v1/chat/*" }, {}, true],
  [{ path: "/v1/chat" }, {}, false],
  [{ key: "c*" }, {}, true],
  [{ key: "blue" }, {}, false],
  [{ header: { "X-Team": "b*" } }, {}, true],
  [{ header: { "x-empty": "*" } }, {}, true],
  [{ header: { "x-none": "*" } }, {}, false],
  [{ header: { "x-team": "b*", "x-empty": "a" } }, {}, false],
  [{ body_min_bytes: 5 }, "1234", false],
  [{ body_min_bytes: 5 }, "12345", true],
  [{ body_max_bytes: 5 }, "12345", true],
  [{ body_max_bytes: 5 }, "🌊🌊", false],
  [{ tools: true }, { tools: [] }, false],
  [{ tools: true }, { tools: [{}] }, true],
  [{ tools: true }, { functions: [{}] }, true],
  [{ tools: true }, "no JSON", false],
  [{ tools: true }, "null", false],
  [{ vision: true }, { messages: [{ role: "user", content: "image_url" }] }, false],
  [{ vision: true }, { messages: [{}, { role: "user", content: [IMAGE] }] }, true],
  [{ vision: true }, { input: [{ role: "user", content: [{ type: "input_image" }] }] }, true],
  [{ vision: true }, {
    input: [{ type: "function_call_output", output: [{ type: "input_image" }] }],
  }, true],
  [{ vision: true }, { messages: [{ content: [{ type: "image" }] }] }, true],
  [{ vision: true }, {
    messages: [{ content: [{ type: "tool_result", content: [{ type: "image" }] }] }],
  }, true],
  [{ vision: true, tools: true }, { messages: [{ content: [IMAGE] }] }, false],
  [{ vision: true, key: "x" }, { messages: [{ content: [IMAGE] }] }, false],
];

describe("requestMatcher()", () => {
  for (const [match, asked, expected] of CASES) {
    test(`${JSON.stringify(match)} ${expected ? "fits" : "does not fit"} ${JSON.stringify(asked)}`, () => {
      expect(fits(match, asked)).toBe(expected);
      expect(fits(match, asked, false)).toBe(expected);
    });
  }

  test("asks nothing of a request where a route says nothing of it", () => {
    expect(requestMatcher({})).toBeUndefined();
  });
});
