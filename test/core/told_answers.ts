/**
 * Sources and answers that say what a test tells them, when it does.
 *
 * @module
 */

import type { Ask, Ending, PieceSink, Relay, RelayBody } from "../../src/core/answer.ts";
import type { AppError } from "../../src/core/errors.ts";
import type { Call } from "../../src/core/exchange.ts";
import { Fields } from "../../src/lib/http1/fields.ts";

/** Something told item by item, when the test tells it. `return` ends it, whoever waits. */
export class Told<Item> implements AsyncIterable<Item>, AsyncIterator<Item> {
  readonly #items: Item[] = [];
  #waiting: PromiseWithResolvers<IteratorResult<Item>> | undefined = undefined;
  #failure: { readonly error: unknown } | undefined = undefined;
  #isEnded = false;
  /** How often somebody asked for the next item. */
  asked = 0;
  /** True when it was told that nobody wants the rest. */
  isReturned = false;
  /** True when whoever reads it has read its end. */
  isRead = false;

  [Symbol.asyncIterator](): AsyncIterator<Item> {
    return this;
  }

  next(): Promise<IteratorResult<Item>> {
    this.asked++;
    const waiting = this.#waiting = Promise.withResolvers<IteratorResult<Item>>();
    this.#settle();
    return waiting.promise;
  }

  return(): Promise<IteratorResult<Item>> {
    this.isReturned = this.#isEnded = true;
    this.#settle();
    return Promise.resolve({ done: true, value: undefined });
  }

  say(item: Item): void {
    this.#items.push(item);
    this.#settle();
  }

  end(): void {
    this.#isEnded = true;
    this.#settle();
  }

  fail(error: unknown): void {
    this.#failure = { error };
    this.#settle();
  }

  #settle(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const item = this.#items.shift();
    if (item !== undefined) waiting.resolve({ done: false, value: item });
    else if (this.#failure !== undefined) waiting.reject(this.#failure.error);
    else if (this.#isEnded) waiting.resolve({ done: true, value: undefined });
    else return;
    this.isRead = item === undefined;
    this.#waiting = undefined;
  }
}

/** A relay's body that says what the test tells it, when it does. */
export class HandBody implements RelayBody {
  #sink: PieceSink | undefined = undefined;
  isPaused = false;
  isCancelled = false;
  isEnded = false;

  /** True when somebody has it flow. */
  get isFlowing(): boolean {
    return this.#sink !== undefined;
  }

  whole(): undefined {
    return undefined;
  }

  flow(sink: PieceSink): void {
    this.#sink = sink;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  cancel(): void {
    this.isCancelled = true;
    this.#sink = undefined;
  }

  /** `isLast`: it comes with the body's end, which the test tells next. */
  say(text: string, isLast = false): void {
    this.#sink?.onPiece(new TextEncoder().encode(text), 0, isLast);
  }

  end(ending: Exclude<Ending, "hold"> = "end", error?: AppError): void {
    this.isEnded = true;
    this.#sink?.onEnd(ending, error);
  }
}

/** A relay of `body`. */
export function relayOf(
  body: RelayBody,
  contentType = "text/event-stream",
  status = 200,
  more: readonly (readonly [string, string])[] = [],
): Relay {
  return {
    kind: "relay",
    status,
    fields: Fields.of([["Content-Type", contentType], ...more]),
    body,
  };
}

/** A source that answers when the test tells it. */
export class SlowSource<Given> {
  readonly #answer = Promise.withResolvers<Given>();
  call: Call | undefined = undefined;

  readonly answer = (_ask: Ask, call: Call): Promise<Given> => {
    this.call = call;
    return this.#answer.promise;
  };

  give(answer: Given): void {
    this.#answer.resolve(answer);
  }

  fail(error: unknown): void {
    this.#answer.reject(error);
  }
}
