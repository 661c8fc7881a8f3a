/**
 * Asks one source after the other until one answers: an answer that fails before its first byte is
 * asked for elsewhere, and nothing is repeated after it.
 *
 * @module
 */

import type { Answer, Ask, Source } from "../core/answer.ts";
import { AppError, type ErrorCode } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
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

/** A source that asks the targets of `orderOf` in turn. `name` as that of the first one. */
export function fallback(name: string, orderOf: TargetOrder): Source {
  return { name, answer: (ask, call) => answerFrom(orderOf(ask), ask, call) };
}

function answerFrom(
  targets: readonly Target[],
  ask: Ask,
  call: Call,
): Answer | Promise<Answer> {
  if (targets.length === 1) return begin(targets[0]!, ask, call);
  return tried(targets, ask, call);
}

async function tried(targets: readonly Target[], ask: Ask, call: Call): Promise<Answer> {
  for (const target of targets.slice(0, -1)) {
    try {
      const answer = await firstWord(await begin(target, ask, call), call);
      if (!isRefusal(answer) || hasLeft(call)) return answer;
      moveOn(target, `status ${answer.status}`, call);
      answer.body.cancel();
      call.upstream?.end();
    } catch (error) {
      if (!mayMove(error) || hasLeft(call)) throw error;
      moveOn(target, error.plain, call);
      call.upstream?.end(error);
    }
  }
  return await begin(targets.at(-1)!, ask, call);
}

function begin({ name, source }: Target, ask: Ask, call: Call): Answer | Promise<Answer> {
  call.source = source.name;
  call.target = name;
  return source.answer(ask, call);
}

function moveOn({ name }: Target, cause: string, { engine }: Call): void {
  engine.watch({ kind: "answer_moved", from: name, cause });
}

/** Whoever asked is gone: nobody is asked in their name any more. */
function hasLeft({ signal, leaving }: Call): boolean {
  return signal.aborted || leaving.aborted;
}

/** True when others may answer what was answered with `status`. */
function isMoved(status: number): boolean {
  return status >= 500 || MOVED.has(status);
}

function isRefusal(answer: Answer): answer is Extract<Answer, { kind: "relay" }> {
  return answer.kind === "relay" && isMoved(answer.status);
}

function mayMove(error: unknown): error is AppError {
  return error instanceof AppError && isMoved(error.status) && !STAYS.has(error.code);
}
