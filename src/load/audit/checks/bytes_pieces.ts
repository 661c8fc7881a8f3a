/**
 * Streams of what models answer besides plain texts: calls of tools, reasoning, several choices,
 * probabilities, blanks and repetitions, as they come in pieces.
 *
 * @module
 */

import { chunkJson, type ChunkParts, DONE, event, roleEvent } from "../stream.ts";

/** One shape of a stream. */
export interface Shape {
  readonly name: string;
  /** The whole body. */
  readonly body: (mark: string) => string;
  /** Where the writes end, as offsets of the body's bytes; none = it is written at once. */
  readonly cuts?: (body: Buffer) => readonly number[];
  /** Members that a request has, besides the usual ones, to be answered so. */
  readonly asks?: Readonly<Record<string, unknown>>;
}

const TOOLS = ["weather", "time"].map((name) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: { city: { type: "string" } } } },
}));

/** The shapes of this file. */
export const PIECES: readonly Shape[] = [
  {
    name: "tool-calls",
    asks: { tools: TOOLS },
    body: stream((mark) => [
      ...TOOLS.flatMap(({ function: { name } }, index) => {
        const piece = (call: Readonly<Record<string, unknown>>) => ({
          delta: { tool_calls: [{ index, ...call }] },
        });
        return [
          piece({
            id: `call_${mark}.${index + 1}`,
            type: "function",
            function: { name, arguments: "" },
          }),
          ...['{"', "city", '":"', " New", " York", '"', "}"].map((text) =>
            piece({ function: { arguments: text } })
          ),
        ];
      }),
      { finish: "tool_calls" },
    ]),
  },
  {
    name: "reasoning",
    body: stream((mark) => [
      ...["First", " of", " all", ",", "\n\n"].map((text) => ({
        delta: { reasoning_content: text },
      })),
      ...["So", " much", " for", " that"].map((text) => ({ delta: { reasoning: text } })),
      text(mark, 1),
      { finish: "stop" },
    ]),
  },
  {
    name: "choices",
    asks: { n: 2 },
    body: stream((mark) => [
      ...[1, 2, 3, 4, 5, 6].map((sequence) => ({ index: sequence % 2, ...text(mark, sequence) })),
      { index: 0, finish: "stop" },
      { index: 1, finish: "length" },
    ]),
  },
  {
    name: "logprobs",
    asks: { logprobs: true, top_logprobs: 1 },
    body: stream((mark) => [
      ...[1, 2, 3].map((sequence) => ({
        ...text(mark, sequence),
        choice: { logprobs: { content: [{ ...LIKELY, top_logprobs: [LIKELY] }], refusal: null } },
        more: { system_fingerprint: "fp_44709d6fcb", service_tier: "default" },
      })),
      { finish: "length" },
    ]),
  },
  {
    name: "usage",
    asks: { stream_options: { include_usage: true } },
    body: stream((mark) => [text(mark, 1), { finish: "stop" }, {
      isWithoutChoice: true,
      more: {
        usage: {
          prompt_tokens: 8,
          completion_tokens: 4,
          total_tokens: 12,
          prompt_tokens_details: { cached_tokens: 2 },
          completion_tokens_details: { reasoning_tokens: 1 },
        },
      },
    }]),
  },
  {
    name: "blanks",
    body: stream(() => [
      ...[" leading", "  two", "\n\n", "\t", " ", "trailing ", "\u0000"].map((content) => ({
        delta: { content },
      })),
      { finish: "length" },
    ]),
  },
  {
    name: "repeated",
    body: stream(() => [
      ...["ha", "ha", "ha", " ", "ha"].map((content) => ({ delta: { content } })),
      { finish: "content_filter" },
    ]),
  },
];

/** How likely a token was. */
const LIKELY = { token: " é", logprob: -0.31725305, bytes: [32, 195, 169] };

/** Who speaks, then these chunks, then the end mark. */
function stream(chunks: (mark: string) => readonly ChunkParts[]): Shape["body"] {
  return (mark) =>
    roleEvent(mark) + chunks(mark).map((parts) => event(chunkJson(mark, parts))).join("") + DONE;
}

function text(mark: string, sequence: number): ChunkParts {
  return { delta: { content: ` ${mark}.${sequence}` } };
}
