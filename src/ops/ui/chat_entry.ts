/**
 * One message in the transcript, with its figures when it is an answer.
 *
 * @module
 */

import type { Measure } from "./chat_measure.ts";
import { copyButton } from "./copy_button.ts";
import { durationText } from "./duration.ts";
import { element } from "./element.ts";
import { GrowingText } from "./growing_text.ts";
import type { Wording } from "./wording.ts";
import type { Word } from "./words.ts";

/** OpenAI's reasons for an end that is not the natural one, and how the page says them. */
const ENDS: Readonly<Record<string, Word>> = {
  stopped: "stopped",
  length: "cut_by_length",
  content_filter: "filtered",
};

/** A message on the page. */
export class ChatEntry {
  readonly root: HTMLElement;
  readonly #wording: Wording;
  readonly #text: GrowingText;
  readonly #body: HTMLElement;
  readonly #figures: HTMLElement;

  constructor(role: "user" | "assistant", wording: Wording) {
    this.#wording = wording;
    const text = element("div", { class: "text" });
    this.#text = new GrowingText(text);
    this.#figures = element("span", { class: "figures" });
    const foot = role === "user" ? null : element(
      "div",
      { class: "foot" },
      this.#figures,
      copyButton(wording, "copy", () => this.#text.text),
    );
    const name = wording.say(element("h4"), role === "user" ? "you" : "assistant");
    this.#body = element("div", { class: "body" }, text, foot);
    this.root = element("article", { class: `entry ${role}` }, name, this.#body);
  }

  get text(): string {
    return this.#text.text;
  }

  append(text: string): void {
    this.#text.append(text);
  }

  /** True while more is to come. */
  set isGrowing(isGrowing: boolean) {
    this.root.classList.toggle("running", isGrowing);
  }

  showWaiting(): void {
    this.#figures.replaceChildren(this.#say("waiting"));
  }

  showFigures({ firstMs, tokensPerSecond, tokensIn, tokensOut }: Measure, end = ""): void {
    const endWord = ENDS[end];
    const parts = [
      firstMs === null ? null : this.#say("first_token", durationText(firstMs)),
      tokensPerSecond === null ? null : this.#say("speed", speedText(tokensPerSecond)),
      tokensIn === null ? null : this.#say("usage", String(tokensIn)),
      this.#say(tokensIn === null ? "tokens" : "usage_out", String(tokensOut)),
      endWord === undefined ? null : this.#say(endWord),
    ].filter((part) => part !== null);
    this.#figures.replaceChildren(...parts.flatMap((part, i) => i === 0 ? [part] : [" · ", part]));
  }

  /** Says what went wrong, with a way to ask again. */
  showError(sentence: string, retry: () => void): void {
    const again = this.#wording.say(element("button", { type: "button" }), "try_again");
    again.addEventListener("click", retry);
    this.#body.append(
      element("p", { class: "error", role: "alert" }, sentence),
      element("div", { class: "actions" }, again),
    );
  }

  #say(word: Word, value?: string): HTMLElement {
    return this.#wording.say(element("span"), word, value);
  }
}

/** Three figures are what a reader can use. */
function speedText(tokensPerSecond: number): string {
  return tokensPerSecond >= 100 ? tokensPerSecond.toFixed(0) : tokensPerSecond.toFixed(1);
}
