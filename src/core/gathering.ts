/**
 * Gathers the steps of an answer into one whole, for clients that do not stream.
 *
 * @module
 */

import type { EndReason, Step, Usage } from "./answer.ts";

/** A tool call with all of its arguments. */
export interface GatheredCall {
  readonly id: string;
  readonly name: string;
  /** JSON, or the text of a custom tool. */
  readonly arguments: string;
}

/** One choice of an answer. */
export interface GatheredChoice {
  readonly text: string;
  readonly reasoning: string;
  readonly refusal: string;
  readonly calls: readonly GatheredCall[];
  readonly reason: EndReason;
}

/** A whole answer. */
export interface Gathered {
  /** By their number; one at least. */
  readonly choices: readonly GatheredChoice[];
  /** undefined = it was not told. */
  readonly usage: Usage | undefined;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

interface Growing extends Writable<Omit<GatheredChoice, "calls">> {
  calls: Writable<GatheredCall>[];
}

/** Takes steps as they come. */
export class Gathering implements Gathered {
  readonly choices: Growing[] = [];
  usage: Usage | undefined = undefined;

  constructor() {
    this.#choice(0);
  }

  /** The text of the first choice. */
  get text(): string {
    return this.choices[0]!.text;
  }

  add(step: Step): void {
    switch (step.kind) {
      case "delta":
        this.#choice(step.choice)[step.block] += step.text;
        break;
      case "call":
        this.#choice(step.choice).calls[step.index] = {
          id: step.id,
          name: step.name,
          arguments: "",
        };
        break;
      case "arguments": {
        const call = this.#choice(step.choice).calls[step.index];
        if (call !== undefined) call.arguments += step.text;
        break;
      }
      case "end":
        this.#choice(step.choice).reason = step.reason;
        break;
      case "usage":
        this.usage = step.usage;
    }
  }

  #choice(index: number): Growing {
    while (this.choices.length <= index) {
      this.choices.push({ text: "", reasoning: "", refusal: "", calls: [], reason: "stop" });
    }
    return this.choices[index]!;
  }
}

/** What `steps` say in the text of their first choice. */
export function textOfSteps(steps: readonly Step[]): string {
  let text = "";
  for (const step of steps) {
    if (step.kind === "delta" && step.block === "text" && step.choice === 0) text += step.text;
  }
  return text;
}
