/**
 * The nouns: a turn asks, a source answers, an answer is made of steps.
 *
 * @module
 */

import type { Exchange } from "./exchange.ts";

/** One message of a conversation, as the OpenAI API spells it. Further keys pass through. */
export interface Message {
  readonly role: string;
  /** A string, an array of parts, or null. */
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

/** The client's request as it came, for a source that speaks the same dialect. */
export interface Wire {
  readonly method: string;
  /** Below the upstream's base URL, with the query: "/chat/completions". */
  readonly path: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | null;
}

/** One request for an answer, whatever the surface it came through. */
export interface Turn {
  /** The model the client named; "" = none. */
  readonly model: string;
  readonly messages: readonly Message[];
  readonly isStream: boolean;
  /** True when the client wants token counts. */
  readonly wantsUsage: boolean;
  /** How many answers are wanted side by side (OpenAI's `n`). */
  readonly choiceCount: number;
  /** The most tokens the answer may have; undefined = no limit. */
  readonly tokensMax: number | undefined;
  /** The answer ends before the first of these texts. */
  readonly stop: readonly string[];
  /** Every other parameter for the upstream, as the client gave it: temperature, tools, … */
  readonly params: Readonly<Record<string, unknown>>;
}

/** A turn that asks nothing: the base of others. */
export const EMPTY_TURN: Turn = {
  model: "",
  messages: [],
  isStream: false,
  wantsUsage: false,
  choiceCount: 1,
  tokensMax: undefined,
  stop: [],
  params: {},
};

/** Token counts of one answer. */
export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Why an answer ended. */
export type EndReason = "stop" | "length" | "content_filter" | "tool_calls";

/** One thing an answer says. */
export type Step =
  | { readonly kind: "text"; readonly text: string; readonly afterMs: number }
  | { readonly kind: "end"; readonly reason: EndReason; readonly afterMs: number };

/** Steps known before anyone asks. `afterMs` counts from the step before. */
export interface Script {
  readonly name: string;
  readonly steps: readonly Step[];
}

/** One thing an upstream says while it says it. */
export type LiveStep =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "end"; readonly reason: EndReason; readonly usage?: Usage };

/** What a source answers with. */
export type Answer =
  /** Known beforehand: a surface has its bytes encoded, or encodes them once. */
  | {
    readonly kind: "script";
    readonly script: Script;
    /** The model that answers, as the answer names it. */
    readonly model: string;
    /** Present when the turn wants usage. */
    readonly usage?: Usage;
  }
  /** Told while it happens. The iterator throws an `AppError` when the upstream fails. */
  | {
    readonly kind: "live";
    readonly steps: AsyncIterable<LiveStep>;
    readonly model: string;
  };

/** Anything that can answer: the mock, an upstream, a tape. */
export interface Source {
  /** A word for logs and health: "mock", "proxy". */
  readonly name: string;
  /**
   * Answers `turn`. Gives up as soon as `exchange.signal` aborts: the client has left.
   *
   * @throws {AppError} when there is no answer and the client still waits.
   */
  answer(turn: Turn, exchange: Exchange): Promise<Answer> | Answer;

  /**
   * Passes the client's own request up and the answer down, both byte for byte; it checks nothing
   * that its upstream checks better. Absent: there is no upstream that speaks the client's dialect.
   * The response is complete, its stream already supervised.
   *
   * @throws {AppError} as `answer` does (the promise rejects).
   */
  pass?(wire: Wire, exchange: Exchange): Promise<Response>;
}

/** The plain text of a message's content: a string as it is, text parts joined, else "". */
export function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  let text = "";
  for (const part of content as readonly unknown[]) {
    if (typeof part !== "object" || part === null) continue;
    const { text: piece } = part as { readonly text?: unknown };
    if (typeof piece === "string") text += piece;
  }
  return text;
}
