/**
 * How the chunks of a workflow's output have faults on purpose. They are values of anybody's making,
 * have no end mark, and an error cuts them off.
 *
 * @module
 */

import { commonEdits, type DialectEdits, NO_WORDS } from "../stream_edits.ts";

/** Every fault that chunks can have. */
export const CHUNK_EDITS: DialectEdits = { ...commonEdits({ isPiece: () => true }), ...NO_WORDS };
