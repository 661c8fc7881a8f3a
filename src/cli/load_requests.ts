/**
 * What the requests of a stage ask.
 *
 * @module
 */

import { seeded } from "../lib/seeded.ts";
import { bodyOf, type Message } from "../load/requests/bodies.ts";
import {
  type Behaviour,
  type Chance,
  conversationsOf,
  type LoadBody,
  turnsOf,
} from "../load/requests/makers.ts";
import { promptOf } from "../load/requests/prompts.ts";
import type { RequestMaker } from "../load/run.ts";
import { partOf, type Shard } from "../load/shape/shards.ts";
import type { Stage } from "../load/shape/stages.ts";
import { bodyOfTraced } from "../load/traces/bodies.ts";
import type { TokenCounter } from "../sources/tokens.ts";
import type { LoadOptions } from "./load_options.ts";

/** Different prompts of one run, where their length is given. */
const PROMPTS_MAX = 1000;

/** What is asked in a stage. `seed`: of the round; `shard`: what of it is asked from here. */
export function makerOf(
  options: LoadOptions,
  stage: Stage,
  counter: TokenCounter,
  seed: number,
  shard: Shard,
): RequestMaker {
  const { flags, api, model, endpoints, bodies, trace } = options;
  const behaviour: Behaviour = {
    leaveTokens: flags.leaveAfter ?? Infinity,
    leaveShare: flags.leaveShare,
    readBytesPerSecond: flags.readRate ?? Infinity,
  };
  const tokensMax = flags.outputTokens;
  const chance = chanceOf(seed);
  const isClosed = stage.kind === "closed";
  const ask = (random: () => number) =>
    flags.promptTokens === undefined
      ? flags.prompt ?? "Hello"
      : promptOf(flags.promptTokens, random, counter);
  const thinkMs = (random: () => number) => -Math.log(1 - random()) * flags.think;
  /** Requests that follow nothing: users of a closed loop think before the next one. */
  const apart = ({ next, over }: RequestMaker): RequestMaker => {
    if (!isClosed) return { next, over: () => undefined };
    if (flags.think === 0) return { next, over };
    // Not the number that decides whether the client leaves.
    return { next, over: (_, { number }) => thinkMs(chanceOf(~seed)(number)) };
  };
  if (trace !== undefined && api !== "raw") {
    const made = { api, model, isStream: !flags.whole, cutter: counter };
    // A trace that is asked at its own times is asked once, and most of it by others.
    const isOwn = (number: number) =>
      stage.kind !== "trace" || number % shard.count === shard.index;
    const asked = trace.map((one, i) =>
      isOwn(i)
        ? bodyOfTraced({ ...one, outputTokens: one.outputTokens ?? tokensMax }, {
          ...made,
          random: chance(i),
        })
        : undefined
    );
    return apart(turnsOf(endpoints, asked, behaviour, chance, "one"));
  }
  if (bodies !== undefined) {
    const given = bodies.map((body) => ({ body, promptTokens: NaN, tokensMax: NaN }));
    return apart(turnsOf(endpoints, given, behaviour, chance));
  }
  if (api === "raw") throw new Error("A raw body is given");
  const isStream = !flags.whole;
  if (flags.turns > 1 && api !== "embeddings") {
    return conversationsOf(
      endpoints,
      {
        api,
        model,
        isStream,
        tokensMax,
        turns: flags.turns,
        thinkMs,
        ask,
        count: (text) => counter.count(text),
        isEndless: isClosed,
        numberOf: partOf(shard, isClosed ? stage.concurrency : shard.count).numberOf,
      },
      behaviour,
      chance,
    );
  }
  const prompts = flags.promptTokens === undefined
    ? 1
    : Math.min(PROMPTS_MAX, flags.requests ?? PROMPTS_MAX);
  const made = Array.from({ length: prompts }, (_, i): LoadBody => {
    const content = ask(chance(i));
    const messages: readonly Message[] = [{ role: "user", content }];
    const body = bodyOf(api, { model, messages, isStream, tokensMax });
    return { body, promptTokens: counter.count(content), tokensMax: tokensMax ?? NaN };
  });
  return apart(turnsOf(endpoints, made, behaviour, chance));
}

/** What is by chance in request or conversation `number` of the whole load. */
function chanceOf(seed: number): Chance {
  const base = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  return (number) => seeded(base + Math.imul(number + 1, 0xc2b2ae35));
}
