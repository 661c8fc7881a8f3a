/**
 * One connection of a server: reads requests one after the other, has each answered before the next
 * begins, and ends so that the client gets all of the last answer.
 *
 *   connecting ─▶ idle ─▶ head ─▶ (body) ─▶ answer ─▶ (owed) ─▶ (rest of the body) ─▶ idle …
 *                   │       │                  │
 *                   └───────┴──────────────────┴────▶ lingering ─▶ closed
 *
 * While a request runs its connection is read on, up to 64 KiB: a paused socket does not see that
 * its client leaves (docs/facts/runtime.md "Bun.listen"). One file over 200 lines because the states
 * share the socket.
 *
 * @module
 */

import { Waiting, type WaitingLine } from "../waiting_line.ts";
import { BodyBytes } from "./body_bytes.ts";
import { cut } from "./bytes.ts";
import { Http1Error } from "./error.ts";
import { BodyDecoder } from "./framing.ts";
import type { PartialHead } from "./partial_head.ts";
import { type RequestHead, requestHead, type RequestHeadReader } from "./request_head.ts";
import {
  type ClientListener,
  type CutReason,
  type ExchangeCarrier,
  ServerExchange,
  type Untaken,
} from "./server_exchange.ts";
import type { Unread, UnreadOwner } from "./unread.ts";

/** Answers requests. */
export interface Http1Handler {
  /** A head is here. Answers it, now or later; must not throw. */
  onRequest(exchange: ServerExchange): void;
  /**
   * What came is no request, or took too long. `exchange` has what is known of its head. Must answer,
   * and must not throw.
   */
  onBadRequest(exchange: ServerExchange, error: Http1Error): void;
}

/** How long a connection may stay in a state. */
export interface ConnectionLines {
  /** Until it is open (TLS) and its first head is whole; and from the first byte of each later one. */
  readonly head: WaitingLine;
  /** Between two requests. */
  readonly idle: WaitingLine;
  /** For a further request, behind an answer that began before the server was closing. */
  readonly closing: WaitingLine;
  /** While the client takes nothing of an answer that is whole. */
  readonly write: WaitingLine;
  /** While the rest of what the client sends is thrown away. */
  readonly linger: WaitingLine;
}

/** What a connection needs from its server. */
export interface ConnectionHost {
  readonly handler: Http1Handler;
  readonly lines: ConnectionLines;
  readonly headBytesMax: number;
  /** True when every connection ends behind its next answer. */
  readonly isClosing: boolean;
  /** Seconds since 1970. */
  readonly second: number;
  /** Requests that came in and are not wholly answered. Connections count it. */
  requestsOpen: number;
  /** One for all connections. */
  readonly reader: RequestHeadReader;
  readonly unread: Unread;
  onClosed(connection: ServerConnection): void;
}

/** The socket of a connection. */
export type ServerSocket = Bun.Socket<ServerConnection>;

/** Bytes that wait behind a running request, or for whoever takes its body, before reading stops. */
export const BACKLOG_BYTES_MAX = 65_536;
/** A body whose rest is longer is not read to its end for the sake of the connection. */
const DISCARD_BYTES_MAX = 33_554_432;
/** Bytes that are thrown away of a client that sends on behind its last answer. */
const LINGER_BYTES_MAX = 67_108_864;

/** One connection. */
export class ServerConnection extends Waiting implements ExchangeCarrier, Untaken, UnreadOwner {
  readonly #host: ConnectionHost;
  readonly #socket: ServerSocket;
  /** The line it waits in; null = none. */
  #line: WaitingLine | null = null;
  /** The beginning of a head that comes in pieces; null = none has begun. */
  #partial: PartialHead | null = null;
  /** The request that is answered now. */
  #exchange: ServerExchange | null = null;
  /** Reads the body of the last request; null = it is whole. */
  #decoder: BodyDecoder | null = null;
  /** Bytes behind the running request. */
  #held: Buffer[] | null = null;
  #heldBytes = 0;
  /** What the socket has not taken: each piece a copy of its own. */
  #owed: Buffer[] | null = null;
  #owedBytes = 0;
  /** Waits until an answer that is written is taken. */
  #taker: ClientListener | null = null;
  /** Why weir itself ends the connection. */
  #cutReason: CutReason | undefined = undefined;
  #lingerBytesLeft = 0;
  #isParsing = false;
  /** Bytes that came along behind the request that is handed over right now. */
  #bytesBehind = 0;
  /** Bytes that came after it was seen that the server is closing; -1 = it was not seen yet. */
  #lateBytes = -1;
  #isPaused = false;
  /** True: nothing is read until it closes. */
  #isFrozen = false;
  /** Hears that the connection was used again, which closes it; null = it may be. */
  #onReused: (() => void) | null = null;
  /** True when nothing is answered any more. */
  #isEnding = false;
  #isLingering = false;
  /** True when a server that ends has had nobody to answer, and waits. */
  #isOverdue = false;
  #isClosed = false;
  #hasFin = false;
  #peer: string | undefined = undefined;

  constructor(host: ConnectionHost, socket: ServerSocket) {
    super();
    this.#host = host;
    this.#socket = socket;
    this.#wait(host.lines.head);
  }

  /** True while no request is under way. */
  get isIdle(): boolean {
    return this.#exchange === null && (this.#partial?.length ?? 0) === 0 && this.#owed === null &&
      this.#decoder === null;
  }

  get peer(): string | undefined {
    // Asked for late: 1 µs, and most servers never do.
    return this.#peer ??= this.#socket.remoteAddress;
  }

  get requestsOpen(): number {
    return this.#host.requestsOpen;
  }

  get second(): number {
    return this.#host.second;
  }

  isLastAnswer({ head, isBodyComing }: ServerExchange): boolean {
    if (!head.keepsAlive || this.#isEnding || this.#hasFin) return true;
    if (this.#decoder !== null) {
      // Who was never told to go on may leave its body out: what follows cannot be told from it.
      if (head.expectsContinue && !isBodyComing) return true;
      if (this.#decoder.bytesLeft > DISCARD_BYTES_MAX) return true;
    }
    if (!this.#host.isClosing) return false;
    // What a client had sent behind its request is still answered, and what comes later is not: one
    // that always has requests under way would keep its connection for ever.
    if (this.#lateBytes < 0) this.#lateBytes = 0;
    return this.#bytesBehind + this.#heldBytes <= this.#lateBytes;
  }

  send(bytes: Uint8Array, length: number): boolean {
    if (this.#isClosed) return true;
    let sent = 0;
    if (this.#owed === null) {
      sent = this.#socket.write(bytes, 0, length);
      if (sent === length || sent < 0) return true; // closed: `onClose` says so
    }
    (this.#owed ??= []).push(Buffer.from(bytes.subarray(sent, length))); // a copy
    this.#owedBytes += length - sent;
    this.#host.unread.note(this, this.#owedBytes);
    return false;
  }

  freeze(): void {
    if (this.#isClosed || this.#isFrozen) return;
    this.#isFrozen = true;
    this.#socket.pause();
  }

  closeOnReuse(onReused: () => void): void {
    this.#onReused = onReused;
  }

  onBacklog(): void {
    if (this.#isFrozen) return;
    const backlogBytes = Math.max(this.#heldBytes, this.#exchange?.backlogBytes ?? 0);
    if (backlogBytes > BACKLOG_BYTES_MAX === this.#isPaused || this.#isClosed) return;
    this.#isPaused = !this.#isPaused;
    if (this.#isPaused) this.#socket.pause();
    else this.#socket.resume();
  }

  onAnswered(exchange: ServerExchange, isLast: boolean): Untaken | null {
    if (exchange !== this.#exchange) return null;
    this.#release();
    if (isLast) this.#isEnding = true;
    const isOwing = this.#owed !== null;
    this.#afterAnswer();
    return isOwing ? this : null;
  }

  listenTaken(listener: ClientListener): void {
    if (this.#isClosed) listener.onLeave(this.#cutReason);
    else if (this.#owed === null) listener.onDrain();
    else this.#taker = listener;
  }

  cutUnread(): void {
    this.#cutOff("unread_full");
  }

  cut(isReset: boolean): void {
    if (this.#isClosed) return;
    this.#release();
    this.#isEnding = true;
    if (isReset) this.#socket.terminate();
    else this.#afterAnswer();
  }

  nudge(): boolean {
    const owedBytes = this.#owedBytes;
    // The kernel takes bytes as soon as it has room for one, and tells of room much later: when a third
    // of its buffer is free, which may be a megabyte.
    this.onDrain();
    return !this.#isClosed && this.#owedBytes < owedBytes;
  }

  /**
   * Of the server: ends it now, unless it is in the middle of something, or soon ends by itself. `isFirstToo`:
   * also where no request has come yet.
   */
  closeIdle(isFirstToo: boolean): void {
    const { closing, head } = this.#host.lines;
    if (!this.isIdle || this.#isClosed || this.#line === closing) return;
    if (this.#line !== head || isFirstToo) this.#finish();
  }

  /**
   * Of the server, when nobody is being answered, again and again: from the second time on it ends half a
   * head or the rest of a body, and what waits for its client's end.
   */
  closeUnasked(): void {
    if (this.#isClosed || this.#exchange !== null || this.#owed !== null) return;
    if (!this.#isOverdue) {
      this.#isOverdue = true;
    } else if (this.#isLingering) {
      this.#socket.end();
    } else if (this.#partial !== null || this.#decoder !== null) {
      this.#isOverdue = false;
      this.#finish();
    }
  }

  /** Of the server: ends it at once. What its client has not taken yet is lost. */
  terminate(): void {
    if (!this.#isClosed) this.#socket.terminate();
  }

  /** Of the socket. The bytes are the connection's from now on. */
  onData(bytes: Buffer): void {
    if (this.#lateBytes >= 0) this.#lateBytes += bytes.length;
    if (this.#isLingering) {
      this.#lingerBytesLeft -= bytes.length;
      if (this.#lingerBytesLeft < 0) this.#socket.terminate();
    } else if (this.#held !== null || (this.#owed !== null && this.#decoder === null)) {
      this.#hold(bytes); // A body is no next request: whoever takes it may be what is answered from.
    } else {
      this.#parse(bytes);
    }
  }

  /** Of the socket: it takes bytes again, or something else has happened. */
  onDrain(): void {
    const owed = this.#owed;
    if (owed === null || this.#isClosed) return;
    const before = this.#owedBytes;
    while (owed.length > 0) {
      const piece = owed[0]!;
      const sent = this.#socket.write(piece, 0, piece.length);
      if (sent < 0) return;
      this.#owedBytes -= sent;
      if (sent < piece.length) {
        const rest = piece.subarray(sent);
        // What was taken is let go of, once that is half of it: together one copy of the whole.
        const isMostTaken = rest.length * 2 < piece.buffer.byteLength;
        owed[0] = isMostTaken ? Buffer.from(rest) : rest;
        if (isMostTaken) free(piece);
        break;
      }
      owed.shift();
      free(piece);
    }
    if (owed.length > 0) {
      this.#host.unread.note(this, this.#owedBytes);
      const hasTaken = this.#owedBytes < before;
      if (hasTaken && this.#line === this.#host.lines.write) this.#wait(this.#host.lines.write);
      return;
    }
    this.#owed = null;
    this.#host.unread.note(this, 0);
    if (this.#exchange !== null) return this.#exchange.onDrain();
    const taker = this.#taker;
    this.#taker = null;
    taker?.onDrain();
    this.#afterAnswer();
  }

  /** Of the socket: the client will send nothing more. */
  onFin(): void {
    this.#hasFin = true;
    const exchange = this.#exchange;
    if (this.#isLingering) return void this.#socket.end();
    if (exchange === null) return this.#finish();
    // An answer that needs no waiting may be under way in this very turn; one that needs any has
    // lost its client (docs/proxy.md "A client that leaves").
    setImmediate(() => {
      if (this.#exchange !== exchange) return;
      this.#leave();
      this.#finish();
    });
  }

  /** Of the socket: it is gone. */
  onClose(): void {
    this.#isClosed = true;
    this.#wait(null);
    if (this.#owed !== null) { for (const piece of this.#owed) free(piece); }
    this.#owed = this.#held = this.#partial = null;
    this.#owedBytes = 0;
    this.#host.unread.note(this, 0);
    this.#leave();
    const taker = this.#taker;
    this.#taker = null;
    taker?.onLeave(this.#cutReason);
    this.#host.onClosed(this);
  }

  /** A line's call: the state has lasted too long. */
  override expire(): void {
    const line = this.#line;
    this.#line = null;
    const { lines, reader } = this.#host;
    if (line === lines.idle || line === lines.closing) return this.#finish();
    if (line === lines.write) {
      if (!this.nudge()) this.#cutOff("reader_slow");
      else if (this.#owed !== null) this.#wait(lines.write);
      return;
    }
    const partial = this.#partial;
    if (line !== lines.head || partial === null || partial.length === 0) {
      return this.#socket.terminate();
    }
    reader.partial = partial;
    reader.abandon();
    this.#refuse(new Http1Error("head_slow", "The request's head was not complete in time"));
  }

  /** Reads what is in `bytes`, request by request, as far as they are answered at once. */
  #parse(bytes: Buffer): void {
    this.#isParsing = true;
    let at = 0;
    try {
      while (at < bytes.length && !this.#isEnding && !this.#isClosed) {
        if (this.#decoder !== null) {
          at = this.#readBody(this.#decoder, bytes, at);
        } else if (this.#exchange !== null || this.#owed !== null) {
          this.#hold(cut(bytes, at, bytes.length));
          return;
        } else if (this.#onReused !== null) {
          this.#onReused();
          this.#onReused = null;
          this.#finish();
        } else {
          at = this.#readHead(bytes, at);
        }
      }
    } catch (error) {
      if (!(error instanceof Http1Error)) throw error;
      this.#refuse(error);
    } finally {
      this.#isParsing = false;
    }
    if (this.#exchange !== null) this.onBacklog();
  }

  /** Gives the offset behind what it read. */
  #readHead(bytes: Buffer, at: number): number {
    const { reader, lines } = this.#host;
    reader.partial = this.#partial;
    const head = reader.read(bytes, at);
    this.#partial = reader.partial;
    reader.partial = null;
    if (head !== undefined) return this.#begin(head, bytes, reader.end);
    if (this.#partial !== null && this.#partial.length > 0) {
      if (this.#line !== lines.head) this.#wait(lines.head);
    } else if (this.#line === null) {
      this.#waitForNext(); // Empty lines are no head.
    }
    return bytes.length;
  }

  #begin(head: RequestHead, bytes: Buffer, at: number): number {
    this.#wait(null);
    const { framing, lengthBytes } = head;
    let end = at;
    let body: BodyBytes | null = null;
    if (framing === "length" && bytes.length - at >= lengthBytes) {
      end = at + lengthBytes;
      body = new BodyBytes(bytes, at, end);
    } else if (framing !== "none") {
      this.#decoder = new BodyDecoder("request");
      this.#decoder.begin(framing, lengthBytes, this.#host.headBytesMax);
    }
    const exchange = new ServerExchange(this, head, this.#decoder === null, body);
    this.#exchange = exchange;
    this.#host.requestsOpen++;
    // What came along is read before anybody is asked, so that a whole body needs no waiting.
    if (this.#decoder !== null && end < bytes.length) {
      end = this.#readBody(this.#decoder, bytes, end);
    }
    this.#bytesBehind = bytes.length - end;
    this.#host.handler.onRequest(exchange);
    this.#bytesBehind = 0;
    return end;
  }

  /** What came is no body: nothing behind it can be read. */
  #breakBody(exchange: ServerExchange, error: Http1Error): void {
    this.#decoder = null;
    this.#isEnding = true;
    exchange.breakBody(error);
  }

  #readBody(decoder: BodyDecoder, bytes: Buffer, at: number): number {
    const exchange = this.#exchange;
    let end: number;
    try {
      end = decoder.read(bytes, at, exchange ?? NOBODY);
    } catch (error) {
      if (!(error instanceof Http1Error)) throw error;
      if (exchange === null) this.#finish();
      else this.#breakBody(exchange, error);
      return bytes.length;
    }
    if (!decoder.isDone) return end;
    this.#decoder = null;
    if (exchange !== null) exchange.onBodyEnd();
    else this.#afterAnswer(); // it was thrown away
    return end;
  }

  #hold(bytes: Buffer): void {
    (this.#held ??= []).push(bytes);
    this.#heldBytes += bytes.length;
    this.onBacklog();
  }

  /** Answers what is no request, and ends. */
  #refuse(error: Http1Error): void {
    const { faultMethod, faultTarget } = this.#host.reader;
    this.#partial = null;
    this.#isEnding = true;
    const head = requestHead({ method: faultMethod || "GET", target: faultTarget || "/" });
    const exchange = new ServerExchange(this, head, true, null);
    this.#exchange = exchange;
    this.#host.requestsOpen++;
    this.#wait(null);
    this.#host.handler.onBadRequest(exchange, error);
  }

  /** The answer has ended: what comes next? */
  #afterAnswer(): void {
    if (this.#isClosed || this.#exchange !== null) return;
    const { lines } = this.#host;
    if (this.#owed !== null) {
      if (this.#line !== lines.write) this.#wait(lines.write);
    } else if (this.#isEnding || this.#hasFin) {
      this.#finish();
    } else if (this.#decoder !== null) {
      this.#wait(lines.linger);
      this.onBacklog();
    } else if (this.#held !== null) {
      if (!this.#isParsing) this.#parseHeld();
    } else {
      this.#waitForNext();
    }
  }

  /**
   * Nothing is under way. Where the server is closing and the last answer could not say so, the next
   * request may be on its way: it is answered, as its client could not know whether a close came
   * before it or behind it.
   */
  #waitForNext(): void {
    const { isClosing, lines } = this.#host;
    this.#wait(isClosing ? lines.closing : lines.idle);
  }

  #parseHeld(): void {
    const held = this.#held!;
    this.#held = null;
    this.#heldBytes = 0;
    this.onBacklog();
    this.#parse(held.length === 1 ? held[0]! : Buffer.concat(held));
  }

  /** Ends it behind what is written. What the client still sends must not become a reset. */
  #finish(): void {
    if (this.#isClosed || this.#isLingering) return;
    this.#isEnding = true;
    if (this.#owed !== null) return this.#wait(this.#host.lines.write);
    this.#isLingering = true;
    this.#held = this.#partial = this.#decoder = null;
    this.#heldBytes = 0;
    if (this.#hasFin) return void this.#socket.end();
    this.onBacklog();
    this.#lingerBytesLeft = LINGER_BYTES_MAX;
    this.#wait(this.#host.lines.linger);
    this.#socket.shutdown();
  }

  /** The running request has no client any more. */
  #leave(): void {
    const exchange = this.#exchange;
    if (exchange === null) return;
    this.#release();
    this.#isEnding = true;
    exchange.breakBody(undefined);
    exchange.leave(this.#cutReason);
  }

  /** Ends it at once, and frees what its client has not taken. */
  #cutOff(reason: CutReason): void {
    if (this.#isClosed) return;
    this.#cutReason = reason;
    this.#host.unread.note(this, 0);
    this.#socket.terminate();
  }

  #release(): void {
    if (this.#exchange === null) return;
    this.#exchange = null;
    this.#host.requestsOpen--;
  }

  /** Waits in `line`, and in no other; null = in none. */
  #wait(line: WaitingLine | null): void {
    this.#line?.leave(this);
    this.#line = line;
    line?.join(this);
  }
}

/** Smaller pieces may share their memory with others. */
const OWN_BYTES_MIN = 65_536;

/**
 * Frees the memory of `piece`, a copy that nobody has besides: what many slow clients leave would be
 * far more than its limit until the collector comes by.
 */
function free(piece: Buffer): void {
  if (piece.buffer.byteLength >= OWN_BYTES_MIN) (piece.buffer as ArrayBuffer).transfer(0);
}

const NOBODY = { onBody() {} };
