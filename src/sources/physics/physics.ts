/**
 * The latency physics: takes a source and gives one whose scripts are said when a profile wants it, in
 * place of the even pace that they have. What is drawn for a request follows from its seed
 * (`Draws`); load, a queue and the prompt cache hang on what else goes on.
 *
 * Without a profile nobody makes one.
 *
 * @module
 */

import type { Answer, Ask, Schedule, Script, Source } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call, Drawing } from "../../core/exchange.ts";
import type { Turn } from "../../core/turn.ts";
import type { Recent } from "../../lib/recent.ts";
import type { Tally } from "../../lib/tally.ts";
import type { Wheel } from "../../lib/wheel.ts";
import type { Draw, Draws } from "../draws.ts";
import type { Counter, Tokens } from "../mock/counter.ts";
import { type Beat, beatsOf, dueOf, laterTokens, thoughtTokensOf } from "./beats.ts";
import { Gaps, type Luck, luckOf } from "./draw.ts";
import { loadFactorOf, Running } from "./load.ts";
import { type Pieces, PiecesMaker } from "./pieces.ts";
import type { LatencyProfile } from "./profile.ts";
import { PromptCache } from "./prompt_cache.ts";
import { type StepJob, StepScheduler } from "./steps.ts";

/** The header that names a test's own things: its prompts are cached for it alone. */
const SESSION_HEADER = "x-weir-session";

/** Rows of the tally: requests that run, prompts that wait, tokens that are wanted. */
const ROWS = { running: 0, prompts: 1, tokens: 2 } as const;
/** Rows that a tally needs. */
export const LOAD_ROWS = 3;

/** What it takes. */
export interface PhysicsDeps {
  readonly profile: LatencyProfile;
  readonly draws: Draws;
  readonly tokens: Tokens;
  /** Tokens of a prompt, as the mock counts them. */
  readonly promptTokens: (turn: Turn) => number;
  readonly wheel: Wheel;
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** What runs and waits in all workers; it has `LOAD_ROWS` rows. */
  readonly tally: Tally;
  /** Beginnings of prompts that came lately. */
  readonly prefixes: Recent;
}

type ScriptAnswer = Extract<Answer, { readonly kind: "script" }>;

/** The physics of one profile: one for all sources of a process. */
export class Physics {
  readonly #deps: PhysicsDeps;
  readonly #pieces: PiecesMaker;
  readonly #cache: PromptCache;
  readonly #running: Running;
  readonly #scheduler: StepScheduler | undefined;

  constructor(deps: PhysicsDeps) {
    const { profile, tokens, prefixes, wallMs, tally, wheel } = deps;
    this.#deps = deps;
    this.#pieces = new PiecesMaker(profile, tokens);
    this.#cache = new PromptCache(profile, prefixes, wallMs);
    this.#running = new Running(tally, ROWS.running, wheel);
    this.#scheduler = profile.load === "steps"
      ? new StepScheduler(profile, wheel, tally, ROWS)
      : undefined;
  }

  /** `source`, whose scripts leave as the profile has it. All other answers stay as they are. */
  readonly around = (source: Source): Source => ({
    name: source.name,
    answer: (ask, call) => {
      const answer = source.answer(ask, call);
      if (answer instanceof Promise) return answer.then((settled) => this.#of(settled, ask, call));
      return this.#of(answer, ask, call);
    },
  });

  #of(answer: Answer, ask: Ask, call: Call): Answer | Promise<Answer> {
    if (answer.kind !== "script" || hasOwnTimes(answer)) return answer;
    const { profile, draws } = this.#deps;
    const turn = ask.turn();
    const draw = draws.of(ask, call);
    const counter = this.#deps.tokens.of(turn.model);
    const promptTokens = this.#deps.promptTokens(turn);
    const cachedTokens = this.#cachedOf(answer, turn, promptTokens, counter, call);
    const uncached = Math.max(0, promptTokens - cachedTokens);
    const luck = luckOf(profile, draw, uncached);
    const pieces = this.#piecesOf(answer.script, ask, draw, counter);
    const beats = beatsOf(pieces, thoughtTokensOf(answer));
    const drawn = new Drawn(luck, cachedTokens, laterTokens(beats));
    call.drawn = drawn;
    const { usage } = answer;
    const said = {
      ...answer,
      script: pieces.script,
      ...(usage === undefined || cachedTokens === 0 ? {} : { usage: { ...usage, cachedTokens } }),
    };
    if (this.#scheduler !== undefined) {
      return this.#stepped(said, { beats, drawn, draw, uncached }, call);
    }
    if (profile.load === "factor") {
      drawn.loadFactor = loadFactorOf(profile, this.#running.withOneMore);
    }
    const gaps = new Gaps(profile, draw, luck.tokensPerS, drawn.loadFactor);
    const firstMs = luck.firstTokenMs * drawn.loadFactor + firstWaitMs(answer.script);
    const dueMs = dueOf(beats, pieces.script.steps.length, firstMs, gaps);
    if (profile.load === "factor") {
      this.#running.begin(call.startMs + dueMs.at(-1)!, call.signal);
    }
    return { ...said, schedule: { dueMs, known: dueMs.length, onMore: undefined } };
  }

  /** What an answer tells of it; else what the cache has, which knows the prompt from now on. */
  #cachedOf(
    { usage }: ScriptAnswer,
    turn: Turn,
    promptTokens: number,
    counter: Counter,
    { request }: Call,
  ): number {
    if (usage?.cachedTokens !== undefined) return usage.cachedTokens;
    const owner = request?.head.fields.get(SESSION_HEADER) ?? "";
    return this.#cache.take(turn, promptTokens, counter, owner);
  }

  #piecesOf(script: Script, { cutsAfterBlank }: Ask, draw: Draw, { encoding }: Counter): Pieces {
    const isKept = script.isCut === true || cutsAfterBlank === true;
    const { variants } = this.#pieces;
    const variant = variants === 1 || isKept ? 0 : Math.floor(draw.at("pieces") * variants);
    return this.#pieces.of(script, encoding, variant, isKept);
  }

  /** Said as the scheduler comes to it: known when its first token is. */
  #stepped(
    answer: ScriptAnswer,
    drawing: Omit<Stepping, "gaps" | "stepCount" | "startMs" | "stepMs">,
    call: Call,
  ): Promise<Answer> {
    const { profile } = this.#deps;
    const scheduler = this.#scheduler!;
    const { signal, startMs } = call;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    if (signal.aborted) throw signal.reason;
    const job = new SteppedAnswer(
      {
        ...drawing,
        gaps: new Gaps(profile, drawing.draw, drawing.drawn.tokensPerS, 1),
        stepCount: answer.script.steps.length,
        startMs,
        stepMs: profile.step_ms,
      },
      () => resolve({ ...answer, schedule: job }),
      () => {
        signal.removeEventListener("abort", onAbort);
      },
    );
    const place = scheduler.add(job);
    if (place === undefined) throw overloaded();
    const onAbort = {
      handleEvent: () => {
        scheduler.leave(place);
        reject(signal.reason); // of no effect where the answer has begun
      },
    };
    signal.addEventListener("abort", onAbort);
    return promise;
  }
}

/** True when somebody else has decided when `answer` is said: its author, or where it breaks off. */
function hasOwnTimes({ script, cut, schedule }: ScriptAnswer): boolean {
  if (schedule !== undefined || script.isTimed === true || script.steps.length === 0) return true;
  return cut !== undefined && (cut.afterEvents === 0 || cut.afterMs < Infinity);
}

/** What a fixture's chaos has its first piece wait. */
function firstWaitMs({ steps }: Script): number {
  return steps.find((step) =>
    step.kind === "end" || step.kind === "call" || step.kind === "audio" ||
    ("text" in step && step.text !== "")
  )?.afterMs ?? 0;
}

function overloaded(): AppError {
  return new AppError("overloaded", "The engine is currently overloaded, please try again later");
}

/** What was drawn, and what became of it. */
class Drawn implements Drawing {
  readonly firstTokenMs: number;
  readonly tokensPerS: number;
  readonly isSlow: boolean;
  readonly cachedTokens: number;
  readonly laterTokens: number;
  loadFactor = 1;
  queueMs = 0;
  deliveredFirstMs = -1;

  constructor({ firstTokenMs, tokensPerS, isSlow }: Luck, cached: number, later: number) {
    this.firstTokenMs = firstTokenMs;
    this.tokensPerS = tokensPerS;
    this.isSlow = isSlow;
    this.cachedTokens = cached;
    this.laterTokens = later;
  }

  delivers(atMs: number): void {
    this.deliveredFirstMs = atMs;
  }
}

/** What a stepped answer is made of. */
interface Stepping {
  readonly beats: readonly Beat[];
  readonly drawn: Drawn;
  readonly draw: Draw;
  /** Tokens of the prompt that no cache has. */
  readonly uncached: number;
  readonly gaps: Gaps;
  readonly stepCount: number;
  /** When the request came, on the wheel's clock. */
  readonly startMs: number;
  readonly stepMs: number;
}

/** An answer that a scheduler works at. */
class SteppedAnswer implements StepJob, Schedule {
  readonly promptTokens: number;
  readonly dueMs: Float64Array;
  known = 0;
  onMore: (() => void) | undefined = undefined;
  readonly #stepping: Stepping;
  readonly #onFirst: () => void;
  readonly #onEnd: () => void;
  #beat = 0;
  #tokensLeft: number;

  /** `onFirst` is called when the first step is known, `onEnd` behind the last. */
  constructor(stepping: Stepping, onFirst: () => void, onEnd: () => void) {
    this.#stepping = stepping;
    this.promptTokens = stepping.uncached;
    this.dueMs = new Float64Array(stepping.stepCount);
    this.#onFirst = onFirst;
    this.#onEnd = onEnd;
    this.#tokensLeft = stepping.beats[0]!.tokens;
  }

  onBegun(atMs: number): void {
    this.#stepping.drawn.queueMs = Math.max(0, atMs - this.#stepping.startMs);
  }

  onRead(atMs: number): number {
    const { startMs, drawn, stepMs } = this.#stepping;
    return Math.max(atMs, startMs + drawn.firstTokenMs - stepMs);
  }

  onToken(wantedMs: number, beginMs: number, endMs: number): number | undefined {
    const { beats, startMs, gaps, stepMs } = this.#stepping;
    if (--this.#tokensLeft === 0) {
      const { stepEnd } = beats[this.#beat++]!;
      const wasKnown = this.known > 0;
      this.dueMs.fill(endMs - startMs, this.known, stepEnd);
      this.known = stepEnd;
      if (wasKnown) this.onMore?.();
      else if (stepEnd > 0) this.#onFirst();
    }
    const beat = beats[this.#beat];
    if (beat === undefined) {
      this.#onEnd();
      return undefined;
    }
    let gapMs = gaps.token();
    if (this.#tokensLeft === 0) {
      this.#tokensLeft = beat.tokens;
      if (beat.kind === "event") gapMs += gaps.pause();
    }
    // Rounding to steps must not add up; what a full batch has cost is lost.
    const lostMs = Math.max(0, beginMs - wantedMs - stepMs);
    return wantedMs + lostMs + gapMs;
  }
}
