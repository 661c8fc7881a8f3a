/**
 * What the requests of a stage ask.
 *
 * @module
 */

import { bodyOf, type Message } from "../load/requests/bodies.ts";
import {
  type Behaviour,
  conversationsOf,
  type LoadBody,
  turnsOf,
} from "../load/requests/makers.ts";
import { promptOf } from "../load/requests/prompts.ts";
import type { RequestMaker } from "../load/run.ts";
import type { Stage } from "../load/shape/stages.ts";
import { bodyOfTraced } from "../load/traces/bodies.ts";
import type { TokenCounter } from "../sources/tokens.ts";
import type { LoadOptions } from "./load_options.ts";
import type { Shard } from "./load_values.ts";

/** Different prompts of one run, where their length is given. */
const PROMPTS_MAX = 1000;

/** What is asked in a stage. */
export function makerOf(
  options: LoadOptions,
  stage: Stage,
  counter: TokenCounter,
  random: () => number,
): RequestMaker {
  const { flags, api, model, endpoints, bodies, trace } = options;
  const behaviour: Behaviour = {
    leaveTokens: flags.leaveAfter ?? Infinity,
    leaveShare: flags.leaveShare,
    readBytesPerSecond: flags.readRate ?? Infinity,
  };
  const tokensMax = flags.outputTokens;
  const ask = () =>
    flags.promptTokens === undefined
      ? flags.prompt ?? "Hello"
      : promptOf(flags.promptTokens, random, counter);
  if (trace !== undefined && api !== "raw") {
    const made = { api, model, isStream: !flags.whole, cutter: counter, random };
    // Those of other machines are due as well, and not from here.
    const own = trace.filter((_, i) => isOwn(i, flags.shard));
    const asked = turnsOf(
      endpoints,
      own.map((one) => bodyOfTraced(one, made)),
      behaviour,
      random,
    );
    return stage.kind === "closed" ? asked : { next: asked.next, over: () => undefined };
  }
  if (bodies !== undefined) {
    const given = bodies.map((body) => ({ body, promptTokens: NaN, tokensMax: NaN }));
    const asked = turnsOf(endpoints, given, behaviour, random);
    return stage.kind === "closed" ? asked : { next: asked.next, over: () => undefined };
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
        thinkMs: () => -Math.log(1 - random()) * flags.think,
        ask,
        count: (text) => counter.count(text),
        isEndless: stage.kind === "closed",
      },
      behaviour,
      random,
    );
  }
  const prompts = flags.promptTokens === undefined
    ? 1
    : Math.min(PROMPTS_MAX, flags.requests ?? PROMPTS_MAX);
  const made = Array.from({ length: prompts }, (): LoadBody => {
    const content = ask();
    const messages: readonly Message[] = [{ role: "user", content }];
    const body = bodyOf(api, { model, messages, isStream, tokensMax });
    return { body, promptTokens: counter.count(content), tokensMax: tokensMax ?? NaN };
  });
  const turns = turnsOf(endpoints, made, behaviour, random);
  if (stage.kind !== "closed") return { next: turns.next, over: () => undefined };
  if (flags.think === 0) return turns;
  return { next: turns.next, over: () => -Math.log(1 - random()) * flags.think };
}

function isOwn(number: number, shard: Shard | undefined): boolean {
  return shard === undefined || number % shard.count === shard.index;
}
