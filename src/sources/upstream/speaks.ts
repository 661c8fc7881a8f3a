/**
 * What an upstream speaks: which requests go up as they are, and how it is asked for a turn that
 * came in another dialect.
 *
 * @module
 */

import type { DialectName } from "../../core/answer.ts";
import type { UpstreamDialect } from "../../core/dialect.ts";

/** What is below these paths is kept by who speaks the dialect. */
const KEPT: readonly (readonly [RegExp, DialectName])[] = [
  [/^\/(?:responses|conversations)(?:\/|$)/, "openai_responses"],
  [/^\/chat\/completions(?:\/|$)/, "openai_chat"],
];

/** The dialects of one upstream. What it turns out not to know is remembered. */
export class Speaks {
  readonly #dialects: Set<DialectName>;
  /** True: nobody said what it speaks, so it may turn out that it does not. */
  readonly isGuessed: boolean;
  /** How it is asked for a turn; undefined = it takes requests of its own dialects only. */
  readonly asked: UpstreamDialect | undefined;

  constructor(
    dialects: Iterable<DialectName>,
    asked: UpstreamDialect | undefined,
    isGuessed = false,
  ) {
    this.#dialects = new Set(dialects);
    this.asked = asked;
    this.isGuessed = isGuessed;
  }

  /** True when a request in `dialect` goes up as it is. */
  has(dialect: DialectName | undefined): boolean {
    return dialect !== undefined && this.#dialects.has(dialect);
  }

  /** False when what is at `path` belongs to a dialect that is not spoken here. */
  knows(path: string): boolean {
    return KEPT.every(([paths, dialect]) => this.#dialects.has(dialect) || !paths.test(path));
  }

  /**
   * True when a request in `dialect` goes up as it is, and is never asked again in another one.
   * Whether there are the old completions beside what it speaks, no setting says.
   */
  isSureOf(dialect: DialectName): boolean {
    const isGuessed = this.isGuessed || dialect === "openai_completions";
    return this.has(dialect) &&
      (!isGuessed || dialect === this.asked?.name || dialect === "openai");
  }

  /** The upstream does not know `dialect` after all. */
  forget(dialect: DialectName): void {
    this.#dialects.delete(dialect);
  }
}
