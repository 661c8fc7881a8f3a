/**
 * Speaks what is told while it happens: a live answer in its surface's dialect, or events.
 *
 * @module
 */

import type { Step } from "./answer.ts";
import type { AnswerWriter } from "./dialect.ts";
import { type AppError, asAppError } from "./errors.ts";
import { outcomeOf } from "./events.ts";
import type { Exchange } from "./exchange.ts";
import type { Keeping } from "./keeping.ts";
import { type Gone, Outlet } from "./outlet.ts";
import type { HeaderFields, ResponseWriter } from "./response_writer.ts";
import { NOTHING_SENT, SentText } from "./sent_text.ts";
import type { StreamManner } from "./surface.ts";
import { completeTaken } from "./taken.ts";
import { noteSaid } from "./usage.ts";

/** What a speech says, item by item. */
export interface Telling<Item> {
  /** Called just before the response begins: the answers of one surface may share them. */
  readonly headers: () => HeaderFields;
  readonly errorEvent: StreamManner["errorEvent"];
  /** Whole events, or "" for nothing. */
  say(item: Item): string;
  /** Called behind the last item: the end mark, once it may leave. */
  close(): string | Promise<string>;
  /** Called instead of `close` when it ends early, however it does. */
  cut(): void;
}

/** Says one answer while it is told. */
export class Speech<Item> extends Outlet {
  readonly #iterator: AsyncIterator<Item>;
  readonly #telling: Telling<Item>;
  /** Lets the loop go on that waits for a slow client. */
  #release: (() => void) | undefined = undefined;
  /** True when all was said before the response began. */
  #isTold = false;
  #isOver = false;
  readonly #out: ResponseWriter;
  /** What was said, where an error event goes on from it. */
  readonly #sent: SentText | undefined;

  constructor(
    items: AsyncIterable<Item>,
    telling: Telling<Item>,
    exchange: Exchange,
    writer: ResponseWriter,
  ) {
    super(exchange, writer);
    this.#out = writer;
    this.#iterator = items[Symbol.asyncIterator]();
    this.#telling = telling;
    this.#sent = telling.errorEvent.length > 1 ? new SentText() : undefined;
  }

  /**
   * Waits for the first thing that can be said. `start` then begins the response with it.
   *
   * @throws {AppError} when nothing was said before it failed; the speech is over then.
   */
  async first(): Promise<string> {
    try {
      for (;;) {
        const turn = await this.#iterator.next();
        if (turn.done) {
          this.#isTold = true;
          return await this.#telling.close();
        }
        const text = this.#telling.say(turn.value);
        if (text !== "") return text;
      }
    } catch (error) {
      this.forgo();
      throw error;
    }
  }

  /** Answers with what `first` gave, and goes on. */
  start(first: string): void {
    const headers = this.#telling.headers();
    this.#sent?.addText(first);
    this.exchange.note?.left(1, -1);
    if (!this.#isTold) {
      this.open(200, headers, first);
      return void this.#tell();
    }
    this.#isOver = true;
    this.exchange.last(200);
    const untaken = this.#out.whole(200, headers, first);
    completeTaken(this.exchange, 200, Buffer.byteLength(first), untaken);
  }

  /** The response will not begin. */
  forgo(): void {
    this.#stop();
    this.#cut();
  }

  protected errorEvent(error: AppError): string | null {
    return this.#telling.errorEvent(error, this.#sent ?? NOTHING_SENT);
  }

  /** Every write is whole events. */
  protected canComment(): boolean {
    return true;
  }

  protected onReady(): void {
    const release = this.#release;
    this.#release = undefined;
    release?.();
  }

  protected onGone(why: Gone): void {
    this.onReady();
    // An answer that is to be finished is told to its end, to nobody.
    if (this.exchange.isDraining && why === "client_left") return;
    this.#stop();
    this.#cut();
  }

  async #tell(): Promise<void> {
    const { wheel } = this.exchange.engine;
    try {
      for (;;) {
        if (this.isSlow && !this.isClosed) {
          await new Promise<void>((resolve) => {
            this.#release = resolve;
          });
        }
        const turn = await this.#iterator.next();
        if (this.#isOver) return;
        const text = turn.done ? await this.#telling.close() : this.#telling.say(turn.value);
        if (!turn.done) {
          if (text === "") continue;
          this.#sent?.addText(text);
          const { nowMs } = wheel;
          this.exchange.note?.left(1, nowMs - this.exchange.startMs);
          this.write(text, nowMs);
          continue;
        }
        this.#isOver = true;
        return this.end(text === "" ? undefined : text);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(thrown: unknown): void {
    if (this.#isOver) return;
    const { engine, surface } = this.exchange;
    const error = asAppError(thrown);
    if (error.code === "internal" && !this.isClosed) {
      engine.watch({ kind: "bug", where: surface, error: thrown });
    }
    this.#stop();
    this.fail(error, outcomeOf(error));
    this.#cut();
  }

  /** The source frees what it holds: it may still wait. */
  #stop(): void {
    // The answer is over, whatever it says to that.
    this.#iterator.return?.().catch(() => {});
  }

  #cut(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#telling.cut();
  }
}

/** A live answer in a dialect, kept when somebody keeps it. */
export class LiveTelling implements Telling<readonly Step[]> {
  readonly headers: () => HeaderFields;
  readonly errorEvent: StreamManner["errorEvent"];
  readonly #writer: AnswerWriter;
  readonly #exchange: Exchange;
  readonly #keeping: Keeping | undefined;
  #text = "";

  constructor(
    writer: AnswerWriter,
    manner: Pick<Telling<unknown>, "headers" | "errorEvent">,
    exchange: Exchange,
    keeping: Keeping | undefined,
  ) {
    this.headers = manner.headers;
    this.errorEvent = manner.errorEvent;
    this.#writer = writer;
    this.#exchange = exchange;
    this.#keeping = keeping;
  }

  say(steps: readonly Step[]): string {
    let events = "";
    for (const step of steps) {
      if (step.kind === "usage") noteSaid(this.#exchange, step.usage);
      else if (this.#keeping !== undefined && step.kind === "delta" && step.block === "text") {
        if (step.choice === 0) this.#text += step.text;
      }
      events += this.#writer.step(step);
    }
    return events;
  }

  close(): string | Promise<string> {
    if (this.#keeping === undefined) return this.#writer.close();
    return this.#keeping.whole(this.#text).then(() => this.#writer.close());
  }

  cut(): void {
    this.#keeping?.cut(this.#text);
  }
}
