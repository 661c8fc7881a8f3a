/**
 * What a message of Anthropic's consists of, streamed or in one piece (docs/facts/anthropic.md
 * "Answer").
 *
 * @module
 */

import type { EndReason, Usage } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { GatheredChoice } from "../../core/gathering.ts";
import type { Thinking } from "./request.ts";

/** The signature of reasoning that nobody signed: the mock's. It says so. */
export const OWN_SIGNATURE = Buffer.from("weir's mock has thought this, and nobody can check it")
  .toString(
    "base64",
  );

/** How a message names itself. */
export interface MessageHead {
  readonly model: string;
  readonly id: string;
  readonly role: string;
}

/** The keys of a message, in their order on the wire. */
export function message(
  { model, id, role }: MessageHead,
  content: readonly unknown[],
  reason: StopReason,
  usage: unknown,
) {
  return {
    model,
    id,
    type: "message",
    role,
    content,
    ...reason,
    usage,
  };
}

/** Why an answer ended, in the keys that say it. */
export interface StopReason {
  readonly stop_reason: string | null;
  readonly stop_sequence: string | null;
  readonly stop_details: null;
}

/** Of a message that goes on. */
export const NOT_ENDED: StopReason = { stop_reason: null, stop_sequence: null, stop_details: null };

const STOP_REASONS = {
  stop: "end_turn",
  length: "max_tokens",
  content_filter: "refusal",
  tool_calls: "tool_use",
} as const satisfies Record<EndReason, string>;

/** What is known of an answer that has ended. */
export interface Ended {
  readonly isRefusal: boolean;
  readonly callCount: number;
  /** True: the reason says it all. */
  readonly isExact: boolean;
  readonly stopSequence: string | undefined;
}

/** Why an answer ended, as Anthropic says it. */
export function stopReason(
  reason: EndReason,
  { isRefusal, callCount, isExact, stopSequence }: Ended,
): StopReason {
  const isStop = reason === "stop" && !isExact;
  // Some upstreams of the chat API say "stop" behind calls.
  const word = isStop && isRefusal
    ? "refusal"
    : isStop && callCount > 0
    ? "tool_use"
    : isStop && stopSequence !== undefined
    ? "stop_sequence"
    : STOP_REASONS[reason];
  return {
    stop_reason: word,
    stop_sequence: word === "stop_sequence" ? stopSequence! : null,
    stop_details: null,
  };
}

/** The prompt's counts. `input_tokens` are those that no cache had a part in. */
export function inputOf({ promptTokens, cachedTokens = 0, cacheWriteTokens = 0 }: Usage) {
  return {
    input_tokens: Math.max(0, promptTokens - cachedTokens - cacheWriteTokens),
    cache_creation_input_tokens: cacheWriteTokens,
    cache_read_input_tokens: cachedTokens,
  };
}

/** What of the output was thought, where that is told. */
export function detailsOf({ reasoningTokens }: Usage) {
  return reasoningTokens === undefined
    ? {}
    : { output_tokens_details: { thinking_tokens: reasoningTokens } };
}

/** The `usage` of a message. */
export function usageObject(usage: Usage) {
  return {
    ...inputOf(usage),
    cache_creation: {
      ephemeral_5m_input_tokens: usage.cacheWriteTokens ?? 0,
      ephemeral_1h_input_tokens: 0,
    },
    output_tokens: usage.completionTokens,
    ...detailsOf(usage),
    service_tier: "standard",
    inference_geo: "not_available",
  };
}

/** The id of the `index`th call, when nobody has given it one: "toolu_01" and 22 of [A-Za-z0-9]. */
export function callId(stamp: string, index: number): string {
  return `toolu_01${stamp}${(index % 1296).toString(36).padStart(2, "0")}`;
}

/** A call of a tool, as a block. */
export function callBlock(id: string, name: string, input: unknown) {
  return { type: "tool_use", id, name, input, caller: { type: "direct" } };
}

/**
 * The blocks of a whole answer.
 *
 * @throws {AppError} `upstream_broken` when the arguments of a call are no JSON.
 */
export function contentOf(
  choice: GatheredChoice,
  callStamp: string,
  thinking: Thinking,
): readonly unknown[] {
  const { reasoning, signature, redacted = [], text, refusal, calls, parts, reason } = choice;
  const callOf = (index: number) => {
    const { id, name, arguments: json } = calls[index]!;
    return callBlock(
      id || callId(callStamp, index),
      name,
      inputIn(json, reason === "length"),
    );
  };
  const said = parts === undefined ? text + refusal : refusal;
  const inOrder = parts ?? [
    ...calls.map((_, index) => ({ kind: "call" as const, index })),
  ];
  return [
    ...(thinking === "none" ? [] : redacted.map(redactedBlock)),
    ...(thinking === "none" || (reasoning === "" && signature === undefined) ? [] : [{
      type: "thinking",
      thinking: thinking === "words" ? reasoning : "",
      signature: signature === "" ? OWN_SIGNATURE : signature ?? "",
    }]),
    ...(said === "" ? [] : [textBlock(said)]),
    ...inOrder.map((part) => part.kind === "text" ? textBlock(part.text) : callOf(part.index)),
  ];
}

function textBlock(text: string) {
  return { type: "text", text };
}

/** Reasoning that nobody may read, as a block. */
export function redactedBlock(data: string) {
  return { type: "redacted_thinking", data };
}

/** The object that arguments are the JSON of. */
function inputIn(text: string, isCut: boolean): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (isCut) return {}; // its stop reason says so
    throw new AppError("upstream_broken", "The arguments of a tool call are no JSON", { cause });
  }
}
