/**
 * `POST /v1/chat/completions`: the OpenAI chat API, answered by the mock or relayed to an upstream.
 *
 * @module
 */

import type { Fields } from "../../lib/http1/fields.ts";
import { HeaderBlock } from "../../lib/http1/header_block.ts";
import type { RequestHead } from "../../lib/http1/request_head.ts";
import { parseJsonBody } from "../../core/json_body.ts";
import { type AppError, asAppError } from "../../core/errors.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import { sseFields } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Surface, Whole } from "../../core/surface.ts";
import { EMPTY_TURN } from "../../core/turn.ts";
import {
  bodyTooLarge,
  brokenJson,
  errorAnswer,
  errorEvent,
  keyError,
  OPENAI_VERSION,
} from "../../dialects/openai/errors.ts";
import { datedModel } from "../../dialects/openai/models.ts";
import { rateLimitFields, withRateLimits } from "../../dialects/openai/rate_limits.ts";
import { processingFields } from "../../dialects/openai/processing.ts";
import { CHAT_EDITS } from "../../dialects/openai_chat/fault_edits.ts";
import { type ChatRequest, parseChatRequest } from "../../dialects/openai_chat/request.ts";
import {
  CHUNK_ID_LENGTHS,
  ChunkLayout,
  type Persona,
  tierOf,
  withExpiry,
} from "../../dialects/openai_chat/write_answer.ts";
import type { AnswerKeeper } from "../kept_answer.ts";
import { type LimitFields, type ModelDeps, modelSurface } from "../model_surface.ts";

/** What differs between the URLs that speak this dialect. */
export interface Door {
  /** The URL's name in logs and metrics. */
  readonly surface: string;
  /**
   * Lets a request in.
   *
   * @throws {AppError} when it may not come in (also as a rejection).
   */
  readonly admit: (head: RequestHead, exchange: Exchange) => void | Promise<void>;
  /** The fields that may go upstream. */
  readonly fieldsUp: (head: RequestHead, exchange: Exchange) => Fields;
  /** The answer to a request that was refused, or that failed before its first byte. */
  readonly refuse: (error: AppError, requestId: string) => Whole;
  /** True: answers tell of rate limits, as OpenAI's do. */
  readonly tellsLimits?: boolean;
}

/** What the surface needs. */
export interface ChatCompletionsDeps extends ModelDeps {
  readonly stamps: Stamps;
  readonly door: Door;
  readonly persona: Persona;
  readonly validate: "spec" | "live";
  /** What `openai-processing-ms` says: the mock's time to its first token; undefined = each its own. */
  readonly processingMs: number | undefined;
  /** Keeps answers that are to be stored; absent = none is. */
  readonly keeper?: AnswerKeeper<ChatRequest>;
}

/** Where the answers' own id goes: "req_" and 32 hex digits. */
const REQUEST_ID = { name: "x-request-id", width: 36 } as const;

/** Makes the surface. */
export function chatCompletions(deps: ChatCompletionsDeps): Surface {
  const { door, persona, stamps } = deps;
  const isMinimal = persona === "minimal";
  return modelSurface({
    ...deps,
    name: door.surface,
    dialect: "openai_chat",
    path: "/chat/completions",
    tellsProcessing: deps.processingMs === undefined && deps.persona === "live",
    stamps: withExpiry(stamps.withChatIds(...CHUNK_ID_LENGTHS), () => stamps.createdS),
    headers: headersOf(deps),
    admit(head, exchange) {
      if (!isMinimal) exchange.requestId = `req_${stamps.hex(32)}`;
      return door.admit(head, exchange);
    },
    fieldsUp: (head, exchange) => door.fieldsUp(head, exchange),
    parse: (text) => readChat(text, deps),
    cutsAfterBlank: isMinimal,
    layout: (request) => chatLayout(request, persona),
    stream: { errorEvent, faultEdits: CHAT_EDITS },
    ...(door.tellsLimits ? { limitFields: TELLS_LIMITS } : {}),
    tooLarge: bodyTooLarge,
    refuse: (error, { requestId, limits }) =>
      door.refuse(door.tellsLimits ? withRateLimits(error, limits, 400) : error, requestId),
  });
}

/** Whole answers and streams tell of rate limits. */
export const TELLS_LIMITS: LimitFields = { stream: rateLimitFields, whole: rateLimitFields };

/** The request in a body. @throws {AppError} what is wrong with it. */
export function readChat(
  text: string,
  deps: Pick<ChatCompletionsDeps, "persona" | "validate" | "isRelaying">,
): ChatRequest {
  const isMinimal = deps.persona === "minimal";
  const chat = parse(text, deps);
  const isStream = chat.stream ?? isMinimal;
  // Usually the very object that was parsed: on the hot path nothing is copied.
  return isStream === chat.isStream && isStream
    ? chat
    : { ...chat, isStream, wantsUsage: chat.wantsUsage || !isStream };
}

/** How answers to a request are laid. */
export function chatLayout(
  { model, wantsUsage, wantsObfuscation, params }: ChatRequest,
  persona: Persona,
): ChunkLayout {
  return new ChunkLayout({
    persona,
    model: persona === "minimal" ? MINIMAL_MODEL : datedModel(model),
    ...(persona === "minimal" ? { fullModel: datedModel(model) } : {}),
    wantsUsage,
    wantsObfuscation,
    ...("functions" in params && !("tools" in params) ? { callsFunctions: true } : {}),
    tier: tierOf(params["service_tier"]),
  });
}

function parse(
  text: string,
  { persona, validate, isRelaying }: Pick<
    ChatCompletionsDeps,
    "persona" | "validate" | "isRelaying"
  >,
): ChatRequest {
  try {
    return parseChatRequest(parseJsonBody(text, brokenJson), validate, !isRelaying);
  } catch (error) {
    // The OpenResty mock never reads the body (docs/facts/systems.md "Events"): its clients get their answer whatever they send.
    if (persona !== "minimal" || asAppError(error).status !== 400) throw error;
    return EMPTY_CHAT;
  }
}

/** The door of `/v1/chat/completions`: OpenAI's keys and OpenAI's errors. */
export function v1Door(
  authorize: Authorize,
  /** The keys that are right: an error never repeats one. */
  secrets: readonly string[],
): Door {
  return {
    surface: "v1_chat_completions",
    admit({ fields }, exchange) {
      const verdict = authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, fields, secrets);
    },
    fieldsUp: ({ fields }) => fields,
    refuse: errorAnswer,
    tellsLimits: true,
  };
}

/** What every answer of the mock carries. */
function headersOf({ persona, processingMs }: ChatCompletionsDeps) {
  const isMinimal = persona === "minimal";
  const fields: Record<string, string> = {
    ...(isMinimal ? {} : {
      "openai-version": OPENAI_VERSION,
      ...processingFields(processingMs),
    }),
    "access-control-allow-origin": "*",
    ...(isMinimal ? {} : { "access-control-expose-headers": "X-Request-ID" }),
  };
  const { "x-accel-buffering": unbuffered, ...ofMinimal } = sseFields(fields);
  return {
    // The OpenResty mock says neither an id nor anything to nginx.
    stream: isMinimal
      ? HeaderBlock.of(ofMinimal)
      : HeaderBlock.of({ ...ofMinimal, "x-accel-buffering": unbuffered! }, REQUEST_ID),
    whole: HeaderBlock.of(
      { "content-type": "application/json", ...fields },
      isMinimal ? undefined : REQUEST_ID,
    ),
  };
}

/** The one model that the OpenResty mock knows. */
const MINIMAL_MODEL = "gpt-3.5-turbo";

/** A request of which nothing is known. */
const EMPTY_CHAT: ChatRequest = { ...EMPTY_TURN, stream: undefined, wantsObfuscation: true };
