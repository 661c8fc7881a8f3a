/**
 * Speaks a live answer in a surface's dialect, step by step, as the upstream tells it.
 *
 * @module
 */

import type { LiveStep } from "./answer.ts";
import type { Dialect } from "./dialect.ts";
import { AppError, asAppError } from "./errors.ts";
import { outcomeOf } from "./events.ts";
import type { Exchange } from "./exchange.ts";
import { type Feed, Outlet } from "./outlet.ts";
import type { HeaderFields } from "./voice.ts";

/** What speaking needs besides the steps. */
export interface SpeakOptions {
  readonly exchange: Exchange;
  readonly dialect: Dialect;
  readonly headers: HeaderFields;
  /** True: the upstream is read to its end after the client has left. */
  readonly isDraining?: boolean;
  /** Called when the client leaves and the upstream must stop. */
  readonly abort: () => void;
  /**
   * Called after the last step and before the end mark leaves; the end mark waits for it. `text` is
   * all that was said, `isWhole` tells whether the answer came to its end. When it throws, the
   * error event leaves instead of the end mark.
   */
  readonly onEnd?: (text: string, isWhole: boolean) => void | Promise<void>;
}

/**
 * Answers with `steps` in `dialect`. The response begins with the first step, so an upstream that
 * fails before it says anything is thrown and not streamed.
 *
 * @throws {AppError} what the upstream did before its first step.
 */
export async function speak(
  steps: AsyncIterable<LiveStep>,
  options: SpeakOptions,
): Promise<Response> {
  const iterator = steps[Symbol.asyncIterator]();
  const first = await iterator.next();
  return speakFrom(first, iterator, options);
}

/** Like `speak`, with the first step already taken. */
export function speakFrom(
  first: IteratorResult<LiveStep>,
  iterator: AsyncIterator<LiveStep>,
  options: SpeakOptions,
): Response {
  const { exchange, dialect, headers, isDraining = false } = options;
  const outlet = new Outlet({
    exchange,
    errorEvent: (error) => dialect.error(error),
    canComment: () => true, // every write is whole events
    onLeave: (why) => {
      if (!isDraining || why === "shut_down") options.abort();
    },
  });
  // The first text leaves with the head: a dialect that opens with nothing needs no comment for it.
  const text = first.done !== true && first.value.kind === "text" ? first.value.text : "";
  const opening = dialect.open() + (text === "" ? "" : dialect.text(text));
  const feed: Feed = (written) => void tell(written, first, iterator, outlet, options, text);
  return outlet.open(200, headers, opening, feed);
}

/**
 * Writes every step to `outlet`, but for `opened`, the text it was opened with. Reads on without a
 * reader when `isDraining`.
 */
async function tell(
  written: void | Promise<void>,
  first: IteratorResult<LiveStep>,
  iterator: AsyncIterator<LiveStep>,
  outlet: Outlet,
  { dialect, exchange, onEnd }: SpeakOptions,
  opened: string,
): Promise<void> {
  let text = opened;
  try {
    await written;
    let turn = opened === "" ? first : await iterator.next();
    for (; !turn.done; turn = await iterator.next()) {
      const step = turn.value;
      if (step.kind === "text") {
        text += step.text;
        await outlet.write(dialect.text(step.text));
        continue;
      }
      if (step.usage !== undefined) {
        exchange.promptTokens = step.usage.promptTokens;
        exchange.completionTokens = step.usage.completionTokens;
      }
      await onEnd?.(text, true);
      await outlet.write(dialect.end(step.reason, step.usage));
      outlet.end();
      return;
    }
    throw new AppError("upstream_broken", "The upstream ended its answer without finishing it");
  } catch (error) {
    const failure = asAppError(error);
    if (failure.code === "internal" && !outlet.isClosed) {
      exchange.engine.watch({ kind: "bug", where: exchange.surface, error });
    }
    try {
      await onEnd?.(text, false);
    } catch (cause) {
      exchange.engine.watch({ kind: "bug", where: exchange.surface, error: cause });
    }
    outlet.fail(failure, outcomeOf(failure));
  } finally {
    // The source frees what it holds: it may still wait behind its last step.
    await iterator.return?.().catch(() => {}); // the answer is over, whatever it says to that
  }
}
