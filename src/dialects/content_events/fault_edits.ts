/**
 * How content events have faults on purpose. They have no reasons, roles or counts.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import {
  commonEdits,
  type DialectEdits,
  ERROR_MESSAGE,
  isDoneMark,
  NO_WORDS,
} from "../stream_edits.ts";
import { contentErrorEvent } from "./write_answer.ts";

/** Every fault that content events can have. */
export const CONTENT_EDITS: DialectEdits = {
  ...commonEdits({
    isLast: isDoneMark,
    isPiece: ({ json }) => json?.["content"] !== undefined,
    errorEvents: ({ message }) =>
      contentErrorEvent(new AppError("scripted", message ?? ERROR_MESSAGE)),
  }),
  ...NO_WORDS,
};
