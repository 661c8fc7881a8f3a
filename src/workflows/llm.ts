/**
 * Calls to `weir:`: the language model that this weir itself answers with, its upstream or its
 * mock, without a way over the network. The answer has the shape of OpenAI's.
 *
 * @module
 */

import { EMPTY_TURN, type LiveStep, type Message, type Source, type Turn } from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import { type Engine, Exchange } from "../core/exchange.ts";

/** A base URL that means this weir. */
export const WEIR_SCHEME = "weir:";

/** Asks with the body of a chat completion; the steps come as they are said. */
export type AskLlm = (
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
) => AsyncGenerator<LiveStep>;

/** Parameters of a chat completion that a turn spells out; all others are `params`. */
const SPELLED = new Set([
  "model",
  "messages",
  "stream",
  "stream_options",
  "n",
  "stop",
  "max_tokens",
  "max_completion_tokens",
]);

/** An `AskLlm` that asks `source`. `model` is asked for where a body names none. */
export function askSource(source: Source, engine: Engine, model: string): AskLlm {
  return async function* (body, signal) {
    const turn = turnOf(body, model);
    const exchange = new Exchange(
      engine,
      "workflow",
      new Request("http://weir.invalid/", { method: "POST", signal }),
    );
    const answer = await source.answer(turn, exchange);
    if (answer.kind === "live") {
      yield* answer.steps;
      return;
    }
    let dueMs = engine.wheel.nowMs;
    for (const step of answer.script.steps) {
      dueMs += step.afterMs;
      const isTime = step.afterMs === 0 || await engine.wheel.until(dueMs, signal);
      if (!isTime || signal.aborted) throw signal.reason;
      yield step.kind === "text"
        ? { kind: "text", text: step.text }
        : { kind: "end", reason: step.reason };
    }
  };
}

/** The chunk that says `step`, as OpenAI's stream has it. The first one opens with an empty text. */
export function chunkOf(step: LiveStep): Record<string, unknown> {
  return step.kind === "text"
    ? { choices: [{ index: 0, delta: { content: step.text }, finish_reason: null }] }
    : { choices: [{ index: 0, delta: {}, finish_reason: step.reason }] };
}

/** The whole answer of `steps`, as OpenAI's API has it. */
export async function completionOf(
  steps: AsyncIterable<LiveStep>,
): Promise<Record<string, unknown>> {
  let content = "";
  let reason = "stop";
  for await (const step of steps) {
    if (step.kind === "text") content += step.text;
    else reason = step.reason;
  }
  const message = { role: "assistant", content };
  return {
    object: "chat.completion",
    choices: [{ index: 0, message, finish_reason: reason }],
  };
}

function turnOf(body: Readonly<Record<string, unknown>>, fallbackModel: string): Turn {
  const { model, messages, stream, stop, max_tokens, max_completion_tokens } = body;
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new AppError("workflow_failed", "The body for weir: needs messages, a list of messages");
  }
  const tokensMax = max_completion_tokens ?? max_tokens;
  return {
    ...EMPTY_TURN,
    model: typeof model === "string" && model !== "" ? model : fallbackModel,
    messages: messages as readonly Message[],
    isStream: stream === true,
    stop: typeof stop === "string" ? [stop] : Array.isArray(stop) ? stop.map(String) : [],
    tokensMax: typeof tokensMax === "number" ? tokensMax : undefined,
    params: Object.fromEntries(Object.entries(body).filter(([key]) => !SPELLED.has(key))),
  };
}
