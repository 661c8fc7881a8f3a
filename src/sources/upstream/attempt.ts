/**
 * One request to an upstream and its answer, which it relays: bytes as they come, within the time
 * limits of each wait.
 *
 * Nothing here is `async` on the way of an answer: each `await` is a promise and a turn of the
 * queue, some 1 % of a proxied request.
 *
 * @module
 */

import type { DialectName, PieceSink, Relay, RelayBody, Usage } from "../../core/answer.ts";
import { AppError } from "../../core/errors.ts";
import type { Call } from "../../core/exchange.ts";
import type { UpstreamCall } from "../../core/upstream_call.ts";
import type { UsageMeter } from "../../core/usage.ts";
import { Abort, type AbortListener } from "../../lib/abort.ts";
import type { BodyReader } from "../../lib/http1/body.ts";
import type { Fields } from "../../lib/http1/fields.ts";
import { PackedBody } from "../usage/packed_body.ts";
import { SaidText } from "../usage/said_text.ts";
import { Deadline } from "./deadline.ts";
import type {
  Transport,
  TransportReceiver,
  TransportRequest,
  TransportResponse,
} from "./transport.ts";
import { ClockedUpload } from "./upload_clock.ts";
import { UsageTail } from "./usage_tail.ts";

/** How long each wait may last, in milliseconds. */
export interface AttemptLimits {
  /** Where the config has them: "llm". */
  readonly section: string;
  readonly headers_timeout_ms: number;
  readonly first_token_timeout_ms: number;
  readonly idle_timeout_ms: number;
  /** 0 or absent = none. */
  readonly whole_timeout_ms?: number;
}

/** Gives the error for a head that must not be passed on; undefined = it is one to pass on. */
export type HeadCheck = (response: TransportResponse) => AppError | undefined;

/** Takes the relay when its head is here, or the error that says why there is none. */
export interface RelayReceiver {
  onAnswer(relay: Relay): void;
  onError(error: unknown): void;
}

/** One request under way, and the body of its answer. Made for it, and `run` once. */
export class Attempt
  implements Relay, RelayBody, TransportReceiver, AbortListener, BodyReader, UsageMeter {
  readonly kind = "relay";
  readonly body: RelayBody = this;
  readonly #limits: AttemptLimits;
  readonly #call: Call;
  readonly #up: UpstreamCall;
  readonly #abort: Abort;
  readonly #deadline: Deadline;
  #usage: UsageTail;
  readonly #dialect: DialectName;
  /** What is said, where it will be counted; undefined = it will not, or all came at once. */
  #said: SaidText | undefined = undefined;
  #wholeBytes: Uint8Array | undefined = undefined;
  /** In place of both, where the body is compressed. */
  #packed: PackedBody | undefined = undefined;
  /** Of all waits together, where there is such a limit. */
  readonly #whole: Deadline | undefined;
  readonly #startMs: number;
  readonly #transport: Transport;
  /** Undefined once it is sent: a stream must not hold the megabytes of its question. */
  #request: TransportRequest | undefined;
  #upload: ClockedUpload | undefined = undefined;
  #response: TransportResponse | undefined = undefined;
  readonly #receiver: RelayReceiver;
  readonly #check: HeadCheck | undefined;
  #sink: PieceSink | undefined = undefined;
  #isPaused = false;
  #isReading = false;
  /** True while pieces are handed on: a sink that resumes there has the next ones anyway. */
  #isPumping = false;
  /** True until the first piece is here. */
  #isFirst = true;
  /** True until the first piece that says something is here. */
  #isMute = true;
  /** True while the clock of a wait runs on, though pieces come that say nothing. */
  #isWaiting = false;

  /** `abort` is the signal of `request`, which is one in `dialect`. */
  constructor(
    request: TransportRequest,
    dialect: DialectName,
    abort: Abort,
    transport: Transport,
    limits: AttemptLimits,
    call: Call,
    up: UpstreamCall,
    receiver: RelayReceiver,
    check: HeadCheck | undefined,
  ) {
    const { wheel } = call.engine;
    this.#request = request;
    this.#usage = new UsageTail(dialect);
    this.#dialect = dialect;
    this.#abort = abort;
    this.#transport = transport;
    this.#limits = limits;
    this.#call = call;
    this.#up = up;
    this.#receiver = receiver;
    this.#check = check;
    this.#startMs = wheel.nowMs;
    this.#deadline = new Deadline(wheel, abort, limits.section);
    const hasWhole = (limits.whole_timeout_ms ?? 0) > 0;
    this.#whole = hasWhole ? new Deadline(wheel, abort, limits.section) : undefined;
  }

  get status(): number {
    return this.#response!.status;
  }

  get fields(): Fields {
    return this.#response!.fields;
  }

  get isUntilClose(): boolean {
    return this.#response!.isUntilClose;
  }

  get told(): Usage | undefined {
    this.#unpack();
    return this.#usage.found;
  }

  get isTold(): boolean {
    this.#unpack();
    return this.#usage.isFinal;
  }

  said(): string {
    this.#unpack();
    if (this.#said !== undefined) return this.#said.text();
    return this.#wholeBytes === undefined ? "" : SaidText.of(this.#dialect, this.#wholeBytes);
  }

  /** Sends the request. */
  run(): void {
    const { signal } = this.#call;
    if (signal.aborted) return this.#receiver.onError(signal.reason);
    signal.addEventListener("abort", this);
    this.#deadline.start("headers", this.#limits.headers_timeout_ms);
    this.#whole?.start("whole", this.#limits.whole_timeout_ms!);
    this.#up.attempt();
    const request = this.#request!;
    this.#request = undefined;
    this.#transport.send(request.upload === undefined ? request : this.#clocked(request), this);
  }

  /** Of the call's signal: nobody wants the answer any more. */
  handleEvent(): void {
    this.#abort.abort(this.#call.signal.reason);
  }

  /** Of the transport: the head is here. */
  onResponse(response: TransportResponse): void {
    // The rest of an upload may still break off, which nothing of the answer would tell.
    if (this.#upload === undefined) this.#call.signal.removeEventListener("abort", this);
    else this.#upload.onAnswered();
    this.#deadline.stop();
    this.#up.head(response.status);
    this.#response = response;
    const error = this.#check?.(response);
    if (error === undefined) {
      if (this.#call.isMetered && response.status < 300) {
        this.#call.meter = this;
        this.#packed = PackedBody.of(response.fields.get("content-encoding"));
      }
      return this.#receiver.onAnswer(this);
    }
    this.#whole?.stop();
    response.cancel();
    this.#receiver.onError(error);
  }

  /** Of the transport: there is no response. */
  onError(error: unknown): void {
    this.#call.signal.removeEventListener("abort", this);
    this.#deadline.stop();
    this.#whole?.stop();
    // Whatever broke, the abort's own reason says why: a time limit, or the client.
    this.#receiver.onError(this.#abort.aborted ? this.#abort.reason : error);
  }

  whole(): Uint8Array | undefined {
    // One that ends with its connection flows: whether it is whole, its stream has to tell.
    const bytes = this.isUntilClose ? undefined : this.#response!.whole();
    if (bytes === undefined) return undefined;
    this.#up.chunkWithHead();
    if (this.#call.meter !== this) this.#packed = undefined;
    if (this.#packed === undefined) this.#usage.feed(bytes);
    else this.#packed.add(bytes);
    this.#noteEnd();
    if (this.#call.meter === this && this.#packed === undefined) this.#wholeBytes = bytes;
    return bytes;
  }

  flow(sink: PieceSink): void {
    this.#sink = sink;
    if (this.#call.meter === this) this.#said = new SaidText(this.#dialect);
    else this.#packed = undefined; // whoever reads the answer counts it
    this.#pump();
  }

  pause(): void {
    this.#isPaused = true;
    this.#isWaiting = false;
    this.#deadline.stop(); // the upstream has all the time
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#isReading) this.#await();
    else if (!this.#isPumping) this.#pump();
  }

  cancel(): void {
    this.#deadline.stop();
    this.#whole?.stop();
    this.#response?.cancel();
    const wasFlowing = this.#sink !== undefined;
    this.#sink = undefined;
    if (!wasFlowing) return;
    this.#noteTold();
    this.#up.end();
  }

  #clocked(request: TransportRequest): TransportRequest {
    const { headers_timeout_ms } = this.#limits;
    this.#upload = new ClockedUpload(request.upload!, this.#deadline, headers_timeout_ms);
    return { ...request, upload: this.#upload };
  }

  /** Moves what is here already; the rest is waited for. */
  #pump(): void {
    this.#isPumping = true;
    try {
      while (this.#sink !== undefined && !this.#isPaused) {
        const piece = this.#response!.next(this);
        if (piece === undefined) {
          this.#isReading = true;
          this.#await();
          return;
        }
        // Most heads bring their first piece along.
        if (this.#isFirst) this.#up.chunkWithHead();
        this.#take(piece);
      }
    } catch (error) {
      this.#break(error);
    } finally {
      this.#isPumping = false;
    }
  }

  /** Of the body: what was waited for. */
  onPiece(piece: Uint8Array | null): void {
    this.#isReading = false;
    this.#isPumping = true;
    this.#take(piece);
    this.#pump();
  }

  /** Of the body: the rest will not come. */
  onBroken(error: unknown): void {
    this.#isReading = false;
    this.#break(error);
  }

  /** The clock of the wait for the next piece starts. */
  #await(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const { first_token_timeout_ms, idle_timeout_ms } = this.#limits;
    if (this.#isMute) this.#deadline.start("first_token", first_token_timeout_ms);
    else this.#deadline.start("idle", idle_timeout_ms);
  }

  #take(piece: Uint8Array | null): void {
    const sink = this.#sink;
    if (sink === undefined) return;
    if (piece === null) {
      this.#sink = undefined;
      this.#noteEnd();
      return sink.onEnd("end");
    }
    this.#isFirst = false;
    this.#up.chunk();
    if (this.#packed === undefined) {
      this.#usage.feed(piece);
      this.#said?.feed(piece);
    } else this.#packed.add(piece);
    const atUs = (this.#call.engine.wheel.nowMs - this.#startMs) * 1000;
    const isMute = sink.onPiece(piece, atUs, this.#response!.isOver);
    if (isMute === false) return;
    this.#isMute = this.#isWaiting = false;
  }

  /** The upstream's body is whole. */
  #noteEnd(): void {
    this.#deadline.stop();
    this.#whole?.stop();
    this.#unpack();
    const usage = this.#usage.read();
    if (usage !== undefined) this.#up.usage(usage);
    this.#up.end();
  }

  /** Looks at what has come of a compressed body. */
  #unpack(): void {
    if (this.#packed === undefined) return;
    const bytes = this.#packed.unpacked();
    this.#usage = new UsageTail(this.#dialect);
    this.#usage.feed(bytes);
    this.#usage.read();
    this.#said = new SaidText(this.#dialect);
    this.#said.feed(bytes);
  }

  /** The rest of the body will not come; what the answer has cost may have been told before. */
  #noteTold(): void {
    if (this.isTold) this.#up.usage(this.#usage.found!);
  }

  #break(error: unknown): void {
    const sink = this.#sink;
    if (sink === undefined) return; // it was cancelled
    this.#sink = undefined;
    this.#deadline.stop();
    this.#whole?.stop();
    const reason: unknown = this.#abort.aborted ? this.#abort.reason : error;
    this.#noteTold();
    this.#up.end(reason);
    this.#response!.cancel();
    sink.onEnd("fin", reason instanceof AppError ? reason : brokenOff(error));
  }
}

/** The error for a body that ends before it is whole. */
export function brokenOff(cause: unknown): AppError {
  return new AppError(
    "upstream_broken",
    "The upstream closed the connection before its answer was complete",
    { cause },
  );
}
