/**
 * How answers in envelopes have faults on purpose. They have no reasons, roles or counts.
 *
 * @module
 */

import { AppError } from "../../core/errors.ts";
import type { FaultEdits } from "../../core/fault_plan.ts";
import { commonEdits, ERROR_MESSAGE, isDoneMark } from "../stream_edits.ts";
import { envelopeErrorEvent } from "./envelope.ts";

/** Every fault that envelopes can have. */
export const ENVELOPE_EDITS: FaultEdits = commonEdits({
  isLast: isDoneMark,
  isPiece: ({ json }) => json?.["data"] !== undefined,
  errorEvents: ({ message }) => envelopeErrorEvent(new AppError("scripted", message ?? ERROR_MESSAGE)),
});
