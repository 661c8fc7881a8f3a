/**
 * How responses have faults on purpose.
 *
 * @module
 */

import { JsonSplice, placeAt } from "../../lib/json_splice.ts";
import {
  alsoWhole,
  asObject,
  commonEdits,
  type DialectEdits,
  each,
  Edit,
  ERROR_MESSAGE,
  fieldText,
  type Json,
  lacking,
  objectsIn,
  type SentEvents,
  type ToldError,
  type WireEvent,
} from "../stream_edits.ts";
import { CutItems } from "./cut_items.ts";

/** Events that end an answer, however it went. */
const LAST: ReadonlySet<unknown> = new Set(
  ["completed", "incomplete", "failed", "cancelled", "done"].map((word) => `response.${word}`),
);

function typeOf({ json, event }: WireEvent): string {
  return String(json?.["type"] ?? event);
}

function isLast(event: WireEvent): boolean {
  return LAST.has(typeOf(event));
}

/** An event of JSON, whose type stands on a line of its own, too. */
function eventText(json: string, type: string): string {
  return `event: ${type}\ndata: ${json}\n\n`;
}

/** The number behind that of `event`. */
function nextNumber({ json }: WireEvent): number {
  return Number(json?.["sequence_number"] ?? -1) + 1;
}

/** An error, and the response that has failed for it: otherwise as the first event told it. */
function errorEvents(error: ToldError, { first, last }: SentEvents): string {
  const { message = ERROR_MESSAGE, type = "server_error", code = "server_error" } = error;
  const number = nextNumber(last);
  const told = {
    type: "error",
    error: { type, code, message, param: null },
    sequence_number: number,
  };
  const said = eventText(JSON.stringify(told), "error");
  if (asObject(first.json?.["response"]) === undefined) return said;
  const response = new JsonSplice(fieldText(first, "response"));
  response.set(response.root, "status", '"failed"');
  response.set(response.root, "error", JSON.stringify({ code, message }));
  const json = `{"type":"response.failed","response":${response},"sequence_number":${number + 1}}`;
  return said + eventText(json, "response.failed");
}

/** What goes on ends behind an event; the answer is incomplete when it would have ended. */
class Filter extends Edit {
  readonly #items = new CutItems();
  #number = 0;
  #isDue = false;

  protected take(event: WireEvent, isHere: boolean): string {
    if (this.#isDue) return this.#after(event);
    if (event.json !== undefined) this.#items.see(event.json);
    if (!isHere || isLast(event)) return event.text;
    this.#isDue = true;
    this.#number = nextNumber(event);
    let text = event.text;
    for (const json of this.#items.cut()) {
      const numbered = { ...json, sequence_number: this.#number++ };
      text += this.done(eventText(JSON.stringify(numbered), String(json["type"])));
    }
    return text;
  }

  #after(event: WireEvent): string {
    const { data, json } = event;
    if (!isLast(event) || data === undefined || json === undefined) return this.done("");
    const splice = new JsonSplice(data);
    const { root } = splice;
    const response = placeAt(root, "response");
    if (response === undefined) return event.text;
    const type = "response.incomplete";
    splice.set(root, "type", JSON.stringify(type));
    splice.set(root, "sequence_number", String(this.#number++));
    incomplete(splice, asObject(json["response"]) ?? {}, response);
    splice.set(response, "output", JSON.stringify(this.#items.output));
    return this.done(eventText(splice.toString(), type));
  }
}

/** The response at `place` is incomplete for its content. */
function incomplete(splice: JsonSplice, response: Json, place = splice.root): void {
  splice.set(place, "status", '"incomplete"');
  splice.set(place, "incomplete_details", '{"reason":"content_filter"}');
  if ("completed_at" in response) splice.set(place, "completed_at", "null");
}

/** No message of `items`, which stand at `path`, has a role. */
function withoutRoles(splice: JsonSplice, items: unknown, ...path: readonly string[]): void {
  for (const i of objectsIn(items).keys()) {
    const place = placeAt(splice.root, ...path, i);
    if (place !== undefined) splice.remove(place, "role");
  }
}

/** Every fault that responses can have. */
export const RESPONSE_EDITS: DialectEdits = {
  ...commonEdits({ isLast, isPiece: (event) => typeOf(event).endsWith(".delta"), errorEvents }),
  "index-gap": each(({ keys }) => {
    const calls = new Set<unknown>();
    return (event) => {
      const { output_index: index, item } = event.json ?? {};
      if (String(asObject(item)?.["type"]).endsWith("_call")) calls.add(index);
      if (!Number.isSafeInteger(index) || (keys["of"] === "tool" && !calls.has(index))) {
        return undefined;
      }
      return event.spliced((splice) =>
        splice.set(splice.root, "output_index", String(Number(index) + 1))
      );
    };
  }),
  "usage-missing": alsoWhole(
    each(() => (event) =>
      event.spliced((splice) => {
        const usage = placeAt(splice.root, "response", "usage");
        if (usage?.fields !== undefined) splice.replace(usage, "null");
      })
    ),
    (splice) => splice.set(splice.root, "usage", "null"),
  ),
  "no-role": alsoWhole(
    each(() => (event) =>
      event.spliced((splice, json) => {
        const item = placeAt(splice.root, "item");
        if (item !== undefined) splice.remove(item, "role");
        withoutRoles(splice, asObject(json["response"])?.["output"], "response", "output");
      })
    ),
    (splice, json) => withoutRoles(splice, json["output"], "output"),
  ),
  ...lacking("its usage stands on the last event, and on no other", "usage-late", "usage-twice"),
  ...lacking("its last event is the reason for the end: see no-done", "no-finish"),
  filter: alsoWhole({ stream: () => new Filter() }, (splice, json) => incomplete(splice, json)),
};
