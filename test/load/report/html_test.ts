import { describe, expect, test } from "bun:test";
import { escaped, inlineJson, page } from "../../../src/load/page.ts";
import type { Picture } from "../../../src/load/report/browser/picture.ts";
import { compareRows } from "../../../src/load/report/compare.ts";
import { compareHtml } from "../../../src/load/report/html_compare.ts";
import { htmlReport } from "../../../src/load/report/html.ts";
import { readRunFile, runFileOf } from "../../../src/load/report/run_file.ts";
import { boundRows, shown } from "../../../src/load/report/terminal.ts";
import { ABOUT, sampleStage } from "./sample_stages.ts";

/** Text of a server → as it stands between tags. */
const ESCAPED = [
  [`<img src=x onerror="alert('1')">`, "&#60;img src=x onerror=&#34;alert(&#39;1&#39;)&#34;&#62;"],
  ["a & b", "a &#38; b"],
  [
    "</script><script>alert(1)</script>",
    "&#60;/script&#62;&#60;script&#62;alert(1)&#60;/script&#62;",
  ],
  ["<!-- -->", "&#60;!-- --&#62;"],
  ["bell\u0007 null\u0000 escape\u001b[31m", "bell\ufffd null\ufffd escape\ufffd[31m"],
  ["line\nand\ttab", "line\nand\ttab"],
  ["过载 🔥 e\u0301", "过载 🔥 e\u0301"],
] as const;

describe("escaped()", () => {
  for (const [text, html] of ESCAPED) {
    test(JSON.stringify(text), () => expect(escaped(text)).toBe(html));
  }
});

describe("inlineJson()", () => {
  for (const [text] of [...ESCAPED, ["\u2028 and \u2029"] as const]) {
    test(JSON.stringify(text), () => {
      const json = inlineJson({ text });
      expect(json).not.toMatch(/[<>&\u2028\u2029]/);
      expect(JSON.parse(json)).toEqual({ text });
    });
  }
});

/** The policy of a page. */
function policyOf(html: string): string {
  return /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)![1]!;
}

function hashOf(text: string): string {
  return `'sha256-${new Bun.CryptoHasher("sha256").update(text).digest("base64")}'`;
}

/** The pictures that a page draws. */
function picturesOf(html: string): readonly Picture[] {
  const json = /<script type="application\/json" id="data">(.*)<\/script>/.exec(html)?.[1];
  return json === undefined ? [] : (JSON.parse(json) as { pictures: readonly Picture[] }).pictures;
}

/** What a page says, without tags. */
function textOf(html: string): string {
  const main = html.slice(html.indexOf("<header>"), html.indexOf("</main>"));
  return main.replace(/<[^>]*>/g, " ").replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code))
    .replace(/\s+/g, " ");
}

describe("the policy of a page", () => {
  const html = htmlReport([sampleStage()], ABOUT);

  test("lets its own sheet and scripts in by their hashes, and nothing else", () => {
    const [, style = ""] = /<style>([^]*?)<\/style>/.exec(html) ?? [];
    const [, library = ""] = /<script>([^]*?)<\/script>/.exec(html) ?? [];
    const [, script = ""] = /<script type="module">([^]*?)<\/script>/.exec(html) ?? [];
    expect(policyOf(html)).toBe(
      `default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(library)} ${
        hashOf(script)
      }; base-uri 'none'; form-action 'none'`,
    );
    expect(library).toContain("MIT License");
    expect(html.match(/<script/g)).toHaveLength(3);
  });

  test("needs no attribute that it forbids", () => {
    expect(html).not.toMatch(/ style="| on[a-z]+="/);
  });

  test("without a script nothing runs", () => {
    expect(policyOf(page({ title: "", header: "", main: "", sheet: "" }))).toContain(
      "script-src 'none'",
    );
  });
});

describe("htmlReport()", () => {
  const EVIL = "</script><!--<script>alert(1)\u2028过载 🔥";

  test("what a server says is text, wherever it stands", () => {
    const stage = sampleStage({
      load: EVIL,
      failure: (number) =>
        number % 2 === 0 ? { phase: "head", status: 503, text: `${EVIL}"'` } : undefined,
    });
    const html = htmlReport([stage, stage], { ...ABOUT, heading: EVIL, facts: [[EVIL, EVIL]] });
    expect(html.match(/<\/script/g)).toHaveLength(3);
    expect(html).not.toContain("<!--");
    expect(html).toContain("过载 🔥");
    expect(textOf(html)).toContain(EVIL.replace("\u2028", " "));
  });

  test("a text of a server has an end, and no secret", () => {
    const failure = () => ({
      phase: "head" as const,
      status: 401,
      text: `key k-1 ${"x".repeat(999)}`,
    });
    const clean = (text: string) => text.replaceAll("k-1", "***");
    const html = htmlReport([sampleStage({ failure })], { ...ABOUT, clean });
    expect(html).not.toContain("k-1");
    expect(html).toContain("key ***");
    expect(html).not.toContain("x".repeat(301));
  });

  test("begins with what failed", () => {
    const failure = (number: number) =>
      number < 50
        ? { phase: "body" as const, status: 200, text: "the stream has no end" }
        : undefined;
    const text = textOf(htmlReport([sampleStage({ failure })], ABOUT));
    expect(text).toContain("50 failed");
    const order = [
      "50 of 200 requests, 25 %",
      "What failed",
      "Figures",
      "Over time",
      "Distribution",
    ];
    const places = order.map((words) => text.indexOf(words));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  test("a run in which everything failed has no picture and no figure", () => {
    const failure = () => ({ phase: "connect" as const, text: "refused" });
    const html = htmlReport([sampleStage({ failure })], ABOUT);
    expect(picturesOf(html)).toEqual([]);
    expect(html).not.toContain("<figure");
    expect(policyOf(html)).toContain("script-src 'none'");
    expect(textOf(html)).toContain("100 %: there are no figures of the server.");
    expect(textOf(html)).not.toMatch(/first token, ms|NaN|undefined|Infinity/);
  });

  test("nothing at all", () => {
    for (const stages of [[], [sampleStage({ requests: 0 })]]) {
      const html = htmlReport(stages, ABOUT);
      expect(textOf(html)).toContain("No request was measured.");
      expect(textOf(html)).not.toMatch(/NaN|undefined|Infinity/);
      expect(picturesOf(html)).toEqual([]);
    }
  });

  test("answers in one piece have no gaps", () => {
    const html = htmlReport([sampleStage({ isWhole: true })], ABOUT);
    expect(picturesOf(html).map(({ id }) => id)).toEqual(["s1-time-e2e", "s1-spread-e2e"]);
    expect(textOf(html)).not.toMatch(/Between tokens|First token|NaN|undefined/);
  });

  test("several loads are drawn by the rate that came of them, and one after the other", () => {
    const stages = [8, 1].map((concurrency, at) =>
      sampleStage({ load: `${concurrency} at once`, facts: { measuredMs: 1000 + 4000 * at } })
    );
    const html = htmlReport(stages, { ...ABOUT, found: ["The highest rate: 40/s."] });
    const rate = picturesOf(html).find(({ id }) => id === "rate-ttft");
    expect(rate!.series.map(({ x }) => x)).toEqual([[40, 200], [40, 200]]);
    expect(picturesOf(html).map(({ id }) => id)).toContain("s2-spread-itl");
    const text = textOf(html);
    expect(text).toContain("Rate against latency");
    expect(text).toContain("The highest rate: 40/s.");
    expect(text).toContain("8 at once 200 answers/s, first token p50");
  });

  test("limits: whether they are kept, and where they lie", () => {
    const html = htmlReport([sampleStage({ slo: { ttft: 120 } })], ABOUT);
    expect(textOf(html)).toMatch(
      /missed \d+ % of all requests kept ttft 120 ms, 99 % are wanted/,
    );
    const time = picturesOf(html).find(({ id }) => id === "s1-time-ttft")!;
    expect(time.marks).toContainEqual({ axis: "y", at: 120, label: "limit" });
  });

  test("rounds follow each other", () => {
    const stage = sampleStage({ rounds: 3 });
    const html = htmlReport([stage], ABOUT);
    const [time] = picturesOf(html);
    expect(time!.marks.map(({ label }) => label)).toEqual(["round 2", "round 3"]);
    expect(time!.series[0]!.x).toHaveLength(600);
    const bounds = boundRows(stage.report.ttft_ms!);
    expect(bounds.map(([title, ...cells]) => [title!.trim(), cells.length])).toEqual([
      ["at least (95 %)", 5],
      ["at most (95 %)", 5],
    ]);
    for (const row of bounds) expect(textOf(html)).toContain(row.join(" ").trim());
  });

  test("a run that was broken off says so first", () => {
    const text = textOf(htmlReport([sampleStage({ facts: { isInterrupted: true } })], ABOUT));
    expect(text).toContain("broken off This is what there was until then.");
  });

  test("so does a load that was stopped since it ran away", () => {
    const text = textOf(htmlReport([sampleStage({ facts: { saturatedMs: 4500 } })], ABOUT));
    expect(text).toContain("stopped After 4.50 s: the server was saturated, and its queue grew.");
  });

  test("what is a fact of the client is no doubt", () => {
    const stage = sampleStage({ facts: { isInterrupted: false } });
    const doubt = {
      ...stage.report.doubt,
      is_doubtful: true,
      reasons: ["a <reason>"],
      ttft_parts_ms: { client: 1, network: 2, server: 97 },
    };
    const doubted = { ...stage, report: { ...stage.report, doubt } };
    const html = htmlReport([doubted, doubted], ABOUT);
    expect(html.match(/<span class="word void">doubt<\/span><span>a &#60;reason/g)).toHaveLength(2);
    expect(html).toContain('<p class="dim">Of 100 ms to the first token (p50) the client had');
    expect(html).toContain("; the limit was the ");
    expect(textOf(html)).toContain("doubt 2 of 2 loads to be doubted: each says why.");
  });

  test("of many requests a few thousand are drawn, the slowest of them", () => {
    const count = 100_000;
    const stage = sampleStage({
      requests: count,
      firstMs: (number) => number === 77_777 ? 9000 : 100,
    });
    const html = htmlReport([stage], ABOUT);
    expect(html.length).toBeLessThan(1_000_000);
    const time = picturesOf(html).find(({ id }) => id === "s1-time-ttft")!;
    const dots = time.series.find(({ shape }) => shape === "dots")!;
    expect(dots.x.length).toBeLessThan(9000);
    expect(Math.max(...dots.y)).toBe(9000);
    expect(textOf(html)).toMatch(
      /Each dot is a request: [\d ]+ of 100 000, drawn by chance/,
    );
  });

  test("requests that were due at the same time are all drawn", () => {
    const stage = sampleStage({ requests: 60 });
    const same = { ...stage, rounds: stage.rounds.flatMap((round) => [round]) };
    const dueAtOnce = sampleStage({ requests: 60, firstMs: () => 100 });
    for (const { rounds } of [same, dueAtOnce]) {
      const html = htmlReport([{ ...stage, rounds }], ABOUT);
      const xs = picturesOf(html)[0]!.series[0]!.x;
      expect(new Set(xs).size).toBe(60);
    }
  });

  test("single streams have their events, also when they come out of a file", () => {
    const stage = sampleStage({
      failure: (number) => number === 3 ? { phase: "head", status: 500, text: "<b>" } : undefined,
    });
    const run = { asked: {}, parts: { count: 1, have: [0] }, stages: [stage] };
    const again = readRunFile(JSON.stringify(runFileOf(run)))[0]!;
    for (const { stages } of [run, again]) {
      const text = textOf(htmlReport(stages, ABOUT));
      expect(text).toMatch(/fastest.* request \d+ · sent after 2\.00 ms · first token 1\d\d ms/);
      expect(text).toContain("longest pause 25.0 ms");
      expect(text).toContain("3 of 6 events with tokens");
      expect(text).toContain("failed head, status 500: <b>");
      expect(text).toContain("2.00 sent · ");
    }
  });
});

describe("compareHtml()", () => {
  test("shows both distributions, and what is no chance", () => {
    const [before, after] = [0, 30].map((moreMs) =>
      sampleStage({
        firstMs: (number) => 100 + (number % 40) + (number % 20 === 7 ? 20 * moreMs : moreMs),
      })
    );
    const comparisons = compareRows(before!.rounds[0]!.tally.rows, after!.rounds[0]!.tally.rows);
    const pair = {
      before: before!,
      after: after!,
      load: "<8> at once",
      failedShares: [0, 0.1] as const,
      comparisons,
      isDoubtful: true,
    };
    const html = compareHtml([pair, pair], ABOUT);
    expect(picturesOf(html)[0]!.series.map(({ label }) => label)).toEqual(["before", "after"]);
    const text = textOf(html);
    expect(text).toContain("slower <8> at once: First token: p50 +25.");
    expect(text).toContain("slower <8> at once: First token: the tail: p95 +");
    expect(text).toContain("failed <8> at once: 10 % of the requests failed, and 0 % before.");
    expect(text).toContain("below 0.1 %");
    const [{ p50, p99 }] = comparisons as [(typeof comparisons)[number]];
    for (const [at, label] of ["before", "after"].entries()) {
      const [half, most] = [p50, p99].map((pair) => shown(pair[at]!));
      expect(text).toContain(`${label}: half within ${half} ms, 99 % within ${most} ms`);
    }
    const unlike = compareHtml([pair], { ...ABOUT, found: ["a.json is part 1 of 2 of a load"] });
    expect(textOf(unlike)).toContain("unlike a.json is part 1 of 2 of a load");
    expect(html).not.toContain("<8>");
  });
});
