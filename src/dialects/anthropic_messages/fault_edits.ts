/**
 * How Anthropic's messages have faults on purpose.
 *
 * @module
 */

import { placeAt } from "../../lib/json_splice.ts";
import {
  alsoWhole,
  asObject,
  commonEdits,
  type DialectEdits,
  each,
  Edit,
  lacking,
  type ToldError,
  type WireEvent,
} from "../stream_edits.ts";
import { event as eventText } from "./events.ts";

/** `type` of an event, which its data tells, too. */
function typeOf({ json, event }: WireEvent): unknown {
  return json?.["type"] ?? event;
}

function errorEvents({ message, type, code }: ToldError): string {
  const error = {
    type: type ?? "overloaded_error",
    message: message ?? "Overloaded",
    ...(code === undefined ? {} : { code }),
  };
  return eventText(JSON.stringify({ type: "error", error }), "error");
}

/** The blocks of an answer as they go by. */
class Blocks {
  readonly open = new Set<unknown>();
  readonly #calls = new Set<unknown>();

  see({ json = {} }: WireEvent): void {
    const { type, index, content_block } = json;
    if (type === "content_block_stop") this.open.delete(index);
    if (type !== "content_block_start") return;
    this.open.add(index);
    if (String(asObject(content_block)?.["type"]).endsWith("tool_use")) this.#calls.add(index);
  }

  isCall(index: unknown): boolean {
    return this.#calls.has(index);
  }
}

/** Ends what is being said behind an event, and says why when the answer ends. */
class Filter extends Edit {
  readonly #blocks = new Blocks();
  #isDue = false;

  protected take(event: WireEvent, isHere: boolean): string {
    if (this.#isDue) return this.#after(event);
    this.#blocks.see(event);
    if (!isHere) return event.text;
    this.#isDue = true;
    const stops = Array.from(
      this.#blocks.open,
      (index) =>
        eventText(
          `{"type":"content_block_stop","index":${JSON.stringify(index)}}`,
          "content_block_stop",
        ),
    );
    return stops.length === 0 ? event.text : this.done(event.text + stops.join(""));
  }

  #after(event: WireEvent): string {
    const type = String(typeOf(event));
    if (type.startsWith("content_block_")) return this.done("");
    if (type !== "message_delta") return event.text;
    const text = event.spliced((splice) => {
      const delta = placeAt(splice.root, "delta");
      if (delta === undefined) return;
      splice.set(delta, "stop_reason", '"refusal"');
      splice.set(delta, "stop_sequence", "null");
    });
    return text === undefined ? event.text : this.done(text);
  }
}

/** Every fault that messages can have. */
export const MESSAGE_EDITS: DialectEdits = {
  ...commonEdits({
    isLast: (event) => typeOf(event) === "message_stop",
    isPiece: (event) => typeOf(event) === "content_block_delta",
    errorEvents,
  }),
  "index-gap": each(({ keys }) => {
    const blocks = new Blocks();
    return (event) => {
      blocks.see(event);
      const index = event.json?.["index"];
      if (!Number.isSafeInteger(index)) return undefined;
      if (keys["of"] === "tool" && !blocks.isCall(index)) return undefined;
      return event.spliced((splice) => splice.set(splice.root, "index", String(Number(index) + 1)));
    };
  }),
  "usage-missing": alsoWhole(
    each(() => (event) =>
      event.spliced((splice) => {
        splice.remove(splice.root, "usage");
        const message = placeAt(splice.root, "message");
        if (message !== undefined) splice.remove(message, "usage");
      })
    ),
    (splice) => splice.remove(splice.root, "usage"),
  ),
  "usage-twice": each(() => (event) =>
    typeOf(event) === "message_delta" ? event.text + event.text : undefined
  ),
  "no-finish": alsoWhole(
    each(() => (event) =>
      event.spliced((splice, json) => {
        const delta = placeAt(splice.root, "delta");
        if (json["type"] === "message_delta" && delta !== undefined) {
          splice.set(delta, "stop_reason", "null");
        }
      })
    ),
    (splice) => splice.set(splice.root, "stop_reason", "null"),
  ),
  "no-role": alsoWhole(
    each(() => (event) =>
      event.spliced((splice) => {
        const message = placeAt(splice.root, "message");
        if (message !== undefined) splice.remove(message, "role");
      })
    ),
    (splice) => splice.remove(splice.root, "role"),
  ),
  filter: alsoWhole(
    { stream: () => new Filter() },
    (splice) => splice.set(splice.root, "stop_reason", '"refusal"'),
  ),
  ...lacking("its usage stands with the reason for the end anyway", "usage-late"),
};
