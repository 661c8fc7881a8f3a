import { describe, expect, test } from "bun:test";
import { type Answer, askOf, type PieceSink } from "../../src/core/answer.ts";
import type { BreakerShare } from "../../src/core/breakers.ts";
import { AppError, clientLeft } from "../../src/core/errors.ts";
import type { BreakerState, Event } from "../../src/core/events.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { KnownBody } from "../../src/core/relay_body.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { Breaker, type BreakerRules, broken } from "../../src/sources/breaker.ts";
import { makeEngine, TURN } from "./upstream/rig.ts";

const RULES: BreakerRules = {
  breaker_share: 0.5,
  breaker_min: 4,
  breaker_window_ms: 1000,
  breaker_open_ms: 500,
};

/** A breaker whose clock the test moves, and what it has told. */
function breakerOf(rules: Partial<BreakerRules> = {}, share?: BreakerShare) {
  const clock = { nowMs: 1_000_000 };
  const turns: BreakerState[] = [];
  const watch = (event: Event) => {
    if (event.kind === "breaker_turned") turns.push(event.state);
  };
  return {
    clock,
    turns,
    breaker: new Breaker("one", { ...RULES, ...rules }, () => clock.nowMs, watch, share),
  };
}

/** What happens: "+" goes well, "-" fails, a number lets so many milliseconds pass. */
function play(
  { breaker, clock }: ReturnType<typeof breakerOf>,
  ...acts: readonly (string | number)[]
) {
  for (const act of acts) {
    if (typeof act === "number") clock.nowMs += act;
    else {
      for (const one of act) {
        expect(breaker.admit()).toBe(true);
        if (one === "+") breaker.succeed();
        else breaker.fail();
      }
    }
  }
}

describe("Breaker", () => {
  const rows:
    readonly (readonly [name: string, acts: readonly (string | number)[], BreakerState])[] = [
      ["too few questions", ["---"], "closed"],
      ["a share that is too small", ["+++--"], "closed"],
      ["the share, of the least number", ["++--"], "open"],
      ["only failures", ["----"], "open"],
      ["failures that a window divides", ["--", 1001, "--"], "closed"],
      ["failures over a window's seams", ["--", 450, "--"], "open"],
      ["what went well has moved out of the window", ["++++++", 1001, "----"], "open"],
      ["the same window is read by its parts", ["-", 300, "-", 300, "-", 300, "-"], "open"],
      [
        "what is older than the window by a part is forgotten",
        ["-", 400, "-", 400, "-", 400, "-"],
        "closed",
      ],
    ];
  for (const [name, acts, state] of rows) {
    test(`${name}: ${state}`, () => {
      const rig = breakerOf();
      play(rig, ...acts);
      expect(rig.breaker.state).toBe(state);
      expect(rig.turns).toEqual(state === "open" ? ["open"] : []);
    });
  }

  test("open, it lets nothing go; then one at a time", () => {
    const rig = breakerOf();
    const { breaker, clock, turns } = rig;
    play(rig, "----");
    expect([breaker.admit(), breaker.waitMs]).toEqual([false, 500]);
    clock.nowMs += 499;
    expect([breaker.admit(), breaker.state]).toEqual([false, "open"]);
    clock.nowMs += 1;
    expect([breaker.state, breaker.waitMs]).toEqual(["half_open", 0]);
    expect([breaker.admit(), breaker.admit(), breaker.state]).toEqual([true, false, "half_open"]);
    breaker.forget(); // whoever asked has left
    expect([breaker.admit(), breaker.admit()]).toEqual([true, false]);
    breaker.fail();
    expect([breaker.state, breaker.admit()]).toEqual(["open", false]);
    clock.nowMs += 500;
    expect(breaker.admit()).toBe(true);
    breaker.succeed();
    expect([breaker.state, breaker.admit(), breaker.admit()]).toEqual(["closed", true, true]);
    expect(turns).toEqual(["open", "half_open", "open", "half_open", "closed"]);
  });

  test("closed again, it has forgotten what was", () => {
    const rig = breakerOf();
    play(rig, "----", 500, "+", "---");
    expect(rig.breaker.state).toBe("closed");
    play(rig, "-");
    expect(rig.breaker.state).toBe("open");
  });

  test("what was asked before it opened neither closes it nor opens it for longer", () => {
    const rig = breakerOf();
    const { breaker, clock } = rig;
    play(rig, "----", 400);
    breaker.succeed();
    breaker.fail();
    expect([breaker.state, breaker.waitMs]).toEqual(["open", 100]);
    clock.nowMs += 100;
    expect(breaker.admit()).toBe(true);
    breaker.fail(true);
    expect(breaker.state).toBe("half_open");
  });
});

test("two probes in vain open it, and one that is answered closes it", () => {
  const { breaker, clock, turns } = breakerOf();
  breaker.probed(false);
  breaker.probed(true);
  breaker.probed(false);
  expect(breaker.state).toBe("closed");
  breaker.probed(false);
  expect(breaker.state).toBe("open");
  clock.nowMs += 400;
  breaker.probed(false); // stays open from here
  clock.nowMs += 400;
  expect([breaker.state, breaker.admit()]).toEqual(["open", false]);
  breaker.probed(true);
  expect([breaker.state, breaker.admit()]).toEqual(["closed", true]);
  expect(turns).toEqual(["open", "closed"]);
});

describe("a breaker that others tell", () => {
  /** One, and what it has told the others. */
  function shared() {
    const told: string[] = [];
    const share: BreakerShare = {
      join: (name) => void told.push(`join ${name}`),
      opened: (name, openMs) => void told.push(`open ${name} ${openMs}`),
      closed: (name) => void told.push(`closed ${name}`),
    };
    return { told, ...breakerOf({}, share) };
  }

  test("tells what it finds out itself, and nothing that it was told", () => {
    const rig = shared();
    play(rig, "----", 500, "-", 500, "+");
    expect(rig.told).toEqual(["join one", "open one 500", "open one 500", "closed one"]);
    rig.breaker.follow(300);
    rig.breaker.recover();
    expect(rig.told.length).toBe(4);
    expect(rig.turns.slice(-2)).toEqual(["open", "closed"]);
  });

  test("leaves the first try to who has opened, and then tries itself", () => {
    const { breaker, clock } = shared();
    breaker.follow(300);
    expect([breaker.state, breaker.admit(), breaker.waitMs]).toEqual(["open", false, 800]);
    clock.nowMs += 799;
    expect(breaker.admit()).toBe(false);
    clock.nowMs += 1;
    expect([breaker.admit(), breaker.admit()]).toEqual([true, false]);
  });

  test("closed, it forgets nothing as others close", () => {
    const rig = shared();
    play(rig, "---");
    rig.breaker.recover();
    play(rig, "-");
    expect(rig.breaker.state).toBe("open");
  });
});

test("a probe that is answered closes nothing that clients' failures have opened", () => {
  const rig = breakerOf();
  const { breaker, clock, turns } = rig;
  play(rig, "----");
  breaker.probed(true);
  expect(breaker.state).toBe("open");
  clock.nowMs += 500;
  expect(breaker.admit()).toBe(true);
  breaker.probed(true); // the question is under way
  expect([breaker.state, breaker.admit()]).toEqual(["half_open", false]);
  breaker.succeed();
  expect([breaker.state, turns]).toEqual(["closed", ["open", "half_open", "closed"]]);
});

test("what was asked before a turn neither closes, opens nor frees a half open one", () => {
  const rig = breakerOf();
  const { breaker } = rig;
  const before = breaker.era;
  play(rig, "----", 500);
  expect(breaker.admit()).toBe(true);
  breaker.succeed(before);
  expect([breaker.state, breaker.admit()]).toEqual(["half_open", false]);
  breaker.fail(false, before);
  breaker.forget(before);
  expect([breaker.state, breaker.admit()]).toEqual(["half_open", false]);
  breaker.succeed();
  for (let i = 0; i < 9; i++) breaker.fail(false, before);
  expect(breaker.state).toBe("closed");
});

const engine = makeEngine();
const ask = askOf(TURN);
const FAILED = new AppError("upstream_timeout", "no");

function relay(status: number): Answer {
  const body = new KnownBody([{ bytes: new Uint8Array(3), atUs: 0 }], "end", engine.wheel);
  return { kind: "relay", status, fields: Fields.NONE, body };
}

describe("broken()", () => {
  /** A stream that is here, of these texts. */
  const spoken = (...texts: readonly string[]): Answer => {
    const pieces = texts.map((text, i) => ({ bytes: Buffer.from(text), atUs: i }));
    const body = new KnownBody(pieces, "end", engine.wheel);
    const fields = Fields.of([["content-type", "text/event-stream"]]);
    return { kind: "relay", status: 200, fields, body };
  };

  /** How an answer comes about, and whether the upstream has failed. */
  const rows: readonly (readonly [name: string, () => Answer | Promise<Answer>, boolean])[] = [
    ["200", () => relay(200), false],
    ["404", () => relay(404), false],
    ["429, which rests a key", () => relay(429), false],
    ["500", () => relay(500), true],
    ["a stream", () => spoken('data: {"choices":[]}\n\n'), false],
    ["an error in place of the first event", () => spoken('data: {"error":{}}\n\n'), true],
    ["the same, cut up", () => spoken(": hi\n\n", "event: err", "or\ndata: no\n\n"), true],
    ["one that a 429 would be", () => spoken('data: {"error":{"code":429}}\n\n'), false],
    ["one behind the first", () => spoken("data: a\n\n", 'data: {"error":{}}\n\n'), false],
    ["a stream of no event", () => spoken(": hi\n\n"), true],
    ["the same in pieces", () => spoken(": hi\n\n", ": hi\n\n"), true],
    ["503 in a while", () => Promise.resolve(relay(503)), true],
    ["a time limit", () => Promise.reject(FAILED), true],
    ["a refusal in another dialect", () => {
      throw new AppError("upstream_refused", "no", { status: 400 });
    }, false],
    ["an error of weir's own", () => {
      throw new AppError("loop_detected", "no");
    }, false],
  ];
  for (const [name, answer, hasFailed] of rows) {
    test(`${name}: ${hasFailed ? "it opens" : "it stays closed"}`, async () => {
      const { breaker } = breakerOf({ breaker_min: 1, breaker_share: 1 });
      const source = broken({ name: "s", answer }, breaker, "one");
      const call = new Exchange(engine, "test", { method: "POST" });
      await (async () => {
        const answer = await source.answer(ask, call);
        if (answer.kind !== "relay" || answer.body.whole() !== undefined) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        answer.body.flow({ onPiece() {}, onEnd: () => resolve() });
        await promise;
      })().catch(() => {});
      expect(breaker.state).toBe(hasFailed ? "open" : "closed");
    });
  }

  test("half open, it waits for the first word, and not for the head alone", async () => {
    const rig = breakerOf();
    const { breaker } = rig;
    play(rig, "----", 500);
    const source = broken(
      { name: "s", answer: () => spoken(": hi\n\n", "data: a\n\n") },
      breaker,
      "one",
    );
    const answer = await source.answer(ask, new Exchange(engine, "test", { method: "POST" }));
    expect(breaker.state).toBe("half_open");
    if (answer.kind !== "relay") return expect.unreachable();
    const { promise, resolve } = Promise.withResolvers<void>();
    const states: BreakerState[] = [];
    answer.body.flow({ onPiece: () => void states.push(breaker.state), onEnd: () => resolve() });
    await promise;
    expect(states).toEqual(["half_open", "closed"]);
  });

  test("half open, steps that come close it, and it opens where none come", async () => {
    async function* speaks() {
      yield [{ kind: "end", choice: 0, reason: "stop" } as const];
    }
    async function* fails() {
      yield* [];
      throw FAILED;
    }
    const rows = [[speaks, "closed"], [fails, "open"]] as const;
    for (const [steps, state] of rows) {
      const rig = breakerOf();
      play(rig, "----", 500);
      const live = (): Answer => ({ kind: "live", steps: steps(), model: "m" });
      const source = broken({ name: "s", answer: live }, rig.breaker, "one");
      const answer = await source.answer(ask, new Exchange(engine, "test", { method: "POST" }));
      expect(rig.breaker.state).toBe("half_open");
      if (answer.kind !== "live") return expect.unreachable();
      await Array.fromAsync(answer.steps).catch(() => {});
      expect(rig.breaker.state).toBe(state);
    }
  });

  test("what weir itself refuses, before it asks, closes nothing", () => {
    const rig = breakerOf();
    play(rig, "----", 500);
    const answer = () => {
      throw new AppError("request_invalid", "This route changes what is asked");
    };
    const source = broken({ name: "s", answer }, rig.breaker, "one");
    expect(() => source.answer(ask, new Exchange(engine, "test", { method: "POST" }))).toThrow();
    expect([rig.breaker.state, rig.breaker.admit()]).toEqual(["half_open", true]);
  });

  test("an answer that breaks off has failed, and counts once", async () => {
    const { breaker } = breakerOf({ breaker_min: 3, breaker_share: 1 });
    let sink: PieceSink | undefined;
    const body = { ...relay(200) } as Extract<Answer, { kind: "relay" }>;
    const flowing = {
      ...body,
      body: {
        whole: () => undefined,
        flow: (to: PieceSink) => void (sink = to),
        pause() {},
        resume() {},
        cancel() {},
      },
    };
    const source = broken({ name: "s", answer: () => flowing }, breaker, "one");
    for (let i = 0; i < 3; i++) {
      expect(breaker.state).toBe("closed");
      const answer = await source.answer(ask, new Exchange(engine, "test", { method: "POST" }));
      if (answer.kind !== "relay") return expect.unreachable();
      answer.body.flow({ onPiece() {}, onEnd() {} });
      sink!.onEnd("fin", FAILED);
    }
    expect(breaker.state).toBe("open");
  });

  test("a client that leaves is no failure", async () => {
    const { breaker } = breakerOf({ breaker_min: 1, breaker_share: 1 });
    const call = new Exchange(engine, "test", { method: "POST" });
    const source = broken(
      {
        name: "s",
        answer() {
          call.abort(clientLeft());
          return Promise.reject(FAILED);
        },
      },
      breaker,
      "one",
    );
    await Promise.resolve(source.answer(ask, call)).catch(() => {});
    expect(breaker.state).toBe("closed");
  });

  test("open, it says so and when to come again, and asks nobody", async () => {
    const { breaker } = breakerOf({ breaker_min: 1, breaker_open_ms: 1500 });
    let asked = 0;
    const source = broken(
      {
        name: "s",
        answer() {
          asked++;
          return relay(500);
        },
      },
      breaker,
      "one",
    );
    const call = new Exchange(engine, "test", { method: "POST" });
    await source.answer(ask, call);
    expect(() => source.answer(ask, call)).toThrow(expect.objectContaining({
      code: "upstream_open",
      status: 503,
      headers: { "retry-after": "2" },
    }));
    expect(asked).toBe(1);
  });
});
