/**
 * A surface that speaks a model's dialect: reads a request, asks the source, and has the answer laid
 * and stamped. What differs between dialects is given; what costs time is remembered here.
 *
 * @module
 */

import type { DialectName, Labels, Source, Usage, Wire } from "../core/answer.ts";
import { queryOf } from "../core/body.ts";
import { AppError } from "../core/errors.ts";
import type { Exchange } from "../core/exchange.ts";
import {
  type Frames,
  Labelled,
  type Layout,
  layText,
  type StampTexts,
  stampWhole,
} from "../core/frames.ts";
import type { Gathered } from "../core/gathering.ts";
import type { Keeper } from "../core/keeping.ts";
import type { AnswerStamps } from "../core/stamp.ts";
import type {
  Asking,
  Inbound,
  Manner,
  RecordLateness,
  StreamManner,
  Surface,
  Whole,
} from "../core/surface.ts";
import type { LimitNote } from "../core/limits.ts";
import type { Turn } from "../core/turn.ts";
import { PROCESSING_HEADER, processingValue } from "../dialects/openai/processing.ts";
import { peekModel } from "../dialects/openai_chat/peek_model.ts";
import type { Fields } from "../lib/http1/fields.ts";
import type { HeaderBlock } from "../lib/http1/header_block.ts";
import type { RequestHead } from "../lib/http1/request_head.ts";
import { type AnswerKeeper, KeptAnswer } from "./kept_answer.ts";

/** What all surfaces that ask for a model share. */
export interface ModelDeps {
  readonly source: Source;
  /** True when some of its source's answers are relays: the body is kept as it came. */
  readonly isRelaying: boolean;
  /** True while its source passes on whatever is asked: a large body goes up while it comes. */
  readonly streamsUp: () => boolean;
  /** True: an answer is finished although its client has left. */
  readonly isDraining: boolean;
  /** See `Ask.cutsAfterBlank`. */
  readonly cutsAfterBlank?: boolean;
  /** Notes how limits are at a request that cannot be read; absent = its answer does not tell of them. */
  readonly noteLimits?: ((model: string, call: Exchange) => void) | undefined;
  readonly recordLateness: RecordLateness;
}

/** How a dialect lays answers, streamed or in one piece. */
export interface ModelLayout extends Layout {
  /** True: it holds what one request said, so it is not remembered for others. */
  readonly isForOne?: boolean;
  /** The answer in one piece. */
  whole(said: Gathered, stamps: StampTexts): string;
  labelled?(labels: Labels): ModelLayout;
}

/** What a dialect says of itself. `Request`: one of its requests, read. */
export interface ModelSurfaceOptions<Request extends Turn> extends ModelDeps {
  /** The URL's name in logs and metrics. */
  readonly name: string;
  readonly dialect: DialectName;
  /** Where it is asked below an upstream's base URL. */
  readonly path: string;
  readonly stamps: AnswerStamps;
  /** Of a stream and of a whole answer, with a slot where `exchange.requestId` goes. */
  readonly headers: { readonly stream: HeaderBlock; readonly whole: HeaderBlock };
  /** The fields in which answers tell of rate limits; absent = they do not. */
  readonly limitFields?: LimitFields;
  /** See `Ask.settlesTokens`. */
  readonly settlesTokens?: boolean;
  /** True: its answers say how long they took to begin, each for itself. */
  readonly tellsProcessing?: boolean;
  /**
   * Lets a request in.
   *
   * @throws {AppError} when it may not come in (also as a rejection).
   */
  admit(head: RequestHead, exchange: Exchange): void | Promise<void>;
  /** The fields that may go upstream. */
  fieldsUp(head: RequestHead, exchange: Exchange): Fields;
  /**
   * The request in a body. Its `wantsUsage` says what the answer's shape needs.
   *
   * @throws {AppError} what is wrong with it.
   */
  parse(text: string): Request;
  /** How answers to `request` are laid. */
  layout(request: Request): ModelLayout;
  /** What is known of a live answer's usage before it begins; absent = no dialect's business. */
  foretold?(request: Request): Usage;
  /** How a stream breaks off. */
  readonly stream: StreamManner;
  /** Keeps answers for whoever asks for them later; absent = none is kept. */
  readonly keeper?: AnswerKeeper<Request>;
  /** What requests go on from; absent = each stands for itself. */
  readonly past?: Past<Request>;
  tooLarge(bytesMax: number): AppError;
  refuse(error: AppError, exchange: Exchange): Whole;
}

/** Makes the fields that tell of rate limits, for the answers that have them. */
export interface LimitFields {
  readonly stream?: MakeLimitFields;
  readonly whole?: MakeLimitFields;
}

type MakeLimitFields = (note: LimitNote) => Readonly<Record<string, string>>;

/** What was kept before, and requests go on from. */
export interface Past<Request> {
  /** False: `body` names nothing of it. Only asked where answers may be relays. */
  mayName(body: Uint8Array<ArrayBuffer>): boolean;
  /**
   * What `request` asks, with what it goes on from: no longer the client's bytes are asked then. The
   * promise gives undefined where that may be an upstream's; undefined = it goes on from nothing.
   *
   * @throws {AppError} when there is no such thing (the promise rejects).
   */
  resolve(request: Request): Promise<Request | undefined> | undefined;
  /** @throws {AppError} when `request`, which was not resolved, goes on from something. */
  checkNone(request: Request): void;
}

/** A whole answer, and what it depends on. A live answer has choices of its own, so it is laid anew. */
interface Told {
  readonly choices: Gathered["choices"];
  readonly usage: Usage | undefined;
  readonly layout: ModelLayout;
  readonly frames: Frames;
}

/** A longer question, and a longer answer, is not remembered. */
const REMEMBERED_CHARS_MAX = 16_384;
const REMEMBERED_BYTES_MAX = 65_536;

/** Layouts kept: one per model name and combination of options. */
const LAYOUTS_MAX = 1024;

/** Makes the surface. */
export function modelSurface<Request extends Turn>(
  options: ModelSurfaceOptions<Request>,
): Surface {
  const room = new Room(options);

  function asked(inbound: Inbound, exchange: Exchange): Asking | Promise<Asking> {
    const { past, isRelaying } = options;
    const request = past === undefined ? undefined : room.named(past, inbound);
    const resolved = request === undefined ? undefined : past?.resolve(request);
    if (resolved !== undefined) {
      return resolved.then((request) => new ModelAsk(room, inbound, exchange, request));
    }
    return new ModelAsk(room, inbound, exchange, isRelaying ? undefined : request);
  }

  return {
    name: options.name,
    source: options.source.name,
    get takes() {
      return options.streamsUp() ? "stream" : "body";
    },
    admit: (head, exchange) => options.admit(head, exchange),
    answer(inbound, exchange) {
      if (options.noteLimits === undefined) return asked(inbound, exchange);
      try {
        const asking = asked(inbound, exchange);
        if (!(asking instanceof Promise) && !options.isRelaying) asking.model(); // reads it
        return asking;
      } catch (error) {
        options.noteLimits(peekModel(inbound.bytes), exchange);
        throw error;
      }
    },
    tooLarge: (bytesMax) => options.tooLarge(bytesMax),
    refuse: (error, exchange) => options.refuse(error, exchange),
  };
}

/** What all requests of one surface share. */
class Room<Request extends Turn> {
  readonly options: ModelSurfaceOptions<Request>;
  readonly manner: Manner;
  readonly #layouts = new Map<string, ModelLayout>();
  readonly #labelled = new Labelled<ModelLayout>();
  /** The whole answer that was told last: a mock tells the same again and again. */
  #told: Told | undefined;
  /** What was asked last, unless it is long. */
  #last: Remembered<Request> | undefined;

  constructor(options: ModelSurfaceOptions<Request>) {
    this.options = options;
    const { headers: { stream }, tellsProcessing = false } = options;
    this.manner = {
      stamps: options.stamps,
      headers: (exchange) =>
        stamped(stream, exchange, tellsProcessing, options.limitFields?.stream),
      ...options.stream,
      recordLateness: options.recordLateness,
    };
  }

  /**
   * The request in a body. The last one is at hand: who tests under load says the same again and
   * again, and to parse it takes 1 µs.
   */
  parse(text: string): Request {
    if (text === this.#last?.text) return this.#last.request;
    const request = this.options.parse(text);
    if (text.length <= REMEMBERED_CHARS_MAX) this.#last = { text, request, layout: undefined };
    return request;
  }

  /** A request that may go on from what was kept; undefined = it does not, or is an upstream's. */
  named(past: Past<Request>, inbound: Inbound): Request | undefined {
    if (!this.options.isRelaying) return this.parse(inbound.text);
    if (inbound.upload !== undefined || !past.mayName(inbound.bytes)) return undefined;
    try {
      return this.parse(inbound.text);
    } catch (error) {
      if (error instanceof AppError) return undefined; // what is wrong with it, its upstream says
      throw error;
    }
  }

  /** `text`, as the last one where it is the same: what is kept of many takes the room of one. */
  sameText(text: string): string {
    return text === this.#last?.text ? this.#last.text : text;
  }

  layoutOf(request: Request): ModelLayout {
    const last = this.#last?.request === request ? this.#last : undefined;
    if (last?.layout !== undefined) return last.layout;
    const made = this.options.layout(request);
    if (made.isForOne) return made;
    const layout = this.#layouts.get(made.key) ?? made;
    if (this.#layouts.size >= LAYOUTS_MAX) this.#layouts.clear();
    this.#layouts.set(layout.key, layout);
    if (last !== undefined) last.layout = layout;
    return layout;
  }

  /** The answer in one piece. */
  whole(said: Gathered, request: Request, exchange: Exchange, stamps: AnswerStamps): Whole {
    const layout = this.layoutOf(request);
    const { labels } = said;
    const { headers, limitFields, tellsProcessing = false } = this.options;
    const frames = this.#laid(
      said,
      labels === undefined ? layout : this.#labelled.of(layout, labels),
    );
    stampWhole(frames, stamps.shared(frames.idCount));
    return {
      kind: "whole",
      status: 200,
      headers: stamped(headers.whole, exchange, tellsProcessing, limitFields?.whole),
      body: frames.bytes,
    };
  }

  #laid(said: Gathered, layout: ModelLayout): Frames {
    const told = this.#told;
    const { choices, usage } = said;
    if (
      told !== undefined && told.choices === choices && told.layout === layout &&
      isSameUsage(told.usage, usage)
    ) return told.frames;
    const frames = layText(layout, (stamps) => layout.whole(said, stamps));
    if (frames.bytes.length <= REMEMBERED_BYTES_MAX) {
      this.#told = { choices, usage, layout, frames };
    }
    return frames;
  }
}

/** A request and its text. */
interface Remembered<Request> {
  readonly text: string;
  readonly request: Request;
  /** undefined = nobody has asked for it yet. */
  layout: ModelLayout | undefined;
}

/** The shared fields with this answer's id: whoever writes the answer takes them at once. */
function stamped(
  shared: HeaderBlock,
  { requestId, limits, keyLimits, engine, startMs }: Exchange,
  tellsProcessing: boolean,
  limitFields: MakeLimitFields | undefined,
): HeaderBlock {
  const block = requestId === "" ? shared : shared.stamp(requestId);
  const note = keyLimits?.note ?? limits;
  const told = note === undefined ? undefined : limitFields?.(note);
  if (!tellsProcessing) return told === undefined ? block : block.plus(told);
  return block.plus({
    [PROCESSING_HEADER]: processingValue(engine.wheel.nowMs - startMs),
    ...told,
  });
}

/** Usage is made anew for each answer, and is nearly always the same. */
function isSameUsage(one: Usage | undefined, other: Usage | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.promptTokens === other.promptTokens &&
    one.completionTokens === other.completionTokens &&
    one.cachedTokens === other.cachedTokens &&
    one.cacheWriteTokens === other.cacheWriteTokens &&
    one.reasoningTokens === other.reasoningTokens &&
    one.promptAudioTokens === other.promptAudioTokens &&
    one.completionAudioTokens === other.completionAudioTokens &&
    one.acceptedPredictionTokens === other.acceptedPredictionTokens &&
    one.rejectedPredictionTokens === other.rejectedPredictionTokens;
}

/** One request. It is parsed when somebody asks for its turn, which no relay does. */
class ModelAsk<Request extends Turn> implements Asking {
  readonly kind = "ask";
  readonly #room: Room<Request>;
  readonly #inbound: Inbound;
  readonly wire: Wire | undefined;
  #request: Request | undefined;
  readonly #isResolved: boolean;
  readonly #kept: KeptAnswer<Request> | undefined;

  /** `resolved`: what is asked, where it is not what came. */
  constructor(room: Room<Request>, inbound: Inbound, exchange: Exchange, resolved?: Request) {
    this.#room = room;
    this.#inbound = inbound;
    this.#request = resolved;
    this.#isResolved = resolved !== undefined;
    const { options } = room;
    this.#kept = this.#keptAnswer();
    this.wire = options.isRelaying && resolved === undefined
      ? {
        dialect: options.dialect,
        method: "POST",
        path: options.path + queryOf(inbound.head.target),
        fields: options.fieldsUp(inbound.head, exchange),
        body: inbound.bytes,
        upload: inbound.upload,
      }
      : undefined;
  }
  get source(): Source {
    return this.#kept ?? this.#room.options.source;
  }

  get keeper(): Keeper | undefined {
    return this.#kept?.keeper(() => this.layout.idLengths.length);
  }

  get manner(): Manner {
    return this.#kept?.manner(this.#room.manner) ?? this.#room.manner;
  }

  get isDraining(): boolean {
    return this.#room.options.isDraining;
  }

  get cutsAfterBlank(): boolean | undefined {
    return this.#room.options.cutsAfterBlank;
  }

  get settlesTokens(): boolean | undefined {
    return this.#room.options.settlesTokens;
  }

  model(): string {
    return this.wire === undefined ? this.#read().model : peekModel(this.wire.body);
  }

  turn(): Turn {
    const request = this.#read();
    if (!this.#isResolved) this.#room.options.past?.checkNone(request);
    return request;
  }

  get isStream(): boolean {
    return this.#read().isStream;
  }

  get layout(): ModelLayout {
    return this.#room.layoutOf(this.#read());
  }

  foretold(): Usage | undefined {
    return this.#room.options.foretold?.(this.#read());
  }

  whole(said: Gathered, exchange: Exchange): Whole {
    const stamps = this.#kept ?? this.#room.options.stamps;
    return this.#room.whole(said, this.#read(), exchange, stamps);
  }

  /** The answer, where it may be kept. */
  #keptAnswer(): KeptAnswer<Request> | undefined {
    const { keeper, isRelaying, source, stamps } = this.#room.options;
    if (keeper === undefined || this.#inbound.upload !== undefined) return undefined;
    const mayKeep = isRelaying && this.#request === undefined
      ? keeper.mayKeep(this.#inbound.bytes)
      : keeper.isKept(this.#read());
    if (!mayKeep) return undefined;
    return new KeptAnswer({
      source,
      stamps,
      keeper,
      request: () => this.#read(),
      text: () => this.#room.sameText(this.#inbound.text),
    });
  }

  #read(): Request {
    return this.#request ??= this.#room.parse(this.#inbound.text);
  }
}
