/**
 * What the URLs of Anthropic's API have in common: its keys, its ids, its errors.
 *
 * @module
 */

import type { AppError } from "../../core/errors.ts";
import type { Authorize, Exchange } from "../../core/exchange.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Whole } from "../../core/surface.ts";
import {
  bodyTooLarge,
  errorAnswer,
  errorEvent,
  keyError,
  modelNotFound,
} from "../../dialects/anthropic_messages/errors.ts";
import { limitError } from "../../dialects/anthropic_messages/rate_limits.ts";
import { REQUEST_ID_CHARS, requestIdOf } from "../../dialects/anthropic_messages/request_id.ts";
import type { RequestHead } from "../../lib/http1/request_head.ts";

/** What a door needs. */
export interface DoorDeps {
  readonly stamps: Stamps;
  /** Takes keys where Anthropic's clients send them. */
  readonly authorize: Authorize;
}

/** Lets requests in, and turns them away. */
export interface AnthropicDoor {
  /** @throws {AppError} 401. */
  readonly admit: (head: RequestHead, exchange: Exchange) => void;
  readonly errorEvent: (error: AppError) => string;
  readonly tooLarge: (bytesMax: number) => AppError;
  readonly refuse: (error: AppError, exchange: Exchange) => Whole;
}

/** Where an answer's own id goes. */
export const REQUEST_ID = { name: "request-id", width: REQUEST_ID_CHARS } as const;

/** What every answer of weir's own carries. */
export const ANTHROPIC_FIELDS = {
  "access-control-allow-origin": "*",
  "access-control-expose-headers": "request-id",
} as const;

/** Makes the door. */
export function anthropicDoor({ stamps, authorize }: DoorDeps): AnthropicDoor {
  return {
    admit({ fields }, exchange) {
      exchange.requestId = requestIdOf(stamps);
      const verdict = authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, !fields.has("x-api-key"));
    },
    errorEvent,
    tooLarge: bodyTooLarge,
    refuse(error, { requestId, model, limits }) {
      const isModels = error.code === "model_unknown" && model !== "";
      const own = isModels ? modelNotFound(model) : limitError(error, limits);
      return errorAnswer(own, requestId);
    },
  };
}
