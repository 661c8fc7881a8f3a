/**
 * One request and what becomes of it, whichever connection carries it.
 *
 * @module
 */

import type { AbortLike } from "../abort.ts";
import { type BodyReader, type BodySource, Http1Body } from "./body.ts";
import { Http1Error } from "./error.ts";
import { Fields } from "./fields.ts";
import type { ResponseHead } from "./head.ts";
import { chunkOf, type Http1Upload, LAST_CHUNK, type UploadListener } from "./upload.ts";

/**
 * Sees what crosses the wire for one request, when it does: what comes, whoever reads it. None may
 * throw. Behind one of the last three nothing follows.
 */
export interface WireTap {
  /** The last byte of the request has left; once more when it is sent again. */
  onSent(): void;
  /** The head of the response is here. */
  onHead(head: TappedHead): void;
  /** Bytes of its body, as they were read at once; they are not the tap's to keep. */
  onBytes(bytes: Uint8Array): void;
  /** The response is whole. */
  onWhole(): void;
  /** The rest will not come. `error`: as the receiver is told it, where there was no head. */
  onBroken(error: unknown): void;
  /** Nobody wants the rest; `reason`: why, where that is known. */
  onGivenUp(reason?: unknown): void;
}

/** The head of a response, for a tap. */
export interface TappedHead {
  readonly status: number;
  readonly statusText: string;
  readonly fields: Fields;
  /** True when the body ends with the connection. */
  readonly isUntilClose: boolean;
}

/** What is asked. */
export interface Http1Request {
  readonly method: string;
  /** Path and query as they stand in the request line: "/v1/chat/completions?x=1". */
  readonly path: string;
  /**
   * Sent as given, and taken before `send` returns; `host`, `content-length` and what belongs to the
   * connection are for the client to say.
   */
  readonly fields?: Fields;
  /** Must not change before the response has ended. */
  readonly body?: Uint8Array | null;
  /** In place of `body`: one that still comes. Stopped when the request is over, however it ends. */
  readonly upload?: Http1Upload | undefined;
  /** Gives up at any moment: the connection is closed and nothing of the request stays behind. */
  readonly signal?: AbortLike;
  readonly tap?: WireTap | undefined;
}

/** What came back: the head, and the body that still arrives. The body must be read or cancelled. */
export class Http1Response {
  readonly status: number;
  readonly statusText: string;
  /** The fields in their order, with names as they were sent. */
  readonly fields: Fields;
  /** True when the body ends with the connection. */
  readonly isUntilClose: boolean;
  readonly body: Http1Body;

  constructor(head: ResponseHead, body: Http1Body) {
    this.status = head.status;
    this.statusText = head.statusText;
    this.fields = head.fields;
    this.isUntilClose = head.framing === "close";
    this.body = body;
  }

  /** True when the last piece of the body has been read. */
  get isOver(): boolean {
    return this.body.isOver;
  }

  /** The body when all of it is here; see `Http1Body.whole`. */
  whole(): Uint8Array | undefined {
    return this.body.whole();
  }

  /** The next piece of the body; see `Http1Body.next`. */
  next(reader: BodyReader): Uint8Array | null | undefined {
    return this.body.next(reader);
  }

  /** Nobody wants the rest of the body. */
  cancel(): void {
    this.body.cancel();
  }
}

/** Takes what becomes of a request: exactly one of the last two is called, once. None may throw. */
export interface Http1Receiver {
  /** The last byte of the request has left; once more when it is sent again. */
  onSent?(): void;
  /** With all of the body that came along with the head already in it. */
  onResponse(response: Http1Response): void;
  /** There is no response. */
  onError(error: unknown): void;
  /** Before either: its kept connection was stale, and it is sent once more. */
  onResend?(): void;
}

/** Whoever makes calls. */
export interface CallOwner {
  /** What the `host` field says. */
  readonly host: string;
  /** The call was given up while no connection carried it. */
  onWaitAborted(call: Call): void;
  /** What to tell a receiver instead of an error of ours. */
  explain(error: Http1Error): unknown;
}

/** What a call needs from the connection that carries it. */
export interface Carrier extends UploadListener {
  resume(): void;
  /** The call is given up: nothing more comes from it. */
  abandon(): void;
}

/** Bytes of a body that are copied behind the head, so that both leave in one write. */
const COPIED_BODY_BYTES_MAX = 65_536;

const NOTHING: readonly Uint8Array[] = [];

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const PATH = /^[/*][\x21-\x7e]*$/;

/**
 * The bytes of `request`, in one or two pieces; without those of an upload.
 *
 * @throws {TypeError} when method or path cannot stand in a request.
 */
export function encodeRequest(request: Http1Request, host: string): readonly Uint8Array[] {
  const { method, path, body } = request;
  if (!TOKEN.test(method)) throw new TypeError("Cannot send the request: its method is no token");
  if (!PATH.test(path)) {
    throw new TypeError('Cannot send the request: its path must begin with "/" and be encoded');
  }
  const { fields = Fields.NONE } = request;
  const start = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\n`;
  const linesBytes = fields.to - fields.from;
  const bodyBytes = body?.length ?? 0;
  const end = `${framingLine(request)}\r\n`;
  const isCopied = bodyBytes > 0 && bodyBytes <= COPIED_BODY_BYTES_MAX;
  const headBytes = start.length + linesBytes + end.length;
  const bytes = Buffer.allocUnsafe(headBytes + (isCopied ? bodyBytes : 0));
  bytes.write(start, "latin1");
  fields.bytes.copy(bytes, start.length, fields.from, fields.to);
  bytes.write(end, start.length + linesBytes, "latin1");
  if (isCopied) bytes.set(body!, headBytes);
  return bodyBytes > 0 && !isCopied ? [bytes, body!] : [bytes];
}

/** The line that says how the end of the body is found; "" = there is none, and nobody asks. */
export function framingLine(
  { method, body, upload }: Pick<Http1Request, "method" | "body" | "upload">,
): string {
  if (upload !== undefined) {
    return upload.lengthBytes === undefined
      ? "transfer-encoding: chunked\r\n"
      : `content-length: ${upload.lengthBytes}\r\n`;
  }
  // RFC 9110 §8.6: a method that takes a body wants to be told that there is none.
  const isTold = body || method === "POST" || method === "PUT" || method === "PATCH";
  return isTold ? `content-length: ${body?.length ?? 0}\r\n` : "";
}

/** A request on its way. */
export class Call implements BodySource {
  /** What is left to be sent, or sent again. */
  payload: readonly Uint8Array[];
  /** What follows the payload while it still comes. */
  readonly upload: Http1Upload | undefined;
  /** The payload that an upload begins behind. */
  readonly #head: readonly Uint8Array[];
  /** All of the upload is in the payload, or was. */
  #isUploaded = false;
  /** The answer to HEAD has no body. */
  readonly isBodiless: boolean;
  /** It only asks (RFC 9110 §9.2.1): a server that sees it twice does nothing twice. */
  readonly isSafe: boolean;
  /** The connection that carries it now; null while it waits for one, and when it is over. */
  carrier: Carrier | null = null;
  /** True once a byte of the response was seen. */
  hasBegun = false;
  /** True when it is sent again: on a new connection only. */
  isRepeated = false;
  readonly #signal: AbortLike | undefined;
  readonly #owner: CallOwner;
  readonly #receiver: Http1Receiver;
  readonly #tap: WireTap | undefined;
  #body: Http1Body | null = null;
  /** The response, until its receiver has it. */
  #undelivered: Http1Response | null = null;

  /** @throws {TypeError} when the request cannot be sent as it is. */
  constructor(request: Http1Request, receiver: Http1Receiver, owner: CallOwner) {
    this.payload = encodeRequest(request, owner.host);
    this.upload = request.upload;
    this.#head = this.upload === undefined ? NOTHING : this.payload;
    this.isBodiless = request.method === "HEAD";
    this.isSafe = this.isBodiless || request.method === "GET";
    this.#signal = request.signal;
    this.#tap = request.tap;
    this.#owner = owner;
    this.#receiver = receiver;
    this.#signal?.addEventListener("abort", this);
  }

  /** The body, once there is one. */
  get body(): Http1Body | null {
    return this.#body;
  }

  /** False: it was repeated before, or part of what was sent is no longer here. */
  get mayRepeat(): boolean {
    return !this.isRepeated && this.upload?.canStart !== false;
  }

  /** Of a connection that turned out to be stale: another one will send it again. */
  repeat(): void {
    this.isRepeated = true;
    this.#release();
    this.#receiver.onResend?.();
  }

  /** Of the connection that carries it from now on: begins with the first byte. */
  startUpload(): void {
    this.payload = this.#head;
    this.#isUploaded = false;
    this.upload!.start(this.carrier!);
  }

  /** What was sent is followed by the next of the upload. False: nothing of it is here yet. */
  continueUpload(): boolean {
    const upload = this.upload!;
    const piece = upload.next();
    const isChunked = upload.lengthBytes === undefined;
    if (piece instanceof Uint8Array) this.payload = [isChunked ? chunkOf(piece) : piece];
    else this.payload = piece === null && isChunked ? [LAST_CHUNK] : NOTHING;
    this.#isUploaded = piece === null;
    return piece !== undefined;
  }

  /** True when nothing follows the payload. */
  get isPayloadLast(): boolean {
    return this.upload === undefined || this.#isUploaded;
  }

  /** Of the connection: the request has left. */
  sent(): void {
    this.#receiver.onSent?.();
    this.#tap?.onSent();
  }

  begin(head: ResponseHead): void {
    this.#body = new Http1Body(this);
    this.#undelivered = new Http1Response(head, this.#body);
    this.#tap?.onHead(this.#undelivered);
  }

  /** Of the connection: more of the body. */
  push(bytes: Uint8Array): void {
    this.#tap?.onBytes(bytes);
    this.#body!.push(bytes);
  }

  /** Hands the response on if there is one: what came in the packet of its head is in it by now. */
  deliver(): void {
    const response = this.#undelivered;
    if (response === null) return;
    this.#undelivered = null;
    this.#receiver.onResponse(response);
  }

  /** The response is whole. */
  end(last: Uint8Array | null): void {
    this.#release();
    if (last !== null) this.#tap?.onBytes(last);
    this.#tap?.onWhole();
    this.#body!.end(last);
  }

  fail(error: Http1Error): void {
    this.#release();
    error.hasBegun = this.hasBegun;
    if (this.#body !== null) {
      this.#tap?.onBroken(error);
      return this.#body.fail(error);
    }
    this.settle();
    const told = this.#owner.explain(error);
    // No upstream has done that.
    if (error.code === "client_closed" || error.code === "pool_full") this.#tap?.onGivenUp(told);
    else this.#tap?.onBroken(told);
    this.#receiver.onError(told);
  }

  /** The signal's call. */
  handleEvent(): void {
    const error = abortedError(this.#signal);
    error.hasBegun = this.hasBegun;
    const carrier = this.#release();
    this.#tap?.onGivenUp(this.#signal!.reason);
    if (carrier !== null) carrier.abandon();
    else if (this.#body === null) this.#owner.onWaitAborted(this);
    if (this.#body !== null) this.#body.abort(error);
    else this.#receiver.onError(this.#owner.explain(error));
  }

  resume(): void {
    this.carrier?.resume();
  }

  drop(): void {
    this.#tap?.onGivenUp();
    this.#release()?.abandon();
  }

  settle(): void {
    this.#signal?.removeEventListener("abort", this);
  }

  /** Nothing more is sent. Before anybody is told, who may begin the upload anew. */
  #release(): Carrier | null {
    const { carrier } = this;
    this.carrier = null;
    this.upload?.stop();
    return carrier;
  }
}

/** The error of a request whose `signal` has aborted. */
export function abortedError(signal: AbortLike | undefined): Http1Error {
  return new Http1Error("aborted", "The request was aborted", signal?.reason);
}
