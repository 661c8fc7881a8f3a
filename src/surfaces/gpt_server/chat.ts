/**
 * `POST /chat`: go-gpt-server's door to the OpenAI chat dialect. Its own tokens, its own upstream,
 * and the same chunks as `/v1/chat/completions` (docs/facts/systems.md "/chat").
 *
 * @module
 */

import type { ErrorCode } from "../../core/errors.ts";
import type { Surface } from "../../core/surface.ts";
import { errorAnswer } from "../../dialects/openai/errors.ts";
import { chatCompletions, type ChatCompletionsDeps } from "../openai/chat_completions.ts";
import { bareRefusal } from "./bare_refusal.ts";
import { type CheckVisitor, visitorFields, Visitors } from "./visitor.ts";

/** What the surface needs. */
export interface ChatDeps extends Omit<ChatCompletionsDeps, "door"> {
  readonly checkVisitor: CheckVisitor;
}

/** What that system answered without a body. */
const BARE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "forbidden",
  "key_forbidden",
  "upstream_unreachable",
  "upstream_open",
]);

/** Makes the surface. */
export function chat(deps: ChatDeps): Surface {
  const visitors = new Visitors(deps.checkVisitor);
  return chatCompletions({
    ...deps,
    door: {
      surface: "chat",
      admit: (head, exchange) => visitors.admit(head, exchange),
      fieldsUp: ({ fields }, exchange) => visitorFields(fields, visitors.of(exchange)),
      refuse: (error, requestId) =>
        BARE.has(error.code) ? bareRefusal(error) : errorAnswer(error, requestId),
    },
  });
}
