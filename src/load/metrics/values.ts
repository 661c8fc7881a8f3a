/**
 * What a tool makes of one request, and what all of them have in common. Times are milliseconds; what
 * a tool does not have, or the request did not give, is undefined and never 0.
 *
 * @module
 */

import {
  firstOf,
  isOnePiece,
  KIND,
  type RequestRecord,
  textOf,
  textsOf,
  TOKENS,
} from "../record.ts";

/** Counts the tokens of a text. */
export type CountTokens = (text: string) => number;

/** One request by one tool's definitions. */
export interface RequestValues {
  /** True when the tool counts it as a success. */
  readonly isSuccess: boolean;
  readonly promptTokens?: number | undefined;
  readonly outputTokens?: number | undefined;
  readonly ttftMs?: number | undefined;
  readonly tpotMs?: number | undefined;
  /** Inter-token latency: a sample for each gap, or one for the request, as the tool has it. */
  readonly itlMs?: readonly number[] | undefined;
  readonly e2eMs?: number | undefined;
  /** What only this tool has, by the name it uses. */
  readonly more?: Readonly<Record<string, number | undefined>> | undefined;
}

/**
 * True when a plain HTTP client has nothing to complain about: status 200, and a body that came to its
 * end. What the body says, and whether its end mark is there, is not asked.
 */
export function cameWhole({ status, isWhole, failure }: RequestRecord): boolean {
  return status === 200 && isWhole && failure?.phase !== "head";
}

/** True for whole JSON that is no answer of a chat, such as embeddings: nobody asks what it says. */
export function isOtherAnswer(record: RequestRecord): boolean {
  return record.outcome === "completed" && isOnePiece(record) && !has(record, KIND.choice | TOKENS);
}

/** What tools have of such an answer: that it came, what was asked, and how long it took. */
export function otherValues(record: RequestRecord): RequestValues {
  const e2eMs = known(record.endMs - record.sentMs);
  return { isSuccess: true, promptTokens: promptTokensOf(record), e2eMs };
}

/** True when an event has one of `kinds`. */
export function has(record: RequestRecord, kinds: number): boolean {
  return firstOf(record, kinds) >= 0;
}

/** The tokens that the server says it made; undefined = it does not say. */
export function toldTokens({ usage }: RequestRecord): number | undefined {
  return known(usage?.completionTokens);
}

/** The tokens of what came, by own count; undefined when not all of the text is there. */
export function ownTokens(
  record: RequestRecord,
  count: CountTokens,
  kinds: number = TOKENS,
): number | undefined {
  return record.isTextCut ? undefined : count(textOf(record, kinds));
}

/** Tokens of each event with one of `kinds`, each counted for itself. */
export function tokensByEvent(
  record: RequestRecord,
  count: CountTokens,
  kinds: number,
): readonly number[] {
  return textsOf(record, kinds).map(count);
}

/** The server's count of the prompt, else the run's own. */
export function promptTokensOf({ usage, promptTokens }: RequestRecord): number | undefined {
  return known(usage?.promptTokens) ?? known(promptTokens);
}

/** A number that is one. */
export function known(value: number | undefined): number | undefined {
  return value === undefined || Number.isNaN(value) ? undefined : value;
}

/** `value` divided by `by`; undefined unless `by` is above 0. */
export function shared(value: number | undefined, by: number): number | undefined {
  return value === undefined || !(by > 0) ? undefined : value / by;
}

/** From one time to another; undefined unless both are there. */
export function between(fromMs: number | undefined, toMs: number | undefined): number | undefined {
  return fromMs === undefined || toMs === undefined ? undefined : toMs - fromMs;
}

/** The time between each of `timesMs` and the one before. */
export function gapsOf(timesMs: readonly number[]): readonly number[] {
  return timesMs.slice(1).map((ms, i) => ms - timesMs[i]!);
}
