/**
 * Asks one source after the other until one answers: an answer that fails before its first byte is
 * asked for elsewhere, and nothing is repeated after it.
 *
 * @module
 */

import type { Answer, Ask, Relay, Source } from "../core/answer.ts";
import { AppError, type ErrorCode } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import { Abort } from "../lib/abort.ts";
import { type Branch, branchOf } from "./branch.ts";
import { firstWord } from "./first_word.ts";

/** One that may be asked. */
export interface Target {
  /** The name of the upstream, or mock. */
  readonly name: string;
  readonly source: Source;
}

/** Who is asked, the first one first: one at least, another list for each question. */
export type TargetOrder = (ask: Ask) => readonly Target[];

/** Statuses that another one may not answer with, and all from 500 (docs/facts/openai_api.md "Retries of the official clients"). */
const MOVED: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/** What is so wherever one asks. */
const STAYS: ReadonlySet<ErrorCode> = new Set(["loop_detected", "shutting_down", "internal"]);

/** When a second one is asked beside the first. */
export interface HedgeRules {
  /** The first has been silent for so long. */
  readonly afterMs: number;
  /** Takes one such question from what may be asked besides; false = no more may. */
  readonly take: () => boolean;
}

/**
 * A source that asks the targets of `orderOf` in turn. `name` as that of the first one. `hedge`: the
 * second is asked while the first is silent, and whoever speaks first answers.
 */
export function fallback(name: string, orderOf: TargetOrder, hedge?: HedgeRules): Source {
  return {
    name,
    answer(ask, call) {
      const targets = orderOf(ask);
      return hedge === undefined || targets.length === 1
        ? triedFrom(0, targets, ask, call)
        : hedged(targets, ask, call, hedge);
    },
  };
}

/** What came of one target: an answer that counts, or why the next one is to be asked. */
type Outcome =
  | { readonly kind: "good"; readonly answer: Answer }
  | { readonly kind: "refused"; readonly answer: Relay }
  | { readonly kind: "failed"; readonly error: AppError }
  /** No other target would answer this, either. */
  | { readonly kind: "final"; readonly error: unknown };

/**
 * Asks the targets in turn, from the one at `i` on. Not `async`, here and below: what is known at once is
 * given at once, and each promise less is some 1 % of a request.
 */
function triedFrom(
  i: number,
  targets: readonly Target[],
  ask: Ask,
  call: Call,
): Answer | Promise<Answer> {
  const target = targets[i]!;
  if (i === targets.length - 1) return begin(target, ask, call, false);
  const next = (outcome: Outcome) => {
    if (isDecided(outcome) || hasLeft(call)) return resultOf(outcome);
    moveOn(target, outcome, call);
    return triedFrom(i + 1, targets, ask, call);
  };
  const outcome = outcomeOf(target, ask, call, true);
  return outcome instanceof Promise ? outcome.then(next) : next(outcome);
}

async function hedged(
  targets: readonly Target[],
  ask: Ask,
  call: Call,
  hedge: HedgeRules,
): Promise<Answer> {
  const { outcome, asked } = await raced(targets, ask, call, hedge);
  if (isDecided(outcome) || hasLeft(call) || asked === targets.length) return resultOf(outcome);
  moveOn(targets[asked - 1]!, outcome, call);
  return await triedFrom(asked, targets, ask, call);
}

/** What comes of `target`; `hasOthers`: others may be asked behind it. Never throws or rejects. */
function outcomeOf(
  target: Target,
  ask: Ask,
  call: Call,
  hasOthers: boolean,
): Outcome | Promise<Outcome> {
  let answer: Answer | Promise<Answer>;
  try {
    answer = begin(target, ask, call, hasOthers);
  } catch (error) {
    return failed(error);
  }
  return answer instanceof Promise
    ? answer.then((answer) => spoken(answer, call), failed)
    : spoken(answer, call);
}

/** What comes of `answer`, which has begun. */
function spoken(answer: Answer, call: Call): Outcome | Promise<Outcome> {
  // Whatever it says: it is no refusal of the request, which would have had its status.
  const mute = (error: unknown): Outcome =>
    mayMove(error) && !call.signal.aborted ? { kind: "failed", error } : { kind: "final", error };
  try {
    const word = firstWord(answer, call);
    return word instanceof Promise ? word.then(begun, mute) : begun(word);
  } catch (error) {
    return mute(error);
  }
}

function begun(answer: Answer): Outcome {
  return isRefusal(answer) ? { kind: "refused", answer } : { kind: "good", answer };
}

function failed(error: unknown): Outcome {
  return mayMove(error) && isMoved(error.status)
    ? { kind: "failed", error }
    : { kind: "final", error };
}

/** True when nobody else is asked. */
function isDecided({ kind }: Outcome): boolean {
  return kind === "good" || kind === "final";
}

function resultOf(outcome: Outcome): Answer {
  if ("error" in outcome) throw outcome.error;
  return outcome.answer;
}

/**
 * What comes of the first of `targets`, or of the second, should the first be silent for so long:
 * whoever is good first, else whoever fails last. `asked`: how many of them were.
 */
async function raced(
  targets: readonly Target[],
  ask: Ask,
  call: Call,
  { afterMs, take }: HedgeRules,
): Promise<{ readonly outcome: Outcome; readonly asked: number }> {
  const { wheel, watch } = call.engine;
  const run = async (i: 0 | 1, branch: Branch) => ({
    i,
    outcome: await outcomeOf(targets[i]!, ask, branch.call, i < targets.length - 1),
  });
  const early = branchOf(call);
  const first = run(0, early);
  const isHeard = new Abort();
  void first.then(() => isHeard.abort(undefined));
  const isSilent = await wheel.until(wheel.nowMs + afterMs, isHeard);
  if (!isSilent || hasLeft(call) || !take()) {
    const { outcome } = await first;
    early.choose();
    return { outcome, asked: 1 };
  }
  watch({ kind: "answer_hedged", beside: targets[0]!.name });
  const branches = [early, branchOf(call)] as const;
  const both = [first, run(1, branches[1])] as const;
  let settled = await Promise.race(both);
  const other = both[1 - settled.i]!;
  if (isDecided(settled.outcome)) {
    branches[1 - settled.i]!.abandon(OTHER_ANSWERS);
    discard(other);
  } else {
    // The other one may still answer; where it does not, the second is the last that was asked.
    const late = await other;
    const last = isDecided(late.outcome) || late.i === 1 ? late : settled;
    drop((last === late ? settled : late).outcome);
    settled = last;
  }
  branches[settled.i].choose();
  return { outcome: settled.outcome, asked: 2 };
}

/** What the one is told that was slower. */
const OTHER_ANSWERS = new AppError("unavailable", "Another upstream was faster");

/** Frees what an outcome holds that nobody wants. */
function drop(outcome: Outcome): void {
  if (!("error" in outcome)) forget(outcome.answer);
}

/** Frees what an outcome holds that is still to come. */
function discard(coming: Promise<{ readonly outcome: Outcome }>): void {
  void coming.then(({ outcome }) => drop(outcome));
}

function forget(answer: Answer): void {
  if (answer.kind === "relay") answer.body.cancel();
  else if (answer.kind === "live") void answer.steps[Symbol.asyncIterator]().return?.();
}

function begin(
  { name, source }: Target,
  ask: Ask,
  call: Call,
  hasOthers: boolean,
): Answer | Promise<Answer> {
  call.source = source.name;
  call.target = name;
  call.hasOthers = hasOthers;
  return source.answer(ask, call);
}

/** Frees what `target` has answered, and tells that another one is asked. */
function moveOn({ name }: Target, outcome: Outcome, call: Call): void {
  drop(outcome);
  const cause = outcome.kind === "refused"
    ? `status ${outcome.answer.status}`
    : outcome.kind === "failed"
    ? outcome.error.plain
    : "";
  call.upstream?.end(outcome.kind === "failed" ? outcome.error : undefined);
  const isOpen = outcome.kind === "failed" && outcome.error.code === "upstream_open";
  call.engine.watch({ kind: "answer_moved", from: name, cause, isOpen });
}

/** Whoever asked is gone: nobody is asked in their name any more. */
function hasLeft({ signal, leaving }: Call): boolean {
  return signal.aborted || leaving.aborted;
}

/** True when others may answer what was answered with `status`. */
function isMoved(status: number): boolean {
  return status >= 500 || MOVED.has(status);
}

function isRefusal(answer: Answer): answer is Relay {
  return answer.kind === "relay" && isMoved(answer.status);
}

function mayMove(error: unknown): error is AppError {
  return error instanceof AppError && !STAYS.has(error.code);
}
