/**
 * The dialect of `/conv`: ChatGPT's own events, each with the whole text so far (facts/systems.md
 * 003), and the message that asks an upstream for one.
 *
 * @module
 */

import type { EndReason } from "../../core/answer.ts";
import { dataEvent, type Dialect, DONE_EVENT } from "../../core/dialect.ts";
import type { AppError } from "../../core/errors.ts";
import { CREATED_BLANK, type Slots } from "../../core/frames.ts";

/** Characters of a UUID: every id of a conversation and of a message. */
const UUID_CHARS = 36;
const UUID_BLANK = "0".repeat(UUID_CHARS);

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

const ID_PREFIX = 'data: {"conversation_id":"';
/** Between the two ids: they lie side by side, so that one slot holds both. */
const BETWEEN_IDS = '","message":{"id":"';
const CREATED_PREFIX = '","author":{"role":"assistant","name":null,"metadata":{}},"create_time":';

/** Where ids and time lie in every event. */
export const CONV_SLOTS: Slots = {
  idAt: ID_PREFIX.length,
  createdAt: ID_PREFIX.length + 2 * UUID_CHARS + BETWEEN_IDS.length + CREATED_PREFIX.length,
};

/** What stands in the slots until a request writes over it. */
export const BLANK_HEAD: ConvHead = {
  conversationId: UUID_BLANK,
  messageId: UUID_BLANK,
  createdS: CREATED_BLANK,
};

const encoder = new TextEncoder();

/** The bytes of the id slot. */
export function convIdBytes({ conversationId, messageId }: ConvHead): Uint8Array<ArrayBuffer> {
  return encoder.encode(conversationId + BETWEEN_IDS + messageId);
}

/** Speaks one answer. Both ids are UUIDs. */
export class ConvDialect implements Dialect {
  readonly #head: ConvHead;
  #text = "";
  /** Characters of the text in the last event; -1 = there was none. */
  #toldChars = -1;

  constructor(head: ConvHead) {
    this.#head = head;
  }

  open(): string {
    return "";
  }

  text(text: string): string {
    this.#text += text;
    const { length } = this.#text;
    const isFirst = this.#toldChars < 0;
    if (!isFirst && length - this.#toldChars < length * length / GROWTH_CHARS) return "";
    this.#toldChars = length;
    return this.#event(`"status":"in_progress","end_turn":null`);
  }

  end(reason: EndReason): string {
    const status = reason === "length" ? "finished_partial_completion" : "finished_successfully";
    return this.#event(`"status":"${status}","end_turn":true`) + DONE_EVENT;
  }

  error({ message }: AppError): string {
    return dataEvent({
      conversation_id: this.#head.conversationId,
      message: null,
      error: message,
    });
  }

  #event(status: string): string {
    const { conversationId, messageId, createdS } = this.#head;
    return `${ID_PREFIX}${conversationId}${BETWEEN_IDS}${messageId}${CREATED_PREFIX}${createdS},` +
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
