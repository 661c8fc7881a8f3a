import { describe, expect, test } from "bun:test";
import type { Ending, PieceSink } from "../../src/core/answer.ts";
import { AppError, clientLeft } from "../../src/core/errors.ts";
import { gatherBody, KnownBody, type TimedPiece } from "../../src/core/relay_body.ts";
import { Abort } from "../../src/lib/abort.ts";
import { Wheel } from "../../src/lib/wheel.ts";
import { HandBody } from "./told_answers.ts";

const ENDINGS = ["end", "fin", "reset", "hold"] as const;

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder().decode(bytes);
}

/** "a" at once, "b" after 1.5 ms, "c" and "d" after 10. */
const PIECES: readonly TimedPiece[] = [
  { bytes: bytesOf("a"), atUs: 0 },
  { bytes: bytesOf("b"), atUs: 1500 },
  { bytes: bytesOf("c"), atUs: 10_000 },
  { bytes: bytesOf("d"), atUs: 10_000 },
];

/** A body that flows on a clock which begins at 5 ms. */
function flowing(
  pieces: readonly TimedPiece[],
  ending: Ending,
  onPiece: (body: KnownBody, text: string) => void = () => {},
) {
  const clock = { nowMs: 5 };
  const wheel = new Wheel(() => clock.nowMs, () => {});
  const body = new KnownBody(pieces, ending, wheel);
  const told: string[] = [];
  const sink: PieceSink = {
    onPiece(bytes, atUs) {
      told.push(`${textOf(bytes)} ${atUs}`);
      onPiece(body, textOf(bytes)!);
    },
    onEnd: (ending, error) => void told.push(error === undefined ? ending : `${ending} with error`),
  };
  return {
    body,
    wheel,
    told,
    flow: () => body.flow(sink),
    /** Moves the clock to `ms` after the flow began. */
    at(ms: number) {
      clock.nowMs = 5 + ms;
      wheel.turn();
      return told;
    },
  };
}

describe("KnownBody", () => {
  for (const ending of ENDINGS) {
    test(`tells each piece when it is due, and the ending "${ending}" behind the last`, () => {
      const { flow, told, at, wheel } = flowing(PIECES, ending);
      flow();
      expect(told).toEqual(["a 0"]);
      expect(at(1)).toEqual(["a 0"]);
      expect(at(2)).toEqual(["a 0", "b 1500"]);
      expect(at(9)).toHaveLength(2);
      const end = ending === "hold" ? [] : [ending];
      expect(at(10)).toEqual(["a 0", "b 1500", "c 10000", "d 10000", ...end]);
      expect(wheel.waiting).toBe(0);
      expect(at(1_000_000)).toHaveLength(4 + end.length);
    });

    test(`ends with "${ending}" at once when there is no piece`, () => {
      const { flow, told } = flowing([], ending);
      flow();
      expect(told).toEqual(ending === "hold" ? [] : [ending]);
    });
  }

  const WHOLES: readonly (readonly [string, readonly TimedPiece[], Ending, string | undefined])[] =
    [
      [
        "everything that is here at once",
        [
          { bytes: bytesOf("水"), atUs: 0 },
          { bytes: bytesOf(" 🌊"), atUs: 0 },
        ],
        "end",
        "水 🌊",
      ],
      ["nothing, when there is no piece", [], "end", ""],
      ["no whole when a piece comes later", PIECES, "end", undefined],
      ["no whole when it ends with fin", [{ bytes: bytesOf("a"), atUs: 0 }], "fin", undefined],
      ["no whole when it ends with reset", [{ bytes: bytesOf("a"), atUs: 0 }], "reset", undefined],
      ["no whole when it never ends", [{ bytes: bytesOf("a"), atUs: 0 }], "hold", undefined],
    ];
  for (const [name, pieces, ending, wanted] of WHOLES) {
    test(`whole() gives ${name}`, () => {
      expect(textOf(flowing(pieces, ending).body.whole())).toBe(wanted);
    });
  }

  test("pause() holds what is due, and resume() tells it at once", () => {
    const { flow, body, told, at, wheel } = flowing(PIECES, "end");
    flow();
    body.pause();
    expect(wheel.waiting).toBe(0);
    expect(at(8)).toEqual(["a 0"]);
    body.resume();
    expect(told).toEqual(["a 0", "b 1500"]);
    expect(at(9)).toHaveLength(2); // the rest comes no sooner for it
    expect(at(10).at(-1)).toBe("end");
  });

  test("a sink that pauses while it is told gets no further piece", () => {
    const { flow, body, told, at } = flowing(PIECES, "end", (body, text) => {
      if (text === "c") body.pause();
    });
    flow();
    at(50);
    expect(told).toEqual(["a 0", "b 1500", "c 10000"]);
    body.resume();
    expect(told.slice(3)).toEqual(["d 10000", "end"]);
  });

  test("a sink that pauses and resumes while it is told gets everything once, in order", () => {
    const { flow, at } = flowing(PIECES, "end", (body) => {
      body.pause();
      body.resume();
    });
    flow();
    expect(at(50)).toEqual(["a 0", "b 1500", "c 10000", "d 10000", "end"]);
  });

  test("resume() without pause() tells nothing twice", () => {
    const { flow, body, told } = flowing(PIECES, "end");
    flow();
    body.resume();
    expect(told).toEqual(["a 0"]);
  });

  test("the ending waits for a paused sink too", () => {
    const { flow, body, told } = flowing(PIECES.slice(0, 1), "fin", (body) => body.pause());
    flow();
    expect(told).toEqual(["a 0"]);
    body.resume();
    expect(told).toEqual(["a 0", "fin"]);
  });

  test("cancel() tells nothing any more, whatever follows", () => {
    const { flow, body, told, at, wheel } = flowing(PIECES, "end");
    flow();
    body.cancel();
    body.cancel();
    body.pause();
    body.resume();
    at(50);
    expect(told).toEqual(["a 0"]);
    expect(wheel.waiting).toBe(0);
  });

  test("a sink that cancels while it is told gets nothing more", () => {
    const { flow, told, at } = flowing(PIECES, "end", (body, text) => {
      if (text === "c") body.cancel();
    });
    flow();
    at(50);
    expect(told).toEqual(["a 0", "b 1500", "c 10000"]);
  });
});

describe("gatherBody()", () => {
  const BYTES_MAX = 4;
  const none = () => new Abort();
  const wheel = () => new Wheel(() => 0, () => {});
  const atOnce = (text: string, ending: Ending = "end") =>
    new KnownBody([{ bytes: bytesOf(text), atUs: 0 }], ending, wheel());

  for (
    const [name, text, wanted, isWhole] of [
      ["a body that is here", "abc", "abc", true],
      ["as many bytes as may be", "abcd", "abcd", true],
      ["no more than that", "abcde", "abcd", false],
    ] as const
  ) {
    test(`gives ${name}`, async () => {
      const { bytes, error } = await gatherBody(atOnce(text), none(), BYTES_MAX);
      expect(textOf(bytes)).toBe(wanted);
      expect(error?.code).toBe(isWhole ? undefined : "upstream_broken");
    });

    test(`gives ${name} when it comes in pieces`, async () => {
      const body = new HandBody();
      const gathering = gatherBody(body, none(), BYTES_MAX);
      for (const character of text) body.say(character);
      body.end();
      const { bytes, error } = await gathering;
      expect(textOf(bytes)).toBe(wanted);
      expect(error?.code).toBe(isWhole ? undefined : "upstream_broken");
      expect(body.isCancelled).toBe(!isWhole);
    });
  }

  test("keeps pieces whose bytes are written over later", async () => {
    let sink!: PieceSink;
    const body = new HandBody();
    body.flow = (given) => {
      sink = given;
    };
    const gathering = gatherBody(body, none(), BYTES_MAX);
    const shared = bytesOf("a");
    sink.onPiece(shared, 0);
    shared.set(bytesOf("b"));
    sink.onPiece(shared, 0);
    sink.onEnd("end");
    expect(textOf((await gathering).bytes)).toBe("ab");
  });

  for (const ending of ["fin", "reset"] as const) {
    test(`tells that a body broke off with "${ending}", and gives what came`, async () => {
      const { bytes, error } = await gatherBody(atOnce("ab", ending), none(), BYTES_MAX);
      expect([textOf(bytes), error?.code]).toEqual(["ab", "upstream_broken"]);
    });
  }

  test("tells why a body broke off where that is known", async () => {
    const body = new HandBody();
    const gathering = gatherBody(body, none(), BYTES_MAX);
    const error = new AppError("upstream_timeout", "Too slow");
    body.say("a");
    body.end("fin", error);
    const gathered = await gathering;
    expect([textOf(gathered.bytes), gathered.error]).toEqual(["a", error]);
  });

  test("rejects with the signal's reason when it aborts, and cancels the body", async () => {
    const body = new HandBody();
    const abort = new Abort();
    const gathering = gatherBody(body, abort, BYTES_MAX).catch((thrown) => thrown);
    body.say("a");
    const reason = clientLeft();
    abort.abort(reason);
    expect(await gathering).toBe(reason);
    expect(body.isCancelled).toBe(true);
  });

  test("rejects at once when the signal has aborted, and asks for nothing", async () => {
    const body = new HandBody();
    const abort = new Abort();
    const reason = clientLeft();
    abort.abort(reason);
    expect(await gatherBody(body, abort, BYTES_MAX).catch((thrown) => thrown)).toBe(reason);
    expect([body.isFlowing, body.isCancelled]).toEqual([false, true]);
  });

  test("does not listen to the signal once the body is here", async () => {
    const body = new HandBody();
    const abort = new Abort();
    const gathering = gatherBody(body, abort, BYTES_MAX);
    body.end();
    await gathering;
    abort.abort(clientLeft());
    expect(body.isCancelled).toBe(false);
  });
});
