/**
 * A button that copies a text and says so.
 *
 * @module
 */

import { element } from "./element.ts";
import type { Wording } from "./wording.ts";
import type { Word } from "./words.ts";

/** How long "copied" stands in the button, in milliseconds. */
const CONFIRM_MS = 1500;

/** A button that says `word` and copies what `read` gives at that moment. */
export function copyButton(wording: Wording, word: Word, read: () => string): HTMLButtonElement {
  const button = wording.say(element("button", { type: "button", class: "quiet" }), word);
  let timer: ReturnType<typeof setTimeout> | undefined;
  button.addEventListener("click", async () => {
    const isCopied = await copy(read());
    wording.say(button, isCopied ? "copied" : "copy_failed");
    clearTimeout(timer);
    timer = setTimeout(() => wording.say(button, word), CONFIRM_MS);
  });
  return button;
}

async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyFromField(text); // plain http on another machine has no clipboard API
  }
}

function copyFromField(text: string): boolean {
  const field = element("textarea", { class: "off-screen", "aria-hidden": "true" });
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  return isCopied;
}
