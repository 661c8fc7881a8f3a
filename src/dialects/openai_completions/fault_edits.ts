/**
 * How completions have faults on purpose.
 *
 * @module
 */

import type { FaultEdits } from "../../core/fault_plan.ts";
import { chunkEdits } from "../openai/chunk_edits.ts";

/** Every fault that completions can have. */
export const COMPLETION_EDITS: FaultEdits = chunkEdits({
  nothing: '"text":"","logprobs":null',
  says: ({ text }) => typeof text === "string" && text !== "",
});
