/**
 * The tab that talks to `/v1/chat/completions`.
 *
 * @module
 */

import type { Api } from "./api.ts";
import { ChatEntry } from "./chat_entry.ts";
import { Meter } from "./chat_measure.ts";
import { chatBody, type ChatMessage, curlText } from "./chat_request.ts";
import { settingsForm } from "./chat_settings.ts";
import { chatPieces } from "./chat_stream.ts";
import { keepConversation, restoreConversation, type Turn } from "./conversation.ts";
import { copyButton } from "./copy_button.ts";
import { element } from "./element.ts";
import { followEnd } from "./growing_text.ts";
import { isAbort, sentenceOf } from "./readable_error.ts";
import type { Wording } from "./wording.ts";

const PATH = "v1/chat/completions";

/** Fills `panel`. The result is called when the tab is first shown. */
export function fillChat(
  panel: HTMLElement,
  { api, wording }: { readonly api: Api; readonly wording: Wording },
): () => void {
  const kept = restoreConversation();
  let turns: readonly Turn[] = kept.turns;
  let running: AbortController | null = null;

  const settings = settingsForm(wording, kept.settings, keep);
  const log = element("div", { class: "log", role: "log", tabindex: "0" });
  const empty = wording.say(element("p", { class: "empty" }), "conversation_empty");
  const draft = element("textarea", { rows: "2" });
  const send = wording.say(element("button", { type: "submit", class: "primary" }), "send");
  const stop = wording.say(element("button", { type: "button", hidden: true }), "stop");
  const clear = wording.say(element("button", { type: "button", class: "quiet" }), "clear");
  const curl = copyButton(wording, "copy_curl", () => {
    const body = chatBody(settings.read(), messagesToSend());
    return curlText(new URL(PATH, api.base), body, api.hasToken);
  });
  const form = element(
    "form",
    { class: "composer" },
    wording.mark(wording.mark(draft, "aria-label", "message"), "placeholder", "message_hint"),
    element(
      "div",
      { class: "actions" },
      send,
      stop,
      wording.say(element("span", { class: "hint" }), "send_keys"),
      element("span", { class: "gap" }),
      curl,
      clear,
    ),
  );

  function keep(): void {
    keepConversation({ settings: settings.read(), turns });
  }

  /** The conversation, and what stands in the box if it is not empty. */
  function messagesToSend(): readonly ChatMessage[] {
    const content = draft.value.trim();
    return content === "" ? turns : [...turns, { role: "user", content }];
  }

  function add(turn: Turn): ChatEntry {
    empty.remove();
    const entry = new ChatEntry(turn.role, wording);
    entry.append(turn.content);
    if (turn.measure !== undefined) entry.showFigures(turn.measure, turn.end);
    log.append(entry.root);
    return entry;
  }

  function say(): void {
    const content = draft.value.trim();
    if (content === "" || running !== null) return;
    const turn: Turn = { role: "user", content };
    turns = [...turns, turn];
    draft.value = "";
    add(turn);
    keep();
    void answer();
  }

  async function answer(): Promise<void> {
    const controller = running = new AbortController();
    const entry = add({ role: "assistant", content: "" });
    const meter = new Meter();
    let end = "";
    entry.showWaiting();
    setRunning(true, entry);
    log.scrollTop = log.scrollHeight;
    try {
      const body = JSON.stringify(chatBody(settings.read(), turns));
      const response = await api.fetch(PATH, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: controller.signal,
      });
      for await (const piece of chatPieces(response.body!)) {
        meter.count(piece.deltas);
        if (piece.usage !== null) meter.settle(piece.usage.tokensIn, piece.usage.tokensOut);
        end = piece.finishReason ?? end;
        followEnd(log, () => {
          entry.append(piece.text);
          entry.showFigures(meter.measure, end);
        });
      }
    } catch (error) {
      if (!isAbort(error)) {
        entry.showFigures(meter.measure);
        entry.showError(sentenceOf(error, wording), () => {
          entry.root.remove();
          void answer();
        });
        return;
      }
      end = "stopped";
    } finally {
      controller.abort(); // after an error the rest of the stream must not go on unseen
      running = null;
      setRunning(false, entry);
      log.scrollTop = log.scrollHeight;
    }
    entry.showFigures(meter.measure, end);
    // An answer that was stopped before its first word is no turn of the conversation.
    if (entry.text === "") return;
    turns = [...turns, { role: "assistant", content: entry.text, measure: meter.measure, end }];
    keep();
  }

  function setRunning(isRunning: boolean, entry: ChatEntry): void {
    const hadFocus = document.activeElement === send || document.activeElement === stop;
    entry.isGrowing = isRunning;
    send.hidden = isRunning;
    stop.hidden = !isRunning;
    clear.disabled = isRunning;
    log.setAttribute("aria-busy", String(isRunning));
    if (hadFocus) (isRunning ? stop : send).focus();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    say();
  });
  draft.addEventListener("keydown", (event) => {
    // An input method ends its composition with Enter: that one is not for us.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    say();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });
  stop.addEventListener("click", () => running?.abort());
  clear.addEventListener("click", () => {
    turns = [];
    log.replaceChildren(empty);
    keep();
    draft.focus();
  });

  wording.mark(log, "aria-label", "conversation");
  log.append(empty);
  for (const turn of turns) add(turn);
  panel.append(
    element(
      "div",
      { class: "columns chat" },
      settings.root,
      element("div", { class: "talk" }, log, form),
    ),
  );
  return () => {
    log.scrollTop = log.scrollHeight;
    // Without the list the reader types the model's name; the request itself will say what is wrong.
    settings.offerModels(api).catch(() => {});
  };
}
