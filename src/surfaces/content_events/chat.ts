/**
 * `POST /api/chat`: the FastAPI LLM service's stream of `{"content": …}` events
 * (docs/facts/systems.md "Events of /api/chat").
 *
 * @module
 */

import type { Source } from "../../core/answer.ts";
import type { ErrorCode } from "../../core/errors.ts";
import type { Authorize } from "../../core/exchange.ts";
import { sseHeaders } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Manner, RecordLateness, Surface } from "../../core/surface.ts";
import { CONTENT_EDITS } from "../../dialects/content_events/fault_edits.ts";
import { readRequest } from "../../dialects/content_events/request.ts";
import { CONTENT_LAYOUT, contentErrorEvent } from "../../dialects/content_events/write_answer.ts";
import { checkToken, detailAnswer, detailTooLarge } from "../../dialects/detail/errors.ts";
import { Unprocessable, unprocessableAnswer } from "../../dialects/detail/unprocessable.ts";
import { turnAsk } from "../turn_ask.ts";

/** What the surface needs. */
export interface ApiChatDeps {
  readonly source: Source;
  readonly stamps: Stamps;
  readonly recordLateness: RecordLateness;
  readonly authorize: Authorize;
  /** The model when a request names none. */
  readonly defaultModel: string;
  /** True: an answer is finished although its client has left. */
  readonly isDraining: boolean;
}

/** Errors that are weir's own state and not what the model said. */
const OWN_ERRORS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "internal",
  "shutting_down",
  "unavailable",
  "key_forbidden",
  "key_requests",
  "key_tokens",
  "key_budget",
]);

const STREAM_HEADERS = sseHeaders({ "connection": "keep-alive" });

/** Makes the surface. */
export function apiChat(deps: ApiChatDeps): Surface {
  const { source, authorize, defaultModel, isDraining } = deps;
  const manner: Manner = {
    stamps: deps.stamps.withIds(),
    headers: () => STREAM_HEADERS,
    errorEvent: contentErrorEvent,
    faultEdits: CONTENT_EDITS,
    recordLateness: deps.recordLateness,
  };
  const shared = { source, manner, layout: CONTENT_LAYOUT, isDraining };
  return {
    name: "api_chat",
    source: source.name,
    takes: "body",
    admit: (head, exchange) => checkToken(authorize, head, exchange),
    answer({ text }, exchange) {
      const turn = readRequest(text, defaultModel);
      exchange.isStream = true;
      return turnAsk(turn, shared);
    },
    tooLarge: detailTooLarge,
    refuse(error, _exchange, asking) {
      if (error instanceof Unprocessable) return unprocessableAnswer(error);
      if (asking === undefined || OWN_ERRORS.has(error.code)) return detailAnswer(error);
      // That system asked the model inside its stream: what goes wrong there is an event.
      return {
        kind: "whole",
        status: 200,
        headers: STREAM_HEADERS,
        body: contentErrorEvent(error),
      };
    },
  };
}
