import { describe, expect, test } from "bun:test";
import { mergedFinding, type MergedRound } from "../../../src/load/audit/checks/coalescing.ts";
import { latenessFinding, type PacedRound } from "../../../src/load/audit/checks/events.ts";
import { firstByteFindings, type Sample } from "../../../src/load/audit/checks/first_byte.ts";
import { judgeRaces } from "../../../src/load/audit/checks/keep_alive.ts";
import {
  judgeOverload,
  type Outcome,
  type OverloadMeasured,
  type OverloadWindow,
} from "../../../src/load/audit/checks/overload_verdict.ts";
import type { Timed } from "../../../src/load/audit/checks/paced.ts";
import { compareEvents } from "../../../src/load/audit/comparison.ts";
import type { Verdict } from "../../../src/load/audit/finding.ts";

const EVENTS = 400;
/** Calm and busy machines. */
const CALM = { isBusy: false, stalls: 0 };
const BUSY = { isBusy: true, stalls: 0 };

/** A stream whose event `sequence` is so many milliseconds late. */
function paced(lateMs: (sequence: number) => number, machine = CALM): PacedRound {
  const events: Timed[] = Array.from({ length: EVENTS }, (_, i) => {
    const writtenMs = 3 * i;
    return { sequence: i + 1, writtenMs, readMs: writtenMs + lateMs(i + 1), read: i };
  });
  return { events, calm: events, ...machine };
}

const prompt = () => 0.1;
/** One hole of 20 ms, as when a scheduler takes the gateway's processor away. */
const hole = (sequence: number) => Math.max(0.1, 20.7 - 3 * Math.abs(sequence - 142));
const often = (sequence: number) => sequence % 20 === 0 ? 4 : 0.1;

describe("event-lateness is", () => {
  const CASES: readonly (readonly [string, Verdict, readonly PacedRound[]])[] = [
    ["a pass for one hole in one round", "pass", [paced(hole), paced(prompt), paced(prompt)]],
    ["no failure for a hole in every round", "void", [paced(hole), paced(hole), paced(hole)]],
    ["a failure for every twentieth event", "fail", [paced(often), paced(prompt), paced(often)]],
    ["void for the same on a busy machine", "void", [
      paced(often, BUSY),
      paced(prompt, BUSY),
      paced(often, BUSY),
    ]],
    ["a failure for each event, however busy the machine", "fail", [
      paced(() => 5, BUSY),
      paced(() => 5, BUSY),
      paced(() => 5, BUSY),
    ]],
    ["a failure for a drift", "fail", [
      paced((sequence) => 0.1 + sequence * 0.004),
      paced((sequence) => 0.1 + sequence * 0.004),
      paced((sequence) => 0.1 + sequence * 0.004),
    ]],
  ];
  for (const [name, verdict, through] of CASES) {
    test(name, () => {
      const direct = [paced(prompt), paced(prompt), paced(prompt)];
      expect(latenessFinding({ direct, through })).toMatchObject({ verdict });
    });
  }
});

/** A stream of 40 reads, so many of which hold two events. */
function merged(count: number, machine = CALM): MergedRound {
  const group = [0, 20].map((writtenMs, i) => ({ sequence: i, writtenMs, readMs: 21, read: 0 }));
  return { reads: 40 - count, merged: Array(count).fill(group), excused: 0, ...machine };
}

describe("coalescing is", () => {
  const CASES: readonly (readonly [string, Verdict, readonly MergedRound[]])[] = [
    ["a pass for none", "pass", [merged(0), merged(0), merged(0)]],
    ["void for a round with holes", "void", [merged(7), merged(0), merged(0)]],
    ["void on a busy machine", "void", [merged(4, BUSY), merged(4, BUSY), merged(4, BUSY)]],
    ["a failure for some in most rounds", "fail", [merged(4), merged(0), merged(3)]],
    ["a failure for all, however busy the machine", "fail", [
      merged(20, BUSY),
      merged(20, BUSY),
      merged(20, BUSY),
    ]],
  ];
  for (const [name, verdict, through] of CASES) {
    test(name, () => {
      const direct = [merged(0), merged(0), merged(0)];
      expect(mergedFinding({ direct, through })).toMatchObject({ verdict });
    });
  }
});

/** A hundred answers, each so late, on eight connections. */
function answers(downMs: number, upMs: number, isDisturbed = false): readonly Sample[] {
  return Array.from({ length: 100 }, (_, i) => ({
    downMs,
    upMs,
    endMs: 0.1,
    jsonMs: 0.1,
    connection: i % 8,
    isDisturbed,
    lines: ["a line"],
  }));
}

/** The same, but for those on some of the connections. */
function but(
  samples: readonly Sample[],
  changes: Partial<Sample>,
  isChanged: (sample: Sample, i: number) => boolean,
): readonly Sample[] {
  return samples.map((sample, i) => isChanged(sample, i) ? { ...sample, ...changes } : sample);
}

describe("first-byte says of", () => {
  const direct = answers(0.1, 0.1);
  const CASES = [
    [
      "a prompt one",
      answers(0.3, 0.3),
      false,
      "pass",
      "pass",
      /^p50 0\.20 ms, p99 0\.20 ms of 100/,
    ],
    ["a slow way up", answers(0.3, 30), true, "pass", "fail", /^p50 0\.20 ms/],
    ["a way up that is worth a word", answers(0.3, 2), false, "pass", "note", /^p50/],
    [
      "a held event, with the machine late in each",
      answers(26, 0.3, true),
      true,
      "fail",
      "void",
      /^p50 25\.9 ms, p99 25\.9 ms of 100 answers; 25\.9 ms or more in each$/,
    ],
    [
      "a machine that was late in each",
      answers(0.3, 0.3, true),
      true,
      "void",
      "void",
      /^p50 0\.20 ms, .* in 100 of which the machine itself was late$/,
    ],
    [
      "half of a busy machine's",
      [...answers(3, 0.3), ...answers(0.2, 0.3).slice(0, 20)],
      true,
      "void",
      "pass",
      /other work waited/,
    ],
    [
      "half of a calm machine's",
      [...answers(3, 0.3), ...answers(0.2, 0.3).slice(0, 20)],
      false,
      "fail",
      "pass",
      /^p50 2\.90/,
    ],
  ] as const;
  for (const [name, through, isBusy, down, up, says] of CASES) {
    test(name, () => {
      const measured = { samples: { direct, through }, isBusy };
      const [found, wayUp, ...others] = firstByteFindings(measured);
      expect([found!.verdict, wayUp!.verdict]).toEqual([down, up]);
      expect(found!.measured).toMatch(says);
      const isThin = through.every(({ isDisturbed }) => isDisturbed);
      expect(others.map(({ verdict }) => verdict)).toEqual(
        isThin ? ["void", "void"] : ["pass", "pass"],
      );
    });
  }

  const honest = answers(0.3, 0.3);
  const late = { downMs: 30, upMs: 30, endMs: 30, jsonMs: 30 };
  const SLOW = [
    ["one slow connection of eight", ({ connection }: Sample) => connection === 2, /on 1 of 8/],
    ["every second connection", ({ connection }: Sample) => connection % 2 === 0, /on 4 of 8/],
  ] as const;
  for (const [name, isSlow, says] of SLOW) {
    for (const isBusy of [false, true]) {
      test(`${name} that it fails, ${isBusy ? "while others have the processors" : "calm"}`, () => {
        const through = but(honest, late, isSlow);
        const found = firstByteFindings({ samples: { direct, through }, isBusy });
        expect(found.map(({ verdict }) => verdict)).toEqual(["fail", "fail", "fail", "fail"]);
        for (const { measured } of found) expect(measured).toMatch(says);
      });
    }
  }

  test("answers that a machine makes late here and there no failure", () => {
    const through = but(honest, late, (_, i) => i % 3 === 0);
    const found = firstByteFindings({ samples: { direct, through }, isBusy: true });
    expect(found.map(({ verdict }) => verdict)).toEqual(["void", "pass", "void", "pass"]);
  });
});

describe("a race against a closing upstream is", () => {
  const CASES = [
    ["lost by a 502", { failed: 1, closed: 0 }, 0, false, "fail"],
    ["lost by hanging up", { failed: 0, closed: 37 }, 4, false, "fail"],
    ["no loss of a relay's", { failed: 0, closed: 37 }, 4, true, "pass"],
    [
      "no loss where a client without the gateway sees it too",
      { failed: 0, closed: 4 },
      4,
      false,
      "pass",
    ],
    ["void a little above that", { failed: 0, closed: 6 }, 4, false, "void"],
    ["won", { failed: 0, closed: 0 }, 4, false, "pass"],
  ] as const;
  for (const [name, counts, direct, isRelay, verdict] of CASES) {
    test(name, () => {
      const through = { races: 66, ...counts };
      const without = { races: 66, failed: 0, closed: direct };
      expect(judgeRaces(through, without, isRelay)).toMatchObject({ verdict });
    });
  }
});

const NONE: Readonly<Record<Outcome, number>> = {
  good: 0,
  late: 0,
  refused: 0,
  error: 0,
  cut: 0,
  reset: 0,
  timeout: 0,
  closed: 0,
};

function openLoop(
  outcomes: Partial<Record<Outcome, number>>,
  rest: Partial<OverloadWindow> = {},
): OverloadWindow {
  const { good = 0 } = outcomes;
  return {
    goodput: good / 2.5,
    outcomes: { ...NONE, ...outcomes },
    unsent: 0,
    tookMs: [100],
    lagMs: [1],
    pressure: 0.2,
    ...rest,
  };
}

describe("overload is", () => {
  const usual: OverloadMeasured = {
    rounds: [400, 390],
    afterwards: 400,
    own: 4000,
    connections: 400,
    openingText: "",
    windows: [],
  };
  const late = openLoop({ good: 300, late: 1500 });
  const CASES: readonly (readonly [string, Verdict, Partial<OverloadMeasured>, RegExp])[] = [
    ["a pass, although the audit could not send all", "pass", {
      windows: [openLoop({ good: 1000 }, { unsent: 900 })],
    }, /of 1000 sent 1000 answered in time; 900 not sent, as no connection was free/],
    ["a pass with refusals", "pass", {
      windows: [openLoop({ good: 1000, refused: 900 })],
    }, /900 refused with 429 or 503/],
    [
      "told where a third is cut off",
      "note",
      {
        windows: [openLoop({ good: 1000, cut: 300, timeout: 200, error: 4 })],
      },
      /1000 answered in time, 4 answered with another status, 300 cut off, 200 not answered in 5 s/,
    ],
    [
      "a failure in both windows",
      "fail",
      { windows: [late, late] },
      /^120 of 395 .* 1500 answered later/,
    ],
    ["told where it is slower with many at once, and nobody waits", "note", {
      windows: [openLoop({ good: 700 }, { unsent: 1200 })],
    }, /^280 of 395 requests\/s \(71 %\)/],
    ["void where others have the processors", "void", {
      windows: [openLoop({ good: 300 }, { pressure: 0.9 })],
    }, /waited for a processor in 90 %/],
    ["void where the audit is late itself", "void", {
      windows: [openLoop({ good: 300 }, { lagMs: [80] })],
    }, /audit itself was too late/],
    ["void where the machine got slower", "void", {
      windows: [late],
      afterwards: 150,
    }, /got slower meanwhile, 150/],
    ["void where it got slower, however much of what is left was kept", "void", {
      windows: [openLoop({ good: 650, late: 900 })],
      afterwards: 220,
    }, /got slower meanwhile, 220/],
    ["void where some are lost, while others have the processors", "void", {
      windows: [openLoop({ good: 1000, late: 300 }, { pressure: 0.95 })],
    }, /waited for a processor in 95 %/],
    ["a pass of all, while others have the processors", "pass", {
      windows: [openLoop({ good: 1000 }, { pressure: 0.95 })],
    }, /^400 of 395/],
    ["void where it got faster", "void", {
      windows: [openLoop({ good: 1000 })],
      afterwards: 3000,
    }, /got faster meanwhile/],
    ["a failure where nothing is left", "fail", { windows: [late], afterwards: 0 }, /^120 of 395/],
    ["not tried while its capacity changes", "void", { rounds: [896, 8556] }, /896, 8556 requests/],
    ["not tried where nothing is answered", "void", { rounds: [0, 0] }, /no request was answered/],
    [
      "not tried where the audit is no faster",
      "note",
      { own: 800 },
      /cannot ask for twice as many/,
    ],
  ];
  for (const [name, verdict, changes, says] of CASES) {
    test(name, () => {
      const found = judgeOverload({ ...usual, ...changes });
      expect(found.verdict).toBe(verdict);
      expect(found.measured).toMatch(says);
    });
  }
});

describe("compareEvents() says of", () => {
  const mark = "wa-0000000000000000";
  const data = `data: {"model":"audit","n":"${mark}.1"}\n\n`;
  const piece = (text: string) => `data: ${JSON.stringify({ piece: text })}\n\n`;
  const CASES = [
    ["a comment more", data, `: hello\n\n${data}`, "note", "1 comment added"],
    ["comments less", `: a\n\n:\n${data}`, data, "note", "2 comments swallowed"],
    [
      "another type of event",
      `event: ping\n${data}`,
      data,
      "fail",
      "1 event changed: event: message instead of ping",
    ],
    [
      "the type that it has without one",
      `event: message\n${data}`,
      data,
      "note",
      "the same events in other lines",
    ],
    [
      "an id that is gone",
      `id: 7\n${data}`,
      data,
      "note",
      "1 event written anew: id: none instead of 7, so that Last-Event-ID is another",
    ],
    [
      "a changed text among those without a number",
      piece(" a") + piece("b"),
      piece("a") + piece("b"),
      "fail",
      '1 event changed: piece: "a" instead of " a"',
    ],
    ["one of two equal events", piece("a") + piece("a"), piece("a"), "fail", "1 of 2 events lost"],
    ["an event twice", piece("a"), piece("a") + piece("a"), "fail", "1 event doubled"],
    [
      "an event that is spelt otherwise",
      piece("a") + data,
      piece("a").replace(":", ": ") + data,
      "note",
      "1 event written anew: its values are the same, its JSON is spelt otherwise",
    ],
    ["an event more", data, data + piece("a"), "fail", "1 event that nobody wrote"],
    ["nothing", data, "", "fail", "1 of 1 event lost"],
  ] as const;
  for (const [name, sent, got, kind, text] of CASES) {
    test(name, () => {
      const result = compareEvents(Buffer.from(sent), Buffer.from(got), mark);
      expect([result.kind, result.texts.join("; ")]).toEqual([kind, text]);
    });
  }

  const alias = (text: string) => text.replace("audit", "alias");
  test("another name of the model that it is no change of its own", () => {
    const result = compareEvents(Buffer.from(data + data), Buffer.from(alias(data) + data), mark);
    expect(result).toMatchObject({
      kind: "pass",
      texts: [],
      renamed: 'model: "alias" instead of "audit"',
    });
  });
});
