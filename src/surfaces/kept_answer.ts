/**
 * An answer that is kept for whoever asks for it later: what was asked, what was said (by
 * reference), and the stamps. The object that is told of it is made when somebody asks.
 *
 * @module
 */

import type {
  Answer,
  Ask,
  Labels,
  Script,
  Source,
  Step,
  StepBatches,
  Usage,
} from "../core/answer.ts";
import { AppError } from "../core/errors.ts";
import type { Call } from "../core/exchange.ts";
import type { Stamped, StampTexts } from "../core/frames.ts";
import { type Gathered, Gathering } from "../core/gathering.ts";
import type { Keeper } from "../core/keeping.ts";
import { type AnswerStamps, stampTexts } from "../core/stamp.ts";
import type { Manner } from "../core/surface.ts";
import type { Turn } from "../core/turn.ts";

/** What an answer weighs besides its texts, in bytes: measured, some. */
const OBJECT_BYTES = 1024;

/** A live answer that says more is not kept: each is gathered while it passes. */
const GATHERED_BYTES_MAX = 16 * 1024 * 1024;

/** Decides which answers are kept, and keeps them. */
export interface AnswerKeeper<Request extends Turn> {
  /** False: no answer to this body is kept. Only asked where answers may be relays. */
  mayKeep(body: Uint8Array<ArrayBuffer>): boolean;
  isKept(request: Request): boolean;
  /** What is kept of the request's body `text`; absent = all of it, as it is. */
  textOf?(text: string, request: Request): string;
  /** True: it is answered later, and its client is told so at once. */
  isDeferred?(request: Request): boolean;
  /**
   * Keeps an answer: called when its stamps are known, and again when all of it is. The end of the answer
   * waits for what is given then, where `holdsEnds` is true; when that rejects, the answer fails.
   */
  keep(answer: KeptAnswer<Request>, request: Request): Promise<void> | undefined;
  /** True: answers do not end before they are kept. */
  readonly holdsEnds: boolean;
  /** An answer that broke off. */
  drop(answer: KeptAnswer<Request>): void;
}

/** What is told of an answer that is kept. `cancelledMs`, as in `KeptAnswer`, may still be set. */
export interface ToldAnswer extends
  Pick<
    KeptAnswer<Turn>,
    | "text"
    | "startMs"
    | "totalMs"
    | "stamps"
    | "labels"
    | "usage"
    | "script"
    | "said"
    | "cancelledMs"
    | "bytes"
  > {}

const NOTHING_YET: Script = { name: "nothing yet", steps: [] };

/**
 * One answer. On its way it stands for its source and for the stamps: what goes through it is noted,
 * and left as it is.
 */
export class KeptAnswer<Request extends Turn> implements Source, AnswerStamps {
  readonly name: string;
  /** The request's body. */
  text = "";
  /**
   * When its request began, on the wheel's clock. Whoever writes the answer counts from there as
   * well: what has been sent as completed is completed here.
   */
  startMs = 0;
  /** When it is said, in milliseconds after `startMs`; NaN = nobody knows yet. */
  totalMs = NaN;
  stamps: StampTexts | undefined = undefined;
  usage: Usage | undefined = undefined;
  script: Script | undefined = undefined;
  /** What it says of itself. An id of its own is the one it is kept by. */
  labels: Labels | undefined = undefined;
  /** When it was cancelled, on the wheel's clock. */
  cancelledMs: number | undefined = undefined;
  /** Kept when the answer is; undefined = it is, or will not be. */
  #written: Promise<void> | undefined = undefined;
  /** Stamps that were drawn before anybody wanted them. */
  #drawn: Stamped | undefined = undefined;
  #said: Gathering | undefined = undefined;
  #bytes = OBJECT_BYTES;
  /** undefined = it is said, and kept, or will not be kept. */
  #keeper: AnswerKeeper<Request> | undefined;
  /** Not kept longer than the answer is on its way: it holds the request's bytes. */
  #onWay: OnWay<Request> | undefined;
  readonly #stamps: AnswerStamps;

  constructor(onWay: OnWay<Request>) {
    this.#onWay = onWay;
    this.#stamps = onWay.stamps;
    this.#keeper = onWay.keeper;
    this.name = onWay.source.name;
  }

  /** What it takes of memory, some. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What was said; undefined = not all of it yet. */
  get said(): Gathered | undefined {
    const { script, usage } = this;
    if (script === undefined) return Number.isNaN(this.totalMs) ? undefined : this.#said;
    const said = new Gathering();
    for (const step of script.steps) said.add(step);
    return { choices: said.choices, usage };
  }

  /** Of the driver: asks the source. */
  answer(ask: Ask, call: Call): Answer | Promise<Answer> {
    this.startMs = call.startMs;
    const answer = this.#onWay!.source.answer(ask, call);
    return answer instanceof Promise
      ? answer.then((settled) => this.#take(settled, call))
      : this.#take(answer, call);
  }

  #take(answer: Answer, call: Call): Answer {
    const { keeper, request } = this.#onWay!;
    if (answer.kind === "relay" || !keeper.isKept(request())) {
      this.#keeper = undefined;
      return answer;
    }
    const text = this.#onWay!.text();
    this.text = keeper.textOf?.(text, request()) ?? text;
    this.#bytes += this.text.length;
    const isDeferred = keeper.isDeferred?.(request()) === true;
    if (answer.kind === "live") {
      if (!isDeferred) return { ...answer, steps: this.#noted(answer.steps, call) };
      answer.steps[Symbol.asyncIterator]().return?.().catch(() => {});
      throw new AppError(
        "request_invalid",
        "There are no background responses over an upstream that is asked in another dialect: " +
          "send 'background': false, and stream the answer.",
        { param: "background" },
      );
    }
    this.script = answer.script;
    this.usage = answer.usage;
    this.labels = answer.labels;
    this.totalMs = answer.script.steps.reduce((sum, { afterMs }) => sum + afterMs, 0);
    return isDeferred && !request().isStream ? { ...answer, script: NOTHING_YET } : answer;
  }

  /** Live steps, gathered as they pass. */
  #noted(steps: StepBatches, call: Call): StepBatches {
    const said = new Gathering();
    this.#said = said;
    return {
      [Symbol.asyncIterator]: () => {
        const told = steps[Symbol.asyncIterator]();
        return {
          next: async () => {
            try {
              const turn = await told.next();
              if (turn.done) this.#end(call);
              else this.#note(turn.value);
              return turn;
            } catch (error) {
              this.#break();
              throw error;
            }
          },
          return: async () => {
            this.#break();
            return await told.return?.() ?? { done: true, value: undefined };
          },
        };
      },
    };
  }

  #note(steps: readonly Step[]): void {
    for (const step of steps) {
      this.#said?.add(step);
      if (step.kind === "usage") this.usage = step.usage;
      else this.#bytes += weightOf(step);
    }
    if (this.#bytes > GATHERED_BYTES_MAX) this.#break();
  }

  #end(call: Call): void {
    if (this.#said === undefined) return;
    this.#said.settle();
    this.totalMs = call.engine.wheel.nowMs - this.startMs;
    if (this.stamps !== undefined) this.#keep();
  }

  #break(): void {
    if (!Number.isNaN(this.totalMs)) return;
    this.#said = undefined;
    if (this.stamps !== undefined) this.#keeper?.drop(this);
    this.#keeper = this.#onWay = undefined;
  }

  /**
   * Of the driver: what the end of the answer waits for; undefined = nothing. `idCount`: how many ids its
   * layout has.
   */
  keeper(idCount: () => number): Keeper | undefined {
    if (this.#keeper?.holdsEnds !== true) return undefined;
    return {
      keep: (_text, isPartial) => {
        if (isPartial) return;
        // An answer in one piece is stamped when it is written, which waits for this.
        if (this.#keeper !== undefined && this.stamps === undefined) {
          this.#drawn = this.#stamped(this.#stamps.own(idCount()));
        }
        return this.#written;
      },
      finish() {},
    };
  }

  /** Of the driver: the manner in which it is said. */
  manner(manner: Manner): Manner {
    return { ...manner, stamps: this };
  }

  shared(idCount: number): Stamped {
    return this.#drawn ?? this.#stamped(this.#stamps.shared(idCount));
  }

  own(idCount: number): Stamped {
    return this.#stamped(this.#stamps.own(idCount));
  }

  #stamped(stamps: Stamped): Stamped {
    if (this.#keeper !== undefined) {
      this.stamps = stampTexts(stamps);
      this.#keep();
    }
    return stamps;
  }

  #keep(): void {
    this.#written = this.#keeper?.keep(this, this.#onWay!.request());
    this.#written?.catch(() => {}); // whoever waits for it hears of it
    if (!Number.isNaN(this.totalMs)) this.#keeper = this.#onWay = undefined;
  }
}

/** Bytes that a step takes, some. */
function weightOf(step: Step): number {
  if (step.kind === "audio") return step.data.length + step.transcript.length;
  if (step.kind === "citation") return step.citation.url.length + step.citation.title.length;
  return "text" in step ? step.text.length : 0;
}

/** What an answer needs while it is on its way. */
export interface OnWay<Request extends Turn> {
  readonly source: Source;
  readonly stamps: AnswerStamps;
  readonly keeper: AnswerKeeper<Request>;
  readonly request: () => Request;
  /** The request's body, which is good until the answer begins. */
  readonly text: () => string;
}
