/**
 * What the requests of a stage ask.
 *
 * @module
 */

import { seeded } from "../lib/seeded.ts";
import { known } from "../load/metrics/values.ts";
import { bodyOf, type Item } from "../load/requests/bodies.ts";
import {
  type Behaviour,
  type Chance,
  conversationsOf,
  type LoadBody,
  type Script,
  turnsOf,
} from "../load/requests/makers.ts";
import { type Prompt, promptOf, type TokenCutter } from "../load/requests/prompts.ts";
import type { RequestMaker } from "../load/run.ts";
import { partOf, type Shard } from "../load/shape/shards.ts";
import type { Stage } from "../load/shape/stages.ts";
import { bodyOfTraced, questionOf } from "../load/traces/bodies.ts";
import { turnsOf as turnsOfTraced } from "../load/traces/trace.ts";
import type { LoadOptions } from "./load_options.ts";

/** What is asked in a stage. `seed`: of the round; `shard`: what of it is asked from here. */
export function makerOf(
  options: LoadOptions,
  stage: Stage,
  counter: TokenCutter,
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
  const ask = (random: () => number): Prompt => {
    if (flags.promptTokens !== undefined) return promptOf(flags.promptTokens, random, counter);
    const text = flags.prompt ?? "Hello";
    return { text, tokens: counter.count(text) };
  };
  const thinkMs = (random: () => number) => -Math.log(1 - random()) * flags.think;
  /** Requests that follow nothing: users of a closed loop think before the next one. */
  const apart = ({ next, over }: RequestMaker): RequestMaker => {
    if (!isClosed) return { next, over: () => undefined };
    if (flags.think === 0) return { next, over };
    // Not the number that decides whether the client leaves.
    return { next, over: (_, { number }) => thinkMs(chanceOf(~seed)(number)) };
  };
  const conversations = {
    model,
    isStream: !flags.whole,
    count: (text: string) => counter.count(text),
    isEndless: isClosed,
    numberOf: partOf(shard, isClosed ? stage.concurrency : shard.count).numberOf,
  };
  const isModelGiven = flags.model !== undefined;
  const traced = { model, isModelGiven, isStream: !flags.whole, cutter: counter };
  if (trace?.some(({ later }) => later !== undefined && later.length > 0) && api !== "raw") {
    const scriptOf = (number: number): Script => {
      const turns = turnsOfTraced(trace[number % trace.length]!);
      const random = chance(number % trace.length);
      return {
        turns: turns.length,
        question: (turn) => {
          const { outputTokens = tokensMax, promptTokens, text, ...one } = turns[turn]!;
          const counted = promptTokens ?? (text === undefined ? undefined : counter.count(text));
          const asked = { ...one, text, outputTokens, promptTokens: counted };
          return questionOf(asked, { ...traced, api, random });
        },
        waitMs: (turn, endMs) => {
          if (turn === turns.length) return thinkMs(chanceOf(~seed)(number));
          const { delayMs, atMs } = turns[turn]!;
          if (delayMs !== undefined) return delayMs / flags.speed;
          // The run's clock is the trace's, where the trace says when.
          return atMs === undefined || stage.kind !== "trace"
            ? 0
            : Math.max(0, atMs / flags.speed - endMs);
        },
      };
    };
    return conversationsOf(endpoints, { ...conversations, api, scriptOf }, behaviour, chance);
  }
  if (trace !== undefined && api !== "raw") {
    // A trace that is asked at its own times is asked once, and most of it by others.
    const isOwn = (number: number) =>
      stage.kind !== "trace" || number % shard.count === shard.index;
    // Counting takes time, and what is counted none of the memory.
    const tokens = Float64Array.from(
      trace,
      ({ text }, i) => text !== undefined && isOwn(i) ? counter.count(text) : NaN,
    );
    const body = (at: number) => {
      const turn = at % trace.length;
      const one = trace[turn]!;
      const promptTokens = one.promptTokens ?? known(tokens[turn]);
      const outputTokens = one.outputTokens ?? tokensMax;
      return bodyOfTraced({ ...one, promptTokens, outputTokens }, {
        ...traced,
        api,
        random: chance(turn),
      });
    };
    return apart(turnsOf(endpoints, body, behaviour, chance, "one"));
  }
  if (bodies !== undefined) {
    const given = bodies.map((body) => ({ body, promptTokens: NaN, tokensMax: NaN }));
    return apart(turnsOf(endpoints, given, behaviour, chance));
  }
  if (api === "raw") throw new Error("A raw body is given");
  const { isStream } = conversations;
  if (flags.turns > 1 && api !== "embeddings") {
    const scriptOf = (_: number, random: () => number): Script => ({
      turns: flags.turns,
      question: () => {
        const { text: content, tokens } = ask(random);
        return { messages: [{ role: "user", content }], promptTokens: tokens, tokensMax };
      },
      waitMs: () => thinkMs(random),
    });
    return conversationsOf(endpoints, { ...conversations, api, scriptOf }, behaviour, chance);
  }
  const made = (at: number): LoadBody => {
    const { text: content, tokens } = ask(chance(at));
    const messages: readonly Item[] = [{ role: "user", content }];
    const body = bodyOf(api, { model, messages, isStream, tokensMax });
    return { body, promptTokens: tokens, tokensMax: tokensMax ?? NaN };
  };
  const bodiesMade = flags.promptTokens === undefined ? [made(0)] : made;
  return apart(turnsOf(endpoints, bodiesMade, behaviour, chance));
}

/** What is by chance in request or conversation `number` of the whole load. */
function chanceOf(seed: number): Chance {
  const base = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  return (number) => seeded(base + Math.imul(number + 1, 0xc2b2ae35));
}
