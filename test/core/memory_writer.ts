/**
 * A client in memory, which can be slow and can leave.
 *
 * @module
 */

import { Fields } from "../../src/lib/http1/fields.ts";
import { HeaderBlock } from "../../src/lib/http1/header_block.ts";
import type {
  ClientListener,
  CutReason,
  HeaderFields,
  ResponseEnding,
  ResponseWriter,
  Untaken,
} from "../../src/core/response_writer.ts";

/** How an answer ended; undefined = it goes on. */
export type WrittenEnding = "whole" | ResponseEnding | undefined;

/** A client in memory. It takes whatever is written, but says that it is slow when it is told to. */
export class MemoryWriter implements ResponseWriter {
  status = 0;
  headers: Headers | undefined = undefined;
  text = "";
  bodyBytes = 0;
  ending: WrittenEnding = undefined;
  /** How often bytes of the body came. */
  writes = 0;
  /** True: every write is told that the client is slow. */
  isSlow = false;
  /** True: the client has not taken all when the answer ends. */
  isUntaken = false;
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

  whole(status: number, headers: HeaderFields, body: Uint8Array | string | null): Untaken | null {
    this.#head(status, headers);
    this.#take(body ?? "");
    return this.#over("whole");
  }

  begin(
    status: number,
    headers: HeaderFields,
    first: Uint8Array | string,
    listener: ClientListener,
  ): boolean {
    this.#head(status, headers);
    if (first.length === 0) this.asked.push("head");
    this.#isOpen = true;
    this.#listener = listener;
    const isTaking = first.length === 0 || this.write(first);
    // Whoever begins late hears of it, too.
    if (this.hasLeft) queueMicrotask(() => this.leave());
    return isTaking;
  }

  write(bytes: Uint8Array | string): boolean {
    if (!this.#isOpen || this.ending !== undefined) throw new Error("Written to while not open");
    this.#take(bytes);
    return !this.isSlow;
  }

  end(ending: ResponseEnding, last?: Uint8Array | string): Untaken | null {
    if (this.ending !== undefined || (!this.#isOpen && ending === "end")) {
      throw new Error("Ended while not open");
    }
    if (last !== undefined) this.#take(last);
    return this.#over(ending);
  }

  room = new Uint8Array(0);

  reserve(byteLength: number): number {
    this.room = new Uint8Array(byteLength + 7);
    return 7;
  }

  commit(byteLength: number): boolean {
    return this.write(this.room.subarray(7, 7 + byteLength));
  }

  /** True: the client takes bytes, though slowly. */
  isTaking = false;

  nudge(): boolean {
    return this.isTaking;
  }

  /** The client takes bytes again. */
  drain(): void {
    this.isSlow = false;
    this.#listener?.onDrain();
  }

  /** The client closes the connection, or is cut off. */
  leave(reason?: CutReason): void {
    this.hasLeft = true;
    const listener = this.#listener;
    this.#listener = undefined;
    listener?.onLeave(reason);
  }

  /** What faults have asked of the connection, in order. */
  readonly asked: string[] = [];
  isKept = true;

  closeBehind(): void {
    this.asked.push("closeBehind");
  }

  tellAlso(fields: Readonly<Record<string, string>>): void {
    this.asked.push(`tellAlso ${JSON.stringify(fields)}`);
  }

  tellLength(bytes: number): void {
    this.asked.push(`tellLength ${bytes}`);
  }

  seal(): void {
    this.asked.push("seal");
  }

  freeze(): void {
    this.asked.push("freeze");
  }

  closeOnReuse(_onReused: () => void): void {
    this.asked.push("closeOnReuse");
  }

  #over(ending: WrittenEnding): Untaken | null {
    this.ending = ending;
    this.#listener = undefined;
    if (!this.isUntaken) return null;
    return { listenTaken: (listener) => void (this.#listener = listener) };
  }

  #head(status: number, headers: HeaderFields): void {
    if (this.status !== 0) throw new Error("Answered twice");
    this.status = status;
    // Laid ones belong to the next answer as soon as this returns.
    const { bytes, length } = headers instanceof HeaderBlock ? headers : HeaderBlock.of(headers);
    this.headers = new Headers(
      Array.from(new Fields(bytes, 0, length), ([name, value]) => [name, value]),
    );
  }

  #take(bytes: Uint8Array | string): void {
    this.writes++;
    const encoded = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
    this.bodyBytes += encoded.length;
    this.text += this.#decoder.decode(encoded, { stream: true });
  }
}
