/**
 * Puts words into elements and can change their language later: an element remembers which word it
 * shows, so a switch keeps everything else of the page as it is.
 *
 * @module
 */

import { type Language, type Word, WORDS } from "./words.ts";

/** Where the reader's choice is kept; it survives the tab, unlike a token. */
const STORAGE_KEY = "weir.language";

/** Attributes that can hold a word, and the data attribute that remembers which. */
const SLOTS = [
  { attribute: "aria-label", memory: "data-label-word" },
  { attribute: "placeholder", memory: "data-placeholder-word" },
  { attribute: "title", memory: "data-title-word" },
] as const;

type Attribute = typeof SLOTS[number]["attribute"];

/** The language of the page. */
export class Wording {
  #language: Language;

  /** `preferred`: the browser's language, for a reader who has not chosen. */
  constructor(preferred: string) {
    const chosen = localStorage.getItem(STORAGE_KEY);
    const wanted = chosen ?? preferred;
    this.#language = wanted.toLowerCase().startsWith("zh") ? "zh" : "en";
    document.documentElement.lang = this.#tag();
  }

  /** `word` in the current language. */
  text(word: Word, value = ""): string {
    return WORDS[this.#language][word].replace("{}", () => value);
  }

  /** Shows `word` as the text of `target`, now and after a switch. Gives `target` back. */
  say<Target extends HTMLElement>(target: Target, word: Word, value = ""): Target {
    target.dataset["word"] = word;
    target.dataset["wordValue"] = value;
    target.textContent = this.text(word, value);
    return target;
  }

  /** Sets `attribute` of `target` to `word`, now and after a switch. Gives `target` back. */
  mark<Target extends HTMLElement>(target: Target, attribute: Attribute, word: Word): Target {
    const { memory } = SLOTS.find((slot) => slot.attribute === attribute)!;
    target.setAttribute(memory, word);
    target.setAttribute(attribute, this.text(word));
    return target;
  }

  /** Says everything in the other language. */
  switch(): void {
    this.#language = this.#language === "en" ? "zh" : "en";
    localStorage.setItem(STORAGE_KEY, this.#language);
    document.documentElement.lang = this.#tag();
    this.sayAll();
  }

  /** Fills in everything that carries a word: after a switch, and what index.html brought along. */
  sayAll(): void {
    for (const target of document.querySelectorAll<HTMLElement>("[data-word]")) {
      this.say(target, target.dataset["word"] as Word, target.dataset["wordValue"] ?? "");
    }
    for (const { attribute, memory } of SLOTS) {
      for (const target of document.querySelectorAll<HTMLElement>(`[${memory}]`)) {
        target.setAttribute(attribute, this.text(target.getAttribute(memory) as Word));
      }
    }
  }

  #tag(): string {
    return this.#language === "zh" ? "zh-CN" : "en";
  }
}
