import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { type Answer, askOf, type Relay, type Source } from "../../../src/core/answer.ts";
import { AppError, clientLeft, type ErrorCode } from "../../../src/core/errors.ts";
import type { Event } from "../../../src/core/events.ts";
import { Exchange } from "../../../src/core/exchange.ts";
import { gatherBody, KnownBody } from "../../../src/core/relay_body.ts";
import { Abort } from "../../../src/lib/abort.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { RetryBudget } from "../../../src/lib/retry_budget.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import { retry } from "../../../src/sources/upstream/retry.ts";
import { waitFor } from "../../server/launch.ts";
import { act, response } from "../../server/scripted_upstream.ts";
import { failureOf, makeEngine, relayOf, Rig, TRANSPORTS, TURN, wireAsk } from "./rig.ts";

const WALL_MS = Date.UTC(2026, 0, 1);

/** What a source does when it is asked. */
type Move = ErrorCode | { readonly status: number; readonly fields?: Record<string, string> };

/** A source that makes one move after the other, on a clock that is moved by hand. */
function scripted(moves: readonly Move[], retries: number, isSync = false) {
  const clock = { nowMs: 0 };
  const events: Event[] = [];
  const engine = {
    ...makeEngine((event) => void events.push(event)),
    wheel: new Wheel(() => clock.nowMs, () => {}),
  };
  const call = new Exchange(engine, "test", { method: "POST" });
  let asked = 0;
  let cancelled = 0;
  function answer(): Answer {
    const move = moves[asked++];
    if (move === undefined) throw new TypeError("It was asked once too often");
    if (typeof move === "string") throw new AppError(move, `It is ${move}`);
    const body = new KnownBody(
      [{ bytes: new TextEncoder().encode("x"), atUs: 0 }],
      "end",
      engine.wheel,
    );
    const relay: Relay = {
      kind: "relay",
      status: move.status,
      fields: Fields.of(Object.entries(move.fields ?? {})),
      body: {
        whole: () => body.whole(),
        flow: (sink) => body.flow(sink),
        pause: () => body.pause(),
        resume: () => body.resume(),
        cancel() {
          cancelled++;
          body.cancel();
        },
      },
    };
    return relay;
  }
  const source: Source = {
    name: "scripted",
    answer: isSync ? answer : () => Promise.resolve().then(answer),
  };
  const patient = retry(source, { retries, random: () => 0, wallMs: () => WALL_MS });
  let outcome: { readonly answer: Answer } | { readonly error: unknown } | undefined;
  return {
    call,
    events,
    asked: () => asked,
    cancelled: () => cancelled,
    outcome: () => outcome,
    start() {
      Promise.resolve(patient.answer(askOf(TURN), call)).then(
        (settled) => (outcome = { answer: settled }),
        (error) => (outcome = { error }),
      );
    },
    /** Passes time, and lets everything happen that can. */
    async pass(ms: number) {
      await settle();
      for (let i = 0; i < ms; i++) {
        clock.nowMs++;
        engine.wheel.turn();
      }
      await settle();
    },
    waits: () =>
      events.flatMap((event) => event.kind === "upstream_retried" ? [event.delayMs] : []),
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe("retry()", () => {
  test("with no retries is the source itself", () => {
    const source: Source = { name: "s", answer: () => Promise.reject(new Error()) };
    expect(retry(source, { retries: 0, random: () => 0, wallMs: () => 0 })).toBe(source);
  });

  test("a question brings its share once, however many upstreams it is asked of, and whichever", async () => {
    for (const retries of [[1, 1], [0, 0], [0, 1], [1, 0]]) {
      const budget = new RetryBudget({ share: 1, per_second: 0, saved_max: 100 }, () => 0);
      const spend = () => {
        let tries = 0;
        while (budget.take()) tries++;
        return tries;
      };
      spend();
      const { call } = scripted([], 0);
      const asked: Source = {
        name: "s",
        answer() {
          call.attempts++;
          return Promise.reject(new AppError("upstream_broken", "no"));
        },
      };
      for (const times of retries) {
        const options = { retries: times, random: () => 0, wallMs: () => 0, budget };
        const given = retry(asked, options).answer(askOf(TURN), call);
        await Promise.resolve(given).catch(() => {});
      }
      expect([call.attempts, spend()]).toEqual([2, 1]);
    }
  });

  const rows: readonly {
    readonly moves: readonly Move[];
    readonly retries?: number;
    /** Milliseconds that it waited. */
    readonly waits: readonly number[];
    readonly ends: number | ErrorCode;
  }[] = [
    { moves: [{ status: 200 }], waits: [], ends: 200 },
    { moves: [{ status: 400 }], waits: [], ends: 400 },
    { moves: [{ status: 404 }], waits: [], ends: 404 },
    ...[408, 409, 429, 500, 502, 503, 504, 529].map((status) => ({
      moves: [{ status }, { status: 200 }],
      waits: [500],
      ends: 200,
    })),
    { moves: ["upstream_unreachable", { status: 200 }], waits: [500], ends: 200 },
    { moves: ["upstream_broken"], waits: [], ends: "upstream_broken" },
    { moves: ["upstream_timeout"], waits: [], ends: "upstream_timeout" },
    { moves: ["internal"], waits: [], ends: "internal" },
    {
      moves: [{ status: 503 }, { status: 503 }, { status: 503 }, { status: 200 }],
      waits: [500, 1000, 2000],
      retries: 3,
      ends: 200,
    },
    { moves: [{ status: 503 }, { status: 429 }], waits: [500], retries: 1, ends: 429 },
    {
      moves: ["upstream_unreachable", "upstream_unreachable"],
      waits: [500],
      retries: 1,
      ends: "upstream_unreachable",
    },
    {
      moves: [{ status: 429, fields: { "retry-after": "2" } }, { status: 200 }],
      waits: [2000],
      ends: 200,
    },
    {
      moves: [{ status: 429, fields: { "retry-after-ms": "7" } }, { status: 200 }],
      waits: [7],
      ends: 200,
    },
    {
      moves: [
        { status: 429, fields: { "retry-after": new Date(WALL_MS + 3000).toUTCString() } },
        { status: 200 },
      ],
      waits: [3000],
      ends: 200,
    },
    { moves: [{ status: 429, fields: { "retry-after": "61" } }], waits: [], ends: 429 },
    { moves: [{ status: 429, fields: { "x-should-retry": "false" } }], waits: [], ends: 429 },
    {
      moves: [{ status: 400, fields: { "x-should-retry": "true" } }, { status: 200 }],
      waits: [500],
      ends: 200,
    },
    { moves: [{ status: 200, fields: { "x-should-retry": "true" } }], waits: [], ends: 200 },
  ];
  for (const { moves, waits, ends, retries = 2 } of rows) {
    for (const isSync of [false, true]) {
      const how = isSync ? "answers at once" : "answers later";
      test(`${JSON.stringify(moves)}, ${how} → ${ends} after [${waits}] ms`, async () => {
        const run = scripted(moves, retries, isSync);
        run.start();
        for (const waitMs of waits) {
          await run.pass(waitMs - 1);
          expect(run.outcome()).toBeUndefined();
          await run.pass(2);
        }
        await run.pass(0);
        expect(run.waits()).toEqual([...waits]);
        expect(run.asked()).toBe(moves.length);
        const outcome = run.outcome();
        if (outcome === undefined) throw new TypeError("It has not ended");
        if ("answer" in outcome) expect(outcome.answer).toMatchObject({ status: ends });
        else expect(outcome.error).toMatchObject({ code: ends });
        // What is not answered with is given up; what is answered with is not.
        const relays = moves.slice(0, -1).filter((move) => typeof move !== "string");
        expect(run.cancelled()).toBe(relays.length);
      });
    }
  }

  test("tells why it asks again", async () => {
    const run = scripted([{ status: 503 }, "upstream_unreachable", { status: 200 }], 2);
    run.start();
    await run.pass(500);
    await run.pass(1000);
    expect(run.events).toEqual([
      { kind: "upstream_retried", attempt: 1, delayMs: 500, cause: "status 503" },
      { kind: "upstream_retried", attempt: 2, delayMs: 1000, cause: "It is upstream_unreachable" },
    ]);
  });

  for (const isDraining of [false, true]) {
    test(`does not ask again for a client that left${isDraining ? ", draining" : ""}`, async () => {
      const run = scripted([{ status: 503 }, { status: 200 }], 2);
      run.call.isDraining = isDraining;
      run.start();
      await run.pass(100);
      run.call.leave();
      await run.pass(1000);
      expect(run.asked()).toBe(1);
      expect(run.outcome()).toMatchObject({ error: { message: clientLeft().message } });
    });
  }

  test("gives up with the reason of its call", async () => {
    const run = scripted(["upstream_unreachable", { status: 200 }], 2);
    run.start();
    await run.pass(100);
    const reason = new AppError("shutting_down", "bye");
    run.call.abort(reason);
    await run.pass(0);
    expect(run.outcome()).toEqual({ error: reason });
    expect(run.asked()).toBe(1);
  });

  test("does not ask again what failed since it was given up", async () => {
    const run = scripted(["upstream_unreachable"], 2);
    run.call.abort(clientLeft());
    run.start();
    await run.pass(1000);
    expect(run.asked()).toBe(1);
    expect(run.outcome()).toMatchObject({ error: { code: "upstream_unreachable" } });
  });

  test("leaves what is no relay as it is", async () => {
    const script = { kind: "script", script: { name: "s", steps: [] }, model: "m" } as const;
    const source: Source = { name: "s", answer: () => script };
    const patient = retry(source, { retries: 1, random: () => 0, wallMs: () => 0 });
    const call = new Exchange(makeEngine(), "test", { method: "POST" });
    expect(await patient.answer(askOf(TURN), call)).toBe(script);
  });
});

for (const name of TRANSPORTS) {
  describe(`over ${name}, retry()`, () => {
    let rig: Rig;
    beforeAll(() => {
      rig = new Rig(name);
    });
    afterAll(() => rig.close());
    beforeEach(() => rig.reset());

    function patient(retries: number): Source {
      return retry(rig.once(), { retries, random: () => 0, wallMs: Date.now });
    }

    test("asks until there is an answer, and all its tries are one call", async () => {
      const asked = rig.upstream.requests.length;
      rig.acts = () => {
        const tries = rig.upstream.requests.length - asked;
        if (tries === 1) return [act.send(response("busy", { "retry-after-ms": "1" }, "503 X"))];
        if (tries === 2) return [act.send(response("busy", { "retry-after-ms": "1" }, "429 X"))];
        return [act.send(response("水"))];
      };
      const call = rig.call();
      const relay = await relayOf(patient(2).answer(wireAsk(), call));
      const { bytes } = await gatherBody(relay.body, new Abort(), 100);
      expect(new TextDecoder().decode(bytes)).toBe("水");
      expect(rig.upstream.requests.length - asked).toBe(3);
      expect(call.upstream).toMatchObject({ attempts: 3, status: 200 });
      expect(rig.events.map(({ kind }) => kind)).toEqual([
        "upstream_retried",
        "upstream_retried",
        "upstream_ended",
      ]);
      const bodies = rig.upstream.requests.slice(asked).map(({ body }) => body.toString());
      expect(new Set(bodies).size).toBe(1);
      await rig.untilFree();
    });

    test("asks again when the connection closes without an answer", async () => {
      const asked = rig.upstream.requests.length;
      rig.acts = () =>
        rig.upstream.requests.length === asked + 1 ? [act.end] : [act.send(response("{}"))];
      const source = retry(rig.once(), { retries: 1, random: () => 1, wallMs: Date.now });
      const relay = await relayOf(source.answer(wireAsk(), rig.call()));
      expect(relay.status).toBe(200);
      relay.body.cancel();
      expect(rig.upstream.requests.length).toBe(asked + 2);
    });

    test("stops with the last answer, which is whole", async () => {
      rig.acts = () => [act.send(response("busy", { "retry-after-ms": "1" }, "503 X"))];
      const relay = await relayOf(patient(1).answer(wireAsk(), rig.call()));
      expect(relay.status).toBe(503);
      const { bytes } = await gatherBody(relay.body, new Abort(), 100);
      expect(new TextDecoder().decode(bytes)).toBe("busy");
      await rig.untilFree();
    });

    test("stops when its call is given up while it waits", async () => {
      rig.acts = () => [act.send(response("busy", { "retry-after": "50" }, "503 X"))];
      const abort = new AbortController();
      const failure = failureOf(patient(1).answer(wireAsk(), rig.call(abort.signal)));
      await waitFor(() => rig.events.length === 1, "the wait");
      const reason = clientLeft();
      abort.abort(reason);
      expect(await failure).toBe(reason);
      await rig.untilFree();
    });
  });
}
