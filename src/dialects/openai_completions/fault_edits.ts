/**
 * How completions have faults on purpose.
 *
 * @module
 */

import { type DialectEdits, lacking } from "../stream_edits.ts";
import { chunkEdits } from "../openai/chunk_edits.ts";

/** Every fault that completions can have. */
export const COMPLETION_EDITS: DialectEdits = {
  ...chunkEdits({
    nothing: '"text":"","logprobs":null',
    says: ({ text }) => typeof text === "string" && text !== "",
  }),
  ...lacking("its texts have no roles", "no-role"),
};
