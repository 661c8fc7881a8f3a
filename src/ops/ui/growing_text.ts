/**
 * A text that grows, and a pane that follows it as long as the reader has not scrolled away.
 *
 * @module
 */

/** How close to the end, in pixels, still counts as reading along. */
const END_PX = 40;

/** Appends to one text node: the page never lays out more than what is new. */
export class GrowingText {
  readonly #node = new Text("");

  constructor(target: HTMLElement) {
    target.append(this.#node);
  }

  get text(): string {
    return this.#node.data;
  }

  append(text: string): void {
    this.#node.appendData(text);
  }
}

/** Runs `change` and keeps the end of `pane` in sight when it was. */
export function followEnd(pane: HTMLElement, change: () => void): void {
  const isAtEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < END_PX;
  change();
  if (isAtEnd) pane.scrollTop = pane.scrollHeight;
}
