/**
 * The steps of a relay's body, read while it comes. The reader's pace is the upstream's: while
 * nobody asks for the next batch, the body is paused.
 *
 * @module
 */

import type { Ending, PieceSink, Relay, RelayBody, Step, Usage } from "../../core/answer.ts";
import type { AnswerLimits, AnswerReader, UpstreamDialect } from "../../core/dialect.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import { noteUsage, type UsageMeter } from "../../core/usage.ts";
import { Ticket } from "../../lib/wheel.ts";
import { WholeCharacters } from "./whole_characters.ts";

type Turn = IteratorResult<readonly Step[], undefined>;

const DONE: Turn = { done: true, value: undefined };

const NOTHING = new Uint8Array();

/** How long an answer that is done may take to end its body, so that its connection can be used again. */
const LINGER_MS = 200;

/** No generator: `return` frees the upstream at once, also while `next` waits. */
export class LiveSteps
  implements AsyncIterableIterator<readonly Step[], undefined>, PieceSink, UsageMeter {
  readonly #body: RelayBody;
  readonly #reader: AnswerReader;
  readonly #limits: AnswerLimits;
  readonly #call: Call;
  readonly #mask: (text: string) => string;
  #bytesLeft: number;
  /** Read while nobody waited. */
  #steps: Step[] = [];
  #resolve: ((turn: Turn) => void) | undefined = undefined;
  #reject: ((error: unknown) => void) | undefined = undefined;
  #hasBegun = false;
  #isFlowing = false;
  #lingering: Linger | undefined = undefined;
  #hasEnded = false;
  #error: unknown = undefined;
  /** Set while the usage is to be counted, as nobody has told it. */
  #count: ((said: string) => Usage) | undefined;
  /** What is said, as far as it is to be counted. */
  #said = "";
  told: Usage | undefined = undefined;

  /**
   * `mask` takes secrets out of what an error quotes; `count` gives what the answer cost by what it
   * said, should the upstream not tell.
   */
  constructor(
    relay: Relay,
    dialect: UpstreamDialect,
    limits: AnswerLimits,
    call: Call,
    mask: (text: string) => string,
    count?: (said: string) => Usage,
  ) {
    this.#body = relay.body;
    this.#reader = new WholeCharacters(dialect.readAnswer(relay.fields, limits));
    this.#limits = limits;
    this.#bytesLeft = limits.answer_max_bytes;
    this.#call = call;
    this.#mask = mask;
    this.#count = count;
    if (call.isMetered) call.meter = this;
  }

  get isTold(): boolean {
    return this.told !== undefined;
  }

  said(): string {
    return this.#said;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Turn> {
    if (!this.#hasBegun) this.#begin();
    // A reader may keep what failed behind the steps of a piece: it tells when it is asked again.
    else if (this.#steps.length === 0) this.onPiece(NOTHING);
    if (this.#steps.length > 0) {
      const value = this.#steps;
      this.#steps = [];
      return Promise.resolve({ done: false, value });
    }
    if (this.#error !== undefined) {
      const error = this.#error;
      this.#error = undefined;
      return Promise.reject(error);
    }
    if (this.#hasEnded) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#body.resume();
    });
  }

  return(): Promise<Turn> {
    if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#body.cancel();
    }
    this.#steps = [];
    this.#error = undefined;
    this.#settle()?.(DONE);
    return Promise.resolve(DONE);
  }

  /** Of the body. */
  onPiece(bytes: Uint8Array): void | false {
    if (this.#hasEnded) return false;
    this.#bytesLeft -= bytes.length;
    const isTooLong = this.#bytesLeft < 0;
    try {
      this.#give(this.#reader.feed(isTooLong ? bytes.subarray(0, this.#bytesLeft) : bytes));
      if (isTooLong && !this.#reader.isDone) throw tooLong(this.#limits);
    } catch (error) {
      this.#fail(error);
      return this.#body.cancel();
    }
    if (this.#reader.isDone) {
      this.#finish();
      this.#linger();
    } else if (!this.#reader.hasRead) return false;
  }

  /** Of the body. */
  onEnd(_ending: Exclude<Ending, "hold">, error?: AppError): void {
    this.#lingering?.stop();
    if (!this.#hasEnded) this.#finish(error);
  }

  /** The body begins to flow, unless all of it is here. */
  #begin(): void {
    this.#hasBegun = true;
    const whole = this.#body.whole();
    if (whole === undefined) {
      this.#isFlowing = true;
      return this.#body.flow(this);
    }
    this.onPiece(whole);
    if (!this.#hasEnded) this.#finish();
  }

  /** `broken`: how the body broke off, which harms no answer that is finished. */
  #finish(broken?: AppError): void {
    try {
      this.#give(this.#reader.end());
      this.#tellCount();
      this.#hasEnded = true;
      this.#settle()?.(DONE);
    } catch (error) {
      this.#fail(broken ?? error);
    }
  }

  /** The answer is whole, and nobody has told what it cost. */
  #tellCount(): void {
    const usage = this.#count?.(this.#said);
    if (usage === undefined) return;
    noteUsage(this.#call, usage);
    this.#call.tokensAreEstimated = true;
    this.#hand([{ kind: "usage", usage }]);
  }

  /** The answer is done and its body is not: that may end by itself, and is not waited for. */
  #linger(): void {
    this.#call.upstream?.end();
    if (!this.#isFlowing) return;
    this.#lingering = new Linger(this.#call, this.#body);
    this.#body.resume(); // it may end at once, and stops that then
  }

  #give(steps: readonly Step[]): void {
    if (steps.length === 0) return;
    for (const step of steps) {
      if (step.kind === "usage") {
        this.#count = undefined;
        this.told = step.usage;
        this.#call.upstream?.usage(step.usage);
      } else if (this.#count !== undefined && "text" in step) {
        this.#said += step.text;
      }
    }
    this.#hand(steps);
  }

  #hand(steps: readonly Step[]): void {
    const resolve = this.#settle();
    if (resolve !== undefined) return resolve({ done: false, value: steps });
    for (const step of steps) this.#steps.push(step);
    this.#body.pause();
  }

  #fail(thrown: unknown): void {
    const error = thrown instanceof AppError ? thrown.masked(this.#mask) : thrown;
    this.#call.upstream?.end(error); // before the body's own end: that one may be in order
    this.#hasEnded = true;
    const reject = this.#reject;
    this.#settle();
    if (reject === undefined) this.#error = error;
    else reject(error);
  }

  #settle(): ((turn: Turn) => void) | undefined {
    const resolve = this.#resolve;
    this.#resolve = this.#reject = undefined;
    return resolve;
  }
}

function tooLong({ section, answer_max_bytes }: AnswerLimits): AppError {
  return new AppError(
    "upstream_broken",
    `The upstream sent an answer of more than ${answer_max_bytes} bytes ` +
      `(${section}.answer_max_bytes)`,
  );
}

/** Gives up a body whose answer is done, when it does not end by itself. */
class Linger extends Ticket {
  readonly #call: Call;
  readonly #body: RelayBody;

  constructor(call: Call, body: RelayBody) {
    super();
    this.#call = call;
    this.#body = body;
    const { wheel } = call.engine;
    wheel.set(this, wheel.nowMs + LINGER_MS);
  }

  stop(): void {
    this.#call.engine.wheel.cancel(this);
  }

  override run(): void {
    this.#body.cancel();
  }
}
