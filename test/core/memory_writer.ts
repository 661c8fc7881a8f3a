/**
 * A client in memory, which can be slow and can leave.
 *
 * @module
 */

import type { Ending } from "../../src/core/answer.ts";
import type {
  ClientListener,
  HeaderFields,
  ResponseWriter,
} from "../../src/core/response_writer.ts";

/** How an answer ended; undefined = it goes on. */
export type WrittenEnding = "whole" | Exclude<Ending, "hold"> | undefined;

/** A client in memory. It takes whatever is written, but says that it is slow when it is told to. */
export class MemoryWriter implements ResponseWriter {
  status = 0;
  headers: Headers | undefined = undefined;
  text = "";
  bodyBytes = 0;
  ending: WrittenEnding = undefined;
  /** How often bytes of the body came. */
  writes = 0;
  readonly patience: boolean[] = [];
  /** True: every write is told that the client is slow. */
  isSlow = false;
  hasLeft = false;
  #listener: ClientListener | undefined = undefined;
  #isOpen = false;
  readonly #decoder = new TextDecoder();

  /** True when somebody hears of the client. */
  get isHeard(): boolean {
    return this.#listener !== undefined;
  }

  listen(listener: ClientListener): void {
    if (this.#isOpen || this.ending !== undefined) throw new Error("Heard of too late");
    this.#listener = listener;
    if (this.hasLeft) this.leave();
  }

  bePatient(isPatient: boolean): void {
    this.patience.push(isPatient);
  }

  whole(status: number, headers: HeaderFields, body: Uint8Array | string | null): void {
    this.#head(status, headers);
    this.#take(body ?? "");
    this.ending = "whole";
    this.#listener = undefined;
  }

  begin(
    status: number,
    headers: HeaderFields,
    first: Uint8Array | string,
    listener: ClientListener,
  ): boolean {
    this.#head(status, headers);
    if (first.length === 0) throw new Error("No head leaves without a byte");
    this.#isOpen = true;
    this.#listener = listener;
    const isTaking = this.write(first);
    // As `Bun.serve` does: nobody is there for the body.
    if (this.hasLeft) queueMicrotask(() => this.leave());
    return isTaking;
  }

  write(bytes: Uint8Array | string): boolean {
    if (!this.#isOpen || this.ending !== undefined) throw new Error("Written to while not open");
    this.#take(bytes);
    return !this.isSlow;
  }

  end(ending: Exclude<Ending, "hold">): void {
    if (!this.#isOpen || this.ending !== undefined) throw new Error("Ended while not open");
    this.ending = ending;
    this.#listener = undefined;
  }

  /** The client takes bytes again. */
  drain(): void {
    this.isSlow = false;
    this.#listener?.onDrain();
  }

  /** The client closes the connection. */
  leave(): void {
    this.hasLeft = true;
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onLeave();
  }

  #head(status: number, headers: HeaderFields): void {
    if (this.status !== 0) throw new Error("Answered twice");
    this.status = status;
    this.headers = new Headers(headers as ConstructorParameters<typeof Headers>[0]);
  }

  #take(bytes: Uint8Array | string): void {
    this.writes++;
    const encoded = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    this.bodyBytes += encoded.length;
    this.text += this.#decoder.decode(encoded, { stream: true });
  }
}
