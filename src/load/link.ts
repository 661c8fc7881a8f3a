/**
 * One connection of a load: it connects, sends one request after the other, and writes down when each
 * byte of the answers came.
 *
 * Leaner than `lib/http1`'s client, which a proxy needs and which does not say when a connection was
 * made or a read came: here a read is one look at the clock and one pass over its bytes.
 *
 * @module
 */

import { closeSync, openSync } from "node:fs";
import { type Asked, faultOf } from "./answer_fault.ts";
import { firstWords } from "./told.ts";
import { EventReader } from "./event_reader.ts";
import type { EventShapes } from "./event_shapes.ts";
import { ReadPace } from "./read_pace.ts";
import type { Phase, Recording } from "./record.ts";
import { REMARK } from "./remarks.ts";
import { type Head, ResponseReader, type ResponseSink } from "./response_reader.ts";
import { codeOf, errorWords } from "./socket_words.ts";
import { isFar, possible } from "./told_usage.ts";

/** Where connections go. */
export interface LinkTarget {
  /** A name or an address; an IPv6 one without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** Undefined = plain TCP. */
  readonly tls?: Bun.TLSOptions | undefined;
}

/** Follows an answer in place of the reader of events, or beside it. */
export interface AnswerFollower {
  /** True: what the events say is read as well, and judged. Else every whole answer is completed. */
  readonly isJudged: boolean;
  /**
   * Bytes came, whatever they are, and have lain there for `lateMs` at most. What they complete is
   * told afterwards.
   */
  read(atMs: number, bytes: number, lateMs: number): void;
  head(head: Head): void;
  /** Bytes `from` to before `to` of `bytes` are the next of the body. */
  data(bytes: Uint8Array, from: number, to: number): void;
  /** The server ended a chunk here. */
  cut(): void;
}

/** What is sent, and what of the answer. */
export interface LinkRequest extends Asked {
  /** Head and body. */
  readonly bytes: Uint8Array;
  /** The client leaves once so many tokens have come; Infinity = never. */
  readonly leaveTokens: number;
  /** Bytes a second that the client reads; Infinity = as they come. */
  readonly readBytesPerSecond: number;
  readonly follower?: AnswerFollower | undefined;
}

/** Whoever keeps links. */
export interface LinkOwner {
  readonly clock: () => number;
  /** Where the answers of one target have their shapes. */
  readonly shapes: EventShapes;
  /** Tokens of a text, for clients that leave in the middle. */
  readonly countTokens: (text: string) => number;
  /** A failure's words as they may be told, whoever chose them. */
  readonly tell: (text: string) => string;
  /**
   * A socket has something: bytes, or its connection. What is done then lies before `onLeave`. Gives
   * for how many milliseconds at most that may have lain there.
   */
  onEnter(nowMs: number): number;
  onLeave(): void;
  /** The request is over, and its record says how. `isFree`: the link takes another one. */
  onOver(link: Link, recording: Recording, isFree: boolean): void;
  /**
   * A kept connection was closed before a byte of the answer, as the server may have meant to anyway:
   * the request is to be sent again on a new one.
   */
  onStale(link: Link, request: LinkRequest, recording: Recording): void;
  /** An idle link was closed by the server. */
  onLost(link: Link): void;
}

/** A timer takes no more: some 24 days. */
const TIMER_MS_MAX = 2 ** 31 - 1;

type State = "new" | "connect" | "tls" | "idle" | "write" | "head" | "body" | "closed";

/** One connection. */
export class Link implements ResponseSink {
  readonly #target: LinkTarget;
  readonly #owner: LinkOwner;
  readonly #responses = new ResponseReader(this);
  readonly #events: EventReader;
  #socket: Bun.Socket<Link> | undefined = undefined;
  #recording: Recording | undefined = undefined;
  #request: LinkRequest | undefined = undefined;
  #state: State = "new";
  #sentBytes = 0;
  /** Its last answer came to an end in the bytes that are read now. */
  #ending: { readonly isWhole: boolean; readonly reason: string } | undefined = undefined;
  #readAtMs = 0;
  /** How long what is read now may have lain there. */
  #lateMs = 0;
  #isReadNoted = false;
  /** When the request was handed to this connection. */
  #beganMs = 0;
  /** A byte of the answer has come. */
  #hasAnswer = false;
  #keepsAlive = false;
  #leaveTokens = 0;
  /** Undefined = it reads what comes. */
  #pace: ReadPace | undefined = undefined;
  #resume: ReturnType<typeof setTimeout> | undefined = undefined;
  #contentType = "";
  #location = "";
  /** How the body is compressed; "" = it is not. */
  #encoding = "";
  /** When the request is given up. Written by its owner. */
  deadlineMs = Infinity;
  /** When it is given up unless its connection is ready by then. Written by its owner. */
  connectDeadlineMs = Infinity;
  /** When it became idle. Written by its owner. */
  idleSinceMs = 0;

  constructor(target: LinkTarget, owner: LinkOwner) {
    this.#target = target;
    this.#owner = owner;
    this.#events = new EventReader(owner.shapes);
  }

  /** True while it takes a request. */
  get isFree(): boolean {
    return this.#state === "idle" || this.#state === "new";
  }

  /** True until its connection is ready. */
  get isConnecting(): boolean {
    return this.#state === "connect" || this.#state === "tls";
  }

  /** Sends a request; opens the connection first, if this is the first one. */
  send(request: LinkRequest, recording: Recording): void {
    this.#recording = recording;
    this.#request = request;
    this.#sentBytes = 0;
    this.#leaveTokens = 0;
    const nowMs = this.#owner.clock();
    // What is sent again was sent before, and the user has waited since then.
    if ((recording.remarks & REMARK.resent) === 0) recording.sentMs = nowMs;
    else recording.resentMs = nowMs;
    this.#beganMs = nowMs;
    this.#hasAnswer = false;
    const { readBytesPerSecond } = request;
    this.#pace = readBytesPerSecond === Infinity
      ? undefined
      : new ReadPace(readBytesPerSecond, nowMs);
    if (this.#state === "idle") {
      this.#responses.reset();
      this.#write();
    } else {
      this.#connect();
    }
  }

  /** Gives the request up: it has failed where it is, or it is `unfinished`. */
  giveUp(text: string, isUnfinished = false): void {
    const recording = this.#recording;
    if (recording === undefined) return;
    if (isUnfinished) this.#over("unfinished", false);
    else this.#fail(this.#phase(), text);
  }

  /** Closes an idle connection. */
  close(): void {
    this.#state = "closed";
    this.#socket?.end();
  }

  #connect(): void {
    const { hostname, port, tls } = this.#target;
    this.#state = "connect";
    const options = { hostname, port, data: this };
    try {
      const opening = tls === undefined
        ? Bun.connect<Link>({ ...options, socket: PLAIN })
        : Bun.connect<Link>({ ...options, tls, socket: SECURE });
      opening.catch(() => {}); // `connectError` has said it.
    } catch (error) {
      this.#fail("connect", (error as Error).message);
    }
  }

  /** Of the socket: TCP is connected. */
  onOpen(socket: Bun.Socket<Link>): void {
    this.#socket = socket;
    if (this.#recording === undefined) return void socket.terminate(); // It was given up.
    socket.setNoDelay(true);
    if (this.#target.tls !== undefined) {
      this.#state = "tls";
      return;
    }
    this.#noteLate(this.#owner.clock());
    this.#ready();
    this.#owner.onLeave();
  }

  /** Of the socket: TLS is ready, or will never be. */
  onHandshake(isTrusted: boolean, error: Error | null): void {
    if (this.#recording === undefined) return;
    if (isTrusted || this.#target.tls?.rejectUnauthorized === false) {
      this.#noteLate(this.#owner.clock());
      this.#ready();
      this.#owner.onLeave();
    } else {
      this.#fail("tls", error?.message ?? "the handshake failed");
    }
  }

  /** The connection has got one step further, and may have waited for us to see it. */
  #noteLate(nowMs: number): void {
    const recording = this.#recording!;
    recording.openLateMs += Math.min(this.#owner.onEnter(nowMs), nowMs - this.#beganMs);
  }

  #ready(): void {
    const recording = this.#recording!;
    recording.connectedMs = this.#owner.clock();
    this.#write();
  }

  #write(): void {
    this.#state = "write";
    const { bytes } = this.#request!;
    while (this.#sentBytes < bytes.length) {
      const sent = this.#socket!.write(bytes, this.#sentBytes, bytes.length - this.#sentBytes);
      if (sent <= 0) return; // `drain` goes on, or `close` says why not.
      this.#sentBytes += sent;
    }
    this.#recording!.writtenMs = this.#readAtMs = this.#owner.clock();
    this.#state = "head";
  }

  onDrain(): void {
    if (this.#state === "write") this.#write();
  }

  /** Of the socket: bytes came. */
  onData(bytes: Uint8Array): void {
    const owner = this.#owner;
    const nowMs = owner.clock();
    // What was there when this socket was read before has been read.
    this.#lateMs = Math.min(owner.onEnter(nowMs), nowMs - this.#readAtMs);
    this.#readAtMs = nowMs;
    this.#read(bytes);
    owner.onLeave();
  }

  #read(bytes: Uint8Array): void {
    const owner = this.#owner;
    this.#isReadNoted = false;
    if (this.#recording === undefined) {
      // Nobody asked.
      if (this.#state === "idle") owner.onLost(this);
      this.#terminate();
      return;
    }
    this.#hasAnswer = true;
    this.#request!.follower?.read(this.#readAtMs, bytes.length, this.#lateMs);
    this.#responses.feed(bytes);
    if (this.#ending !== undefined) return this.#conclude();
    const request = this.#request;
    if (request === undefined) return;
    if (this.#events.isOverfull) return this.#failOf(this.#recording!);
    if (request.leaveTokens !== Infinity && this.#isReadNoted) this.#maybeLeave(this.#recording!);
    if (this.#pace !== undefined) this.#slowDown(bytes.length, this.#pace);
  }

  head(head: Head): void {
    const recording = this.#recording!;
    recording.headMs = this.#readAtMs;
    recording.status = head.status;
    this.#keepsAlive = head.keepsAlive;
    this.#contentType = head.field("content-type").toLowerCase();
    this.#location = head.status < 300 ? "" : head.field("location");
    const encoding = head.field("content-encoding").toLowerCase();
    this.#encoding = encoding === "identity" ? "" : encoding;
    const hasEvents = head.status === 200 && this.#contentType.startsWith("text/event-stream");
    this.#events.begin(recording, hasEvents ? "events" : "whole");
    this.#state = "body";
    this.#request!.follower?.head(head);
  }

  data(bytes: Uint8Array, from: number, to: number): void {
    const recording = this.#recording;
    if (recording === undefined) return;
    const { follower } = this.#request!;
    if (follower !== undefined && recording.status === 200) {
      follower.data(bytes, from, to);
      if (!follower.isJudged) return;
    }
    if (this.#isReadNoted) {
      recording.readBytes[recording.reads - 1]! += to - from;
      recording.bodyBytes += to - from;
    } else {
      this.#isReadNoted = true;
      recording.read(this.#readAtMs, to - from, this.#lateMs);
    }
    // What a socket gives is a Buffer.
    this.#events.data(bytes as Buffer, from, to);
  }

  cut(): void {
    this.#request?.follower?.cut();
  }

  /** What it means is told when all that was read has been looked at: another request may follow. */
  end(isWhole: boolean, reason: string): void {
    this.#ending = { isWhole, reason };
  }

  #conclude(): void {
    const { isWhole, reason } = this.#ending!;
    this.#ending = undefined;
    const recording = this.#recording;
    if (recording === undefined) return;
    if (!isWhole) {
      const told = this.#events.error;
      return this.#fail(this.#phase(), told === "" ? REASONS[reason] ?? reason : told);
    }
    recording.endMs = this.#readAtMs;
    if (recording.status !== 200) return this.#failOf(recording, true);
    const found = this.#request!.follower?.isJudged === false ? undefined : this.#fault(recording);
    if (found !== undefined) return this.#fail(found[0], found[1], true);
    this.#over("completed", true);
  }

  /** The answer says itself that it is none, or it has no end. `isWhole`: it has, and was read. */
  #failOf(recording: Recording, isWhole = false): void {
    if (recording.status !== 200) {
      const where = this.#location === "" ? "" : ` redirects to ${this.#location}`;
      const packed = this.#encoding === "" ? "" : `compressed (${this.#encoding})`;
      return this.#fail("head", where || packed || firstWords(this.#events.heldText()), isWhole);
    }
    const found = this.#fault(recording);
    this.#fail(found?.[0] ?? "body", found?.[1] ?? this.#events.error, isWhole);
  }

  /** What is wrong with an answer of status 200 that came to its end. */
  #fault(recording: Recording): readonly [Phase, string] | undefined {
    if (this.#encoding === "") {
      return faultOf(recording, this.#events, this.#contentType, this.#request!);
    }
    return ["head", `compressed answers are not read: ${this.#encoding}`];
  }

  /** Of the socket: it is gone. */
  onClose(error: Error | undefined): void {
    const state = this.#state;
    if (state === "closed") return;
    if (state === "idle") {
      this.#state = "closed";
      this.#owner.onLost(this);
      return;
    }
    if (this.#recording === undefined) return;
    this.#readAtMs = this.#owner.clock();
    if (state === "connect" || state === "tls") {
      return this.#fail(state, error?.message ?? "the connection was closed at once");
    }
    if (error !== undefined) return this.#lose(errorWords(error));
    if (!this.#hasAnswer) return this.#lose("closed without an answer");
    this.#keepsAlive = false;
    this.#responses.close();
    if (this.#ending !== undefined) this.#conclude();
  }

  onConnectError(error: Error): void {
    if (this.#recording === undefined) return;
    const code = codeOf(error);
    const isName = /^(?:E?DNS|EAI|ENOTFOUND)|getaddrinfo/.test(error.message) ||
      /^(?:DNS|EAI|ENOTFOUND)/.test(code);
    const own = code === "EADDRNOTAVAIL" ? NO_PORT : hasDescriptors() ? undefined : NO_DESCRIPTOR;
    const { hostname, port } = this.#target;
    const where = isName ? "" : ` (${hostname.includes(":") ? `[${hostname}]` : hostname}:${port})`;
    this.#fail(isName ? "dns" : "connect", own ?? `${errorWords(error)}${where}`);
  }

  onError(error: Error): void {
    // A fault of ours must not be told as one of the server's.
    if (!("code" in error)) {
      queueMicrotask(() => {
        throw error;
      });
    }
    if (this.#recording !== undefined) this.#lose(errorWords(error));
  }

  /** The connection is gone in the middle of a request. */
  #lose(text: string): void {
    const recording = this.#recording!;
    const request = this.#request!;
    const wasKept = Number.isNaN(recording.connectedMs) &&
      (this.#state === "write" || this.#state === "head");
    if (!wasKept || this.#hasAnswer || (recording.remarks & REMARK.resent) !== 0) {
      return this.#fail(this.#phase(), text);
    }
    this.#recording = this.#request = undefined;
    recording.remarks |= REMARK.resent;
    recording.writtenMs = NaN;
    this.#terminate();
    this.#owner.onStale(this, request, recording);
  }

  #phase(): Phase {
    switch (this.#state) {
      case "connect":
      case "tls":
      case "write":
      case "head":
      case "body":
        return this.#state;
      default:
        return "connect";
    }
  }

  /** `isWhole`: the answer came to its end, and the connection may be used again. */
  #fail(phase: Phase, text: string, isWhole = false): void {
    const recording = this.#recording;
    if (recording === undefined) return;
    const { status } = recording;
    recording.failure = {
      phase,
      text: this.#owner.tell(text),
      ...(status === 0 ? {} : { status }),
    };
    this.#over("failed", isWhole);
  }

  #maybeLeave(recording: Recording): void {
    const { leaveTokens } = this.#request!;
    const { countTokens } = this.#owner;
    let from = recording.textBytes;
    for (let i = recording.events - 1; i >= 0; i--) {
      if (recording.eventRead[i] !== recording.reads - 1) break;
      const to = from;
      from -= recording.eventTextBytes[i]!;
      if (to > from) this.#leaveTokens += countTokens(latin1(recording.text, from, to));
    }
    if (this.#leaveTokens >= leaveTokens) this.#over("left", false);
  }

  #slowDown(bytes: number, pace: ReadPace): void {
    const waitMs = Math.min(TIMER_MS_MAX, pace.waitMs(this.#readAtMs, bytes));
    const socket = this.#socket!;
    if (waitMs === 0 || this.#state === "closed") return;
    socket.pause();
    clearTimeout(this.#resume);
    this.#resume = setTimeout(() => socket.resume(), waitMs);
  }

  #over(outcome: Recording["outcome"], isWhole: boolean): void {
    const recording = this.#recording!;
    recording.outcome = outcome;
    recording.isWhole = isWhole;
    if (Number.isNaN(recording.endMs)) recording.endMs = this.#owner.clock();
    const { usage } = recording;
    if (usage !== undefined) {
      recording.usage = possible(usage, recording);
      if (outcome === "completed") {
        if (recording.usage !== usage) recording.remarks |= REMARK.oddUsage;
        else if (isFar(usage, recording)) recording.remarks |= REMARK.farUsage;
      }
    }
    this.#recording = undefined;
    this.#request = undefined;
    const isSent = this.#state === "body";
    const isFree = isWhole && isSent && this.#keepsAlive && !this.#responses.hasExcess;
    if (isFree) this.#state = "idle";
    else if (isWhole) this.close();
    else this.#terminate();
    this.#owner.onOver(this, recording, isFree);
  }

  #terminate(): void {
    clearTimeout(this.#resume);
    this.#state = "closed";
    this.#socket?.terminate();
  }
}

/** Failures that are this machine's own. */
export const NO_DESCRIPTOR = "the client has no file descriptor left (ulimit -n)";
export const NO_PORT =
  "the client has no port left for this address (net.ipv4.ip_local_port_range)";

/** Whether one is left: Bun says of a connection that got none that it was refused. */
function hasDescriptors(): boolean {
  try {
    closeSync(openSync(".", "r"));
    return true;
  } catch (error) {
    const { code } = error as { readonly code?: unknown };
    return code !== "EMFILE" && code !== "ENFILE";
  }
}

/** What the reader of responses calls an answer that is not whole, in words of a report. */
const REASONS: Readonly<Record<string, string>> = {
  "no answer": "closed without an answer",
  "broke off": "broke off",
  "bad head": "the answer is no HTTP",
  "oversized head": "the head of the answer is over 64 KiB",
  "oversized line": "a chunk's size or a trailer is over 64 KiB",
  "interim heads": "interim answers, and no other one",
  "switched": "the server wants to speak another protocol (status 101)",
  "bad length": "the content-length is no length, or there are two",
  "bad coding": "the transfer-encoding is not chunked",
};

function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString();
}

const PLAIN: Bun.SocketHandler<Link> = {
  open: (socket) => socket.data.onOpen(socket),
  data: (socket, bytes) => socket.data.onData(bytes),
  drain: (socket) => socket.data.onDrain(),
  close: (socket, error) => socket.data.onClose(error),
  connectError: (socket, error) => socket.data.onConnectError(error),
  error: (socket, error) => socket.data.onError(error),
};

const SECURE: Bun.SocketHandler<Link> = {
  ...PLAIN,
  handshake: (socket, isTrusted, error) => socket.data.onHandshake(isTrusted, error),
};
