/**
 * The response writer on `Bun.serve`: gives the `Response` that its handler returns, and no head
 * before the first byte of a body (docs/facts/runtime.md "Head waits for the first byte").
 *
 * @module
 */

import type { Ending } from "./answer.ts";
import { type DirectController, directStream } from "./direct_stream.ts";
import type { ClientListener, HeaderFields, ResponseWriter } from "./response_writer.ts";

/** The part of Bun's server that a writer asks. */
export interface ConnectionTimer {
  /** Closes the connection of `request` after so many seconds of silence; 0 = never. */
  timeout?(request: Request, seconds: number): void;
}

/** What every writer of one server shares. */
export interface BunWriterOptions {
  readonly idleTimeoutS: number;
}

/**
 * Bytes that may be written before Bun asks for the body: it does so in the same turn of the loop.
 */
const PENDING_BYTES_MAX = 65_536;

type Chunk = Uint8Array<ArrayBuffer> | string;

/** One response. */
export class BunWriter implements ResponseWriter {
  readonly #options: BunWriterOptions;
  readonly #isLast: boolean;
  #request: Request | undefined;
  #timer: ConnectionTimer | undefined;
  #response: Response | undefined = undefined;
  #resolve: ((response: Response) => void) | undefined = undefined;
  #listener: ClientListener | undefined = undefined;
  #onAbort: (() => void) | undefined = undefined;
  #controller: DirectController | undefined = undefined;
  /** What was written before Bun asked for the body; undefined = nothing was, or it has asked. */
  #pending: Chunk[] | undefined = undefined;
  #pendingBytes = 0;
  #isSlow = false;
  #ending: Ending | undefined = undefined;

  /** `isLast`: the connection closes behind the answer. */
  constructor(
    request: Request,
    timer: ConnectionTimer | undefined,
    options: BunWriterOptions,
    isLast: boolean,
  ) {
    this.#request = request;
    this.#timer = timer;
    this.#options = options;
    this.#isLast = isLast;
  }

  /** The response, or the promise of it. Called once. */
  take(): Response | Promise<Response> {
    return this.#response ?? new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  listen(listener: ClientListener): void {
    const signal = this.#request?.signal;
    if (signal === undefined) return;
    this.#listener = listener;
    if (signal.aborted) return this.#leave();
    this.#onAbort = () => this.#leave();
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  bePatient(isPatient: boolean): void {
    if (this.#request === undefined) return;
    this.#timer?.timeout?.(this.#request, isPatient ? 0 : this.#options.idleTimeoutS);
  }

  whole(status: number, headers: HeaderFields, body: Uint8Array | string | null): void {
    // A socket's bytes are never shared memory: the type of `Buffer` leaves that open.
    this.#settle(
      new Response(body as Uint8Array<ArrayBuffer> | string | null, { status, headers }),
    );
  }

  begin(
    status: number,
    headers: HeaderFields,
    first: Uint8Array | string,
    listener: ClientListener,
  ): boolean {
    this.#keep(first);
    const body = directStream((controller) => this.#pull(controller), () => this.#leave());
    this.#settle(new Response(body, { status, headers }));
    this.#listener = listener;
    return !this.#isSlow;
  }

  write(bytes: Uint8Array | string): boolean {
    if (this.#ending !== undefined) return true;
    if (this.#controller === undefined) this.#keep(bytes);
    else this.#put(bytes);
    return !this.#isSlow;
  }

  end(ending: Exclude<Ending, "hold">): void {
    this.#ending = ending;
    this.#listener = undefined;
    if (this.#controller !== undefined) this.#close(this.#controller, ending);
  }

  #settle(response: Response): void {
    if (this.#isLast) response.headers.set("connection", "close");
    if (this.#onAbort !== undefined) {
      this.#request?.signal.removeEventListener("abort", this.#onAbort);
    }
    // An open stream must not hold its request, which holds the question.
    this.#request =
      this.#timer =
      this.#listener =
      this.#onAbort =
        undefined;
    if (this.#resolve === undefined) this.#response = response;
    else this.#resolve(response);
    this.#resolve = undefined;
  }

  #keep(bytes: Uint8Array | string): void {
    (this.#pending ??= []).push(typeof bytes === "string" ? bytes : new Uint8Array(bytes));
    this.#pendingBytes += bytes.length;
    if (this.#pendingBytes > PENDING_BYTES_MAX) this.#isSlow = true;
  }

  /** Bun's call: the head leaves with what is here. */
  #pull(controller: DirectController): void {
    this.#controller = controller;
    const pending = this.#pending!;
    const wasSlow = this.#isSlow;
    this.#pending = undefined;
    this.#isSlow = false;
    this.#response = undefined;
    this.#put(pending[0]!);
    // Before the rest: a body under 256 bytes that ended here would get a length instead of chunks,
    // and a first chunk under 256 bytes would leave in a second packet.
    controller.flush();
    for (let i = 1; i < pending.length; i++) this.#put(pending[i]!);
    if (this.#ending !== undefined) return this.#close(controller, this.#ending);
    if (wasSlow && !this.#isSlow) this.#listener?.onDrain();
  }

  #put(bytes: Uint8Array | string): void {
    const written = this.#controller!.write(bytes);
    if (typeof written === "number" || this.#isSlow) return;
    this.#isSlow = true;
    // A client that leaves while it is slow may never settle it: `cancel` tells then.
    written.then(() => {
      this.#isSlow = false;
      this.#listener?.onDrain();
    }, () => this.#leave());
  }

  #close(controller: DirectController, ending: Ending): void {
    if (ending === "end") controller.end();
    // Bun has one way to end without HTTP's end, and that is a reset.
    else controller.close(new Error("The answer ends early"));
  }

  #leave(): void {
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onLeave();
  }
}
