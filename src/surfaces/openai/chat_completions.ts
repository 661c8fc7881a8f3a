/**
 * `POST /v1/chat/completions`: the OpenAI chat API, answered by the mock or passed to an upstream.
 *
 * @module
 */

import {
  type Answer,
  EMPTY_TURN,
  type EndReason,
  type Script,
  type Source,
  type Turn,
  type Usage,
} from "../../core/answer.ts";
import { type AppError, asAppError } from "../../core/errors.ts";
import { type Engine, Exchange } from "../../core/exchange.ts";
import { type Frames, FramesCache } from "../../core/frames.ts";
import { reply } from "../../core/reply.ts";
import type { RecordLateness, Voice } from "../../core/voice.ts";
import { speak } from "../../core/speak.ts";
import type { Stamps } from "../../core/stamp.ts";
import { answerBytes, answerJson, type BodyLimits, queryOf } from "../../core/body.ts";
import {
  ChunkDialect,
  completionBody,
  encodeChunks,
  type FramesHead,
  type Persona,
} from "../../dialects/openai_chat/chunks.ts";
import { type ChatRequest, parseChatRequest } from "../../dialects/openai_chat/request.ts";
import {
  bodyTooLarge,
  brokenJson,
  errorEvent,
  errorResponse,
  keyError,
} from "../../dialects/openai/errors.ts";
import { datedModel } from "../../dialects/openai/models.ts";

/** What differs between the URLs that speak this dialect. */
export interface Door {
  /** The URL's name in logs and metrics. */
  readonly surface: string;
  /**
   * Lets a request in, and gives the headers that may go upstream.
   *
   * @throws {AppError} when it may not come in.
   */
  readonly admit: (headers: Headers, exchange: Exchange) => Headers | Promise<Headers>;
  /** The answer to a request that was refused, or that failed before its first byte. */
  readonly refuse: (error: AppError, requestId: string) => Response;
}

/** What the surface needs. `app.ts` hands it over; nothing is looked up. */
export interface ChatCompletionsDeps {
  readonly engine: Engine;
  readonly source: Source;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  readonly door: Door;
  readonly persona: Persona;
  readonly validate: "spec" | "live";
  readonly bodyLimits: BodyLimits;
  /** What `openai-processing-ms` says: the mock's time to its first token. */
  readonly processingMs: number;
}

/** Encoded answers kept: one per model name and combination of options. */
const FRAMES_MAX = 1024;

/** Makes the handler. */
export function chatCompletions(
  deps: ChatCompletionsDeps,
): (request: Request) => Response | Promise<Response> {
  const { engine, source, stamps, persona, bodyLimits, door } = deps;
  const framesCache = new FramesCache(FRAMES_MAX);
  const headers = answerHeaders(deps);
  const streamHeaders = new Headers({
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    ...(persona === "minimal" ? {} : { "x-accel-buffering": "no" }),
    ...headers,
  });
  const jsonHeaders = new Headers({ "content-type": "application/json", ...headers });
  const hasRequestId = persona !== "minimal";

  /** The shared headers with this answer's id: `Response` copies them at once. */
  function stamped(shared: Headers, { requestId }: Exchange): Headers {
    if (hasRequestId) shared.set("x-request-id", requestId);
    return shared;
  }

  const voice: Voice = {
    stamps,
    headers: (exchange) => stamped(streamHeaders, exchange),
    errorEvent,
    recordLateness: deps.recordLateness,
  };
  const bodyErrors = { tooLarge: () => bodyTooLarge(bodyLimits.bytesMax), broken: brokenJson };

  // System 002 never reads the body: its clients get their answer whatever they send.
  function chatOf(body: unknown): ChatRequest {
    try {
      return parseChatRequest(body, deps.validate);
    } catch (error) {
      if (persona !== "minimal" || asAppError(error).status !== 400) throw error;
      return EMPTY_CHAT;
    }
  }

  function forgive(
    error: unknown,
    exchange: Exchange,
    refuse: Refuse,
  ): Response | Promise<Response> {
    if (asAppError(error).code !== "body_broken") return refuse(error);
    const response = ask(EMPTY_CHAT, exchange);
    return response instanceof Promise ? response.catch(refuse) : response;
  }

  /** Not `async`, as nothing waits on the hot path: each promise is some 2 % of a request. */
  function ask(chat: ChatRequest, exchange: Exchange): Response | Promise<Response> {
    const isStream = chat.stream ?? persona === "minimal";
    exchange.model = chat.model;
    exchange.isStream = isStream;
    // Usually the very object that was parsed: on the hot path nothing is copied.
    const turn: Turn = isStream && chat.isStream
      ? chat
      : { ...chat, isStream, wantsUsage: chat.wantsUsage || !isStream };
    const answer = source.answer(turn, exchange);
    return answer instanceof Promise
      ? answer.then((settled) => say(settled, chat, exchange))
      : say(answer, chat, exchange);
  }

  function say(
    answer: Answer,
    chat: ChatRequest,
    exchange: Exchange,
  ): Response | Promise<Response> {
    return exchange.isStream ? stream(answer, chat, exchange) : whole(answer, chat, exchange);
  }

  function stream(
    answer: Answer,
    chat: ChatRequest,
    exchange: Exchange,
  ): Response | Promise<Response> {
    if (answer.kind === "script") return reply(framesOf(answer, chat), exchange, voice);
    const id = stamps.idText();
    const dialect = new ChunkDialect({ ...headOf(chat), id, created: stamps.createdS });
    return speak(answer.steps, {
      exchange,
      dialect,
      headers: voice.headers(exchange),
      abort: () => {},
    });
  }

  function headOf({ model, wantsUsage, wantsObfuscation }: ChatRequest): FramesHead {
    return { persona, model: modelName(model), wantsUsage, wantsObfuscation };
  }

  /** The last answer without usage: most requests ask for the same as the one before. */
  let last: LastFrames | undefined;

  function framesOf({ script, usage }: ScriptAnswer, chat: ChatRequest): Frames {
    const { model, wantsUsage, wantsObfuscation, choiceCount } = chat;
    if (
      last !== undefined && !wantsUsage && last.model === model && last.script === script &&
      last.wantsObfuscation === wantsObfuscation && last.choiceCount === choiceCount
    ) return last.frames;
    const counts = usage === undefined ? "" : `${usage.promptTokens} ${usage.completionTokens}`;
    const options = `${wantsUsage ? counts : ""}|${wantsObfuscation}|${choiceCount}`;
    const key = `${script.name}|${options}|${modelName(model)}`;
    const frames = framesCache.get(key) ??
      framesCache.set(key, encodeChunks(script, headOf(chat), choiceCount, usage));
    if (!wantsUsage) last = { script, model, wantsObfuscation, choiceCount, frames };
    return frames;
  }

  /** The whole answer as one object, not before its last word would have left. */
  async function whole(answer: Answer, chat: ChatRequest, exchange: Exchange) {
    const { text, reason, usage } = await gather(answer, exchange);
    const head = {
      persona,
      id: stamps.idText(),
      created: stamps.createdS,
      model: modelName(chat.model),
    };
    const choices = Array.from({ length: chat.choiceCount }, () => ({ text, reason }));
    const body = completionBody(head, choices, usage);
    exchange.complete(200, Buffer.byteLength(body));
    return new Response(body, { headers: stamped(jsonHeaders, exchange) });
  }

  function modelName(model: string): string {
    return persona === "minimal" ? MINIMAL_MODEL : datedModel(model);
  }

  function serve(
    request: Request,
    headers: Headers,
    exchange: Exchange,
    refuse: Refuse,
  ): Promise<Response> {
    if (source.pass !== undefined) {
      const path = `/chat/completions${queryOf(request.url)}`;
      return answerBytes(
        request,
        bodyLimits,
        bodyErrors,
        (body) => source.pass!({ method: "POST", path, headers, body }, exchange),
        refuse,
      );
    }
    return answerJson(
      request,
      bodyLimits,
      bodyErrors,
      (body) => ask(chatOf(body), exchange),
      persona === "minimal" ? (error) => forgive(error, exchange, refuse) : refuse,
    );
  }

  return (request) => {
    const exchange = new Exchange(engine, door.surface, request);
    exchange.source = source.name;
    if (hasRequestId) exchange.requestId = `req_${stamps.hex(32)}`;
    const refuse: Refuse = (error) => door.refuse(exchange.refuse(error), exchange.requestId);
    try {
      const admitted = door.admit(request.headers, exchange);
      if (!(admitted instanceof Promise)) return serve(request, admitted, exchange, refuse);
      return admitted.then((headers) => serve(request, headers, exchange, refuse)).catch(refuse);
    } catch (error) {
      return refuse(error);
    }
  };
}

/** The door of `/v1/chat/completions`: OpenAI's keys and OpenAI's errors. */
export function v1Door(
  authorize: (headers: Headers, exchange: Exchange) => "ok" | "missing" | "malformed" | "wrong",
  /** The keys that are right: an error never repeats one. */
  secrets: readonly string[],
): Door {
  return {
    surface: "v1_chat_completions",
    admit(headers, exchange) {
      const verdict = authorize(headers, exchange);
      if (verdict !== "ok") throw keyError(verdict, headers, secrets);
      return headers;
    },
    refuse: errorResponse,
  };
}

/** Ends the exchange with an error, and says it. */
type Refuse = (error: unknown) => Response;

type ScriptAnswer = Extract<Answer, { kind: "script" }>;

/** What was asked last, and the frames that answer it. */
interface LastFrames extends Pick<ChatRequest, "model" | "wantsObfuscation" | "choiceCount"> {
  readonly script: Script;
  readonly frames: Frames;
}

/** What every answer of the mock carries, whatever its content type (facts 1.4). */
function answerHeaders({ persona, processingMs }: ChatCompletionsDeps): Record<string, string> {
  if (persona === "minimal") return { "access-control-allow-origin": "*" };
  return {
    "openai-version": "2020-10-01",
    "openai-processing-ms": String(Math.max(1, Math.round(processingMs))),
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Request-ID",
  };
}

/** A script's text when its time has come; a live answer's when the upstream has said all. */
async function gather(answer: Answer, exchange: Exchange): Promise<Gathered> {
  let text = "";
  let reason: EndReason = "stop";
  if (answer.kind === "script") {
    let totalMs = 0;
    for (const step of answer.script.steps) {
      totalMs += step.afterMs;
      if (step.kind === "text") text += step.text;
      else reason = step.reason;
    }
    if (totalMs > 0) await exchange.until(exchange.startMs + totalMs);
    return { text, reason, usage: answer.usage ?? NO_USAGE };
  }
  let usage = NO_USAGE;
  for await (const step of answer.steps) {
    if (step.kind === "text") text += step.text;
    else {
      reason = step.reason;
      usage = step.usage ?? NO_USAGE;
    }
  }
  return { text, reason, usage };
}

interface Gathered {
  readonly text: string;
  readonly reason: EndReason;
  readonly usage: Usage;
}

const NO_USAGE: Usage = { promptTokens: 0, completionTokens: 0 };

/** The one model that system 002 knows. */
const MINIMAL_MODEL = "gpt-3.5-turbo";

/** A request of which nothing is known. */
const EMPTY_CHAT: ChatRequest = { ...EMPTY_TURN, stream: undefined, wantsObfuscation: true };
