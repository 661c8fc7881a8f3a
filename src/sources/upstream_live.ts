/**
 * An upstream's answer step by step, through the official client: for surfaces that speak another
 * dialect than the upstream's.
 *
 * @module
 */

import OpenAI, { APIConnectionError, APIError } from "openai";
import type { EndReason, LiveStep, Turn } from "../core/answer.ts";
import { AppError, clientLeft } from "../core/errors.ts";
import type { OpenStream } from "../core/exchange.ts";
import type { UpstreamCall } from "../core/upstream_call.ts";
import { Deadline } from "./deadline.ts";
import type { FetchLike } from "./transport.ts";
import type { UpstreamDeps, UpstreamOptions } from "./upstream.ts";
import { VIA } from "./upstream_headers.ts";

/** What the official client puts into errors of its own; an upstream's message is at most as long. */
const MESSAGE_CHARS_MAX = 1000;

const REASONS: ReadonlySet<string> = new Set(["stop", "length", "content_filter", "tool_calls"]);

/** The official client for this upstream: one per upstream, made at start. */
export function openaiClient(
  options: Pick<UpstreamOptions, "base_url" | "api_key" | "headers" | "retries">,
  { fetch }: Pick<UpstreamDeps, "fetch">,
): OpenAI {
  return new OpenAI({
    baseURL: options.base_url,
    // The client refuses to be made without a key; an upstream without one gets no header.
    apiKey: options.api_key || "none",
    organization: null,
    project: null,
    // It would write what it cannot read, parts of answers, to standard error.
    logLevel: "off",
    maxRetries: options.retries,
    defaultHeaders: {
      via: VIA,
      ...(options.api_key === "" ? { authorization: null } : {}),
      ...options.headers,
    },
    fetch,
  });
}

/**
 * Asks for `turn` and tells its answer as it comes. Stops the upstream when the iterator is
 * returned, or when the client leaves before the first step.
 *
 * @throws {AppError} from the iterator, when the upstream refuses, stalls, or breaks off.
 */
export async function* liveSteps(
  turn: Turn,
  call: UpstreamCall,
  client: OpenAI,
  { fetch }: Pick<UpstreamDeps, "fetch">,
  options: UpstreamOptions,
): AsyncGenerator<LiveStep, void> {
  const { exchange } = call;
  const abort = new AbortController();
  const { signal } = exchange;
  const onLeave = () => {
    if (options.on_disconnect === "cancel") abort.abort(clientLeft());
  };
  if (signal.aborted) onLeave();
  signal.addEventListener("abort", onLeave, { once: true });
  const { wheel, streams } = exchange.engine;
  const deadline = new Deadline(wheel, abort);
  // Until a stream opens for it, shutdown finds this request here.
  const waiting: OpenStream = { fail: (error) => abort.abort(error) };
  streams.add(waiting);
  try {
    deadline.start("headers", options.headers_timeout_ms);
    const watched = client.withOptions({ fetch: watchedFetch(fetch, call) });
    const stream = await watched.chat.completions.create({
      ...turn.params,
      model: turn.model,
      messages: turn.messages as unknown as OpenAI.ChatCompletionMessageParam[],
      ...(turn.tokensMax === undefined ? {} : { max_tokens: turn.tokensMax }),
      ...(turn.stop.length === 0 ? {} : { stop: [...turn.stop] }),
      stream: true,
      stream_options: { include_usage: true },
    }, { signal: abort.signal, headers: call.traceHeaders ?? {} });
    deadline.start("first_token", options.first_token_timeout_ms);
    let reason: EndReason | undefined;
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      call.chunk();
      deadline.start("idle", options.idle_timeout_ms);
      usage = chunk.usage ?? usage;
      const [choice] = chunk.choices;
      const text = choice?.delta.content;
      if (text) {
        deadline.stop(); // while the reader writes it, the upstream is not being waited for
        if (turn.isStream) streams.delete(waiting);
        yield { kind: "text", text };
        deadline.start("idle", options.idle_timeout_ms);
      }
      const word = choice?.finish_reason;
      if (word) reason = REASONS.has(word) ? word as EndReason : "stop";
    }
    if (reason === undefined) {
      throw new AppError("upstream_broken", "The upstream ended its answer without finishing it");
    }
    deadline.stop();
    if (turn.isStream) streams.delete(waiting);
    if (usage) call.usage(usage.prompt_tokens, usage.completion_tokens);
    call.end();
    yield {
      kind: "end",
      reason,
      ...(usage ? { usage: usageOf(usage) } : {}),
    };
  } catch (error) {
    const reason = abort.signal.aborted
      ? abort.signal.reason
      : upstreamError(error, options.base_url);
    call.end(reason);
    throw reason;
  } finally {
    deadline.stop();
    call.end(); // the reader stopped early
    signal.removeEventListener("abort", onLeave);
    streams.delete(waiting);
    abort.abort(clientLeft()); // frees the connection when the reader stopped early; else no effect
  }
}

/** `fetch` for one call: the official client tries again by itself, and tells nobody. */
function watchedFetch(fetch: FetchLike, call: UpstreamCall): FetchLike {
  const { wheel, watch } = call.exchange.engine;
  let cause = "";
  let failedMs = 0;
  return async (url, init) => {
    if (call.attempts > 0) {
      const delayMs = wheel.nowMs - failedMs;
      watch({ kind: "upstream_retried", attempt: call.attempts, delayMs, cause });
    }
    call.attempt();
    try {
      const response = await fetch(url, init);
      call.head(response.status);
      cause = `status ${response.status}`;
      return response;
    } catch (error) {
      cause = (error as { readonly code?: string }).code ?? "no response";
      throw error;
    } finally {
      failedMs = wheel.nowMs;
    }
  };
}

function usageOf(usage: OpenAI.CompletionUsage) {
  return { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens };
}

/** What the official client threw, as one of ours. The upstream's own message is kept. */
function upstreamError(error: unknown, baseUrl: string): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof APIConnectionError) {
    return new AppError(
      "upstream_unreachable",
      `Cannot reach the upstream ${new URL(baseUrl).host}. ` +
        "Check llm.base_url and that the upstream is running.",
      { cause: error },
    );
  }
  if (error instanceof APIError && error.status !== undefined) {
    return new AppError("upstream_refused", error.message.slice(0, MESSAGE_CHARS_MAX), {
      cause: error,
      status: error.status,
      ...(error.param ? { param: error.param } : {}),
    });
  }
  if (error instanceof APIError) {
    return new AppError("upstream_broken", error.message.slice(0, MESSAGE_CHARS_MAX), {
      cause: error,
    });
  }
  return new AppError(
    "upstream_broken",
    "The upstream closed the connection before its answer was complete",
    { cause: error },
  );
}
