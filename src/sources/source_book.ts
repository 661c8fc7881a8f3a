/**
 * What is known of sources besides how they answer.
 *
 * @module
 */

import type { Source } from "../core/answer.ts";
import type { Speaks } from "./upstream/speaks.ts";

/** What is known of one. */
export interface SourceFacts {
  /** The name of the upstream that answers, of the first one where there are several, or mock; "" = none. */
  readonly name: string;
  /** The base URL of that upstream; "" = there is none. */
  readonly url: string;
  /** True when it may answer with a relay. */
  readonly isRelaying: boolean;
  /** What its upstream speaks; undefined = it is not one alone. */
  readonly speaks: Speaks | undefined;
  /** True when it is one upstream that large bodies may go up to while they still come. */
  readonly streamsUp: boolean;
  /** True when a path below the base URL may go to it. */
  readonly takes: (path: string) => boolean;
}

const UNKNOWN: SourceFacts = {
  name: "",
  url: "",
  isRelaying: false,
  speaks: undefined,
  streamsUp: false,
  takes: () => false,
};

/** Remembers it. */
export class SourceBook {
  readonly #facts = new Map<Source, SourceFacts>();

  facts(source: Source): SourceFacts {
    return this.#facts.get(source) ?? UNKNOWN;
  }

  /** Adds to what is known of `source`. Gives `source`. */
  note<One extends Source>(source: One, facts: Partial<SourceFacts>): One {
    this.#facts.set(source, { ...this.facts(source), ...facts });
    return source;
  }

  /** `wrapped` stands in the place of `source`: the same is known of it, but for `other`. Gives `wrapped`. */
  wrap(wrapped: Source, source: Source, other: Partial<SourceFacts> = {}): Source {
    return wrapped === source ? source : this.note(wrapped, { ...this.facts(source), ...other });
  }
}
