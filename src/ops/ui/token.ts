/**
 * The token that weir asks for: kept in this tab's session storage, nowhere else.
 *
 * @module
 */

import { element } from "./element.ts";
import type { Wording } from "./wording.ts";

const STORAGE_KEY = "weir.token";

/** Holds the token and asks for it. */
export class Token {
  readonly #wording: Wording;
  /** The question that is open: several refused requests ask once. */
  #question: Promise<boolean> | null = null;
  /** Told whenever a token comes or goes. */
  onChange: (isHeld: boolean) => void = () => {};

  constructor(wording: Wording) {
    this.#wording = wording;
  }

  /** The token; null = none was given yet. */
  get value(): string | null {
    return sessionStorage.getItem(STORAGE_KEY);
  }

  forget(): void {
    sessionStorage.removeItem(STORAGE_KEY);
    this.onChange(false);
  }

  /**
   * Asks the reader. True = there is a new token, false = he does not want to. `refused`: the token
   * that was sent and not accepted; when another one came meanwhile, nobody is asked.
   */
  ask(refused: string | null): Promise<boolean> {
    if (this.value !== refused && this.value !== null) return Promise.resolve(true);
    this.#question ??= this.#ask(refused !== null).finally(() => this.#question = null);
    return this.#question;
  }

  #ask(wasRefused: boolean): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const wording = this.#wording;
    const input = element("input", {
      type: "password",
      id: "token",
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      pattern: "\\s*[!-~]+\\s*", // what a header can carry: one word of ASCII
    });
    const cancel = element("button", { type: "button", class: "quiet" });
    const form = element(
      "form",
      { class: "token-form" },
      wording.say(element("h2", { id: "token-title" }), "token_title"),
      wording.say(element("p", { class: "muted" }), "token_text"),
      wasRefused
        ? wording.say(element("p", { class: "error", role: "alert" }), "token_wrong")
        : null,
      wording.say(element("label", { for: "token" }), "token"),
      input,
      element(
        "div",
        { class: "actions" },
        wording.say(element("button", { type: "submit", class: "primary" }), "token_use"),
        wording.say(cancel, "token_cancel"),
      ),
    );
    const dialog = element("dialog", { "aria-labelledby": "token-title" }, form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(STORAGE_KEY, input.value.trim());
      this.onChange(true);
      dialog.close("given");
    });
    cancel.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "given");
    });
    document.body.append(dialog);
    dialog.showModal();
    return promise;
  }
}
