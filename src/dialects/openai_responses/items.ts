/**
 * The items of a response, each with the events that say it (docs/facts/openai_api.md "Responses:
 * events").
 *
 * @module
 */

import type { TokenLogprob, UrlCitation } from "../../core/answer.ts";
import type { IdMaker } from "./ids.ts";

/** What an item needs of the answer that it is part of. */
export interface Writing {
  readonly ids: IdMaker;
  /** True: messages tell a comment from the final answer. */
  readonly hasPhase: boolean;
  /** Of messages. */
  readonly role: string;
  event(type: string, before: string, after?: string): string;
  pad(text: string): string;
}

/** How an item ends. */
export type ItemStatus = "completed" | "incomplete";

/** An item that is being said. */
export interface WritingItem {
  readonly index: number;
  /** Once it is closed. */
  readonly json: string;
  open(): string;
  close(status: ItemStatus): string;
}

/** The pad means nothing, and makes the length of each delta a multiple of its own. */
const PAD = "h7Qx2LmVt9RbKe4";

/** The pad of a delta: with it the text has a multiple of 16 UTF-16 units. */
export function padOf(text: string): string {
  return PAD.slice(0, (16 - text.length % 16) % 16);
}

/** `output_item.added` and `output_item.done`. */
function itemEvent(writing: Writing, word: "added" | "done", index: number, json: string): string {
  return writing.event(
    `response.output_item.${word}`,
    `"item":${json},"output_index":${index},`,
  );
}

type PartKind = "output_text" | "refusal";

const DELTAS: Readonly<Record<PartKind, string>> = {
  output_text: "response.output_text.delta",
  refusal: "response.refusal.delta",
};

/** A message of one or several parts. */
export class MessageItem implements WritingItem {
  readonly index: number;
  json = "";
  /** Whether a call follows, which shows only then. */
  phase: "commentary" | "final_answer" = "final_answer";
  readonly #writing: Writing;
  readonly #id: string;
  readonly #parts: string[] = [];
  /** The part that is being said; undefined = none. */
  #kind: PartKind | undefined = undefined;
  /** What stands around the text in each delta of the part. */
  #around = { before: "", behind: "" };
  readonly #itemId: string;
  readonly #outputIndex: string;
  #text = "";
  #logprobs: string[] = [];
  #annotations: string[] = [];

  constructor(writing: Writing, index: number) {
    this.#writing = writing;
    this.index = index;
    this.#id = writing.ids.of("msg", index + 1);
    this.#itemId = `"item_id":"${this.#id}",`;
    this.#outputIndex = `"output_index":${index},`;
  }

  open(): string {
    return itemEvent(this.#writing, "added", this.index, this.#json("in_progress"));
  }

  /** A piece of a part of `kind`; another one begins where the last one was of another kind. */
  delta(kind: PartKind, text: string, logprobs?: readonly TokenLogprob[]): string {
    const opening = this.#kind === kind ? "" : this.#closePart() + this.#openPart(kind);
    this.#text += text;
    if (text === "") return opening;
    const writing = this.#writing;
    const { before, behind } = this.#around;
    const json = JSON.stringify(text);
    const pad = writing.pad(text);
    if (logprobs === undefined || kind === "refusal") {
      return opening +
        writing.event(DELTAS[kind], before + json + behind + pad + this.#outputIndex);
    }
    const texts = logprobs.map(logprobText);
    this.#logprobs.push(...texts);
    const told = behind.replace("[]", () => `[${texts.join(",")}]`);
    return opening + writing.event(DELTAS[kind], before + json + told + pad + this.#outputIndex);
  }

  /** A source of the text. */
  cite(citation: UrlCitation): string {
    const opening = this.#kind === "output_text"
      ? ""
      : this.#closePart() + this.#openPart("output_text");
    const json = JSON.stringify(annotationOf(citation));
    const at = this.#annotations.push(json) - 1;
    return opening + this.#writing.event(
      "response.output_text.annotation.added",
      `"annotation":${json},"annotation_index":${at},${this.#contentIndex}${this.#itemId}` +
        this.#outputIndex,
    );
  }

  close(status: ItemStatus): string {
    const events = this.#closePart();
    this.json = this.#json(status);
    return events + itemEvent(this.#writing, "done", this.index, this.json);
  }

  get #contentIndex(): string {
    return `"content_index":${this.#parts.length},`;
  }

  #json(status: ItemStatus | "in_progress"): string {
    const phase = this.#writing.hasPhase ? `"phase":"${this.phase}",` : "";
    return `{"id":"${this.#id}","type":"message","status":"${status}",` +
      `"content":[${this.#parts.join(",")}],${phase}"role":${JSON.stringify(this.#writing.role)}}`;
  }

  #part(): string {
    const text = JSON.stringify(this.#text);
    return this.#kind === "refusal"
      ? `{"type":"refusal","refusal":${text}}`
      : `{"type":"output_text","annotations":[${this.#annotations.join(",")}],` +
        `"logprobs":[${this.#logprobs.join(",")}],"text":${text}}`;
  }

  #openPart(kind: PartKind): string {
    this.#kind = kind;
    this.#around = {
      before: `${this.#contentIndex}"delta":`,
      behind: `,${this.#itemId}${kind === "output_text" ? `"logprobs":[],` : ""}`,
    };
    return this.#partEvent("added");
  }

  #closePart(): string {
    const kind = this.#kind;
    if (kind === undefined) return "";
    const text = JSON.stringify(this.#text);
    const said = kind === "refusal"
      ? this.#writing.event(
        "response.refusal.done",
        `${this.#contentIndex}${this.#itemId}${this.#outputIndex}"refusal":${text},`,
      )
      : this.#writing.event(
        "response.output_text.done",
        `${this.#contentIndex}${this.#itemId}"logprobs":[${this.#logprobs.join(",")}],` +
          this.#outputIndex,
        `,"text":${text}`,
      );
    const done = this.#partEvent("done");
    this.#parts.push(this.#part());
    this.#kind = undefined;
    this.#text = "";
    this.#logprobs = [];
    this.#annotations = [];
    return said + done;
  }

  #partEvent(word: "added" | "done"): string {
    return this.#writing.event(
      `response.content_part.${word}`,
      `${this.#contentIndex}${this.#itemId}${this.#outputIndex}"part":${this.#part()},`,
    );
  }
}

/** A citation as the Responses API says it. */
function annotationOf({ url, title, startChars, endChars }: UrlCitation) {
  return { type: "url_citation", end_index: endChars, start_index: startChars, title, url };
}

function logprobText({ token, logprob, top }: TokenLogprob): string {
  const told = (one: { readonly token: string; readonly logprob: number }) => ({
    token: one.token,
    bytes: [...Buffer.from(one.token)],
    logprob: one.logprob,
  });
  return JSON.stringify({ ...told({ token, logprob }), top_logprobs: top.map(told) });
}

/** What the model thought, in words or not. */
export class ReasoningItem implements WritingItem {
  readonly index: number;
  json = "";
  readonly #writing: Writing;
  readonly #id: string;
  /** What proves it; undefined = nobody has asked for that. */
  #encrypted: string | undefined;
  #summary: string | undefined = undefined;

  constructor(writing: Writing, index: number, encrypted: string | undefined) {
    this.#writing = writing;
    this.index = index;
    this.#encrypted = encrypted;
    this.#id = writing.ids.of("rs", index + 1);
  }

  open(): string {
    return itemEvent(this.#writing, "added", this.index, this.#json);
  }

  delta(text: string): string {
    const writing = this.#writing;
    const opening = this.#summary === undefined ? this.#partEvent("added", "") : "";
    this.#summary = (this.#summary ?? "") + text;
    return opening + writing.event(
      "response.reasoning_summary_text.delta",
      `"delta":${JSON.stringify(text)},${this.#itemId}${writing.pad(text)}${this.#outputIndex}`,
      SUMMARY_INDEX,
    );
  }

  /** A piece of what proves it, in the words of whoever can read that. */
  sign(text: string): void {
    if (this.#encrypted === undefined || text === "") return;
    this.#encrypted = this.#isSigned ? this.#encrypted + text : text;
    this.#isSigned = true;
  }
  #isSigned = false;

  close(_status: ItemStatus): string {
    let events = "";
    if (this.#summary !== undefined) {
      events = this.#writing.event(
        "response.reasoning_summary_text.done",
        `${this.#itemId}${this.#outputIndex}`,
        `${SUMMARY_INDEX},"text":${JSON.stringify(this.#summary)}`,
      ) + this.#partEvent("done", this.#summary);
    }
    this.json = this.#json;
    return events + itemEvent(this.#writing, "done", this.index, this.json);
  }

  get #itemId(): string {
    return `"item_id":"${this.#id}",`;
  }

  get #outputIndex(): string {
    return `"output_index":${this.index},`;
  }

  get #json(): string {
    const encrypted = this.#encrypted === undefined
      ? ""
      : `"encrypted_content":${JSON.stringify(this.#encrypted)},`;
    const summary = this.#summary === undefined ? "" : summaryPart(this.#summary);
    return `{"id":"${this.#id}","type":"reasoning","content":[],${encrypted}"summary":[${summary}]}`;
  }

  #partEvent(word: "added" | "done", text: string): string {
    return this.#writing.event(
      `response.reasoning_summary_part.${word}`,
      `${this.#itemId}${this.#outputIndex}"part":${summaryPart(text)},`,
      SUMMARY_INDEX,
    );
  }
}

const SUMMARY_INDEX = `,"summary_index":0`;

function summaryPart(text: string): string {
  return `{"type":"summary_text","text":${JSON.stringify(text)}}`;
}

/** What a call is made of. */
export interface CallOptions {
  readonly id: string;
  readonly name: string;
  readonly kind: "function_call" | "custom_tool_call";
  /** True: its text comes as the one parameter of a function. */
  readonly isWrapped: boolean;
}

/** A call of a function or of a custom tool. */
export class CallItem implements WritingItem {
  readonly index: number;
  json = "";
  readonly #writing: Writing;
  readonly #call: CallOptions;
  readonly #id: string;
  #text = "";

  constructor(writing: Writing, index: number, call: CallOptions) {
    this.#writing = writing;
    this.index = index;
    this.#call = call;
    this.#id = writing.ids.of(this.#isCustom ? "ctc" : "fc", index + 1);
  }

  /** True: nothing can follow any more. */
  get isWhole(): boolean {
    if (this.#isCustom && !this.#call.isWrapped) return true;
    try {
      JSON.parse(this.#text);
      return true;
    } catch {
      return false;
    }
  }

  open(): string {
    return itemEvent(this.#writing, "added", this.index, this.#json("in_progress", ""));
  }

  delta(text: string): string {
    this.#text += text;
    // What is wrapped is JSON: it is said when it can be read.
    return this.#call.isWrapped ? "" : this.#delta(text);
  }

  close(status: ItemStatus): string {
    const text = this.#call.isWrapped ? unwrapped(this.#text) : this.#text;
    const said = this.#call.isWrapped && text !== "" ? this.#delta(text) : "";
    const itemId = `"item_id":"${this.#id}","output_index":${this.index},`;
    const done = this.#isCustom
      ? this.#writing.event(
        "response.custom_tool_call_input.done",
        `"input":${JSON.stringify(text)},${itemId}`,
      )
      : this.#writing.event(
        "response.function_call_arguments.done",
        `"arguments":${JSON.stringify(text)},${itemId}`,
      );
    this.json = this.#json(status, text);
    return said + done + itemEvent(this.#writing, "done", this.index, this.json);
  }

  get #isCustom(): boolean {
    return this.#call.kind === "custom_tool_call";
  }

  #delta(text: string): string {
    const type = this.#isCustom ? "custom_tool_call_input" : "function_call_arguments";
    return this.#writing.event(
      `response.${type}.delta`,
      `"delta":${JSON.stringify(text)},"item_id":"${this.#id}",${this.#writing.pad(text)}` +
        `"output_index":${this.index},`,
    );
  }

  #json(status: ItemStatus | "in_progress", text: string): string {
    const { id, name, kind } = this.#call;
    const callId = `"call_id":${JSON.stringify(id)}`;
    const said = this.#isCustom
      ? `${callId},"input":${JSON.stringify(text)}`
      : `"arguments":${JSON.stringify(text)},${callId}`;
    return `{"id":"${this.#id}","type":"${kind}","status":"${status}",${said},` +
      `"name":${JSON.stringify(name)}}`;
  }
}

/** The text in `{"input":"…"}`; what is spelled otherwise stays as it is. */
function unwrapped(json: string): string {
  try {
    const value = JSON.parse(json) as { readonly input?: unknown } | null;
    return typeof value?.input === "string" ? value.input : json;
  } catch {
    return json;
  }
}
