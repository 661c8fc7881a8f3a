/**
 * `POST /chat`: system 003's door to the OpenAI chat dialect. Its own tokens, its own upstream, and
 * the same chunks as `/v1/chat/completions` (facts/systems.md 003).
 *
 * @module
 */

import type { ErrorCode } from "../../core/errors.ts";
import { bareRefusal } from "./bare_refusal.ts";
import { errorResponse } from "../../dialects/openai/errors.ts";
import { chatCompletions, type ChatCompletionsDeps } from "../openai/chat_completions.ts";
import { type Admit, notAdmitted, visitorHeaders } from "./visitor.ts";

/** What the surface needs. */
export interface ChatDeps extends Omit<ChatCompletionsDeps, "door"> {
  readonly admit: Admit;
}

/** What that system answered without a body. */
const BARE: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["forbidden", "upstream_unreachable"]);

/** Makes the handler. */
export function chat(deps: ChatDeps): (request: Request) => Response | Promise<Response> {
  return chatCompletions({
    ...deps,
    door: {
      surface: "chat",
      async admit(headers, exchange) {
        const visitor = await deps.admit(headers.get("authorization"));
        if (visitor === undefined) throw notAdmitted();
        exchange.tokenName = visitor.tokenName;
        return visitorHeaders(headers, visitor);
      },
      refuse: (error, requestId) =>
        BARE.has(error.code) ? bareRefusal(error) : errorResponse(error, requestId),
    },
  });
}
