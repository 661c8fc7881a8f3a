/**
 * How chat completions have faults on purpose.
 *
 * @module
 */

import { placeAt } from "../../lib/json_splice.ts";
import { chunkEdits, eachChoice, increase } from "../openai/chunk_edits.ts";
import { asObject, type DialectEdits, type Json, objectsIn } from "../stream_edits.ts";

/** Where a choice says something, of a chunk and of an answer in one piece. */
const SAYINGS = ["delta", "message"] as const;

/** Every fault that chat can have. */
export const CHAT_EDITS: DialectEdits = {
  ...chunkEdits({ nothing: '"delta":{}', says: saysSomething }),
  "no-role": eachChoice((splice, place) => {
    for (const saying of SAYINGS) {
      const said = placeAt(place, saying);
      if (said !== undefined) splice.remove(said, "role");
    }
  }),
  "index-gap": eachChoice((splice, place, choice, fault) => {
    if (fault.keys["of"] !== "tool") return increase(splice, place, choice, "index");
    const calls = objectsIn(asObject(choice["delta"])?.["tool_calls"]);
    for (const [i, call] of calls.entries()) {
      const there = placeAt(place, "delta", "tool_calls", i);
      if (there !== undefined) increase(splice, there, call, "index");
    }
  }),
};

/** Keys of a delta that are no part of what is said. */
const SILENT: ReadonlySet<string> = new Set(["role", "refusal", "content"]);

function saysSomething(choice: Json): boolean {
  const delta = asObject(choice["delta"]) ?? {};
  return Object.entries(delta).some(([key, value]) =>
    typeof value === "string" ? value !== "" && key !== "role" : !SILENT.has(key) && value !== null
  );
}
