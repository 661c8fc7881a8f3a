/**
 * How ChatGPT's own events have faults on purpose. They tell no counts.
 *
 * @module
 */

import { dataEvent } from "../../core/dialect.ts";
import { placeAt } from "../../lib/json_splice.ts";
import {
  asObject,
  commonEdits,
  type DialectEdits,
  each,
  ERROR_MESSAGE,
  isDoneMark,
  lacking,
} from "../stream_edits.ts";

/** Every fault that a conversation can have. */
export const CONVERSATION_EDITS: DialectEdits = {
  ...commonEdits({
    isLast: isDoneMark,
    isPiece: ({ json }) => asObject(json?.["message"]) !== undefined,
    errorEvents: ({ message }, { last }) =>
      dataEvent({
        conversation_id: last.json?.["conversation_id"] ?? "",
        message: null,
        error: message ?? ERROR_MESSAGE,
      }),
  }),
  "no-finish": each(() => (event) =>
    event.spliced((splice, json) => {
      const message = placeAt(splice.root, "message");
      if (message === undefined || asObject(json["message"])?.["end_turn"] !== true) return;
      splice.set(message, "status", '"in_progress"');
      splice.set(message, "end_turn", "null");
    })
  ),
  "no-role": each(() => (event) =>
    event.spliced((splice) => {
      const author = placeAt(splice.root, "message", "author");
      if (author !== undefined) splice.remove(author, "role");
    })
  ),
  ...lacking("its events have no index", "index-gap"),
  ...lacking("its events tell no usage", "usage-late", "usage-missing", "usage-twice"),
  ...lacking("its events have no word for a filter", "filter"),
};
