/**
 * `POST /v1/responses`: OpenAI's Responses API, answered by the mock, relayed, or spoken by an
 * upstream of another dialect.
 *
 * @module
 */

import { parseJsonBody } from "../../core/json_body.ts";
import type { Authorize } from "../../core/exchange.ts";
import { sseFields } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Surface } from "../../core/surface.ts";
import {
  bodyTooLarge,
  brokenJson,
  errorAnswer,
  keyError,
  OPENAI_VERSION,
} from "../../dialects/openai/errors.ts";
import { rateLimitFields, withRateLimits } from "../../dialects/openai/rate_limits.ts";
import { processingFields } from "../../dialects/openai/processing.ts";
import { RESPONSE_EDITS } from "../../dialects/openai_responses/fault_edits.ts";
import { errorEvents, requestedUnknown } from "../../dialects/openai_responses/errors.ts";
import { parseResponsesRequest } from "../../dialects/openai_responses/request.ts";
import { ResponsesLayout } from "../../dialects/openai_responses/write_answer.ts";
import { HeaderBlock } from "../../lib/http1/header_block.ts";
import { StreamEnd } from "../../lib/sse_tail.ts";
import { type ModelDeps, modelSurface } from "../model_surface.ts";
import type { KeptResponses } from "./kept_responses.ts";

/** What the surface needs. */
export interface ResponsesDeps extends ModelDeps {
  readonly stamps: Stamps;
  readonly authorize: Authorize;
  /** The keys that are right: an error never repeats one. */
  readonly secrets: readonly string[];
  readonly validate: "spec" | "live";
  /** The model that is meant where none is named. */
  readonly model: string;
  /** What `openai-processing-ms` says: the mock's time to its first token; undefined = each its own. */
  readonly processingMs: number | undefined;
  /** What is kept of answers, and what requests may go on from. */
  readonly kept: KeptResponses;
}

/** Where the answers' own id goes: "req_" and 32 hex digits. */
const REQUEST_ID = { name: "x-request-id", width: 36 } as const;

/** How streams of the Responses API end. */
export const RESPONSES_END = StreamEnd.events(
  "response.completed",
  "response.failed",
  "response.incomplete",
);

/** Makes the surface. */
export function responses(deps: ResponsesDeps): Surface {
  const { authorize, kept, secrets, stamps, validate, model } = deps;
  return modelSurface({
    ...deps,
    name: "v1_responses",
    dialect: "openai_responses",
    path: "/responses",
    tellsProcessing: deps.processingMs === undefined,
    stamps: stamps.withResponseIds(),
    headers: headersOf(deps.processingMs),
    admit({ fields }, exchange) {
      exchange.requestId = `req_${stamps.hex(32)}`;
      const verdict = authorize(fields, exchange);
      if (verdict !== "ok") throw keyError(verdict, fields, secrets);
    },
    fieldsUp: ({ fields }) => fields,
    parse: (text) =>
      parseResponsesRequest(parseJsonBody(text, brokenJson), validate, model, !deps.isRelaying),
    layout: (request) => new ResponsesLayout(request),
    keeper: kept,
    past: kept,
    stream: { errorEvent: errorEvents, streamEnd: RESPONSES_END, faultEdits: RESPONSE_EDITS },
    // Its streams tell nothing of limits (docs/facts/openai_api.md "Rate limits").
    limitFields: { whole: rateLimitFields },
    tooLarge: bodyTooLarge,
    refuse(error, { model, requestId, limits }) {
      const own = error.code === "model_unknown" ? requestedUnknown(model) : error;
      return errorAnswer(withRateLimits(own, limits), requestId);
    },
  });
}

/** What every answer of the mock carries. */
function headersOf(processingMs: number | undefined) {
  const fields: Readonly<Record<string, string>> = {
    "openai-version": OPENAI_VERSION,
    ...processingFields(processingMs),
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Request-ID",
  };
  return {
    stream: HeaderBlock.of(sseFields(fields), REQUEST_ID),
    whole: HeaderBlock.of({ "content-type": "application/json", ...fields }, REQUEST_ID),
  };
}
