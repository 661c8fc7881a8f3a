/**
 * Where the bytes of an answer go: head, bytes, ending and back-pressure of one request, whatever
 * server is behind it.
 *
 * @module
 */

import type { HeaderFields } from "../lib/http1/header_block.ts";
import type {
  ClientListener,
  CutReason,
  ResponseEnding,
  Untaken,
} from "../lib/http1/server_exchange.ts";

export type { ClientListener, CutReason, HeaderFields, ResponseEnding, Untaken };

/** Writes one answer: either `whole`, or `begin`, `write` and `end`. */
export interface ResponseWriter {
  /** `listener` hears of the client's leaving before the answer begins, too. */
  listen(listener: ClientListener): void;
  /** The whole answer. Everything is copied before this returns. Null = the client has it. */
  whole(
    status: number,
    headers: HeaderFields,
    body: Uint8Array | string | null,
  ): Untaken | null;
  /**
   * The head and the first bytes, in one packet. Both are taken before this returns; `listener`
   * hears of the client from now on. False: the client is slow.
   */
  begin(
    status: number,
    headers: HeaderFields,
    first: Uint8Array | string,
    listener: ClientListener,
  ): boolean;
  /**
   * Bytes of the body, taken before this returns. False: the client is slow, and nothing should be
   * written before `onDrain`.
   */
  write(bytes: Uint8Array | string): boolean;
  /**
   * Where the next `byteLength` bytes of the body go in `room`: whoever fills them in there and calls
   * `commit` before anything else is written saves a copy of them.
   */
  reserve(byteLength: number): number;
  /** Shared by all answers. */
  readonly room: Uint8Array;
  /** Writes what was filled in; as `write`. */
  commit(byteLength: number): boolean;
  /**
   * Tries again what a slow client has not taken; may call `onDrain`. True = it has taken something
   * since.
   */
  nudge(): boolean;
  /**
   * Nothing follows but `last`, which leaves in one packet with the end. Null = the client has all of
   * it, or never will.
   */
  end(ending: ResponseEnding, last?: Uint8Array | string): Untaken | null;
  /** Before the answer begins: its head tells `fields`, too, with names in small letters. */
  tellAlso(fields: Readonly<Record<string, string>>): void;
  // What only faults on purpose ask for.
  /** False: the connection ends with this answer anyway. */
  readonly isKept: boolean;
  /** Before the answer begins: the connection ends with it, and its head says so. */
  closeBehind(): void;
  /** Before `begin`: the head tells a body of `bytes`, whatever comes. */
  tellLength(bytes: number): void;
  /** HTTP's end leaves now; the answer ends with `end`, later. */
  seal(): void;
  /** Nothing is read of the client any more: not even that it leaves is noticed. */
  freeze(): void;
  /** The connection closes at the first byte behind this answer, and `onReused` hears of it. */
  closeOnReuse(onReused: () => void): void;
}
