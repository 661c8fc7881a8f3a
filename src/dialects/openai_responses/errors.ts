/**
 * How a Responses stream breaks off: an `error` event, then `response.failed`
 * (docs/facts/openai_api.md "Responses: errors in a stream").
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { SentSoFar } from "../../core/surface.ts";
import { errorWords } from "../openai/errors.ts";
import { echo } from "../openai/faults.ts";
import { ResponseObject } from "./response_object.ts";

/** There is no such model, in this API's words. */
export function requestedUnknown(model: string): AppError {
  return new AppError(
    "model_requested_unknown",
    `The requested model '${echo(model)}' does not exist.`,
    { param: "model" },
  );
}

const NUMBER = /"sequence_number":(\d+)/g;
const ID = /"id":"(resp_?[^"\\]{0,200})"/;
const CREATED = /"created_at":(\d+)/;
const MODEL = /"model":"([^"\\]{1,200})"/;

/** `error` in the middle of a stream, which goes on from what was sent. */
export function errorEvents(error: AppError, { first, last }: SentSoFar): string {
  const { type, code } = errorWords(error);
  const { message, param } = error;
  const sent = [...first.matchAll(NUMBER), ...last.matchAll(NUMBER)].at(-1)?.[1];
  const next = sent === undefined ? 0 : Number(sent) + 1;
  const response = new ResponseObject(MODEL.exec(first)?.[1] ?? "", {}).text({
    id: ID.exec(first)?.[1] ?? "",
    created: CREATED.exec(first)?.[1] ?? "0",
    status: "failed",
    output: [],
    error: { code: code ?? "server_error", message },
  });
  const told = JSON.stringify({ type, code, message, param });
  return `event: error\ndata: {"type":"error","error":${told},"sequence_number":${next}}\n\n` +
    `event: response.failed\ndata: {"type":"response.failed","response":${response},` +
    `"sequence_number":${next + 1}}\n\n`;
}
