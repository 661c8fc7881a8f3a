/**
 * The conversation of the chat tab, kept as long as the browser's tab lives.
 *
 * @module
 */

import type { Measure } from "./chat_measure.ts";
import type { ChatMessage, ChatSettings } from "./chat_request.ts";

const STORAGE_KEY = "weir.chat";

/** One message, and how it came about. */
export interface Turn extends ChatMessage {
  /** Of an answer only. */
  readonly measure?: Measure;
  /** Why the answer ended: OpenAI's word, or "stopped" by the reader. */
  readonly end?: string;
}

/** What is kept. */
export interface Conversation {
  readonly settings: Partial<ChatSettings>;
  readonly turns: readonly Turn[];
}

/** The conversation of this tab before it was loaded anew. */
export function restoreConversation(): Conversation {
  const kept = sessionStorage.getItem(STORAGE_KEY);
  return kept === null ? { settings: {}, turns: [] } : JSON.parse(kept);
}

/** Keeps `conversation`; when it is larger than the browser's limit, without its oldest turns. */
export function keepConversation({ settings, turns }: Conversation): void {
  for (let from = 0; from <= turns.length; from += 2) {
    try {
      sessionStorage.setItem(
        STORAGE_KEY,
        JSON.stringify({ settings, turns: turns.slice(from) }),
      );
      return;
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
    }
  }
}
