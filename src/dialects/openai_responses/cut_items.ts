/**
 * The items of a response as its events tell them, and how those that go on end before their time.
 *
 * @module
 */

import { asObject, type Json } from "../stream_edits.ts";

/** A text of an item: of a part of its content or summary, or its arguments. */
interface Part {
  readonly value: Record<string, unknown>;
  text: string;
  isOpen: boolean;
}

/** An item that has begun and not ended. */
interface OpenItem {
  readonly item: Json;
  readonly parts: Map<unknown, Part>;
  /** Of a call. */
  text: string;
}

/** How the text of a part ends: the event, and the key of the text in it and in the part. */
const PART_ENDS: Readonly<Record<string, readonly [type: string, key: string]>> = {
  output_text: ["response.output_text.done", "text"],
  refusal: ["response.refusal.done", "refusal"],
  reasoning_text: ["response.reasoning_text.done", "text"],
  summary_text: ["response.reasoning_summary_text.done", "text"],
};

/** The same of calls. */
const CALL_ENDS: Readonly<Record<string, readonly [type: string, key: string]>> = {
  function_call: ["response.function_call_arguments.done", "arguments"],
  custom_tool_call: ["response.custom_tool_call_input.done", "input"],
};

/** Items of one answer that are followed; what is behind them is not closed. */
const ITEMS_MAX = 4096;

/** Follows the items of one answer. */
export class CutItems {
  readonly #open = new Map<unknown, OpenItem>();
  readonly #done = new Map<unknown, unknown>();

  /** Sees the next event. */
  see(event: Json): void {
    const { type, output_index, item, part, delta, annotation } = event;
    if (type === "response.output_item.added") {
      if (this.#open.size + this.#done.size >= ITEMS_MAX) return;
      this.#open.set(output_index, { item: asObject(item) ?? {}, parts: new Map(), text: "" });
      return;
    }
    if (type === "response.output_item.done") {
      this.#open.delete(output_index);
      this.#done.set(output_index, item);
      return;
    }
    const open = this.#open.get(output_index);
    if (open === undefined) return;
    const key = event["content_index"] ?? event["summary_index"];
    const words = String(type);
    if (words.endsWith("part.added")) {
      open.parts.set(key, { value: { ...asObject(part) }, text: "", isOpen: true });
      return;
    }
    const known = open.parts.get(key);
    if (words.endsWith("part.done")) {
      open.parts.set(key, { value: { ...asObject(part) }, text: "", isOpen: false });
    } else if (words.endsWith(".annotation.added") && Array.isArray(known?.value["annotations"])) {
      known.value["annotations"] = [...known.value["annotations"], annotation];
    } else if (words.endsWith(".delta") && typeof delta === "string") {
      if (known !== undefined) known.text += delta;
      else open.text += delta;
    }
  }

  /** Ends all that go on: the events, without their numbers. */
  *cut(): Iterable<Json> {
    for (const [output_index, open] of this.#open) {
      const item = yield* ends(open, output_index);
      this.#done.set(output_index, item);
      yield { type: "response.output_item.done", output_index, item };
    }
    this.#open.clear();
  }

  /** All items that have ended, in their order. */
  get output(): readonly unknown[] {
    return [...this.#done].toSorted(([a], [b]) => Number(a) - Number(b)).map(([, item]) => item);
  }
}

/** Ends the parts of an item, and gives the item as it is then. */
function* ends({ item, parts, text }: OpenItem, output_index: unknown): Generator<Json, Json> {
  const place = { item_id: item["id"], output_index };
  const ended: Record<string, unknown> = { ...item };
  if ("status" in item) ended["status"] = "incomplete";
  const call = CALL_ENDS[String(item["type"])];
  if (call !== undefined) {
    const [type, key] = call;
    yield { type, [key]: text, ...place };
    ended[key] = text;
  }
  const told: unknown[] = [];
  let isSummary = false;
  for (const [index, part] of parts) {
    const kind = PART_ENDS[String(part.value["type"])];
    isSummary = part.value["type"] === "summary_text";
    if (part.isOpen && kind !== undefined) {
      const [type, key] = kind;
      part.value[key] = part.text;
      const at = { ...place, [isSummary ? "summary_index" : "content_index"]: index };
      const logprobs = part.value["type"] === "output_text" ? { logprobs: [] } : {};
      yield { type, ...at, ...logprobs, [key]: part.text };
      const name = isSummary ? "response.reasoning_summary_part" : "response.content_part";
      yield { type: `${name}.done`, ...at, part: part.value };
    }
    told.push(part.value);
  }
  if (told.length > 0) ended[isSummary ? "summary" : "content"] = told;
  return ended;
}
