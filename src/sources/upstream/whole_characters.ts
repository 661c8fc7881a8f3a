/**
 * Half a character at the end of a piece of text waits for its other half: an upstream cuts its text
 * between any two units of UTF-16, and no half can be said in UTF-8.
 *
 * @module
 */

import type { Step } from "../../core/answer.ts";
import type { AnswerReader } from "../../core/dialect.ts";

type TextStep = Extract<Step, { readonly text: string }>;

/** `reader`, whose texts hold whole characters. A half that stays alone becomes U+FFFD. */
export class WholeCharacters implements AnswerReader {
  readonly #reader: AnswerReader;
  /** The step whose text is a first half, for each text that is being said. */
  readonly #held = new Map<string, TextStep>();

  constructor(reader: AnswerReader) {
    this.#reader = reader;
  }

  get isDone(): boolean {
    return this.#reader.isDone;
  }

  get hasRead(): boolean {
    return this.#reader.hasRead;
  }

  feed(bytes: Uint8Array): readonly Step[] {
    return this.#mend(this.#reader.feed(bytes));
  }

  end(): readonly Step[] {
    const steps = this.#mend(this.#reader.end());
    return this.#held.size === 0 ? steps : [...steps, ...this.#letGo(() => true)];
  }

  #mend(steps: readonly Step[]): readonly Step[] {
    if (this.#held.size === 0 && steps.every(isWhole)) return steps;
    const mended: Step[] = [];
    for (const step of steps) {
      if ("text" in step) this.#add(step, mended);
      else {
        if (step.kind === "end") mended.push(...this.#letGo((held) => held.choice === step.choice));
        mended.push(step);
      }
    }
    return mended;
  }

  #add(step: TextStep, mended: Step[]): void {
    const place = step.kind === "delta"
      ? step.block
      : step.kind === "arguments"
      ? step.index
      : step.kind;
    const key = `${step.choice} ${place}`;
    let text = (this.#held.get(key)?.text ?? "") + step.text;
    this.#held.delete(key);
    if (endsInHalf(text)) {
      this.#held.set(key, { ...step, text: text.slice(-1) });
      text = text.slice(0, -1);
    }
    if (text !== "" || step.text === "") mended.push({ ...step, text: text.toWellFormed() });
  }

  /** The halves that stay alone. */
  #letGo(isOver: (held: TextStep) => boolean): readonly Step[] {
    const alone: Step[] = [];
    for (const [key, step] of this.#held) {
      if (!isOver(step)) continue;
      this.#held.delete(key);
      alone.push({ ...step, text: "\uFFFD" });
    }
    return alone;
  }
}

function isWhole(step: Step): boolean {
  return !("text" in step) || step.text.isWellFormed();
}

function endsInHalf(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last < 0xdc00;
}
