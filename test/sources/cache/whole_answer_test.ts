import { describe, expect, test } from "bun:test";
import type { DialectName } from "../../../src/core/answer.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { isWholeAnswer } from "../../../src/sources/cache/whole_answer.ts";

const CHUNK = 'data: {"id":"c","choices":[{"index":0,"delta":{"content":"水"}}]}\n\n';
const FINISH = 'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
const DONE = "data: [DONE]\n\n";
const event = (value: object, name = "") =>
  `${name === "" ? "" : `event: ${name}\n`}data: ${JSON.stringify(value)}\n\n`;

/** What it is of, what it says, and whether it is kept. */
const STREAMS: readonly (readonly [string, DialectName, string, boolean])[] = [
  ["a good one", "openai_chat", CHUNK + FINISH + DONE, true],
  ["a comment and a mark before it", "openai_chat", `\ufeff: hi\n\n${CHUNK}${DONE}`, true],
  [
    "the chunk that tells the usage",
    "openai_chat",
    CHUNK + event({ choices: [], usage: {} }) + DONE,
    true,
  ],
  ["no end", "openai_chat", CHUNK + FINISH, false],
  ["nothing but its end", "openai_chat", DONE, false],
  ["an error", "openai_chat", CHUNK + event({ error: { message: "x" } }) + DONE, false],
  [
    "an error beside choices",
    "openai_chat",
    CHUNK + event({
      error: { code: 502 },
      choices: [{ index: 0, delta: { content: "" }, finish_reason: "error" }],
    }) + DONE,
    false,
  ],
  [
    "a finish that is an error",
    "openai_chat",
    CHUNK + event({
      choices: [{ index: 0, delta: {}, finish_reason: "error" }],
    }) + DONE,
    false,
  ],
  [
    "an error of a choice",
    "openai_chat",
    CHUNK + event({
      choices: [{ index: 0, delta: {}, error: { code: 1 } }],
    }) + DONE,
    false,
  ],
  ["an object that is an error", "openai_chat", CHUNK + event({ object: "error" }) + DONE, false],
  [
    "an event that is an error",
    "openai_chat",
    CHUNK + event({ message: "x" }, "error") + DONE,
    false,
  ],
  ["an escaped error", "openai_chat", `${CHUNK}data: {"\\u0065rror":{"a":1}}\n\n${DONE}`, false],
  ["an event that breaks off", "openai_chat", `${CHUNK}data: {"choices":[{"ind\n\n${DONE}`, false],
  [
    "no error",
    "openai_chat",
    CHUNK + event({ choices: [{ delta: {} }], error: null }) + DONE,
    true,
  ],
  [
    "a completed response",
    "openai_responses",
    event({
      type: "response.completed",
      response: { status: "completed" },
    }, "response.completed"),
    true,
  ],
  [
    "a cancelled response",
    "openai_responses",
    event({
      type: "response.completed",
      response: { status: "cancelled" },
    }, "response.completed"),
    false,
  ],
  [
    "a message",
    "anthropic_messages",
    event({ type: "message_start" }, "message_start") +
    event({ type: "ping" }, "ping") + event({ type: "message_stop" }, "message_stop"),
    true,
  ],
  [
    "a message with an error",
    "anthropic_messages",
    event({ type: "message_start" }) +
    event({ type: "error", error: {} }, "error") + event({ type: "message_stop" }, "message_stop"),
    false,
  ],
];

const BODIES: readonly (readonly [string, DialectName, object, boolean])[] = [
  ["a completion", "openai_chat", { choices: [{ finish_reason: "stop" }] }, true],
  ["a finish that is an error", "openai_chat", { choices: [{ finish_reason: "error" }] }, false],
  ["an error of a choice", "openai_chat", { choices: [{ error: { a: 1 } }] }, false],
  ["an object that is an error", "openai_chat", { object: "error", code: 500 }, false],
  ["another answer", "openai_chat", { detail: "Not found" }, false],
  ["nothing", "openai_chat", {}, false],
  ["a response", "openai_responses", { status: "completed", error: null }, true],
  ["a response that is not", "openai_responses", { status: "incomplete" }, false],
  ["a message", "anthropic_messages", { type: "message" }, true],
  ["vectors", "openai", { data: [{ embedding: [1] }] }, true],
  ["judgements", "openai", { results: [{ flagged: false }] }, true],
  ["no vectors", "openai", { object: "list" }, false],
];

describe("isWholeAnswer()", () => {
  for (const [name, dialect, text, isKept] of STREAMS) {
    test(`${dialect}, a stream: ${name} is ${isKept ? "" : "not "}kept`, () => {
      const fields = Fields.of([["content-type", "text/event-stream"]]);
      expect(isWholeAnswer(dialect, fields, Buffer.from(text), false)).toBe(isKept);
    });
  }
  for (const [name, dialect, body, isKept] of BODIES) {
    test(`${dialect}: ${name} is ${isKept ? "" : "not "}kept`, () => {
      const fields = Fields.of([["content-type", "application/json"]]);
      expect(isWholeAnswer(dialect, fields, Buffer.from(JSON.stringify(body)), false)).toBe(isKept);
    });
  }
});
