/**
 * Calls to `weir:`: the language model that this weir itself answers with, its upstream or its
 * mock, without a way over the network. The answer has the shape of OpenAI's.
 *
 * @module
 */

import { askOf, type Source, type Step, type Usage } from "../core/answer.ts";
import { AppError, clientLeft } from "../core/errors.ts";
import type { Call, Payer } from "../core/exchange.ts";
import { Gathering } from "../core/gathering.ts";
import { annotationObject, callObject } from "../dialects/openai_chat/write_answer.ts";
import { untilKnown } from "../core/schedule.ts";
import { EMPTY_TURN, type Message, type Turn } from "../core/turn.ts";

/** A base URL that means this weir. */
export const WEIR_SCHEME = "weir:";

/** Asks with the body of a chat completion; the steps come as they are said. `payer`: whose it is. */
export type AskLlm = (
  body: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
  payer?: Payer,
) => AsyncGenerator<Step>;

/** Gives the call of a job, which `signal` ends. */
export type MakeCall = (surface: string, signal: AbortSignal, payer?: Payer) => Call;

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
export function askSource(source: Source, makeCall: MakeCall, model: string): AskLlm {
  return async function* (body, signal, payer) {
    const turn = turnOf(body, model);
    const call = makeCall("workflow", signal, payer);
    try {
      const answer = await source.answer(askOf(turn), call);
      if (answer.kind === "relay") throw new TypeError("Cannot read a relay's steps");
      if (answer.kind === "live") {
        yield* untilAborted(answer.steps, signal);
        return;
      }
      if (answer.cut !== undefined) {
        throw new AppError(
          "upstream_broken",
          "The answer was to break off, and there is no stream",
        );
      }
      const { wheel } = call.engine;
      const { script: { steps }, schedule } = answer;
      let dueMs = wheel.nowMs;
      for (const [i, step] of steps.entries()) {
        if (schedule === undefined) dueMs += step.afterMs;
        else if (!await untilKnown(schedule, i + 1, signal)) throw signal.reason;
        else dueMs = call.startMs + schedule.dueMs[i]!;
        const isTime = dueMs <= wheel.nowMs || await wheel.until(dueMs, signal);
        if (!isTime || signal.aborted) throw signal.reason;
        yield step;
      }
      if (answer.usage !== undefined) yield { kind: "usage", usage: answer.usage };
    } catch (error) {
      call.upstream?.end(error);
      throw error;
    } finally {
      call.upstream?.end(clientLeft());
      call.release();
    }
  };
}

/** Every step of `batches`. Frees them as soon as `signal` aborts, whoever waits for what. */
async function* untilAborted(
  batches: AsyncIterable<readonly Step[]>,
  signal: AbortSignal,
): AsyncGenerator<Step> {
  const iterator = batches[Symbol.asyncIterator]();
  const stop = () => void iterator.return?.();
  signal.addEventListener("abort", stop, { once: true });
  try {
    signal.throwIfAborted();
    for (let turn = await iterator.next(); !turn.done; turn = await iterator.next()) {
      yield* turn.value;
    }
    signal.throwIfAborted();
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

/** The chunk that says `step`, as OpenAI's stream has it; undefined = it has no words for it. */
export function chunkOf(step: Step): Record<string, unknown> | undefined {
  switch (step.kind) {
    case "delta": {
      if (step.block === "reasoning" && step.text === "") return undefined; // no words for it
      const key = step.block === "text"
        ? "content"
        : step.block === "reasoning"
        ? "reasoning_content"
        : "refusal";
      return choiceChunk(step.choice, { [key]: step.text });
    }
    case "call": {
      const { index, id, name, tool } = step;
      const call = callObject({ id: id || `call_${index}`, name, arguments: "", tool });
      return choiceChunk(step.choice, { tool_calls: [{ index, ...call }] });
    }
    case "arguments": {
      const piece = { index: step.index, function: { arguments: step.text } };
      return choiceChunk(step.choice, { tool_calls: [piece] });
    }
    case "citation":
      return choiceChunk(step.choice, { annotations: [annotationObject(step.citation)] });
    case "end":
      return choiceChunk(step.choice, {}, step.reason);
    case "usage":
      return { choices: [], usage: usageBody(step.usage) };
    case "signature":
    case "redacted":
    case "audio":
    case "moderation":
      return undefined;
  }
}

function choiceChunk(index: number, delta: object, reason: string | null = null) {
  return { choices: [{ index, delta, finish_reason: reason }] };
}

/** The whole answer of `steps`, as OpenAI's API has it. */
export async function completionOf(steps: AsyncIterable<Step>): Promise<Record<string, unknown>> {
  const said = new Gathering();
  for await (const step of steps) said.add(step);
  return {
    object: "chat.completion",
    choices: said.choices.map(({ text, reasoning, refusal, calls, reason }, index) => ({
      index,
      message: {
        role: "assistant",
        content: text,
        ...(reasoning === "" ? {} : { reasoning_content: reasoning }),
        ...(refusal === "" ? {} : { refusal }),
        ...(calls.length === 0 ? {} : {
          tool_calls: calls.map((call, at) => callObject({ ...call, id: call.id || `call_${at}` })),
        }),
      },
      finish_reason: reason,
    })),
    ...(said.usage === undefined ? {} : {
      usage: usageBody(said.usage),
    }),
  };
}

function usageBody({ promptTokens, completionTokens }: Usage) {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

function turnOf(body: Readonly<Record<string, unknown>>, fallbackModel: string): Turn {
  const { model, messages, stream, stop, n, max_tokens, max_completion_tokens } = body;
  if (!Array.isArray(messages) || messages.length === 0) {
    throw new AppError("workflow_failed", "The body for weir: needs messages, a list of messages");
  }
  const tokensMax = max_completion_tokens ?? max_tokens;
  return {
    ...EMPTY_TURN,
    ...(typeof model === "string" && model !== ""
      ? { model }
      : { model: fallbackModel, isDefaultModel: true }),
    messages: messages as readonly Message[],
    isStream: stream === true,
    wantsUsage: stream !== true || asksForUsage(body),
    choiceCount: typeof n === "number" && n >= 1 && n <= CHOICES_MAX ? Math.floor(n) : 1,
    stop: typeof stop === "string" ? [stop] : Array.isArray(stop) ? stop.map(String) : [],
    tokensMax: typeof tokensMax === "number" ? tokensMax : undefined,
    params: Object.fromEntries(Object.entries(body).filter(([key]) => !SPELLED.has(key))),
  };
}

/** True when `body` wants the usage behind its stream. */
export function asksForUsage(body: Readonly<Record<string, unknown>>): boolean {
  const options = body["stream_options"];
  return typeof options === "object" && options !== null && "include_usage" in options &&
    options.include_usage === true;
}

/** OpenAI's own limit of `n`. */
const CHOICES_MAX = 128;
