/**
 * The FastAPI LLM service's stream: one `{"content": …}` event per piece of text
 * (docs/facts/systems.md "Events of /api/chat").
 *
 * @module
 */

import { dataEvent, DONE_EVENT } from "../../core/dialect.ts";
import type { AppError } from "../../core/errors.ts";
import type { Layout } from "../../core/frames.ts";

/** How answers are streamed. */
export const CONTENT_LAYOUT: Layout = {
  key: "content_events",
  idLengths: [],
  writer: () => ({
    step: (step) =>
      step.kind === "delta" && step.block === "text" && step.text !== "" && step.choice === 0
        ? dataEvent({ content: step.text })
        : "",
    close: () => DONE_EVENT,
  }),
};

/** `error` in the middle of a stream. Its clients read until `[DONE]`, so one follows. */
export function contentErrorEvent({ message }: AppError): string {
  return dataEvent({ error: message }) + DONE_EVENT;
}
