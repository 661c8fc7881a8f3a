/**
 * The dialect of `/conv`: ChatGPT's own events, each with the whole text so far
 * (docs/facts/systems.md "/conv"), and the message that asks an upstream for one.
 *
 * @module
 */

import type { Step } from "../../core/answer.ts";
import { type AnswerWriter, dataEvent, DONE_EVENT } from "../../core/dialect.ts";
import type { AppError } from "../../core/errors.ts";
import type { Layout } from "../../core/frames.ts";

/** Characters of a UUID: every id of a conversation and of a message. */
const UUID_CHARS = 36;
/** The model that the web page names; there, it is the one behind everything. */
const MODEL = "text-davinci-002-render-sha";

/**
 * Events that repeat a text of L characters cost its square, so an event waits until the text has
 * grown by L² / 8 Mi characters: by 1 at 2.9 thousand, by 32 at 16 thousand. All events of a text
 * of a million characters are 50 MB together, and not 125 GB.
 */
const GROWTH_CHARS = 8 * 1024 * 1024;

/** What is the same in every event of one answer. */
export interface ConvHead {
  readonly conversationId: string;
  readonly messageId: string;
  /** Seconds since 1970. */
  readonly createdS: number;
}

/** Lays and speaks answers. The ids are the conversation's and the message's. */
export const CONV_LAYOUT: Layout = {
  key: "chatgpt_web",
  idLengths: [UUID_CHARS, UUID_CHARS],
  writer: ([created, conversationId, messageId]) =>
    new ConvWriter({
      conversationId: conversationId!,
      messageId: messageId!,
      createdS: Number(created),
    }),
};

/** `error` in the middle of a stream of `conversationId`. */
export function convErrorEvent(conversationId: string, { message }: AppError): string {
  return dataEvent({ conversation_id: conversationId, message: null, error: message });
}

/** Writes one answer. Both ids are UUIDs. */
class ConvWriter implements AnswerWriter {
  readonly #head: ConvHead;
  #text = "";
  /** Characters of the text in the last event; -1 = there was none. */
  #toldChars = -1;

  constructor(head: ConvHead) {
    this.#head = head;
  }

  step(step: Step): string {
    if (step.kind === "delta" && step.block === "text" && step.choice === 0) {
      return this.#piece(step.text);
    }
    if (step.kind !== "end" || step.choice !== 0) return "";
    const status = step.reason === "length"
      ? "finished_partial_completion"
      : "finished_successfully";
    return this.#event(`"status":"${status}","end_turn":true`);
  }

  close(): string {
    return DONE_EVENT;
  }

  #piece(text: string): string {
    this.#text += text;
    const { length } = this.#text;
    const isFirst = this.#toldChars < 0;
    if (!isFirst && length - this.#toldChars < length * length / GROWTH_CHARS) return "";
    this.#toldChars = length;
    return this.#event(`"status":"in_progress","end_turn":null`);
  }

  #event(status: string): string {
    const { conversationId, messageId, createdS } = this.#head;
    return `data: {"conversation_id":"${conversationId}","message":{"id":"${messageId}",` +
      `"author":{"role":"assistant","name":null,"metadata":{}},"create_time":${createdS},` +
      `"update_time":null,"content":{"content_type":"text","parts":[${
        JSON.stringify(this.#text)
      }]},${status},"weight":1.0,"metadata":{"message_type":"next","model_slug":"${MODEL}"},` +
      `"recipient":"all"},"error":null}\n\n`;
  }
}

/** What the client says, for an upstream that speaks ChatGPT's web API. */
export function nextMessage(
  content: string,
  messageId: string,
  parentId: string,
  conversationId: string,
): string {
  return JSON.stringify({
    action: "next",
    messages: [{
      id: messageId,
      author: { role: "user" },
      role: "user",
      content: { content_type: "text", parts: [content] },
    }],
    parent_message_id: parentId,
    model: MODEL,
    ...(conversationId === "" ? {} : { conversation_id: conversationId }),
  });
}
