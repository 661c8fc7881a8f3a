/**
 * The tab that talks to `/v1/chat/completions`.
 *
 * @module
 */

import type { Api } from "./api.ts";
import { ChatComposer } from "./chat_composer.ts";
import { ChatEntry } from "./chat_entry.ts";
import { Meter } from "./chat_measure.ts";
import { chatBody, type ChatMessage, curlText } from "./chat_request.ts";
import { type SettingsForm, settingsForm } from "./chat_settings.ts";
import { chatPieces } from "./chat_stream.ts";
import { keepConversation, restoreConversation, type Turn } from "./conversation.ts";
import { element } from "./element.ts";
import { followEnd } from "./growing_text.ts";
import { isAbort, sentenceOf } from "./readable_error.ts";
import type { Wording } from "./wording.ts";

const PATH = "v1/chat/completions";

/** The chat: one conversation, one answer at a time. */
export class ChatTab {
  readonly root: HTMLElement;
  readonly #api: Api;
  readonly #wording: Wording;
  readonly #settings: SettingsForm;
  readonly #composer: ChatComposer;
  readonly #log: HTMLElement;
  readonly #empty: HTMLElement;
  #turns: readonly Turn[];
  #running: AbortController | null = null;
  #isShown = false;

  constructor(api: Api, wording: Wording) {
    this.#api = api;
    this.#wording = wording;
    const kept = restoreConversation();
    this.#turns = kept.turns;
    this.#settings = settingsForm(wording, kept.settings, () => this.#keep());
    this.#composer = new ChatComposer(wording, {
      send: (content) => this.#send(content),
      stop: () => this.#running?.abort(),
      clear: () => this.#clear(),
      curl: () => this.#curl(),
    });
    this.#empty = wording.say(element("p", { class: "empty" }), "conversation_empty");
    this.#log = element("div", { class: "log", role: "log", tabindex: "0" }, this.#empty);
    wording.mark(this.#log, "aria-label", "conversation");
    for (const turn of this.#turns) this.#add(turn);
    const talk = element("div", { class: "talk" }, this.#log, this.#composer.root);
    this.root = element("div", { class: "columns chat" }, this.#settings.root, talk);
  }

  /** Call it when the tab comes into view. The first time, weir is asked for its models. */
  show(): void {
    this.#log.scrollTop = this.#log.scrollHeight;
    if (this.#isShown) return;
    this.#isShown = true;
    // Without the list the reader types the model's name; the answer itself will say what is wrong.
    this.#settings.offerModels(this.#api).catch(() => {});
  }

  #send(content: string): boolean {
    if (this.#running !== null) return false;
    const turn: Turn = { role: "user", content };
    this.#turns = [...this.#turns, turn];
    this.#add(turn);
    this.#keep();
    void this.#answer();
    return true;
  }

  async #answer(): Promise<void> {
    const controller = this.#running = new AbortController();
    const entry = this.#add({ role: "assistant", content: "" });
    const meter = new Meter();
    let end = "";
    entry.showWaiting();
    this.#showRunning(entry, true);
    try {
      const response = await this.#ask(controller.signal);
      for await (const piece of chatPieces(response.body!)) {
        meter.count(piece.deltas);
        if (piece.usage !== null) meter.settle(piece.usage.tokensIn, piece.usage.tokensOut);
        end = piece.finishReason ?? end;
        followEnd(this.#log, () => {
          entry.append(piece.text);
          entry.showFigures(meter.measure, end);
        });
      }
    } catch (error) {
      end = isAbort(error) ? "stopped" : "failed";
      if (end === "failed") this.#showError(entry, sentenceOf(error, this.#wording));
    } finally {
      controller.abort(); // after an error the rest of the stream must not go on unseen
      this.#running = null;
      entry.showFigures(meter.measure, end);
      this.#showRunning(entry, false);
    }
    // What failed, or was stopped before its first word, is no turn of the conversation.
    if (end === "failed" || entry.text === "") return;
    const { text: content } = entry;
    this.#turns = [...this.#turns, { role: "assistant", content, measure: meter.measure, end }];
    this.#keep();
  }

  #ask(signal: AbortSignal): Promise<Response> {
    return this.#api.fetch(PATH, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(chatBody(this.#settings.read(), this.#turns)),
      signal,
    });
  }

  #add(turn: Turn): ChatEntry {
    this.#empty.remove();
    const entry = new ChatEntry(turn.role, this.#wording);
    entry.append(turn.content);
    if (turn.measure !== undefined) entry.showFigures(turn.measure, turn.end);
    this.#log.append(entry.root);
    return entry;
  }

  #showRunning(entry: ChatEntry, isRunning: boolean): void {
    entry.isGrowing = isRunning;
    this.#composer.showRunning(isRunning);
    this.#log.setAttribute("aria-busy", String(isRunning));
    if (isRunning) this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** Says what went wrong, with a way to ask again. */
  #showError(entry: ChatEntry, sentence: string): void {
    followEnd(this.#log, () => {
      entry.showError(sentence, () => {
        if (this.#running !== null) return;
        entry.root.remove();
        void this.#answer();
      });
    });
  }

  #clear(): void {
    this.#turns = [];
    this.#log.replaceChildren(this.#empty);
    this.#keep();
  }

  #keep(): void {
    keepConversation({ settings: this.#settings.read(), turns: this.#turns });
  }

  /** The request for the conversation, and for what stands in the box if it is not empty. */
  #curl(): string {
    const { draft } = this.#composer;
    const messages: readonly ChatMessage[] = draft === ""
      ? this.#turns
      : [...this.#turns, { role: "user", content: draft }];
    const body = chatBody(this.#settings.read(), messages);
    return curlText(new URL(PATH, this.#api.base), body, this.#api.hasToken);
  }
}
