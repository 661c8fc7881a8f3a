/**
 * How answers in envelopes have faults on purpose. They have no reasons, roles or counts.
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
import { envelopeErrorEvent } from "./envelope.ts";

/** Every fault that envelopes can have. */
export const ENVELOPE_EDITS: DialectEdits = {
  ...commonEdits({
    isLast: isDoneMark,
    isPiece: ({ json }) => json?.["data"] !== undefined,
    errorEvents: ({ message }) =>
      envelopeErrorEvent(new AppError("scripted", message ?? ERROR_MESSAGE)),
  }),
  ...NO_WORDS,
};
