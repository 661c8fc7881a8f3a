/**
 * Counts what answers cost: takes a source and gives one whose answers are counted when they have ended,
 * however they do. Who has told is believed; else what was said is counted here, which is then an
 * estimate, as is what was said of an answer that broke off.
 *
 * @module
 */

import type { Answer, Ask, Script, Source, Usage } from "../../core/answer.ts";
import type { Event, Watch } from "../../core/events.ts";
import type { Call, OpenUpstreamCall } from "../../core/exchange.ts";
import type { Turn } from "../../core/turn.ts";
import { noteUsage, type UsageRule } from "../../core/usage.ts";
import type { Fields } from "../../lib/http1/fields.ts";
import { promptTokens } from "../prompt_tokens.ts";
import type { TokenCounters } from "../tokens.ts";

/** Bytes of a token in a body, roughly; and in a stream, where each has an event of its own. */
const TOKEN_BYTES = 4;
const STREAMED_TOKEN_BYTES = 200;

/** A larger question is not kept for its answer's time: it is counted by its length. */
const QUESTION_BYTES_MAX = 64 * 1024;

/** What it needs. */
export interface UsageDeps {
  readonly tokens: TokenCounters;
  /** What so many tokens of a model cost, in billionths of a US dollar; undefined = nobody knows. */
  readonly costOf: (model: string, usage: Usage) => number | undefined;
  /** True: requests without a key are counted, too; jobs always are. */
  readonly countsAll: boolean;
  /** Digests of keys whose answers are not counted. */
  readonly uncounted: ReadonlySet<string>;
  /** Told of each answer whose tokens are known, at its end. Must not throw. */
  readonly onCounted: (call: Call) => void;
}

type Told = Extract<Answer, { kind: "script" }>;

/** Counts answers of sources. */
export class UsageCounts {
  readonly #deps: UsageDeps;
  /** Answers whose clients have left, and which are finished all the same. */
  readonly #drained = new Map<OpenUpstreamCall, () => void>();

  constructor(deps: UsageDeps) {
    this.#deps = deps;
  }

  /** `source`, with its answers counted. */
  around(source: Source): Source {
    return {
      name: source.name,
      answer: (ask, call) => {
        if (!this.#counts(ask, call)) return source.answer(ask, call);
        call.isMetered = true;
        const answer = source.answer(ask, call);
        return answer instanceof Promise
          ? answer.then((answer) => this.#follow(answer, ask, call))
          : this.#follow(answer, ask, call);
      },
    };
  }

  /** To be told of what happens: what is finished without its client is counted then. */
  readonly watch: Watch = (event: Event) => {
    if (event.kind !== "upstream_ended" || this.#drained.size === 0) return;
    for (const [upstream, settle] of this.#drained) {
      if (upstream !== event.call) continue;
      this.#drained.delete(upstream);
      settle();
    }
  };

  /** What is asked about things that are kept names no model, and costs nothing again. */
  #counts(ask: Ask, { key, request }: Call): boolean {
    // A job of a workflow costs what it costs, whoever has started it.
    const isJob = request === undefined;
    if (key === undefined && !isJob && !this.#deps.countsAll) return false;
    if (key !== undefined && this.#deps.uncounted.has(key.digest)) return false;
    const { wire } = ask;
    if (wire?.dialect !== "openai") return true;
    return wire.method === "POST" && (key?.isLimited === true || ask.model() !== "");
  }

  #follow(answer: Answer, ask: Ask, call: Call): Answer {
    const isAnswer = answer.kind !== "relay" || (answer.status >= 200 && answer.status < 300);
    if (!isAnswer || !call.isMetered) return answer;
    const { wire } = ask;
    const bytes = wire?.upload === undefined ? wire?.body?.length ?? 0 : lengthOf(wire.fields);
    const isPassed = wire?.dialect === "openai";
    const turn = isPassed || bytes > QUESTION_BYTES_MAX ? undefined : () => ask.turn();
    const script = answer.kind === "script" ? answer : undefined;
    let isSettled = false;
    const settle = () => {
      if (isSettled) return;
      isSettled = true;
      this.#settle(new Question(turn, bytes, this.#deps.tokens), script, isPassed, call);
    };
    // What is known of a whole answer is safe before its client has the end of it.
    call.beforeLast(() => {
      const isKnown = script === undefined ? call.meter?.isTold === true : script.cut === undefined;
      if (isKnown && call.faults === undefined) settle();
    });
    call.atEnd(() => {
      const { upstream } = call;
      const isUnderWay = upstream !== undefined && upstream.durationMs < 0;
      const isDrained = call.isDraining && call.outcome === "client_left";
      if (isDrained && isUnderWay && call.meter?.isTold !== true) {
        this.#drained.set(upstream, settle);
      } else settle();
    });
    return answer;
  }

  #settle(question: Question, script: Told | undefined, isPassed: boolean, call: Call): void {
    if (call.cache?.isFree === true) return; // who asked the same before pays
    if (script !== undefined) this.#settleScript(question, script, call);
    else this.#settleRelay(question, isPassed, call);
    if (call.promptTokens < 0 && call.completionTokens < 0) return;
    const cost = this.#deps.costOf(call.model, usageOf(call));
    if (cost !== undefined) call.costNanos = cost;
    this.#deps.onCounted(call);
  }

  /** Of what is known beforehand: all of it, or the steps that have left. */
  #settleScript(question: Question, { script, usage, cost, cut }: Told, call: Call): void {
    const { progress, outcome, status, faults } = call;
    const isEnded = outcome === undefined || outcome === "completed";
    const { steps } = script;
    const hasBegun = outcome === undefined || (status >= 200 && status < 300);
    const said = !hasBegun
      ? 0
      : progress === undefined || (isEnded && cut === undefined && faults === undefined)
      ? steps.length
      : progress.stepsSaid;
    const turn = question.turn();
    const whole = usage ?? (turn === undefined ? undefined : cost?.(turn));
    const isWhole = said === steps.length;
    if (whole !== undefined) noteUsage(call, isWhole ? whole : partOf(whole, 0));
    else call.promptTokens = question.tokens();
    if (!isWhole || whole === undefined) {
      call.completionTokens = this.#count(call.model, textOf(script, said));
    }
    if (!isWhole || whole === undefined || !isEnded) call.tokensAreEstimated = true;
  }

  #settleRelay(question: Question, isPassed: boolean, call: Call): void {
    const { meter, outcome, status } = call;
    const isEnded = outcome === undefined || outcome === "completed";
    const told = meter?.told;
    if (told !== undefined && (isEnded || meter!.isTold)) return noteUsage(call, told);
    if (isPassed) return this.#settlePassed(question, call);
    const isKnown = call.promptTokens >= 0 && call.completionTokens >= 0;
    if (isKnown && (isEnded || meter === undefined)) return;
    const text = meter?.said() ?? "";
    // An upstream that failed before it said anything is not paid for.
    if (!isEnded && outcome !== "client_left" && status >= 300 && text === "") return;
    call.tokensAreEstimated = true;
    if (told !== undefined) noteUsage(call, partOf(told, told.completionTokens));
    else call.promptTokens = question.tokens();
    const count = text === "" ? byBytes(call) : this.#count(call.model, text);
    call.completionTokens = Math.max(told?.completionTokens ?? 0, count);
  }

  /** Of what is no conversation: a question alone, unless more was told. */
  #settlePassed(question: Question, call: Call): void {
    if (call.completionTokens < 0 && call.promptTokens >= 0) call.completionTokens = 0;
    if (call.promptTokens >= 0 || call.key?.isLimited !== true) return;
    call.promptTokens = question.tokens();
    call.completionTokens = 0;
    call.tokensAreEstimated = true;
  }

  #count(model: string, text: string): number {
    return this.#deps.tokens.of(model).count(text);
  }
}

/**
 * The rule of the route that `call` takes. Whoever has limits is counted always.
 */
export function takeRule(rule: UsageRule, call: Call): void {
  call.usageRule = rule;
  if (rule === "off" && call.key?.isLimited !== true) call.isMetered = false;
}

/** What was asked, for as long as the answer takes. */
class Question {
  readonly #turn: (() => Turn) | undefined;
  readonly #bytes: number;
  readonly #counters: TokenCounters;

  constructor(turn: (() => Turn) | undefined, bytes: number, counters: TokenCounters) {
    this.#turn = turn;
    this.#bytes = bytes;
    this.#counters = counters;
  }

  /** undefined = it is too long, or nobody could read it. */
  turn(): Turn | undefined {
    try {
      return this.#turn?.();
    } catch {
      return undefined; // whoever was asked has understood it
    }
  }

  tokens(): number {
    const turn = this.turn();
    if (turn === undefined) return Math.ceil(this.#bytes / TOKEN_BYTES);
    return promptTokens(turn, this.#counters.of(turn.model));
  }
}

/** The same question, and an answer of so many tokens, of which nothing more is known. */
function partOf({ reasoningTokens: _, ...usage }: Usage, completionTokens: number): Usage {
  return { ...usage, completionTokens };
}

/** Bytes of a body that still comes; 0 = its length is not told. */
function lengthOf(fields: Fields): number {
  return Number(fields.get("content-length") ?? 0);
}

/** All texts of the first steps. */
function textOf({ steps }: Script, count: number): string {
  let text = "";
  for (const step of steps.slice(0, count)) {
    if (step.kind === "call") text += step.name;
    else if (step.kind === "audio") text += step.transcript;
    else if ("text" in step && step.kind !== "signature") text += step.text;
  }
  return text;
}

/** What an answer may have had that nobody could read. */
function byBytes({ bodyBytes, isStream }: Call): number {
  return Math.ceil(bodyBytes / (isStream ? STREAMED_TOKEN_BYTES : TOKEN_BYTES));
}

function usageOf({ promptTokens, completionTokens, cachedTokens, cacheWriteTokens }: Call): Usage {
  const usage: { -readonly [Key in keyof Usage]: Usage[Key] } = {
    promptTokens: Math.max(0, promptTokens),
    completionTokens: Math.max(0, completionTokens),
  };
  if (cachedTokens >= 0) usage.cachedTokens = cachedTokens;
  if (cacheWriteTokens >= 0) usage.cacheWriteTokens = cacheWriteTokens;
  return usage;
}
