/**
 * Which model is meant when a request names none.
 *
 * @module
 */

import type { Config } from "./schema.ts";

/** The name that clients of chat APIs know best. */
const USUAL_MODEL = "gpt-3.5-turbo";

/**
 * The model of a request that names none: that of the upstream named llm, else the first of
 * `mock.models`. Never "".
 */
export function defaultModel(
  { llm, mock, upstreams }: Pick<Config, "llm" | "mock" | "upstreams">,
): string {
  const named = upstreams.find(({ name }) => name === "llm");
  return llm.model_id || named?.model_id || (mock.models[0] ?? USUAL_MODEL);
}
