import { describe, expect, test } from "bun:test";
import { MadeBody } from "../../../src/sources/endpoints/made_body.ts";
import { Wheel } from "../../../src/lib/wheel.ts";

/** A body of `pieces`, each of which takes a millisecond to make, and what came of it. */
function rig(pieces: readonly string[]) {
  let nowMs = 0;
  let wake: (() => void) | undefined;
  const wheel = new Wheel(() => nowMs, (_delayMs, run) => void (wake = run));
  const made: string[] = [];
  const came: string[] = [];
  function* making() {
    for (const piece of pieces) {
      nowMs++;
      made.push(piece);
      yield piece;
    }
  }
  const body = new MadeBody(making(), wheel);
  const sink = {
    onPiece(bytes: Uint8Array): void {
      came.push(Buffer.from(bytes).toString());
    },
    onEnd: (ending: string) => void came.push(`<${ending}>`),
  };
  /** Lets the event loop come round once; false = nobody waits for it. */
  const turn = () => {
    const run = wake;
    wake = undefined;
    nowMs += 2;
    run?.();
    return run !== undefined;
  };
  return { body, sink, made, came, turn };
}

const PIECES = Array.from({ length: 20 }, (_, i) => `piece ${i} 你好`);

describe("MadeBody", () => {
  test("makes its pieces in slices, and gives all of them in order", () => {
    const { body, sink, made, came, turn } = rig(PIECES);
    expect(body.whole()).toBeUndefined();
    body.flow(sink);
    expect(made.length).toBeGreaterThan(0);
    expect(made.length).toBeLessThan(8);
    while (turn());
    expect(came).toEqual([...PIECES, "<end>"]);
  });

  test("makes nothing while its sink is busy, nor behind its end", () => {
    const { body, sink, made, came, turn } = rig(PIECES);
    body.flow({
      ...sink,
      onPiece(bytes: Uint8Array) {
        sink.onPiece(bytes);
        body.pause();
      },
    });
    expect(made.length).toBe(1);
    expect(turn()).toBe(false);
    for (let i = 2; i <= PIECES.length; i++) {
      body.resume();
      turn();
      expect(made.length).toBe(i);
    }
    body.resume();
    turn();
    expect(came.at(-1)).toBe("<end>");
    body.resume();
    expect(turn()).toBe(false);
  });

  test("makes nothing for nobody", () => {
    const { body, sink, made, came, turn } = rig(PIECES);
    body.flow(sink);
    const count = made.length;
    body.cancel();
    body.cancel();
    body.resume();
    turn();
    expect(made.length).toBe(count);
    expect(came).not.toContain("<end>");
  });
});
