/**
 * Keeping what was said: each answer is kept once, whole before its end mark leaves, or as far as
 * its client heard it.
 *
 * @module
 */

import { AppError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";

/** What becomes of one answer besides being said. */
export interface Keeper {
  /**
   * Keeps the answer whose text is `text`. The end mark waits for it; when it throws, none leaves.
   */
  keep(text: string, isPartial: boolean): Promise<void> | void;
  /** True: an answer that is known whole is kept whole when its client leaves early. */
  readonly keepsKnown?: boolean;
  /** True: what was said is kept as well when the answer fails in the middle. */
  readonly keepsBroken?: boolean;
  /** Called once, when the answer is kept or will never be. */
  finish(): void;
}

/** One answer that a keeper waits for. */
export class Keeping {
  readonly #exchange: Exchange;
  #keeper: Keeper | undefined;

  constructor(keeper: Keeper, exchange: Exchange) {
    this.#keeper = keeper;
    this.#exchange = exchange;
  }

  /** The answer is whole. Only the first call of this, `cut` and `drop` counts. */
  async whole(text: string): Promise<void> {
    const keeper = this.#take();
    if (keeper === undefined) return;
    try {
      await keeper.keep(text, false);
    } finally {
      keeper.finish();
    }
  }

  /**
   * The answer ended early behind `said`. It is kept when its client has left: whole where it is
   * known (`whole`) and to be finished, else as far as it was heard.
   */
  cut(said: string, whole?: string): void {
    const keeper = this.#take();
    if (keeper === undefined) return;
    const isWhole = whole !== undefined &&
      (this.#exchange.isDraining || keeper.keepsKnown === true);
    const text = isWhole ? whole : said;
    const isKept = this.#exchange.hasLeft || keeper.keepsBroken === true;
    if (!isKept || text === "") return keeper.finish();
    void this.#settle(keeper, text, !isWhole);
  }

  /** The answer never began. */
  drop(): void {
    this.#take()?.finish();
  }

  /** Nobody waits for it. A store that fails has told of itself. */
  async #settle(keeper: Keeper, text: string, isPartial: boolean): Promise<void> {
    const { engine, surface } = this.#exchange;
    try {
      await keeper.keep(text, isPartial);
    } catch (error) {
      if (!(error instanceof AppError)) engine.watch({ kind: "bug", where: surface, error });
    } finally {
      keeper.finish();
    }
  }

  #take(): Keeper | undefined {
    const keeper = this.#keeper;
    this.#keeper = undefined;
    return keeper;
  }
}
