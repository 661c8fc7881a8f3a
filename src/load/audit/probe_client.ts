/**
 * The client of an audit: one request on a plain socket, and when each byte of the answer came. It
 * can stop reading, and leave with a FIN or an RST whenever it wants.
 *
 * @module
 */

import {
  brotliDecompressSync,
  constants,
  gunzipSync,
  inflateSync,
  type ZlibOptions,
} from "node:zlib";
import type { ResponseHead } from "../../lib/http1/head.ts";
import { ResponseParser } from "../../lib/http1/parser.ts";
import { type SseEvent, SseParser } from "../../lib/sse.ts";
import { headFields } from "./head_fields.ts";

/** Until a connection is there, TLS with it. */
const CONNECT_MS_MAX = 10_000;
/** Of an answer that is kept. */
const KEPT_BYTES_MAX = 32 * 1024 * 1024;
/** Of one event. */
const EVENT_BYTES_MAX = 32 * 1024 * 1024;

/** Whom a client asks. */
export interface Target {
  readonly hostname: string;
  readonly port: number;
  readonly isTls: boolean;
  /** True: whatever certificate it shows is good enough. */
  readonly isInsecure?: boolean;
  /** Path and query. */
  readonly path: string;
  /** Headers of every request. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** What came in one read. */
export interface WireRead {
  readonly atMs: number;
  /** Bytes as they came off the socket, framing and head included. */
  readonly bytes: Buffer;
  /** What of it belongs to the body. */
  readonly body: Buffer;
}

/**
 * How an answer ended. `whole`: as HTTP says it is whole. `early`: the connection was closed before
 * that. `reset`: it was reset. `broken`: what came is no HTTP. `left`: this client left.
 */
export type AnswerEnd = "whole" | "early" | "reset" | "broken" | "left";

/** The same in words. */
export const END_TEXTS: Readonly<Record<AnswerEnd, string>> = {
  whole: "the answer ended whole",
  early: "the answer ended early",
  reset: "the answer ended with a reset",
  broken: "the answer is no HTTP",
  left: "the answer had not ended when the client left",
};

/** What of a body came in one read, decoded where the answer is encoded. */
export interface BodyRead {
  readonly atMs: number;
  readonly body: Buffer;
}

/** Undoes a content coding, as far as its bytes have come. */
const DECODERS: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gunzipSync(bytes, PARTIAL),
  deflate: (bytes) => inflateSync(bytes, PARTIAL),
  br: (bytes) => brotliDecompressSync(bytes, { finishFlush: constants.BROTLI_OPERATION_FLUSH }),
};
/** The codings that a client may ask for here. */
export const DECODED: readonly string[] = [...Object.keys(DECODERS), "identity"];

/** The codings that a value of `accept-encoding` asks for, in lower case. */
export function codingsOf(value: string): readonly string[] {
  return value.toLowerCase().split(",").flatMap((item) => {
    const [coding = "", ...parameters] = item.split(";").map((part) => part.trim());
    const isRefused = parameters.some((part) => /^q\s*=\s*0(?:\.0*)?$/.test(part));
    return coding === "" || isRefused ? [] : [coding];
  });
}

const PARTIAL: ZlibOptions = { finishFlush: constants.Z_SYNC_FLUSH };

/** A head that another one follows. */
const INTERIM = /^HTTP\/1\.\d 1(?!01)\d\d\b/;

/** An event, and the read that completed it. */
export interface TimedEvent extends SseEvent {
  readonly atMs: number;
  /** The number of the read. */
  readonly read: number;
}

/** One request and its answer. */
export class ClientExchange {
  readonly sentMs: number;
  /** The head of the request as it was sent, without the empty line. */
  readonly sentHead: string;
  readonly reads: WireRead[] = [];
  head: ResponseHead | undefined;
  headMs: number | undefined;
  end: AnswerEnd | undefined;
  endMs: number | undefined;
  /** What is broken, when it is. */
  fault = "";
  /** Bytes of the body, kept or not. */
  bodyBytes = 0;
  /** Called for what comes of the body, kept or not. */
  onPiece: (body: Buffer) => void = () => {};
  readonly #isKept: boolean;
  #decoded: readonly BodyRead[] = [];
  readonly #ended = Promise.withResolvers<void>();
  readonly #onBody: (() => void)[] = [];

  /** `isKept`: the reads are kept; else only their number of bytes, and all of an error. */
  constructor(sentMs: number, sentHead: string, isKept: boolean) {
    this.sentMs = sentMs;
    this.sentHead = sentHead;
    this.#isKept = isKept;
  }

  /** Settles when the answer has ended, however. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** The status, or 0 when there was none. */
  get status(): number {
    return this.head?.status ?? 0;
  }

  /** The value of the answer's header `name`; undefined = it has none. */
  field(name: string): string | undefined {
    return [...this.head?.fields ?? []].find(([key]) => key.toLowerCase() === name)?.[1];
  }

  /** The coding of the body, "gzip"; undefined = it is as it is. */
  get encoding(): string | undefined {
    const coding = this.field("content-encoding")?.toLowerCase();
    return coding === "identity" ? undefined : coding;
  }

  /** True when the client has asked for the body's coding, or there is none. */
  get isEncodingAsked(): boolean {
    const asked = headFields(this.sentHead).filter(([name]) => name === "accept-encoding");
    return this.encoding === undefined ||
      asked.some(([, value]) => codingsOf(value).includes(this.encoding!));
  }

  /** The body as far as it came, decoded. */
  get body(): Buffer {
    return Buffer.concat(this.bodies().map(({ body }) => body));
  }

  /** What of the body came in each read, decoded where that can be done. */
  bodies(): readonly BodyRead[] {
    const decode = DECODERS[this.encoding ?? ""];
    if (decode === undefined) return this.reads;
    if (this.#decoded.length === this.reads.length) return this.#decoded;
    let came: Buffer = Buffer.alloc(0);
    let length = 0;
    this.#decoded = this.reads.map(({ atMs, body }) => {
      came = Buffer.concat([came, body]);
      const whole = decoded(decode, came);
      const piece = whole.subarray(length);
      length = Math.max(length, whole.length);
      return { atMs, body: piece };
    });
    return this.#decoded;
  }

  /** All that came, as text of one character a byte. */
  get wireText(): string {
    return Buffer.concat(this.reads.map(({ bytes }) => bytes)).toString("latin1");
  }

  /** The final head as far as it came, without the empty line. */
  get headText(): string {
    return this.#heads.at(-1)!;
  }

  /** All heads as they came, those of status 1xx before the final one: what none of them may hold. */
  get headsText(): string {
    return this.#heads.join("\r\n\r\n");
  }

  /** The last one is the final one, which may be empty. */
  get #heads(): readonly string[] {
    const heads: string[] = [];
    let rest = this.wireText;
    for (;;) {
      const end = rest.indexOf("\r\n\r\n");
      const head = end < 0 ? rest : rest.slice(0, end);
      heads.push(head);
      if (end < 0 || !INTERIM.test(head)) return heads;
      rest = rest.slice(end + 4);
    }
  }

  /** The events that came, each with the read that completed it. */
  events(): readonly TimedEvent[] {
    const parser = new SseParser(EVENT_BYTES_MAX);
    return this.bodies().flatMap(({ atMs, body }, read) =>
      parser.feed(body).map((event) => ({ ...event, atMs, read }))
    );
  }

  /** Settles with true once the body has `bytes`, and with false when it has ended before. */
  async hasBody(bytes: number): Promise<boolean> {
    while (this.bodyBytes < bytes && this.end === undefined) {
      const more = Promise.withResolvers<void>();
      this.#onBody.push(more.resolve);
      await Promise.race([more.promise, this.ended]);
    }
    return this.bodyBytes >= bytes;
  }

  /** Something was read. */
  read(read: WireRead): void {
    this.bodyBytes += read.body.length;
    this.onPiece(read.body);
    // Until its head is whole nobody knows whether it is an error.
    const isKept = this.#isKept || this.head === undefined || this.status >= 400;
    if (!isKept) this.reads.length = 0;
    else if (this.bodyBytes <= KEPT_BYTES_MAX) this.reads.push(read);
    for (const wake of this.#onBody.splice(0)) wake();
  }

  /** It is over. */
  finish(end: AnswerEnd, fault = ""): void {
    if (this.end !== undefined) return;
    this.end = end;
    this.fault = fault;
    this.endMs = performance.now();
    this.#ended.resolve();
  }
}

/** Nothing, while the coding's own head is not whole. */
function decoded(decode: (bytes: Buffer) => Buffer, bytes: Buffer): Buffer {
  try {
    return decode(bytes);
  } catch {
    return Buffer.alloc(0);
  }
}

/**
 * Why there is no connection. `nobody`: none could be opened. `plain`: what listens answers a TLS
 * handshake with what is no TLS. `handshake`: that did not succeed otherwise. `distrusted`: its
 * certificate is not trusted.
 */
export type ConnectFault = "nobody" | "plain" | "handshake" | "distrusted";

/** The ends of a connection, "127.0.0.1 80" each: whoever made it has them the other way round. */
export interface ConnectionEnds {
  readonly own: string;
  readonly other: string;
}

/** Both ends of an open socket; what IPv6 says of IPv4 is IPv4. */
export function endsOf(
  { localAddress, localPort, remoteAddress, remotePort }: Readonly<
    Record<"localAddress" | "remoteAddress", string> & Record<"localPort" | "remotePort", number>
  >,
): ConnectionEnds {
  const end = (host: string, port: number) => `${host.replace(/^::ffff:/i, "")} ${port}`;
  return { own: end(localAddress, localPort), other: end(remoteAddress, remotePort) };
}

/** A connection cannot be opened. The message says why. */
export class CannotConnect extends Error {
  override readonly name = "CannotConnect";
  readonly fault: ConnectFault;

  constructor(message: string, fault: ConnectFault = "nobody") {
    super(message);
    this.fault = fault;
  }
}

/** Codes of a handshake that did not succeed: every other one is a certificate's. */
const HANDSHAKE_CODES: readonly (string | undefined)[] = ["EPROTO", "ECONNRESET", undefined];

/** What is wrong with a handshake. A certificate's fault is told by its code, "CERT_HAS_EXPIRED". */
function handshakeFault(isDone: boolean, error: Error | null): CannotConnect | undefined {
  if (isDone && error === null) return undefined;
  const { code, message = "the connection was closed in it" } = (error ?? {}) as {
    readonly code?: string;
    readonly message?: string;
  };
  // Whether it was done says nothing: a certificate that is not trusted may end it.
  if (!HANDSHAKE_CODES.includes(code)) return new CannotConnect(code!, "distrusted");
  return new CannotConnect(message, /WRONG_VERSION_NUMBER/.test(message) ? "plain" : "handshake");
}

/** One connection of the client. */
export class ClientConnection {
  readonly target: Target;
  #socket: Bun.Socket<undefined> | undefined;
  #current: ClientExchange | undefined;
  #unsent: Uint8Array = new Uint8Array(0);
  #body: Buffer[] = [];
  /** True when nothing can be asked any more. */
  isClosed = false;
  /** Called once the socket is closed, by whomever. */
  onClosed: (wasReset: boolean) => void = () => {};
  /** Its ends, the client's own first. */
  ends: ConnectionEnds | undefined;
  readonly #parser: ResponseParser;

  private constructor(target: Target) {
    this.target = target;
    this.#parser = new ResponseParser({
      onHead: (head) => {
        this.#current!.head = head;
        this.#current!.headMs = performance.now();
      },
      onBody: (piece) => void this.#body.push(Buffer.from(piece)),
    });
  }

  /**
   * Opens one within `timeoutMs`.
   *
   * @throws {CannotConnect}
   */
  static async open(target: Target, timeoutMs = CONNECT_MS_MAX): Promise<ClientConnection> {
    const made = new ClientConnection(target);
    const shaken = Promise.withResolvers<CannotConnect | undefined>();
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => late.reject(new Error(`no connection after ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    let fault: CannotConnect | undefined;
    if (!target.isTls) shaken.resolve(undefined);
    try {
      const opened = Bun.connect({
        hostname: target.hostname,
        port: target.port,
        // Judged below, where it can be said what is wrong.
        ...(target.isTls
          ? { tls: { serverName: target.hostname, rejectUnauthorized: false } }
          : {}),
        socket: {
          handshake: (_, isDone, error) => shaken.resolve(handshakeFault(isDone, error)),
          data: (_, bytes) => made.#data(bytes),
          drain: () => made.#send(),
          end: () => made.#over(false),
          close: (_, error) => {
            shaken.resolve(handshakeFault(false, null));
            made.#over(error !== undefined);
            made.onClosed(error !== undefined);
          },
          error: () => made.#over(true),
        },
      });
      const socket = made.#socket = await Promise.race([opened, late.promise]);
      made.ends = endsOf(socket);
      fault = await Promise.race([shaken.promise, late.promise]);
    } catch (error) {
      const { message } = error as Error;
      made.leave("reset");
      throw new CannotConnect(message, made.#socket === undefined ? "nobody" : "handshake");
    } finally {
      clearTimeout(timer);
    }
    if (fault !== undefined && !(fault.fault === "distrusted" && target.isInsecure)) {
      made.leave("reset");
      throw fault;
    }
    return made;
  }

  /** Sends a request. There must be no other under way. */
  ask(
    body: string,
    fields: Target["fields"] = [],
    isKept = true,
    path: string = this.target.path,
  ): ClientExchange {
    const { hostname, port, fields: own } = this.target;
    const bytes = Buffer.from(body);
    const all: Target["fields"] = [
      ["host", `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`],
      ["user-agent", "weir-audit"],
      ["accept", "text/event-stream, application/json"],
      ["content-type", "application/json"],
      ...own,
      ...fields,
      ["content-length", String(bytes.length)],
    ];
    // A header that is given again replaces the one before.
    const lines = new Map(all.map(([name, value]) => [name.toLowerCase(), `${name}: ${value}`]));
    const head = `POST ${path} HTTP/1.1\r\n${[...lines.values()].join("\r\n")}`;
    this.#parser.reset(false);
    this.#body = [];
    this.#unsent = Buffer.concat([Buffer.from(`${head}\r\n\r\n`, "latin1"), bytes]);
    const exchange = this.#current = new ClientExchange(performance.now(), head, isKept);
    if (this.isClosed) exchange.finish("early");
    else this.#send();
    return exchange;
  }

  /** Reads nothing until `resume`. */
  pause(): void {
    this.#socket?.pause();
  }

  /** Reads again. */
  resume(): void {
    this.#socket?.resume();
  }

  /** Ends the connection, with a FIN or an RST. */
  leave(how: "fin" | "reset"): void {
    this.#current?.finish("left");
    this.isClosed = true;
    if (how === "fin") this.#socket?.end();
    else this.#socket?.terminate();
  }

  #send(): void {
    if (this.#unsent.length === 0) return;
    const sent = Math.max(0, this.#socket!.write(this.#unsent, 0, this.#unsent.length));
    this.#unsent = this.#unsent.subarray(sent);
  }

  #data(bytes: Buffer): void {
    const exchange = this.#current;
    if (exchange === undefined || exchange.end !== undefined) return;
    const atMs = performance.now();
    const kept = Buffer.from(bytes); // the parser may move what is in them
    this.#body = [];
    let fault: string | undefined;
    try {
      this.#parser.push(bytes);
    } catch (error) {
      fault = (error as Error).message;
    }
    exchange.read({ atMs, bytes: kept, body: Buffer.concat(this.#body) });
    if (fault !== undefined) {
      this.isClosed = true;
      exchange.finish("broken", fault);
      this.#socket?.terminate();
    } else if (this.#parser.isDone) {
      this.isClosed ||= !exchange.head!.keepsAlive;
      exchange.finish("whole");
      if (this.isClosed) this.#socket?.end();
    }
  }

  #over(isReset: boolean): void {
    this.isClosed = true;
    const exchange = this.#current;
    if (exchange === undefined || exchange.end !== undefined) return;
    try {
      this.#parser.finish(isReset);
      exchange.finish("whole");
    } catch {
      exchange.finish(isReset ? "reset" : "early");
    }
  }
}
