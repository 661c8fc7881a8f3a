import { describe, expect, test } from "bun:test";
import { LOAD_FLAGS } from "../../src/cli/load_flags.ts";
import { loadOptions } from "../../src/cli/load_options.ts";
import { makerOf } from "../../src/cli/load_requests.ts";
import type { Flags, FlagValues } from "../../src/cli/flags.ts";
import { partOf, type Shard, WHOLE } from "../../src/load/shape/shards.ts";
import type { Stage } from "../../src/load/shape/stages.ts";
import { TokenCounters } from "../../src/sources/tokens.ts";
import { makeFolder } from "../server/launch.ts";
import { join } from "node:path";

const counter = new TokenCounters(1024 * 1024).of("gpt-4o");

function flagsOf(words: Readonly<Record<string, readonly string[]>>) {
  const flags = LOAD_FLAGS as Flags;
  return Object.fromEntries(
    Object.entries(flags).map(([key, flag]) => [key, flag.read(words[key] ?? [], key)]),
  ) as FlagValues<typeof LOAD_FLAGS>;
}

/** What each of the first `total` requests of a load is, in its order: body, endpoint, session, end. */
function asked(
  words: Readonly<Record<string, readonly string[]>>,
  stage: Stage,
  shard: Shard,
  total: number,
): ReadonlyMap<number, string> {
  const options = loadOptions("load", "http://a/v1/chat/completions", flagsOf(words));
  const maker = makerOf(options, stage, counter, 5, shard);
  const part = partOf(shard, stage.kind === "closed" ? stage.concurrency : shard.count);
  return new Map(Array.from({ length: part.countOf(total) }, (_, own) => {
    const number = part.numberOf(own);
    const { bytes, endpoint, session, leaveTokens } = maker.next(own, 0, number);
    return [number, `${endpoint} ${session} ${leaveTokens} ${Buffer.from(bytes).toString()}`];
  }));
}

const OPEN: Stage = { kind: "open", ratePerSecond: 10 };
const TRACE = [20, 30, 25, 40, 22, 37, 21]
  .map((length, i) =>
    JSON.stringify({ timestamp: 100 * i, input_length: length, output_length: 3 })
  )
  .join("\n");
const folder = makeFolder({ "trace.jsonl": TRACE, "bodies.jsonl": '{"a":1}\n{"b":2}\n{"c":3}\n' });
const trace = { trace: [join(folder, "trace.jsonl")] };

/** flags, the load, requests in all, different bodies among them */
const CASES: readonly (readonly [
  string,
  Readonly<Record<string, readonly string[]>>,
  Stage,
  number,
  number,
])[] = [
  ["prompts of a length", { promptTokens: ["12"] }, OPEN, 23, 23],
  [
    "users with prompts of a length",
    { promptTokens: ["12"] },
    {
      kind: "closed",
      concurrency: 4,
    },
    23,
    23,
  ],
  [
    "two endpoints",
    { promptTokens: ["12"], endpoint: ["http://b/v1/chat/completions"] },
    OPEN,
    24,
    12,
  ],
  ["some who leave", { leaveAfter: ["3"], leaveShare: ["0.5"] }, OPEN, 23, 1],
  ["bodies of a file", { bodies: [join(folder, "bodies.jsonl")] }, OPEN, 23, 3],
  ["a trace at its times", trace, { kind: "trace" }, 7, 7],
  ["a trace at a rate", trace, OPEN, 23, 7],
  [
    "a trace, to two endpoints",
    { ...trace, endpoint: ["http://b/v1/chat/completions"] },
    {
      kind: "trace",
    },
    7,
    7,
  ],
  ["conversations", { turns: ["3"], promptTokens: ["12"] }, OPEN, 23, 23],
];

describe("makerOf()", () => {
  for (const [name, words, stage, total, bodies] of CASES) {
    test(`${name}: three shards ask together what one run asks`, () => {
      const whole = asked(words, stage, WHOLE, total);
      const parts = [0, 1, 2].flatMap((index) => [
        ...asked(words, stage, { index, count: 3 }, total),
      ]);
      expect(parts.sort(([a], [b]) => a - b)).toEqual([...whole]);
      const said = [...whole.values()].map((one) => one.slice(one.indexOf("\r\n\r\n")));
      expect(new Set(said).size).toBe(bodies);
    });
  }

  // A thousand of 20 000 tokens would be 240 MB, and seconds of counting before the first is sent.
  for (const words of [{ promptTokens: ["20000"], requests: ["100000"] }, trace]) {
    test(`a prompt is made when it is due, and has its length: ${Object.keys(words)[0]}`, () => {
      let counted = 0;
      const counting = {
        count(text: string) {
          counted += text.length;
          return counter.count(text);
        },
        cut: (text: string, tokensMax: number) => counter.cut(text, tokensMax),
      };
      const options = loadOptions("load", "http://a", flagsOf(words));
      const maker = makerOf(options, OPEN, counting, 1, WHOLE);
      expect(counted).toBe(0);
      for (let number = 0; number < 3; number++) {
        const { bytes, promptTokens } = maker.next(0, 0, number);
        const text = Buffer.from(bytes).toString();
        const { messages } = JSON.parse(text.slice(text.indexOf("\r\n\r\n")));
        expect(counter.count(messages[0].content)).toBe(promptTokens);
        expect(promptTokens).toBe("trace" in words ? [20, 30, 25][number]! : 20_000);
      }
      // The list of words it looks at once, and never a prompt.
      expect(counted).toBeLessThan(2000);
    });
  }

  const chat = '{"stream":true}';
  /** flags, path → the limit that is refused; undefined = none is */
  const LIMITS: readonly (readonly [
    Readonly<Record<string, readonly string[]>>,
    string,
    string | undefined,
  ])[] = [
    [
      { slo: ["ttft=1s"], whole: ["true"] },
      "/v1/chat/completions",
      "--slo ttft: an answer that is",
    ],
    [{ slo: ["tpot=1s,e2e=1s"] }, "/v1/embeddings", "--slo tpot: embeddings have no time per"],
    [{ slo: ["itl=1s"], body: ["{}"] }, "/v1/messages", "--slo itl: an answer that is no stream"],
    [{ slo: ["e2e=1s"] }, "/v1/embeddings", undefined],
    [{ slo: ["ttft=1s"], body: [chat] }, "/v1/chat/completions", undefined],
    // Nobody knows what that says.
    [{ slo: ["ttft=1s"], body: ["{}"] }, "/mine", undefined],
  ];
  for (const [words, path, said] of LIMITS) {
    test(`${words["slo"]} of ${path} ${said === undefined ? "can" : "cannot"} be judged`, () => {
      const asked = () => loadOptions("load", `http://a${path}`, flagsOf(words));
      if (said === undefined) expect(asked).not.toThrow();
      else expect(asked).toThrow(said);
    });
  }

  test("a byte order mark is no part of the bodies of a file", () => {
    const file = join(makeFolder({ "b.jsonl": '\ufeff{"a":1}\r\n' }), "b.jsonl");
    const { bodies } = loadOptions("load", "http://a", flagsOf({ bodies: [file] }));
    expect(bodies?.map((body) => body?.trim())).toEqual(['{"a":1}']);
  });

  test("bodies of several files are one behind the other", () => {
    const made = makeFolder({ "a.jsonl": '{"a":1}\n{"a":2}\n', "b.jsonl": '{"b":1}\n' });
    const files = ["b.jsonl", "a.jsonl"].map((name) => join(made, name));
    const { bodies } = loadOptions("load", "http://a", flagsOf({ bodies: files }));
    expect(bodies).toEqual(['{"b":1}', '{"a":1}', '{"a":2}']);
  });

  /** flags, path → what stands in the head of a request */
  const VERSIONS = [
    [{}, "/v1/messages", "2023-06-01"],
    [{ api: ["messages"] }, "/", "2023-06-01"],
    [{ header: ["Anthropic-Version: 2"] }, "/v1/messages", "2"],
    [{}, "/v1/chat/completions", undefined],
  ] as const;
  for (const [words, path, version] of VERSIONS) {
    test(`the version of ${path} with ${JSON.stringify(words)} is ${version}`, () => {
      const options = loadOptions("load", `http://a${path}`, flagsOf(words));
      const { bytes } = makerOf(options, OPEN, counter, 1, WHOLE).next(0, 0, 0);
      const found = [...Buffer.from(bytes).toString().matchAll(/^anthropic-version: (.*)\r$/gim)];
      expect(found.map(([, value]) => value)).toEqual(version === undefined ? [] : [version]);
    });
  }

  test("--output-tokens is for the requests of a trace that do not say their length", () => {
    const lines = '{"input_length":5,"output_length":7}\n{"input_length":5}\n';
    const file = join(makeFolder({ "t.jsonl": lines }), "t.jsonl");
    const options = loadOptions(
      "load",
      "http://a",
      flagsOf({ trace: [file], outputTokens: ["3"] }),
    );
    const maker = makerOf(options, OPEN, counter, 1, WHOLE);
    expect([0, 1].map((number) => maker.next(number, 0, number).tokensMax)).toEqual([7, 3]);
    expect(() => loadOptions("load", "http://a", flagsOf({ ...trace, outputTokens: ["3"] })))
      .toThrow("every request of --trace says its own length");
  });

  test("another seed asks something else", () => {
    const options = loadOptions("load", "http://a", flagsOf({ promptTokens: ["12"] }));
    const [one, other] = [1, 2].map((seed) =>
      Buffer.from(makerOf(options, OPEN, counter, seed, WHOLE).next(0, 0, 0).bytes).toString()
    );
    expect(one).not.toBe(other);
  });
});
