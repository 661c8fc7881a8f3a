/**
 * How much may be asked again: a share of what is asked, and a little all the time. Where everything
 * fails, trying again would only add to what fails.
 *
 * @module
 */

/** One further try for so many questions. */
const QUESTIONS_PER_TRY = 5;
/** And so many a second, for those who ask little. */
const PER_SECOND = 10;
/** More are not saved up. */
const TRIES_MAX = 100;

/** In what is saved for one question, so that nothing is lost in parts of one. */
const FULL = TRIES_MAX * QUESTIONS_PER_TRY;
const PER_MS = PER_SECOND * QUESTIONS_PER_TRY / 1000;

/** One budget, for everybody who asks. */
export class RetryBudget {
  readonly #nowMs: () => number;
  #saved = FULL;
  #atMs: number;

  /** `nowMs`: a clock that never goes back. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.#atMs = nowMs();
  }

  /** A question is asked for the first time. */
  earn(): void {
    this.#saved = Math.min(FULL, this.#saved + 1);
  }

  /** Takes one try; false = there is none. */
  take(): boolean {
    const nowMs = this.#nowMs();
    this.#saved = Math.min(FULL, this.#saved + (nowMs - this.#atMs) * PER_MS);
    this.#atMs = nowMs;
    if (this.#saved < QUESTIONS_PER_TRY) return false;
    this.#saved -= QUESTIONS_PER_TRY;
    return true;
  }
}
