import { describe, expect, test } from "bun:test";
import type { DialectName } from "../../../src/core/answer.ts";
import { SaidText } from "../../../src/sources/usage/said_text.ts";

/** What `pieces` say. */
function said(dialect: DialectName, pieces: readonly Uint8Array[]): string {
  const text = new SaidText(dialect);
  for (const piece of pieces) text.feed(piece);
  return text.text();
}

const STREAMS: readonly (readonly [name: string, DialectName, stream: string, wanted: string])[] = [
  [
    "chat",
    "openai_chat",
    'data: {"choices":[{"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null}]}\n\n' +
    'data: {"choices":[{"delta":{"content":"Grüße, \\"wer\\""},"logprobs":{"content":[{"token":"x"}]}}]}\n\n' +
    'data: {"choices":[{"delta":{"content":"\\\\"}}]}\n\ndata: {"choices":[{"delta": {"content": "! \\ud83d"}}]}\n\n' +
    'data: {"choices":[{"delta":{"content":"\\ude00"}}]}\n\ndata: [DONE]\n\n',
    'Grüße, "wer"\\! 😀',
  ],
  [
    "reasoning and calls",
    "openai_chat",
    'data: {"choices":[{"delta":{"reasoning_content":"Well"}}]}\n\n' +
    'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\\"a\\":"}}]}}]}\n\n' +
    'data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"1}"}}]}}]}\n\n',
    'Well{"a":1}',
  ],
  [
    "responses",
    "openai_responses",
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"One"}\n\n' +
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":" two"}\n\n' +
    'event: response.output_text.done\ndata: {"type":"response.output_text.done","text":"One two"}\n\n',
    "One two",
  ],
  [
    "messages",
    "anthropic_messages",
    'data: {"type":"content_block_start","content_block":{"type":"text","text":""}}\n\n' +
    'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}\n\n' +
    'data: {"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{}"}}\n\n',
    "Hi{}",
  ],
  ["completions", "openai_completions", 'data: {"choices":[{"text":" a"}]}\n\n', " a"],
];

describe("SaidText", () => {
  for (const [name, dialect, stream, wanted] of STREAMS) {
    test(`takes out of ${name} what is said, wherever it is cut`, () => {
      const bytes = Buffer.from(stream);
      const events = stream.split(/(?<=\n\n)/).map((event) => Buffer.from(event));
      expect(said(dialect, events)).toBe(wanted);
      for (let at = 0; at <= bytes.length; at++) {
        expect(said(dialect, [bytes.subarray(0, at), bytes.subarray(at)])).toBe(wanted);
      }
      expect(said(dialect, [...bytes].map((byte) => Buffer.of(byte)))).toBe(wanted);
    });
  }

  test("takes what is there of a text that breaks off, and no half escape", () => {
    for (const end of ["", "\\", "\\u", "\\u00e"]) {
      expect(said("openai_chat", [Buffer.from(`data: {"content":"half${end}`)])).toBe("half");
    }
    expect(said("openai_chat", [Buffer.from('data: {"content":"a\\\\')])).toBe("a\\");
  });
});
