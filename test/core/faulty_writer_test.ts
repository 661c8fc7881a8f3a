import { afterEach, describe, expect, test } from "bun:test";
import type { EventEdit, FaultEdits } from "../../src/core/fault_plan.ts";
import { waitFor } from "../server/launch.ts";
import { dataEvent } from "../../src/core/dialect.ts";
import {
  ALL,
  type AnswerKind,
  type Ending,
  EVENTS,
  FaultRig,
  JSON_BODY,
  LARGE,
  LARGE_EVENT,
} from "./fault_rig.ts";
import { WRITE_TIMEOUT_MS } from "./hand_server.ts";

const [A, B, C, DONE] = EVENTS;
const STREAMS: readonly AnswerKind[] = ["paced", "live", "relay"];

let open: FaultRig | undefined;
afterEach(async () => {
  await open?.close();
  open = undefined;
});

async function rigOf(...args: ConstructorParameters<typeof FaultRig>): Promise<FaultRig> {
  const rig = open = new FaultRig(...args);
  await rig.ask();
  return rig;
}

function bytes(text: string, from: number, to?: number): string {
  return Buffer.from(text).subarray(from, to).toString("latin1");
}

/** Of a stream that says an event each 10 ms: what its client has at a time, and how it stands then. */
type Moment = readonly [ms: number, body: string, ending: Ending];

/** Fault → what happens; byte by byte, whatever kind of answer it is. */
const STREAMED: Readonly<Record<string, readonly Moment[]>> = {
  "cut": [[19, A, "open"], [20, A + B, "fin"]],
  "cut@event=0": [[10, "", "fin"]],
  "cut@event=3": [[30, A + B + C, "fin"]],
  "cut@event=4": [[40, ALL, "fin"]],
  "cut@event=5": [[40, ALL, "whole"]],
  "cut@byte=0": [[10, "", "fin"]],
  "cut@byte=30": [[20, Buffer.from(ALL).subarray(0, 30).toString(), "fin"]],
  "cut@ms=25": [[24, A + B, "open"], [25, A + B, "fin"]],
  "cut@ms=99": [[40, ALL, "whole"]],
  "cut-clean@event=3": [[30, A + B + C, "whole"]],
  "cut-clean@ms=15": [[15, A, "whole"]],
  "reset": [[20, A + B, "open"], [29, A + B, "open"], [30, A + B, "reset"]],
  "reset@byte=7": [[10, A.slice(0, 7), "open"], [20, A.slice(0, 7), "reset"]],
  "half-open;ms=100": [[20, A + B, "open"], [119, A + B, "open"], [120, A + B, "reset"]],
  "slow-first;ms=50": [[10, "", "open"], [59, "", "open"], [60, ALL, "whole"]],
  "slow-first;ms=25": [[34, "", "open"], [35, A + B + C, "open"], [40, ALL, "whole"]],
  "stall@event=2;ms=50": [[20, A + B, "open"], [69, A + B, "open"], [70, ALL, "whole"]],
  "stall@event=4;ms=50": [[40, ALL, "open"], [89, ALL, "open"], [90, ALL, "whole"]],
  "stall@byte=3;ms=5": [[10, A.slice(0, 3), "open"], [15, A, "open"], [40, ALL, "whole"]],
  "stall@ms=12;ms=10": [[21, A, "open"], [22, A + B, "open"], [40, ALL, "whole"]],
  "glue;events=3": [[29, "", "open"], [30, A + B + C, "open"], [40, ALL, "whole"]],
  "huge;bytes=100": [[40, A + B.replace("{", `{${" ".repeat(100)}`) + C + DONE, "whole"]],
  "huge@event=4": [[40, ALL, "whole"]],
  // What stands later takes what the earlier ones leave.
  "stall@event=1;ms=15, cut@event=3": [[24, A, "open"], [25, A + B, "open"], [
    30,
    A + B + C,
    "fin",
  ]],
  "stall@event=1;ms=5, stall@event=2;ms=15": [
    [10, A, "open"],
    [20, A + B, "open"],
    [34, A + B, "open"],
    [35, A + B + C, "open"],
    [40, ALL, "whole"],
  ],
  "trickle;bytes=10;ms=4": [
    [10, A.slice(0, 10), "open"],
    [14, A.slice(0, 20), "open"],
    [18, A, "open"],
    [22, A + B.slice(0, 10), "open"],
  ],
  "slow-close;ms=30;end=held": [[40, ALL, "open"], [69, ALL, "open"], [70, ALL, "whole"]],
};

/** What never comes to its place has not happened. */
const UNMET = new Set(["cut@event=5", "cut@ms=99", "huge@event=4"]);

for (const kind of STREAMS) {
  describe(`faults, ${kind}`, () => {
    for (const [faults, moments] of Object.entries(STREAMED)) {
      test(faults, async () => {
        const rig = await rigOf(kind, faults);
        for (const [ms, body, ending] of moments) {
          await rig.to(ms);
          await rig.expect(body, ending);
        }
        const names = faults.split(", ").map((fault) => /^[\w-]+/.exec(fault)![0]);
        expect(rig.met).toEqual(UNMET.has(faults) ? [] : [...new Set(names)]);
      });
    }

    test("hang with its head: nothing more, until the client leaves", async () => {
      const rig = await rigOf(kind, "hang;head=sent");
      await rig.to(100_000);
      await rig.expect("", "open");
      rig.client.reset();
      await waitFor(() => rig.hand.events.some(({ kind }) => kind === "exchange_ended"));
      expect(rig.hand.exchanges[0]!.outcome).toBe("client_left");
      expect(rig.met).toEqual(["hang"]);
    });

    test("refuse: a reset, and no byte", async () => {
      const rig = await rigOf(kind, "refuse");
      await rig.to(10);
      await rig.expect("", "reset");
      expect(rig.client.text).toBe("");
      expect(rig.met).toEqual(["refuse"]);
      expect(rig.hand.exchanges[0]!.status).toBe(0);
    });

    test("split: each write ends where readers go wrong", async () => {
      const rig = await rigOf(kind, "split;ms=1");
      await rig.to(80);
      await rig.expect(ALL, "whole");
      const middle = B.slice("data".length); // up to the first byte of 水, and from its second on
      const [before, after] = [bytes(middle, 0, 15), bytes(middle, 15, -1)];
      expect(rig.chunks.slice(3, 7)).toEqual(["da", `ta${before}`, after, "\n"]);
      expect(rig.met).toEqual(["split"]);
    });

    test("slow-close: all is said, HTTP's end with it, and the connection stays", async () => {
      const rig = await rigOf(kind, "slow-close;ms=50");
      await rig.to(89);
      await rig.expect(ALL, "whole");
      expect(rig.head).toContain("\r\nconnection: close");
      expect(rig.wire).toEndWith("\r\n0\r\n\r\n");
      expect(rig.client.hasFin).toBe(false);
      await rig.to(90);
      await rig.client.untilFin();
      expect(rig.met).toEqual(["slow-close"]);
    });

    test("close-idle: the connection closes when it is used again", async () => {
      const rig = await rigOf(kind, "close-idle");
      await rig.to(40);
      await rig.expect(ALL, "whole");
      expect([rig.client.hasFin, rig.met]).toEqual([false, []]);
      const { text } = rig.client;
      rig.client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      expect(await rig.client.untilFin()).toBe(text);
      expect(rig.met).toEqual(["close-idle"]);
      expect(rig.hand.exchanges[0]!.faultsMet).toEqual(["close-idle"]);
    });

    test("the source stops behind a cut, and is counted as completed", async () => {
      const rig = await rigOf(kind, "cut");
      await rig.to(20);
      await rig.expect(A + B, "fin");
      const [exchange] = rig.hand.exchanges;
      await waitFor(() => exchange!.outcome === "completed");
      expect(exchange!.bodyBytes).toBe(Buffer.byteLength(A + B));
      expect(rig.hand.engine.streams.size).toBe(0);
    });
  });
}

/** The body of an answer whose events are all due at once, framing and all. */
const AT_ONCE: Readonly<Record<string, readonly [wire: string, ending: Ending]>> = {
  "cut": [chunk(A + B), "fin"],
  "cut@share=0.5": [chunk(bytes(ALL, 0, Math.round(Buffer.byteLength(ALL) / 2))), "fin"],
  "cut@event=0": ["", "fin"],
  "cut-clean@event=1": [A, "whole"],
  "reset@event=1": [chunk(A), "reset"],
  "glue;events=2": [chunk(A + B) + chunk(C + DONE) + "0\r\n\r\n", "whole"],
  "length-lie": [ALL, "fin"],
  "length-lie;by=-9": [ALL, "fin"],
  "huge@event=1;bytes=3": [A.replace("{", "{   ") + B + C + DONE, "whole"],
};

function chunk(text: string): string {
  return `${Buffer.byteLength(text, latinOf(text)).toString(16)}\r\n${text}\r\n`;
}

/** What was cut out of bytes is one character for each. */
function latinOf(text: string): "latin1" | "utf8" {
  return text.includes("水") ? "utf8" : "latin1";
}

describe("what is held back", () => {
  test("is bounded: the source waits, as for a slow client, and goes on behind it", async () => {
    const rig = await rigOf("large relay", "stall@event=1;ms=500");
    await rig.to(400);
    await rig.expect(LARGE.slice(0, LARGE_EVENT), "open");
    // What has come of it waits here; the rest was not asked for.
    expect(rig.piecesRead).toBe(5);
    await rig.to(499);
    expect(rig.piecesRead).toBe(5);
    await rig.to(2000);
    await rig.expect(LARGE, "whole");
    expect(rig.hand.exchanges[0]!.outcome).toBe("completed");
  });

  test("is no reason to cut a client off as slow", async () => {
    const rig = await rigOf("large relay", `stall@event=1;ms=${2 * WRITE_TIMEOUT_MS}`);
    await rig.to(2 * WRITE_TIMEOUT_MS - 1);
    await rig.expect(LARGE.slice(0, LARGE_EVENT), "open");
    await rig.to(2 * WRITE_TIMEOUT_MS + 1000);
    await rig.expect(LARGE, "whole");
  });

  test("goes when its client leaves", async () => {
    const rig = await rigOf("large relay", "stall@event=1;ms=90000");
    await rig.to(400);
    rig.client.reset();
    await waitFor(() => rig.hand.exchanges[0]!.outcome === "client_left");
  });
});

describe("small writes of a large answer", () => {
  const SIZE = 1_000_000;

  test("are cut when they are due, a few in each turn, and end with their client", async () => {
    const rig = await rigOf("at once", `huge;bytes=${SIZE}, trickle;bytes=1;ms=0`);
    const lengths: number[] = [];
    for (const ms of [10, 20, 30]) {
      await rig.to(ms);
      await waitFor(() => rig.chunks.length >= 64 * ms, "what was due");
      lengths.push(rig.chunks.length);
    }
    expect(lengths).toEqual([64 * 11, 64 * 21, 64 * 31]);
    rig.client.reset();
    await waitFor(() => rig.hand.exchanges[0]!.outcome === "client_left");
    expect(rig.hand.engine.wheel.waiting).toBe(0);
  });

  test("of two faults wait for each other, and give the same in the end", async () => {
    const rig = await rigOf("at once", "huge;bytes=20000, trickle;bytes=1;ms=0, split;ms=0");
    await rig.to(1000);
    await rig.expect(ALL.replace(B, B.replace("{", `{${" ".repeat(20_000)}`)), "whole");
  });

  test("wait for a client that reads nothing, and give it up in the end", async () => {
    const rig = open = new FaultRig("at once", "huge;bytes=20000000, trickle;bytes=65536;ms=0");
    await rig.ask("GET", 0);
    await rig.to(200);
    await rig.to(WRITE_TIMEOUT_MS - 1);
    expect(rig.hand.exchanges[0]!.outcome).toBeUndefined();
    await rig.to(200 + 2 * WRITE_TIMEOUT_MS);
    await waitFor(() => rig.hand.exchanges[0]!.outcome === "timed_out");
    expect(rig.hand.exchanges[0]!.bodyBytes).toBeLessThan(20_000_000);
  });
});

test("what is glued is written when it is large, whatever number of events is wanted", async () => {
  const rig = await rigOf("paced", "huge;bytes=1048576, glue;events=60000");
  await rig.to(20);
  await waitFor(() => rig.chunks.length === 1, "the large event");
  expect(rig.chunks[0]).toStartWith(A);
});

describe("faults, at once", () => {
  for (const [faults, [wire, ending]] of Object.entries(AT_ONCE)) {
    test(faults, async () => {
      const rig = await rigOf("at once", faults);
      await rig.to(10);
      const wanted = latinOf(wire) === "utf8" ? Buffer.from(wire).toString("latin1") : wire;
      await waitFor(() => rig.wire === wanted && rig.client.text !== "", `${wanted}|${rig.wire}`);
      if (ending === "fin") await rig.client.untilFin();
      if (ending === "reset") await waitFor(() => rig.client.isReset);
      expect(rig.wire).toBe(wanted);
      expect(rig.met).toEqual([/^[\w-]+/.exec(faults)![0]]);
      const length = Number(/content-length: (\d+)/.exec(rig.head)?.[1] ?? NaN);
      const lie = /^length-lie(?:;by=(.*))?/.exec(faults);
      if (lie) expect(length).toBe(Buffer.byteLength(ALL) + Number(lie[1] ?? 10));
    });
  }

  test("half-open: nothing is read any more, and the rest is never written", async () => {
    const rig = await rigOf("at once", "half-open@event=1;ms=500");
    await rig.expect(A, "open");
    rig.client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    rig.client.finish();
    await rig.to(499);
    await rig.expect(A, "open");
    expect(rig.hand.exchanges.length).toBe(1);
    expect(rig.hand.engine.streams.size).toBe(1);
    await rig.to(500);
    await rig.expect(A, "reset");
    expect(rig.hand.exchanges[0]!.outcome).toBe("completed");
  });
});

const JSON_BYTES = Buffer.byteLength(JSON_BODY);
const HALF = bytes(JSON_BODY, 0, Math.round(JSON_BYTES / 2));

/** An answer in one piece: its told length, what comes of it, and how it ends. */
const IN_ONE: Readonly<Record<string, readonly [length: number, body: string, ending: Ending]>> = {
  "cut": [JSON_BYTES, HALF, "fin"],
  "cut@byte=3": [JSON_BYTES, JSON_BODY.slice(0, 3), "fin"],
  "cut@byte=0": [JSON_BYTES, "", "fin"],
  "cut-clean": [HALF.length, HALF, "whole"],
  "cut-clean@byte=4": [4, JSON_BODY.slice(0, 4), "whole"],
  "cut-clean@byte=4, stall@byte=2;ms=0": [4, JSON_BODY.slice(0, 4), "whole"],
  "reset@byte=5": [JSON_BYTES, JSON_BODY.slice(0, 5), "reset"],
  "stall@byte=5;ms=10": [JSON_BYTES, bytes(JSON_BODY, 0), "whole"],
  "slow-first;ms=10": [JSON_BYTES, bytes(JSON_BODY, 0), "whole"],
  "trickle;bytes=7;ms=3": [JSON_BYTES, bytes(JSON_BODY, 0), "whole"],
  "split": [JSON_BYTES, bytes(JSON_BODY, 0), "whole"],
  "length-lie;by=4": [JSON_BYTES + 4, bytes(JSON_BODY, 0), "fin"],
  "length-lie;by=-4": [JSON_BYTES - 4, bytes(JSON_BODY, 0), "fin"],
  "huge;bytes=5": [JSON_BYTES + 5, bytes(JSON_BODY.replace("{", "{     "), 0), "whole"],
  "slow-close;ms=9;end=held": [JSON_BYTES, bytes(JSON_BODY, 0), "whole"],
};

for (const kind of ["json", "relayed json"] as const) {
  describe(`faults, ${kind}`, () => {
    for (const [faults, [length, body, ending]] of Object.entries(IN_ONE)) {
      test(faults, async () => {
        const rig = await rigOf(kind, faults);
        await rig.to(50);
        await waitFor(() => rig.wire === body && rig.client.text !== "", `${body}|${rig.wire}`);
        if (ending === "fin") await rig.client.untilFin();
        if (ending === "reset") await waitFor(() => rig.client.isReset);
        expect(rig.head).toContain(`\r\ncontent-length: ${length}`);
        expect(rig.wire).toBe(body);
        expect(rig.met).toContain(/^[\w-]+/.exec(faults)![0]);
      });
    }

    for (const faults of ["cut@share=1", "cut-clean@byte=99"]) {
      test(`${faults} is behind all of it: whole, and nothing has happened`, async () => {
        const rig = await rigOf(kind, faults);
        await rig.expect(JSON_BODY, "whole");
        expect(rig.met).toEqual([]);
      });
    }

    test("stall@byte=5;ms=10 is silent for as long", async () => {
      const rig = await rigOf(kind, "stall@byte=5;ms=10");
      await rig.to(9);
      await rig.expect(JSON_BODY.slice(0, 5), "open");
      await rig.to(10);
      await rig.expect(JSON_BODY, "whole");
    });

    for (const faults of ["cut@event=1", "glue", "malformed", "cut-clean@ms=3"]) {
      test(`${faults} cannot be: 400, and nothing has happened`, async () => {
        const rig = await rigOf(kind, faults);
        await rig.client.until("This answer cannot have the fault");
        expect(rig.head).toStartWith("http/1.1 400");
        expect(rig.met).toEqual([]);
      });
    }
  });
}

describe("faults that an answer cannot have", () => {
  const cases: readonly (readonly [AnswerKind, string])[] = [
    ["live", "cut@share=0.5"],
    ["relay", "stall@share=0.5"],
    ["relay", "length-lie"],
    ["paced", "malformed"],
  ];
  for (const [kind, faults] of cases) {
    test(`${kind}: ${faults}`, async () => {
      const rig = await rigOf(kind, faults);
      await rig.client.until("This answer cannot have the fault");
      expect(rig.head).toStartWith("http/1.1 400");
      expect(rig.hand.exchanges[0]!.error?.code).toBe("fault_impossible");
      expect(rig.met).toEqual([]);
    });
  }

  test("of a paced stream a share is known", async () => {
    const rig = await rigOf("paced", "cut@share=0.25");
    await rig.to(40);
    await rig.expect(
      Buffer.from(ALL).subarray(0, Math.round(Buffer.byteLength(ALL) / 4)).toString(),
      "fin",
    );
  });
});

/** Says the event of its place twice, and a word behind all. */
class Twice implements EventEdit {
  hasHappened = false;
  readonly isOver = false;

  event(event: string, isHere: boolean): string {
    this.hasHappened ||= isHere;
    return isHere ? event + event : event;
  }

  end(): string {
    return dataEvent("behind");
  }
}

/** Ends lines with CR. */
class CarriageReturns implements EventEdit {
  hasHappened = false;
  readonly isOver = false;

  event(event: string): string {
    this.hasHappened = true;
    return event.replaceAll("\n", "\r");
  }

  end(): string {
    return "";
  }
}

/** Ends the stream at its place. */
class Stopper extends Twice {
  override isOver = false as never;

  override event(event: string, isHere: boolean): string {
    Object.assign(this, { isOver: isHere, hasHappened: isHere });
    return event;
  }
}

const EDITS: FaultEdits = {
  dup: { stream: () => new Twice() },
  filter: { stream: () => new Stopper() },
  malformed: { whole: (body) => body.slice(1), stream: () => new Twice() },
};

describe("edits by dialect", () => {
  for (const kind of ["at once", ...STREAMS] as const) {
    const cases: readonly (readonly [faults: string, body: string, ending: Ending])[] = [
      ["dup", A + B + B + C + DONE + dataEvent("behind"), "whole"],
      ["dup@event=1", A + A + B + C + DONE + dataEvent("behind"), "whole"],
      ["dup@byte=40", A + B + B + C + DONE + dataEvent("behind"), "whole"],
      ["dup, cut@event=3", A + B + B, "fin"],
      ["filter@event=3", A + B + C, "whole"],
    ];
    for (const [faults, body, ending] of cases) {
      test(`${kind}: ${faults}`, async () => {
        const rig = await rigOf(kind, faults, EDITS);
        await rig.to(40);
        await rig.expect(body, ending);
        expect(rig.met).toContain(faults.match(/^\w+/)![0]);
      });
    }
  }

  test("split: an empty line of two CRs has a border between them", async () => {
    const rig = await rigOf("at once", "framing, split;ms=0", {
      framing: { stream: () => new CarriageReturns() },
    });
    await rig.to(20);
    await rig.expect(ALL.replaceAll("\n", "\r"), "whole");
    for (const chunk of rig.chunks) expect(chunk).not.toContain("\r\r");
  });

  test("what doubles an event doubles it before it is made huge", async () => {
    const rig = await rigOf("at once", "huge@event=3;bytes=9, dup", EDITS);
    const huge = B.replace("{", `{${" ".repeat(9)}`);
    await rig.expect(A + B + huge + C + DONE + dataEvent("behind"), "whole");
  });

  test("an event in many small pieces of an upstream is one event", async () => {
    const rig = await rigOf("relay", "dup@event=9", EDITS);
    await rig.to(40);
    await rig.expect(ALL + dataEvent("behind"), "whole");
    expect(rig.met).toEqual([]);
  });

  test("of an answer in one piece", async () => {
    const rig = await rigOf("json", "malformed", EDITS);
    await rig.expect(JSON_BODY.slice(1), "whole");
    expect(rig.met).toEqual(["malformed"]);
  });
});
