/**
 * How much may be asked again: a share of what is asked, and a little all the time. Where everything
 * fails, trying again would only add to what fails.
 *
 * @module
 */

/** How much; from the config. */
export interface RetryBudgetRules {
  /** Tries that a question brings. */
  readonly share: number;
  /** And so many a second, for those who ask little. */
  readonly per_second: number;
  /** More are not saved up; so many are there at the beginning. */
  readonly saved_max: number;
}

/** Sums of shares end a little below what they should. */
const ONE_TRY = 1 - 1e-6;

/** One budget, for everybody who asks. */
export class RetryBudget {
  readonly #rules: RetryBudgetRules;
  readonly #nowMs: () => number;
  /** In tries. */
  #saved: number;
  #atMs: number;

  /** `nowMs`: a clock that never goes back. */
  constructor(rules: RetryBudgetRules, nowMs: () => number) {
    this.#rules = rules;
    this.#nowMs = nowMs;
    this.#saved = rules.saved_max;
    this.#atMs = nowMs();
  }

  /** A question is asked for the first time. */
  earn(): void {
    this.#save(this.#rules.share);
  }

  /** Takes one try; false = there is none. */
  take(): boolean {
    const nowMs = this.#nowMs();
    this.#save((nowMs - this.#atMs) * this.#rules.per_second / 1000);
    this.#atMs = nowMs;
    if (this.#saved < ONE_TRY) return false;
    this.#saved -= 1;
    return true;
  }

  #save(tries: number): void {
    this.#saved = Math.min(this.#rules.saved_max, this.#saved + tries);
  }
}
