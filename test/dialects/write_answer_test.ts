import { describe, expect, test } from "bun:test";
import type { EndReason, Step, TimedStep, Usage } from "../../src/core/answer.ts";
import { Gathering } from "../../src/core/gathering.ts";
import { type Layout, layScript, type Stamped, stampWhole } from "../../src/core/frames.ts";
import { stampTexts } from "../../src/core/stamp.ts";
import { CONV_LAYOUT } from "../../src/dialects/chatgpt_web/conversation.ts";
import { CONTENT_LAYOUT } from "../../src/dialects/content_events/write_answer.ts";
import { ENVELOPE_LAYOUT } from "../../src/dialects/envelope/envelope.ts";
import { ChunkLayout } from "../../src/dialects/openai_chat/write_answer.ts";

const CHUNKS = { model: "gpt-4o-2024-08-06", wantsUsage: true, wantsObfuscation: false } as const;

const LAYOUTS = {
  live: new ChunkLayout({ ...CHUNKS, persona: "live" }),
  minimal: new ChunkLayout({ ...CHUNKS, persona: "minimal" }),
  content: CONTENT_LAYOUT,
  envelope: ENVELOPE_LAYOUT,
  conv: CONV_LAYOUT,
} as const satisfies Record<string, Layout>;

type LayoutName = keyof typeof LAYOUTS;

const ID = "AbCdEfGhIjKlMnOpQrStUvWxYz012";
/** What the ids of an answer's calls are made of. */
const CALLS = "zYxWvUtSrQpOnMlKjIhGfE";
const AUDIO = "0".repeat(32);
const UUIDS = ["11111111-2222-4333-8444-555555555555", "66666666-7777-4888-9999-000000000000"];

/** The stamps that `layout` takes. */
function stampsOf({ idLengths }: Layout): Stamped {
  const encoder = new TextEncoder();
  const ids = idLengths.map((length, i) =>
    new Map([[ID.length, ID], [CALLS.length, CALLS], [32, AUDIO], [10, "1764303600"]]).get(
      length,
    ) ??
      UUIDS[i]!
  );
  return [encoder.encode("1764300000"), ...ids.map((id) => encoder.encode(id))];
}

/** What `steps` are, said one by one by a fresh writer. */
function spoken(layout: Layout, steps: readonly Step[]): string {
  const writer = layout.writer(stampTexts(stampsOf(layout)));
  return steps.map((step) => writer.step(step)).join("");
}

const HEAD = `data: {"id":"chatcmpl-${ID}","object":"chat.completion.chunk","created":1764300000,` +
  `"model":"gpt-4o-2024-08-06",`;
const FULL = `${HEAD}"service_tier":"default","system_fingerprint":"fp_77656972a1",`;

/** A chunk of the live persona. */
function full(delta: string, finish = "null", index = 0): string {
  return `${FULL}"choices":[{"index":${index},"delta":${delta},"logprobs":null,` +
    `"finish_reason":${finish}}],"usage":null}\n\n`;
}

/** A chunk of the minimal persona. */
function brief(delta: string, finish = "null", index = 0): string {
  return `${HEAD}"choices":[{"index":${index},"delta":${delta},"finish_reason":${finish}}]}\n\n`;
}

const ROLE = full('{"role":"assistant","content":"","refusal":null}');
/** How a choice begins that makes one call. */
const CALL_BEGINS = full(
  '{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function",' +
    '"function":{"name":"wetter","arguments":""}}],"refusal":null}',
);
const BRIEF_ROLE = brief('{"role":"assistant"}');

/** An event of /conv. */
function conv(text: string, status: string): string {
  const [conversationId, messageId] = UUIDS;
  return `data: {"conversation_id":"${conversationId}","message":{"id":"${messageId}",` +
    `"author":{"role":"assistant","name":null,"metadata":{}},"create_time":1764300000,` +
    `"update_time":null,"content":{"content_type":"text","parts":[${text}]},${status},` +
    `"weight":1.0,"metadata":{"message_type":"next","model_slug":"text-davinci-002-render-sha"},` +
    `"recipient":"all"},"error":null}\n\n`;
}

const GOING = '"status":"in_progress","end_turn":null';
const FINISHED = '"status":"finished_successfully","end_turn":true';
const PARTIAL = '"status":"finished_partial_completion","end_turn":true';

const USAGE: Usage = {
  promptTokens: 9,
  completionTokens: 7,
  cachedTokens: 4,
  reasoningTokens: 5,
};

const CALL: Step = { kind: "call", choice: 0, index: 0, id: "call_a", name: "wetter" };
const ARGUMENTS: Step = { kind: "arguments", choice: 0, index: 0, text: '{"ort":"杭州"}' };
const TEXT: Step = { kind: "delta", choice: 0, block: "text", text: '水 "a"\n<🌊>' };

interface Row {
  readonly name: string;
  readonly steps: readonly Step[];
  /** What each dialect says; absent = it has no word for it. */
  readonly says: Readonly<Partial<Record<LayoutName, string>>>;
}

/** An end in each dialect. */
function endRow(reason: EndReason, convStatus: string): Row {
  return {
    name: `the end "${reason}"`,
    steps: [{ kind: "end", choice: 0, reason }],
    says: {
      live: ROLE + full("{}", `"${reason}"`),
      minimal: BRIEF_ROLE + brief("{}", `"${reason}"`),
      conv: conv('""', convStatus),
    },
  };
}

const ROWS: readonly Row[] = [
  {
    name: "a text",
    steps: [TEXT],
    says: {
      live: ROLE + full('{"content":"水 \\"a\\"\\n<🌊>"}'),
      minimal: BRIEF_ROLE + brief('{"content":"水 \\"a\\"\\n<🌊>"}'),
      content: 'data: {"content":"水 \\"a\\"\\n<🌊>"}' + "\n\n",
      envelope: 'data: {"code":0,"msg":"success","data":{"content":"水 \\"a\\"\\n' +
        '\\u003c🌊\\u003e"}}\n\n',
      conv: conv('"水 \\"a\\"\\n<🌊>"', GOING),
    },
  },
  {
    name: "the next text",
    steps: [TEXT, { kind: "delta", choice: 0, block: "text", text: "b" }],
    says: {
      live: ROLE + full('{"content":"水 \\"a\\"\\n<🌊>"}') + full('{"content":"b"}'),
      minimal: BRIEF_ROLE + brief('{"content":"水 \\"a\\"\\n<🌊>"}') +
        brief('{"content":"b"}'),
      content: 'data: {"content":"水 \\"a\\"\\n<🌊>"}' + '\n\ndata: {"content":"b"}\n\n',
      envelope: 'data: {"code":0,"msg":"success","data":{"content":"水 \\"a\\"\\n' +
        '\\u003c🌊\\u003e"}}\n\ndata: {"code":0,"msg":"success","data":{"content":"b"}}\n\n',
      conv: conv('"水 \\"a\\"\\n<🌊>"', GOING) + conv('"水 \\"a\\"\\n<🌊>b"', GOING),
    },
  },
  {
    name: "a text of the second choice",
    steps: [{ kind: "delta", choice: 1, block: "text", text: "b" }],
    says: {
      live: full('{"role":"assistant","content":"","refusal":null}', "null", 1) +
        full('{"content":"b"}', "null", 1),
      minimal: brief('{"role":"assistant"}', "null", 1) + brief('{"content":"b"}', "null", 1),
    },
  },
  {
    name: "reasoning",
    steps: [{ kind: "delta", choice: 0, block: "reasoning", text: "想" }],
    says: {
      live: ROLE + full('{"reasoning_content":"想"}'),
      minimal: BRIEF_ROLE + brief('{"reasoning_content":"想"}'),
    },
  },
  {
    name: "words of refusal",
    steps: [{ kind: "delta", choice: 0, block: "refusal", text: "不" }],
    says: {
      live: full('{"role":"assistant","content":null,"refusal":""}') + full('{"refusal":"不"}'),
      minimal: full('{"role":"assistant","content":null,"refusal":""}') +
        full('{"refusal":"不"}'),
    },
  },
  {
    name: "a call",
    steps: [CALL],
    says: {
      live: CALL_BEGINS,
      minimal: CALL_BEGINS,
    },
  },
  {
    name: "arguments",
    steps: [ARGUMENTS],
    says: {
      live: full(
        '{"tool_calls":[{"index":0,"function":{"arguments":"{\\"ort\\":\\"杭州\\"}"}}]}',
      ),
      minimal: full(
        '{"tool_calls":[{"index":0,"function":{"arguments":"{\\"ort\\":\\"杭州\\"}"}}]}',
      ),
    },
  },
  endRow("stop", FINISHED),
  endRow("length", PARTIAL),
  endRow("content_filter", FINISHED),
  endRow("tool_calls", FINISHED),
  {
    name: "the end of the second choice",
    steps: [{ kind: "end", choice: 1, reason: "stop" }],
    says: {
      live: full('{"role":"assistant","content":"","refusal":null}', "null", 1) +
        full("{}", '"stop"', 1),
      minimal: brief('{"role":"assistant"}', "null", 1) + brief("{}", '"stop"', 1),
    },
  },
  {
    name: "usage",
    steps: [{ kind: "usage", usage: USAGE }],
    says: {
      live: `${FULL}"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":7,` +
        `"total_tokens":16,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},` +
        `"completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":0,` +
        `"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}\n\n`,
      minimal: `${HEAD}"choices":[]}\n\n`,
    },
  },
];

const NAMES = Object.keys(LAYOUTS) as readonly LayoutName[];

describe("what each dialect says", () => {
  for (const { name, steps, says } of ROWS) {
    for (const layout of NAMES) {
      test(`of ${name}: ${layout}${says[layout] === undefined ? " has no word for it" : ""}`, () => {
        expect(spoken(LAYOUTS[layout], steps)).toBe(says[layout] ?? "");
      });
    }
  }

  for (const layout of NAMES) {
    test(`at the end: ${layout}`, () => {
      const writer = LAYOUTS[layout].writer(stampTexts(stampsOf(LAYOUTS[layout])));
      expect(writer.close()).toBe("data: [DONE]\n\n");
    });
  }

  test("an empty text: nothing, where it is a piece of its own", () => {
    const steps: readonly Step[] = [{ kind: "delta", choice: 0, block: "text", text: "" }];
    expect(spoken(CONTENT_LAYOUT, steps) + spoken(ENVELOPE_LAYOUT, steps)).toBe("");
  });
});

describe("ChunkLayout", () => {
  const end: Step = { kind: "end", choice: 0, reason: "stop" };

  test("says nothing of usage that is not wanted", () => {
    const layout = new ChunkLayout({ ...CHUNKS, persona: "live", wantsUsage: false });
    expect(spoken(layout, [TEXT, end, { kind: "usage", usage: USAGE }])).not.toContain("usage");
  });

  test("makes an id for each call that has none, another for every call of an answer", () => {
    const calls = [[0, 0], [0, 1], [1, 0]].map(([choice, index]) => ({
      ...CALL,
      choice,
      index,
      id: "",
    } as Step));
    const ids = [...spoken(LAYOUTS.live, calls).matchAll(/"id":"(call_[^"]*)"/g)]
      .map(([, id]) => id!);
    expect(ids).toEqual([`call_${CALLS}00`, `call_${CALLS}01`, `call_${CALLS}0w`]);
  });

  test("says a custom tool's call as such, and its input as text", () => {
    const steps: readonly Step[] = [{ ...CALL, tool: "custom" } as Step, ARGUMENTS];
    expect(spoken(LAYOUTS.live, steps)).toBe(
      full(
        '{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a",' +
          '"type":"custom","custom":{"name":"wetter","input":""}}],"refusal":null}',
      ) +
        full('{"tool_calls":[{"index":0,"custom":{"input":"{\\"ort\\":\\"杭州\\"}"}}]}'),
    );
  });

  test("says how likely each token was", () => {
    const logprobs = [{ token: "水", logprob: -0.5, top: [{ token: "a", logprob: -1 }] }];
    const said = spoken(LAYOUTS.live, [{ ...TEXT, logprobs } as Step]).split("\n\n")[1]!;
    const { choices } = JSON.parse(said.slice("data: ".length));
    expect(choices[0].logprobs).toEqual({
      content: [{
        token: "水",
        logprob: -0.5,
        bytes: [230, 176, 180],
        top_logprobs: [{ token: "a", logprob: -1, bytes: [97] }],
      }],
      refusal: null,
    });
  });

  /** A chunk of a choice with several calls: its `usage` stands before its `choices`. */
  function parallel(delta: string): string {
    return `${FULL}"usage":null,"choices":[{"index":0,"delta":${delta},"logprobs":null,` +
      `"finish_reason":null}]}\n\n`;
  }

  test("begins a choice with several calls by its role alone", () => {
    const other = { ...CALL, index: 1, id: "call_b", isParallel: true } as Step;
    const steps: readonly Step[] = [{ ...CALL, isParallel: true } as Step, other];
    const call = (index: number, id: string) =>
      `{"tool_calls":[{"index":${index},"id":"${id}","type":"function",` +
      '"function":{"name":"wetter","arguments":""}}]}';
    const reason: Step = { kind: "end", choice: 0, reason: "tool_calls" };
    expect(spoken(LAYOUTS.live, [...steps, reason])).toBe(
      parallel('{"role":"assistant","content":null}') + parallel(call(0, "call_a")) +
        parallel(call(1, "call_b")) + full("{}", '"tool_calls"'),
    );
  });

  const older: readonly Step[] = [
    { ...CALL, tool: "function_call" } as Step,
    ARGUMENTS,
    { kind: "end", choice: 0, reason: "tool_calls" },
  ];

  test("says a call in the older way", () => {
    expect(spoken(LAYOUTS.live, older)).toBe(
      full(
        '{"role":"assistant","content":null,"function_call":{"name":"wetter","arguments":""},' +
          '"refusal":null}',
      ) + full('{"function_call":{"arguments":"{\\"ort\\":\\"杭州\\"}"}}') +
        full("{}", '"function_call"'),
    );
  });

  /** The first choice of `steps` in one piece. */
  function whole(layout: ChunkLayout, steps: readonly Step[]) {
    const said = new Gathering();
    for (const step of steps) said.add(step);
    return JSON.parse(layout.whole(said, stampTexts(stampsOf(layout))));
  }

  test("says it in the older way in one piece, too", () => {
    expect(whole(LAYOUTS.live, older).choices[0]).toEqual({
      index: 0,
      message: {
        role: "assistant",
        content: null,
        function_call: { name: "wetter", arguments: '{"ort":"杭州"}' },
        refusal: null,
        annotations: [],
      },
      logprobs: null,
      finish_reason: "function_call",
    });
  });

  test("tells the moderation behind the usage", () => {
    const result = { isFlagged: true, scores: { hate: 0.5, violence: 0 }, flagged: ["hate"] };
    const moderation = { model: "m", input: result, output: result };
    const writer = LAYOUTS.live.writer(stampTexts(stampsOf(LAYOUTS.live)));
    writer.step({ kind: "moderation", choice: 0, moderation });
    const [event, end] = writer.close().split("\n\n");
    const told = JSON.parse(event!.slice("data: ".length));
    expect(end).toBe("data: [DONE]");
    expect(told.usage).toBeNull();
    expect(told.choices).toEqual([]);
    expect(told.moderation.output).toEqual({
      type: "moderation_results",
      model: "m",
      results: [{
        type: "moderation_result",
        model: "m",
        flagged: true,
        categories: { hate: true, violence: false },
        category_scores: { hate: 0.5, violence: 0 },
        category_applied_input_types: { hate: ["text"], violence: ["text"] },
      }],
    });
  });

  test("minimal takes the full shape, and the model's name, for what is no text", () => {
    const layout = new ChunkLayout({ ...CHUNKS, persona: "minimal", model: "m", fullModel: "f" });
    expect(whole(layout, [TEXT])).toMatchObject({ model: "m" });
    expect(whole(layout, older)).toMatchObject({ model: "f", service_tier: "default" });
    expect(spoken(layout, [TEXT])).toContain('"model":"m"');
    expect(spoken(layout, older)).toContain('"model":"f"');
  });

  test("says citations and sound", () => {
    const citation = { url: "https://a.example/", title: "A", startChars: 1, endChars: 3 };
    const steps: readonly Step[] = [
      { kind: "citation", choice: 0, citation },
      { kind: "audio", choice: 0, data: "AAA=", transcript: "水" },
    ];
    expect(spoken(LAYOUTS.live, steps)).toBe(
      ROLE + full(
        '{"annotations":[{"type":"url_citation","url_citation":{"end_index":3,"start_index":1,' +
          '"title":"A","url":"https://a.example/"}}]}',
      ) + full(`{"audio":{"id":"audio_${AUDIO}","data":"AAA=","transcript":"水"}}`),
    );
  });

  test("the last word about sound is when it expires", () => {
    const sound: Step = { kind: "audio", choice: 0, data: "AAA=", transcript: "水" };
    const [role, , expiry] = spoken(LAYOUTS.live, [sound, end]).split("\n\n");
    expect(role).toContain('"delta":{"role":"assistant","content":null,"refusal":null}');
    expect(expiry).toContain('[{"index":0,"delta":{"audio":{"expires_at":1764303600}}}]');
    expect(whole(LAYOUTS.live, [sound, end]).choices[0].message).toMatchObject({
      content: null,
      audio: { id: `audio_${AUDIO}`, data: "AAA=", transcript: "水", expires_at: 1764303600 },
    });
  });

  test("says nothing of reasoning without words", () => {
    const silent: Step = { kind: "delta", choice: 0, block: "reasoning", text: "" };
    expect(spoken(LAYOUTS.live, [silent, { kind: "signature", choice: 0, text: "x" }])).toBe(
      "",
    );
  });

  test("opens each choice once", () => {
    const layout = LAYOUTS.live;
    expect(spoken(layout, [CALL, ARGUMENTS, TEXT, end]).match(/"role"/g)).toHaveLength(1);
  });

  test("pads every chunk to a multiple of 16 characters when that is wanted", () => {
    const layout = new ChunkLayout({ ...CHUNKS, persona: "live", wantsObfuscation: true });
    for (let length = 0; length < 40; length++) {
      const text = "水".repeat(length);
      const events = spoken(layout, [{ kind: "delta", choice: 0, block: "text", text }, end]);
      for (const event of events.split("\n\n").slice(0, -1)) {
        const { obfuscation } = JSON.parse(event.slice(6)) as { readonly obfuscation: string };
        const bare = event.slice(6).replace(/,"obfuscation":"[^"]*"\}$/, "}").length;
        expect((bare + obfuscation.length) % 16).toBe(0);
      }
    }
  });

  test("quotes the model", () => {
    const layout = new ChunkLayout({ ...CHUNKS, persona: "minimal", model: 'a"b\\水' });
    const event = spoken(layout, [end]).split("\n\n")[0]!;
    expect(JSON.parse(event.slice(6))).toMatchObject({ model: 'a"b\\水' });
  });

  test("tells apart by its key whatever changes its bytes", () => {
    const options = [
      { ...CHUNKS, persona: "live" },
      { ...CHUNKS, persona: "minimal" },
      { ...CHUNKS, persona: "minimal", fullModel: "x" },
      { ...CHUNKS, persona: "live", model: "x" },
      { ...CHUNKS, persona: "live", wantsUsage: false },
      { ...CHUNKS, persona: "live", wantsObfuscation: true },
    ] as const;
    const keys = [
      ...options.map((option) => new ChunkLayout(option).key),
      CONTENT_LAYOUT.key,
      ENVELOPE_LAYOUT.key,
      CONV_LAYOUT.key,
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe("CONV_LAYOUT", () => {
  test("repeats a long text less and less often, and all of it at the end", () => {
    const pieces = 20_000;
    const writer = CONV_LAYOUT.writer(stampTexts(stampsOf(CONV_LAYOUT)));
    let bytes = 0;
    for (let i = 0; i < pieces; i++) {
      bytes += writer.step({ kind: "delta", choice: 0, block: "text", text: "0123456789" }).length;
    }
    expect(bytes).toBeLessThan(50_000_000);
    const last = writer.step({ kind: "end", choice: 0, reason: "stop" });
    expect(last).toContain(`["${"0123456789".repeat(pieces)}"]`);
  });
});

/** Everything that an answer can say, with stamps' own characters in it. */
const ALL: readonly Step[] = [
  { kind: "delta", choice: 0, block: "reasoning", text: "想 1764300000" },
  TEXT,
  { kind: "delta", choice: 0, block: "text", text: `${"a".repeat(29)}${"1".repeat(10)}` },
  { kind: "delta", choice: 0, block: "text", text: "" },
  { kind: "delta", choice: 1, block: "text", text: `${"b".repeat(29)}${"2".repeat(10)}` },
  { kind: "delta", choice: 1, block: "refusal", text: "不行" },
  { kind: "signature", choice: 0, text: "" },
  CALL,
  ARGUMENTS,
  { kind: "call", choice: 0, index: 1, id: "", name: "zeit" },
  { kind: "arguments", choice: 0, index: 1, text: "{}" },
  { kind: "audio", choice: 1, data: "AAA=", transcript: "水" },
  { kind: "end", choice: 0, reason: "tool_calls" },
  { kind: "end", choice: 1, reason: "length" },
];

describe("laid frames and live writing give the same bytes", () => {
  const padded = new ChunkLayout({ ...CHUNKS, persona: "live", wantsObfuscation: true });
  const layouts: readonly (readonly [string, Layout])[] = [
    ...Object.entries(LAYOUTS),
    ["gpt-4o, padded", padded],
  ];
  for (const [name, layout] of layouts) {
    for (const usage of [undefined, USAGE]) {
      test(`${name}, ${usage === undefined ? "without" : "with"} usage`, () => {
        const steps: readonly TimedStep[] = ALL.map((step) => ({ ...step, afterMs: 5 }));
        const frames = layScript({ name: "all", steps }, layout, usage);
        const writer = layout.writer(stampTexts(stampsOf(layout)));
        const said = [
          ...ALL.map((step) => writer.step(step)),
          usage === undefined ? "" : writer.step({ kind: "usage", usage }),
          writer.close(),
        ];
        stampWhole(frames, stampsOf(layout));
        expect(new TextDecoder().decode(frames.bytes)).toBe(said.join(""));
        const lengths = said.filter((text) => text !== "").map((text) => Buffer.byteLength(text));
        expect([...frames.ends]).toEqual(
          lengths.map((_, i) => lengths.slice(0, i + 1).reduce((sum, length) => sum + length, 0)),
        );
        expect(frames.dueMs.at(-1)).toBe(5 * ALL.length);
      });
    }
  }
});

describe("the fields of an answer by its model", () => {
  const OWN = '"system_fingerprint":"fp_77656972a1"';
  const NULL = '"system_fingerprint":null';
  const shapes: readonly (readonly [string, readonly string[], string, boolean, boolean])[] = [
    [
      "today's",
      ["gpt-4o", "gpt-4.1-nano", "gpt-4-turbo", "ft:gpt-4o:a::b", "qwen3"],
      OWN,
      true,
      true,
    ],
    ["the oldest", ["gpt-3.5-turbo-0125", "gpt-4", "ft:gpt-3.5-turbo:a::b"], NULL, true, true],
    [
      "gpt-5's",
      ["gpt-5-2025-08-07", "gpt-4.5-preview", "gpt-6-sol", "ft:gpt-5:a::b"],
      NULL,
      false,
      true,
    ],
    ["reasoning or hearing", ["o3-mini", "o1", "gpt-4o-audio-preview"], OWN, false, true],
    [
      "searching",
      ["gpt-4o-search-preview", "gpt-4o-mini-search-preview"],
      '"system_fingerprint":""',
      false,
      false,
    ],
  ];
  for (const [name, models, fingerprint, hasLogprobs, hasTier] of shapes) {
    for (const model of models) {
      test(`${name}: ${model}`, () => {
        const layout = new ChunkLayout({ ...CHUNKS, persona: "live", model });
        const chunks = spoken(layout, [TEXT, { kind: "end", choice: 0, reason: "stop" }]);
        const said = new Gathering();
        said.add({ kind: "delta", choice: 0, block: "text", text: "a" });
        const stamps = stampTexts(stampsOf(layout));
        const whole = JSON.stringify(JSON.parse(layout.whole(said, stamps)));
        for (const text of [...chunks.split("\n\n").slice(0, -1), whole]) {
          expect(text).toContain(fingerprint);
          expect(text.includes('"logprobs":null')).toBe(hasLogprobs);
          expect(text.includes('"service_tier":"default"')).toBe(hasTier);
        }
      });
    }
  }
});
