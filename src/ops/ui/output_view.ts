/**
 * Where a workflow's output appears: a text that grows, a list that grows, a value, or a file.
 *
 * @module
 */

import { ExactNumber } from "../../lib/exact_json.ts";
import { element } from "./element.ts";
import { followEnd, GrowingText } from "./growing_text.ts";
import { ReadableError } from "./readable_error.ts";
import type { Wording } from "./wording.ts";

/** The most characters shown of one output. Far above it, a browser tab dies. */
const OUTPUT_CHARS_MAX = 8_000_000;

/** The output pane of one section. */
export class OutputView {
  readonly root: HTMLElement;
  readonly #wording: Wording;
  #text: GrowingText | null = null;
  #list: HTMLOListElement | null = null;
  #chars = 0;
  /** What the copy button copies; of a list, one JSON value per line. */
  #copied: string[] = [];
  /** The object URL of a file that is shown; "" = none. */
  #fileUrl = "";

  constructor(wording: Wording) {
    this.#wording = wording;
    this.root = wording.mark(
      element("div", { class: "pane", role: "region", tabindex: "0" }),
      "aria-label",
      "output",
    );
    this.clear();
    this.root.append(wording.say(element("p", { class: "empty" }), "output_empty"));
  }

  /** What stands in the pane, for the clipboard. */
  get copyText(): string {
    return this.#text?.text ?? this.#copied.join("\n");
  }

  /** Empties the pane. */
  clear(): void {
    this.root.replaceChildren();
    this.#text = null;
    this.#list = null;
    this.#chars = 0;
    this.#copied = [];
    if (this.#fileUrl !== "") URL.revokeObjectURL(this.#fileUrl);
    this.#fileUrl = "";
  }

  /** Lets the text grow by `piece`. */
  appendText(piece: string): void {
    this.#count(piece);
    followEnd(this.root, () => {
      this.#text ??= this.#startText();
      this.#text.append(piece);
    });
  }

  /** Adds `items` to the list. */
  appendItems(items: readonly unknown[]): void {
    const texts = items.map(itemText);
    for (const text of texts) this.#count(text);
    followEnd(this.root, () => {
      this.#list ??= this.#startList();
      this.#list.append(
        ...items.map((item, i) =>
          typeof item === "string"
            ? element("li", {}, item)
            : element("li", { class: "code" }, texts[i]!)
        ),
      );
    });
    this.#copied.push(...items.map((item) => JSON.stringify(item)));
  }

  /** Shows a finished value. An object's members get a box each. */
  showValue(value: unknown): void {
    if (value === null || value === undefined) {
      this.root.append(this.#wording.say(element("p", { class: "empty" }), "output_null"));
      return;
    }
    const copied = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    this.#count(copied);
    this.#copied = [copied];
    const isNamed = typeof value === "object" && !Array.isArray(value) &&
      !(value instanceof ExactNumber);
    if (!isNamed) return this.root.append(valueBox(value));
    this.root.append(element(
      "dl",
      {},
      ...Object.entries(value).flatMap(([name, member]) => [
        element("dt", {}, name),
        element("dd", {}, valueBox(member)),
      ]),
    ));
  }

  /** Shows a file: pictures, sound and film as such, everything as a download. */
  showFile(file: Blob, name: string): void {
    this.#fileUrl = URL.createObjectURL(file);
    const src = this.#fileUrl;
    if (file.type.startsWith("image/")) this.root.append(element("img", { src, alt: name }));
    if (file.type.startsWith("audio/")) this.root.append(element("audio", { src, controls: true }));
    if (file.type.startsWith("video/")) this.root.append(element("video", { src, controls: true }));
    const link = element("a", { href: src, download: name, class: "download" });
    this.root.append(this.#wording.say(link, "download", name));
  }

  /** Says what went wrong, behind whatever had come before it. */
  showError(sentence: string): void {
    followEnd(this.root, () => {
      this.root.append(element("p", { class: "error", role: "alert" }, sentence));
    });
  }

  #count(piece: string): void {
    this.#chars += piece.length;
    if (this.#chars <= OUTPUT_CHARS_MAX) return;
    throw new ReadableError(this.#wording.text("error_too_large", String(OUTPUT_CHARS_MAX)));
  }

  #startText(): GrowingText {
    const target = element("div", { class: "text" });
    this.root.append(target);
    return new GrowingText(target);
  }

  #startList(): HTMLOListElement {
    const list = element("ol", { class: "items" });
    this.root.append(list);
    return list;
  }
}

/** The longest item that stays on one line, in characters. */
const LINE_CHARS_MAX = 80;

function itemText(item: unknown): string {
  const line = JSON.stringify(item);
  return line.length <= LINE_CHARS_MAX ? line : JSON.stringify(item, null, 2);
}

function valueBox(value: unknown): HTMLElement {
  if (typeof value === "string") return element("div", { class: "text" }, value);
  return element("div", { class: "text code" }, JSON.stringify(value, null, 2));
}
