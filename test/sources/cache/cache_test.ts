import { afterEach, describe, expect, test } from "bun:test";
import type { Answer, PieceSink, Relay, RelayBody, Source } from "../../../src/core/answer.ts";
import { AppError } from "../../../src/core/errors.ts";
import type { Event } from "../../../src/core/events.ts";
import { type Engine, Exchange } from "../../../src/core/exchange.ts";
import type { SharedBytes } from "../../../src/core/shared.ts";
import { Fields } from "../../../src/lib/http1/fields.ts";
import { Wheel } from "../../../src/lib/wheel.ts";
import { AnswerCache, type CacheLimits } from "../../../src/sources/cache/answer_cache.ts";
import { cached, type CacheRules } from "../../../src/sources/cache/cache.ts";
import { failureOf, makeEngine, wireAsk } from "../upstream/rig.ts";

const SSE = Fields.of([["content-type", "text/event-stream"]]);
const EVENT = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n';
const DONE = "data: [DONE]\n\n";
const LIMITS: CacheLimits = {
  answers_max: 10,
  answers_max_bytes: 10_000_000,
  answer_max_bytes: 1_000_000,
};
const RULES: CacheRules = { ttl_s: 60, scope: "all", pace: "at_once", headers: [], volatile: [] };

/** A body that a test tells. */
class ToldBody implements RelayBody {
  #sink: PieceSink | undefined;
  isPaused = false;
  isCancelled = false;

  whole(): undefined {}
  flow(sink: PieceSink): void {
    this.#sink = sink;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  cancel(): void {
    this.isCancelled = true;
  }
  say(...texts: readonly string[]): void {
    for (const text of texts) this.#sink!.onPiece(Buffer.from(text), 0);
  }
  end(error?: AppError): void {
    this.#sink!.onEnd(error === undefined ? "end" : "fin", error);
  }
}

/** One who reads an answer. */
class Reader implements PieceSink {
  readonly pieces: Uint8Array[] = [];
  ended: string | undefined;

  readonly body: RelayBody;

  constructor(body: RelayBody) {
    this.body = body;
    body.flow(this);
  }
  get text(): string {
    return Buffer.concat(this.pieces).toString();
  }
  onPiece(bytes: Uint8Array): void {
    this.pieces.push(bytes);
  }
  onEnd(ending: string, error?: AppError): void {
    this.ended = error?.code ?? ending;
  }
}

/** A cache before a source that a test tells, on a clock that the test moves. */
function rig(options: {
  limits?: Partial<CacheLimits>;
  rules?: Partial<CacheRules>;
  shared?: SharedBytes;
} = {}) {
  let nowMs = 1_000_000;
  const events: Event[] = [];
  const wheel = new Wheel(() => nowMs, () => {});
  const engine: Engine = { ...makeEngine((event) => void events.push(event)), wheel };
  const bodies: ToldBody[] = [];
  const state = {
    fields: SSE,
    status: 200,
    answer: undefined as (() => Answer | Promise<Answer>) | undefined,
    signals: [] as { readonly aborted: boolean; readonly reason: unknown }[],
    ended: 0,
  };
  const source: Source = {
    name: "proxy",
    answer(_ask, call) {
      state.signals.push(call.signal);
      call.atEnd(() => state.ended++);
      if (state.answer !== undefined) return state.answer();
      const body = new ToldBody();
      bodies.push(body);
      return { kind: "relay", status: state.status, fields: state.fields, body };
    },
  };
  const cache = new AnswerCache({
    limits: { ...LIMITS, ...options.limits },
    wheel,
    wallMs: () => nowMs + 1e12,
    randomBytes: () => {},
    recordLateness: () => {},
    shared: options.shared,
  });
  const wrapped = cached(source, cache, { ...RULES, ...options.rules }, "route");
  const makeCall = () => new Exchange(engine, "test", { method: "POST" });
  return {
    ...{ cache, bodies, events, state, wheel },
    pass(ms: number) {
      nowMs += ms;
      wheel.turn();
    },
    call: makeCall,
    async ask(call = makeCall(), fields: Readonly<Record<string, string>> = {}, body?: string) {
      const answer = await wrapped.answer(wireAsk(fields, body), call);
      if (answer.kind !== "relay") throw new TypeError(`It is ${answer.kind}`);
      return answer;
    },
    /** Asks, and has it answered whole. */
    async fill(body?: string) {
      const asked = this.ask(this.call(), {}, body);
      await settled();
      bodies.at(-1)!.say(EVENT, DONE);
      bodies.at(-1)!.end();
      return await asked;
    },
  };
}

/** Everything that waits for nothing but promises has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function resultOf(call: Exchange): string | undefined {
  return call.cache?.result;
}

/** What it says when all of it is here. */
function textOf({ body }: Relay): string | undefined {
  const bytes = body.whole();
  return bytes && Buffer.from(bytes).toString();
}

describe("time", () => {
  test("an answer lives for its time, and is let go of behind it", async () => {
    const all = rig();
    await all.fill();
    all.pass(59_000);
    const hit = all.call();
    expect(textOf(await all.ask(hit))).toBe(EVENT + DONE);
    expect([resultOf(hit), hit.cache!.ageS]).toEqual(["hit", 59]);
    all.pass(1000);
    const late = all.call();
    const asked = all.ask(late);
    await settled();
    expect(resultOf(late)).toBe("miss");
    expect(all.bodies.length).toBe(2);
    new Reader((await asked).body);
    all.bodies[1]!.end();
  });

  test("what nobody asks for any more leaves by itself", async () => {
    const all = rig();
    await all.fill();
    expect(all.cache.readings().entries).toBe(1);
    for (let i = 0; i < 8; i++) all.pass(10_000);
    expect(all.cache.readings()).toEqual({ entries: 0, bytes: 0 });
    expect(all.wheel.waiting).toBe(0);
  });

  test("an upstream's own age counts", async () => {
    const all = rig();
    all.state.fields = SSE.with({ age: "100" });
    await all.fill();
    const call = all.call();
    await all.ask(call);
    expect(call.cache!.ageS).toBe(100);
  });
});

describe("bounds", () => {
  const bodyOf = (i: number) => JSON.stringify({ model: "m", seed: i });

  test("the least recently used go first", async () => {
    const all = rig({ limits: { answers_max: 2 } });
    for (const i of [0, 1]) await all.fill(bodyOf(i));
    await all.ask(all.call(), {}, bodyOf(0));
    await all.fill(bodyOf(2));
    const call = all.call();
    await all.ask(call, {}, bodyOf(0));
    expect([resultOf(call), all.cache.readings().entries]).toEqual(["hit", 2]);
  });

  test("answers on their way take their room from those that are kept, and no more than there is", async () => {
    const all = rig({ limits: { answers_max_bytes: 4000, answer_max_bytes: 10_000 } });
    await all.fill(bodyOf(0));
    expect(all.cache.readings().entries).toBe(1);
    const reader = new Reader((await all.ask(all.call(), {}, bodyOf(1))).body);
    const body = all.bodies.at(-1)!;
    body.say("x".repeat(3900));
    expect(all.cache.readings()).toEqual({ entries: 0, bytes: 3900 });
    body.say("x".repeat(200));
    expect(all.cache.readings()).toEqual({ entries: 0, bytes: 0 });
    body.say(DONE);
    body.end();
    expect([reader.text.length, reader.ended]).toEqual([4100 + DONE.length, "end"]);
    expect(all.cache.readings()).toEqual({ entries: 0, bytes: 0 });
  });

  test("room is given back however an answer ends", async () => {
    const all = rig();
    const [one, two] = [all.call(), all.call()];
    for (const [i, call] of [one, two].entries()) {
      const reader = new Reader((await all.ask(call, {}, bodyOf(i))).body);
      all.bodies.at(-1)!.say(EVENT);
      expect(reader.text).toBe(EVENT);
    }
    expect(all.cache.readings().bytes).toBe(2 * EVENT.length);
    all.bodies[0]!.end(new AppError("upstream_broken", "it broke"));
    two.leave();
    expect(all.cache.readings()).toEqual({ entries: 0, bytes: 0 });
    expect(all.bodies[1]!.isCancelled).toBeTrue();
    expect(all.state.ended).toBe(2);
  });
});

describe("those who ask at once", () => {
  /** `count` who ask the same, and read. */
  async function together(all: ReturnType<typeof rig>, count: number) {
    const calls = Array.from({ length: count }, () => all.call());
    const relays = await Promise.all(calls.map((call) => all.ask(call)));
    return { calls, readers: relays.map(({ body }) => new Reader(body)) };
  }

  test("share the bytes, and not copies of them", async () => {
    const all = rig();
    const { readers } = await together(all, 200);
    all.bodies[0]!.say(EVENT, EVENT);
    all.bodies[0]!.say(DONE);
    all.bodies[0]!.end();
    expect(all.bodies.length).toBe(1);
    for (const { text, ended } of readers) {
      expect([text, ended]).toEqual([EVENT + EVENT + DONE, "end"]);
    }
    for (const { pieces } of readers) {
      for (const i of [0, 1, 2]) expect(pieces[i]).toBe(readers[0]!.pieces[i]!);
    }
  });

  test("one that comes later has all from the beginning", async () => {
    const all = rig();
    const { readers } = await together(all, 1);
    all.bodies[0]!.say(EVENT);
    const late = all.call();
    const reader = new Reader((await all.ask(late)).body);
    expect([resultOf(late), reader.text]).toEqual(["joined", EVENT]);
    all.bodies[0]!.say(DONE);
    all.bodies[0]!.end();
    expect(reader.text).toBe(readers[0]!.text);
  });

  test("a slow one holds up nobody, and gets the rest when it reads on", async () => {
    const all = rig();
    const { readers: [slow, fast] } = await together(all, 2);
    slow!.body.pause();
    all.bodies[0]!.say(EVENT, DONE);
    all.bodies[0]!.end();
    expect([fast!.text, fast!.ended]).toEqual([EVENT + DONE, "end"]);
    expect([slow!.text, slow!.ended]).toEqual(["", undefined]);
    slow!.body.resume();
    expect([slow!.text, slow!.ended]).toEqual([EVENT + DONE, "end"]);
  });

  test("of what is too large, one that takes nothing is cut off, and all together hold up the upstream", async () => {
    const all = rig({ limits: { answer_max_bytes: 100 } });
    const { readers: [slow, fast] } = await together(all, 2);
    const [body] = all.bodies;
    slow!.body.pause();
    fast!.body.pause();
    body!.say("x".repeat(200));
    expect(body!.isPaused).toBeTrue();
    fast!.body.resume();
    expect([body!.isPaused, fast!.text.length]).toEqual([false, 200]);
    for (let i = 0; i < 5; i++) body!.say("x".repeat(1_000_000));
    expect(slow!.ended).toBe("unread_full");
    expect([fast!.text.length, fast!.ended]).toEqual([5_000_200, undefined]);
    body!.end();
    expect(fast!.ended).toBe("end");
  });

  test("what keeps coming for one who waits is held until then", async () => {
    const all = rig();
    const first = all.call();
    const relay = await all.ask(first);
    all.bodies[0]!.say(EVENT, DONE);
    all.bodies[0]!.end();
    expect(textOf(relay)).toBe(EVENT + DONE);
  });

  test("are one call to whoever counts: it ends with the answer, and not with who asked first", async () => {
    const all = rig();
    const { calls, readers } = await together(all, 3);
    calls[0]!.leave();
    calls[0]!.end("client_left");
    expect([all.state.ended, all.state.signals[0]!.aborted]).toEqual([0, false]);
    expect(calls.map(({ cache }) => cache!.isFree)).toEqual([true, false, true]);
    all.bodies[0]!.say(EVENT, DONE);
    all.bodies[0]!.end();
    expect(all.state.ended).toBe(1);
    expect(readers[2]!.ended).toBe("end");
  });

  test("all leave: the reason goes up", async () => {
    const all = rig();
    all.state.answer = () => new Promise(() => {});
    const calls = [all.call(), all.call()];
    const asked = calls.map((call) => failureOf(all.ask(call)));
    await settled();
    for (const call of calls) call.leave();
    expect((await Promise.all(asked)).map(({ code }) => code)).toEqual([
      "unavailable",
      "unavailable",
    ]);
    expect(all.state.signals.map(({ aborted }) => aborted)).toEqual([true]);
    expect(all.state.ended).toBe(1);
  });

  test("a bug in a source is told to whoever asked first", async () => {
    const all = rig();
    const answers: (() => Answer | Promise<Answer>)[] = [
      () => Promise.reject(new TypeError("a bug")),
    ];
    all.state.answer = () =>
      answers.shift()?.() ?? {
        ...{ kind: "relay", status: 200, fields: SSE, body: new ToldBody() },
      };
    const [one, two] = [all.call(), all.call()];
    const asked = [all.ask(one).catch((error) => error), all.ask(two)] as const;
    expect(await asked[0]).toBeInstanceOf(TypeError);
    expect((await asked[1]).status).toBe(200);
  });

  test("what is no relay is for one alone, and each asks", async () => {
    const all = rig();
    let count = 0;
    all.state.answer = () => {
      count++;
      return { kind: "script", script: { name: "s", steps: [] }, model: "m" };
    };
    const calls = [all.call(), all.call()];
    const kinds = await Promise.all(
      calls.map((call) => all.ask(call).catch(({ message }) => message)),
    );
    expect(kinds).toEqual(["It is script", "It is script"]);
    expect([count, ...calls.map(resultOf)]).toEqual([2, "bypass", "bypass"]);
    for (const call of calls) call.end("completed");
    expect(all.state.ended).toBe(2);
  });
});

/** A store that two processes share. */
class Shelf implements SharedBytes {
  readonly kept = new Map<string, Uint8Array>();
  readonly ttls: number[] = [];
  gets = 0;
  isAway = false;

  get(key: string): Promise<Uint8Array | undefined> {
    this.gets++;
    return Promise.resolve(this.isAway ? undefined : this.kept.get(key));
  }
  put(key: string, bytes: Uint8Array, ttlMs: number): void {
    this.ttls.push(ttlMs);
    if (!this.isAway) this.kept.set(key, bytes.slice());
  }
}

describe("a store that several share", () => {
  let shelf = new Shelf();
  afterEach(() => {
    shelf = new Shelf();
  });

  test("has the answers of one for the other, as old as they are", async () => {
    const [one, two] = [rig({ shared: shelf }), rig({ shared: shelf })];
    const asked = one.ask();
    await settled();
    await settled();
    one.bodies[0]!.say(EVENT, DONE);
    one.bodies[0]!.end();
    await asked;
    expect(shelf.ttls).toEqual([60_000]);
    two.pass(10_000);
    const calls = Array.from({ length: 5 }, () => two.call());
    const before = shelf.gets;
    const relays = await Promise.all(calls.map((call) => two.ask(call)));
    expect(shelf.gets).toBe(before + 1);
    expect(relays.map(textOf)).toEqual(Array(5).fill(EVENT + DONE));
    expect(calls.map(resultOf)).toEqual(Array(5).fill("hit"));
    expect(calls[0]!.cache!.ageS).toBe(10);
    expect(two.bodies.length).toBe(0);
    await two.ask();
    expect(shelf.gets).toBe(before + 1);
    two.pass(50_000);
    void two.ask();
    await settled();
    await settled();
    expect(two.bodies.length).toBe(1);
  });

  test("is away: each has its own", async () => {
    shelf.isAway = true;
    const one = rig({ shared: shelf });
    const asked = one.ask();
    await settled();
    await settled();
    one.bodies[0]!.say(EVENT, DONE);
    one.bodies[0]!.end();
    await asked;
    const call = one.call();
    await one.ask(call);
    expect(resultOf(call)).toBe("hit");
  });

  test("holds something else: it is asked for", async () => {
    const one = rig({ shared: { get: () => Promise.resolve(Buffer.from("what?")), put() {} } });
    const call = one.call();
    void one.ask(call);
    await settled();
    await settled();
    expect([one.bodies.length, resultOf(call)]).toEqual([1, "miss"]);
  });

  test("answers those who want nobody else to be asked", async () => {
    const [one, two] = [rig({ shared: shelf }), rig({ shared: shelf })];
    const only = { "cache-control": "only-if-cached" };
    expect((await failureOf(two.ask(two.call(), only))).code).toBe("cache_missing");
    const asked = one.ask();
    await settled();
    await settled();
    one.bodies[0]!.say(EVENT, DONE);
    one.bodies[0]!.end();
    await asked;
    expect(textOf(await two.ask(two.call(), only))).toBe(EVENT + DONE);
    expect(two.bodies.length).toBe(0);
  });
});
