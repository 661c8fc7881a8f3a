/** Files of times: each format, and each with something wrong, by its place. */

import { describe, expect, test } from "bun:test";
import { seeded } from "../../../src/lib/seeded.ts";
import { readTimes } from "../../../src/sources/physics/read_times.ts";
import { type ReadTimes, TimesFault, type TimeUnit } from "../../../src/sources/physics/times.ts";
import { type Tape, tapeText } from "../../../src/sources/tape/format.ts";
import { capture, question, stream } from "../recordings/cassettes.ts";

function read(text: string, unit?: TimeUnit): Promise<ReadTimes> {
  return readTimes(new TextEncoder().encode(text), "f", unit);
}

async function faultOf(text: string, unit?: TimeUnit): Promise<string> {
  try {
    await read(text, unit);
  } catch (error) {
    if (error instanceof TimesFault) return error.message;
    throw error;
  }
  return "no fault";
}

describe("tables", () => {
  test("names, units and what is known of a request", async () => {
    const { format, times, notes } = await read(
      "id,TTFT (ms),e2e_s,Prompt Tokens,completionTokens,cached_tokens\n" +
        "a,250.5,1.5,100,20,64\n" +
        "b,300,2,110,21,\n",
    );
    expect([format, notes]).toEqual(["CSV", []]);
    expect(times).toEqual([
      {
        place: "f:2",
        firstTokenMs: 250.5,
        totalMs: 1500,
        promptTokens: 100,
        outputTokens: 20,
        cachedTokens: 64,
      },
      { place: "f:3", firstTokenMs: 300, totalMs: 2000, promptTokens: 110, outputTokens: 21 },
    ]);
  });

  /** a table → its first answer */
  const CASES: readonly (readonly [string, object])[] = [
    ["ttft_s\n0.25\n", { firstTokenMs: 250 }],
    ["ttft_us;itl_ms\r\n250000;12.5\r\n", { firstTokenMs: 250, tokenMs: 12.5 }],
    ["\uFEFFttft_ms\ttokens_per_s\n250\t80", { firstTokenMs: 250, tokenMs: 12.5 }],
    ['"ttft_ms","note"\n"250","says ""hi"",\nand goes"\n', { firstTokenMs: 250 }],
    ['ttft_ms,itls_ms\n250,"[10, 11.5]"\n', { firstTokenMs: 250, gapsMs: [10, 11.5] }],
    ["time_to_first_token_ms,tpot_ms,itl_ms\n250,9,12\n", { firstTokenMs: 250, tokenMs: 12 }],
    ["ttft_ms\n\n250\n\n", { firstTokenMs: 250 }],
    ["ttft_ms,itl_ms\n0,12\n", { tokenMs: 12 }], // nothing came
    ["ttft_ms,itl_ms\nNaN,12\n", { tokenMs: 12 }],
  ];
  for (const [text, first] of CASES) {
    test(JSON.stringify(text), async () => {
      const { times } = await read(text);
      const [{ place: _, ...one }] = times as [ReadTimes["times"][number]];
      expect(one).toEqual(first as typeof one);
    });
  }

  test("a time without a unit takes the one that is given", async () => {
    expect((await read("ttft\n0.25\n", "s")).times[0]!.firstTokenMs).toBe(250);
    expect(await faultOf("ttft\n0.25\n")).toBe(
      'f:1:1: "ttft" does not say its unit: call it ttft_ms or ttft_s, or give --unit',
    );
  });

  test("what failed is left out, and counted", async () => {
    const { times, notes } = await read(
      "ttft_ms,status,error,success\n250,200,,true\n9,500,,true\n9,200,timeout,true\n9,200,,false\n",
    );
    expect([times.length, notes]).toEqual([1, ["3 that failed are left out"]]);
  });

  const BROKEN = [
    ["", "f:1:1: the file is empty"],
    ["ttft_ms\nabc\n", 'f:2:1: ttft_ms must be a number of 0 or more: it is "abc"'],
    ["id,ttft_ms\na,-1\n", 'f:2:3: ttft_ms must be a number of 0 or more: it is "-1"'],
    ["ttft_s\n90000\n", 'f:2:1: ttft_s must be less than a day: it is "90000"'],
    ["ttft_ms,osl\n1,2.5\n", 'f:2:3: osl must be a whole number: it is "2.5"'],
    ["ttft_ms,osl\n1,2\n3\n", "f:3:1: it has 1 cells, and the first row has 2"],
    ['ttft_ms,a\n1,"x\n', "f:2:3: the quote is not closed"],
    ['ttft_ms,a\n1,"x"y\n', "f:2:6: nothing may stand behind the closing quote"],
    [
      "ttft_ms,e2e_ms\n500,400\n",
      "f:2:5: e2e_ms must not be less than the time to the first token, 500 ms: it is 400 ms",
    ],
    [
      "ttft_ms,prompt_tokens,cached_tokens\n5,10,11\n",
      "f:2:6: cached_tokens must not be more than those of the prompt, 10: it is 11",
    ],
    [
      "Metric,avg,p50,p99\nTime to First Token (ms),1,2,3\n",
      "f:1:1: it is a table of percentiles, from which nothing can be fitted: AIPerf writes each " +
      "request into profile_export.jsonl",
    ],
  ] as const;
  for (const [text, fault] of BROKEN) {
    test(`refused: ${JSON.stringify(text)}`, async () => expect(await faultOf(text)).toBe(fault));
  }

  test("refused without times, with what was found, what is needed and what was meant", async () => {
    const fault = await faultOf("id,tttf_ms\na,1\n");
    expect(fault).toStartWith(
      'f:1:1: there is no column of times: it has "id", "tttf_ms". Needed is',
    );
    expect(fault).toContain("ttft_ms or ttft_s");
    expect(fault).toEndWith('; is "tttf_ms" ttft_ms?');
  });
});

describe("JSON of one's own", () => {
  const ROWS = [{ ttft_ms: 250, itls_ms: [10, 20], prompt_tokens: 7 }, { ttft_ms: 260 }];
  const first = { firstTokenMs: 250, gapsMs: [10, 20], promptTokens: 7 };

  test("a line for each answer", async () => {
    const { format, times } = await read(ROWS.map((row) => JSON.stringify(row)).join("\n\n"));
    expect([format, times]).toEqual([
      "JSON lines",
      [{ place: "f:1", ...first }, { place: "f:3", firstTokenMs: 260 }],
    ]);
  });

  test("a list", async () => {
    const { times } = await read(JSON.stringify(ROWS, null, 2));
    expect(times[0]).toEqual({ place: "f, entry 1", ...first });
  });

  const BROKEN = [
    ['{"ttft_ms": 1}\n{"ttft_ms": }\n', "f:2:13: it is no JSON from here on"],
    [
      '{"ttft_ms": 1}\n{"ttft_ms": "x"}\n',
      'f:2:13: ttft_ms must be a number of 0 or more: it is "x"',
    ],
    [
      '[\n  {"ttft_ms": 1},\n  {"ttft_ms": -1}\n]',
      "f:3:15: ttft_ms must be a number of 0 or more: it is -1",
    ],
    ['{\n  "ttft_ms": 1,\n}', "f:3:1: it is no JSON from here on"],
    ['{"ttft_ms": 1}\n7\n', "f:2:1: each answer must be an object with its times"],
    [`${"[".repeat(99)}${"]".repeat(99)}`, "f:1:1: it is nested too deeply"],
  ] as const;
  for (const [text, fault] of BROKEN) {
    test(`refused: ${JSON.stringify(text).slice(0, 60)}`, async () => {
      expect(await faultOf(text)).toBe(fault);
    });
  }

  test("refused without times", async () => {
    expect(await faultOf('{"when": 1}')).toStartWith('f:1:1: there is no time: it has "when".');
  });
});

describe("results of vLLM", () => {
  const RUN = {
    date: "20260801-101010",
    backend: "openai-chat",
    completed: 2,
    failed: 1,
    mean_ttft_ms: 255,
    input_lens: [10, 20, 30],
    output_lens: [3, 2, 0],
    ttfts: [0.25, 0.26, 0],
    itls: [[0.01, 0.011], [0.012], []],
    generated_texts: ["a", "b", ""],
    errors: ["", "", "refused"],
  };

  test("a run with its requests, in seconds", async () => {
    const { format, times, notes } = await read(JSON.stringify(RUN));
    expect([format, notes]).toEqual(["a result of vLLM", ["1 that failed are left out"]]);
    expect(times).toEqual([
      {
        place: "f:1, request 1",
        firstTokenMs: 250,
        gapsMs: [10, 11],
        promptTokens: 10,
        outputTokens: 3,
      },
      {
        place: "f:1, request 2",
        firstTokenMs: 260,
        gapsMs: [12],
        promptTokens: 20,
        outputTokens: 2,
      },
    ]);
  });

  test("a line for each run, with the tokens of events, as SGLang writes", async () => {
    const run = JSON.stringify({ ...RUN, itl_token_lens: [[5, 4], [6], []] });
    const { times } = await read(`${run}\n${run}\n`);
    expect(times.map(({ gapTokens }) => gapTokens)).toEqual([[5, 4], [6], [5, 4], [6]]);
  });

  const { ttfts: _, itls: __, ...summary } = RUN;
  const BROKEN = [
    [{ ...RUN, itls: [[]] }, "itls must have as many entries as ttfts, 3: it has 1"],
    [{ ...RUN, itls: 7 }, "itls must be a list"],
    [
      { ...RUN, itl_token_lens: [[5], [6], []] },
      "itl_token_lens must have as many entries as there are gaps, 2: it has 1",
    ],
    [{ ...RUN, ttfts: [0.25, "x", 0] }, 'ttfts must be a number of 0 or more: it is "x"'],
    [
      summary,
      "it has percentiles, from which nothing can be fitted: give vllm bench serve --save-detailed " +
      "(sglang: --output-details), and it writes each request",
    ],
  ] as const;
  for (const [run, fault] of BROKEN) {
    test(`refused: ${fault}`, async () => {
      const text = JSON.stringify(run);
      const place = /^f:1:(\d+): /.exec(await faultOf(text));
      expect(await faultOf(text)).toBe(`f:1:${place?.[1]}: ${fault}`);
    });
  }
});

describe("AIPerf and GenAI-Perf", () => {
  function record(metrics: object, more: object = {}, metadata: object = {}): string {
    return JSON.stringify({
      metadata: { session_num: 0, benchmark_phase: "profiling", was_cancelled: false, ...metadata },
      metrics,
      error: null,
      ...more,
    });
  }
  const METRICS = {
    input_sequence_length: { value: 550, unit: "tokens" },
    time_to_first_token: { value: 255.5, unit: "ms" },
    request_latency: { value: 0.3, unit: "sec" },
    inter_chunk_latency: { value: [4.5, 5.5], unit: "ms" },
    inter_token_latency: { value: 5, unit: "ms" },
    output_sequence_length: { value: 3, unit: "tokens" },
  };

  test("records, each with its units", async () => {
    const { format, times, notes } = await read([
      record(METRICS),
      record({}, { error: { code: 499, type: "RequestCancellationError" } }),
      record(METRICS, {}, { benchmark_phase: "warmup" }),
    ].join("\n"));
    expect([format, notes]).toEqual([
      "records of AIPerf",
      ["1 that failed are left out", "1 of the warm-up are left out"],
    ]);
    expect(times).toEqual([{
      place: "f:1",
      firstTokenMs: 255.5,
      totalMs: 300,
      gapsMs: [4.5, 5.5],
      promptTokens: 550,
      outputTokens: 3,
    }]);
  });

  test("a value that cannot be, by its place", async () => {
    const broken = record({ time_to_first_token: { value: "soon", unit: "ms" } });
    const column = broken.indexOf('"soon"') + 1;
    expect(
      await faultOf(`${record(METRICS)}
${broken}`),
    ).toBe(
      `f:2:${column}: time_to_first_token must be a number of 0 or more: it is "soon"`,
    );
  });

  test("a summary is refused", async () => {
    const summary = { schema_version: "1.5", time_to_first_token: { unit: "ms", avg: 1, p99: 2 } };
    expect(await faultOf(JSON.stringify(summary))).toContain("profile_export.jsonl");
  });

  test("an export of GenAI-Perf, whose events without text do not count", async () => {
    const chunk = (delta: object) => ({
      response: `data: ${JSON.stringify({ choices: [{ delta }] })}\n\n`,
    });
    const { format, times } = await read(JSON.stringify({
      experiments: [{
        requests: [{
          timestamp: 1_000_000,
          response_timestamps: [2_000_000, 5_000_000, 9_000_000, 9_100_000],
          response_outputs: [
            chunk({ role: "assistant", content: "" }),
            chunk({ content: "Hel" }),
            chunk({ content: "lo" }),
            { response: "data: [DONE]\n\n" },
          ],
        }],
      }],
    }));
    expect([format, times]).toEqual([
      "an export of GenAI-Perf",
      [{ place: "f, 1/1", firstTokenMs: 4, gapsMs: [4] }],
    ]);
  });
});

describe("recorded exchanges", () => {
  const WORDS = ["Hello", " there", ", how are you?"];
  /** A stream of chat in pieces, each with its time. */
  function pieces(): readonly (readonly [ms: number, text: string])[] {
    const events = stream(...WORDS).split(/(?<=\n\n)/);
    return events.map((text, at) => [[300, 320, 345, 346, 346][at]!, text]);
  }
  const expected = {
    firstTokenMs: 300,
    gapsMs: [20, 25],
    gapTokens: [1, 5],
    totalMs: 345,
    outputTokens: 7,
  };

  test("a capture", async () => {
    const { format, times } = await read(capture(question("Hi"), pieces()));
    expect([format, times]).toEqual(["a capture", [{ place: "f", ...expected }]]);
  });

  const TAPE: Tape = {
    id: "01JZZZZZZZZZZZZZZZZZZZZZZZ",
    when: "2026-11-28T10:00:00.000Z",
    weir: "2.0.0",
    upstream: "llm",
    host: "api.example.com:443",
    base: "/v1",
    dialect: "openai_chat",
    request: {
      method: "POST",
      path: "/chat/completions?x=1",
      fields: [["content-type", "application/json"]],
      body: Uint8Array.from(Buffer.from(JSON.stringify(question("Hi")))),
    },
    response: {
      status: 200,
      reason: "OK",
      atUs: 100,
      fields: [["Content-Type", "text/event-stream"]],
      isUntilClose: false,
    },
    reads: pieces().map(([ms, text]) => ({
      atUs: ms * 1000,
      bytes: Uint8Array.from(Buffer.from(text)),
    })),
    redactions: [],
    ending: { how: "whole", atUs: 400_000, error: "" },
  };

  test("a tape", async () => {
    const { format, times } = await read(tapeText(TAPE));
    expect([format, times]).toEqual(["a tape", [{ place: "f", ...expected }]]);
  });

  test("a tape that did not end whole, or answers with an error, is left out", async () => {
    const broke = {
      ...TAPE,
      ending: { how: "upstream_broke", atUs: 400_000, error: "gone" },
    } as const;
    expect(await read(tapeText(broke))).toEqual({
      format: "a tape",
      times: [],
      notes: ["left out: it ended as upstream_broke"],
    });
    const refused = { ...TAPE, response: { ...TAPE.response!, status: 429 } };
    expect((await read(tapeText(refused))).notes).toEqual(["left out: its status is 429"]);
  });

  test("a tape that was changed is refused, with its line", async () => {
    expect(await faultOf(tapeText(TAPE).replace("Hello", "Hullo"))).toBe(
      "f:5:1: its check sum is wrong: it was changed, or a line before it is missing",
    );
  });

  test("a cassette has no times", async () => {
    expect(await faultOf('{"interactions": []}')).toBe(
      "f:1:1: it is a cassette, which has no times",
    );
  });
});

test("what is no text is refused", async () => {
  const bytes = Uint8Array.from([0x1f, 0x8b, 0x08, 0xff]);
  await expect(readTimes(bytes, "f", undefined)).rejects.toThrow("f:1:1: it is no text");
});

describe("a file that is broken anywhere is read, or refused with its place, and nothing else", () => {
  const run = {
    input_lens: [10, 20],
    output_lens: [3, 2],
    ttfts: [0.25, 0.26],
    itls: [[0.01], []],
  };
  const metrics = { time_to_first_token: { value: 1, unit: "ms" } };
  const request = { timestamp: 1, response_timestamps: [3, 5], response_outputs: ["a", "b"] };
  const FILES: Readonly<Record<string, string>> = {
    "a table": 'id,TTFT (ms),e2e_s,isl\na,250.5,1.5,100\n"b ""x""",300,2,110\n',
    "JSON lines": '{"ttft_ms":250,"itls_ms":[10,20],"prompt_tokens":7}\n{"ttft_ms":260}\n',
    "a result of vLLM": JSON.stringify(run),
    "a record of AIPerf": JSON.stringify({ metadata: {}, metrics, error: null }),
    "an export of GenAI-Perf": JSON.stringify({ experiments: [{ requests: [request] }] }),
    "a capture": capture(question("Hi"), [[20, stream("Hello", " you")]]),
  };
  for (const [name, text] of Object.entries(FILES)) {
    test(name, async () => {
      const random = seeded(5);
      let refused = 0;
      for (let i = 0; i < 300; i++) {
        const at = Math.floor(random() * text.length);
        const end = at + Math.floor(random() * 4);
        const more = ["", "", "[", "{", '"', "\n", ",", "x", "-"][Math.floor(random() * 9)]!;
        const broken = text.slice(0, at) + more + text.slice(end);
        const fault = await faultOf(broken);
        if (fault === "no fault") continue;
        expect(fault).toMatch(/^f:\d+:\d+: \S/);
        refused++;
      }
      expect(refused).toBeGreaterThan(50);
    });
  }
});
