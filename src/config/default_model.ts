/**
 * Which model is meant when a request names none.
 *
 * @module
 */

import type { Config } from "./schema.ts";

/** The name that clients of chat APIs know best. */
const USUAL_MODEL = "gpt-3.5-turbo";

/** The model of a request that names none: `llm.model_id`, else the first of `mock.models`. Never "". */
export function defaultModel({ llm, mock }: Pick<Config, "llm" | "mock">): string {
  return llm.model_id || (mock.models[0] ?? USUAL_MODEL);
}
