import { describe, expect, test } from "bun:test";
import type { DialectName } from "../../../src/core/answer.ts";
import { UsageTail } from "../../../src/sources/upstream/usage_tail.ts";

const ANTHROPIC_START = 'event: message_start\ndata: {"type":"message_start","message":{"usage":' +
  '{"input_tokens":9,"cache_creation_input_tokens":6,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n';
const TEXT = 'event: content_block_delta\ndata: {"delta":{"text":"水 \\"output_tokens\\""}}\n\n';

function delta(usage: string): string {
  return `event: message_delta\ndata: {"type":"message_delta","usage":${usage}}\n\n`;
}

const STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n';

describe("UsageTail", () => {
  const BODIES: readonly [string, DialectName, string, readonly [number, number] | undefined][] = [
    [
      "a chat stream",
      "openai_chat",
      'data: {"choices":[]}\n\ndata: {"usage":{"prompt_tokens":9,"completion_tokens":7}}\n\ndata: [DONE]\n\n',
      [9, 7],
    ],
    ["a chat answer", "openai_chat", '{"usage": {"completion_tokens": 7, "prompt_tokens": 9}}', [
      9,
      7,
    ]],
    ["a vector", "openai", '{"usage":{"prompt_tokens":9,"total_tokens":9}}', [9, 0]],
    [
      "a stream of Anthropic's, whose end tells the output only",
      "anthropic_messages",
      ANTHROPIC_START + TEXT + delta('{"output_tokens":7}') + STOP,
      [20, 7],
    ],
    [
      "one whose end tells everything",
      "anthropic_messages",
      ANTHROPIC_START + TEXT +
      delta(
        '{"input_tokens":9,"cache_creation_input_tokens":6,"cache_read_input_tokens":5,"output_tokens":7}',
      ) + STOP,
      [20, 7],
    ],
    [
      "a message of Anthropic's",
      "anthropic_messages",
      '{"content":[],"usage":{"input_tokens":9,"cache_creation_input_tokens":0,"output_tokens":7,' +
      '"output_tokens_details":{"thinking_tokens":3}}}',
      [9, 7],
    ],
    [
      "a response",
      "openai_responses",
      'event: response.completed\ndata: {"response":{"usage":{"input_tokens":9,"input_tokens_details":' +
      '{"cached_tokens":4},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":2}}}}\n\n',
      [9, 7],
    ],
    ["nothing", "anthropic_messages", "event: ping\ndata: {}\n\n", undefined],
  ];
  for (const [name, dialect, body, wanted] of BODIES) {
    test(`finds the counts of ${name}, however it is cut into events`, () => {
      const found = (pieces: readonly string[]) => {
        const tail = new UsageTail(dialect);
        for (const piece of pieces) tail.feed(Buffer.from(piece));
        const usage = tail.read();
        return usage && [usage.promptTokens, usage.completionTokens] as const;
      };
      expect(found([body])).toEqual(wanted);
      expect(found(body.split(/(?<=\n\n)/))).toEqual(wanted);
      const half = Math.floor(body.length / 2);
      expect(found([body.slice(0, half), body.slice(half)])).toEqual(wanted);
    });
  }

  const LONG = '{"input_tokens":0,"cache_read_input_tokens":0,"output_tokens":50}';
  for (
    const [name, end, lineEnd] of [
      ["the output only", '{"output_tokens":50}', "\n"],
      ["no input", LONG, "\n"],
      ["no input, in lines of CR LF", LONG, "\r\n"],
    ] as const
  ) {
    test(`adds the first counts of Anthropic's stream to the last ones, wherever it is cut: ${name}`, () => {
      const start = ANTHROPIC_START.replace('"input_tokens":9', '"input_tokens":100');
      const bytes = Buffer.from(
        (start + TEXT.repeat(40) + delta(end) + STOP).replaceAll("\n", lineEnd),
      );
      const found = (pieces: readonly Uint8Array[]) => {
        const tail = new UsageTail("anthropic_messages");
        for (const piece of pieces) tail.feed(piece);
        return [tail.read(), tail.isFinal];
      };
      const wanted = [{
        promptTokens: 111,
        completionTokens: 50,
        cachedTokens: 5,
        cacheWriteTokens: 6,
      }, true];
      for (let at = 0; at <= bytes.length; at++) {
        expect(found([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(wanted);
      }
      expect(found([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(wanted);
    });
  }
});
