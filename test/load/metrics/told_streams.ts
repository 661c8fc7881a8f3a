/**
 * Fixed answers, and what each tool's own code has made of them: its functions, with a clock that was
 * set to the time of each read, and a tokenizer that counts words. `undefined` where the tool wrote a 0
 * for what there was not.
 *
 * @module
 */

import type { ToolName } from "../../../src/load/report/tools/tools.ts";

/** An answer: when each read came, in milliseconds, and its bytes. */
export interface ToldStream {
  readonly reads: readonly (readonly [atMs: number, text: string])[];
  readonly status?: number;
  /** True: the connection broke behind the last read. */
  readonly isCut?: boolean;
}

const chunk = (rest: object) =>
  `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, ...rest })}\n\n`;
const says = (delta: object, rest: object = {}) =>
  chunk({ choices: [{ index: 0, delta }], ...rest });
const text = (content: string) => says({ content });
const thinks = (reasoning_content: string) => says({ reasoning_content });
const calls = (call: object) => says({ tool_calls: [{ index: 0, ...call }] });
const usage = (completion_tokens: number) => ({ usage: { prompt_tokens: 5, completion_tokens } });
const stop = (reason = "stop", rest: object = {}) =>
  chunk({ choices: [{ index: 0, delta: {}, finish_reason: reason }], ...rest });
const counts = (tokens: number) => chunk({ choices: [], ...usage(tokens) });
const ROLE = says({ role: "assistant", content: "" });
const DONE = "data: [DONE]\n\n";
const ERROR = 'data: {"error":{"message":"boom","type":"server_error","code":500}}\n\n';

/** By a name. */
export const TOLD_STREAMS: Readonly<Record<string, ToldStream>> = {
  "worked": {
    reads: [
      [100, ROLE],
      [300, text("one")],
      [320, text(" two")],
      [340, text(" three four")],
      [341, stop()],
      [341.5, counts(4)],
      [342, DONE],
    ],
  },
  "reasoning first": {
    reads: [
      [100, ROLE],
      [200, thinks("hm")],
      [230, thinks(" so")],
      [260, text("one")],
      [300, text(" two")],
      [310, stop()],
      [311, counts(4)],
      [312, DONE],
    ],
  },
  "tool call": {
    reads: [
      [50, ROLE],
      [150, calls({ "id": "a", "type": "function", "function": { "name": "f", "arguments": "" } })],
      [170, calls({ "function": { "arguments": '{"a": ' } })],
      [190, calls({ "function": { "arguments": "1}" } })],
      [200, stop("tool_calls")],
      [201, counts(9)],
      [202, DONE],
    ],
  },
  "empty answer": { reads: [[80, ROLE], [90, stop()], [91, counts(0)], [92, DONE]] },
  "no usage": {
    reads: [[100, ROLE], [150, text("one")], [190, text(" two three")], [200, stop()], [201, DONE]],
  },
  "two events in one read": {
    reads: [[100, ROLE + text("one")], [150, text(" two") + text(" three")], [
      160,
      stop() + counts(3) + DONE,
    ]],
  },
  "an error inside": {
    reads: [[100, ROLE], [150, text("one")], [190, text(" two")], [200, ERROR], [201, DONE]],
  },
  "an error alone": { reads: [[100, ERROR], [101, DONE]] },
  "no end mark": {
    reads: [[100, ROLE], [150, text("one")], [190, text(" two")], [200, stop()], [201, counts(2)]],
  },
  "cut": { reads: [[100, ROLE], [150, text("one")], [190, text(" two")]], isCut: true },
  "usage beside the reason": {
    reads: [[100, ROLE], [150, text("one")], [190, text(" two")], [200, stop("stop", usage(7))], [
      201,
      DONE,
    ]],
  },
  "broken JSON": {
    reads: [
      [100, ROLE],
      [150, text("one")],
      [190, 'data: {"choices":[{\n\n'],
      [195, text(" two")],
      [200, stop()],
      [201, counts(2)],
      [202, DONE],
    ],
  },
  "one token": {
    reads: [[100, ROLE], [150, text("one")], [160, stop()], [161, counts(1)], [162, DONE]],
  },
  "more tokens than words": {
    reads: [
      [100, ROLE],
      [150, text("one")],
      [190, text(" two")],
      [230, text(" three")],
      [240, stop()],
      [241, counts(9)],
      [242, DONE],
    ],
  },
  "503": { reads: [], status: 503 },
};

/** To the first token, per output token, between tokens, end to end, tokens; "failed" = no success. */
export type ToldNumbers =
  | "failed"
  | readonly [
    ttftMs: number | undefined,
    tpotMs: number | undefined,
    itlMs: readonly number[],
    e2eMs: number,
    tokens: number | undefined,
  ];

/** By tool and stream. */
export const TOLD_NUMBERS: Readonly<Record<ToolName, Readonly<Record<string, ToldNumbers>>>> = {
  "vllm": {
    "worked": [100, 80.333, [200, 20, 20, 1], 341, 4],
    "reasoning first": [100, 70, [100, 30, 30, 40, 10], 310, 4],
    "tool call": [50, 18.75, [100, 20, 20, 10], 200, 9],
    "empty answer": [80, undefined, [10], 90, 0],
    "no usage": [100, 50, [50, 40, 10], 200, 3],
    "two events in one read": [100, 30, [0, 50, 0, 10], 160, 3],
    "an error inside": [100, 90, [50, 40], 190, 2],
    "an error alone": "failed",
    "no end mark": [100, 100, [50, 40, 10], 200, 2],
    "cut": "failed",
    "usage beside the reason": [100, 100, [50, 40, 10], 200, 2],
    "one token": [100, undefined, [50, 10], 160, 1],
    "more tokens than words": [100, 17.5, [50, 40, 40, 10], 240, 9],
    "503": "failed",
  },
  "sglang": {
    "worked": [300, 14, [20, 20], 342, 4],
    "reasoning first": [200, 37.333, [30, 30, 40], 312, 4],
    "tool call": [undefined, undefined, [], 202, 9],
    "empty answer": [undefined, undefined, [], 92, 0],
    "no usage": [150, 7.286, [40], 201, 8],
    "two events in one read": [100, 30, [50, 0], 160, 3],
    "an error inside": [150, 7.286, [40], 201, 8],
    "an error alone": [undefined, undefined, [], 101, 8],
    "no end mark": [150, 51, [40], 201, 2],
    "cut": "failed",
    "usage beside the reason": [150, 8.5, [40], 201, 7],
    "broken JSON": "failed",
    "one token": [150, undefined, [], 162, 1],
    "more tokens than words": [150, 11.5, [40, 40], 242, 9],
    "503": "failed",
  },
  "aiperf": {
    "worked": [300, undefined, [13.333], 340, 4],
    "reasoning first": [200, undefined, [33.333], 300, 4],
    "tool call": [150, undefined, [40], 190, 2],
    "empty answer": "failed",
    "no usage": [150, undefined, [20], 190, 3],
    "two events in one read": [100, undefined, [25], 150, 3],
    "an error inside": [150, undefined, [40], 190, 2],
    "an error alone": "failed",
    "no end mark": [150, undefined, [40], 190, 2],
    "cut": "failed",
    "usage beside the reason": [150, undefined, [40], 190, 2],
    "broken JSON": [150, undefined, [45], 195, 2],
    "one token": [150, undefined, [], 150, 1],
    "more tokens than words": [150, undefined, [40], 230, 3],
    "503": "failed",
  },
  "guidellm": {
    "worked": [300, 85, [13.333], 342, 4],
    "reasoning first": [200, 75, [33.333], 312, 4],
    "tool call": [150, 21.111, [5], 202, 9],
    "empty answer": [undefined, undefined, [], 92, 0],
    "no usage": [150, 95, [40], 201, 2],
    "two events in one read": [100, 50, [25], 160, 3],
    "an error inside": "failed",
    "an error alone": "failed",
    "no end mark": [150, 95, [40], 201, 2],
    "cut": "failed",
    "usage beside the reason": [150, 27.143, [6.667], 201, 7],
    "broken JSON": "failed",
    "one token": [150, 150, [], 162, 1],
    "more tokens than words": [150, 25.556, [10], 242, 9],
    "503": "failed",
  },
  "inference-perf": {
    "worked": [300, 13.333, [20, 20, 0], 342, 4],
    "reasoning first": [260, 40, [40], 312, 2],
    "tool call": [undefined, undefined, [], 202, 0],
    "empty answer": [undefined, undefined, [], 92, 0],
    "no usage": [150, 20, [40, 0], 201, 3],
    "two events in one read": [100, 25, [50, 0], 160, 3],
    "an error inside": "failed",
    "an error alone": "failed",
    "no end mark": [150, 40, [40], 201, 2],
    "cut": "failed",
    "usage beside the reason": [150, 40, [40], 201, 2],
    "broken JSON": [150, 45, [45], 202, 2],
    "one token": [undefined, undefined, [], 162, 1],
    "more tokens than words": [150, 40, [40, 40], 242, 3],
    "503": "failed",
  },
  "llmperf": {
    "worked": [300, undefined, [68], 342, 4],
    "reasoning first": [260, undefined, [50], 312, 2],
    "tool call": [undefined, undefined, [], 202, 0],
    "empty answer": [undefined, undefined, [], 92, 0],
    "no usage": [150, undefined, [47.5], 201, 3],
    "two events in one read": [100, undefined, [30], 160, 3],
    "an error inside": "failed",
    "an error alone": "failed",
    "no end mark": [150, undefined, [47.5], 201, 2],
    "cut": "failed",
    "usage beside the reason": [150, undefined, [47.5], 201, 2],
    "broken JSON": "failed",
    "one token": [150, undefined, [50], 162, 1],
    "more tokens than words": [150, undefined, [46], 242, 3],
    "503": "failed",
  },
};
