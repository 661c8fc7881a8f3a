/**
 * The Responses API as the dialect of an upstream.
 *
 * @module
 */

import type { UpstreamDialect } from "../../core/dialect.ts";
import { readError } from "../openai_chat/read_answer.ts";
import { readAnswer } from "./read_answer.ts";
import { writeRequest } from "./write_request.ts";

/** How an upstream of this dialect is asked and read. */
export const OPENAI_RESPONSES: UpstreamDialect = {
  name: "openai_responses",
  path: "/responses",
  writeRequest,
  readAnswer,
  readError,
};
