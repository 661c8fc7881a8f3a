import { describe, expect, test } from "bun:test";
import { type Answer, askOf, type TimedStep } from "../../../src/core/answer.ts";
import { Gathering } from "../../../src/core/gathering.ts";
import { EMPTY_TURN, type Turn } from "../../../src/core/turn.ts";
import { loadFactorOf } from "../../../src/sources/physics/load.ts";
import { callOf, PhysicsRig, profileOf, said, type ScriptAnswer, Shared } from "./rig.ts";

const HELLO: Partial<Turn> = { messages: [{ role: "user", content: "Hello" }] };

/** Nothing by chance: 100 ms, then a token each 10 ms. */
const EVEN = profileOf({
  ...{ first_token_ms: 100, prompt_token_ms: 0, first_token_sigma: 0, slow_share: 0 },
  ...{ tokens_per_s: 100, speed_sigma: 0, gap_cv: 0, pause_share: 0 },
  ...{ event_tokens_min: 1, event_tokens_max: 1, load: "none" },
});

/** A conversation whose system prompt has some 1500 tokens. */
function long(question: string, system = "word ".repeat(1500)): Partial<Turn> {
  return {
    messages: [{ role: "system", content: system }, { role: "user", content: question }],
    wantsUsage: true,
  };
}

function times({ schedule }: ScriptAnswer): readonly number[] {
  return [...schedule!.dueMs];
}

describe("physics", () => {
  test("draws the same for the n-th equal request, whatever comes between", () => {
    const profile = profileOf({ load: "none" });
    const alone = new PhysicsRig({ profile });
    const plain = ["a", "a", "a"].map((text) => times(alone.ask(HELLO, text).answer));
    const busy = new PhysicsRig({ profile });
    const mixed = ["b", "a", "b", "c", "a", "a"].map((text) =>
      [text, busy.ask(HELLO, text)] as const
    );
    expect(mixed.filter(([text]) => text === "a").map(([, { answer }]) => times(answer)))
      .toEqual(plain);
    expect(new Set(plain.map(([first]) => first)).size).toBe(3);
  });

  test("draws the same in two workers as in one, and something else with another seed", () => {
    const profile = profileOf({ load: "none" });
    const shared = new Shared();
    const workers = [1, 2].map((worker) => new PhysicsRig({ profile, shared, worker }));
    const one = new PhysicsRig({ profile });
    const order = [0, 1, 1, 0];
    const together = order.map((at) => times(workers[at]!.ask(HELLO, "equal").answer));
    expect(together).toEqual(order.map(() => times(one.ask(HELLO, "equal").answer)));
    const other = new PhysicsRig({ profile, seed: 1 });
    expect(times(other.ask(HELLO, "equal").answer)).not.toEqual(together[0]!);
  });

  test("x-weir-seed decides in place of the request", () => {
    const rig = new PhysicsRig({ profile: profileOf({ load: "none" }) });
    const headers = { "x-weir-seed": "42" };
    const [one, two] = ["a", "b"].map((text) => times(rig.ask(HELLO, text, headers).answer));
    expect(one).toEqual(two!);
  });

  test("says what the mock says, in events of tokens, at the times that were drawn", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const { answer, drawn } = rig.ask(HELLO);
    expect(said(answer)).toEqual([["powered", 100], [" by", 110], [" open", 120], ["ai", 130]]);
    expect(times(answer).at(-1)).toBe(140); // the token that ends it
    expect(answer.schedule!.known).toBe(answer.script.steps.length);
    expect(drawn).toMatchObject({ firstTokenMs: 100, tokensPerS: 100, laterTokens: 4 });
  });

  test("an event waits for its last token", () => {
    const rig = new PhysicsRig({
      profile: { ...EVEN, event_tokens_min: 3, event_tokens_max: 3 },
      mock: { lorem: 7 },
    });
    expect(said(rig.ask(HELLO).answer).map(([, dueMs]) => dueMs)).toEqual([100, 130, 140]);
  });

  test("the same script is cut once for each of a few ways", () => {
    const rig = new PhysicsRig({ profile: profileOf({ load: "none" }), mock: { lorem: 40 } });
    const scripts = new Set(Array.from({ length: 200 }, () => rig.ask(HELLO, "x").answer.script));
    expect(scripts.size).toBe(8);
    for (const { steps } of scripts) {
      const gathering = new Gathering();
      for (const step of steps) gathering.add(step);
      expect(gathering.text).toStartWith("Lorem ipsum dolor sit amet");
    }
  });

  test("choices are said side by side, and probabilities stay with their tokens", () => {
    const rig = new PhysicsRig({ profile: { ...EVEN, event_tokens_min: 2, event_tokens_max: 2 } });
    const two = rig.ask({ ...HELLO, choiceCount: 2 }).answer;
    expect(two.script.steps.map((step, i) => ["choice" in step && step.choice, times(two)[i]]))
      .toEqual([[0, 100], [1, 100], [0, 120], [1, 120], [0, 130], [1, 130]]);
    const { script } = rig.ask({ ...HELLO, params: { logprobs: true } }).answer;
    const tokens = script.steps.flatMap((step) =>
      step.kind === "delta" ? [[step.text, step.logprobs!.map(({ token }) => token)]] : []
    );
    expect(tokens).toEqual([["powered by", ["powered", " by"]], [" openai", [" open", "ai"]]]);
  });

  test("a model that reasons thinks before its first text, as long as its tokens take", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const { answer, drawn } = rig.ask({ ...HELLO, model: "gpt-5", wantsUsage: true });
    const { reasoningTokens } = answer.usage!;
    expect(reasoningTokens).toBeGreaterThan(0);
    const shown = said(answer);
    expect(shown[0]).toEqual(["", 100]); // a sign that it thinks
    expect(shown[1]).toEqual(["powered", 100 + 10 * (reasoningTokens! + 1)]);
    expect(drawn.laterTokens).toBe(reasoningTokens! + 5);
    // Whoever asks for no counts waits as long.
    expect(said(rig.ask({ ...HELLO, model: "gpt-5" }).answer)).toEqual(shown);
  });

  test("what is shown of reasoning is part of it", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const { answer } = rig.ask({
      ...HELLO,
      ...{ model: "gpt-5", wantsUsage: true, wantsReasoning: true },
    });
    const steps = answer.script.steps;
    const from = steps.findIndex((step) => step.kind === "delta" && step.block === "text");
    expect(times(answer)[from]).toBe(100 + 10 * answer.usage!.reasoningTokens!);
    expect(said(answer)[1]![1]).toBe(110);
  });

  test("what its author has timed, or breaks off at a time, stays as it is", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const steps: readonly TimedStep[] = [
      { kind: "delta", choice: 0, block: "text", text: "two words", afterMs: 7 },
      { kind: "end", choice: 0, reason: "stop", afterMs: 0 },
    ];
    const plain: Answer = { kind: "script", model: "m", script: { name: "s", steps } };
    const given = (answer: Answer) => {
      const around = rig.physics.around({ name: "x", answer: () => answer });
      return around.answer(askOf(EMPTY_TURN), callOf("x", { startMs: 0 }));
    };
    for (
      const answer of [
        { ...plain, script: { ...plain.script, isTimed: true } },
        { ...plain, cut: { afterEvents: 3, afterMs: 100 } },
        { ...plain, cut: { afterEvents: 0, afterMs: Infinity } },
        { ...plain, script: { name: "empty", steps: [] } },
      ] as const
    ) expect(given(answer)).toBe(answer);
    // Its pieces stay where somebody has cut them; the wait that chaos adds comes first.
    const kept = given({ ...plain, script: { ...plain.script, isCut: true } }) as ScriptAnswer;
    expect(said(kept)).toEqual([["two words", 107]]);
    expect(said(given(plain) as ScriptAnswer)).toEqual([["two", 107], [" words", 117]]);
  });

  test("pieces of systems that cut behind blanks stay", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const answer = rig.physics.around(rig.mock).answer(
      { ...askOf({ ...EMPTY_TURN, ...HELLO }), cutsAfterBlank: true },
      callOf("x", { startMs: 0 }),
    ) as ScriptAnswer;
    expect(said(answer)).toEqual([["powered ", 100], ["by ", 120], ["openai", 140]]);
  });
});

describe("the prompt cache", () => {
  test("has what came before, from 1024 tokens in steps of 128, and is fast", () => {
    const rig = new PhysicsRig({ profile: { ...EVEN, prompt_token_ms: 1 } });
    const first = rig.ask(long("One?"));
    const { promptTokens, cachedTokens } = first.answer.usage!;
    expect(cachedTokens).toBeUndefined();
    expect(first.drawn.firstTokenMs).toBe(100 + promptTokens);
    const again = rig.ask(long("One?"));
    const cached = 1024 + Math.floor((promptTokens - 1024) / 128) * 128;
    expect(again.answer.usage).toMatchObject({ promptTokens, cachedTokens: cached });
    expect(again.drawn).toMatchObject({
      cachedTokens: cached,
      firstTokenMs: 100 + promptTokens - cached,
    });
  });

  test("has the beginning that two prompts have in common", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const system = "word ".repeat(1409 - 20);
    rig.ask(long("One?", system));
    const { usage } = rig.ask(long("Another question altogether?", system)).answer;
    expect(usage!.cachedTokens).toBe(1280);
    expect(rig.ask(long("Or?", `another ${system}`)).answer.usage!.cachedTokens).toBeUndefined();
    expect(rig.ask({ ...long("Or?", system), model: "gpt-4.1" }).answer.usage!.cachedTokens)
      .toBeUndefined();
  });

  test("takes no prompt below 1024 tokens", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const ask = () => rig.ask(long("One?", "word ".repeat(900))).answer.usage!;
    expect([ask(), ask()].map(({ cachedTokens }) => cachedTokens)).toEqual([undefined, undefined]);
  });

  test("forgets what nobody asked for in cache_ttl_ms", () => {
    const rig = new PhysicsRig({ profile: EVEN });
    const cached = () => rig.ask(long("One?")).answer.usage!.cachedTokens;
    expect(cached()).toBeUndefined();
    rig.wallMs += EVEN.cache_ttl_ms;
    expect(cached()).toBeGreaterThan(1024);
    rig.wallMs += EVEN.cache_ttl_ms + 200;
    expect(cached()).toBeUndefined();
  });

  test("is one for all workers, and one for each session", () => {
    const shared = new Shared();
    const [one, two] = [1, 2].map((worker) =>
      new PhysicsRig({ profile: EVEN, shared, worker })
    ) as [PhysicsRig, PhysicsRig];
    one.ask(long("One?"));
    const session = { "x-weir-session": "mine" };
    expect(two.ask(long("One?"), "x", session).drawn.cachedTokens).toBe(0);
    expect(two.ask(long("One?")).drawn.cachedTokens).toBeGreaterThan(1024);
  });

  test("is off with a time of 0, and by what a fixture tells", () => {
    const rig = new PhysicsRig({ profile: { ...EVEN, cache_ttl_ms: 0 } });
    rig.ask(long("One?"));
    expect(rig.ask(long("One?")).drawn.cachedTokens).toBe(0);
  });
});

describe("the load factor", () => {
  test("is the formula, and no more than load_factor", () => {
    const rule = { load_factor: 3, batch_max: 65 };
    expect([1, 2, 33, 65, 1000].map((running) => loadFactorOf(rule, running)))
      .toEqual([1, 1 + 2 / 64, 2, 3, 3]);
    expect(loadFactorOf({ load_factor: 3, batch_max: 1 }, 7)).toBe(1);
  });

  test("counts what runs in all workers until it is over or given up", () => {
    const shared = new Shared();
    const profile = { ...EVEN, load: "factor" as const, load_factor: 2, batch_max: 5 };
    const [one, two] = [1, 2].map((worker) => new PhysicsRig({ profile, shared, worker })) as [
      PhysicsRig,
      PhysicsRig,
    ];
    const factors = [one.ask(HELLO), two.ask(HELLO), one.ask(HELLO)];
    expect(factors.map(({ drawn }) => drawn.loadFactor)).toEqual([1, 1.25, 1.5]);
    expect(said(factors[2]!.answer)[0]).toEqual(["powered", 150]);
    expect(said(factors[2]!.answer)[1]).toEqual([" by", 165]);
    factors[2]!.signal.abort("left");
    expect(two.ask(HELLO).drawn.loadFactor).toBe(1.5);
    one.pass(500);
    two.pass(500);
    expect(one.ask(HELLO).drawn.loadFactor).toBe(1);
    expect(one.wheel.waiting).toBe(1);
  });
});
