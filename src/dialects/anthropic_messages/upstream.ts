/**
 * Anthropic's Messages API as the dialect of an upstream.
 *
 * @module
 */

import type { UpstreamDialect } from "../../core/dialect.ts";
import { readAnswer, readError } from "./read_answer.ts";
import { writeRequest } from "./write_request.ts";

/** How an upstream of this dialect is asked and read. */
export const ANTHROPIC_MESSAGES: UpstreamDialect = {
  name: "anthropic_messages",
  path: "/messages",
  writeRequest,
  readAnswer,
  readError,
};
