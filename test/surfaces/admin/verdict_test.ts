import { describe, expect, test } from "bun:test";
import { type Check, type JudgedRequest, verdictOn } from "../../../src/surfaces/admin/verdict.ts";

const QUESTION = [{ role: "user", content: "weather?" }];
const CALL = {
  role: "assistant",
  content: null,
  tool_calls: [{ id: "call_1", type: "function", function: { name: "get", arguments: "{}" } }],
};
const result = (content: string) => ({ role: "tool", tool_call_id: "call_1", content });
const WITH_RESULT = [...QUESTION, CALL, result("21°")];

/** A request at `at_ms`, answered at once. */
function came(at_ms: number, messages: unknown, more: Partial<JudgedRequest> = {}): JudgedRequest {
  return {
    id: `0-${at_ms}`,
    at_ms,
    session: "",
    key: "",
    path: "/v1/chat/completions",
    fixture: "f",
    status: 200,
    duration_ms: 1,
    fault: null,
    error: null,
    body: { messages },
    ...more,
  };
}

function refused(at_ms: number, status: number, error: object = {}, messages: unknown = QUESTION) {
  return came(at_ms, messages, { status, fault: "error", error: { message: "no", ...error } });
}

const cut = (at_ms: number, messages: unknown = QUESTION) =>
  came(at_ms, messages, { fault: "cut" });
const limited = (at_ms: number) => refused(at_ms, 429, { retry_after_s: 1 });

const TABLE: readonly (readonly [
  name: string,
  requests: readonly JudgedRequest[],
  findings: readonly (readonly [Check, boolean | null])[],
])[] = [
  ["nothing went wrong", [came(0, QUESTION), came(9, QUESTION)], []],
  ["asked again and waited", [limited(0), came(1001, QUESTION)], [
    ["retries", true],
    ["waits_as_told", true],
  ]],
  ["asked again too early", [limited(0), came(300, QUESTION)], [
    ["retries", true],
    ["waits_as_told", false],
  ]],
  ["never asked again", [refused(0, 503), came(5, [{ role: "user", content: "other" }])], [
    ["retries", false],
  ]],
  ["another client's request is none of this one", [
    refused(0, 503),
    came(5, QUESTION, { session: "other" }),
  ], [["retries", false]]],
  ["500 twice, then good", [refused(0, 500), refused(9, 500), came(20, QUESTION)], [
    ["retries", true],
    ["retries", true],
  ]],
  ["gave up at last", [refused(0, 529), refused(9, 529), refused(20, 529)], [
    ["retries", true],
    ["retries", true],
    ["retries", true],
  ]],
  ["a quota that is used up is not asked for again", [
    refused(0, 429, { api_code: "insufficient_quota" }),
  ], [["gives_up", true]]],
  ["a quota that is used up, asked for again", [
    refused(0, 429, { api_code: "insufficient_quota" }),
    came(9, QUESTION),
  ], [["gives_up", false]]],
  ["a wrong request, sent again", [refused(0, 400), refused(9, 400)], [
    ["gives_up", false],
  ]],
  ["a cut answer, asked for again without a stream", [
    cut(0),
    came(9, QUESTION, { body: { messages: QUESTION, stream: false } }),
  ], [["notices_truncation", true]]],
  ["a cut answer, taken for whole", [
    cut(0),
    came(9, [...QUESTION, { role: "assistant", content: "It is" }, ...QUESTION]),
  ], [["notices_truncation", false]]],
  ["a cut answer, and nothing came", [cut(0)], [["notices_truncation", null]]],
  ["results sent again", [refused(0, 500, {}, WITH_RESULT), came(9, WITH_RESULT)], [
    ["retries", true],
    ["repeats_no_tool_call", true],
  ]],
  ["the tool run again", [
    refused(0, 500, {}, WITH_RESULT),
    came(9, [...QUESTION, CALL, result("22°")]),
  ], [["retries", false], ["repeats_no_tool_call", false]]],
  ["begun again from before the tool", [cut(0, WITH_RESULT), came(9, QUESTION)], [
    ["notices_truncation", null],
    ["repeats_no_tool_call", false],
  ]],
];

describe("verdictOn", () => {
  for (const [name, requests, expected] of TABLE) {
    test(name, () => {
      const { ok, findings } = verdictOn(requests);
      expect(findings.map(({ check, ok }) => [check, ok])).toEqual(expected as [Check, boolean][]);
      expect(ok).toBe(expected.every(([, ok]) => ok !== false));
    });
  }

  test("reads results and calls of the Responses API and of Anthropic's", () => {
    const talks = [
      (output: string) => ({
        input: [
          { role: "user", content: "a" },
          { type: "function_call", call_id: "c", name: "get", arguments: "{}" },
          { type: "function_call_output", call_id: "c", output },
        ],
      }),
      (content: string) => ({
        messages: [
          { role: "user", content: [{ type: "text", text: "a" }] },
          { role: "assistant", content: [{ type: "tool_use", id: "t", name: "get", input: {} }] },
          { role: "user", content: [{ type: "tool_result", tool_use_id: "t", content }] },
        ],
      }),
    ];
    for (const body of talks) {
      const again = (result: string) =>
        verdictOn([
          came(0, [], { body: body("1"), fault: "cut" }),
          came(5, [], { body: body(result) }),
        ]).findings.find(({ check }) => check === "repeats_no_tool_call")?.ok;
      expect(again("1")).toBe(true);
      expect(again("2")).toBe(false);
    }
  });
});
