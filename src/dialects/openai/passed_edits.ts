/**
 * How streams have faults on purpose that are passed on and not understood: speech, images, files.
 *
 * @module
 */

import { commonEdits, type DialectEdits, withoutWords } from "../stream_edits.ts";
import { toldErrorEvent } from "./chunk_edits.ts";

/** Every fault that such a stream can have. */
export const PASSED_EDITS: DialectEdits = {
  ...commonEdits({ isPiece: () => true, errorEvents: toldErrorEvent }),
  ...withoutWords("its events are passed on, and nobody knows what they say"),
};
