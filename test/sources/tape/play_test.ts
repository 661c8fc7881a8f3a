import { describe, expect, test } from "bun:test";
import type { Ending } from "../../../src/core/answer.ts";
import type { AppError } from "../../../src/core/errors.ts";
import { StreamEnd } from "../../../src/lib/sse_tail.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import type { Tape, TapeEnd } from "../../../src/sources/tape/format.ts";
import { layTape } from "../../../src/sources/tape/laid.ts";
import { isAtOnce, TimedTape, WholeTape } from "../../../src/sources/tape/play.ts";
import { readsOf, toldTape } from "./told_tape.ts";

const IDLE_MS = 5000;

/** A tape's answer, and time that is moved by hand. */
class Hand {
  nowMs = 1000;
  readonly wheel = new Wheel(() => this.nowMs, () => {});
  readonly late: number[] = [];
  /** What came: [milliseconds after the request, the bytes]. */
  readonly pieces: (readonly [ms: number, text: string])[] = [];
  end: readonly [ms: number, Exclude<Ending, "hold">, AppError | undefined] | undefined;
  readonly body: TimedTape;

  constructor(tape: Tape, speed = 1, isFresh = false) {
    this.body = new TimedTape(layTape(tape, isFresh), 1000, {
      speed,
      idleTimeoutMs: IDLE_MS,
      wheel: this.wheel,
      wallMs: () => 1_800_000_000_000,
      randomBytes: (target) => void target.fill(1),
      recordLateness: (ms) => void this.late.push(ms),
    });
  }

  flow(): void {
    this.body.flow({
      onPiece: (bytes) =>
        void this.pieces.push([this.nowMs - 1000, Buffer.from(bytes).toString("latin1")]),
      onEnd: (ending, error) => {
        this.end = [this.nowMs - 1000, ending, error];
      },
    });
  }

  /** Time goes on, tick by tick. */
  runTo(ms: number): void {
    for (; this.nowMs < 1000 + ms; this.nowMs++) this.wheel.turn();
    this.wheel.turn();
  }
}

function tapeOf(
  pieces: readonly (readonly [ms: number, text: string])[],
  how: TapeEnd = "whole",
  endMs = pieces.at(-1)?.[0] ?? 0,
): Tape {
  return toldTape(1, {
    reads: readsOf(pieces),
    ending: { how, atUs: endMs * 1000, error: how === "whole" ? "" : "as it was told" },
    response: { ...toldTape(1).response!, atUs: (pieces[0]?.[0] ?? 0) * 1000 },
  });
}

const PIECES = [[10, "ab\xe6"], [10, "\xb0"], [250, "\xb4c"], [4000, "d"]] as const;
const BYTES = PIECES.map(([ms, text]) => [ms, Buffer.from(text).toString("latin1")] as const);

describe("TimedTape", () => {
  for (const speed of [1, 2, 0.5]) {
    test(`gives the same pieces at the same times, ${speed} times as fast`, () => {
      const hand = new Hand(tapeOf(PIECES, "whole", 4200), speed);
      expect(hand.body.whole()).toBeUndefined();
      hand.flow();
      hand.runTo(10_000);
      expect(hand.pieces).toEqual(BYTES.map(([ms, text]) => [ms / speed, text]));
      expect(hand.end).toEqual([4200 / speed, "end", undefined]);
      expect(hand.late).toEqual([0, 0, 0, 0]);
    });
  }

  test("gives what came with the head in one piece", () => {
    const hand = new Hand(tapeOf([[10, "ab"], [10, "c"]]));
    hand.nowMs += 10;
    expect(Buffer.from(hand.body.whole()!).toString()).toBe("abc");
  });

  test("knows how late it is, and not how late a slow client is", () => {
    const hand = new Hand(tapeOf([[10, "a"], [20, "b"], [30, "c"]]));
    hand.flow();
    hand.nowMs += 13;
    hand.wheel.turn();
    expect(hand.late).toEqual([3]);
    hand.body.pause();
    hand.runTo(500);
    expect(hand.pieces).toHaveLength(1);
    hand.body.resume();
    expect(hand.pieces.map(([, text]) => text)).toEqual(["a", "b", "c"]);
    expect(hand.late).toEqual([3]);
    expect(hand.end?.[1]).toBe("end");
  });

  const ENDS: readonly (readonly [TapeEnd, atMs: number, code: string])[] = [
    ["upstream_broke", 700, "upstream_broken"],
    ["timed_out", 700, "upstream_timeout"],
    ["client_left", 700 + IDLE_MS, "upstream_timeout"],
  ];
  for (const [how, atMs, code] of ENDS) {
    test(`ends as it ended: ${how}`, () => {
      const hand = new Hand(tapeOf([[10, "a"]], how, 700));
      hand.flow();
      hand.runTo(20_000);
      expect(hand.pieces).toEqual([[10, "a"]]);
      const [ms, ending, error] = hand.end!;
      expect([ms, ending, error!.code]).toEqual([atMs, "fin", code as AppError["code"]]);
      if (how === "timed_out") expect(error!.message).toBe("as it was told");
    });
  }

  test("tells nothing any more once it is cancelled", () => {
    const hand = new Hand(tapeOf([[10, "a"], [20, "b"]]));
    hand.flow();
    hand.runTo(10);
    hand.body.cancel();
    hand.runTo(100);
    expect(hand.pieces).toHaveLength(1);
    expect(hand.end).toBeUndefined();
    expect(hand.wheel.waiting).toBe(0);
  });

  test("renews ids in pieces that answers share, each its own", () => {
    const id = '{"id":"chatcmpl-abcdefgh"}';
    const hand = new Hand(tapeOf([[10, id], [20, id]]), 1, true);
    hand.flow();
    hand.runTo(100);
    expect(hand.pieces.map(([, text]) => text)).toEqual(
      [0, 1].map(() => id.replace("abcdefgh", "BBBBBBBB")),
    );
  });
});

describe("WholeTape", () => {
  const options = {
    speed: 0,
    idleTimeoutMs: IDLE_MS,
    wheel: new Wheel(() => 0, () => {}),
    wallMs: () => 0,
    randomBytes: () => {},
    recordLateness: () => {},
  };

  test("is for what is due at once, and whole", () => {
    const laid = (tape: Tape) => layTape(tape, false);
    expect(isAtOnce(laid(tapeOf(PIECES)), 0)).toBe(true);
    expect(isAtOnce(laid(tapeOf(PIECES)), 1)).toBe(false);
    expect(isAtOnce(laid(tapeOf(PIECES, "upstream_broke")), 0)).toBe(false);
    const { response } = tapeOf(PIECES);
    const open = { ...tapeOf(PIECES), response: { ...response!, isUntilClose: true } };
    expect(isAtOnce(laid(open), 0)).toBe(false);
  });

  test("gives all of it each time, as one piece or to a sink", () => {
    const whole = new WholeTape(
      layTape(tapeOf([[1, "a"], [2, "data: [DONE]\n\n"]]), false),
      options,
    );
    const pieces: string[] = [];
    const ends: string[] = [];
    for (let i = 0; i < 2; i++) {
      expect(Buffer.from(whole.whole()).toString()).toBe("adata: [DONE]\n\n");
      whole.flow({
        onPiece: (bytes) => void pieces.push(Buffer.from(bytes).toString()),
        onEnd: (ending) => void ends.push(ending),
      });
    }
    expect(pieces).toHaveLength(2);
    expect(ends).toEqual(["end", "end"]);
    expect(whole.tail(StreamEnd.DONE).isDone).toBe(false);
    expect(whole.tail(StreamEnd.UNKNOWN).isUnfinished).toBe(false);
  });
});
