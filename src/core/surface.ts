/**
 * What a surface is: one way in, which understands a request and says what is to be answered. The
 * driver does everything else.
 *
 * @module
 */

import type { RequestHead } from "../lib/http1/request_head.ts";
import type { StreamEnd } from "../lib/sse_tail.ts";
import type { Ask, Source, Usage, Wire } from "./answer.ts";
import type { WholeBody } from "./body.ts";
import type { AppError } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import type { FaultEdits } from "./fault_plan.ts";
import type { Frames, Layout } from "./frames.ts";
import type { Gathered } from "./gathering.ts";
import type { Keeper } from "./keeping.ts";
import type { HeaderFields } from "./response_writer.ts";
import type { AnswerStamps } from "./stamp.ts";
import type { Upload } from "./upload.ts";

/** How late frames left, in milliseconds: an instrument that knows its own error. */
export type RecordLateness = (lateMs: number) => void;

/** A request, let in, with its body. */
export class Inbound {
  readonly head: RequestHead;
  /** What the path's placeholders stand for, decoded: `/v1/models/{id}` gives `id`. */
  readonly params: Readonly<Record<string, string>>;
  /** All of a body that is still coming. Only where the surface takes a "stream". */
  readonly upload: Upload | undefined;
  readonly #body: WholeBody | undefined;
  /** Several ask for them, and each time they may be copied. */
  #bytes: Uint8Array<ArrayBuffer> | undefined;

  /** Without a body where the surface takes none. */
  constructor(
    head: RequestHead,
    params: Readonly<Record<string, string>>,
    body: WholeBody | undefined,
    upload?: Upload,
  ) {
    this.head = head;
    this.params = params;
    this.#body = body;
    this.upload = upload;
  }

  /** The body as UTF-8, without a byte order mark; "" = none. Decoded with each call. */
  get text(): string {
    return this.#body?.text() ?? "";
  }

  /** The body; no bytes = none; its beginning where there is an upload. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes ??= this.#body?.bytes() ?? NO_BYTES;
  }
}

const NO_BYTES = new Uint8Array(0);

/** An answer in one piece. */
export interface Whole {
  readonly kind: "whole";
  readonly status: number;
  readonly headers: HeaderFields;
  readonly body: string | Uint8Array | null;
  /** What it tells of is a failure: how the exchange is counted. */
  readonly failure?: AppError | undefined;
}

/**
 * What was sent of a stream, for an error event that goes on from it: the beginning and the end of
 * its text, each of which may stop anywhere.
 */
export interface SentSoFar {
  readonly first: string;
  readonly last: string;
}

/** How a stream of a dialect breaks off. */
export interface StreamManner {
  /** `error` in the middle of a stream, as whole events; null = the connection is cut. */
  readonly errorEvent: (error: AppError, sent: SentSoFar) => string | null;
  /** How a whole stream of this dialect ends; absent = with `[DONE]`. */
  readonly streamEnd?: StreamEnd;
  /** How its answers have faults on purpose; absent = none that needs its words. */
  readonly faultEdits?: FaultEdits;
}

/** What all answers of a surface have in common: made once. */
export interface Manner extends StreamManner {
  readonly stamps: AnswerStamps;
  /** The headers of a stream, called just before it begins. */
  readonly headers: (exchange: Exchange) => HeaderFields;
  readonly recordLateness: RecordLateness;
}

/** A question for a source, and how its answer is to be said. */
export interface Asking extends Ask {
  readonly kind: "ask";
  readonly source: Source;
  readonly manner: Manner;
  /** Asked for once a script or a live answer is here, as the rest of this. */
  readonly isStream: boolean;
  readonly layout: Layout;
  /** What is known of a live answer's usage before it begins; absent = nothing. */
  foretold?(): Usage | undefined;
  /** The answer in one piece. Only where `isStream` may be false. */
  whole?(said: Gathered, exchange: Exchange): Whole;
  /** Keeps the answer before its end mark leaves. */
  readonly keeper?: Keeper | undefined;
  /** True: the answer is finished although its client has left. */
  readonly isDraining?: boolean;
}

/**
 * A request that is passed to an upstream of its own dialect, and answered with nothing but a
 * relay.
 */
export interface Passing {
  readonly kind: "pass";
  readonly source: Source;
  readonly wire: Wire;
  /** The model that it names; "" = none. */
  readonly model: string;
  readonly manner: StreamManner;
  readonly isDraining?: boolean;
}

/** Frames that no source has a part in. */
export interface FramesOutput {
  readonly kind: "frames";
  readonly frames: Frames;
  readonly manner: Manner;
}

/** Events that are no steps, as they come. The first one begins the response. */
export interface EventsOutput {
  readonly kind: "events";
  /** Each is whole events. Throws an `AppError` when they fail; `return` frees what makes them. */
  readonly events: AsyncIterable<string>;
  readonly headers: HeaderFields;
  readonly errorEvent: (error: AppError) => string | null;
  /** As in `StreamManner`. */
  readonly faultEdits?: FaultEdits;
}

/** What a surface makes of a request. */
export type Output = Asking | Passing | Whole | FramesOutput | EventsOutput;

/** One way in. Neither it nor a source makes a response. */
export interface Surface {
  /** Its name in logs and metrics: "v1_chat_completions". */
  readonly name: string;
  /** What answers, for logs: "mock", "proxy", "workflow"; "" = weir itself. */
  readonly source: string;
  /**
   * What it wants to be read before it is asked. "stream": the body, unless it is large: whoever
   * answers must then pass it on as it comes.
   */
  readonly takes: "nothing" | "body" | "stream";
  /** True: whoever notes what is asked leaves its requests out, as those that ask for the notes. */
  readonly isUnnoted?: true;
  /**
   * Lets a request in, before its body is read.
   *
   * @throws {AppError} when it may not come in (also as a rejection).
   */
  admit?(head: RequestHead, exchange: Exchange): void | Promise<void>;
  /**
   * Understands a request.
   *
   * @throws {AppError} what is wrong with it (also as a rejection).
   */
  answer(inbound: Inbound, exchange: Exchange): Output | Promise<Output>;
  /** The body is larger than `bytesMax` bytes. */
  tooLarge(bytesMax: number): AppError;
  /**
   * `error` as the answer. `asking`: it came from the source that was asked, or from the keeper.
   */
  refuse(error: AppError, exchange: Exchange, asking: Asking | Passing | undefined): Whole;
}
