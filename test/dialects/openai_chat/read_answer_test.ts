import { describe, expect, test } from "bun:test";
import type { Step } from "../../../src/core/answer.ts";
import { AppError } from "../../../src/core/errors.ts";
import { readAnswer, readError } from "../../../src/dialects/openai_chat/read_answer.ts";
import { seeded } from "../../seeded.ts";

const LIMITS = { section: "llm", event_max_bytes: 16_777_216 };
const encoder = new TextEncoder();

/** What a reader gave: all steps, and the error that ended them. */
interface Read {
  readonly steps: readonly Step[];
  readonly error: string | undefined;
}

/** Reads `pieces` as an answer, and copies each so that the reader cannot hold it. */
function read(pieces: readonly Uint8Array[]): Read {
  const reader = readAnswer({}, LIMITS);
  const steps: Step[] = [];
  try {
    for (const piece of pieces) {
      const copy = piece.slice();
      steps.push(...reader.feed(copy));
      copy.fill(0);
    }
    steps.push(...reader.end());
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    expect(error.code).toBe("upstream_broken");
    return { steps, error: error.message };
  }
  return { steps, error: undefined };
}

/** `text` in one piece, read as an answer. */
function readText(text: string): Read {
  return read([encoder.encode(text)]);
}

function delta(text: string, block: "text" | "reasoning" | "refusal" = "text", choice = 0): Step {
  return { kind: "delta", choice, block, text };
}

function end(reason: Extract<Step, { kind: "end" }>["reason"] = "stop", choice = 0): Step {
  return { kind: "end", choice, reason };
}

function call(index: number, id: string, name: string, choice = 0): Step {
  return { kind: "call", choice, index, id, name };
}

function args(index: number, text: string, choice = 0): Step {
  return { kind: "arguments", choice, index, text };
}

/** One chunk of a stream. */
function chunk(choices: unknown, more: object = {}): string {
  return JSON.stringify({
    id: "chatcmpl-9xK",
    object: "chat.completion.chunk",
    created: 1764300000,
    model: "gpt-4o-2024-08-06",
    choices,
    ...more,
  });
}

/** One chunk of one choice. */
function said(fields: object, finish: string | null = null, index = 0): string {
  return chunk([{ index, delta: fields, logprobs: null, finish_reason: finish }]);
}

const TOOLS = [
  said({ role: "assistant", content: null }),
  said({
    tool_calls: [{
      index: 0,
      id: "call_a",
      type: "function",
      function: { name: "wetter", arguments: "" },
    }],
  }),
  said({ tool_calls: [{ index: 0, function: { arguments: '{"ort":"杭' } }] }),
  said({
    tool_calls: [{
      index: 1,
      id: "call_b",
      type: "function",
      function: { name: "zeit", arguments: "" },
    }],
  }),
  said({
    tool_calls: [
      { index: 1, function: { arguments: "{}" } },
      { index: 0, function: { arguments: '州"}' } },
    ],
  }),
  said({}, "tool_calls"),
];

/** name → chunks, in the order they come → steps. */
const STREAMS: readonly (readonly [string, readonly string[], readonly Step[]])[] = [
  [
    "text",
    [
      said({ role: "assistant", content: "", refusal: null }),
      said({ content: "Wasser" }),
      said({ content: " flows 水" }),
      said({ content: '\n"🌊"\\ \u2028 ' }),
      said({}, "stop"),
    ],
    [delta("Wasser"), delta(" flows 水"), delta('\n"🌊"\\ \u2028 '), end()],
  ],
  [
    "reasoning of both spellings, text, and an end that comes along with it",
    [
      said({ reasoning_content: "think " }),
      said({ reasoning: "again" }),
      said({ content: "so", reasoning_content: null }),
      said({ content: "!" }, "length"),
    ],
    [
      delta("think ", "reasoning"),
      delta("again", "reasoning"),
      delta("so"),
      delta("!"),
      end("length"),
    ],
  ],
  [
    "a refusal",
    [
      said({ role: "assistant", content: null, refusal: "" }),
      said({ refusal: "No, " }),
      said({ refusal: "不行" }),
      said({}, "content_filter"),
    ],
    [delta("No, ", "refusal"), delta("不行", "refusal"), end("content_filter")],
  ],
  [
    "parallel tool calls in pieces",
    TOOLS,
    [
      call(0, "call_a", "wetter"),
      args(0, '{"ort":"杭'),
      call(1, "call_b", "zeit"),
      args(1, "{}"),
      args(0, '州"}'),
      end("tool_calls"),
    ],
  ],
  [
    "two choices, interleaved",
    [
      said({ role: "assistant", content: "" }, null, 0),
      said({ role: "assistant", content: "" }, null, 1),
      said({ content: "a" }, null, 0),
      said({ content: "b" }, null, 1),
      said({ content: "c" }, null, 1),
      said({}, "stop", 0),
      said({ content: "d" }, null, 1),
      said({}, "length", 1),
    ],
    [
      delta("a"),
      delta("b", "text", 1),
      delta("c", "text", 1),
      end(),
      delta("d", "text", 1),
      end("length", 1),
    ],
  ],
  [
    "usage with details",
    [
      said({ content: "x" }),
      said({}, "stop"),
      chunk([], {
        usage: {
          prompt_tokens: 9,
          completion_tokens: 7,
          total_tokens: 16,
          prompt_tokens_details: { cached_tokens: 4, audio_tokens: 0, cache_write_tokens: 1 },
          completion_tokens_details: {
            reasoning_tokens: 5,
            audio_tokens: 2,
            accepted_prediction_tokens: 3,
            rejected_prediction_tokens: 6,
          },
        },
      }),
    ],
    [
      delta("x"),
      end(),
      {
        kind: "usage",
        usage: {
          promptTokens: 9,
          completionTokens: 7,
          cachedTokens: 4,
          cacheWriteTokens: 1,
          reasoningTokens: 5,
          promptAudioTokens: 0,
          completionAudioTokens: 2,
          acceptedPredictionTokens: 3,
          rejectedPredictionTokens: 6,
        },
      },
    ],
  ],
  [
    "log probabilities, which are another's for the same text",
    [-0.5, -0.25].map((logprob) =>
      chunk([{
        index: 0,
        delta: { content: "水" },
        logprobs: {
          content: [{
            token: "水",
            logprob,
            bytes: [],
            top_logprobs: [{ token: "a", logprob: -1 }],
          }],
          refusal: null,
        },
        finish_reason: null,
      }])
    ).concat(
      chunk([{
        index: 0,
        delta: { refusal: "no" },
        logprobs: { content: null, refusal: [{ token: "no", logprob: -2 }, { token: 1 }] },
        finish_reason: "stop",
      }]),
    ),
    [
      ...[-0.5, -0.25].map((logprob): Step => ({
        kind: "delta",
        choice: 0,
        block: "text",
        text: "水",
        logprobs: [{ token: "水", logprob, top: [{ token: "a", logprob: -1 }] }],
      })),
      {
        kind: "delta",
        choice: 0,
        block: "refusal",
        text: "no",
        logprobs: [{ token: "no", logprob: -2, top: [] }],
      },
      end(),
    ],
  ],
  [
    "citations and sound",
    [
      said({ content: "x" }),
      said({
        annotations: [
          {
            type: "url_citation",
            url_citation: { url: "https://a.example/", title: "A", start_index: 0, end_index: 1 },
          },
          { type: "other" },
        ],
      }),
      said({ audio: { id: "audio_a", transcript: "水" } }),
      said({ audio: { data: "AAA=" } }),
      chunk([{ index: 0, delta: { audio: { expires_at: 1 } } }]),
      said({}, "stop"),
    ],
    [
      delta("x"),
      {
        kind: "citation",
        choice: 0,
        citation: { url: "https://a.example/", title: "A", startChars: 0, endChars: 1 },
      },
      { kind: "audio", choice: 0, data: "", transcript: "水" },
      { kind: "audio", choice: 0, data: "AAA=", transcript: "" },
      end(),
    ],
  ],
  [
    "usage in the last chunk of the text, without details",
    [
      said({ content: "x" }),
      chunk([{ index: 0, delta: { content: "y" }, finish_reason: "stop" }], {
        usage: { prompt_tokens: 1, completion_tokens: 2 },
      }),
    ],
    [
      delta("x"),
      delta("y"),
      end(),
      { kind: "usage", usage: { promptTokens: 1, completionTokens: 2 } },
    ],
  ],
  [
    "a function call as it was spelled before tools",
    [
      said({ function_call: { name: "f", arguments: "" } }),
      said({ function_call: { arguments: "{}" } }),
      said({}, "function_call"),
    ],
    [call(0, "call_0", "f"), args(0, "{}"), end("tool_calls")],
  ],
  [
    "a custom tool",
    [
      said({
        tool_calls: [{ index: 0, id: "c", type: "custom", custom: { name: "g", input: "水" } }],
      }),
      said({}, "tool_calls"),
    ],
    [{ ...call(0, "c", "g"), tool: "custom" } as Step, args(0, "水"), end("tool_calls")],
  ],
  [
    "calls that are all said to be the first, with names and ids of their own",
    [
      said({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: '{"x":1}' } }] }),
      said({ tool_calls: [{ index: 0, id: "b", function: { name: "f", arguments: '{"x":2}' } }] }),
      said({}, "tool_calls"),
    ],
    [
      call(0, "a", "f"),
      args(0, '{"x":1}'),
      call(1, "b", "f"),
      args(1, '{"x":2}'),
      end("tool_calls"),
    ],
  ],
  [
    "calls without an index, and pieces with an id that is made up anew",
    [
      said({ tool_calls: [{ id: "a", function: { name: "f", arguments: "{" } }] }),
      said({ tool_calls: [{ id: "z", function: { arguments: "}" } }] }),
      said({ tool_calls: [{ id: "b", function: { name: "g", arguments: "{}" } }] }),
      said({}, "tool_calls"),
    ],
    [
      call(0, "a", "f"),
      args(0, "{"),
      args(0, "}"),
      call(1, "b", "g"),
      args(1, "{}"),
      end("tool_calls"),
    ],
  ],
  [
    "calls that are counted from 1",
    [
      said({ tool_calls: [{ index: 1, id: "a", function: { name: "f", arguments: "{}" } }] }),
      said({}, "tool_calls"),
    ],
    [call(0, "a", "f"), args(0, "{}"), end("tool_calls")],
  ],
];

/** How the same chunks can be written as events. */
const SPELLINGS: readonly (readonly [string, (data: readonly string[]) => string])[] = [
  ["LF", (data) => data.map((text) => `data: ${text}\n\n`).join("")],
  ["CRLF", (data) => data.map((text) => `data: ${text}\r\n\r\n`).join("")],
  ["CR", (data) => data.map((text) => `data: ${text}\r\r`).join("")],
  ["a byte order mark", (data) => `\ufeff${data.map((text) => `data: ${text}\n\n`).join("")}`],
  ["no blank", (data) => data.map((text) => `data:${text}\n\n`).join("")],
  [
    "comments, ids, names and reconnection times",
    (data) =>
      `: hi\n\nretry: 5\n\n${
        data.map((text, i) => `: ping\nid: ${i}\nevent: message\ndata: ${text}\n\n:\n\n`).join("")
      }`,
  ],
  [
    "data of several lines",
    (data) =>
      data.map((text) =>
        text.startsWith("[") ? `data: ${text}\n\n` : `data: {\ndata: ${text.slice(1)}\n\n`
      ).join(""),
  ],
];

describe("readAnswer()", () => {
  for (const [name, chunks, steps] of STREAMS) {
    for (const [how, spell] of SPELLINGS) {
      test(`reads ${name}, with ${how}, however it is cut`, () => {
        const bytes = encoder.encode(spell([...chunks, "[DONE]"]));
        const expected = { steps, error: undefined };
        expect(read([bytes])).toEqual(expected);
        expect(read(Array.from(bytes, (byte) => Uint8Array.of(byte)))).toEqual(expected);
        const all = JSON.stringify(expected);
        for (let cut = 1; cut < bytes.length; cut++) {
          const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
          if (JSON.stringify(read(pieces)) !== all) {
            expect(read(pieces), `${cut}`).toEqual(expected);
          }
        }
      });
    }

    test(`reads ${name} without [DONE]`, () => {
      const [, spell] = SPELLINGS[0]!;
      expect(readText(spell(chunks))).toEqual({ steps, error: undefined });
    });
  }

  test("reads nothing behind [DONE]", () => {
    const [, spell] = SPELLINGS[0]!;
    const text = spell([said({ content: "a" }, "stop"), "[DONE]", said({ content: "b" }), "{no"]);
    expect(readText(text)).toEqual({ steps: [delta("a"), end()], error: undefined });
  });

  /** An odd chunk, and the steps that it says nevertheless. */
  const odd: readonly (readonly [string, string, readonly Step[]])[] = [
    ["choices: []", chunk([]), []],
    ["choices: null", chunk(null), []],
    ["choices that are an object", chunk({ 0: {} }), []],
    ["choices of null, numbers and texts", chunk([null, 7, "x", []]), []],
    ["null", "null", []],
    ["a number", "7", []],
    ["a text", '"hello"', []],
    ["a list", "[1]", []],
    ["an empty object", "{}", []],
    ["no delta", chunk([{ index: 0, finish_reason: null }]), []],
    ["delta: null", chunk([{ index: 0, delta: null, finish_reason: null }]), []],
    ["a delta that is a text", chunk([{ index: 0, delta: "x" }]), []],
    ["an empty delta", said({}), []],
    ["an unknown object", JSON.stringify({ object: "ping", choices: [] }), []],
    ["an unknown key in the delta", said({ annotations: [{ url: "x" }] }), []],
    ["unknown keys beside a text", said({ content: "?", annotations: [], audio: null }), [
      delta("?"),
    ]],
    ["unknown keys on top", chunk([{ delta: { content: "?" } }], { x_groq: { id: 1 } }), [
      delta("?"),
    ]],
    ["error: null", chunk([{ index: 0, delta: { content: "?" } }], { error: null }), [delta("?")]],
    ['error: ""', chunk([{ index: 0, delta: { content: "?" } }], { error: "" }), [delta("?")]],
    ["content: null", said({ content: null }), []],
    ["a content that is a number", said({ content: 7 }), []],
    [
      "a content of parts",
      said({ content: [{ type: "text", text: "你" }, { type: "image" }, "好", 7, null] }),
      [delta("你好")],
    ],
    [
      "a whole message in place of a delta",
      chunk([{ index: 0, message: { role: "assistant", content: "?" }, finish_reason: null }]),
      [delta("?")],
    ],
    ["a missing index", chunk([{ delta: { content: "?" } }]), [delta("?")]],
    ["index: null", chunk([{ index: null, delta: { content: "?" } }]), [delta("?")]],
    ["an index that is none", chunk([{ index: -1, delta: { content: "?" } }]), []],
    ["an index that is half", chunk([{ index: 0.5, delta: { content: "?" } }]), []],
    ["an index without end", chunk([{ index: 1e9, delta: { content: "?" } }]), []],
    ['finish_reason: ""', said({ content: "?" }, ""), [delta("?")]],
    ["a finish_reason that is a number", chunk([{ delta: {}, finish_reason: 7 }]), []],
    ["an unknown finish_reason", said({}, "eos_token"), [end()]],
    [
      "arguments as an object",
      said({
        tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: { a: "水" } } }],
      }),
      [call(0, "c", "f"), args(0, '{"a":"水"}')],
    ],
    ["tool_calls: null", said({ content: "?", tool_calls: null }), [delta("?")]],
    ["calls that are none", said({ tool_calls: [null, 7, "x"] }), []],
    ["a call without a function", said({ tool_calls: [{ index: 0, id: "c" }] }), [
      call(0, "c", ""),
    ]],
    ["a call with an index without end", said({ tool_calls: [{ index: 1e9, id: "c" }] }), []],
    ["usage: null", chunk([], { usage: null }), []],
    ["usage without numbers", chunk([], { usage: { prompt_tokens: "9" } }), []],
    [
      "usage with details that are none",
      chunk([], { usage: { prompt_tokens: 1, completion_tokens: 2, prompt_tokens_details: null } }),
      [{ kind: "usage", usage: { promptTokens: 1, completionTokens: 2 } }],
    ],
  ];
  for (const [name, data, steps] of odd) {
    test(`loses nothing of the rest when there is ${name}`, () => {
      const before = [said({ content: "a" }), said({ content: "b" })];
      const behind = [said({ content: "c" }), said({}, "stop"), "[DONE]"];
      const [, spell] = SPELLINGS[0]!;
      const expected = [delta("a"), delta("b"), ...steps, delta("c"), end()];
      const text = spell([...before, data, ...behind]);
      expect(readText(text)).toEqual({ steps: expected, error: undefined });
      const bytes = encoder.encode(text);
      for (let cut = 1; cut < bytes.length; cut += 7) {
        const pieces = [bytes.subarray(0, cut), bytes.subarray(cut)];
        expect(read(pieces).steps).toEqual(expected);
      }
    });
  }

  const failures: readonly (readonly [string, string, string])[] = [
    [
      "OpenAI's error object",
      'data: {"error":{"message":"no credit 没钱","code":1}}\n\n',
      "no credit 没钱",
    ],
    ["an error that is a text", 'data: {"error":"no credit"}\n\n', "no credit"],
    ["an error without a sentence", 'data: {"error":{"code":1}}\n\n', '{"code":1}'],
    ["an error event", 'event: error\ndata: {"message":"no credit"}\n\n', "no credit"],
    [
      "an error event with the error object",
      'event: error\ndata: {"error":{"message":"no"}}\n\n',
      "no",
    ],
    ["an error event of plain text", "event: error\ndata: no credit\n\n", "no credit"],
    ["an error event of a JSON text", 'event: error\ndata: "no credit"\n\n', "no credit"],
    [
      "an error event in the shape of a chunk",
      `event: error\ndata: ${said({ content: "b" })}\n\n`,
      '"b"',
    ],
    ["an error of a choice", `data: ${chunk([{ error: { message: "no" } }])}\n\n`, "no"],
    ["an end that is an error", `data: ${said({}, "error")}\n\n`, "ended its answer with an error"],
    ["broken JSON", 'data: {"choices":[\n\n', "is no JSON"],
    ["text that is no JSON", "data: hello\n\n", "is no JSON"],
    ["no end", "", "without finishing it"],
    ["[DONE] without an end", "data: [DONE]\n\n", "without finishing it"],
    [
      "a second choice without an end",
      `data: ${said({ content: "" }, null, 1)}\n\ndata: ${said({}, "stop")}\n\n`,
      "without finishing it",
    ],
  ];
  for (const [name, text, sentence] of failures) {
    test(`${name} ends what was said with an error, however it is cut`, () => {
      const good = [said({ content: "x" }), said({ content: "a" })].map((data) =>
        `data: ${data}\n\n`
      );
      const bytes = encoder.encode(good.join("") + text);
      for (let cut = 0; cut < bytes.length; cut++) {
        const { steps, error } = read([bytes.subarray(0, cut), bytes.subarray(cut)]);
        expect(steps.filter(({ kind }) => kind === "delta")).toEqual([delta("x"), delta("a")]);
        expect(error).toContain(sentence);
      }
    });
  }

  test("an error's sentence is cut at 1000 characters, never inside one", () => {
    const { error } = readText(`data: {"error":${JSON.stringify("x".repeat(999) + "🌊")}}\n\n`);
    expect(error).toBe(`${"x".repeat(999)}\ufffd`);
  });

  test("an event without end stops at a limit", () => {
    const piece = encoder.encode("x".repeat(1024 * 1024));
    const { error } = read([encoder.encode("data: "), ...Array.from({ length: 17 }, () => piece)]);
    expect(error).toContain("an event of more than 16777216 bytes (llm.event_max_bytes)");
  });

  const body = {
    id: "chatcmpl-1",
    object: "chat.completion",
    choices: [
      {
        index: 0,
        message: {
          role: "assistant",
          content: "水",
          refusal: null,
          reasoning_content: "hm",
          tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        finish_reason: "tool_calls",
      },
      { index: 1, message: { role: "assistant", content: "🌊" }, finish_reason: "length" },
    ],
    usage: { prompt_tokens: 1, completion_tokens: 2 },
  };
  const wholeSteps: readonly Step[] = [
    delta("hm", "reasoning"),
    delta("水"),
    call(0, "c", "f"),
    args(0, "{}"),
    end("tool_calls"),
    delta("🌊", "text", 1),
    end("length", 1),
    { kind: "usage", usage: { promptTokens: 1, completionTokens: 2 } },
  ];
  for (const mark of ["", "\ufeff", "\r\n\t "]) {
    test(`the first byte behind ${JSON.stringify(mark)} tells a whole from a stream`, () => {
      const whole = encoder.encode(mark + JSON.stringify(body, null, 2));
      for (let cut = 0; cut < whole.length; cut++) {
        expect(read([whole.subarray(0, cut), whole.subarray(cut)])).toEqual({
          steps: wholeSteps,
          error: undefined,
        });
      }
      const stream = `${mark}data: ${said({ content: "a" }, "stop")}\n\ndata: [DONE]\n\n`;
      expect(readText(stream)).toEqual({ steps: [delta("a"), end()], error: undefined });
    });
  }

  const lives: readonly (readonly [string, string])[] = [
    ["events without a text", "data: \n\ndata:   \n\nevent: ping\ndata\n\n"],
    ["comments", ": ping\n\n: ping\n\n"],
  ];
  for (const [name, text] of lives) {
    test(`${name} say nothing`, () => {
      const stream = `data: ${said({ content: "a" })}\n\n${text}data: ${said({}, "stop")}\n\n` +
        "data: [DONE]  \n\ndata: not read\n\n";
      expect(readText(stream)).toEqual({ steps: [delta("a"), end()], error: undefined });
    });
  }

  test("tells when it is done, and whether a piece said something", () => {
    const reader = readAnswer({}, LIMITS);
    const feed = (text: string) => {
      reader.feed(encoder.encode(text));
      return [reader.hasRead, reader.isDone];
    };
    expect(feed(": ping\n\n")).toEqual([false, false]);
    expect(feed(`data: ${said({ role: "assistant" })}\n\n`)).toEqual([true, false]);
    expect(feed(": ping\n\n")).toEqual([false, false]);
    expect(feed(`data: ${said({}, "stop")}\n\n`)).toEqual([true, false]);
    expect(feed("data: [DONE]\n\n")).toEqual([true, true]);
  });

  test("the last event needs no blank line behind it, and half of one is none", () => {
    const good = `data: ${said({ content: "a" })}\n\n`;
    const steps = [delta("a"), end()];
    expect(readText(`${good}data: ${said({}, "stop")}\n`)).toEqual({ steps, error: undefined });
    expect(readText(`${good}data: {"choices":[`)).toEqual({
      steps: [delta("a")],
      error: "The upstream ended its answer without finishing it",
    });
    expect(readText(`${good}data: ${said({}, "stop")}\n\ndata: {"id`)).toEqual({
      steps,
      error: undefined,
    });
  });

  test("a choice without an end harms none that is finished, once the upstream is done", () => {
    const stream = [said({ content: "a" }), said({ content: "b" }, null, 1), said({}, "stop")]
      .map((data) => `data: ${data}\n\n`).join("");
    expect(readText(`${stream}data: [DONE]\n\n`).error).toBeUndefined();
    expect(readText(stream).error).toContain("without finishing it");
    const other = [said({ content: "a" }), said({ content: "b" }, "stop", 1), "[DONE]"]
      .map((data) => `data: ${data}\n\n`).join("");
    expect(readText(other).error).toContain("without finishing it");
  });

  const wholes: readonly (readonly [string, string, string])[] = [
    ["an error", '{"error":{"message":"no credit"}}', "no credit"],
    ["half of it", '{"choices":[', "is no JSON"],
    ["nothing", "", "without finishing it"],
    ["null", "null", "is no JSON object"],
    ["no choice", '{"choices":[]}', "without finishing it"],
    [
      "a choice without an end",
      '{"choices":[{"message":{"content":"a"}}]}',
      "without finishing it",
    ],
  ];
  for (const [name, text, sentence] of wholes) {
    test(`${name} as a whole answer is an error, and says nothing`, () => {
      const { steps, error } = readText(text);
      expect(steps).toEqual([]);
      expect(error).toContain(sentence);
    });
  }

  test("a whole answer stops at a limit", () => {
    const piece = encoder.encode(" ".repeat(1024 * 1024));
    const { error } = read([encoder.encode("{"), ...Array.from({ length: 17 }, () => piece)]);
    expect(error).toContain("an answer of more than 16777216 bytes (llm.event_max_bytes)");
  });
});

/** What plain parsing makes of chunks that say nothing but texts, ends and usage. */
function reference(chunks: readonly string[]): readonly Step[] {
  return chunks.flatMap((data) => {
    const { choices } = JSON.parse(data) as {
      readonly choices: readonly {
        readonly index?: number;
        readonly delta: { readonly content?: string | null };
        readonly finish_reason: string | null;
      }[];
    };
    return choices.flatMap(({ index = 0, delta: { content }, finish_reason }): Step[] => [
      ...(content ? [delta(content, "text", index)] : []),
      ...(finish_reason === null ? [] : [end("stop", index)]),
    ]);
  });
}

/** Texts that a reader could stumble over. */
const TEXTS = [
  "",
  " ",
  "water ",
  "水",
  "🌊",
  "🧜🏽‍♀️",
  '"',
  "\\",
  '\\"',
  "\n",
  "\t\u0000\u001f",
  "\u007f\u0085\u2028",
  "\ud83d",
  "\udf0a",
  '"content":"',
  '","finish_reason":"stop"',
  '"}}]}',
  "data: x",
  '","obfuscation":"',
  '{"a":"b"}',
  "[DONE]",
];

describe("the fast path gives what plain parsing gives", () => {
  /** A chunk by chance, mostly like the others. */
  function randomChunk(random: () => number): string {
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
    const text = Array.from({ length: Math.floor(random() * 3) }, () => pick(TEXTS)).join("");
    const fields = random() < 0.9
      ? { content: text }
      : pick([{}, { role: "assistant", content: text }, { content: null }, {
        content: text,
        x: text,
      }]);
    const choice = {
      ...(random() < 0.9 ? { index: pick([0, 0, 0, 0, 0, 1]) } : {}),
      delta: fields,
      logprobs: random() < 0.95 ? null : { content: text },
      finish_reason: null,
    };
    const value = {
      id: random() < 0.95 ? "x" : text,
      ...(random() < 0.05 ? { content: text } : {}),
      ...(random() < 0.05 ? { '"content': "y" } : {}),
      choices: random() < 0.97 ? [choice] : pick([[], [choice, { ...choice, index: 1 }]]),
      ...(random() < 0.9 ? { usage: null } : {}),
      ...(random() < 0.05 ? { content: text, obfuscation: "x" } : {}),
      ...(random() < 0.8
        ? { obfuscation: random() < 0.95 ? "h7Qx2LmVt9".slice(0, random() * 11) : pick(TEXTS) }
        : {}),
    };
    let data = JSON.stringify(value);
    if (random() < 0.05) data = data.replaceAll(",", ", ").replaceAll('":', '": ');
    if (random() < 0.05) data = data.replace('"content"', '"\\u0063ontent"');
    if (random() < 0.05) data = data.replaceAll("水", "\\u6c34").replaceAll("🌊", "\\ud83c\\udf0a");
    return data;
  }

  for (let seed = 1; seed <= 40; seed++) {
    test(`over random chunks, seed ${seed}`, () => {
      const random = seeded(seed);
      for (let round = 0; round < 25; round++) {
        const chunks = [
          ...Array.from({ length: 30 }, () => randomChunk(random)),
          said({}, "stop", 0),
          said({}, "stop", 1),
        ];
        const bytes = encoder.encode(chunks.map((data) => `data: ${data}\n\n`).join(""));
        const pieces: Uint8Array[] = [];
        const piece = [1e9, 300, 40][round % 3]!;
        for (let at = 0; at < bytes.length;) {
          const next = at + 1 + Math.floor(random() * piece);
          pieces.push(bytes.subarray(at, next));
          at = next;
        }
        const { steps, error } = read(pieces);
        expect(error).toBeUndefined();
        expect(steps).toEqual(reference(chunks));
      }
    });
  }

  /** A chunk that teaches a shape, and one that resembles it and says something else. */
  const traps: readonly (readonly [string, string, string])[] = [
    [
      "a key of that name elsewhere, in another spelling",
      '{"m":{"content":"a"},"choices":[{"index":0,"delta":{"content": "a"},"finish_reason":null}]}',
      '{"m":{"content":"b"},"choices":[{"index":0,"delta":{"content": "a"},"finish_reason":null}]}',
    ],
    [
      "a key of that name behind the text's, in another spelling",
      '{"choices":[{"index":0,"delta":{"content": "a"},"finish_reason":null}],"m":{"content":"a"}}',
      '{"choices":[{"index":0,"delta":{"content": "a"},"finish_reason":null}],"m":{"content":"b"}}',
    ],
    [
      "an end in as many characters as none",
      '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}',
      '{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"ab"}]}',
    ],
    [
      "the key written with an escape",
      '{"m":{"content":"a"},"choices":[{"index":0,"delta":{"\\u0063ontent":"a"},"finish_reason":null}]}',
      '{"m":{"content":"b"},"choices":[{"index":0,"delta":{"\\u0063ontent":"a"},"finish_reason":null}]}',
    ],
    [
      "a key that only ends so",
      '{"\\"content":"a","choices":[{"index":0,"delta":{"content" :"a"},"finish_reason":null}]}',
      '{"\\"content":"b","choices":[{"index":0,"delta":{"content" :"a"},"finish_reason":null}]}',
    ],
    [
      "a pad that closes and says more",
      '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"x"}',
      '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"x","choices":[],"y":"x"}',
    ],
    [
      "a text that closes and says more",
      '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}',
      '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null},{"index":1,"delta":{"content":"b"},"finish_reason":null}]}',
    ],
    [
      "a pad with an escape",
      '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"x"}',
      '{"choices":[{"index":0,"delta":{"content":"b"},"finish_reason":null}],"obfuscation":"\\""}',
    ],
  ];
  for (const [name, teacher, trap] of traps) {
    test(`where there is ${name}`, () => {
      const chunks = [teacher, teacher, trap, teacher, said({}, "stop", 0), said({}, "stop", 1)];
      const { steps, error } = readText(chunks.map((data) => `data: ${data}\n\n`).join(""));
      expect(error).toBeUndefined();
      expect(steps).toEqual(reference(chunks));
    });
  }

  test("a raw control character is no JSON, wherever it stands", () => {
    const good =
      '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"obfuscation":"x"}';
    for (const [from, to] of [['"a"', '"a\t"'], ['"x"', '"x\u0001"']] as const) {
      const { steps, error } = readText(`data: ${good}\n\ndata: ${good.replace(from, to)}\n\n`);
      expect([steps, error]).toEqual([[delta("a")], "The upstream sent an answer that is no JSON"]);
    }
  });
});

const SILENT = "The upstream refused with the status 429, and said no more";

describe("readError()", () => {
  const rows: readonly (readonly [string, string, string, string?])[] = [
    ["OpenAI's shape", '{"error":{"message":" no ","param":"model","code":"c"}}', "no", "model"],
    ["a param that is null", '{"error":{"message":"不行","param":null}}', "不行"],
    ["an error that is a text", '{"error":"no"}', "no"],
    ['{"detail": …}', '{"detail":"Not Found"}', "Not Found"],
    ["details of a schema", '{"detail":[{"msg":"x"}]}', '{"detail":[{"msg":"x"}]}'],
    ['{"message": …}', '{"message":"no","param":"p"}', "no", "p"],
    ["an error without a sentence beside a message", '{"error":{"code":1},"message":"no"}', "no"],
    ["an empty sentence", '{"error":{"message":""}}', '{"error":{"message":""}}'],
    ["a JSON text", '"no"', "no"],
    ["plain text", " not here\n", "not here"],
    ["HTML", "<html>502 🌊</html>", "<html>502 🌊</html>"],
    ["broken JSON", '{"error":', '{"error":'],
    ["null", "null", "null"],
    ["a list", "[]", "[]"],
    ["nothing", "", SILENT],
    ["blanks", " \n ", SILENT],
    ["a huge body", "水".repeat(100_000), "水".repeat(1000)],
    ["a huge sentence", JSON.stringify({ error: { message: "y".repeat(5000) } }), "y".repeat(1000)],
    ["a sentence cut inside a character", `${"x".repeat(999)}🌊`, `${"x".repeat(999)}\ufffd`],
  ];
  for (const [name, body, sentence, param] of rows) {
    test(`reads ${name}`, () => {
      const error = readError(429, body);
      expect({ ...error, message: error.message }).toMatchObject({
        code: "upstream_refused",
        status: 429,
        message: sentence,
        param: param ?? null,
      });
    });
  }
});
