/**
 * An answer that is kept: its bytes, when each piece of them came, and what of its head is true for whoever
 * gets it later. It is played as a tape is.
 *
 * @module
 */

import type { Answer, DialectName } from "../../core/answer.ts";
import { HOP_BY_HOP, isPlainEventStream, namedHops } from "../../core/relay_headers.ts";
import { Fields } from "../../lib/http1/fields.ts";
import { LineFilter } from "../../lib/http1/line_filter.ts";
import { SseCutter } from "../../lib/sse_cutter.ts";
import type { Wheel } from "../../lib/wheel.ts";
import { laidBytes, type LaidTape } from "../tape/laid.ts";
import { type PlayOptions, TimedTape, WholeTape } from "../tape/play.ts";
import { KEYED_HEADERS } from "./cache_key.ts";
import { batchesAt, type CachePace, KnownSteps } from "./known_steps.ts";

/** Names and values of the fields of a request on which its answer depends (`vary`). */
export type Varying = readonly (readonly [name: string, value: string | null])[];

/** What is kept of an answer. */
export interface AnswerFacts {
  /** Of whoever asked. */
  readonly dialect: DialectName;
  /** The model that answers, where the answer is said again in steps: `bytes` are these, as JSON. */
  readonly model?: string | undefined;
  /** Those that are true for everybody: see `sharedFields`. */
  readonly fields: Fields;
  /** The name under which the upstream has told its id of the request; "" = it has not. */
  readonly idName: IdName;
  readonly bytes: Buffer<ArrayBuffer>;
  /** `ends[i]`: the offset behind piece i. */
  readonly ends: Uint32Array;
  /** When piece i came, in microseconds since the request. They never decrease. */
  readonly atUs: Float64Array;
  readonly varying: Varying;
  /** When it was whole, in milliseconds since 1970. */
  readonly wholeAtMs: number;
  /** How old it was then already, by what the upstream said, in seconds. */
  readonly ageS: number;
  /** How long it lives from then on. */
  readonly ttlMs: number;
}

/** A kept answer, ready to be told. */
export class StoredAnswer {
  readonly facts: AnswerFacts;
  /** What it takes in memory, about. */
  readonly byteLength: number;
  /** It, from now on: one object for all where that is told at once. */
  readonly answer: () => Answer;

  constructor(facts: AnswerFacts, pace: CachePace, options: Omit<PlayOptions, "speed">) {
    this.facts = facts;
    const tape = tapeOf(facts);
    const kept = facts.model === undefined
      ? playedAt(tape, pace, options)
      : spokenAt(facts, facts.model, pace, options.wheel);
    this.answer = kept.answer;
    this.byteLength = laidBytes(tape) + kept.moreBytes;
  }

  /** Milliseconds since it was whole. Clocks of several machines may differ. */
  #sinceMs(nowMs: number): number {
    return Math.max(0, nowMs - this.facts.wholeAtMs);
  }

  ageS(nowMs: number): number {
    return this.facts.ageS + Math.floor(this.#sinceMs(nowMs) / 1000);
  }

  /** How long it still lives, in milliseconds; 0 or less = it does not. */
  leftMs(nowMs: number): number {
    return this.facts.ttlMs - this.#sinceMs(nowMs);
  }

  /** True when a request with `fields` may have it. */
  fits(fields: Fields): boolean {
    return fitsVarying(this.facts.varying, fields);
  }
}

/** How an answer is told, and what that takes in memory besides its bytes. */
interface Telling {
  readonly answer: () => Answer;
  readonly moreBytes: number;
}

/** An upstream's bytes. */
function playedAt(
  tape: LaidTape,
  pace: CachePace,
  options: Omit<PlayOptions, "speed">,
): Telling {
  if (pace === "at_once" || !isPlainEventStream(tape.fields)) {
    const whole = new WholeTape(tape, { ...options, speed: 0 });
    return { answer: () => whole, moreBytes: 0 };
  }
  const timed = paced(tape, pace);
  const play = { ...options, speed: 1 };
  return {
    answer: () => new TimedTape(timed, options.wheel.nowMs, play),
    moreBytes: timed.ends.length * 12,
  };
}

/** Steps, which each surface says in its own dialect. */
function spokenAt(facts: AnswerFacts, model: string, pace: CachePace, wheel: Wheel): Telling {
  const batches = batchesAt(facts, pace);
  return {
    answer: () => ({ kind: "live", steps: new KnownSteps(batches, wheel), model }),
    moreBytes: 2 * facts.bytes.length,
  };
}

/** The fields of `request` that `fields`, an answer's, name in their `vary`, but for those in each key. */
export function varyingOf(fields: Fields, request: Fields): Varying {
  const vary = fields.get("vary");
  if (vary === null) return [];
  const names = vary.split(",").map((name) => name.trim().toLowerCase());
  return names.filter((name) => name !== "" && !KEYED_HEADERS.includes(name))
    .map((name) => [name, request.get(name)] as const);
}

/** True when `fields` of a request say the same in all that varies. */
export function fitsVarying(varying: Varying, fields: Fields): boolean {
  return varying.every(([name, value]) => fields.get(name) === value);
}

/** The names under which upstreams tell their own ids of requests; "" = this one tells none. */
export const ID_NAMES = ["x-request-id", "request-id", ""] as const;

/** One of them. */
export type IdName = typeof ID_NAMES[number];

/** What is true of one answer only: how long it took, what was left then, whose cookie it is. */
const OF_ONE: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...ID_NAMES,
  "age",
  "cf-ray",
  "content-length",
  "openai-processing-ms",
  "retry-after",
  "retry-after-ms",
  "server-timing",
  "set-cookie",
]);
const OF_ONE_KINDS = /^(?:x-weir-|x-ratelimit-|anthropic-ratelimit-)/;

const SHARED = new LineFilter(new Set(["connection"]), (fields) => {
  const hops = namedHops(fields.get("connection"));
  const passes = (name: string) => !OF_ONE.has(name) && !OF_ONE_KINDS.test(name) && !hops.has(name);
  return { passes, added: Fields.NONE, meaning: undefined };
});

/** The fields of an upstream's answer that are true for everybody who gets it. */
export function sharedFields(fields: Fields): Fields {
  const { bytes, from, to } = SHARED.of(fields).fields;
  return new Fields(Buffer.from(bytes.subarray(from, to)), 0, to - from);
}

/** The name under which an answer with `fields` tells its id; "" = it does not. */
export function idNameOf(fields: Fields): IdName {
  return ID_NAMES.find((name) => name !== "" && fields.has(name)) ?? "";
}

function tapeOf({ dialect, fields, bytes, ends, atUs }: AnswerFacts): LaidTape {
  return {
    ...{ id: "", dialect, url: "", status: 200, fields, bytes, ends, atUs },
    encoding: (fields.get("content-encoding") ?? "").trim().toLowerCase(),
    isUntilClose: false,
    headUs: 0,
    ending: { how: "whole", atUs: atUs.at(-1) ?? 0, error: "" },
    usage: undefined,
    fresh: undefined,
  };
}

/** `tape` at another pace. The first piece leaves at once: nobody waits anew for a model. */
function paced(tape: LaidTape, pace: "recorded" | number): LaidTape {
  if (pace === "recorded") {
    const firstUs = tape.atUs[0] ?? 0;
    return timed(tape, tape.ends, tape.atUs.map((us) => us - firstUs));
  }
  const ends: number[] = [];
  const cutter = new SseCutter();
  let end = 0;
  for (const { bytes } of cutter.feed(Buffer.from(tape.bytes))) ends.push(end += bytes.length);
  if (end < tape.bytes.length) ends.push(tape.bytes.length);
  return timed(tape, Uint32Array.from(ends), Float64Array.from(ends, (_, i) => i * 1e6 / pace));
}

function timed(tape: LaidTape, ends: Uint32Array, atUs: Float64Array): LaidTape {
  return { ...tape, ends, atUs, ending: { ...tape.ending, atUs: atUs.at(-1) ?? 0 } };
}
