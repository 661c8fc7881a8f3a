/**
 * `POST /v1/completions`: OpenAI's API of base models, answered by the mock, relayed to an upstream,
 * or asked of one that only knows conversations.
 *
 * @module
 */

import { HeaderBlock } from "../../lib/http1/header_block.ts";
import { sseFields } from "../../core/sse_headers.ts";
import type { Stamps } from "../../core/stamp.ts";
import type { Surface } from "../../core/surface.ts";
import { bodyTooLarge, errorEvent, OPENAI_VERSION } from "../../dialects/openai/errors.ts";
import { withRateLimits } from "../../dialects/openai/rate_limits.ts";
import { processingFields } from "../../dialects/openai/processing.ts";
import { COMPLETION_EDITS } from "../../dialects/openai_completions/fault_edits.ts";
import { parseCompletion } from "../../dialects/openai_completions/request.ts";
import {
  COMPLETION_ID_LENGTHS,
  CompletionLayout,
} from "../../dialects/openai_completions/write_answer.ts";
import { logprobOf } from "../../sources/mock/logprobs.ts";
import type { TokenCounters } from "../../sources/tokens.ts";
import { type ModelDeps, modelSurface } from "../model_surface.ts";
import { type Door, TELLS_LIMITS } from "./chat_completions.ts";

/** What the surface needs. */
export interface CompletionsDeps extends ModelDeps {
  readonly stamps: Stamps;
  readonly door: Door;
  readonly validate: "spec" | "live";
  /** What `openai-processing-ms` says: the mock's time to its first token; undefined = each its own. */
  readonly processingMs: number | undefined;
  readonly tokens: TokenCounters;
}

/** Where the answers' own id goes: "req_" and 32 hex digits. */
const REQUEST_ID = { name: "x-request-id", width: 36 } as const;

/** Makes the surface. */
export function completions(deps: CompletionsDeps): Surface {
  const { door, stamps, validate, processingMs, tokens } = deps;
  const logprobsOf = (prompt: string, count: number, model: string) =>
    (tokens.of(model).pieces(prompt) ?? [prompt]).map((token, i) => logprobOf(token, i, count));
  const fields = {
    "openai-version": OPENAI_VERSION,
    ...processingFields(processingMs),
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "X-Request-ID",
  };
  return modelSurface({
    ...deps,
    name: door.surface,
    dialect: "openai_completions",
    path: "/completions",
    tellsProcessing: processingMs === undefined,
    stamps: stamps.withIds(...COMPLETION_ID_LENGTHS),
    headers: {
      stream: HeaderBlock.of(
        sseFields({ ...fields, "content-type": "text/event-stream" }),
        REQUEST_ID,
      ),
      whole: HeaderBlock.of({ "content-type": "application/json", ...fields }, REQUEST_ID),
    },
    admit(head, exchange) {
      exchange.requestId = `req_${stamps.hex(32)}`;
      return door.admit(head, exchange);
    },
    fieldsUp: (head, exchange) => door.fieldsUp(head, exchange),
    parse: (text) =>
      parseCompletion(text, validate, (prompt, model) => tokens.of(model).textOf(prompt)),
    layout: (request) =>
      new CompletionLayout({
        ...request,
        choicesPerPrompt: request.choiceCount / request.prompts.length,
        logprobsOf,
      }),
    stream: { errorEvent, faultEdits: COMPLETION_EDITS },
    limitFields: TELLS_LIMITS,
    tooLarge: bodyTooLarge,
    refuse: (error, { requestId, limits }) => door.refuse(withRateLimits(error, limits), requestId),
  });
}
