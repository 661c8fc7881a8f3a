/** From scripted answers to the figures of the report, on a clock that is set by hand. */

import { describe, expect, test } from "bun:test";
import type { DoubtLimits } from "../../src/load/doubt.ts";
import { aiperfValues } from "../../src/load/metrics/aiperf.ts";
import { vllmValues } from "../../src/load/metrics/vllm.ts";
import { KIND, type Recording } from "../../src/load/record.ts";
import { compareRows } from "../../src/load/report/compare.ts";
import { csvOf } from "../../src/load/report/csv.ts";
import { htmlReport } from "../../src/load/report/html.ts";
import { compareHtml } from "../../src/load/report/html_compare.ts";
import { jsonText } from "../../src/load/report/json_text.ts";
import { type LoadReport, reportOf } from "../../src/load/report/report.ts";
import { mergedRuns, readRunFile, runFileOf, type Stage } from "../../src/load/report/run_file.ts";
import { stageTable } from "../../src/load/report/stage_table.ts";
import { rateLines, reportLines } from "../../src/load/report/terminal.ts";
import type { Slo } from "../../src/load/slo.ts";
import type { StageFacts } from "../../src/load/stage_facts.ts";
import { Tally } from "../../src/load/tally.ts";
import { recorded, type ToldEvent, type ToldRecord } from "./recorded.ts";
import { ABOUT } from "./report/sample_stages.ts";

const { choice, role, text, reasoning, tool, finish, usage, done } = KIND;
const END: readonly ToldEvent[] = [[341, choice | finish], [341, usage], [342, done]];
const TOLD = { usage: { promptTokens: 7, completionTokens: 4 } };

/** The worked stream of docs/load.md, due 10 ms before it was sent. */
function worked(facts: ToldRecord = {}): Recording {
  const record = recorded([
    [100, choice | role],
    [300, choice | text, "a"],
    [320, choice | text, "b"],
    [340, choice | text, "c d"],
    ...END,
  ], { dueMs: -10, sentMs: 0, ...TOLD, ...facts });
  record.connectedMs = 1;
  return record;
}

const single = (facts: ToldRecord = {}) =>
  recorded([[50, choice | text, "a"], [51, choice | finish], [52, done]], facts);
const whole = (facts: ToldRecord = {}) => recorded([], { endMs: 40, ...facts });
function failed(): Recording {
  const record = recorded([], { outcome: "failed", status: 503, endMs: 1 });
  record.failure = { phase: "head", status: 503, text: "full" };
  return record;
}
function brokenOff(): Recording {
  const record = recorded([[1, choice | text, "a"], [2, choice | text, "b"], [3, KIND.error]], {
    outcome: "failed",
    ...TOLD,
  });
  record.failure = { phase: "body", status: 200, text: "overloaded" };
  return record;
}
const left = () =>
  recorded([[100, choice | text, "a"], [150, choice | text, "b"]], { outcome: "left", endMs: 150 });
const unfinished = () =>
  recorded([[100, choice | text, "a"]], { outcome: "unfinished", endMs: 900 });
const notSent = () => recorded([], { sentMs: NaN, endMs: 900, status: 0, outcome: "unfinished" });

const FACTS: StageFacts = {
  measuredMs: 2000,
  offeredMs: 1000,
  isInterrupted: false,
  connectionsOpened: 1,
  requestsOnKept: 0,
  activeMax: 1,
  waitingMax: 0,
  loop: null,
  cpuShare: 0.1,
  waitShare: null,
  processes: 1,
  saturatedMs: null,
  troubles: [],
};
const LIMITS: DoubtLimits = { loopMsMax: 2, ratePerSecond: undefined, concurrencyMax: Infinity };

function report(...made: Parameters<typeof stageOf>): LoadReport {
  return stageOf(...made).report;
}

function stageOf(
  records: readonly Recording[],
  slo?: Slo,
  facts: Partial<StageFacts> = {},
  limits: Partial<DoubtLimits> = {},
): Stage {
  const count = (said: string) => said.split(/\s+|(?=[a-z])/).filter(Boolean).length;
  const tally = new Tally({ slo, countTokens: count });
  for (const record of records) tally.observe(record);
  const rounds = [{ tally, facts: { ...FACTS, ...facts } }];
  const all = { ...LIMITS, ...limits };
  const report = reportOf(rounds, { load: "", slo, countTokens: undefined, limits: all });
  return { report, rounds, slo, limits: all, startedAtMs: 0 };
}

type Figure = "ttft" | "first_event" | "first_text" | "first_reasoning" | "itl" | "tpot" | "e2e";
type Figures = Readonly<Partial<Record<Figure | "service_ttft" | "service_e2e", number>>>;
const NAMES = [
  "ttft",
  "first_event",
  "first_text",
  "first_reasoning",
  "itl",
  "tpot",
  "e2e",
] as const;

/** One answer → its figures: half of them, and of gaps the largest. What is not named is null. */
const ANSWERS: readonly (readonly [string, Recording, Figures, number | null])[] = [
  [
    "the worked stream",
    worked(),
    // From when it was due; the tokens less one by the server's count: 40 / 3.
    { ttft: 310, first_event: 110, first_text: 310, itl: 20, tpot: 13.333, e2e: 352 },
    2,
  ],
  [
    "no usage: by own count",
    worked({ usage: undefined! }),
    { ttft: 310, first_event: 110, first_text: 310, itl: 20, tpot: 13.333, e2e: 352 },
    null,
  ],
  [
    "a usage of nothing, or less, is none",
    worked({ usage: { promptTokens: 1, completionTokens: -3 } }),
    { ttft: 310, first_event: 110, first_text: 310, itl: 20, tpot: 13.333, e2e: 352 },
    null,
  ],
  [
    "reasoning first, then a tool",
    recorded(
      [[50, choice | reasoning, "a"], [250, choice | text, "b"], [300, choice | tool, "c"]],
      {
        endMs: 301,
      },
    ),
    {
      ttft: 50,
      first_event: 50,
      first_text: 250,
      first_reasoning: 50,
      itl: 200,
      tpot: 125,
      e2e: 301,
    },
    null,
  ],
  ["one token", single(), { ttft: 50, first_event: 50, first_text: 50, e2e: 52 }, null],
  ["no tokens at all", whole(), { e2e: 40 }, null],
  [
    "an answer in one piece has no first token",
    recorded([[40, choice | text | finish | usage | done, "a"]], { endMs: 40, ...TOLD }),
    { e2e: 40 },
    2,
  ],
  ["left: it has no end, and no time per token", left(), {
    ttft: 100,
    first_event: 100,
    first_text: 100,
    itl: 50,
  }, null],
  [
    "tool calls alone: no text",
    recorded([[50, choice | tool, "a"], [70, choice | tool, "b"]], TOLD),
    {
      ttft: 50,
      first_event: 50,
      itl: 20,
      tpot: 6.667,
      e2e: 70,
    },
    2,
  ],
  [
    "left while it reasons",
    recorded([[50, choice | role], [100, choice | reasoning, "a"]], {
      outcome: "left",
      endMs: 100,
    }),
    { ttft: 100, first_event: 50, first_reasoning: 100 },
    null,
  ],
  ["left before it said anything", recorded([], { outcome: "left", endMs: 100 }), {}, null],
  ["failed", failed(), {}, null],
  ["failed behind its first tokens", brokenOff(), {}, null],
  ["unfinished", unfinished(), {}, null],
  ["never sent", notSent(), {}, null],
];

describe("figures of one answer", () => {
  for (const [name, record, figures, tokensPerSecond] of ANSWERS) {
    test(name, () => {
      const found = report([record]);
      for (const figure of NAMES) {
        const spread = found[`${figure}_ms`];
        const wanted = figures[figure];
        if (wanted === undefined) expect([figure, spread]).toEqual([figure, null]);
        else {expect([figure, Math.abs(spread!.max - wanted) < 0.02 + wanted / 1000]).toEqual([
            figure,
            true,
          ]);}
      }
      expect(found.output_tokens_per_second.told).toBe(tokensPerSecond);
      // Where nothing has tokens there are none a second, rather than 0.
      const isSaid = rateLines(found).some((line) => line.includes("tokens/s"));
      expect(isSaid).toBe(figures.e2e !== undefined && name !== "no tokens at all");
      const { sent, completed, failed, left, unfinished, not_sent } = found.requests;
      expect(sent).toBe(completed + failed + left + unfinished);
      expect(sent + not_sent).toBe(1);
    });
  }

  test("whole JSON without an answer of a chat is a success for tools that ask for embeddings", () => {
    const embeddings = () => recorded([[40, KIND.usage | done | KIND.other]], { endMs: 41 });
    for (const read of [vllmValues, aiperfValues]) {
      expect(read(embeddings(), () => 0)).toMatchObject({ isSuccess: true, e2eMs: 41 });
    }
  });

  test("rates are over the time that was measured, service from when it was sent", () => {
    const found = report([worked(), worked(), failed()]);
    expect(found).toMatchObject({ seconds: 2, offered_seconds: 1, requests_per_second: 1 });
    expect(found.output_tokens_per_second).toEqual({ told: 4, own: 4 });
    expect(found.service_ttft_ms!.max).toBe(300);
    expect(found.service_e2e_ms!.max).toBe(342);
    expect(found.queue_ms!.max).toBe(10);
  });
});

/** answers, limits → good ones, of how many, not judged; limits without a figure; what is said */
const JUDGED: readonly (readonly [
  name: string,
  records: readonly Recording[],
  slo: Slo,
  goodput: readonly [good: number, requests: number, notJudged: number] | null,
  unjudged: readonly string[],
  said: string,
])[] = [
  [
    "each figure at its limit",
    [worked()],
    { ttft: 310, itl: 20, tpot: 13.34, e2e: 352 },
    [1, 1, 0],
    [],
    "100 % of all requests kept ttft 310 ms",
  ],
  [
    "one figure above it",
    [worked()],
    { ttft: 310, e2e: 351 },
    [0, 1, 0],
    [],
    "0 % of all requests",
  ],
  [
    "the largest gap counts",
    [left()],
    { itl: 49 },
    [0, 1, 0],
    [],
    "0 % of 1 request, those of clients that left by the figures they have, kept itl 49 ms",
  ],
  [
    "who left is judged by what there is",
    [left(), worked()],
    { ttft: 200, e2e: 1000 },
    [1, 2, 0],
    [],
    "50 % of 2 requests, those of clients",
  ],
  ["who left has no end", [left()], { e2e: 1000 }, null, ["e2e"], ""],
  [
    "one token has no time per token",
    [single(), worked()],
    { tpot: 20 },
    [1, 1, 1],
    [],
    "100 % of 1 request, without 1 that have none of these figures, kept tpot 20 ms",
  ],
  ["no answer has one", [single(), single()], { tpot: 1 }, null, ["tpot"], ""],
  [
    "one limit of two",
    [single()],
    { ttft: 60, tpot: 1 },
    [1, 1, 0],
    ["tpot"],
    "100 % of all requests kept ttft 60 ms",
  ],
  ["whole answers", [whole()], { ttft: 1, tpot: 1, itl: 1, e2e: 50 }, [1, 1, 0], [
    "ttft",
    "tpot",
    "itl",
  ], "kept e2e 50 ms"],
  [
    "what failed, was not over or not sent is not good",
    [worked(), failed(), unfinished(), notSent()],
    { ttft: 310 },
    [1, 4, 0],
    [],
    "25 % of all requests",
  ],
];

/** Every output of two stages, by its name. */
const OUTPUTS: Readonly<Record<string, (one: Stage, other: Stage) => string>> = {
  terminal: ({ report }) => reportLines(report).join("\n"),
  table: ({ report }, other) => stageTable([report, other.report]).join("\n"),
  json: ({ report }) => jsonText(report).replaceAll("null", ""),
  csv: ({ report }, other) => csvOf([report, other.report]),
  page: (one) => htmlReport([one], ABOUT),
  "page of several": (one, other) => htmlReport([one, other, one], ABOUT),
  merged: (one) => {
    const run = (part: number) => ({
      asked: {},
      parts: { count: 2, have: [part] },
      stages: [{ ...one, startedAtMs: 0 }],
    });
    const parts = [0, 1].map((part) => readRunFile(JSON.stringify(runFileOf(run(part))))[0]!);
    const stages = mergedRuns(parts, ["a", "b"]).stages;
    return stages.map(({ report }) => reportLines(report).join("\n")).join() +
      htmlReport(stages, ABOUT);
  },
  compared: (before, after) => {
    const comparisons = compareRows(
      before.rounds[0]!.tally.rows,
      after.rounds[0]!.tally.rows,
    ).map((one) => ({ ...one, verdict: "slower" as const }));
    const pair = { load: "", failedShares: [0, 0], isDoubtful: false, comparisons } as const;
    return compareHtml([{ ...pair, before, after }], ABOUT);
  },
};

describe("an answer that lacks figures", () => {
  for (const [name, record] of ANSWERS) {
    test(`${name}: every output is without them`, () => {
      const one = stageOf([record, record], { ttft: 1000, e2e: 1000 });
      const other = stageOf([worked()]);
      for (const [output, make] of Object.entries(OUTPUTS)) {
        for (const text of [make(one, other), make(other, one), make(one, one)]) {
          const main = text.replace(/<script>[^]*?<\/script>|<script type="module">[^]*/g, "");
          expect([output, /.{0,40}\b(?:NaN|undefined|null|Infinity)\b.{0,40}/.exec(main)?.[0]])
            .toEqual([output, undefined]);
        }
      }
    });

    test(`${name}: its row has the same figures as the report`, () => {
      const { report, rounds: [round] } = stageOf([record]);
      for (const figure of ["ttft", "tpot", "e2e"] as const) {
        const value = round!.tally.rows.get(0, figure);
        expect([figure, Number.isNaN(value)]).toEqual([figure, report[`${figure}_ms`] === null]);
      }
    });
  }
});

describe("limits", () => {
  for (const [name, records, slo, goodput, unjudged, said] of JUDGED) {
    test(name, () => {
      const found = report(records, slo);
      const { good, of_requests, not_judged, share } = found.goodput ?? {};
      expect(found.goodput === null ? null : [good, of_requests, not_judged]).toEqual(
        goodput as never,
      );
      if (goodput !== null) expect(share).toBe(goodput[0] / goodput[1]);
      expect(found.doubt.unjudged).toEqual(unjudged as never);
      // A limit that was not judged is no limit that was kept: the run is not simply good.
      for (const limit of unjudged) {
        expect(found.doubt.reasons.join()).toContain(`the limit ${limit} was not judged`);
      }
      expect(rateLines(found).find((line) => line.startsWith("goodput")) ?? "").toContain(said);
    });
  }
});

/** A server of `slots` places that take `serviceMs` each, asked on a schedule: when each is over. */
function served(
  perSecond: number,
  seconds: number,
  slots: number,
  serviceMs: (i: number) => number,
) {
  const free = Array<number>(slots).fill(0);
  return Array.from({ length: perSecond * seconds }, (_, i) => {
    const dueMs = (1000 * (i + 1)) / perSecond;
    const at = free.indexOf(Math.min(...free));
    free[at] = Math.max(free[at]!, dueMs) + serviceMs(dueMs);
    return recorded([[free[at]! - 1, choice | text, "a"]], { dueMs, endMs: free[at]! });
  });
}

/** The server → who was the limit, and what was answered of what was asked. */
const SERVERS: readonly (readonly [
  string,
  readonly Recording[],
  number,
  LoadReport["doubt"]["limit"],
  readonly [asked: number, answered: number] | null,
])[] = [
  ["a third of what is asked is answered", served(300, 2, 10, () => 100), 300, "server", [
    300,
    100,
  ]],
  ["two thirds", served(150, 2, 10, () => 100), 150, "server", [150, 100]],
  ["all of it, at the edge", served(100, 4, 10, () => 100), 100, "none", null],
  ["all of it, though answers take long", served(50, 4, 1000, () => 3000), 50, "none", null],
  [
    "a stall of half a second each second",
    served(100, 5, 1000, (ms) => ms % 1000 < 500 ? 500 - ms % 1000 : 1),
    100,
    "server",
    null,
  ],
  [
    "a single stall is no queue that grows",
    served(100, 3, 1, (ms) => ms >= 2600 && ms < 2610 ? 300 : 1),
    100,
    "server",
    null,
  ],
];

describe("a schedule that a server is asked on", () => {
  for (const [name, records, ratePerSecond, limit, overload] of SERVERS) {
    test(name, () => {
      const measuredMs = Math.max(...records.map(({ endMs }) => endMs));
      const { doubt } = report(records, undefined, { measuredMs, cpuShare: 0.07 }, {
        ratePerSecond,
      });
      expect(doubt.limit).toBe(limit);
      if (overload === null) return expect(doubt).toMatchObject({ overload: null, reasons: [] });
      const [asked, answered] = overload;
      expect(doubt.overload!.asked).toBe(asked);
      expect(Math.abs(doubt.overload!.answered - answered)).toBeLessThan(3);
      expect(doubt.reasons[0]).toContain(`${asked}/s were asked, `);
    });
  }

  test("what was never sent is told, with its number", () => {
    const records = [worked(), ...Array.from({ length: 9 }, notSent)];
    const { requests, doubt } = report(records, undefined, { waitingMax: 9 }, {
      ratePerSecond: 10,
      concurrencyMax: 1,
    });
    expect(requests).toMatchObject({ sent: 1, unfinished: 0, not_sent: 9 });
    expect(doubt.reasons.join()).toContain(
      "9 of 10 requests that were due were never sent: 1 place was taken to the end",
    );
  });

  test("figures of slow readers are told to be theirs, and are no doubt", () => {
    const { doubt } = report([worked()], undefined, {}, { readBytesPerSecond: 500 });
    expect(doubt).toMatchObject({ is_doubtful: false, limit: "client", ttft_parts_ms: null });
    expect(doubt.notes[0]).toContain("500 bytes a second");
  });
});
