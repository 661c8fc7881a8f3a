/**
 * One request on a server's connection, and its answer: the body as it comes in, and the bytes that
 * go out, each framed as the client understands it.
 *
 * @module
 */

import { BodyBytes } from "./body_bytes.ts";
import type { Http1Error } from "./error.ts";
import { HeaderBlock, type HeaderFields, linesOf } from "./header_block.ts";
import { type RequestHead, requestHead } from "./request_head.ts";
import { type ResponseFraming, Scratch } from "./response_head.ts";

/** How an answer ends: whole, by a close that shows it is not, or by a reset. */
export type ResponseEnding = "end" | "fin" | "reset";

/** Why a client was cut off: it took nothing for too long, or too much waits in the process. */
export type CutReason = "reader_slow" | "unread_full";

/** Hears of the client that an answer is written for. */
export interface ClientListener {
  /** The client takes bytes again, after a write that said false. */
  onDrain(): void;
  /**
   * The client has left, was cut off for `reason`, or has all that a "fault" lets it have: nothing can
   * be written any more. Called once, at any time.
   */
  onLeave(reason?: CutReason | "fault"): void;
}

/** An answer that is written to its end, of which the client has not taken all. */
export interface Untaken {
  /** `listener` hears once: `onDrain` when the client has taken all, `onLeave` when it will not. */
  listenTaken(listener: ClientListener): void;
}

/** Takes the body of a request as it comes. */
export interface BodySink {
  onBytes(bytes: Buffer): void;
  onBodyEnd(): void;
  /** The rest will not come: the client has left, or `error` says what is wrong with the bytes. */
  onBodyBroken(error: Http1Error | undefined): void;
}

/** What an exchange asks of its connection. */
export interface ExchangeCarrier {
  /** The address of the peer; undefined on a socket file, or once it has gone. */
  readonly peer: string | undefined;
  /** Requests of the whole server that are not answered yet. */
  readonly requestsOpen: number;
  /** Seconds since 1970. */
  readonly second: number;
  /** True when the connection ends behind this answer, whatever the answer says. */
  isLastAnswer(exchange: ServerExchange): boolean;
  /** Takes `length` bytes, copied or sent. False: the client is slow. */
  send(bytes: Uint8Array, length: number): boolean;
  /** Tries again what the client has not taken. True = it has taken something since. */
  nudge(): boolean;
  /** How much is read follows from what waits for a reader. */
  onBacklog(): void;
  /** The answer has ended. `isLast`: the connection ends with it. Null = the client has all of it. */
  onAnswered(exchange: ServerExchange, isLast: boolean): Untaken | null;
  /** Ends the connection at once; `isReset` throws away what the client has not got yet. */
  cut(isReset: boolean): void;
  /** Nothing is read any more: not even that the client leaves is noticed. */
  freeze(): void;
  /** The first byte behind this answer closes the connection, and `onReused` hears of it. */
  closeOnReuse(onReused: () => void): void;
}

/** What is sent to a client that waits to be told to go on (RFC 9110 section 10.1.1). */
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n");

/** A body up to this many bytes is copied behind its head, so that both leave in one write. */
const COPIED_BYTES_MAX = 65_536;

const scratch = new Scratch();

/** One request and its answer. Made by a connection, used up by one answer. */
export class ServerExchange {
  #head: RequestHead;
  #carrier: ExchangeCarrier | null;
  #listener: ClientListener | null = null;
  #readers: Buffer | null = null;
  /** Undefined = the answer has not begun. */
  #framing: ResponseFraming | undefined = undefined;
  /**
   * The length that the head tells, whatever comes; null = the true one. SEALED = HTTP's end was sent, and
   * the answer has not ended. One field for both: exchanges are made for each request.
   */
  #oddBytes: number | null = null;
  /** What the head tells besides. */
  #also = "";
  #isLast = false;
  /** The body, once all of it is here and nobody has taken it. */
  #whole: BodyBytes | null = null;
  /** What is here of a body while nobody takes it. */
  #pieces: Buffer[] | null = null;
  #backlogBytes = 0;
  #sink: BodySink | null = null;
  #isBodyPaused = false;
  #isDelivering = false;
  #isBodyDropped = false;
  /** True once the client has left before the answer was whole. */
  #hasLeft = false;
  #isBodyWhole: boolean;
  #isBodyBroken = false;
  /** What is wrong with a broken body; undefined = its client has left. */
  #fault: Http1Error | undefined = undefined;
  #hasAskedForBody = false;

  /** `isBodyWhole`: there is none, or `body` is all of it. */
  constructor(
    carrier: ExchangeCarrier,
    head: RequestHead,
    isBodyWhole: boolean,
    body: BodyBytes | null,
  ) {
    this.#head = head;
    this.#carrier = carrier;
    this.#isBodyWhole = isBodyWhole;
    this.#whole = body;
  }

  /** What is asked. Nothing of it is left once a stream has begun, which would hold its packet. */
  get head(): RequestHead {
    return this.#head;
  }

  /** The address of the peer; undefined on a socket file, or once it has gone. */
  get peer(): string | undefined {
    return this.#carrier?.peer;
  }

  /** Requests of the whole server that are not answered yet, this one with them. */
  get requestsOpen(): number {
    return this.#carrier?.requestsOpen ?? 0;
  }

  /** Bytes of the body as its head tells; undefined = it comes in chunks. */
  get bodyLengthBytes(): number | undefined {
    return this.head.framing === "chunked" ? undefined : this.head.lengthBytes;
  }

  /** True when all of the body has come. */
  get isBodyWhole(): boolean {
    return this.#isBodyWhole;
  }

  /** True when the client sends its body, or was told to. */
  get isBodyComing(): boolean {
    return this.#hasAskedForBody || this.#pieces !== null;
  }

  /** Bytes of the body that wait for somebody to take them. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** The whole body when it is here already, else undefined. Counts as taking it. */
  wholeBody(): BodyBytes | undefined {
    if (!this.#isBodyWhole) return undefined;
    const whole = this.#whole ?? joined(this.#pieces ?? []);
    this.#whole = this.#pieces = null;
    this.#backlogBytes = 0;
    return whole;
  }

  /** Hands the body to `sink` as it comes, what is here at once. Called once. */
  flowBody(sink: BodySink): void {
    if (this.#isBodyBroken) return sink.onBodyBroken(this.#fault);
    this.#sink = sink;
    if (!this.#isBodyWhole && !this.#hasAskedForBody && this.#pieces === null) {
      this.#hasAskedForBody = true;
      if (this.head.expectsContinue && this.#framing === undefined) {
        this.#carrier?.send(CONTINUE, CONTINUE.length);
      }
    }
    this.#deliver();
  }

  /** No bytes are handed on until `resumeBody`. */
  pauseBody(): void {
    this.#isBodyPaused = true;
  }

  resumeBody(): void {
    if (!this.#isBodyPaused) return;
    this.#isBodyPaused = false;
    this.#deliver();
  }

  /** Nobody wants the rest of the body. */
  dropBody(): void {
    this.#sink = null;
    this.#pieces = this.#whole = null;
    this.#backlogBytes = 0;
    this.#isBodyPaused = false;
    this.#isBodyDropped = true;
    this.#carrier?.onBacklog();
  }

  /** Nobody wants the rest of the body, nor what is behind it: the connection ends with the answer. */
  refuseBody(): void {
    this.#isLast = true;
    this.dropBody();
  }

  /** False: the connection ends with this answer anyway. */
  get isKept(): boolean {
    return this.#carrier !== null && !this.#isLast && !this.#carrier.isLastAnswer(this);
  }

  /** Before the answer begins: the connection ends with it, and its head says so. */
  closeBehind(): void {
    this.#isLast = true;
  }

  /**
   * Before the answer begins: its head tells `fields`, too, with names in small letters.
   *
   * @throws {TypeError} when a value cannot stand in a head as it is.
   */
  tellAlso(fields: Readonly<Record<string, string>>): void {
    this.#also += linesOf(fields);
  }

  /** Before `begin`: the head tells a body of `bytes`, whatever comes. */
  tellLength(bytes: number): void {
    this.#oddBytes = bytes;
  }

  /** HTTP's end leaves now, and the answer ends with `end`, later. */
  seal(): void {
    if (this.#carrier === null || this.#oddBytes === SEALED) return;
    this.#oddBytes = SEALED;
    if (this.#framing !== "chunked") return;
    scratch.reset(0);
    scratch.lastChunk();
    this.#carrier.send(scratch.bytes, scratch.length);
  }

  /** Nothing is read of the client any more: not even that it leaves is noticed. */
  freeze(): void {
    this.#carrier?.freeze();
  }

  /** The connection closes at the first byte behind this answer, and `onReused` hears of it. */
  closeOnReuse(onReused: () => void): void {
    this.#carrier?.closeOnReuse(onReused);
  }

  /** `lines` say which pages may read the answer, whatever its fields say of that. */
  limitReaders(lines: Buffer): void {
    this.#readers = lines;
  }

  /** `listener` hears of the client from now on. */
  listen(listener: ClientListener): void {
    if (this.#hasLeft) listener.onLeave();
    else this.#listener = listener;
  }

  /**
   * The whole answer. Everything is copied before this returns. Null = the client has it.
   *
   * @throws {TypeError} when a field cannot stand in a head.
   */
  whole(
    status: number,
    fields: HeaderFields,
    body: Uint8Array | string | null,
  ): Untaken | null {
    const carrier = this.#carrier;
    if (carrier === null || this.#framing !== undefined) return null;
    const isBodiless = status === 204 || status === 304;
    const bytes = isBodiless || body === null ? NO_BYTES : body;
    const length = typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;
    this.#writeHead(status, fields, isBodiless ? "none" : length, length);
    if (length === 0 || this.head.method === "HEAD") {
      carrier.send(scratch.bytes, scratch.length);
    } else if (length <= COPIED_BYTES_MAX) {
      scratch.raw(bytes);
      carrier.send(scratch.bytes, scratch.length);
    } else {
      carrier.send(scratch.bytes, scratch.length);
      carrier.send(typeof bytes === "string" ? Buffer.from(bytes) : bytes, length);
    }
    return this.#end();
  }

  /**
   * The head and the first bytes, in one packet; both are taken before this returns. `listener`
   * hears of the client from now on. False: the client is slow.
   *
   * @throws {TypeError} when a field cannot stand in a head.
   */
  begin(
    status: number,
    fields: HeaderFields,
    first: Uint8Array | string,
    listener: ClientListener,
  ): boolean {
    const carrier = this.#carrier;
    if (this.#hasLeft) {
      queueMicrotask(() => listener.onLeave());
      return true;
    }
    if (carrier === null || this.#framing !== undefined) return true;
    this.#listener = listener;
    const { isHttp10, method } = this.head;
    const length = typeof first === "string" ? Buffer.byteLength(first) : first.length;
    const isCopied = length <= COPIED_BYTES_MAX;
    const framing = this.#oddBytes ?? (isHttp10 ? "close" : "chunked");
    this.#writeHead(status, fields, framing, isCopied ? length : 0);
    if (method === "HEAD") {
      carrier.send(scratch.bytes, scratch.length);
      this.#end();
      // Its client has all that it asked for: nobody need go on.
      queueMicrotask(() => listener.onLeave());
      return true;
    }
    this.#head = NO_HEAD;
    if (length > 0 && isCopied) this.#frame(first, length);
    const isTaken = carrier.send(scratch.bytes, scratch.length);
    return isCopied ? isTaken : this.write(first);
  }

  /** Bytes of the body, taken before this returns. False: the client is slow. */
  write(bytes: Uint8Array | string): boolean {
    const carrier = this.#carrier;
    if (carrier === null) return true;
    const length = typeof bytes === "string" ? Buffer.byteLength(bytes) : bytes.length;
    if (length === 0) return true; // an empty chunk would be the end
    if (length <= COPIED_BYTES_MAX) {
      scratch.reset(length);
      this.#frame(bytes, length);
      return carrier.send(scratch.bytes, scratch.length);
    }
    const large = typeof bytes === "string" ? Buffer.from(bytes) : bytes;
    if (this.#framing !== "chunked") return carrier.send(large, length);
    scratch.reset(0);
    scratch.chunkHead(length);
    carrier.send(scratch.bytes, scratch.length);
    carrier.send(large, length);
    scratch.reset(0);
    scratch.chunkEnd();
    return carrier.send(scratch.bytes, scratch.length);
  }

  /** Where the next `byteLength` bytes of the body go in `room`, until `commit` writes them. */
  reserve(byteLength: number): number {
    scratch.reset(byteLength);
    if (this.#framing === "chunked") scratch.chunkHead(byteLength);
    return scratch.length;
  }

  /** Shared by all exchanges: to be filled in at once. */
  get room(): Uint8Array {
    return scratch.bytes;
  }

  /** Writes what was filled in. False: the client is slow. */
  commit(byteLength: number): boolean {
    const carrier = this.#carrier;
    if (carrier === null) return true;
    scratch.length += byteLength;
    if (this.#framing === "chunked") scratch.chunkEnd();
    return carrier.send(scratch.bytes, scratch.length);
  }

  /** Tries again what the client has not taken. True = it has taken something since. */
  nudge(): boolean {
    return this.#carrier?.nudge() ?? false;
  }

  /**
   * Ends the answer; `last` are its last bytes, which leave in one packet with the end. Null = the
   * client has all of it, or never will.
   */
  end(ending: ResponseEnding, last?: Uint8Array | string): Untaken | null {
    const carrier = this.#carrier;
    if (carrier === null) return null;
    if (ending !== "end") {
      if (last !== undefined) this.write(last);
      // Where the end of the connection is the end of the body, a close would look whole.
      const isReset = ending === "reset" || this.#framing === "close";
      this.#finish();
      carrier.cut(isReset);
      return null;
    }
    const length = last === undefined
      ? 0
      : typeof last === "string"
      ? Buffer.byteLength(last)
      : last.length;
    const isCopied = length <= COPIED_BYTES_MAX;
    if (!isCopied) this.write(last!);
    scratch.reset(isCopied ? length : 0);
    if (isCopied && length > 0) this.#frame(last!, length);
    if (this.#framing === "chunked" && this.#oddBytes !== SEALED) scratch.lastChunk();
    if (scratch.length > 0) carrier.send(scratch.bytes, scratch.length);
    return this.#end();
  }

  /** Of the connection: bytes of the body. */
  onBody(bytes: Buffer): void {
    if (this.#sink !== null && !this.#isBodyPaused && this.#pieces === null) {
      return this.#sink.onBytes(bytes);
    }
    if (this.#carrier === null || this.#isBodyDropped) return; // nobody wants them
    (this.#pieces ??= []).push(bytes);
    this.#backlogBytes += bytes.length;
  }

  /** Of the connection: the body is whole. */
  onBodyEnd(): void {
    this.#isBodyWhole = true;
    this.#deliver();
  }

  /** Of the connection: the rest of the body will not come. */
  breakBody(error: Http1Error | undefined): void {
    const sink = this.#sink;
    this.#isBodyBroken = true;
    this.#fault = error;
    this.#sink = null;
    sink?.onBodyBroken(error);
  }

  /** Of the connection: the client takes bytes again. */
  onDrain(): void {
    this.#listener?.onDrain();
  }

  /** Of the connection: the client has left, or was cut off for `reason`. */
  leave(reason?: CutReason): void {
    this.#hasLeft = true;
    this.#carrier = null;
    const listener = this.#listener;
    this.#listener = null;
    listener?.onLeave(reason);
  }

  /** True once something of the answer was sent. */
  get hasBegun(): boolean {
    return this.#framing !== undefined;
  }

  #deliver(): void {
    const sink = this.#sink;
    // A sink that resumes while it is handed something gets the rest behind that.
    if (sink === null || this.#isBodyPaused || this.#isDelivering) return;
    const pieces = this.#whole !== null ? [Buffer.from(this.#whole.bytes())] : this.#pieces ?? [];
    this.#whole = this.#pieces = null;
    this.#backlogBytes = 0;
    this.#isDelivering = true;
    for (const [i, piece] of pieces.entries()) {
      if (this.#sink !== sink) break;
      if (this.#isBodyPaused) {
        this.#pieces = pieces.slice(i);
        this.#backlogBytes = this.#pieces.reduce((sum, { length }) => sum + length, 0);
        break;
      }
      if (piece.length > 0) sink.onBytes(piece);
    }
    this.#isDelivering = false;
    if (this.#sink !== sink) return;
    if (this.#isBodyWhole && !this.#isBodyPaused) {
      this.#sink = null;
      sink.onBodyEnd();
    }
    this.#carrier?.onBacklog();
  }

  /** Writes the head into the scratch buffer, with room for `bytes` of a body. */
  #writeHead(status: number, fields: HeaderFields, framing: ResponseFraming, bytes: number): void {
    const carrier = this.#carrier!;
    const { isHttp10 } = this.head;
    // What cannot be said is refused before anything is written.
    const lines = fields instanceof HeaderBlock ? fields : HeaderBlock.of(fields);
    const also = this.#also;
    const wish = lines.connection;
    this.#isLast ||= wish === "close" || framing === "close" || carrier.isLastAnswer(this);
    this.#framing = framing;
    const connection = this.#isLast ? "close" : isHttp10 ? "keep-alive" : wish;
    const readers = this.#readers;
    const alsoBytes = also.length + (readers?.length ?? 0);
    scratch.reset(lines.length + alsoBytes + Math.min(bytes, COPIED_BYTES_MAX));
    scratch.head(status, lines, framing, connection, carrier.second, readers, also);
  }

  #frame(bytes: Uint8Array | string, length: number): void {
    if (this.#framing !== "chunked") return scratch.raw(bytes);
    scratch.chunkHead(length);
    scratch.raw(bytes);
    scratch.chunkEnd();
  }

  #end(): Untaken | null {
    const carrier = this.#carrier!;
    this.#finish();
    return carrier.onAnswered(this, this.#isLast);
  }

  /** Nothing more is written, and nobody hears of the client. */
  #finish(): void {
    this.#carrier = null;
    this.#listener = null;
    this.#pieces = this.#whole = null;
    this.#backlogBytes = 0;
  }
}

const NO_BYTES = Buffer.alloc(0);
const SEALED = -1;
const NO_HEAD = requestHead();

function joined(pieces: readonly Buffer[]): BodyBytes {
  const whole = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
  return new BodyBytes(whole, 0, whole.length);
}
