/**
 * Where the reader writes: the message box and the buttons below it.
 *
 * @module
 */

import { copyButton } from "./copy_button.ts";
import { element } from "./element.ts";
import type { Wording } from "./wording.ts";

/** What the composer asks of the chat. */
export interface ComposerActions {
  /** The reader sends `content`, which is not empty. False = not now: the draft stays. */
  readonly send: (content: string) => boolean;
  readonly stop: () => void;
  readonly clear: () => void;
  /** The command line for what would be sent. */
  readonly curl: () => string;
}

/** The composer. */
export class ChatComposer {
  readonly root: HTMLFormElement;
  readonly #actions: ComposerActions;
  readonly #draft: HTMLTextAreaElement;
  readonly #send: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;
  readonly #clear: HTMLButtonElement;

  constructor(wording: Wording, actions: ComposerActions) {
    this.#actions = actions;
    this.#draft = element("textarea", { rows: "2" });
    wording.mark(this.#draft, "aria-label", "message");
    wording.mark(this.#draft, "placeholder", "message_hint");
    this.#send = wording.say(element("button", { type: "submit", class: "primary" }), "send");
    this.#stop = wording.say(element("button", { type: "button", hidden: true }), "stop");
    this.#clear = wording.say(element("button", { type: "button", class: "quiet" }), "clear");
    const buttons = element(
      "div",
      { class: "actions" },
      this.#send,
      this.#stop,
      wording.say(element("span", { class: "hint" }), "send_keys"),
      element("span", { class: "gap" }),
      copyButton(wording, "copy_curl", actions.curl),
      this.#clear,
    );
    this.root = element("form", { class: "composer" }, this.#draft, buttons);
    this.#listen();
  }

  /** What stands in the box, without blanks around it. */
  get draft(): string {
    return this.#draft.value.trim();
  }

  /** Shows the buttons that fit: stopping while an answer comes, sending else. */
  showRunning(isRunning: boolean): void {
    const focused = document.activeElement;
    const hadFocus = focused === this.#send || focused === this.#stop;
    this.#send.hidden = isRunning;
    this.#stop.hidden = !isRunning;
    this.#clear.disabled = isRunning;
    // A button that goes away would take the keyboard's place with it.
    if (hadFocus) (isRunning ? this.#stop : this.#send).focus();
  }

  #listen(): void {
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#draft.addEventListener("keydown", (event) => {
      // An input method ends its composition with Enter: that one is not for us.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#actions.stop();
    });
    this.#stop.addEventListener("click", () => this.#actions.stop());
    this.#clear.addEventListener("click", () => {
      this.#actions.clear();
      this.#draft.focus();
    });
  }

  #submit(): void {
    const content = this.draft;
    if (content !== "" && this.#actions.send(content)) this.#draft.value = "";
  }
}
