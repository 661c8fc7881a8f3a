/**
 * Bytes that several weirs share, in Redis: over a connection of their own, so that large ones keep nobody
 * waiting who asks for a limit.
 *
 * @module
 */

import type { SharedBytes } from "../core/shared.ts";
import type { RedisLink } from "./redis_link.ts";

/** Larger ones are not kept: 16 MiB. */
const VALUE_BYTES_MAX = 16_777_216;
/** What is on its way at once, together: 64 MiB. More is not kept. */
const SENDING_BYTES_MAX = 67_108_864;

/** Keeps bytes over `link`, which is started on first use. `prefix` begins the names of its keys. */
export class RedisBytes implements SharedBytes {
  readonly #link: RedisLink;
  readonly #prefix: string;
  #hasStarted = false;
  #sendingBytes = 0;

  constructor(link: RedisLink, prefix: string) {
    this.#link = link;
    this.#prefix = prefix;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    if (!this.#isThere()) return undefined;
    try {
      return await this.#link.ask((client) => client.getBuffer(this.#nameOf(key))) ?? undefined;
    } catch {
      return undefined;
    }
  }

  put(key: string, bytes: Uint8Array, ttlMs: number): void {
    const { byteLength } = bytes;
    if (!this.#isThere() || ttlMs < 1 || byteLength > VALUE_BYTES_MAX) return;
    if (this.#sendingBytes + byteLength > SENDING_BYTES_MAX) return;
    this.#sendingBytes += byteLength;
    const life = Math.floor(ttlMs);
    this.#link.ask((client) => client.set(this.#nameOf(key), bytes, "PX", life))
      .catch(() => {})
      .finally(() => this.#sendingBytes -= byteLength);
  }

  #nameOf(key: string): string {
    return `${this.#prefix}bytes:${key}`;
  }

  #isThere(): boolean {
    if (!this.#hasStarted) this.#link.start();
    this.#hasStarted = true;
    return this.#link.state === "ok";
  }
}
