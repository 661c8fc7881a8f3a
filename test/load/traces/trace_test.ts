import { describe, expect, test } from "bun:test";
import { seeded } from "../../../src/lib/seeded.ts";
import { bodyOfTraced, type TraceBodies } from "../../../src/load/traces/bodies.ts";
import {
  askedIn,
  formOf,
  inOrder,
  inSessions,
  readTrace,
  type TraceRequest,
} from "../../../src/load/traces/trace.ts";
import { TokenCounters } from "../../../src/sources/tokens.ts";
import { tapeText } from "../../../src/sources/tape/format.ts";
import { toldTape } from "../../sources/tape/told_tape.ts";

const jsonLines = (...values: readonly object[]) =>
  values.map((value) => JSON.stringify(value)).join("\n");

/** form → text → when each is due, tokens asked and answered, a text or a body */
const TRACES: readonly (readonly [
  string,
  string,
  readonly (readonly [number | undefined, number | undefined, number | undefined, string?])[],
])[] = [
  [
    "mooncake",
    jsonLines(
      { timestamp: 27000, input_length: 6755, output_length: 500, hash_ids: [0, 1] },
      { timestamp: 30000, input_length: 7319, output_length: 490, hash_ids: [0, 2] },
    ),
    [[0, 6755, 500], [3000, 7319, 490]],
  ],
  [
    "mooncake",
    jsonLines(
      { timestamp: 0, session_id: "a", text_input: "Hi", output_length: 5 },
      { session_id: "a", delay: 250, messages: [{ role: "user", content: "and?" }] },
    ),
    [[0, undefined, 5, "Hi"]],
  ],
  [
    "azure",
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n" +
    "2023-11-16 18:17:04.0319600,3180,8\r\n",
    [[0, 4808, 10], [52, 3180, 8]],
  ],
  [
    "burstgpt",
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" +
    "5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,1087,0,1087,API log\n",
    [[0, 472, 18], [40_500, 1087, undefined]],
  ],
  [
    "sharegpt",
    JSON.stringify([
      { id: "a", conversations: [{ from: "human", value: "Hi" }, { from: "gpt", value: "Ho" }] },
      { id: "b", conversations: [] },
    ]),
    [[undefined, undefined, undefined, "Hi"]],
  ],
  [
    "journal",
    JSON.stringify({
      requests: [
        { at_ms: 1500, method: "POST", prompt_tokens: 8, completion_tokens: 4 },
        { at_ms: 1000, method: "POST", prompt_tokens: 9, completion_tokens: null, body: "{}" },
        { at_ms: 1100, method: "GET" },
        { at_ms: 1600, method: "POST", prompt_tokens: 7, body: '{"model":"a bo' },
        { at_ms: 1700, method: "POST", path: "/v1/chat/completions", body: { model: "m" } },
      ],
    }),
    [[0, 9, undefined, "{}"], [500, 8, 4], [600, 7, undefined], [
      700,
      undefined,
      undefined,
      '{"model":"m"}',
    ]],
  ],
  ["tape", tapeText(toldTape(1)), [[0, undefined, undefined, '"messages":']]],
  // With a byte order mark, CR LF, an empty line, a zone of time, columns in quotes.
  [
    "azure",
    '\uFEFF"TIMESTAMP","ContextTokens","GeneratedTokens"\r\n' +
    '"2024-05-10 00:00:00.009930+00:00","2162","5"\r\n\r\n2024-05-10 02:00:01.5+02:00,2399,6',
    [[0, 2162, 5], [1490.07, 2399, 6]],
  ],
  [
    "azure",
    "TIMESTAMP,NumImages,ContextTokens,GeneratedTokens\n2024-10-15 00:00:00.0000000,2,900,120\n",
    [[0, 900, 120]],
  ],
  // The third file of BurstGPT, with sessions and fractions; and a cell with a comma.
  [
    "burstgpt",
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n" +
    "19440110.0,1722ac82,43,GPT-4,906,446,1352,Conversation log\n" +
    '19440161.25,d5983bf9,2,"ChatGPT, say ""3.5""",36,0,36,API log\n',
    [[0, 906, 446], [51_250, 36, undefined]],
  ],
  [
    "sharegpt",
    jsonLines(
      {
        id: "a",
        conversations: [{ from: "human", value: 'a } " {' }, { from: "gpt", value: "b" }],
      },
      { id: "b", conversations: [{ from: "user", value: "c\\" }] },
    ),
    [[undefined, undefined, undefined, 'a } " {'], [undefined, undefined, undefined, "c\\"]],
  ],
  [
    "mooncake",
    jsonLines({ timestamp: 10.5, input_length: 3 }, { timestamp: 12, payload: { input: "x" } }),
    [[0, 3, undefined], [1.5, undefined, undefined, '{"input":"x"}']],
  ],
];

/** What is none → what is said of it. */
const BAD_TRACES: readonly (readonly [string, string])[] = [
  ["", "it is empty"],
  ["\uFEFF\r\n", "it is empty"],
  ["a,b\n1,2\n", "it has none of the forms that are known"],
  ["TIMESTAMP,ContextTokens\n", "its head has no GeneratedTokens"],
  ["TIMESTAMP,ContextTokens,GeneratedTokens\n", "no request, as azure"],
  ["TIMESTAMP,ContextTokens,GeneratedTokens\n\nx,1,2\n", "line 3 has no time"],
  [
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03,,2\n",
    "line 2 has no time, or no",
  ],
  ["Timestamp,Model,Request tokens,Response tokens\n5,a,1\n", "line 2 has no time, or no numbers"],
  ['{"input_length":1}\nx\n', "line 2 is no JSON object"],
  ['{"input_length":1}\n\n{"timestamp":5}\n', "line 3 has none of input_length"],
  ['{"timestamp":"abc","input_length":5}', "line 1: its timestamp is no number"],
  ['{"input_length":1}\n{"input_length":-5}', "line 2: its input_length is no number of"],
  ['{"input_length":1,"output_length":"7"}', "line 1: its output_length is no number of"],
  ['{"input_length":1,"hash_ids":[1,"x"]}', "line 1: its hash_ids is no list of numbers"],
  ['{"messages":"Hi"}', "line 1: its messages is no list of messages"],
  [
    '{"session_id":1,"message_mode":"delta","messages":[]}\n{"session_id":1,"messages":[]}',
    "line 2: its messages are all (message_mode), and those of its session before were new ones",
  ],
  ['{"tape":1}\n{"sent":"a=b"}', "its request has a body that is no JSON object"],
  ['[{"conversations":[]}]', "no request, as sharegpt"],
  ['[{"conversations":[]},\n{"id":1', "line 2 begins an object that does not end"],
];

/** The text in pieces of so many characters. */
function* inPieces(text: string, chars: number): Generator<string> {
  for (let at = 0; at < text.length; at += chars) yield text.slice(at, at + chars);
}

describe("readTrace()", () => {
  for (const [form, text, wanted] of TRACES) {
    test.each([Infinity, 1, 7])(`reads ${form}: ${text.slice(0, 30)}, in pieces of %p`, (chars) => {
      const pieceChars = Math.min(chars, text.length);
      expect(formOf(text.replace(/^\uFEFF/, ""))).toBe(form as ReturnType<typeof formOf>);
      const requests = inOrder([inSessions([...readTrace(inPieces(text, pieceChars))])]);
      expect(requests.map((one) => one.promptTokens)).toEqual(wanted.map(([, tokens]) => tokens));
      expect(requests.map((one) => one.outputTokens)).toEqual(wanted.map(([, , out]) => out));
      for (const [i, [atMs, , , said]] of wanted.entries()) {
        const one = requests[i]!;
        if (atMs === undefined) expect(one.atMs).toBeUndefined();
        else expect(one.atMs).toBeCloseTo(atMs, 3);
        expect(one.text ?? one.body ?? "").toContain(said ?? "");
      }
    });
  }

  test("what is none", () => {
    for (const [text, message] of BAD_TRACES) {
      expect(() => [...readTrace([text])], text).toThrow(message);
    }
  });

  /** Times of several traces → the order of all: dates have one clock, others one for each trace. */
  const DATE = Date.UTC(2026, 10, 28);
  const CLOCKS = [
    [[[50, 20, 70]], [0, 30, 50]],
    [[[0, 100], [5000, 5050]], [0, 0, 50, 100]],
    [[[DATE, DATE + 9], [DATE + 5]], [0, 5, 9]],
    [[[DATE, DATE + 9], [5000]], [0, 0, 9]],
    [[[undefined], [undefined]], [undefined, undefined]],
  ] as const;
  const at = (atMs: number | undefined): TraceRequest => ({
    atMs,
    promptTokens: 1,
    outputTokens: 1,
  });
  for (const [traces, wanted] of CLOCKS) {
    test(`${JSON.stringify(traces)} are put in order`, () => {
      const ordered = inOrder(traces.map((times) => times.map(at)));
      expect(ordered.map(({ atMs }) => atMs)).toEqual([...wanted]);
    });
  }

  test("requests without a time beside others that have one are refused", () => {
    expect(() => inOrder([[at(1), at(undefined)]])).toThrow(
      "some requests have a time, and others",
    );
  });
});

describe("askedIn()", () => {
  const [body, other] = ['{"messages":[]}', "/v1/messages"];
  /** What is known → what of it is asked in chat. */
  const ASKED = [
    [{ body, path: "/x/v1/chat/completions?a=b" }, { body }],
    [{ body, path: other, promptTokens: 7 }, { promptTokens: 7 }],
    [{ body, path: other }, "another API"],
    [{ body, path: "/v1/messages/count_tokens" }, "another API"],
    [{ path: "/v1/chat/completions" }, "nothing known"],
    [{}, "nothing known"],
  ] as const;
  for (const [known, wanted] of ASKED) {
    test(`${JSON.stringify(known)} is asked as ${JSON.stringify(wanted)}`, () => {
      const none = { atMs: 0, promptTokens: undefined, outputTokens: undefined, body: undefined };
      const asked = askedIn("chat", { ...none, ...known });
      expect(asked).toEqual(typeof wanted === "string" ? wanted : { ...none, ...wanted });
    });
  }

  test("a tape says where it was asked", () => {
    const [tape] = readTrace([tapeText(toldTape(1))]);
    expect(tape!.path).toStartWith("/");
    expect(askedIn("embeddings", tape!)).toBe("another API");
  });
});

describe("bodyOfTraced()", () => {
  const cutter = new TokenCounters(1024 * 1024).of("gpt-4o");
  const made = {
    api: "chat",
    model: "m",
    isModelGiven: false,
    isStream: true,
    cutter,
    random: seeded(1),
  } as const;
  const said = (request: Partial<TraceRequest>, other: Partial<TraceBodies> = {}) => {
    const none = { atMs: 0, promptTokens: undefined, outputTokens: undefined };
    const { body, promptTokens } = bodyOfTraced({ ...none, ...request }, { ...made, ...other });
    return { promptTokens, asked: JSON.parse(body!) };
  };

  test("prompts are as long as those of the trace", () => {
    const { promptTokens, asked } = said({ promptTokens: 300, outputTokens: 7 });
    expect(promptTokens).toBe(300);
    expect(asked).toMatchObject({ model: "m", stream: true, max_completion_tokens: 7 });
  });

  test("blocks that are the same are the same text, and others are not", () => {
    const [a, b, c] = [[3, 4], [3, 5], [6, 4]].map((blocks) =>
      said({ promptTokens: 700, blocks }).asked.messages[0].content as string
    );
    const shared = 1500;
    expect(a!.slice(0, shared)).toBe(b!.slice(0, shared));
    expect(a!.slice(0, shared)).not.toBe(c!.slice(0, shared));
    expect(a).not.toBe(b);
    expect(cutter.count(a!)).toBe(700);
  });

  test("a prompt of nothing is one of a token, and an answer of nothing has no limit", () => {
    const [traced] = readTrace(['{"input_length":0,"output_length":0,"hash_ids":[]}']);
    const { promptTokens, asked } = said(traced!);
    expect(promptTokens).toBe(1);
    expect(asked.messages[0].content).not.toBe("");
    expect(Object.keys(asked)).not.toContain("max_completion_tokens");
  });

  /** A body, an API → where the length of its answer stands. */
  const LENGTHS = [
    ['{"messages":[]}', "chat", { max_completion_tokens: 7 }],
    ['{"input":"x"}', "responses", { max_output_tokens: 7 }],
    ['{"messages":[]}', "messages", { max_tokens: 7 }],
    ['{"messages":[],"max_completion_tokens":3}', "chat", { max_completion_tokens: 3 }],
    ['{"messages":[],"max_tokens":3}', "chat", { max_tokens: 3 }],
  ] as const;
  for (const [body, api, wanted] of LENGTHS) {
    test(`an answer to ${body} in ${api} is as long as ${JSON.stringify(wanted)} says`, () => {
      const request = { atMs: 0, promptTokens: undefined, outputTokens: 7, body };
      const asked = JSON.parse(bodyOfTraced(request, { ...made, api }).body!);
      expect(asked).toEqual({ ...JSON.parse(body), ...wanted, model: "m", stream: true });
    });
  }

  const hi = '{"model":"x","stream_options":{},"messages":[{"role":"user","content":"Hi"}]}';
  const words = { messages: [{ role: "user", content: "Hi" }] };
  /** A request, this run → its body. */
  const KEPT: readonly (readonly [Partial<TraceRequest>, Partial<TraceBodies>, object])[] = [
    [{ body: hi }, {}, { ...words, model: "x", stream: true, stream_options: {} }],
    [{ body: hi }, { isModelGiven: true }, {
      ...words,
      model: "m",
      stream: true,
      stream_options: {},
    }],
    [{ body: hi }, { isStream: false }, { ...words, model: "x", stream: false }],
    [{ body: "{}" }, {}, { model: "m", stream: true }],
    [{ body: '{"input":"a"}' }, { api: "embeddings" }, { model: "m", input: "a" }],
    [{ ...words, fields: { model: "x" }, isWhole: true }, { isStream: false }, {
      ...words,
      model: "x",
    }],
    [{ ...words, fields: { model: "x" } }, { isStream: false, isModelGiven: true }, {
      ...words,
      model: "m",
    }],
  ];
  for (const [request, other, wanted] of KEPT) {
    test(`asks ${JSON.stringify(request)} with ${JSON.stringify(other)} as ${JSON.stringify(wanted)}`, () => {
      expect(said(request, other).asked).toEqual(wanted);
    });
  }
});
