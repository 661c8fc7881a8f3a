import { ANSWER_LIMITS } from "../sources/upstream/rig.ts";
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Answer, Ask, RelayBody, Source, Step } from "../../src/core/answer.ts";
import { dataEvent, DONE_EVENT } from "../../src/core/dialect.ts";
import { AppError } from "../../src/core/errors.ts";
import { Exchange } from "../../src/core/exchange.ts";
import { textOfSteps } from "../../src/core/gathering.ts";
import { gatherBody, KnownBody } from "../../src/core/relay_body.ts";
import { OPENAI_CHAT } from "../../src/dialects/openai_chat/upstream.ts";
import { Abort } from "../../src/lib/abort.ts";
import { Fields } from "../../src/lib/http1/fields.ts";
import { Balance } from "../../src/sources/balance.ts";
import { Breaker, broken } from "../../src/sources/breaker.ts";
import { AnswerCache } from "../../src/sources/cache/answer_cache.ts";
import { cached } from "../../src/sources/cache/cache.ts";
import { edited } from "../../src/sources/edited.ts";
import { fallback } from "../../src/sources/fallback.ts";
import { notePrompts } from "../../src/sources/prompt_note.ts";
import { route } from "../../src/sources/route.ts";
import { respeak } from "../../src/sources/upstream/respeak.ts";
import { StreamOptions } from "../../src/sources/upstream/stream_options.ts";
import { retry } from "../../src/sources/upstream/retry.ts";
import {
  endStep,
  makeEngine,
  SPEAKS_CHAT,
  textStep,
  TURN,
  wireAsk,
} from "../sources/upstream/rig.ts";
import { counted, type Counts } from "./counted.ts";

const TEXT = "水 flows 🌊";
const STEPS: readonly Step[] = [textStep("水 "), textStep("flows "), textStep("🌊"), endStep()];
const EVENTS = [
  ...["水 ", "flows ", "🌊"].map((content) => dataEvent({ choices: [{ delta: { content } }] })),
  dataEvent({ choices: [{ delta: {}, finish_reason: "stop" }] }) + DONE_EVENT,
].map((text) => new TextEncoder().encode(text));
const BYTES = EVENTS.reduce((sum, { length }) => sum + length, 0);

const engine = makeEngine();

/** What was freed of the answers of one source. */
interface Freed {
  count: number;
}

/** The kinds of answer: each says the same. */
const KINDS: Readonly<Record<string, (freed: Freed) => Answer>> = {
  script: () => ({
    kind: "script",
    script: { name: "s", steps: STEPS.map((step) => ({ ...step, afterMs: 0 })) },
    model: "m",
  }),
  live: (freed) => ({ kind: "live", steps: waitingSteps(freed), model: "m" }),
  "relay, whole": (freed) => relay(freed, 0),
  "relay, in pieces": (freed) => relay(freed, 2000),
};

/** Steps whose end waits, unless it is read or given up. */
function waitingSteps(freed: Freed): Extract<Answer, { kind: "live" }>["steps"] {
  let next = 0;
  let giveUp: (() => void) | undefined;
  return {
    [Symbol.asyncIterator]: () => ({
      async next() {
        const step = STEPS[next++];
        if (step === undefined) return { done: true, value: undefined };
        await new Promise<void>((resolve) => {
          giveUp = resolve;
          setTimeout(resolve, 1);
        });
        return { done: false, value: [step] };
      },
      return() {
        freed.count++;
        giveUp?.();
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
}

function relay(freed: Freed, everyUs: number): Answer {
  const pieces = EVENTS.map((bytes, i) => ({ bytes, atUs: i * everyUs }));
  const known = new KnownBody(pieces, "end", engine.wheel);
  const body: RelayBody = {
    whole: () => known.whole(),
    flow: (sink) => known.flow(sink),
    pause: () => known.pause(),
    resume: () => known.resume(),
    cancel() {
      freed.count++;
      known.cancel();
    },
  };
  return { kind: "relay", status: 200, fields: Fields.of([["x-a", "1"]]), body };
}

const counts: Counts = { bytes: 0, steps: 0 };

/** A source that cannot be reached. */
const BROKEN: Source = {
  name: "broken",
  answer() {
    throw new AppError("upstream_broken", "no");
  },
};

/** Every wrapper there is, and the counter. */
const WRAPPERS: Readonly<Record<string, (source: Source) => Source>> = {
  retry: (source) => retry(source, { retries: 2, random: () => 0, wallMs: () => 0 }),
  respeak: (source) => respeak(source, SPEAKS_CHAT, ANSWER_LIMITS, new StreamOptions("auto")),
  route: (source) => route([{ model: "gpt-*", to: source }], source, "gpt-4o"),
  notePrompts,
  fallback: (source) => fallback("inner", () => [{ name: "a", source }, { name: "b", source }]),
  "the last of a fallback": (source) =>
    fallback("inner", () => [{ name: "b", source: BROKEN }, { name: "a", source }]),
  balance: (source) => fallback("inner", new Balance({ a: 1 }).over([{ name: "a", source }])),
  edited: (source) => edited(source, { rename: { "*": "another" } }),
  breaker: (source) => {
    const rules = { breaker_share: 1, breaker_min: 9, breaker_window_ms: 999, breaker_open_ms: 9 };
    return broken(source, new Breaker("a", rules, () => engine.wheel.nowMs, () => {}), "a");
  },
  cache: (source) => {
    const { wheel } = engine;
    const limits = { answers_max: 9, answers_max_bytes: 99_999, answer_max_bytes: 9999 };
    const rules = { scope: "all", ttl_s: 9, pace: "at_once", headers: [], volatile: [] } as const;
    const deps = { limits, wheel, wallMs: () => 0, randomBytes() {}, recordLateness() {} };
    return cached(source, new AnswerCache(deps), rules, "route");
  },
  counted: (source) => counted(source, counts),
  "all of them": (source) => {
    const patient = retry(counted(source, counts), {
      retries: 1,
      random: () => 0,
      wallMs: () => 0,
    });
    return notePrompts(
      route(
        [{
          model: undefined,
          to: respeak(patient, SPEAKS_CHAT, ANSWER_LIMITS, new StreamOptions("auto")),
        }],
        source,
        "gpt-4o",
      ),
    );
  },
};

const ASKS: Readonly<Record<string, Ask>> = {
  "a turn": { model: () => TURN.model, turn: () => TURN },
  "a wire": wireAsk(),
};

/** What `answer` says. */
async function said(answer: Answer): Promise<string> {
  if (answer.kind === "script") return textOfSteps(answer.script.steps);
  const steps: Step[] = [];
  if (answer.kind === "live") {
    for await (const batch of answer.steps) steps.push(...batch);
    return textOfSteps(steps);
  }
  const { bytes, error } = await gatherBody(answer.body, new Abort(), 100_000);
  expect(error).toBeUndefined();
  const reader = OPENAI_CHAT.readAnswer(answer.fields, ANSWER_LIMITS);
  return textOfSteps([...reader.feed(bytes), ...reader.end()]);
}

/** Gives `answer` up while it waits. */
async function giveUp(answer: Answer): Promise<void> {
  if (answer.kind === "relay") return answer.body.cancel();
  if (answer.kind !== "live") return;
  const iterator = answer.steps[Symbol.asyncIterator]();
  const next = iterator.next();
  await iterator.return!();
  await next;
}

function callOf(): Exchange {
  return new Exchange(engine, "test", { method: "POST" });
}

for (const [wrapper, wrap] of Object.entries(WRAPPERS)) {
  describe(`${wrapper}, of`, () => {
    for (const [kind, make] of Object.entries(KINDS)) {
      for (const [asked, ask] of Object.entries(ASKS)) {
        for (const how of ["at once", "later"] as const) {
          const open = async () => {
            const freed: Freed = { count: 0 };
            const source: Source = {
              name: "inner",
              answer: () => how === "at once" ? make(freed) : Promise.resolve(make(freed)),
            };
            const wrapped = wrap(source);
            expect(wrapped.name).toBe("inner");
            return { freed, answer: await wrapped.answer(ask, callOf()) };
          };

          test(`a ${kind} for ${asked}, answered ${how}: loses nothing`, async () => {
            const { answer } = await open();
            const isRead = asked === "a turn" && ["respeak", "all of them"].includes(wrapper);
            const isRelay = kind.startsWith("relay");
            expect(answer.kind).toBe(
              isRelay ? (isRead ? "live" : "relay") : kind as Answer["kind"],
            );
            if (answer.kind === "relay") expect(answer).toMatchObject({ status: 200 });
            expect(await said(answer)).toBe(TEXT);
          });

          test(`a ${kind} for ${asked}, answered ${how}: is freed once it is given up`, async () => {
            const { freed, answer } = await open();
            await giveUp(answer);
            const isHeld = kind !== "script" &&
              !(kind === "relay, whole" &&
                (answer.kind === "live" || wrapper === "fallback" ||
                  (wrapper === "cache" && asked === "a wire")));
            // A whole body that is read is at its end already.
            expect(freed.count).toBe(isHeld ? 1 : 0);
          });
        }
      }
    }

    for (const how of ["thrown", "rejected"] as const) {
      test(`an error that is ${how}: is the error`, async () => {
        const error = new AppError("upstream_broken", "no");
        const answer = (): Promise<Answer> => {
          if (how === "thrown") throw error;
          return Promise.reject(error);
        };
        const wrapped = wrap({ name: "inner", answer });
        const thrown = await (async () => await wrapped.answer(ASKS["a turn"]!, callOf()))()
          .then(() => "no error", (reason: unknown) => reason);
        expect(thrown).toBe(error);
      });
    }
  });
}

describe("the counter", () => {
  const rows: readonly (readonly [string, Counts])[] = [
    ["script", { bytes: 0, steps: 4 }],
    ["live", { bytes: 0, steps: 4 }],
    ["relay, whole", { bytes: BYTES, steps: 0 }],
    ["relay, in pieces", { bytes: BYTES, steps: 0 }],
  ];
  for (const [kind, expected] of rows) {
    test(`counts a ${kind}`, async () => {
      const own: Counts = { bytes: 0, steps: 0 };
      const source: Source = { name: "s", answer: () => KINDS[kind]!({ count: 0 }) };
      await said(await counted(source, own).answer(ASKS["a turn"]!, callOf()));
      expect(own).toEqual(expected);
    });
  }

  test("is under 60 lines", () => {
    const lines = readFileSync(join(import.meta.dir, "counted.ts"), "utf8").trimEnd().split("\n");
    expect(lines.length).toBeLessThan(60);
  });
});
