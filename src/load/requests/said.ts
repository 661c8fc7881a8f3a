/**
 * What an answer said, as the next request of its conversation says it again: text, and calls of tools,
 * each with a result. Nobody runs the tools: a result says that it is done.
 *
 * @module
 */

import { SseParser } from "../../lib/sse.ts";
import type { AnswerFollower } from "../link.ts";
import { KIND, type RequestRecord, textOf } from "../record.ts";
import { type Api, type Item, textIn } from "./bodies.ts";

/** A call of a tool. */
interface Call {
  /** `legacy`: chat's `function_call`, of which an answer has one, without an id. */
  readonly kind: "function" | "custom" | "legacy";
  readonly id: string;
  readonly name: string;
  /** JSON; of a custom tool any text. */
  readonly input: string;
}

/** What every tool says. */
export const RESULT = "Done.";

/** Bytes of an answer that are kept; of more no call is found. */
const ANSWER_BYTES_MAX = 16 * 1024 * 1024;

/** Keeps the body of an answer until somebody wants its calls. */
export class AnswerKeeper implements AnswerFollower {
  readonly isJudged = true;
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  read(): void {}
  head(): void {}
  cut(): void {}

  data(bytes: Uint8Array, from: number, to: number): void {
    this.#bytes += to - from;
    // `slice` of a Buffer would be no copy.
    if (this.#bytes <= ANSWER_BYTES_MAX) {
      this.#pieces.push(new Uint8Array(bytes.subarray(from, to)));
    }
  }

  /** What the answer that `record` is about has said. */
  said(record: RequestRecord): Said {
    const text = textOf(record, KIND.text);
    const { isMixed, hasCalls } = mixOf(record);
    if ((!isMixed && !hasCalls) || this.#bytes > ANSWER_BYTES_MAX) return { text, calls: [] };
    const read = saidIn(Buffer.concat(this.#pieces));
    return { text: isMixed ? read.text : text, calls: read.calls };
  }
}

/** What an answer said. */
export interface Said {
  readonly text: string;
  /** In their order. */
  readonly calls: readonly Call[];
}

/** `isMixed`: an event has text and something else, of which a record keeps one text. */
function mixOf({ events, eventKinds }: RequestRecord) {
  let [isMixed, hasCalls] = [false, false];
  for (let i = 0; i < events; i++) {
    const kinds = eventKinds[i]!;
    if ((kinds & KIND.tool) !== 0) hasCalls = true;
    if ((kinds & KIND.text) !== 0 && (kinds & (KIND.tool | KIND.reasoning)) !== 0) isMixed = true;
  }
  return { isMixed, hasCalls };
}

type Json = Readonly<Record<string, unknown>>;
interface Found {
  text: string;
  readonly calls: Map<string, Call>;
}

/** Reads an answer's body, whole or streamed. */
function saidIn(body: Uint8Array): Said {
  const found: Found = { text: "", calls: new Map() };
  for (const value of valuesIn(body)) {
    const choice = list(value["choices"]).map(object).find((one) => (one["index"] ?? 0) === 0);
    if (choice !== undefined) ofChoice(object(choice["delta"] ?? choice["message"]), found);
    ofTyped(value, found);
  }
  const calls = [...found.calls.values()].filter(({ name }) => name !== "").map((call, at) => ({
    ...call,
    id: call.id || `call_${at}`,
    // What was cut off is no JSON, and servers read it.
    input: call.kind === "custom" || isJson(call.input) ? call.input : "{}",
  }));
  return { text: found.text, calls };
}

/** Data of events, or the one object that a whole answer is. */
function valuesIn(body: Uint8Array): readonly Json[] {
  const text = Buffer.from(body.buffer, body.byteOffset, body.length).toString().trim();
  const texts = text.startsWith("{")
    ? [text]
    : new SseParser(ANSWER_BYTES_MAX).feed(body).map(({ data }) => data);
  return texts.map(parsed);
}

/** Chat: a call comes in pieces, or at once. */
function ofChoice(message: Json, found: Found): void {
  found.text += textIn(message) + stringIn(message["refusal"]);
  for (const [at, one] of list(message["tool_calls"]).map(object).entries()) {
    const custom = one["custom"];
    const piece = object(custom ?? one["function"]);
    add(found, `tool ${one["index"] ?? one["id"] ?? at}`, {
      kind: custom === undefined ? "function" : "custom",
      id: stringIn(one["id"]),
      name: stringIn(piece["name"]),
      input: stringIn(piece["arguments"]) + stringIn(piece["input"]),
    });
  }
  const legacy = message["function_call"];
  if (legacy === undefined || legacy === null) return;
  const { name, arguments: input } = object(legacy);
  add(found, "legacy", { kind: "legacy", id: "", name: stringIn(name), input: stringIn(input) });
}

/** Responses have calls as items, Messages as blocks. */
function ofTyped(value: Json, found: Found): void {
  switch (value["type"]) {
    case "response.output_item.done":
      return ofItem(object(value["item"]), found);
    case "content_block_start":
      return ofBlock(object(value["content_block"]), value["index"], found);
    case "content_block_delta": {
      const piece = stringIn(object(value["delta"])["partial_json"]);
      const key = `block ${value["index"]}`;
      if (found.calls.has(key)) {
        add(found, key, { kind: "function", id: "", name: "", input: piece });
      }
      return;
    }
    case "message":
      found.text += textIn(value);
      for (const [at, block] of list(value["content"]).entries()) ofBlock(object(block), at, found);
      return;
  }
  if (value["object"] !== "response") return;
  for (const item of list(value["output"])) ofItem(object(item), found);
}

function ofItem(item: Json, found: Found): void {
  const { type, call_id, name } = item;
  if (type === "message") found.text += textIn(item);
  if (type !== "function_call" && type !== "custom_tool_call") return;
  const id = stringIn(call_id);
  const [kind, input] = type === "function_call"
    ? ["function", item["arguments"]] as const
    : ["custom", item["input"]] as const;
  found.calls.set(`item ${id}`, { kind, id, name: stringIn(name), input: stringIn(input) });
}

/** A block that streams begins with an input of nothing. */
function ofBlock({ type, id, name, input }: Json, at: unknown, found: Found): void {
  if (type !== "tool_use") return;
  const known = Object.keys(object(input)).length === 0 ? "" : JSON.stringify(input);
  add(found, `block ${at}`, {
    kind: "function",
    id: stringIn(id),
    name: stringIn(name),
    input: known,
  });
}

function add(found: Found, key: string, piece: Call): void {
  const before = found.calls.get(key);
  found.calls.set(key, {
    kind: piece.kind === "custom" ? "custom" : before?.kind ?? piece.kind,
    id: before?.id || piece.id,
    name: before?.name || piece.name,
    input: (before?.input ?? "") + piece.input,
  });
}

/** How an answer with calls, and their results, stand in the next request. */
const CALLED: Readonly<
  Partial<Record<Api, (text: string, calls: readonly Call[]) => readonly Item[]>>
> = {
  chat: (text, calls) => {
    const [first] = calls;
    const content = text || null;
    if (first?.kind === "legacy") {
      const { name, input } = first;
      const message = { role: "assistant", content, function_call: { name, arguments: input } };
      return [message, { role: "function", name, content: RESULT }];
    }
    const tool_calls = calls.map(({ kind, id, name, input }) =>
      kind === "custom"
        ? { id, type: kind, custom: { name, input } }
        : { id, type: "function", function: { name, arguments: input } }
    );
    return [
      { role: "assistant", content, tool_calls },
      ...calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: RESULT })),
    ];
  },
  responses: (text, calls) => [
    ...saidAgain(text),
    ...calls.map(({ kind, id, name, input }) =>
      kind === "custom"
        ? { type: "custom_tool_call", call_id: id, name, input }
        : { type: "function_call", call_id: id, name, arguments: input }
    ),
    ...calls.map(({ kind, id }) => ({
      type: kind === "custom" ? "custom_tool_call_output" : "function_call_output",
      call_id: id,
      output: RESULT,
    })),
  ],
  messages: (text, calls) => [
    {
      role: "assistant",
      content: [
        ...(text === "" ? [] : [{ type: "text", text }]),
        ...calls.map(({ id, name, input }) => ({
          type: "tool_use",
          id,
          name,
          input: parsed(input),
        })),
      ],
    },
    {
      role: "user",
      content: calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: RESULT })),
    },
  ],
};

/** What stands in the next request of an answer that said this. */
export function answered(api: Api, { text, calls }: Said): readonly Item[] {
  const called = calls.length === 0 ? undefined : CALLED[api];
  return called === undefined ? saidAgain(text) : called(text, calls);
}

function saidAgain(text: string): readonly Item[] {
  return text === "" ? [] : [{ role: "assistant", content: text }];
}

function parsed(text: string): Json {
  try {
    return object(JSON.parse(text));
  } catch {
    return {};
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function object(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as Json : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function stringIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}
