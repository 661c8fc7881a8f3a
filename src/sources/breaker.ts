/**
 * A circuit breaker: a source that fails too often is left alone for a while, and then tried with one
 * question at a time.
 *
 * @module
 */

import type { Answer, Source } from "../core/answer.ts";
import type { BreakerShare, ToldBreaker } from "../core/breakers.ts";
import { AppError } from "../core/errors.ts";
import type { BreakerState, Watch } from "../core/events.ts";
import type { Call } from "../core/exchange.ts";
import { whenOver } from "./over.ts";

/** When it opens, and for how long; from the config. */
export interface BreakerRules {
  /** The share of questions that must have failed; 0 = it never opens. */
  readonly breaker_share: number;
  /** Of so many questions at least. */
  readonly breaker_min: number;
  /** In a time of this length. */
  readonly breaker_window_ms: number;
  /** How long it stays open. */
  readonly breaker_open_ms: number;
}

/** The window moves on in steps of so many parts of it. */
const SLOTS = 10;

/** One may be bad luck. */
const PROBES_MISSED_MAX = 2;

/** What happened in one part of the window. */
interface Slot {
  /** Counts parts since the clock began. */
  part: number;
  asked: number;
  failed: number;
}

/** The breaker of one upstream. */
export class Breaker implements ToldBreaker {
  readonly #name: string;
  readonly #rules: BreakerRules;
  readonly #nowMs: () => number;
  readonly #watch: Watch;
  readonly #share: BreakerShare | undefined;
  readonly #slots: Slot[] = Array.from(
    { length: SLOTS },
    () => ({ part: -1, asked: 0, failed: 0 }),
  );
  #state: BreakerState = "closed";
  #openUntilMs = 0;
  #isProbing = false;
  /** Counts its turns: what was asked before one of them says nothing of what is now. */
  #era = 0;
  /** True: it opened as probes had failed, and not as clients met failures. */
  #isOfProbes = false;
  /** Probes that have failed, one after the other. */
  #missed = 0;

  /**
   * `name`: what the upstream is called. `nowMs`: a clock that never goes back. `share`: tells other weirs;
   * undefined = there are none.
   */
  constructor(
    name: string,
    rules: BreakerRules,
    nowMs: () => number,
    watch: Watch,
    share?: BreakerShare,
  ) {
    this.#name = name;
    this.#rules = rules;
    this.#nowMs = nowMs;
    this.#watch = watch;
    this.#share = share;
    share?.join(name, this);
  }

  /** What it is now: one that has been open for long enough is half open, though nobody has asked since. */
  get state(): BreakerState {
    return this.#state === "open" && this.#nowMs() >= this.#openUntilMs ? "half_open" : this.#state;
  }

  /** For whoever is let go: when it was asked. */
  get era(): number {
    return this.#era;
  }

  /** Milliseconds until the next question may go; 0 = now. */
  get waitMs(): number {
    if (this.#state === "closed") return 0;
    if (this.#state === "open") return Math.max(0, this.#openUntilMs - this.#nowMs());
    return this.#isProbing ? this.#rules.breaker_open_ms : 0;
  }

  /** Lets a question go, whose outcome is to be told; false = it must not go. */
  admit(): boolean {
    if (this.#state === "closed") return true;
    if (this.waitMs > 0) return false;
    this.#turn("half_open");
    this.#isProbing = true;
    return true;
  }

  /** A question of `era` went well. */
  succeed(era = this.#era): void {
    if (era !== this.#era) return;
    if (this.#state === "closed") this.#note(1, 0);
    else if (this.#state === "half_open") this.#close();
  }

  /** A question of `era` failed. `isLate`: it had been told to go well. */
  fail(isLate = false, era = this.#era): void {
    if (era !== this.#era) return;
    if (this.#state === "half_open" && !isLate) return this.#open();
    if (this.#state !== "closed") return;
    this.#note(isLate ? 0 : 1, 1);
    const { breaker_share, breaker_min } = this.#rules;
    const first = this.#part - SLOTS + 1;
    let [asked, failed] = [0, 0];
    for (const slot of this.#slots) {
      if (slot.part < first) continue;
      asked += slot.asked;
      failed += slot.failed;
    }
    if (asked >= breaker_min && failed >= asked * breaker_share) this.#open();
  }

  /**
   * Somebody has asked whether it is there. Twice in vain, and it opens, whatever clients meet; an
   * answer closes it again, unless it was what clients met that has opened it.
   */
  probed(isThere: boolean): void {
    this.#missed = isThere ? 0 : this.#missed + 1;
    if (isThere && this.#isOfProbes && this.#state !== "closed") this.#close();
    if (this.#missed < PROBES_MISSED_MAX) return;
    this.#open();
    this.#isOfProbes = true;
  }

  /** A question of `era` that was let go tells nothing: whoever asked has left. */
  forget(era = this.#era): void {
    if (era === this.#era) this.#isProbing = false;
  }

  get #part(): number {
    return Math.floor(this.#nowMs() * SLOTS / this.#rules.breaker_window_ms);
  }

  #note(asked: number, failed: number): void {
    const part = this.#part;
    const slot = this.#slots[part % SLOTS]!;
    if (slot.part !== part) {
      slot.part = part;
      slot.asked = slot.failed = 0;
    }
    slot.asked += asked;
    slot.failed += failed;
  }

  follow(leftMs: number): void {
    this.#openFor(leftMs + this.#rules.breaker_open_ms);
  }

  recover(): void {
    if (this.#state === "closed") return;
    this.#missed = 0;
    for (const slot of this.#slots) slot.part = -1;
    this.#turn("closed");
  }

  #close(): void {
    this.recover();
    this.#share?.closed(this.#name);
  }

  #open(): void {
    const { breaker_open_ms } = this.#rules;
    this.#openFor(breaker_open_ms);
    this.#share?.opened(this.#name, breaker_open_ms);
  }

  #openFor(ms: number): void {
    this.#openUntilMs = this.#nowMs() + ms;
    this.#isOfProbes = false;
    this.#turn("open");
  }

  #turn(state: BreakerState): void {
    this.#isProbing = false;
    if (this.#state === state) return;
    this.#state = state;
    this.#era++;
    this.#watch({ kind: "breaker_turned", upstream: this.#name, state });
  }
}

/** `source` behind `breaker`, which it is told of what becomes of each question. */
export function broken(source: Source, breaker: Breaker, upstream: string): Source {
  return {
    name: source.name,
    answer(ask, call) {
      if (!breaker.admit()) throw openError(upstream, breaker.waitMs);
      const question = new Question(breaker, call);
      const take = (answer: Answer) => question.take(answer);
      const fail = (error: unknown): never => {
        question.fail(error);
        throw error;
      };
      try {
        const answer = source.answer(ask, call);
        return answer instanceof Promise ? answer.then(take, fail) : take(answer);
      } catch (error) {
        return fail(error);
      }
    },
  };
}

/** One that was let go, and what its breaker is told of it. */
class Question {
  readonly #breaker: Breaker;
  readonly #call: Call;
  readonly #era: number;
  readonly #attempts: number;
  #hasWord = false;

  constructor(breaker: Breaker, call: Call) {
    this.#breaker = breaker;
    this.#call = call;
    this.#era = breaker.era;
    this.#attempts = call.attempts;
  }

  /** An answer goes well once it has its first word; it may still break off. */
  take(answer: Answer): Answer {
    if (answer.kind === "relay" && answer.status >= 500) {
      this.#breaker.fail(false, this.#era);
      return answer;
    }
    return whenOver(answer, this.#call, (error) => this.#over(error), () => this.#speak());
  }

  /** There is no answer. */
  fail(error: unknown): void {
    if (this.#call.signal.aborted) this.#breaker.forget(this.#era);
    else if (isOfUpstream(error)) this.#breaker.fail(false, this.#era);
    // What weir itself refuses, before it asks, says nothing of the upstream.
    else if (this.#call.attempts === this.#attempts) this.#breaker.forget(this.#era);
    else this.#breaker.succeed(this.#era);
  }

  #speak(): void {
    this.#hasWord = true;
    this.#breaker.succeed(this.#era);
  }

  #over(error: unknown): void {
    const { aborted } = this.#call.signal;
    if (!aborted && isOfUpstream(error)) this.#breaker.fail(this.#hasWord, this.#era);
    else if (this.#hasWord) return;
    else if (aborted || error === undefined) this.#breaker.forget(this.#era);
    else this.#breaker.succeed(this.#era);
  }
}

/** True when an upstream failed, and not its client. */
function isOfUpstream(error: unknown): boolean {
  return error instanceof AppError && error.code.startsWith("upstream_") && error.status >= 500 &&
    error.code !== "upstream_full";
}

function openError(upstream: string, waitMs: number): AppError {
  return new AppError(
    "upstream_open",
    `The upstream ${upstream} has failed too often: it is not asked for the time being`,
    { headers: { "retry-after": String(Math.max(1, Math.ceil(waitMs / 1000))) } },
  );
}
