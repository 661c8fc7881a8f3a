/**
 * Spreads questions over several sources: the one that has the least to do for its weight is asked
 * first, and the others where it fails.
 *
 * @module
 */

import type { Answer, Ask, Source } from "../core/answer.ts";
import type { Call } from "../core/exchange.ts";
import type { Target, TargetOrder } from "./fallback.ts";
import { askedFor, whenOver } from "./over.ts";

/** The work of one route: what each of its targets has to do. */
export class Balance {
  readonly #loads: ReadonlyMap<string, Load>;

  /** `weights`: the part of each target beside the others, by its name; above 0. */
  constructor(weights: Readonly<Record<string, number>>) {
    this.#loads = new Map(
      Object.entries(weights).map(([name, weight]) => [name, new Load(weight)]),
    );
  }

  /** The order in which to ask `targets`: the least busy one first. */
  over(targets: readonly Target[]): TargetOrder {
    const counted = targets.map(({ name, source }) => {
      const load = this.#loads.get(name)!;
      return { load, target: { name, source: load.around(source) } };
    });
    return () =>
      counted.toSorted((a, b) => a.load.share - b.load.share || a.load.asked - b.load.asked)
        .map(({ target }) => target);
  }
}

/** What one of them has to do. */
class Load {
  readonly #weight: number;
  #open = 0;
  #asked = 0;

  constructor(weight: number) {
    this.#weight = weight;
  }

  /** How much it has to do, for its weight. */
  get share(): number {
    return this.#open / this.#weight;
  }

  /** How often it was asked so far, for its weight. */
  get asked(): number {
    return this.#asked / this.#weight;
  }

  /** `source`, whose open answers are counted. */
  around(source: Source): Source {
    return {
      name: source.name,
      answer: (ask: Ask, call: Call) => {
        this.#open++;
        this.#asked++;
        const leave = () => void this.#open--;
        const take = (answer: Answer) => whenOver(answer, call, leave);
        return askedFor(source, ask, call, take, leave);
      },
    };
  }
}
